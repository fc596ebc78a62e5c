-- Signals and tokens.

-- name: prepare_signals
-- `newest` tells whether other settings were published since.
SELECT signal_uid, stored, duplicate_of, opened_at, trades, (SELECT max(id) FROM settings) AS newest
FROM prepare_signals(:uids, :strategies, :keys, :windows, :received, :asks, :trade_ids, :roots);

-- name: ingest_signals
SELECT signal_uid, signal_id, task_ids
FROM ingest_signals(:uids, :strategies, :trade_ids, :trades, :event_types, :codes, :messages, :fields, :raws, :content_types, :headers,
                    :source_ips, :parsed, :received, :fired, :duplicates, :plans,
                    :task_uids, :task_trade_ids, :task_event_types, :task_accounts, :task_payloads, :task_max_ages, :task_plans,
                    :trade_strategies, :trade_names, :trade_roots, :trade_sides, :trade_units, :trade_opened, :trade_ended,
                    :trade_exits_fired, :refused_uids, :refused_strategies, :refused_keys);

-- name: stored_signals
-- What an earlier commit stored: when its answer was lost, or when an alert turned out to be a repeat of it.
SELECT s.signal_uid, s.id, s.trade_id, s.event_type, s.code, s.message, s.field, s.duplicate_of,
       COALESCE((SELECT array_agg(t.id ORDER BY t.id) FROM execution_tasks t
                 WHERE t.trade_id = ANY (COALESCE(s.trades, ARRAY[s.trade_id::TEXT])) AND t.signal_id = s.id), '{}')
FROM automated_signals s
WHERE s.signal_uid = ANY (:uids);

-- name: strategy_trades
-- A strategy's trades as its next alert would find them: open ones, and the latest that ended.
WITH known AS (
    (SELECT n.trade_id, n.root, n.side, n.units, n.opened_at,
            CASE WHEN trade_stands(n.trade_id) IN ('none', 'closed') THEN n.opened_at END AS ended_at, NULL::TIMESTAMPTZ AS exit_fired_at
     FROM strategy_trades n WHERE n.strategy = :strategy AND n.ended_at IS NULL)
    UNION
    (SELECT n.trade_id, n.root, n.side, n.units, n.opened_at,
            CASE WHEN trade_stands(n.trade_id) <> 'open' THEN n.ended_at END, n.exit_fired_at
     FROM strategy_trades n WHERE n.strategy = :strategy AND n.root IS NOT DISTINCT FROM :root AND n.ended_at IS NOT NULL
     ORDER BY n.ended_at DESC LIMIT 50)
)
SELECT k.trade_id, k.root, k.side, CASE WHEN d.sized THEN k.units END, k.opened_at, k.ended_at, k.exit_fired_at, d.exited
FROM known k
CROSS JOIN LATERAL trade_doubts(k.trade_id) d
ORDER BY k.opened_at, k.trade_id;

-- name: repeated_signal^
SELECT s.id, w.started_at
FROM alert_windows w
JOIN automated_signals s ON s.signal_uid = w.signal_uid
WHERE w.strategy = :strategy AND w.key = :key AND w.expires_at > clock_timestamp();

-- name: trade_facts^
SELECT trade_facts(:trade_id, :account, :mode, 0);

-- name: purge_alert_windows^
SELECT purge_alert_windows();

-- name: trade_accounts
-- The accounts that have tasks of each trade, with the symbol that their entry named and how it was planned: where its exits go.
SELECT DISTINCT ON (trade_id, account) trade_id, account, payload ->> 'symbol', plan ->> 'multiplier', plan ->> 'route'
FROM execution_tasks
WHERE trade_id = ANY (:trade_ids) AND opening AND account IS NOT NULL
ORDER BY trade_id, account, id DESC;

-- name: enqueue_execution_task^
SELECT enqueue_execution_task(:trade_id, :event_type, :payload, :account);

-- name: valid_tokens
SELECT token_sha256, strategy FROM strategy_tokens WHERE revoked_at IS NULL;

-- name: add_strategy_token^
SELECT add_strategy_token(:strategy, :sha256);

-- name: revoke_strategy_tokens
SELECT revoke_strategy_tokens(:strategy, :token_id);

-- name: list_tokens
SELECT id, strategy, created_at, revoked_at FROM strategy_tokens ORDER BY strategy, id;

-- name: last_heard
-- When each of these strategies was last heard of.
SELECT s.strategy, (SELECT max(g.received_at) FROM automated_signals g WHERE g.strategy = s.strategy)
FROM unnest(:strategies::TEXT[]) AS s (strategy);
