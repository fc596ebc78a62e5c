-- Whether the broker has shown the order that a task's only attempt placed. Its one send has arrived by then, and no second one
-- will: what it did and may still do is read from its order and its fills. After a second attempt nobody can say which one it was.
CREATE OR REPLACE FUNCTION order_is_shown(p_task_id BIGINT, p_account TEXT) RETURNS BOOLEAN
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM execution_tasks t
                   JOIN broker_orders b ON b.task_id = t.id AND b.account = p_account COLLATE "C" AND b.role IN ('entry', 'exit')
                   WHERE t.id = p_task_id AND t.attempts = 1);
END
$$;
