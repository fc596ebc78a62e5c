-- What a decision about a task must know of its trade's other tasks on the account, of its orders and of what it holds. Each
-- fact is one index probe, so a trade with thousands of tasks costs no more than one with two. p_task_id 0 is no task's.
--   sending   a task that is being sent (not an entry whose order the broker has shown already), an exit whose outcome is not known, or (live) a reduction of that kind: [id]
--   closed    an exit that was executed: [id, status]
--   opened    an entry that was executed, or works: [id, symbol]
--   exit      an exit that was not cancelled, one that is on its way before any other: [id, status]
--   unsent    entries that wait to be sent: [[id, version, whether an earlier order of it may be at the broker], …], the first hundred
--   entries   how the latest entries ended: [[id, status], …], at most three
--   filled    whether anything of the trade was ever executed
--   held      what it holds, the most first, and the account's net in that contract over all trades, as the broker shows it where it
--             showed another one, and no more than both cover where fills came since; of that net, in live mode, what exits of other trades that are sent or working may still close,
--             null for none: [[contract, quantity, net, root, average price, leaving], …]
--   last      its last fill: [task id, role of its order, order id, price, recorded at, the flattening that was under way and closed it]
--   sized     for a reduction, and for no task: what its executed entries were sized to, and what their alerts asked: [[contracts, asked], …]
-- In live mode also, else empty:
--   unknown   an entry of which nobody knows whether the broker has it: [id, status]
--   working   its orders that may still fill, brackets too, and what was asked of each last: see working_orders()
--   closing   whether an exit or a reduction waits, or may be at the broker
--   hidden    a task that the broker accepted and whose order is not shown as working: [id]
--   unsettled an order of which more is filled than its recorded fills: [order id, filled, recorded]
--   unshown   an executed entry that asked for a bracket of which no order was ever shown: [id]
--   flattening  the control that has everything of the account closed at the broker now: [id]
--   outdated  the control whose proof that the account is flat is younger than any fill that made the trade hold what it does: [id]
--   out_of_sync  why what the account holds is not certain: text
--   told      without any fill, what an entry that counts as executed asked for: [contract, direction, quantity, since when]
-- The collations are said because a caller's account is of "C": undeclared, both arguments would be, and no index would fit.
CREATE OR REPLACE FUNCTION trade_facts(p_trade_id TEXT, p_account TEXT, p_mode TEXT, p_task_id BIGINT) RETURNS JSONB
LANGUAGE plpgsql STABLE  -- whose plans are kept: an SQL function is planned anew for each row of a trigger
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_facts JSONB;
    v_out_of_sync TEXT;
    v_differs JSONB;  -- contract → [how much more the broker showed than our fills added up to, what that was]
