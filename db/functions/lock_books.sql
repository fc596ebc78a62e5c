-- Locks these accounts until the transaction ends, in the order of their names, and returns the latest row of each one's log.
-- Two statements on purpose: the second has a snapshot taken after the locks, so it sees what the last holder did.
CREATE OR REPLACE FUNCTION lock_books(p_accounts TEXT[], p_mode TEXT)
RETURNS TABLE (account TEXT, seq INTEGER, state JSONB, db_now TIMESTAMPTZ)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock(account_key(n.name))
    FROM (SELECT DISTINCT u.name COLLATE "C" AS name FROM unnest(p_accounts) AS u (name) ORDER BY 1 OFFSET 0) n;
    RETURN QUERY
    SELECT n.name, COALESCE(l.seq, 0), l.state, clock_timestamp()
    FROM (SELECT DISTINCT u.name COLLATE "C" AS name FROM unnest(p_accounts) AS u (name)) n
    LEFT JOIN LATERAL (SELECT b.seq, b.state FROM account_log b
                       WHERE b.account = n.name AND b.mode = p_mode ORDER BY b.seq DESC LIMIT 1) l ON TRUE;
END
$$;
