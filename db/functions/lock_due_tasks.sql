-- Locks up to p_limit lanes of these accounts that have work now, until the transaction ends and waiting for nobody, and
-- returns that work with what is needed to decide about it. Tasks of a lane run in order; an exit waits only while something
-- of its lane is being sent.
-- Two statements on purpose: the second has a snapshot taken after the locks, so it sees what the last holder did.
-- Whoever halts is waited for, and waits for the end of this transaction: see halt_key().
-- p_mode: what the caller executes. What opens in the other mode is returned to be cancelled, and so is a simulated exit; a live
-- one is left until a router trades live again. Nothing that the other mode has sent holds up a lane.
-- An exit does not wait for an entry that is being sent once the broker has shown its order: nothing else can arrive of it.
-- An entry waits while another one of its account is UNKNOWN, in whatever lane, and while the caller sends none (p_entries); one
-- that is too old is returned all the same, to be ended.
-- p_depth: the most tasks of one lane; p_limit: the most tasks in all (a lane always gives at least one).
CREATE OR REPLACE FUNCTION lock_due_tasks(p_accounts TEXT[], p_limit INTEGER, p_depth INTEGER, p_mode TEXT,
                                          p_entries BOOLEAN DEFAULT TRUE)
RETURNS TABLE (
    id BIGINT, version INTEGER, trade_id TEXT, event_type TEXT, opening BOOLEAN, attempts INTEGER, payload JSONB,
    account TEXT, lane TEXT, mode TEXT, client_order_id TEXT, expires_at TIMESTAMPTZ, created_at TIMESTAMPTZ,
    received_at TIMESTAMPTZ, trade JSONB, plan JSONB, strategy TEXT, approved BOOLEAN, intent JSONB, db_now TIMESTAMPTZ
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_now   TIMESTAMPTZ;
    v_lanes TEXT[];
    v_depth INTEGER;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(halt_key());
    v_now := clock_timestamp();
    -- The subquery is sorted before the first lock is tried, and LIMIT stops trying: no lane is locked that is not returned.
    SELECT array_agg(locked.lane) INTO v_lanes FROM (
        SELECT c.lane
        FROM (
            SELECT a.lane, first.place, first.id
            FROM active_lanes() a
            CROSS JOIN LATERAL (
                (SELECT x.place, x.id, x.account FROM execution_tasks x
                 WHERE x.lane = a.lane AND x.status = 'PENDING' AND NOT x.opening AND x.run_at <= v_now
                   AND (x.mode = p_mode OR x.mode = 'dry')
                   AND NOT EXISTS (SELECT FROM execution_tasks s
                                   WHERE s.lane = a.lane AND s.status = 'SENDING' AND s.mode = p_mode
                                     AND NOT (s.opening AND order_is_shown(s.id, s.account)))
                 ORDER BY x.place, x.id LIMIT 1)
                UNION ALL
                (SELECT h.place, h.id, h.account
                 FROM (SELECT t.place, t.id, t.account, t.status, t.run_at, t.opening, t.mode, t.expires_at FROM execution_tasks t
                       WHERE t.lane = a.lane AND t.status IN ('PENDING', 'SENDING', 'UNKNOWN', 'REVIEW')
                         AND (t.mode = p_mode OR t.status = 'PENDING' AND (t.opening OR t.mode = 'dry'))
                       ORDER BY t.place, t.id LIMIT 1) h
                 WHERE h.status = 'PENDING' AND h.run_at <= v_now
                   AND (NOT h.opening OR h.mode <> p_mode OR h.expires_at <= v_now
                        OR p_entries AND NOT EXISTS (SELECT FROM execution_tasks u
                                                     WHERE u.account = h.account AND u.mode = p_mode AND u.opening AND u.status = 'UNKNOWN'))
                   AND NOT EXISTS (SELECT FROM execution_tasks s
                                   WHERE s.lane = a.lane AND s.status = 'SENDING' AND s.mode = p_mode))
                ORDER BY 1, 2 LIMIT 1
            ) first
            WHERE first.account = ANY (p_accounts)
            ORDER BY first.place, first.id
            OFFSET 0
        ) c
        WHERE pg_try_advisory_xact_lock(hashtextextended(c.lane, 'execution_tasks'::REGCLASS::OID::BIGINT))
        LIMIT p_limit
    ) locked;
    IF v_lanes IS NULL THEN
        RETURN;
    END IF;
    v_depth := GREATEST(1, LEAST(p_depth, p_limit / cardinality(v_lanes)));

    RETURN QUERY
    SELECT t.id, t.version, t.trade_id::TEXT, t.event_type::TEXT, t.opening, t.attempts, t.payload, t.account, t.lane, t.mode,
           t.client_order_id, t.expires_at, t.created_at, COALESCE(g.received_at, t.created_at),
           trade_facts(t.trade_id, t.account, t.mode, t.id)
               || CASE WHEN t.opening AND jsonb_typeof(t.payload -> 'after') = 'array'
                       THEN jsonb_build_object('after', (
                           SELECT jsonb_object_agg(a.trade_id, trade_facts(a.trade_id, t.account, t.mode, t.id))
                           FROM (SELECT DISTINCT x.trade_id FROM jsonb_array_elements_text(t.payload -> 'after') AS x (trade_id)
                                 WHERE x.trade_id IS NOT NULL LIMIT 100) a))
                       ELSE '{}' END,
           t.plan, COALESCE(g.strategy, t.payload ->> 'strategy'),
           t.version > 2 AND EXISTS (SELECT FROM execution_logs e
                                     WHERE e.task_id = t.id AND e.prev_status = 'HELD' AND e.status = 'PENDING'),
           CASE WHEN t.opening AND t.attempts > 0
                THEN (SELECT e.detail || jsonb_build_object('in_doubt', is_in_doubt(t.id)) FROM execution_logs e
                      WHERE e.task_id = t.id AND e.reason = 'INTENT' ORDER BY e.seq DESC LIMIT 1) END,
           v_now
    FROM unnest(v_lanes) AS v (lane)
    CROSS JOIN LATERAL (
        (SELECT x.id FROM execution_tasks x
         WHERE x.lane = v.lane AND x.status = 'PENDING' AND NOT x.opening AND x.run_at <= v_now
           AND (x.mode = p_mode OR x.mode = 'dry')
         ORDER BY x.place, x.id LIMIT v_depth)
        UNION ALL
        (SELECT w.id
         FROM (SELECT o.id, o.opening, bool_and(o.status = 'PENDING' AND o.run_at <= v_now) OVER (ORDER BY o.place, o.id) AS clear
               FROM (SELECT n.id, n.place, n.opening, n.status, n.run_at FROM execution_tasks n
                     WHERE n.lane = v.lane AND n.status IN ('PENDING', 'SENDING', 'UNKNOWN', 'REVIEW')
                       AND (n.mode = p_mode OR n.status = 'PENDING' AND (n.opening OR n.mode = 'dry'))
                     ORDER BY n.place, n.id LIMIT v_depth) o) w
         WHERE w.clear AND w.opening)
    ) due
    JOIN execution_tasks t ON t.id = due.id
    LEFT JOIN automated_signals g ON g.id = t.signal_id
    WHERE NOT EXISTS (SELECT FROM execution_tasks s
                      WHERE s.lane = v.lane AND s.status = 'SENDING' AND s.mode = p_mode
                        AND (t.opening OR NOT (s.opening AND order_is_shown(s.id, s.account))))
      AND (NOT t.opening OR t.mode <> p_mode
           OR p_entries AND NOT EXISTS (SELECT FROM execution_tasks u
                                        WHERE u.account = t.account AND u.mode = p_mode AND u.opening AND u.status = 'UNKNOWN')
           -- what a person allowed is not ended by its age, so it waits too
           OR t.expires_at <= v_now AND NOT EXISTS (SELECT FROM execution_logs e
                                                    WHERE e.task_id = t.id AND e.prev_status = 'HELD' AND e.status = 'PENDING'))
    ORDER BY t.place, t.id;
END
$$;
