-- Takes what is to be sent now, for p_lease_s seconds: as soon as one notification has waited long enough, all new ones go with it.
-- Nothing where another worker is sending, or where p_per_minute messages left within the last minute. What was done with three
-- months ago is forgotten.
CREATE OR REPLACE FUNCTION claim_notifications(p_worker TEXT, p_lease_s FLOAT8, p_per_minute INTEGER, p_most INTEGER)
RETURNS TABLE (
    id BIGINT, kind TEXT, severity TEXT, title TEXT, body TEXT, account TEXT, task_id BIGINT, created_at TIMESTAMPTZ,
    attempts INTEGER, reached TEXT[], waiting BIGINT
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    v_now    TIMESTAMPTZ;
    v_rounds TIMESTAMPTZ[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('eventrouter.notifications', 0));
    v_now := clock_timestamp();
    IF NOT EXISTS (SELECT FROM notifications n WHERE n.due_at IS NOT NULL AND n.due_at <= v_now)
       OR EXISTS (SELECT FROM notifications n WHERE n.due_at IS NOT NULL AND n.claimed_until > v_now) THEN
        RETURN;
    END IF;
    SELECT COALESCE(array_agg(r ORDER BY r), '{}') INTO v_rounds
    FROM notification_state s, unnest(s.rounds) r WHERE r > v_now - INTERVAL '1 minute';
    IF cardinality(v_rounds) >= p_per_minute THEN
        RETURN;
    END IF;
    UPDATE notification_state SET rounds = v_rounds || v_now;
    DELETE FROM notifications n WHERE n.due_at IS NULL AND n.created_at < v_now - INTERVAL '90 days';
    RETURN QUERY
    WITH taken AS (
        UPDATE notifications n
        SET worker = p_worker, claimed_until = v_now + make_interval(secs => p_lease_s)
        WHERE n.id IN (SELECT m.id FROM notifications m
                       WHERE m.due_at IS NOT NULL AND (m.attempts = 0 OR m.due_at <= v_now) ORDER BY m.id LIMIT p_most)
        RETURNING n.*
    )
    SELECT t.id, t.kind, t.severity, t.title, t.body, t.account, t.task_id, t.created_at, t.attempts, t.reached,
           (SELECT count(*) FROM notifications w WHERE w.due_at IS NOT NULL)
    FROM taken t
    ORDER BY t.id;
END
$$;
