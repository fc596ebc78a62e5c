-- Stores a one-time link for a user. False: there is no such user.
CREATE OR REPLACE FUNCTION add_desk_link(p_name TEXT, p_sha256 BYTEA, p_lasts_s DOUBLE PRECISION) RETURNS BOOLEAN
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    v_name TEXT;
BEGIN
    SELECT u.name INTO v_name FROM desk_users u WHERE lower(u.name) = lower(p_name) AND u.disabled_at IS NULL FOR UPDATE;
    IF v_name IS NOT NULL THEN
        INSERT INTO desk_links (sha256, user_name, expires_at)
        VALUES (p_sha256, v_name, clock_timestamp() + make_interval(secs => p_lasts_s));
    END IF;
    RETURN v_name IS NOT NULL;
END
$$;
