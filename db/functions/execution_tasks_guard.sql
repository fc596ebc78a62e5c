-- Refuses every direct UPDATE, DELETE and TRUNCATE of execution_tasks, the owner's too.
CREATE OR REPLACE FUNCTION execution_tasks_guard() RETURNS TRIGGER
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RAISE EXCEPTION 'execution_tasks is moved only by its log: % refused', TG_OP
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = 'Append a transition with append_log(), or use: eventrouter retry | discard | approve | refuse TASK.';
END
$$;
