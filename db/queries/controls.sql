-- Halts, resumes, flattenings: what stands, who asked, and how far each flattening got.

-- name: set_control
SELECT control, set_at, task_id, account, mode, trade_id, event_type, status, client_order_id, since
FROM set_control(:scope, :action, :actor, :reason)
ORDER BY task_id;

-- name: standings
-- The latest row of each scope: what counts there now.
SELECT DISTINCT ON (c.scope) c.id, c.scope, c.action, c.actor, c.reason, c.created_at
FROM controls c
ORDER BY c.scope, c.id DESC;

-- name: controls_history
SELECT id, scope, action, actor, reason, created_at FROM controls
WHERE :before::BIGINT IS NULL OR id < :before
ORDER BY id DESC
LIMIT :limit;

-- name: controls_of_scope
-- The latest rows of one scope, the newest first.
SELECT id, action, actor, reason, created_at FROM controls WHERE scope = :scope ORDER BY id DESC LIMIT :limit;

-- name: known_accounts
-- Those that are configured somewhere, or have something open or held; with :halted also those that were ever halted by name.
SELECT name FROM (
    SELECT DISTINCT ON (name) name, withdrawn FROM settings WHERE kind = 'account' ORDER BY name, version DESC
) latest
WHERE NOT withdrawn
UNION
SELECT account FROM execution_tasks WHERE status IN ('PENDING', 'SENDING', 'UNKNOWN', 'REVIEW') AND lane IS NOT NULL AND account IS NOT NULL
UNION
SELECT account FROM holdings WHERE quantity <> 0
UNION
SELECT substr(scope, 9) FROM controls WHERE :halted AND scope LIKE 'account:%%'
ORDER BY 1;

-- name: known_strategies
-- Those that ever signalled are found by skipping through an index.
WITH RECURSIVE heard AS (
    (SELECT s.strategy FROM automated_signals s ORDER BY s.strategy LIMIT 1)
    UNION ALL
    SELECT (SELECT s.strategy FROM automated_signals s WHERE s.strategy > h.strategy ORDER BY s.strategy LIMIT 1)
    FROM heard h WHERE h.strategy IS NOT NULL
)
SELECT strategy FROM heard WHERE strategy IS NOT NULL
UNION
SELECT name FROM settings WHERE kind = 'strategy'
UNION
SELECT strategy FROM strategy_tokens
UNION
SELECT substr(scope, 10) FROM controls WHERE scope LIKE 'strategy:%%'
ORDER BY 1;

-- name: without_router
-- Those of these accounts of which no router has said anything within the last minute.
SELECT a.name FROM unnest(:accounts::TEXT[]) AS a (name)
WHERE NOT EXISTS (SELECT FROM connection_of(a.name) k WHERE k.fresh)
ORDER BY 1;

-- name: accounts_to_flatten
-- The accounts that a flattening of everything is for: those that are configured, and others that still hold something.
SELECT name FROM (
    SELECT DISTINCT ON (name) name, withdrawn FROM settings WHERE kind = 'account' ORDER BY name, version DESC
) latest
WHERE NOT withdrawn
UNION
SELECT account FROM holdings WHERE quantity <> 0
ORDER BY 1;

-- name: flatten_requests
-- For these accounts, the latest flattening of each scope that concerns them and that no resume has withdrawn, with the latest row
-- about it and its age in seconds. Since it was flat: `resolved`, a doubt that it named is none any more; `holds`, a trade of ours
-- holds something or has a working entry.
SELECT a.account, c.id, c.scope, c.actor, c.reason, c.created_at, l.kind, l.detail,
       EXTRACT(EPOCH FROM clock_timestamp() - l.created_at)::FLOAT8,
       l.kind = 'FLAT'
           AND EXISTS (SELECT FROM jsonb_array_elements_text(l.detail -> 'unresolved') AS u (id)
                       JOIN execution_tasks t ON t.id = u.id::BIGINT
                       WHERE t.status NOT IN ('SENDING', 'UNKNOWN', 'REVIEW')),
       l.kind = 'FLAT'
           AND EXISTS (SELECT FROM trades_to_flatten(a.account, :mode,
                                                     CASE WHEN c.scope LIKE 'strategy:%%' THEN substr(c.scope, 10) END) f
                       JOIN execution_tasks t ON t.trade_id = f.trade_id AND t.account = a.account COLLATE "C" AND t.opening)
FROM unnest(:accounts::TEXT[]) AS a (account)
JOIN (SELECT DISTINCT ON (f.scope) f.* FROM controls f WHERE f.action = 'flatten' ORDER BY f.scope, f.id DESC) c
  ON c.scope = 'all' OR c.scope = 'account:' || a.account OR c.scope LIKE 'strategy:%%'
