-- Ends a session.
CREATE OR REPLACE FUNCTION end_desk_session(p_sha256 BYTEA) RETURNS VOID
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
    DELETE FROM desk_sessions s WHERE s.sha256 = p_sha256;
$$;
