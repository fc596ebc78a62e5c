-- AFTER INSERT on execution_tasks: a hint for the routers. Payload and channel are constant, so that the notifications
-- of one transaction collapse into one.
CREATE OR REPLACE FUNCTION execution_tasks_notify() RETURNS TRIGGER
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    PERFORM pg_notify('eventrouter_tasks', '');
    RETURN NULL;
END
$$;
