-- Ends a script's key. False: there is no valid one of that name.
CREATE OR REPLACE FUNCTION revoke_api_key(p_name TEXT) RETURNS BOOLEAN
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    UPDATE api_keys k SET revoked_at = clock_timestamp() WHERE lower(k.name) = lower(p_name) AND k.revoked_at IS NULL;
    RETURN FOUND;
END
$$;
