-- Writes notifications, each topic once, due after p_wait_s seconds. `reached`: who was told already. Returns how many were new.
-- With p_after they come from history, which was read from p_before (null: never before) up to there: the position moves in the same
-- commit, so each event is written once. Returns -1 where somebody else has moved it meanwhile.
CREATE OR REPLACE FUNCTION note_notifications(p_notices JSONB, p_wait_s FLOAT8, p_before TEXT, p_after TEXT) RETURNS INTEGER
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    v_written INTEGER;
BEGIN
    IF p_after IS NOT NULL THEN
        INSERT INTO notification_state AS s (position) VALUES (p_after)
        ON CONFLICT (single) DO UPDATE SET position = EXCLUDED.position WHERE s.position = p_before;
        IF NOT FOUND THEN
            RETURN -1;
        END IF;
    END IF;
    INSERT INTO notifications (kind, severity, title, body, account, task_id, topic, created_at, due_at, reached)
    SELECT n.kind, n.severity, n.title, n.body, n.account, n.task_id, n.topic, COALESCE(n.at, clock_timestamp()),
           clock_timestamp() + make_interval(secs => p_wait_s), COALESCE(n.reached, '{}')
    FROM ROWS FROM (jsonb_to_recordset(p_notices)
        AS (kind TEXT, severity TEXT, title TEXT, body TEXT, account TEXT, task_id BIGINT, topic TEXT, at TIMESTAMPTZ, reached TEXT[]))
        WITH ORDINALITY AS n (kind, severity, title, body, account, task_id, topic, at, reached, ord)
    ORDER BY n.ord
    ON CONFLICT (topic) DO NOTHING;
    GET DIAGNOSTICS v_written = ROW_COUNT;
    RETURN v_written;
END
$$;
