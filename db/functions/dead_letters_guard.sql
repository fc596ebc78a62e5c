-- Refuses whatever somebody types against dead_letters, the owner too: the log rows of their tasks open and close them.
CREATE OR REPLACE FUNCTION dead_letters_guard() RETURNS TRIGGER
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RAISE EXCEPTION 'dead_letters is written only by the log of its tasks: % refused', TG_OP
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = 'Act on the task, and its letter follows: eventrouter retry | discard | resolve TASK.';
END
$$;
