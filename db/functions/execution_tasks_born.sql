-- AFTER INSERT on execution_tasks: log row 1 of each new task, which carries everything needed to rebuild its row.
CREATE OR REPLACE FUNCTION execution_tasks_born() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO execution_logs (task_id, seq, prev_status, status, attempt, actor, reason, detail)
    SELECT n.id, 1, NULL, n.status, n.attempts, 'enqueue', 'ENQUEUED',
           jsonb_build_object('trade_id', n.trade_id, 'event_type', n.event_type, 'payload', n.payload, 'signal_id', n.signal_id,
                              'account', n.account, 'lane', n.lane, 'place', n.place, 'mode', n.mode,
                              'client_order_id', n.client_order_id, 'expires_at', n.expires_at, 'plan', n.plan,
                              'retry_of', n.retry_of)
    FROM born n
    ORDER BY n.id;
    RETURN NULL;
END
$$;
