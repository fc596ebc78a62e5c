-- What must be known of a batch of alerts before it is stored: which are stored already, which repeat another one, and the
-- trades that each may be about, open ones and those that ended lately. From here to the end of the transaction no other batch
-- decides about the trades of these strategies.
-- p_keys, p_windows: what makes the alert the same as another, and for how many seconds; null: it has no duplicates.
-- p_asks: whether the alert was accepted; p_trade_ids, p_roots: which trades it may be about: that one, those of the
-- instrument; neither: all open ones of its strategy.
-- Returns one row an alert, in order; duplicate_of is the first alert with its key, which opened its window at opened_at.
CREATE OR REPLACE FUNCTION prepare_signals(
    p_uids UUID[], p_strategies TEXT[], p_keys BYTEA[], p_windows FLOAT8[], p_received TIMESTAMPTZ[], p_asks BOOLEAN[],
    p_trade_ids TEXT[], p_roots TEXT[]
) RETURNS TABLE (signal_uid UUID, stored BOOLEAN, duplicate_of UUID, opened_at TIMESTAMPTZ, trades JSONB)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    -- Sorted, here and below, so that two batches cannot wait for each other.
    PERFORM pg_advisory_xact_lock(hashtextextended(s.strategy, 'strategy_trades'::REGCLASS::OID::BIGINT))
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

    -- What the alerts told is corrected by what became of the tasks: a trade whose entries all failed is not open, nor one that
    -- is closed everywhere, and one whose exit failed is open still. Statements of their own: they see what a session waited for above has just committed.
    UPDATE strategy_trades o SET ended_at = o.opened_at
    FROM (SELECT DISTINCT a.strategy, a.root FROM unnest(p_strategies, p_asks, p_trade_ids, p_roots) AS a (strategy, asks, trade_id, root)
          WHERE a.asks AND (a.trade_id IS NULL OR a.root IS NOT NULL)) a
    WHERE o.strategy = a.strategy AND (o.root = a.root OR a.root IS NULL) AND o.ended_at IS NULL AND trade_stands(o.trade_id) IN ('none', 'closed');

    UPDATE strategy_trades o SET ended_at = NULL, exit_fired_at = NULL
    FROM (SELECT DISTINCT l.strategy, l.trade_id
          FROM (SELECT DISTINCT a.strategy, a.root FROM unnest(p_strategies, p_asks, p_trade_ids, p_roots) AS a (strategy, asks, trade_id, root)
                WHERE a.asks AND (a.trade_id IS NULL OR a.root IS NOT NULL)) a
          CROSS JOIN LATERAL (SELECT e.strategy, e.trade_id FROM strategy_trades e
                              WHERE e.strategy = a.strategy AND (e.root = a.root OR a.root IS NULL) AND e.ended_at IS NOT NULL
                              ORDER BY e.ended_at DESC LIMIT 50) l) late
    WHERE o.strategy = late.strategy AND o.trade_id = late.trade_id AND trade_stands(o.trade_id) = 'open';

    RETURN QUERY
    SELECT a.uid, EXISTS (SELECT FROM automated_signals g WHERE g.signal_uid = a.uid), NULLIF(w.signal_uid, a.uid), w.started_at,
           CASE WHEN row_number() OVER (PARTITION BY a.strategy, a.trade_id, a.root ORDER BY a.ord) = 1 THEN  -- told once
           (SELECT jsonb_agg(jsonb_build_array(o.trade_id, o.root, o.side, CASE WHEN d.sized THEN o.units::TEXT END, o.opened_at,
                                               o.ended_at, o.exit_fired_at, d.exited))
            FROM (SELECT n.* FROM strategy_trades n
                  WHERE a.asks AND n.strategy = a.strategy AND n.trade_id = a.trade_id
                  UNION
                  SELECT n.* FROM strategy_trades n
                  WHERE a.asks AND n.strategy = a.strategy AND n.ended_at IS NULL
                    AND (n.root = a.root OR (a.trade_id IS NULL AND a.root IS NULL))
                  UNION
                  (SELECT n.* FROM strategy_trades n
                   WHERE a.asks AND n.strategy = a.strategy AND n.ended_at IS NOT NULL
                     AND (n.root = a.root OR (a.root IS NOT NULL AND n.root IS NULL))
                   ORDER BY n.ended_at DESC LIMIT 5)) o
            CROSS JOIN LATERAL trade_doubts(o.trade_id) d) END
    FROM unnest(p_uids, p_strategies, p_keys, p_asks, p_trade_ids, p_roots) WITH ORDINALITY AS a (uid, strategy, key, asks, trade_id, root, ord)
    LEFT JOIN alert_windows w ON w.strategy = a.strategy AND w.key = a.key
        AND (w.signal_uid = ANY (p_uids) OR EXISTS (SELECT FROM automated_signals g WHERE g.signal_uid = w.signal_uid))
    ORDER BY a.ord;
END
$$;