LEFT JOIN LATERAL (
    SELECT r.kind, r.detail, r.created_at FROM account_log r
    WHERE r.account = a.account COLLATE "C" AND r.mode = :mode AND r.kind LIKE 'FLAT%%' AND r.detail ->> 'control' = c.id::TEXT
    ORDER BY r.seq DESC LIMIT 1
) l ON TRUE
WHERE NOT EXISTS (SELECT FROM controls r WHERE r.scope = c.scope AND r.id > c.id AND r.action = 'resume')
ORDER BY a.account, c.id;

-- name: flatten_progress
-- What was done for one flattening, or for a later one of the same scope, in order.
SELECT account, mode, seq, kind, actor, message, detail, created_at FROM account_log
WHERE kind LIKE 'FLAT%%' AND account = ANY (:accounts) AND detail ->> 'scope' = :scope
  AND (detail ->> 'control')::BIGINT >= :control
ORDER BY account, mode, seq;

-- name: undecided_tasks
-- Tasks of an account whose order may or may not be at the broker, of one strategy or (null) of all; and whether the broker has
-- shown the order, who sends it and until when.
SELECT t.id, t.status, t.trade_id, t.event_type, t.opening, EXTRACT(EPOCH FROM t.lease_until - clock_timestamp())::FLOAT8,
       t.status = 'SENDING' AND order_is_shown(t.id, t.account), t.worker, t.lease_until
FROM (SELECT * FROM execution_tasks s WHERE s.status = 'SENDING'
      UNION ALL
      SELECT * FROM execution_tasks u WHERE u.status IN ('UNKNOWN', 'REVIEW')) t
WHERE t.account = :account AND t.mode = :mode
  AND (:strategy::TEXT IS NULL OR lower(strategy_of(t.id)) = lower(:strategy))
ORDER BY t.id;

-- name: enqueue_flattening
SELECT trade_id, contract, quantity, task_id, status, last_error
FROM enqueue_flattening(:account, :mode, :strategy, :control, :enqueue);

-- name: flatten_lock^
SELECT pg_try_advisory_lock(hashtextextended('eventrouter.flatten/' || :account, 0));

-- name: flatten_unlock^
SELECT pg_advisory_unlock(hashtextextended('eventrouter.flatten/' || :account, 0));

-- name: wait_for_claims
-- Until the transaction ends no claim begins, and those that had begun are over: see halt_key().
SELECT pg_advisory_xact_lock(halt_key());

-- name: probe
SELECT;

-- name: guarded_accounts
-- What the guardian of these accounts looks at: the latest state; what is held, [[contract, root], …]; whether something is held,
-- works or may be at the broker; whether a flattening of the account is not done; and the latest rows of its own scope, newest
-- first, [[action, actor, reason, at], …]; and the time.
SELECT a.account,
       (SELECT s.state FROM account_log s WHERE s.account = a.account COLLATE "C" AND s.mode = :mode ORDER BY s.seq DESC LIMIT 1),
       h.held,
       h.held <> '[]'
           OR EXISTS (SELECT FROM execution_tasks t
                      WHERE t.opening AND t.status = 'SENDING' AND t.account = a.account COLLATE "C" AND t.mode = :mode)
           OR EXISTS (SELECT FROM execution_tasks t
                      WHERE t.opening AND t.status IN ('UNKNOWN', 'ACCEPTED') AND t.account = a.account COLLATE "C" AND t.mode = :mode)
           OR EXISTS (SELECT FROM broker_orders b
                      WHERE b.account = a.account COLLATE "C" AND b.mode = :mode AND b.state IN ('WORKING', 'UNCLEAR')),
       EXISTS (SELECT FROM controls c
               WHERE c.scope = 'account:' || a.account AND c.action = 'flatten'
                 AND NOT EXISTS (SELECT FROM controls r WHERE r.scope = c.scope AND r.id > c.id AND r.action IN ('resume', 'flatten'))
                 AND NOT EXISTS (SELECT FROM account_log l
                                 WHERE l.account = a.account COLLATE "C" AND l.mode = :mode AND l.kind LIKE 'FLAT%%'
                                   AND l.kind = 'FLAT' AND l.detail ->> 'control' = c.id::TEXT)),
       (SELECT COALESCE(jsonb_agg(jsonb_build_array(k.action, k.actor, k.reason, k.created_at) ORDER BY k.id DESC), '[]')
        FROM (SELECT * FROM controls c WHERE c.scope = 'account:' || a.account ORDER BY c.id DESC LIMIT 20) k),
       clock_timestamp()
FROM unnest(:accounts::TEXT[]) AS a (account)
CROSS JOIN LATERAL (
    SELECT COALESCE(jsonb_agg(DISTINCT jsonb_build_array(o.contract, o.root)), '[]') AS held
    FROM holdings o WHERE o.account = a.account COLLATE "C" AND o.mode = :mode AND o.quantity <> 0
) h;

-- name: guard_lock^
SELECT pg_advisory_xact_lock(hashtextextended('eventrouter.guardian/' || :account, 0));
