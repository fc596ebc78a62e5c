-- Uses up a one-time link and opens a session of its user; null: there is no such link, it has ended, or somebody was faster.
CREATE OR REPLACE FUNCTION open_desk_link(p_link BYTEA, p_sha256 BYTEA, p_lasts_s DOUBLE PRECISION) RETURNS TEXT
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    v_name TEXT;
BEGIN
    DELETE FROM desk_links l WHERE l.expires_at <= clock_timestamp();
    -- users before their links, as in change_desk_user
    PERFORM FROM desk_users u WHERE u.name = (SELECT l.user_name FROM desk_links l WHERE l.sha256 = p_link) FOR UPDATE;
    DELETE FROM desk_links l WHERE l.sha256 = p_link RETURNING l.user_name INTO v_name;
    IF v_name IS NOT NULL THEN
        INSERT INTO desk_sessions (sha256, user_name, expires_at)
        VALUES (p_sha256, v_name, clock_timestamp() + make_interval(secs => p_lasts_s));
    END IF;
    RETURN v_name;
END
$$;
