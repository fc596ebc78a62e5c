-- What is known of a dead letter, read anew from the log whenever it is looked at: {sent, steps, look_ups, orders, fills}.
--   sent      the intent: {seq, at, attempt, client_order_id, contract, direction, quantity, request_hash}, or null
--   steps     the last 20 rows from that intent on: {seq, at, status, reason, message, response_code, response_body, detail};
--             what was heard after the letter was opened, such as a late answer, is among them, what followed its end is not
--   look_ups  how often the broker was asked for it in vain
--   orders    the task's orders as the broker showed them, those of earlier generations too
--   fills     what is recorded as executed of the task, brackets too
CREATE OR REPLACE FUNCTION dead_letter_evidence(p_task_id BIGINT, p_opened_seq INTEGER, p_closed_seq INTEGER) RETURNS JSONB
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_sent execution_logs;
BEGIN
    SELECT * INTO v_sent FROM execution_logs l
    WHERE l.task_id = p_task_id AND l.seq < p_opened_seq AND l.status = 'SENDING' AND l.prev_status = 'PENDING'
    ORDER BY l.seq DESC LIMIT 1;
    RETURN jsonb_build_object(
        'sent', CASE WHEN v_sent.seq IS NOT NULL THEN jsonb_build_object(
            'seq', v_sent.seq, 'at', v_sent.created_at, 'attempt', v_sent.attempt,
            'client_order_id', v_sent.detail -> 'client_order_id', 'contract', v_sent.detail -> 'contract',
            'direction', v_sent.detail -> 'direction', 'quantity', v_sent.detail -> 'quantity',
            'request_hash', v_sent.detail -> 'request_hash') END,
        'steps', (SELECT COALESCE(jsonb_agg(s.step ORDER BY s.seq), '[]') FROM (
            SELECT l.seq, jsonb_build_object('seq', l.seq, 'at', l.created_at, 'status', l.status, 'reason', l.reason, 'message', l.message,
                                             'response_code', l.response_code, 'response_body', left(l.response_body, 2000),
                                             'detail', l.detail) AS step
            FROM execution_logs l
            WHERE l.task_id = p_task_id AND l.seq > COALESCE(v_sent.seq, 1) AND (p_closed_seq IS NULL OR l.seq < p_closed_seq)
            ORDER BY l.seq DESC LIMIT 20) s),
        'look_ups', (SELECT count(*) FROM execution_logs l
                     WHERE l.task_id = p_task_id AND l.seq > COALESCE(v_sent.seq, 1) AND (p_closed_seq IS NULL OR l.seq < p_closed_seq)
                       AND l.reason IN ('NOT_FOUND', 'NOT_PROVEN')),
        'orders', (SELECT COALESCE(jsonb_agg(jsonb_build_object(
                              'order_id', b.order_id, 'client_order_id', b.client_order_id, 'role', b.role, 'contract', b.contract, 'side', b.side,
                              'quantity', b.quantity::TEXT, 'filled', b.filled::TEXT, 'state', b.state, 'placed_at', b.placed_at)
                              ORDER BY b.placed_at, b.order_id), '[]')
                   FROM broker_orders b
                   JOIN execution_tasks t ON t.id = p_task_id AND t.trade_id = b.trade_id AND t.account = b.account
                   WHERE b.task_id = p_task_id),
        'fills', (SELECT COALESCE(jsonb_agg(jsonb_build_object(
                             'fill_id', f.fill_id, 'order_id', f.order_id, 'contract', f.contract, 'side', f.side, 'quantity', f.quantity::TEXT,
                             'price', f.price::TEXT, 'at', f.filled_at) ORDER BY f.filled_at, f.fill_id), '[]')
                  FROM fills f
                  JOIN execution_tasks t ON t.id = p_task_id AND t.trade_id = f.trade_id AND t.account = f.account
                  WHERE f.task_id = p_task_id));
END
$$;
