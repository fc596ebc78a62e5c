-- The product family behind a symbol as alerts write it: CME_MINI:MNQ1! → NQ, MNQZ2026 → NQ, MES 12-26 → ES, AAPL → AAPL.
CREATE OR REPLACE FUNCTION product_of(p_symbol TEXT) RETURNS TEXT
LANGUAGE plpgsql STABLE STRICT
SET search_path FROM CURRENT
AS $$
DECLARE
    v_root TEXT := upper(btrim(p_symbol));
BEGIN
    v_root := regexp_replace(v_root, '^[A-Z0-9_]+:', '');            -- exchange prefix
    v_root := regexp_replace(v_root, ' [0-9]{2}-[0-9]{2}$', '');     -- NinjaTrader month
    v_root := regexp_replace(v_root, '(?<=[A-Z0-9])[/_-](?=[A-Z0-9])', '', 'g');  -- BTC/USDT
    IF v_root ~ '^[A-Z0-9]{1,4}[0-9]!$' THEN
        v_root := regexp_replace(v_root, '[0-9]!$', '');             -- continuous
    ELSIF v_root ~ '^[A-Z0-9]{2,3}[FGHJKMNQUVXZ]([0-9]{1,2}|20[0-9]{2})$' THEN
        v_root := regexp_replace(v_root, '[FGHJKMNQUVXZ]([0-9]{1,2}|20[0-9]{2})$', '');  -- one contract month
    END IF;
    RETURN COALESCE((SELECT f.family FROM product_families f WHERE f.root = v_root), NULLIF(left(v_root, 64), ''));
END
$$;
