-- Enqueues an exit that nobody asked for and that cannot wait: for the same trade and account as a task, in its mode.
-- Returns null when an exit of the trade is waiting already, since that one will see what is held when it is sent; with
-- p_once also when the trade has had one of this kind before. The symbol is the task's, so that it runs in the same lane.
CREATE OR REPLACE FUNCTION enqueue_protection(p_task_id BIGINT, p_event_type TEXT, p_reason TEXT, p_once BOOLEAN) RETURNS BIGINT
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    v_task execution_tasks;
    v_id   BIGINT;
BEGIN
    IF p_event_type !~ '^EXIT_' THEN
        RAISE EXCEPTION '% closes nothing', p_event_type USING ERRCODE = 'check_violation';
    END IF;
    SELECT * INTO STRICT v_task FROM execution_tasks t WHERE t.id = p_task_id;
    IF EXISTS (SELECT FROM execution_tasks t
               WHERE t.trade_id = v_task.trade_id AND t.account = v_task.account AND NOT t.opening AND t.mode = v_task.mode
                 AND t.event_type LIKE 'EXIT%'
                 AND (t.status IN ('PENDING', 'HELD') OR p_once AND t.event_type = p_event_type)) THEN
        RETURN NULL;
    END IF;
    INSERT INTO execution_tasks (trade_id, event_type, payload, account, mode, signal_id)
    VALUES (v_task.trade_id, p_event_type,
            jsonb_strip_nulls(jsonb_build_object('symbol', v_task.payload ->> 'symbol', 'strategy', v_task.payload ->> 'strategy',
                                                 'reason', p_reason, 'caused_by', v_task.id)),
            v_task.account, v_task.mode, v_task.signal_id)
    RETURNING id INTO v_id;
    RETURN v_id;
END
$$;