BEGIN
    v_out_of_sync := (SELECT l.state ->> 'out_of_sync' FROM account_log l
                      WHERE l.account = p_account COLLATE "C" AND l.mode = p_mode ORDER BY l.seq DESC LIMIT 1);
    IF v_out_of_sync IS NOT NULL THEN
        v_differs := (SELECT jsonb_object_agg(d.value ->> 0, jsonb_build_array((d.value ->> 1)::NUMERIC - (d.value ->> 2)::NUMERIC, d.value -> 2))
                      FROM (SELECT l.detail -> 'differences' AS differences FROM account_log l
                            WHERE l.account = p_account COLLATE "C" AND l.mode = p_mode AND l.kind = 'OUT_OF_SYNC'
                            ORDER BY l.seq DESC LIMIT 1) o
                      CROSS JOIN LATERAL jsonb_array_elements(COALESCE(o.differences, '[]')) d);
    END IF;
    v_facts := (SELECT jsonb_build_object(
                'sending', (SELECT jsonb_build_array(o.id) FROM execution_tasks o
                            WHERE o.trade_id = p_trade_id COLLATE "default" AND o.account = p_account COLLATE "C"
                              AND (o.status = 'SENDING' AND NOT (p_mode = 'live' AND o.opening AND order_is_shown(o.id, p_account))
                                   OR o.status IN ('UNKNOWN', 'REVIEW')
                                   AND (o.event_type LIKE 'EXIT%' OR o.event_type LIKE 'REDUCE%' AND p_mode = 'live'))
                              AND o.mode = p_mode AND o.id <> p_task_id LIMIT 1),
                'closed', (SELECT jsonb_build_array(o.id, o.status) FROM execution_tasks o
                           WHERE o.trade_id = p_trade_id COLLATE "default" AND o.account = p_account COLLATE "C" AND NOT o.opening AND o.event_type LIKE 'EXIT%'
                             AND o.status = 'SUCCESS'
                             AND o.mode = p_mode AND o.id <> p_task_id LIMIT 1),
                'opened', (SELECT jsonb_build_array(o.id, o.payload ->> 'symbol') FROM execution_tasks o
                           WHERE o.trade_id = p_trade_id COLLATE "default" AND o.account = p_account COLLATE "C" AND o.opening AND o.status IN ('SUCCESS', 'ACCEPTED')
                             AND o.mode = p_mode AND o.id <> p_task_id LIMIT 1),
                'exit', COALESCE(
                        (SELECT jsonb_build_array(o.id, o.status) FROM execution_tasks o
                         WHERE o.trade_id = p_trade_id COLLATE "default" AND o.account = p_account COLLATE "C" AND NOT o.opening AND o.event_type LIKE 'EXIT%'
                           AND o.status IN ('PENDING', 'HELD', 'SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED')
                           AND o.mode = p_mode AND o.id <> p_task_id LIMIT 1),
                        (SELECT jsonb_build_array(o.id, o.status) FROM execution_tasks o
                         WHERE o.trade_id = p_trade_id COLLATE "default" AND o.account = p_account COLLATE "C" AND NOT o.opening AND o.event_type LIKE 'EXIT%'
                           AND o.status IN ('SUCCESS', 'FAILED', 'DENIED', 'EXPIRED')
                           AND o.mode = p_mode AND o.id <> p_task_id LIMIT 1)),
                'unsent', (SELECT COALESCE(jsonb_agg(jsonb_build_array(u.id, u.version, u.in_doubt) ORDER BY u.id), '[]') FROM (
                           SELECT o.id, o.version, o.attempts > 0 AND is_in_doubt(o.id) AS in_doubt FROM execution_tasks o
                           WHERE o.trade_id = p_trade_id COLLATE "default" AND o.account = p_account COLLATE "C" AND o.opening AND o.status IN ('PENDING', 'HELD')
                             AND o.mode = p_mode AND o.id <> p_task_id
                           ORDER BY o.id LIMIT 100) u),
                'entries', (SELECT COALESCE(jsonb_agg(jsonb_build_array(e.id, e.status) ORDER BY e.id), '[]') FROM (
                            SELECT o.id, o.status FROM execution_tasks o
                            WHERE o.trade_id = p_trade_id COLLATE "default" AND o.account = p_account COLLATE "C" AND o.opening AND o.mode = p_mode AND o.id <> p_task_id
                            ORDER BY o.trade_id, o.account, o.opening, o.status DESC, o.id DESC LIMIT 3) e),
                'filled', EXISTS (SELECT FROM fills f WHERE f.trade_id = p_trade_id COLLATE "default" AND f.account = p_account COLLATE "C" AND f.mode = p_mode),
                'held', (SELECT COALESCE(jsonb_agg(jsonb_build_array(h.contract, h.quantity::TEXT, (
                                    SELECT CASE WHEN w.differs IS NULL OR w.ours = w.ours_then THEN w.ours + COALESCE(w.differs, 0)
                                                -- fills came since: those that were missing, or others, so what both ways of counting cover
                                                WHEN sign(w.ours) = sign(w.ours + w.differs)
                                                    THEN sign(w.ours) * LEAST(abs(w.ours), abs(w.ours + w.differs))
                                                ELSE 0 END::TEXT
                                    FROM (SELECT sum(n.quantity) AS ours, (v_differs -> h.contract ->> 0)::NUMERIC AS differs,
                                                 (v_differs -> h.contract ->> 1)::NUMERIC AS ours_then
                                          FROM holdings n
                                          WHERE n.account = p_account COLLATE "C" AND n.mode = p_mode AND n.contract = h.contract
                                            AND n.quantity <> 0) w),
                                    h.root, h.average_price::TEXT,
                                    CASE WHEN p_mode = 'live' THEN leaving(p_trade_id, p_account, h.contract, sign(h.quantity))::TEXT END)
                                ORDER BY abs(h.quantity) DESC, h.contract), '[]')
                         FROM holdings h
                         WHERE h.account = p_account COLLATE "C" AND h.mode = p_mode AND h.trade_id = p_trade_id COLLATE "default" AND h.quantity <> 0)));
    IF (v_facts ->> 'filled')::BOOLEAN THEN
        v_facts := v_facts || jsonb_build_object('last', (
            SELECT jsonb_build_array(f.task_id, b.role, f.order_id, f.price::TEXT, f.created_at,
                                     CASE WHEN f.task_id IS NULL OR t.event_type = 'EXIT_FLATTEN'
                                          THEN flattening_at(f.account, f.mode, f.created_at) END)
            FROM fills f
            LEFT JOIN broker_orders b ON b.account = f.account AND b.order_id = f.order_id
            LEFT JOIN execution_tasks t ON t.id = f.task_id
            WHERE f.trade_id = p_trade_id COLLATE "default" AND f.account = p_account COLLATE "C" AND f.mode = p_mode
            ORDER BY f.filled_at DESC, f.created_at DESC LIMIT 1));
    END IF;
    IF p_task_id = 0 OR EXISTS (SELECT FROM execution_tasks t WHERE t.id = p_task_id AND t.event_type = 'REDUCE') THEN
        v_facts := v_facts || jsonb_build_object('sized', (
            SELECT jsonb_agg(jsonb_build_array(s.contracts, s.asked)) FROM (
                SELECT i.detail ->> 'quantity' AS contracts, COALESCE(o.payload ->> 'quantity', '1') AS asked
                FROM execution_tasks o
                CROSS JOIN LATERAL (SELECT l.detail FROM execution_logs l WHERE l.task_id = o.id AND l.reason = 'INTENT'
                                    ORDER BY l.seq DESC LIMIT 1) i
                WHERE o.trade_id = p_trade_id COLLATE "default" AND o.account = p_account COLLATE "C" AND o.opening
                  AND o.status IN ('SUCCESS', 'ACCEPTED') AND o.mode = p_mode
                  AND o.payload ->> 'quantity_kind' IS NULL AND i.detail ->> 'quantity' IS NOT NULL
                ORDER BY o.id LIMIT 100) s));
    END IF;
    IF p_mode <> 'live' THEN
        RETURN v_facts;
    END IF;
    IF NOT (v_facts ->> 'filled')::BOOLEAN AND v_facts -> 'opened' <> 'null' THEN
        v_facts := v_facts || jsonb_build_object('told', (
            SELECT jsonb_build_array(COALESCE(i.detail ->> 'contract', o.payload ->> 'symbol'),
                                     COALESCE(i.detail ->> 'direction', o.payload ->> 'direction'),
                                     COALESCE(i.detail ->> 'quantity', o.payload ->> 'quantity'), n.created_at)
            FROM execution_tasks o
            JOIN execution_logs n ON n.task_id = o.id AND n.seq = o.version
            LEFT JOIN LATERAL (SELECT l.detail FROM execution_logs l WHERE l.task_id = o.id AND l.reason = 'INTENT'
                               ORDER BY l.seq DESC LIMIT 1) i ON TRUE
            WHERE o.trade_id = p_trade_id COLLATE "default" AND o.account = p_account COLLATE "C" AND o.opening AND o.status = 'SUCCESS'
              AND o.mode = p_mode AND o.id <> p_task_id
            ORDER BY o.id LIMIT 1));
    END IF;
    RETURN v_facts || jsonb_build_object(
                'unknown', (SELECT jsonb_build_array(o.id, o.status) FROM execution_tasks o
                            WHERE o.trade_id = p_trade_id COLLATE "default" AND o.account = p_account COLLATE "C" AND o.opening AND o.status IN ('UNKNOWN', 'REVIEW')
                              AND o.mode = p_mode AND o.id <> p_task_id LIMIT 1),
                'working', working_orders(p_trade_id, p_account, p_mode, p_task_id),
                'closing', EXISTS (SELECT FROM execution_tasks o
                                   WHERE o.trade_id = p_trade_id COLLATE "default" AND o.account = p_account COLLATE "C" AND NOT o.opening
                                     AND (o.event_type LIKE 'EXIT%' OR o.event_type LIKE 'REDUCE%')
                                     AND o.status IN ('PENDING', 'HELD', 'SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED')
                                     AND o.mode = p_mode AND o.id <> p_task_id),
                'hidden', (SELECT jsonb_build_array(o.id) FROM execution_tasks o
                           WHERE o.trade_id = p_trade_id COLLATE "default" AND o.account = p_account COLLATE "C" AND o.opening IN (TRUE, FALSE) AND o.status = 'ACCEPTED'
                             AND o.mode = p_mode AND o.id <> p_task_id
                             AND NOT EXISTS (SELECT FROM broker_orders b WHERE b.task_id = o.id AND b.account = o.account
                                               AND b.role IN ('entry', 'exit') AND b.state IN ('WORKING', 'UNCLEAR'))
                           LIMIT 1),
                'unsettled', (SELECT jsonb_build_array(b.order_id, b.filled::TEXT, r.recorded::TEXT) FROM broker_orders b
                              CROSS JOIN LATERAL (SELECT COALESCE(sum(f.quantity), 0) AS recorded FROM fills f
                                                  WHERE f.account = b.account AND f.order_id = b.order_id) r
                              WHERE b.trade_id = p_trade_id COLLATE "default" AND b.account = p_account COLLATE "C" AND b.mode = p_mode
                                AND b.role <> 'foreign' AND b.filled > r.recorded LIMIT 1),
                'unshown', (SELECT jsonb_build_array(o.id) FROM execution_tasks o
                            WHERE o.trade_id = p_trade_id COLLATE "default" AND o.account = p_account COLLATE "C" AND o.opening
                              AND (o.status = 'SUCCESS' OR o.status = 'SENDING' AND order_is_shown(o.id, p_account))
                              AND o.mode = p_mode AND o.id <> p_task_id AND (o.payload ? 'stop_loss' OR o.payload ? 'take_profit')
                              AND NOT EXISTS (SELECT FROM broker_orders b WHERE b.task_id = o.id AND b.role IN ('stop', 'target'))
                            ORDER BY o.id DESC LIMIT 1),
                'out_of_sync', v_out_of_sync,
                'flattening', (SELECT jsonb_build_array(c.id) FROM (
                                   SELECT l.state FROM account_log l WHERE l.account = p_account COLLATE "C" AND l.mode = p_mode
                                   ORDER BY l.seq DESC LIMIT 1) s
                               JOIN controls c ON c.id = (s.state ->> 'flattening')::BIGINT
                               WHERE c.scope NOT LIKE 'strategy:%'),
                'outdated', (SELECT jsonb_build_array(p.control) FROM (
                                 SELECT (l.detail ->> 'control')::BIGINT AS control, l.created_at FROM account_log l
                                 WHERE l.account = p_account COLLATE "C" AND l.mode = p_mode AND l.kind LIKE 'FLAT%' AND l.kind = 'FLAT'
                                   AND l.detail ->> 'scope' NOT LIKE 'strategy:%'
                                 ORDER BY l.seq DESC LIMIT 1) p
                             WHERE EXISTS (SELECT FROM holdings h
                                           WHERE h.account = p_account COLLATE "C" AND h.mode = p_mode AND h.trade_id = p_trade_id COLLATE "default"
                                             AND h.quantity <> 0
                                             AND (SELECT sum(n.quantity) FROM holdings n  -- else our fills say flat too: two trades oppose each other
                                                  WHERE n.account = p_account COLLATE "C" AND n.mode = p_mode AND n.contract = h.contract
                                                    AND n.quantity <> 0) <> 0
                                             AND NOT EXISTS (SELECT FROM fills f
                                                             WHERE f.trade_id = p_trade_id COLLATE "default" AND f.account = p_account COLLATE "C"
                                                               AND f.mode = p_mode AND f.contract = h.contract AND f.created_at > p.created_at
                                                               AND f.side = CASE WHEN h.quantity > 0 THEN 'BUY' ELSE 'SELL' END))));
END
$$;
