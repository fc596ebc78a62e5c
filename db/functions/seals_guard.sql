-- Refuses every UPDATE, DELETE and TRUNCATE of the seals, the owner's too.
CREATE OR REPLACE FUNCTION seals_guard() RETURNS TRIGGER
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'A seal is followed by the next one, and never changed.';
END
$$;
