-- Refuses every UPDATE, DELETE and TRUNCATE of the log, the owner's too.
CREATE OR REPLACE FUNCTION execution_logs_guard() RETURNS TRIGGER
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RAISE EXCEPTION 'execution_logs is append-only: % refused', TG_OP
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = 'History is corrected by a further row, never by changing one.';
END
$$;
