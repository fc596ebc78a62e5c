-- Gives a task that named no account its accounts: the first keeps the row, the others get siblings at the same place in
-- line. The caller holds the routing lock (see lock_unrouted_tasks). Returns the ids, the task's own first.
-- p_plans: one element an account; p_others: the accounts that get nothing, and why. JSON.
CREATE OR REPLACE FUNCTION route_task(
    p_task_id BIGINT, p_actor TEXT, p_accounts TEXT[], p_max_age FLOAT8, p_plans TEXT[] DEFAULT '{}', p_others TEXT DEFAULT '[]'
) RETURNS BIGINT[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    v_task execution_tasks;
    v_ids  BIGINT[];
BEGIN
    SELECT * INTO STRICT v_task FROM execution_tasks t
    WHERE t.id = p_task_id AND t.status = 'PENDING' AND t.account IS NULL FOR NO KEY UPDATE;
    INSERT INTO execution_logs (task_id, seq, prev_status, status, attempt, actor, reason, detail)
    VALUES (v_task.id, v_task.version + 1, v_task.status, v_task.status, v_task.attempts, p_actor, 'ROUTED',
            jsonb_build_object('account', p_accounts[1],
                               'lane', lane_of(p_accounts[1], v_task.payload ->> 'symbol', v_task.trade_id),
                               'mode', v_task.mode, 'client_order_id', draw_client_order_id(),
                               'expires_at', v_task.created_at + make_interval(secs => p_max_age),
                               'plan', p_plans[1]::JSONB, 'others', p_others::JSONB));
    WITH siblings AS (
        INSERT INTO execution_tasks (trade_id, event_type, payload, signal_id, account, place, mode, expires_at, plan)
        SELECT v_task.trade_id, v_task.event_type, v_task.payload, v_task.signal_id, a.account, v_task.place, v_task.mode,
               v_task.created_at + make_interval(secs => p_max_age), p_plans[1 + a.ord]::JSONB
        FROM unnest(p_accounts[2:]) WITH ORDINALITY AS a (account, ord)
        ORDER BY a.ord
        RETURNING id
    )
    SELECT v_task.id || COALESCE(array_agg(s.id ORDER BY s.id), '{}') INTO v_ids FROM siblings s;
    PERFORM pg_notify('eventrouter_tasks', '');  -- the account may be another router's
    RETURN v_ids;
END
$$;
