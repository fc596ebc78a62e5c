-- Stores the hash of a script's key. False: there is a valid one of that name.
CREATE OR REPLACE FUNCTION add_api_key(p_name TEXT, p_sha256 BYTEA, p_role TEXT) RETURNS BOOLEAN
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO api_keys (name, sha256, role) VALUES (p_name, p_sha256, p_role)
    ON CONFLICT (lower(name)) WHERE revoked_at IS NULL DO NOTHING;
    RETURN FOUND;
END
$$;
