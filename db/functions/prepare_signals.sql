-- What must be known of a batch of alerts before it is stored: which are stored already, which repeat another one, and the
-- open trades that each may be about. From here to the end of the transaction no other batch decides about the trades of
-- these strategies.
-- p_keys, p_windows: what makes the alert the same as another, and for how many seconds; null: it has no duplicates.
-- p_asks: whether the alert was accepted; p_trade_ids, p_roots: which trades it may be about: that one, else those of the
-- instrument, else all of its strategy.
-- Returns one row an alert, in order; duplicate_of is the first alert with its key, trades are [seconds when opened, trade_id, root,
-- side, units].
CREATE OR REPLACE FUNCTION prepare_signals(
    p_uids UUID[], p_strategies TEXT[], p_keys BYTEA[], p_windows FLOAT8[], p_received TIMESTAMPTZ[], p_asks BOOLEAN[],
    p_trade_ids TEXT[], p_roots TEXT[]
) RETURNS TABLE (signal_uid UUID, stored BOOLEAN, duplicate_of UUID, trades JSONB)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    -- Sorted, here and below, so that two batches cannot wait for each other.
    PERFORM pg_advisory_xact_lock(hashtextextended(s.strategy, 'open_trades'::REGCLASS::OID::BIGINT))
    FROM (SELECT DISTINCT u.strategy COLLATE "C" AS strategy FROM unnest(p_strategies, p_asks) AS u (strategy, asks) WHERE u.asks
          ORDER BY 1) s;

    INSERT INTO alert_windows AS w (strategy, key, signal_uid, started_at, expires_at)
    SELECT DISTINCT ON (a.strategy, a.key)  -- one row a key, so that none meets itself
           a.strategy, a.key, a.uid, a.received_at, a.received_at + make_interval(secs => a.window_s)
    FROM unnest(p_strategies, p_keys, p_uids, p_received, p_windows) WITH ORDINALITY AS a (strategy, key, uid, received_at, window_s, ord)
    WHERE a.key IS NOT NULL
      AND NOT EXISTS (SELECT FROM automated_signals g WHERE g.signal_uid = a.uid)  -- it had its window, or was refused
    ORDER BY a.strategy, a.key, a.ord
    ON CONFLICT (strategy, key) DO UPDATE
        SET signal_uid = EXCLUDED.signal_uid, started_at = EXCLUDED.started_at, expires_at = EXCLUDED.expires_at
        WHERE w.expires_at <= EXCLUDED.started_at;

    -- A statement of its own: it sees what another session's batch, waited for above, has just committed.
    RETURN QUERY
    SELECT a.uid, EXISTS (SELECT FROM automated_signals g WHERE g.signal_uid = a.uid), NULLIF(w.signal_uid, a.uid),
           (SELECT jsonb_agg(jsonb_build_array(extract(epoch FROM o.opened_at), o.trade_id, o.root, o.side, o.units::TEXT) ORDER BY o.opened_at, o.trade_id)
            FROM open_trades o
            WHERE a.asks AND o.strategy = a.strategy AND (o.trade_id = a.trade_id OR o.root = a.root OR (a.trade_id IS NULL AND a.root IS NULL)))
    FROM unnest(p_uids, p_strategies, p_keys, p_asks, p_trade_ids, p_roots) WITH ORDINALITY AS a (uid, strategy, key, asks, trade_id, root, ord)
    LEFT JOIN alert_windows w ON w.strategy = a.strategy AND w.key = a.key
    ORDER BY a.ord;
END
$$;
