-- Sees to it that every trade that an account holds or has a working entry of, of one strategy or (null) of all, has an exit under
-- way, and returns those trades: nothing is left once it returns none. An exit is enqueued where there is no open one;
-- p_enqueue false only looks. Two routers that ask at once enqueue one exit.
CREATE OR REPLACE FUNCTION enqueue_flattening(p_account TEXT, p_mode TEXT, p_strategy TEXT, p_control BIGINT, p_enqueue BOOLEAN)
RETURNS TABLE (trade_id TEXT, contract TEXT, quantity NUMERIC, task_id BIGINT, status TEXT, last_error TEXT)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('eventrouter.flattening/' || p_account, 0));
    IF p_enqueue THEN
        INSERT INTO execution_tasks (trade_id, event_type, payload, account, mode)
        SELECT o.trade_id, 'EXIT_FLATTEN',
               jsonb_strip_nulls(jsonb_build_object('kind', 'EXIT', 'exit_type', 'FLATTEN', 'control', p_control, 'strategy', p_strategy,
                                                    'symbol', entry.symbol)),
               p_account, p_mode
        FROM (SELECT DISTINCT f.trade_id FROM trades_to_flatten(p_account, p_mode, p_strategy) f) o
        LEFT JOIN LATERAL (SELECT t.payload ->> 'symbol' AS symbol FROM execution_tasks t
                           WHERE t.trade_id = o.trade_id COLLATE "default" AND t.account = p_account COLLATE "C" AND t.opening
                           ORDER BY t.id LIMIT 1) entry ON TRUE
        WHERE NOT EXISTS (SELECT FROM execution_tasks x
                          WHERE x.trade_id = o.trade_id COLLATE "default" AND x.account = p_account COLLATE "C" AND NOT x.opening
                            AND x.mode = p_mode AND x.event_type LIKE 'EXIT%'
                            AND x.status IN ('PENDING', 'SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED'))
        ORDER BY o.trade_id;
    END IF;
    RETURN QUERY
    SELECT f.trade_id, f.contract, f.quantity, x.id, x.status::TEXT, x.last_error
    FROM trades_to_flatten(p_account, p_mode, p_strategy) f
    LEFT JOIN LATERAL (SELECT t.id, t.status, t.last_error FROM execution_tasks t
                       WHERE t.trade_id = f.trade_id COLLATE "default" AND t.account = p_account COLLATE "C" AND NOT t.opening
                         AND t.mode = p_mode AND t.event_type LIKE 'EXIT%'
                       ORDER BY t.id DESC LIMIT 1) x ON TRUE
    ORDER BY f.trade_id, f.contract;
END
$$;
