-- Notes orders as a broker shows them, or, with p_ours, as we have just placed them: that is overwritten by any news of the broker's.
-- News never go backwards: what the broker dated earlier is left out, a final state stays, what is filled does not shrink.
-- An order is ours by its client order id, also by one of before a retry, a bracket's by its parent. Returns what stands now, and state and filled before.
-- p_orders: [{account, order_id, task_id, contract, root, side, quantity, filled, state, limit_price, stop_price, client_order_id,
-- parent_id, linked_id, placed_at, updated_at}]; task_id only with p_ours.
CREATE OR REPLACE FUNCTION note_broker_orders(p_mode TEXT, p_ours BOOLEAN, p_orders TEXT)
RETURNS TABLE (account TEXT, order_id TEXT, task_id BIGINT, trade_id TEXT, role TEXT, state TEXT, filled NUMERIC, state_before TEXT, filled_before NUMERIC)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    v_given  RECORD;
    v_task   RECORD;
    v_before broker_orders;
    v_now    broker_orders;
BEGIN
    PERFORM pg_advisory_xact_lock(account_key(n.name))
    FROM (SELECT DISTINCT u.account COLLATE "C" AS name FROM jsonb_to_recordset(p_orders::JSONB) AS u (account TEXT) ORDER BY 1 OFFSET 0) n;
    FOR v_given IN
        SELECT * FROM jsonb_to_recordset(p_orders::JSONB) AS x (
            account TEXT, order_id TEXT, task_id BIGINT, contract TEXT, root TEXT, side TEXT, quantity NUMERIC, filled NUMERIC, state TEXT,
            limit_price NUMERIC, stop_price NUMERIC, client_order_id TEXT, parent_id TEXT, linked_id TEXT, placed_at TIMESTAMPTZ,
            updated_at TIMESTAMPTZ)
        ORDER BY x.parent_id IS NOT NULL  -- a bracket's order is known by its entry
    LOOP
        SELECT * INTO v_before FROM broker_orders o
        WHERE o.account = v_given.account COLLATE "C" AND o.order_id = v_given.order_id COLLATE "C";
        IF v_given.parent_id IS NOT NULL THEN
            SELECT o.task_id, o.trade_id::TEXT AS trade_id,
                   CASE WHEN v_given.stop_price IS NOT NULL THEN 'stop'
                        WHEN v_given.limit_price IS NOT NULL OR v_given.linked_id IS NOT NULL THEN 'target'
                        ELSE COALESCE(v_before.role, 'stop') END AS role
            INTO v_task FROM broker_orders o
            WHERE o.account = v_given.account COLLATE "C" AND o.order_id = v_given.parent_id COLLATE "C" AND o.role = 'entry';
        ELSE
            SELECT t.id AS task_id, t.trade_id::TEXT AS trade_id, CASE WHEN t.opening THEN 'entry' ELSE 'exit' END AS role
            INTO v_task FROM execution_tasks t
            WHERE t.account = v_given.account COLLATE "C" AND t.mode = p_mode
              AND (p_ours AND t.id = v_given.task_id
                   OR p_mode = 'live' AND t.mode = 'live' AND t.client_order_id = v_given.client_order_id COLLATE "C");
            IF NOT FOUND AND p_mode = 'live' AND v_given.client_order_id IS NOT NULL THEN  -- sent before somebody had it sent again
                SELECT t.id AS task_id, t.trade_id::TEXT AS trade_id, CASE WHEN t.opening THEN 'entry' ELSE 'exit' END AS role
                INTO v_task FROM dead_letters d JOIN execution_tasks t ON t.id = d.task_id
                WHERE d.client_order_id = v_given.client_order_id COLLATE "C" AND t.account = v_given.account COLLATE "C" AND t.mode = 'live'
                LIMIT 1;
            END IF;
        END IF;
        INSERT INTO broker_orders AS b (account, order_id, mode, task_id, trade_id, role, contract, root, side, quantity, filled, state,
                                        limit_price, stop_price, client_order_id, parent_id, linked_id, placed_at, updated_at)
        VALUES (v_given.account, v_given.order_id, p_mode, v_task.task_id, v_task.trade_id, COALESCE(v_task.role, 'foreign'),
                v_given.contract, v_given.root, v_given.side, v_given.quantity, v_given.filled, v_given.state, v_given.limit_price,
                v_given.stop_price, v_given.client_order_id, v_given.parent_id, v_given.linked_id, v_given.placed_at, v_given.updated_at)
        ON CONFLICT (account, order_id) DO UPDATE
        SET task_id = COALESCE(b.task_id, EXCLUDED.task_id),
            trade_id = COALESCE(b.trade_id, EXCLUDED.trade_id),
            role = CASE WHEN EXCLUDED.role = 'foreign' THEN b.role ELSE EXCLUDED.role END,
            contract = CASE WHEN p_ours THEN b.contract ELSE EXCLUDED.contract END,
            root = CASE WHEN p_ours THEN b.root ELSE EXCLUDED.root END,
            side = CASE WHEN p_ours THEN b.side ELSE EXCLUDED.side END,
            quantity = CASE WHEN p_ours THEN b.quantity ELSE EXCLUDED.quantity END,
            filled = GREATEST(b.filled, EXCLUDED.filled),
            state = CASE WHEN p_ours OR b.state IN ('FILLED', 'CANCELLED', 'EXPIRED', 'REJECTED') THEN b.state ELSE EXCLUDED.state END,
            limit_price = CASE WHEN p_ours THEN b.limit_price ELSE COALESCE(EXCLUDED.limit_price, b.limit_price) END,
            stop_price = CASE WHEN p_ours THEN b.stop_price ELSE COALESCE(EXCLUDED.stop_price, b.stop_price) END,
            client_order_id = COALESCE(b.client_order_id, EXCLUDED.client_order_id),
            parent_id = COALESCE(b.parent_id, EXCLUDED.parent_id),
            linked_id = COALESCE(b.linked_id, EXCLUDED.linked_id),
            placed_at = CASE WHEN p_ours THEN b.placed_at ELSE EXCLUDED.placed_at END,
            updated_at = COALESCE(EXCLUDED.updated_at, b.updated_at),
            seen_at = clock_timestamp()
        WHERE b.updated_at IS NULL OR EXCLUDED.updated_at IS NULL OR EXCLUDED.updated_at >= b.updated_at;
        SELECT * INTO v_now FROM broker_orders o
        WHERE o.account = v_given.account COLLATE "C" AND o.order_id = v_given.order_id COLLATE "C";
        RETURN QUERY SELECT v_now.account, v_now.order_id, v_now.task_id, v_now.trade_id::TEXT, v_now.role, v_now.state, v_now.filled,
                            v_before.state, COALESCE(v_before.filled, 0);
    END LOOP;
END
$$;
