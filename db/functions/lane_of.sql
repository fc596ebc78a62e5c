-- The lane of a task: its account and its product family. Tasks of one trade share a lane on an account, whatever symbol a later
-- one names, so that an exit cannot pass its entry; a trade that never named a symbol runs in the lane '-'.
CREATE OR REPLACE FUNCTION lane_of(p_account TEXT, p_symbol TEXT, p_trade_id TEXT) RETURNS TEXT
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT COALESCE(
        (SELECT t.lane FROM execution_tasks t WHERE t.trade_id = p_trade_id AND t.account = p_account LIMIT 1),
        p_account || '/' || COALESCE(product_of(p_symbol), '-'));
$$;
