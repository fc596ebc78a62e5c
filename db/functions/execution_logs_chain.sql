-- BEFORE INSERT on execution_logs, for each row: chains it to the task's row before, whoever writes it. Rows of one task in one
-- statement are chained in turn. A row without a predecessor starts a chain; the fold refuses it unless it is the first.
CREATE OR REPLACE FUNCTION execution_logs_chain() RETURNS TRIGGER
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    v_previous BYTEA;
BEGIN
    IF NEW.seq > 1 THEN
        SELECT l.hash INTO v_previous FROM execution_logs l WHERE l.task_id = NEW.task_id AND l.seq = NEW.seq - 1;
    END IF;
    -- JSON's text of a JSONB value has one form only: keys in order, no repeats
    NEW.hash := sha256(COALESCE(v_previous, '\x0000000000000000000000000000000000000000000000000000000000000000') || convert_to(json_build_array(
        1, NEW.task_id, NEW.seq, NEW.prev_status, NEW.status, NEW.attempt, NEW.actor, NEW.reason, NEW.message,
        NEW.response_code, NEW.response_body, encode(NEW.response_raw, 'hex'), NEW.detail,
        (EXTRACT(EPOCH FROM NEW.run_at) * 1000000)::BIGINT, (EXTRACT(EPOCH FROM NEW.lease_until) * 1000000)::BIGINT,
        (EXTRACT(EPOCH FROM NEW.created_at) * 1000000)::BIGINT)::TEXT, 'UTF8'));
    RETURN NEW;
END
$$;
