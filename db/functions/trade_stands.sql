-- How a trade stands on its accounts, as far as its tasks tell:
--   none     no entry of it is waiting, working or executed
--   open     on at least one account there is such an entry, and no exit that is on its way or done
--   closing  each of those accounts has one, and not each is done
--   closed   each of those accounts has one that is done
CREATE OR REPLACE FUNCTION trade_stands(p_trade_id TEXT) RETURNS TEXT
LANGUAGE plpgsql STABLE  -- whose plans are kept: an SQL function is planned anew for each row of a trigger
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    RETURN (SELECT CASE WHEN count(*) = 0 THEN 'none' WHEN bool_or(x.best IS NULL) THEN 'open'
                        WHEN bool_and(x.best = 'SUCCESS') THEN 'closed' ELSE 'closing' END
            FROM (SELECT DISTINCT t.account, t.mode FROM execution_tasks t
                  WHERE t.trade_id = p_trade_id AND t.opening
                    AND t.status IN ('PENDING', 'HELD', 'SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED', 'SUCCESS')) e
            LEFT JOIN LATERAL (SELECT max(c.status) FILTER (WHERE c.status = 'SUCCESS') AS done, max(c.status) AS any_of FROM execution_tasks c
                               WHERE c.trade_id = p_trade_id AND c.account = e.account AND c.mode = e.mode AND NOT c.opening
                                 AND c.event_type LIKE 'EXIT%' AND c.status IN ('PENDING', 'SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED', 'SUCCESS')) y ON TRUE
            CROSS JOIN LATERAL (SELECT COALESCE(y.done, y.any_of) AS best) x);
END
$$;
