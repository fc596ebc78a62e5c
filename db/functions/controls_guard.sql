-- Refuses every UPDATE, DELETE and TRUNCATE of the controls, the owner's too.
CREATE OR REPLACE FUNCTION controls_guard() RETURNS TRIGGER
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RAISE EXCEPTION 'controls is append-only: % refused', TG_OP
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = 'What stands is changed by a further row: halt, resume or flatten again.';
END
$$;
