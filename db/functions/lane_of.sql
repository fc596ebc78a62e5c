-- The lane of a task: its account and its product family. Tasks of one trade share a lane on an account, whatever symbol a later
-- one names, so that an exit cannot pass its entry; a trade that never named a symbol runs in the lane '-'.
-- The collations are said because a caller's account is of "C": undeclared, both arguments would be, and no index would fit.
CREATE OR REPLACE FUNCTION lane_of(p_account TEXT, p_symbol TEXT, p_trade_id TEXT) RETURNS TEXT
LANGUAGE plpgsql STABLE  -- whose plans are kept: an SQL function is planned anew for each row of a trigger
SET search_path FROM CURRENT
SET enable_seqscan = off  -- before the table's first ANALYZE one row of all is taken for near
SET jit = off
AS $$
BEGIN
    RETURN (SELECT COALESCE(
                (SELECT t.lane FROM execution_tasks t WHERE t.trade_id = p_trade_id COLLATE "default" AND t.account = p_account COLLATE "C" LIMIT 1),
                p_account || '/' || COALESCE(product_of(p_symbol), '-')));
END
$$;
