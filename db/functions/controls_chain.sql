-- BEFORE INSERT on controls, for each row: chains it to the row before. set_control() writes one at a time.
CREATE OR REPLACE FUNCTION controls_chain() RETURNS TRIGGER
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    v_previous BYTEA;
BEGIN
    SELECT c.hash INTO v_previous FROM controls c WHERE c.id < NEW.id ORDER BY c.id DESC LIMIT 1;
    NEW.hash := sha256(COALESCE(v_previous, '\x0000000000000000000000000000000000000000000000000000000000000000') || convert_to(json_build_array(
        1, NEW.id, NEW.scope, NEW.action, NEW.actor, NEW.reason,
        (EXTRACT(EPOCH FROM NEW.created_at) * 1000000)::BIGINT)::TEXT, 'UTF8'));
    RETURN NEW;
END
$$;
