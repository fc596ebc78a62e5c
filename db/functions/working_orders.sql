-- A trade's orders that may still fill, its brackets too: [{task, version, status, order, role, contract, side, quantity, filled,
-- limit_price, stop_price, asked, asked_by, asked_at, first_at, answer, late}, …] in the order of their tasks. Numbers are texts.
--   asked     the size that was asked of it last, 0 to withdraw it; null: nothing was asked of it
--   asked_by  the task that asked it; null: no task did
--   asked_at  when; first_at: when the same was asked first by the same task
--   asker     the router that asked; times: how often the same task has asked the same
--   by_status  the status of the task that asked; was: what might fill before, where it was made smaller
--   late      whether it is an entry whose trade was closed after it came, or of before a retry that was sent
--   answer    what the broker answered to that, null while it has not; said: in its words
CREATE OR REPLACE FUNCTION working_orders(p_trade_id TEXT, p_account TEXT, p_mode TEXT, p_task_id BIGINT) RETURNS JSONB
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    RETURN (SELECT COALESCE(jsonb_agg(jsonb_build_object(
                'task', t.id, 'version', t.version, 'status', t.status, 'order', b.order_id, 'role', b.role, 'contract', b.contract,
                'side', b.side, 'quantity', b.quantity::TEXT, 'filled', b.filled::TEXT, 'limit_price', b.limit_price::TEXT,
                'stop_price', b.stop_price::TEXT, 'asked', q.asked, 'asked_by', q.asked_by, 'asked_at', q.asked_at, 'first_at', q.first_at, 'answer', a.answer,
                'asker', q.asker, 'times', q.times, 'said', a.said, 'was', q.was,
                'late', b.role = 'entry' AND is_closed_before(t.id)
                        OR b.role IN ('entry', 'exit') AND is_superseded(t.id, b.client_order_id),
                'by_status', (SELECT y.status FROM execution_tasks y WHERE y.id = q.asked_by))
                ORDER BY t.id, b.order_id), '[]')
            FROM broker_orders b
            JOIN execution_tasks t ON t.id = b.task_id
            LEFT JOIN LATERAL (
                SELECT l.detail -> 'orders' ->> b.order_id AS asked, (l.detail ->> 'by')::BIGINT AS asked_by, l.created_at AS asked_at, l.seq,
                       l.actor AS asker, l.detail -> 'from' ->> b.order_id AS was, x.first_at, x.times
                FROM execution_logs l
                CROSS JOIN LATERAL (
                    SELECT min(f.created_at) AS first_at, count(*) AS times FROM execution_logs f
                    WHERE f.task_id = t.id AND f.reason IN ('CANCEL_REQUESTED', 'RESIZE_REQUESTED')
                      AND f.detail -> 'orders' ->> b.order_id = l.detail -> 'orders' ->> b.order_id
                      AND f.detail ->> 'by' IS NOT DISTINCT FROM l.detail ->> 'by') x
                WHERE l.task_id = t.id AND l.reason IN ('CANCEL_REQUESTED', 'RESIZE_REQUESTED') AND l.detail -> 'orders' ? b.order_id
                ORDER BY l.seq DESC LIMIT 1) q ON TRUE
            LEFT JOIN LATERAL (
                SELECT l.detail ->> 'outcome' AS answer, left(l.message, 300) AS said FROM execution_logs l
                WHERE l.task_id = t.id AND l.seq > q.seq AND l.reason IN ('CANCEL_ANSWERED', 'RESIZE_ANSWERED')
                  AND l.detail ->> 'order' = b.order_id
                ORDER BY l.seq DESC LIMIT 1) a ON TRUE
            WHERE b.account = p_account COLLATE "C" AND b.mode = p_mode AND b.state IN ('WORKING', 'UNCLEAR') AND b.role <> 'foreign'
              AND t.trade_id = p_trade_id COLLATE "default" AND t.id <> p_task_id);
END
$$;
