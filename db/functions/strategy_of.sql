-- The strategy that a task belongs to, as its plan, its signal or its payload names it; null when none does.
CREATE OR REPLACE FUNCTION strategy_of(p_task_id BIGINT) RETURNS TEXT
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    RETURN (SELECT COALESCE(t.plan ->> 'strategy', s.strategy, t.payload ->> 'strategy')
            FROM execution_tasks t
            LEFT JOIN automated_signals s ON s.id = t.signal_id
            WHERE t.id = p_task_id);
END
$$;
