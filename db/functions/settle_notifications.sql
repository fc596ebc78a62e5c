-- Writes what became of an attempt: for each notification the receivers that took it now, what went wrong (null: nothing), and in how
-- many seconds it is tried again (null: never). Only for the worker that holds it: one whose lease ended has been overtaken.
-- p_results: [{id, reached, error, again_in_s, sent}]. Returns how many still wait.
CREATE OR REPLACE FUNCTION settle_notifications(p_worker TEXT, p_results JSONB) RETURNS BIGINT
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    UPDATE notifications n
    SET attempts = n.attempts + 1,
        reached = ARRAY(SELECT DISTINCT u FROM unnest(n.reached || r.reached) u ORDER BY u),
        last_error = COALESCE(r.error, n.last_error),
        due_at = clock_timestamp() + make_interval(secs => r.again_in_s),
        sent_at = CASE WHEN r.sent THEN clock_timestamp() END,
        worker = NULL,
        claimed_until = NULL
    FROM jsonb_to_recordset(p_results) AS r (id BIGINT, reached TEXT[], error TEXT, again_in_s FLOAT8, sent BOOLEAN)
    WHERE n.id = r.id AND n.worker = p_worker;
    RETURN (SELECT count(*) FROM notifications w WHERE w.due_at IS NOT NULL);
END
$$;
