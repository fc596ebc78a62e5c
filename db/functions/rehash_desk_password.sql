-- Stores the same password hashed anew, unless it was changed meanwhile.
CREATE OR REPLACE FUNCTION rehash_desk_password(p_name TEXT, p_old TEXT, p_new TEXT) RETURNS VOID
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
    UPDATE desk_users u SET password = p_new WHERE u.name = p_name AND u.password = p_old;
$$;
