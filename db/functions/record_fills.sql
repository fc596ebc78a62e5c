-- The one writer of fills: each once. Locks the accounts first, in the order of their names. All arrays are of one length;
-- returns account, fill and part of what was new.
CREATE OR REPLACE FUNCTION record_fills(
    p_mode TEXT, p_accounts TEXT[], p_fill_ids TEXT[], p_parts INTEGER[], p_order_ids TEXT[], p_task_ids BIGINT[], p_trade_ids TEXT[],
    p_contracts TEXT[], p_roots TEXT[], p_sides TEXT[], p_quantities NUMERIC[], p_prices NUMERIC[], p_fees NUMERIC[], p_pnls NUMERIC[],
    p_filled_ats TIMESTAMPTZ[]
) RETURNS TABLE (account TEXT, fill_id TEXT, part INTEGER)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock(account_key(n.name))
    FROM (SELECT DISTINCT u.name COLLATE "C" AS name FROM unnest(p_accounts) AS u (name) ORDER BY 1 OFFSET 0) n;
    RETURN QUERY
    INSERT INTO fills AS f (account, fill_id, part, mode, order_id, task_id, trade_id, contract, root, side, quantity, price, fee, pnl, filled_at)
    SELECT e.account, e.fill_id, e.part, p_mode, e.order_id, e.task_id, e.trade_id, e.contract, e.root, e.side, e.quantity, e.price,
           e.fee, e.pnl, e.filled_at
    FROM unnest(p_accounts, p_fill_ids, p_parts, p_order_ids, p_task_ids, p_trade_ids, p_contracts, p_roots, p_sides, p_quantities,
                p_prices, p_fees, p_pnls, p_filled_ats) WITH ORDINALITY
         AS e (account, fill_id, part, order_id, task_id, trade_id, contract, root, side, quantity, price, fee, pnl, filled_at, ord)
    ORDER BY e.ord
    ON CONFLICT (account, fill_id, part) DO NOTHING
    RETURNING f.account, f.fill_id, f.part;
END
$$;
