-- The lane of an account and a symbol, made on first use. Without a symbol the task joins the lane of its trade's
-- latest task on that account; a trade that never named one runs in the lane '-'.
CREATE OR REPLACE FUNCTION open_lane(p_account TEXT, p_symbol TEXT, p_trade_id TEXT) RETURNS TEXT
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $$
DECLARE
    v_product TEXT := product_of(p_symbol);
    v_lane    TEXT;
BEGIN
    IF v_product IS NULL THEN
        SELECT t.lane INTO v_lane
        FROM execution_tasks t
        WHERE t.trade_id = p_trade_id AND t.account = p_account
        ORDER BY t.id DESC
        LIMIT 1;
        IF v_lane IS NOT NULL THEN
            RETURN v_lane;
        END IF;
    END IF;
    v_product := COALESCE(v_product, '-');
    v_lane := p_account || '/' || v_product;
    IF NOT EXISTS (SELECT FROM lanes l WHERE l.lane = v_lane) THEN
        INSERT INTO lanes (lane, account, product) VALUES (v_lane, p_account, v_product) ON CONFLICT DO NOTHING;
    END IF;
    RETURN v_lane;
END
$$;
