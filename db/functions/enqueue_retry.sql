-- Enqueues a task that was changed and is to be sent again as another one, at the same place in its lane, and returns the new id.
-- The first one must have been withdrawn for that in this very transaction, so that never both can be sent; and never a second time.
CREATE OR REPLACE FUNCTION enqueue_retry(p_task_id BIGINT, p_payload TEXT, p_expires_at TIMESTAMPTZ) RETURNS BIGINT
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    v_id BIGINT;
BEGIN
    INSERT INTO execution_tasks (trade_id, event_type, payload, account, place, mode, signal_id, expires_at, plan, retry_of)
    SELECT t.trade_id, t.event_type, p_payload::JSONB, t.account, t.place, t.mode, t.signal_id, p_expires_at, t.plan, t.id
    FROM execution_tasks t
    JOIN execution_logs l ON l.task_id = t.id AND l.seq = t.version
    WHERE t.id = p_task_id AND t.status = 'CANCELLED' AND l.reason = 'OPERATOR_REPLACE' AND l.xid = pg_current_xact_id()
      AND NOT EXISTS (SELECT FROM execution_tasks r
                      WHERE r.trade_id = t.trade_id AND r.account = t.account AND r.opening = t.opening AND r.retry_of = t.id)
    RETURNING id INTO STRICT v_id;
    RETURN v_id;
END
$$;
