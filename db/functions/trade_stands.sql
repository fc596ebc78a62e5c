-- How a trade stands on its accounts, as far as its tasks and fills tell:
--   none     no entry of it is waiting, working or executed
--   open     on at least one account it may hold something, and no exit is on its way
--   closing  on each of those accounts an exit is on its way, and not each is done
--   closed   on none of those accounts anything is left
-- Where something of it was filled, what it holds decides; without any fill an exit that was executed has closed it.
CREATE OR REPLACE FUNCTION trade_stands(p_trade_id TEXT) RETURNS TEXT
LANGUAGE plpgsql STABLE  -- whose plans are kept: an SQL function is planned anew for each row of a trigger
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    RETURN (SELECT CASE WHEN count(*) = 0 THEN 'none' WHEN bool_or(x.stands = 'open') THEN 'open'
                        WHEN bool_and(x.stands = 'closed') THEN 'closed' ELSE 'closing' END
            FROM (SELECT t.account, t.mode FROM execution_tasks t
                  WHERE t.trade_id = p_trade_id AND t.opening
                    AND t.status IN ('PENDING', 'HELD', 'SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED', 'SUCCESS')
                  UNION
                  SELECT f.account, f.mode FROM fills f WHERE f.trade_id = p_trade_id) e
            CROSS JOIN LATERAL (
                SELECT COALESCE(bool_or(c.status = 'SUCCESS'), FALSE) AS done, COALESCE(bool_or(c.status <> 'SUCCESS'), FALSE) AS coming
                FROM execution_tasks c
                WHERE c.trade_id = p_trade_id AND c.account = e.account AND c.mode = e.mode AND NOT c.opening
                  AND c.event_type LIKE 'EXIT%' AND c.status IN ('PENDING', 'SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED', 'SUCCESS')) y
            CROSS JOIN LATERAL (
                SELECT CASE
                    WHEN NOT EXISTS (SELECT FROM fills f WHERE f.trade_id = p_trade_id AND f.account = e.account AND f.mode = e.mode)
                        THEN y.done
                    ELSE NOT EXISTS (SELECT FROM holdings h WHERE h.account = e.account AND h.mode = e.mode
                                                              AND h.trade_id = p_trade_id AND h.quantity <> 0)
                         -- an entry that may fill yet; once an exit was executed it is denied, or closed at once
                         AND (y.done OR NOT EXISTS (SELECT FROM execution_tasks n
                                                    WHERE n.trade_id = p_trade_id AND n.account = e.account AND n.opening AND n.mode = e.mode
                                                      AND n.status IN ('PENDING', 'HELD', 'SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED')))
                    END AS closed) z
            CROSS JOIN LATERAL (
                SELECT CASE WHEN z.closed THEN 'closed' WHEN y.coming THEN 'closing' ELSE 'open' END AS stands) x);
END
$$;
