-- AFTER INSERT on execution_logs: carries each new row into its task. A row that does not follow the task's present state
-- (wrong seq, previous status or attempt, or two rows of one task at once) stops the statement.
CREATE OR REPLACE FUNCTION execution_logs_fold() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_wanted  BIGINT;
    v_applied BIGINT;
    v_routed  BOOLEAN;
    v_retried BOOLEAN;
BEGIN
    SELECT count(*), bool_or(n.reason = 'ROUTED'), bool_or(n.reason = 'OPERATOR_RETRY')
    INTO v_wanted, v_routed, v_retried
    FROM fresh n WHERE n.seq > 1;
    IF v_wanted = 0 THEN
        RETURN NULL;
    END IF;
    UPDATE execution_tasks t
    SET status = n.status,
        version = n.seq,
        head = n.hash,
        attempts = n.attempt,
        last_error = CASE WHEN n.status IN ('SENDING', 'ACCEPTED', 'SUCCESS', 'HELD') THEN NULL
                          WHEN n.status = n.prev_status THEN t.last_error
                          ELSE n.message END,
        last_attempt_at = CASE WHEN n.lease_until IS NOT NULL THEN n.created_at ELSE t.last_attempt_at END,
        run_at = COALESCE(n.run_at, t.run_at),
        worker = CASE WHEN n.lease_until IS NOT NULL THEN n.actor ELSE t.worker END,
        lease_until = CASE WHEN n.status = n.prev_status THEN t.lease_until ELSE n.lease_until END,
        updated_at = n.created_at
    FROM fresh n
    WHERE t.id = n.task_id
      AND n.seq = t.version + 1
      AND n.prev_status = t.status
      AND n.attempt = t.attempts + (n.lease_until IS NOT NULL)::INTEGER;
    GET DIAGNOSTICS v_applied = ROW_COUNT;
    IF v_applied <> v_wanted THEN
        RAISE EXCEPTION '% of % log rows do not follow their task''s present state', v_wanted - v_applied, v_wanted
            USING ERRCODE = 'check_violation',
                  HINT = 'Append with append_log() and the version that you have read.';
    END IF;
    IF v_routed THEN
        UPDATE execution_tasks t
        SET account = n.detail ->> 'account',
            lane = n.detail ->> 'lane',
            mode = n.detail ->> 'mode',
            client_order_id = n.detail ->> 'client_order_id',
            expires_at = (n.detail ->> 'expires_at')::TIMESTAMPTZ,
            plan = NULLIF(n.detail -> 'plan', 'null')
        FROM fresh n
        WHERE t.id = n.task_id AND n.reason = 'ROUTED';
    END IF;
    IF v_retried THEN
        UPDATE execution_tasks t
        SET client_order_id = n.detail ->> 'client_order_id',
            expires_at = COALESCE((n.detail ->> 'expires_at')::TIMESTAMPTZ, t.expires_at)
        FROM fresh n
        WHERE t.id = n.task_id AND n.reason = 'OPERATOR_RETRY' AND n.prev_status IN ('FAILED', 'REVIEW') AND n.detail ? 'client_order_id';
    END IF;
    RETURN NULL;
END
$$;
