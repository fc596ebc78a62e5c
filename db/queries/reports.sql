-- What people and programs look at. Lists are paged by id, newest first.

-- name: list_tasks
SELECT t.id, t.trade_id, t.event_type, t.status, t.attempts, t.last_error, t.payload, t.last_attempt_at, t.created_at, t.updated_at,
       t.signal_id, t.account, t.lane, t.mode, t.client_order_id, t.expires_at, t.run_at, t.worker, t.lease_until, t.version, t.plan
FROM execution_tasks t
WHERE (:status::TEXT IS NULL OR t.status = :status)
  AND (:account::TEXT IS NULL OR t.account = :account)
  AND (:trade_id::TEXT IS NULL OR t.trade_id = :trade_id)
  AND (:before::BIGINT IS NULL OR t.id < :before)
ORDER BY t.id DESC
LIMIT :limit;

-- name: one_task^
SELECT t.id, t.trade_id, t.event_type, t.status, t.attempts, t.last_error, t.payload, t.last_attempt_at, t.created_at, t.updated_at,
       t.signal_id, t.account, t.lane, t.mode, t.client_order_id, t.expires_at, t.run_at, t.worker, t.lease_until, t.version, t.plan,
       s.received_at, s.strategy
FROM execution_tasks t
LEFT JOIN automated_signals s ON s.id = t.signal_id
WHERE t.id = :task_id;

-- name: task_log
SELECT seq, prev_status, status, attempt, actor, reason, message, response_code, response_body, detail, run_at, lease_until, created_at
FROM execution_logs
WHERE task_id = :task_id
ORDER BY seq;

-- name: list_signals
SELECT s.id, s.signal_uid, s.duplicate_of, s.strategy, s.trade_id, s.event_type, s.code, s.message, s.field, s.content_type, s.source_ip,
       s.raw, s.parsed, s.received_at, s.created_at,
       COALESCE((SELECT array_agg(t.id ORDER BY t.id) FROM execution_tasks t
                 WHERE t.trade_id = ANY (COALESCE(s.trades, ARRAY[s.trade_id::TEXT])) AND t.signal_id = s.id), '{}') AS tasks
FROM automated_signals s
WHERE (:strategy::TEXT IS NULL OR s.strategy = :strategy)
  AND (:before::BIGINT IS NULL OR s.id < :before)
ORDER BY s.id DESC
LIMIT :limit;

-- name: dead_letters
SELECT t.id, t.trade_id, t.event_type, t.status, t.attempts, t.last_error, t.account, t.lane, t.mode, t.client_order_id, t.created_at,
       t.updated_at
FROM execution_tasks t
WHERE t.status IN ('FAILED', 'REVIEW') AND (:before::BIGINT IS NULL OR t.id < :before)
ORDER BY t.id DESC
LIMIT :limit;

-- name: open_counts
-- Open tasks of each account by status; finished ones are not counted, so this stays cheap for years.
SELECT t.account, t.status, count(*), min(t.created_at)
FROM execution_tasks t
WHERE t.status IN ('PENDING', 'SENDING', 'UNKNOWN', 'REVIEW') AND t.lane IS NOT NULL
GROUP BY 1, 2
UNION ALL
SELECT t.account, t.status, count(*), min(t.created_at)
FROM execution_tasks t
WHERE t.status IN ('HELD', 'ACCEPTED')
GROUP BY 1, 2
UNION ALL
SELECT NULL, t.status, count(*), min(t.created_at)
FROM execution_tasks t
WHERE t.status = 'PENDING' AND t.account IS NULL
GROUP BY 2;

-- name: all_logs
-- Payloads as text: jsonb has one text for one value, and Python cannot read every number and depth that it can hold.
SELECT task_id, seq, prev_status, status, attempt, reason, message, detail - 'payload', detail ->> 'payload', created_at, run_at,
       lease_until IS NOT NULL
FROM execution_logs
ORDER BY task_id, seq;

-- name: all_tasks
SELECT id, trade_id, event_type, jsonb_build_object('p', payload) ->> 'p',
       signal_id, account, lane, place, mode, client_order_id, expires_at, plan, status, attempts, version, last_error, last_attempt_at, run_at, created_at
FROM execution_tasks
ORDER BY id;

-- name: repeated_order_ids
SELECT client_order_id, array_agg(id ORDER BY id)
FROM execution_tasks
WHERE client_order_id IS NOT NULL
GROUP BY client_order_id
HAVING count(*) > 1;
