-- Stores a batch of signals with their tasks, after prepare_signals in the same transaction. A signal whose uid is stored already
-- is left as it is, so a batch whose commit had an unknown outcome can simply be given again. Returns the signals stored now.
-- p_plans: what the signal comes to on every account, as JSON.
-- p_task_*: one element a task; p_task_uids names the signal that it belongs to.
-- p_trade_*: how the strategies' trades stand from now on, where that has changed.
-- p_refused_*: windows of signals that turned out to be refused; no other alert can be a repeat of those.
CREATE OR REPLACE FUNCTION ingest_signals(
    p_uids UUID[], p_strategies TEXT[], p_trade_ids TEXT[], p_trades TEXT[], p_event_types TEXT[], p_codes TEXT[], p_messages TEXT[],
    p_fields TEXT[], p_raws BYTEA[], p_content_types TEXT[], p_headers TEXT[], p_source_ips TEXT[], p_parsed TEXT[],
    p_received TIMESTAMPTZ[], p_fired TIMESTAMPTZ[], p_duplicates UUID[], p_plans TEXT[],
    p_task_uids UUID[], p_task_trade_ids TEXT[], p_task_event_types TEXT[], p_task_accounts TEXT[], p_task_payloads TEXT[],
    p_task_max_ages FLOAT8[], p_task_plans TEXT[],
    p_trade_strategies TEXT[], p_trade_names TEXT[], p_trade_roots TEXT[], p_trade_sides TEXT[], p_trade_units NUMERIC[],
    p_trade_opened TIMESTAMPTZ[], p_trade_ended TIMESTAMPTZ[], p_trade_exits_fired TIMESTAMPTZ[],
    p_refused_uids UUID[], p_refused_strategies TEXT[], p_refused_keys BYTEA[]
) RETURNS TABLE (signal_uid UUID, signal_id BIGINT, task_ids BIGINT[])
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM alert_windows w
    USING unnest(p_refused_uids, p_refused_strategies, p_refused_keys) AS r (uid, strategy, key)
    WHERE w.strategy = r.strategy AND w.key = r.key AND w.signal_uid = r.uid;

    INSERT INTO strategy_trades AS o (strategy, trade_id, root, side, units, opened_at, ended_at, exit_fired_at)
    SELECT b.*
    FROM unnest(p_trade_strategies, p_trade_names, p_trade_roots, p_trade_sides, p_trade_units, p_trade_opened, p_trade_ended,
                p_trade_exits_fired) AS b (strategy, trade_id, root, side, units, opened_at, ended_at, exit_fired_at)
    ORDER BY b.strategy, b.trade_id
    ON CONFLICT (strategy, trade_id) DO UPDATE
        SET root = EXCLUDED.root, side = EXCLUDED.side, units = EXCLUDED.units, ended_at = EXCLUDED.ended_at,
            exit_fired_at = EXCLUDED.exit_fired_at;

    RETURN QUERY
    WITH stored AS (
        INSERT INTO automated_signals AS g (signal_uid, strategy, trade_id, trades, event_type, code, message, field, raw, content_type,
                                            headers, source_ip, parsed, received_at, fired_at, duplicate_of, plan)
        SELECT s.uid, s.strategy, COALESCE(s.trade_id, f.trade_id),
               CASE WHEN s.trades IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(s.trades::JSONB)) END, COALESCE(s.event_type, f.event_type), s.code, s.message, s.field, s.raw, s.content_type,
               s.headers::JSONB, s.source_ip, s.parsed::JSONB, s.received_at, s.fired_at, s.duplicate_of, s.plan::JSONB
        FROM unnest(p_uids, p_strategies, p_trade_ids, p_trades, p_event_types, p_codes, p_messages, p_fields, p_raws, p_content_types,
                    p_headers, p_source_ips, p_parsed, p_received, p_fired, p_duplicates, p_plans) WITH ORDINALITY
                 AS s (uid, strategy, trade_id, trades, event_type, code, message, field, raw, content_type, headers, source_ip, parsed,
                       received_at, fired_at, duplicate_of, plan, ord)
        LEFT JOIN automated_signals f ON f.signal_uid = s.duplicate_of  -- a repeat has the trade of its first
        ORDER BY s.ord
        ON CONFLICT (signal_uid) DO NOTHING
        RETURNING g.id, g.signal_uid, g.received_at, g.fired_at
    ), enqueued AS (
        INSERT INTO execution_tasks (trade_id, event_type, payload, signal_id, account, expires_at, plan)
        SELECT t.trade_id, t.event_type, t.payload::JSONB, s.id, t.account,
               LEAST(s.fired_at, s.received_at) + make_interval(secs => t.max_age), t.plan::JSONB
        FROM unnest(p_task_uids, p_task_trade_ids, p_task_event_types, p_task_accounts, p_task_payloads, p_task_max_ages,
                    p_task_plans)
                 WITH ORDINALITY AS t (uid, trade_id, event_type, account, payload, max_age, plan, ord)
        JOIN stored s ON s.signal_uid = t.uid
        ORDER BY t.ord
        RETURNING id, signal_id
    )
    SELECT s.signal_uid, s.id, COALESCE(array_agg(e.id ORDER BY e.id) FILTER (WHERE e.id IS NOT NULL), '{}')
    FROM stored s LEFT JOIN enqueued e ON e.signal_id = s.id
    GROUP BY s.signal_uid, s.id;
END
$$;
