-- What a scrape reads: each statement walks an index from one end and stops at a limit, whatever is stored.

-- name: metrics_settings
-- For this transaction: the planner keeps to the indexes, and gives up before the scrape does.
SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true), set_config('statement_timeout', '2500ms', true);

-- name: queue_figures
-- Status, how many tasks, and seconds since the oldest of them was sent, or enqueued. Sorted by the index, so that LIMIT ends the
-- walk; the oldest PENDING one is the first of a lane, or the first that no lane has yet.
SELECT q.status, q.count, GREATEST(0, EXTRACT(EPOCH FROM clock_timestamp() - q.oldest))::FLOAT8 AS age_s
FROM (
    SELECT 'PENDING' AS status,
           (SELECT count(*) FROM (SELECT FROM execution_tasks t WHERE t.status = 'PENDING'
                                  ORDER BY t.lane, t.place, t.id LIMIT 50000) x) AS count,
           LEAST((SELECT min(f.created_at) FROM active_lanes() a
                  CROSS JOIN LATERAL (SELECT t.created_at FROM execution_tasks t
                                      WHERE t.lane = a.lane AND t.status = 'PENDING' ORDER BY t.place, t.id LIMIT 1) f),
                 (SELECT t.created_at FROM execution_tasks t
                  WHERE t.status = 'PENDING' AND t.account IS NULL ORDER BY t.id LIMIT 1)) AS oldest
    UNION ALL
    SELECT 'SENDING', count(*), min(x.last_attempt_at)
    FROM (SELECT t.last_attempt_at FROM execution_tasks t WHERE t.status = 'SENDING' ORDER BY t.lane, t.lease_until LIMIT 10000) x
    UNION ALL
    SELECT s.status, x.count, x.oldest
    FROM (VALUES ('HELD'), ('UNKNOWN'), ('REVIEW'), ('ACCEPTED')) AS s (status)
    CROSS JOIN LATERAL (
        SELECT count(*), min(COALESCE(y.last_attempt_at, y.created_at)) AS oldest
        FROM (SELECT t.last_attempt_at, t.created_at FROM execution_tasks t
              WHERE t.status = s.status AND t.status IN ('HELD', 'UNKNOWN', 'REVIEW', 'ACCEPTED', 'FAILED')
              ORDER BY t.status, t.created_at LIMIT 10000) y) x
) q;

-- name: dead_letter_figures
SELECT x.status, count(*), GREATEST(0, EXTRACT(EPOCH FROM clock_timestamp() - min(x.opened_at)))::FLOAT8 AS age_s
FROM (SELECT d.status, d.opened_at FROM dead_letters d WHERE d.closed_seq IS NULL ORDER BY d.task_id LIMIT 10000) x
GROUP BY x.status;

-- name: halt_figures
-- How many scopes stand under each control, found by skipping from scope to scope.
WITH RECURSIVE latest (scope, action) AS (
    (SELECT c.scope, c.action FROM controls c ORDER BY c.scope, c.id DESC LIMIT 1)
    UNION ALL
    SELECT n.scope, n.action
    FROM latest l
    CROSS JOIN LATERAL (SELECT c.scope, c.action FROM controls c WHERE c.scope > l.scope ORDER BY c.scope, c.id DESC LIMIT 1) n
)
SELECT action, count(*) FROM (SELECT action FROM latest LIMIT 10000) s WHERE action <> 'resume' GROUP BY action;

-- name: account_figures
-- Of each of these accounts whether its live book is out of sync, and how many contracts it holds in each mode.
SELECT a.name, COALESCE(s.out_of_sync, FALSE) AS out_of_sync, h.live, h.dry
FROM unnest(:accounts::TEXT[]) AS a (name)
LEFT JOIN LATERAL (SELECT l.state ->> 'out_of_sync' IS NOT NULL AS out_of_sync FROM account_log l
                   WHERE l.account = a.name COLLATE "C" AND l.mode = 'live' ORDER BY l.seq DESC LIMIT 1) s ON TRUE
CROSS JOIN LATERAL (
    SELECT COALESCE(sum(abs(o.quantity)) FILTER (WHERE o.mode = 'live'), 0)::FLOAT8 AS live,
           COALESCE(sum(abs(o.quantity)) FILTER (WHERE o.mode = 'dry'), 0)::FLOAT8 AS dry
    FROM (SELECT p.mode, p.quantity FROM holdings p
          WHERE p.account = a.name COLLATE "C" AND p.mode IN ('dry', 'live') AND p.quantity <> 0 LIMIT 10000) o
) h;

-- name: seal_figures^
-- Seconds since the last seal (null: there is none), and since the oldest log row that none covers was written (null: none).
SELECT GREATEST(0, EXTRACT(EPOCH FROM clock_timestamp() - s.made_at))::FLOAT8 AS age_s,
       GREATEST(0, EXTRACT(EPOCH FROM clock_timestamp() - u.created_at))::FLOAT8 AS unsealed_s
FROM (SELECT) one
LEFT JOIN LATERAL (SELECT made_at, to_xid FROM seals ORDER BY id DESC LIMIT 1) s ON TRUE
LEFT JOIN LATERAL (SELECT l.created_at FROM execution_logs l WHERE l.xid >= COALESCE(s.to_xid, '0') ORDER BY l.xid LIMIT 1) u ON TRUE;

-- name: transaction_figures^
SELECT oldest_s, hidden FROM open_transactions();

-- name: table_figures
-- The tables that every task writes.
SELECT s.relname AS name, s.n_live_tup::FLOAT8 AS live, s.n_dead_tup::FLOAT8 AS dead,
       COALESCE(EXTRACT(EPOCH FROM s.last_autovacuum), 0)::FLOAT8 AS vacuumed_at
FROM pg_stat_user_tables s
WHERE s.schemaname = current_schema()
  AND s.relname IN ('automated_signals', 'execution_tasks', 'execution_logs', 'account_log', 'broker_orders', 'fills', 'holdings',
                    'connection_states', 'notifications');
