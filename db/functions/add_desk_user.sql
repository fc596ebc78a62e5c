-- Adds a user of the desk, or lets one that was removed in again with another password and role. False: there is one of that name.
CREATE OR REPLACE FUNCTION add_desk_user(p_name TEXT, p_password TEXT, p_role TEXT) RETURNS BOOLEAN
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO desk_users AS u (name, password, role) VALUES (p_name, p_password, p_role)
    ON CONFLICT (lower(name)) DO UPDATE SET password = excluded.password, role = excluded.role, disabled_at = NULL
    WHERE u.disabled_at IS NOT NULL;
    RETURN FOUND;
END
$$;
