-- Gives a user another password (null: the same), or removes them: the row stays, since the log names them. Whatever they had open ends,
-- and links for them. False: there is no such user.
CREATE OR REPLACE FUNCTION change_desk_user(p_name TEXT, p_password TEXT, p_remove BOOLEAN) RETURNS BOOLEAN
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    v_name TEXT;
BEGIN
    UPDATE desk_users u
    SET password = CASE WHEN p_remove THEN NULL ELSE coalesce(p_password, u.password) END,
        disabled_at = CASE WHEN p_remove THEN clock_timestamp() END
    WHERE lower(u.name) = lower(p_name) AND u.disabled_at IS NULL
    RETURNING u.name INTO v_name;
    DELETE FROM desk_sessions s WHERE s.user_name = v_name;
    DELETE FROM desk_links l WHERE l.user_name = v_name;
    RETURN v_name IS NOT NULL;
END
$$;
