-- The one writer of history: appends a log row to each task that still stands at the expected version, and returns the
-- rows it appended. A task that moved on in the meantime is left out of the answer: the caller looks again.
-- All arrays are of one length, one element a task, sorted by task id. p_wake: somebody else may have work now.
CREATE OR REPLACE FUNCTION append_log(
    p_actor           TEXT,
    p_wake            BOOLEAN,
    p_task_ids        BIGINT[],
    p_versions        INTEGER[],
    p_statuses        TEXT[],
    p_reasons         TEXT[],
    p_messages        TEXT[],
    p_response_codes  INTEGER[],
    p_response_bodies TEXT[],
    p_response_raws   BYTEA[],
    p_details         TEXT[],
    p_run_ins         FLOAT8[],  -- seconds from now until the task is due again
    p_leases          FLOAT8[]   -- seconds from now until the lease ends
) RETURNS TABLE (task_id BIGINT, seq INTEGER, prev_status TEXT, attempt INTEGER, created_at TIMESTAMPTZ)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    IF 'ROUTED' = ANY (p_reasons) THEN
        RAISE EXCEPTION 'a task is routed by route_task()' USING ERRCODE = 'check_violation';
    END IF;
    RETURN QUERY
    INSERT INTO execution_logs AS l (task_id, seq, prev_status, status, attempt, actor, reason, message, response_code,
                                     response_body, response_raw, detail, run_at, lease_until)
    SELECT t.id, t.version + 1, t.status, e.status,
           t.attempts + (t.status = 'PENDING' AND e.status = 'SENDING')::INTEGER,
           p_actor, e.reason, e.message, e.response_code, e.response_body, e.response_raw,
           COALESCE(e.detail::JSONB, '{}')
               -- a new generation: what was sent before and what is sent now can be told apart at the broker
               || CASE WHEN e.reason = 'OPERATOR_RETRY' AND e.status = 'PENDING' AND t.status IN ('FAILED', 'REVIEW')
                       THEN jsonb_build_object('client_order_id', draw_client_order_id()) ELSE '{}' END,
           CASE WHEN e.run_in IS NOT NULL THEN clock_timestamp() + make_interval(secs => LEAST(GREATEST(e.run_in, 0), 31536000)) END,
           CASE WHEN e.lease IS NOT NULL THEN clock_timestamp() + make_interval(secs => LEAST(GREATEST(e.lease, 0), 86400)) END
    FROM unnest(p_task_ids, p_versions, p_statuses, p_reasons, p_messages, p_response_codes, p_response_bodies,
                p_response_raws, p_details, p_run_ins, p_leases) WITH ORDINALITY
             AS e (task_id, version, status, reason, message, response_code, response_body, response_raw, detail, run_in,
                   lease, ord)
    JOIN execution_tasks t ON t.id = e.task_id AND t.version = e.version
    ORDER BY e.ord
    -- somebody else is appending the same seq: theirs counts
    ON CONFLICT ON CONSTRAINT execution_logs_task_seq DO NOTHING
    RETURNING l.task_id, l.seq, l.prev_status::TEXT, l.attempt, l.created_at;
    IF p_wake THEN
        PERFORM pg_notify('eventrouter_tasks', '');
    END IF;
END
$$;
