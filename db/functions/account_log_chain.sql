-- BEFORE INSERT on account_log, for each row: chains it to the row before of the same account and mode.
CREATE OR REPLACE FUNCTION account_log_chain() RETURNS TRIGGER
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    v_previous BYTEA;
BEGIN
    SELECT l.hash INTO v_previous FROM account_log l WHERE l.account = NEW.account AND l.mode = NEW.mode AND l.seq = NEW.seq - 1;
    NEW.hash := sha256(COALESCE(v_previous, '\x0000000000000000000000000000000000000000000000000000000000000000') || convert_to(json_build_array(
        1, NEW.account, NEW.mode, NEW.seq, NEW.kind, NEW.actor, NEW.message, NEW.detail, NEW.state,
        (EXTRACT(EPOCH FROM NEW.created_at) * 1000000)::BIGINT)::TEXT, 'UTF8'));
    RETURN NEW;
END
$$;
