-- How a trade stands on its accounts, as far as its tasks tell:
--   none     no entry of it is waiting, working or executed
--   open     on at least one account there is such an entry, and no exit that is on its way or done
--   closing  each of those accounts has one
CREATE OR REPLACE FUNCTION trade_stands(p_trade_id TEXT) RETURNS TEXT
LANGUAGE plpgsql STABLE  -- whose plans are kept: an SQL function is planned anew for each row of a trigger
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    RETURN (SELECT CASE WHEN count(*) = 0 THEN 'none'
                        WHEN bool_and(EXISTS (
                            SELECT FROM execution_tasks x
                            WHERE x.trade_id = p_trade_id AND x.account = e.account AND x.mode = e.mode AND NOT x.opening AND x.event_type LIKE 'EXIT%'
                              AND x.status IN ('PENDING', 'SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED', 'SUCCESS'))) THEN 'closing'
                        ELSE 'open' END
            FROM (SELECT DISTINCT t.account, t.mode FROM execution_tasks t
                  WHERE t.trade_id = p_trade_id AND t.opening
                    AND t.status IN ('PENDING', 'HELD', 'SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED', 'SUCCESS')) e);
END
$$;
