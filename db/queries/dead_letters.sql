-- Dead letters, and what must be known before one is sent again.

-- name: letters
-- The newest first; `letter` is their own number, `id` their task's.
SELECT d.id AS letter, d.task_id AS id, d.status, d.code, l.message, d.client_order_id, d.opened_at, d.closed_at, d.closed_by, d.closed_how,
       d.closed_reason, t.trade_id, t.event_type, t.account, t.lane, t.mode, t.attempts, t.last_error, t.created_at, t.updated_at,
       t.status AS task_status, t.retry_of, dead_letter_evidence(d.task_id, d.opened_seq, d.closed_seq) AS evidence
FROM (SELECT * FROM dead_letters x
      WHERE (:closed OR x.closed_seq IS NULL) AND (:task::BIGINT IS NULL OR x.task_id = :task) AND (:before::BIGINT IS NULL OR x.id < :before)
      ORDER BY x.id DESC
      LIMIT :limit) d
JOIN execution_tasks t ON t.id = d.task_id
JOIN execution_logs l ON l.task_id = d.task_id AND l.seq = d.opened_seq
ORDER BY d.id DESC;

-- name: retry_facts^
-- A task, what is recorded of its own orders, what its trade holds, and where the broker holds something else than we know of.
SELECT t.version, t.status, t.event_type, t.opening, t.trade_id, t.account, t.mode, t.payload, t.client_order_id, t.expires_at,
       COALESCE(s.received_at, t.created_at) AS received_at, clock_timestamp() AS now,
       (SELECT l.detail FROM execution_logs l WHERE l.task_id = t.id AND l.status = 'SENDING' AND l.prev_status = 'PENDING'
        ORDER BY l.seq DESC LIMIT 1) AS intent,
       (SELECT COALESCE(jsonb_object_agg(f.contract, f.filled::TEXT), '{}') FROM (
            SELECT x.contract, sum(CASE WHEN right(x.fill_id, 7) = ':voided' THEN -x.quantity ELSE x.quantity END) AS filled
            FROM fills x
            LEFT JOIN broker_orders o ON o.account = x.account AND o.order_id = x.order_id
            WHERE x.trade_id = t.trade_id AND x.account = t.account AND x.task_id = t.id AND COALESCE(o.role, 'entry') IN ('entry', 'exit')
            GROUP BY x.contract) f
        WHERE f.filled <> 0) AS filled,
       (SELECT COALESCE(jsonb_agg(jsonb_build_array(o.order_id, o.side, (o.quantity - o.filled)::TEXT, o.contract) ORDER BY o.order_id), '[]')
        FROM broker_orders o
        WHERE o.trade_id = t.trade_id AND o.account = t.account AND o.task_id = t.id AND o.role IN ('entry', 'exit')
          AND o.state IN ('WORKING', 'UNCLEAR')) AS working,
       (SELECT COALESCE(jsonb_agg(jsonb_build_array(o.order_id, o.side, o.quantity::TEXT, o.filled::TEXT, o.contract, o.state)
                                  ORDER BY o.placed_at, o.order_id), '[]')
        FROM broker_orders o
        WHERE o.trade_id = t.trade_id AND o.account = t.account AND o.task_id = t.id AND o.role IN ('entry', 'exit')) AS orders,
       (SELECT l.created_at FROM execution_logs l
        WHERE t.status = 'ACCEPTED' AND l.task_id = t.id AND l.status = 'ACCEPTED' AND l.prev_status <> 'ACCEPTED'
        ORDER BY l.seq DESC LIMIT 1) AS accepted_at,
       (SELECT COALESCE(jsonb_object_agg(h.contract, h.quantity::TEXT), '{}') FROM holdings h
        WHERE h.account = t.account AND h.mode = t.mode AND h.trade_id = t.trade_id AND h.quantity <> 0) AS held,
       (SELECT CASE WHEN b.state ->> 'out_of_sync' IS NOT NULL THEN (
                   SELECT d.detail -> 'differences' FROM account_log d
                   WHERE d.account = t.account AND d.mode = t.mode AND d.kind = 'OUT_OF_SYNC' ORDER BY d.seq DESC LIMIT 1) END
        FROM account_log b WHERE b.account = t.account AND b.mode = t.mode ORDER BY b.seq DESC LIMIT 1) AS differences
FROM execution_tasks t
LEFT JOIN automated_signals s ON s.id = t.signal_id
WHERE t.id = :task_id;

-- name: enqueue_retry
SELECT enqueue_retry(:task_id, :payload, :expires_at);

-- name: letters_astray
-- Letters and the log rows that open and close them, where one lacks the other or says something else.
WITH told AS (
    SELECT o.task_id, o.seq, o.status, o.reason, o.created_at, c.seq AS end_seq, c.created_at AS end_at, c.actor, c.reason AS how, c.message,
           (SELECT i.detail ->> 'client_order_id' FROM execution_logs i
            WHERE i.task_id = o.task_id AND i.seq <= o.seq AND i.reason IN ('ENQUEUED', 'ROUTED', 'OPERATOR_RETRY')
              AND i.detail ->> 'client_order_id' IS NOT NULL
            ORDER BY i.seq DESC LIMIT 1) AS client_order_id
    FROM execution_logs o
    LEFT JOIN LATERAL (SELECT l.* FROM execution_logs l
                       WHERE l.task_id = o.task_id AND l.seq > o.seq AND l.status <> l.prev_status
                       ORDER BY l.seq LIMIT 1) c ON TRUE
    WHERE o.status IN ('FAILED', 'REVIEW') AND o.prev_status <> o.status
)
SELECT task_id, seq,
       CASE WHEN t.status IS NOT NULL THEN concat_ws(' ', t.status, t.reason, 'at', t.created_at, 'as', t.client_order_id, 'until row', t.end_seq, t.how,
                                                     'by', t.actor) END,
       CASE WHEN d.id IS NOT NULL THEN concat_ws(' ', d.status, d.code, 'at', d.opened_at, 'as', d.client_order_id, 'until row', d.closed_seq,
                                                 d.closed_how, 'by', d.closed_by) END
FROM told t
FULL JOIN (SELECT x.*, x.opened_seq AS seq FROM dead_letters x) d USING (task_id, seq)
WHERE (t.status, t.reason, t.created_at, t.client_order_id, t.end_seq, t.end_at, t.actor, t.how, t.message)
      IS DISTINCT FROM (d.status, d.code, d.opened_at, d.client_order_id, d.closed_seq, d.closed_at, d.closed_by, d.closed_how, d.closed_reason)
ORDER BY 1, 2;
