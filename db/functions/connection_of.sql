-- How an account's broker stands: what its routers said last, a fault before anything else, and silent routers behind the others.
-- `fresh`: said within the last minute. No row where no router has it.
CREATE OR REPLACE FUNCTION connection_of(p_account TEXT)
RETURNS TABLE (account TEXT, router TEXT, connection TEXT, mode TEXT, state TEXT, code TEXT, message TEXT, since TIMESTAMPTZ,
               seen_at TIMESTAMPTZ, fresh BOOLEAN)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT c.account, c.router, c.connection, c.mode, c.state, c.code, c.message, c.since, c.seen_at,
           c.seen_at > clock_timestamp() - INTERVAL '1 minute' AS fresh
    FROM connection_states c
    WHERE c.account = p_account COLLATE "C"
    ORDER BY c.seen_at > clock_timestamp() - INTERVAL '1 minute' DESC, c.state <> 'open' DESC, c.seen_at DESC
    LIMIT 1;
END
$$;
