-- Whether an order of a task that waits to be sent again may be at the broker: it was looked for in vain, and that proved nothing.
CREATE OR REPLACE FUNCTION is_in_doubt(p_task_id BIGINT) RETURNS BOOLEAN
LANGUAGE sql STABLE
SET search_path FROM CURRENT
AS $$
    SELECT COALESCE((SELECT e.detail -> 'proven' IS DISTINCT FROM 'true' FROM execution_logs e
                     WHERE e.task_id = p_task_id AND e.prev_status IN ('UNKNOWN', 'REVIEW') AND e.status = 'PENDING'
                     ORDER BY e.seq DESC LIMIT 1), FALSE)
$$;
