-- For any language: enqueues a task in the caller's transaction and returns its id. Without an account a router routes it.
CREATE OR REPLACE FUNCTION enqueue_execution_task(
    trade_id TEXT, event_type TEXT, payload JSONB DEFAULT NULL, account TEXT DEFAULT NULL
) RETURNS BIGINT
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    v_id BIGINT;
BEGIN
    INSERT INTO execution_tasks AS t (trade_id, event_type, payload, account)
    VALUES (enqueue_execution_task.trade_id, enqueue_execution_task.event_type, enqueue_execution_task.payload,
            NULLIF(enqueue_execution_task.account, ''))
    RETURNING t.id INTO v_id;
    RETURN v_id;
END
$$;
