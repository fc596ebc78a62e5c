-- Refuses every UPDATE, DELETE and TRUNCATE of fills and account_log, the owner's too, and of holdings but by their trigger.
CREATE OR REPLACE FUNCTION account_history_guard() RETURNS TRIGGER
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    RAISE EXCEPTION '% is written only by what happened: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = 'A fill is corrected by a further one that takes it back; holdings follow fills.';
END
$$;
