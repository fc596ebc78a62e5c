-- Notes the latest price of products; one that is older than what is known is left out. Sorted by root: one lock order for all.
CREATE OR REPLACE FUNCTION note_prices(p_source TEXT, p_roots TEXT[], p_prices NUMERIC[], p_ats TIMESTAMPTZ[]) RETURNS VOID
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
    INSERT INTO last_prices AS l (root, price, source, at)
    SELECT DISTINCT ON (e.root COLLATE "C") e.root, e.price, p_source, e.at
    FROM unnest(p_roots, p_prices, p_ats) WITH ORDINALITY AS e (root, price, at, ord)
    WHERE e.price IS NOT NULL AND e.root <> '-'
    ORDER BY e.root COLLATE "C", e.at DESC, e.ord DESC
    ON CONFLICT (root) DO UPDATE SET price = EXCLUDED.price, source = EXCLUDED.source, at = EXCLUDED.at
    WHERE EXCLUDED.at >= l.at
$$;
