-- What an account holds by trade and an exit could close, and the trades of its working entries (contract null, quantity 0), of one
-- strategy or (null) of all. Trades that oppose each other cover each other: what is on the other side of the account's net is held
-- by nobody, and no exit may close it.
CREATE OR REPLACE FUNCTION trades_to_flatten(p_account TEXT, p_mode TEXT, p_strategy TEXT)
RETURNS TABLE (trade_id TEXT, contract TEXT, quantity NUMERIC)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT o.trade_id, o.contract, o.quantity
    FROM (SELECT h.trade_id::TEXT AS trade_id, h.contract, h.quantity FROM holdings h
          WHERE h.account = p_account COLLATE "C" AND h.mode = p_mode AND h.quantity <> 0
            AND sign(h.quantity) = (SELECT sign(sum(n.quantity)) FROM holdings n
                                    WHERE n.account = p_account COLLATE "C" AND n.mode = p_mode AND n.contract = h.contract
                                      AND n.quantity <> 0)
          UNION ALL
          SELECT DISTINCT w.trade_id::TEXT, NULL, 0::NUMERIC FROM execution_tasks w
          WHERE w.status = 'ACCEPTED' AND w.opening AND w.account = p_account COLLATE "C" AND w.mode = p_mode) o
    WHERE p_strategy IS NULL
       OR EXISTS (SELECT FROM execution_tasks t
                  WHERE t.trade_id = o.trade_id COLLATE "default" AND t.account = p_account COLLATE "C" AND t.opening
                    AND lower(strategy_of(t.id)) = lower(p_strategy));
END
$$;
