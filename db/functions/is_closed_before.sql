-- Whether an entry's trade was closed on its account after the entry came: an exit worked, is done, or found nothing.
CREATE OR REPLACE FUNCTION is_closed_before(p_task_id BIGINT) RETURNS BOOLEAN
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM execution_tasks e
        JOIN execution_tasks x ON x.trade_id = e.trade_id AND x.account = e.account AND NOT x.opening AND x.mode = e.mode
                              AND starts_with(x.event_type, 'EXIT') AND x.id > e.id
        WHERE e.id = p_task_id AND e.opening
          AND (x.status IN ('SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED', 'SUCCESS')
               OR x.status = 'DENIED' AND EXISTS (SELECT FROM execution_logs l
                                                  WHERE l.task_id = x.id AND l.status = 'DENIED' AND l.prev_status <> 'DENIED'
                                                    AND l.reason IN ('NOTHING_TO_CLOSE', 'NOTHING_OPEN', 'ENTRY_UNPROVEN'))));
END
$$;
