-- A router that stops says nothing of its brokers any more.
CREATE OR REPLACE FUNCTION forget_connections(p_router TEXT) RETURNS VOID
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    DELETE FROM connection_states WHERE router = p_router;
END
$$;
