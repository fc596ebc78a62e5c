-- AFTER UPDATE on execution_tasks, whoever updates, other triggers included: each row must stand where its latest log row says.
CREATE OR REPLACE FUNCTION execution_tasks_prove() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM moved m
        LEFT JOIN execution_logs l ON l.task_id = m.id AND l.seq = m.version
        WHERE l.status IS DISTINCT FROM m.status OR l.attempt IS DISTINCT FROM m.attempts
    ) THEN
        RAISE EXCEPTION 'execution_tasks is moved only by its log: UPDATE without a log row refused'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Append a transition with append_log().';
    END IF;
    RETURN NULL;
END
$$;
