-- Notes how a router finds the brokers of its accounts. `since` stays while state and code do. What routers said that have been
-- silent for an hour is dropped. All arrays are of one length.
CREATE OR REPLACE FUNCTION note_connections(
    p_router TEXT, p_connection TEXT, p_mode TEXT, p_accounts TEXT[], p_states TEXT[], p_codes TEXT[], p_messages TEXT[]
) RETURNS VOID
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    DELETE FROM connection_states
    WHERE account = ANY (p_accounts) AND router <> p_router AND seen_at < clock_timestamp() - INTERVAL '1 hour';
    INSERT INTO connection_states AS c (account, router, connection, mode, state, code, message)
    SELECT u.account, p_router, p_connection, p_mode, u.state, u.code, u.message
    FROM unnest(p_accounts, p_states, p_codes, p_messages) AS u (account, state, code, message)
    ORDER BY u.account
    ON CONFLICT (account, router) DO UPDATE
    SET connection = EXCLUDED.connection, mode = EXCLUDED.mode, state = EXCLUDED.state, code = EXCLUDED.code,
        message = EXCLUDED.message, seen_at = EXCLUDED.seen_at,
        since = CASE WHEN (c.state, c.code) IS NOT DISTINCT FROM (EXCLUDED.state, EXCLUDED.code) THEN c.since ELSE EXCLUDED.since END;
END
$$;
