-- Opens a session of a user whose password was just compared with p_password; null if it is not theirs any more. Forgets what has ended.
CREATE OR REPLACE FUNCTION open_desk_session(p_name TEXT, p_password TEXT, p_sha256 BYTEA, p_lasts_s DOUBLE PRECISION) RETURNS TEXT
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    v_name TEXT;
BEGIN
    DELETE FROM desk_sessions s WHERE s.expires_at <= clock_timestamp();
    -- the lock lets a removal or a new password come before or after, never in between
    SELECT u.name INTO v_name FROM desk_users u
    WHERE u.name = p_name AND u.password = p_password AND u.disabled_at IS NULL FOR UPDATE;
    IF v_name IS NOT NULL THEN
        INSERT INTO desk_sessions (sha256, user_name, expires_at)
        VALUES (p_sha256, v_name, clock_timestamp() + make_interval(secs => p_lasts_s));
    END IF;
    RETURN v_name;
END
$$;
