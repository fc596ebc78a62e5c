-- AFTER INSERT on fills: moves what its trade holds. Holdings are the sum of fills and nothing else writes them.
-- The average price is weighted where a fill adds, stays where it reduces, and is the fill's where it opens or turns.
-- eventrouter/domain/holdings.py has the same rule as `moved`.
CREATE OR REPLACE FUNCTION fills_hold() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    v_signed NUMERIC := CASE NEW.side WHEN 'BUY' THEN NEW.quantity ELSE -NEW.quantity END;
BEGIN
    INSERT INTO holdings AS h (account, mode, trade_id, contract, root, quantity, average_price, realised, fees, opened_at, updated_at)
    VALUES (NEW.account, NEW.mode, NEW.trade_id, NEW.contract, NEW.root, v_signed, NEW.price, COALESCE(NEW.pnl, 0), NEW.fee,
            NEW.filled_at, NEW.created_at)
    ON CONFLICT (account, mode, trade_id, contract) DO UPDATE
    SET quantity = h.quantity + v_signed,
        average_price = CASE
            WHEN h.quantity + v_signed = 0 THEN NULL
            WHEN h.quantity = 0 OR sign(h.quantity) <> sign(h.quantity + v_signed) THEN NEW.price
            WHEN sign(v_signed) <> sign(h.quantity) THEN h.average_price
            ELSE round((h.quantity * h.average_price + v_signed * NEW.price) / (h.quantity + v_signed), 10) END,
        realised = h.realised + COALESCE(NEW.pnl, 0),
        fees = h.fees + NEW.fee,
        opened_at = CASE WHEN h.quantity = 0 OR sign(h.quantity) = -sign(h.quantity + v_signed) THEN NEW.filled_at
                         ELSE h.opened_at END,
        updated_at = NEW.created_at;
    RETURN NULL;
END
$$;
