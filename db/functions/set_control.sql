-- Halts, resumes or flattens a scope, and returns the orders there whose outcome is not known yet or that work at the broker:
-- one row at least, whose task is null when there is none.
-- The lock is the one that claims hold shared. Once it is ours, every intent that was being decided is committed or gone, and a claim
-- that comes later reads the row below: when this returns, nothing follows that the row forbids.
CREATE OR REPLACE FUNCTION set_control(p_scope TEXT, p_action TEXT, p_actor TEXT, p_reason TEXT)
RETURNS TABLE (
    control BIGINT, set_at TIMESTAMPTZ, task_id BIGINT, account TEXT, mode TEXT, trade_id TEXT, event_type TEXT, status TEXT,
    client_order_id TEXT, since TIMESTAMPTZ
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '14s'
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_id BIGINT;
    v_at TIMESTAMPTZ;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('eventrouter.halt', 0));
    INSERT INTO controls AS c (scope, action, actor, reason) VALUES (p_scope, p_action, p_actor, p_reason)
    RETURNING c.id, c.created_at INTO v_id, v_at;
    PERFORM pg_notify('eventrouter_tasks', '');
    -- a statement of its own: its snapshot is younger than the lock
    RETURN QUERY
    SELECT v_id, v_at, f.id, f.account, f.mode, f.trade_id::TEXT, f.event_type::TEXT, f.status::TEXT, f.client_order_id, f.updated_at
    FROM (VALUES (0)) AS one
    LEFT JOIN LATERAL (
        SELECT t.id, t.account, t.mode, t.trade_id, t.event_type, t.status, t.client_order_id, t.updated_at
        FROM (SELECT * FROM execution_tasks s WHERE s.status = 'SENDING'
              UNION ALL
              SELECT * FROM execution_tasks u WHERE u.status IN ('UNKNOWN', 'ACCEPTED')) t
        WHERE p_scope = 'all' OR p_scope = 'account:' || t.account
           OR lower(p_scope) = 'strategy:' || lower(strategy_of(t.id))
        ORDER BY t.id
        LIMIT 500
    ) f ON TRUE;
END
$$;
