-- Notes that a session is in use.
CREATE OR REPLACE FUNCTION touch_desk_session(p_sha256 BYTEA) RETURNS VOID
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
    UPDATE desk_sessions s SET seen_at = clock_timestamp() WHERE s.sha256 = p_sha256;
$$;
