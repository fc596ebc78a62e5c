-- The oldest tasks without an account, in id order, for one router at a time: nothing while another one holds the lock.
CREATE OR REPLACE FUNCTION lock_unrouted_tasks(p_limit INTEGER)
RETURNS TABLE (id BIGINT, version INTEGER, trade_id TEXT, event_type TEXT, payload JSONB)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    IF NOT EXISTS (SELECT FROM execution_tasks t WHERE t.status = 'PENDING' AND t.account IS NULL)
       OR NOT pg_try_advisory_xact_lock(hashtext('eventrouter.route'), 'execution_tasks'::REGCLASS::OID::INTEGER) THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT t.id, t.version, t.trade_id::TEXT, t.event_type::TEXT, t.payload
    FROM execution_tasks t
    WHERE t.status = 'PENDING' AND t.account IS NULL
    ORDER BY t.id
    LIMIT p_limit;
END
$$;
