-- AFTER INSERT on execution_logs, after the fold: a row that leaves FAILED or REVIEW closes its task's dead letter, one that leads
-- there opens one. In the row's own commit, so that the two never disagree.
CREATE OR REPLACE FUNCTION execution_logs_letters() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM fresh n WHERE n.status <> n.prev_status
                                         AND (n.status IN ('FAILED', 'REVIEW') OR n.prev_status IN ('FAILED', 'REVIEW'))) THEN
        RETURN NULL;
    END IF;
    UPDATE dead_letters d
    SET closed_seq = n.seq, closed_at = n.created_at, closed_by = n.actor, closed_how = n.reason, closed_reason = n.message
    FROM fresh n
    WHERE d.task_id = n.task_id AND d.closed_seq IS NULL AND n.status <> n.prev_status AND n.prev_status IN ('FAILED', 'REVIEW');
    INSERT INTO dead_letters (task_id, opened_seq, status, code, client_order_id, opened_at)
    SELECT n.task_id, n.seq, n.status, n.reason, t.client_order_id, n.created_at
    FROM fresh n
    JOIN execution_tasks t ON t.id = n.task_id
    WHERE n.status <> n.prev_status AND n.status IN ('FAILED', 'REVIEW')
    ORDER BY n.task_id;
    RETURN NULL;
END
$$;
