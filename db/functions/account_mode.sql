-- How an account trades, as the router that claims it has published: 'live' or 'dry'; null where nobody has.
-- The collation is said because a caller's account is of "C": undeclared, no index would fit.
CREATE OR REPLACE FUNCTION account_mode(p_account TEXT) RETURNS TEXT
LANGUAGE plpgsql STABLE  -- whose plans are kept: an SQL function is planned anew for each row of a trigger
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    RETURN (SELECT s.body ->> 'mode' FROM settings s
            WHERE s.kind = 'account' AND s.name = p_account COLLATE "C" AND s.body ->> 'mode' IN ('live', 'dry')
            ORDER BY s.version DESC LIMIT 1);
END
$$;
