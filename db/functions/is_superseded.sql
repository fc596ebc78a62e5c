-- Whether an order with this client order id is of before a retry, and its task was sent again since.
CREATE OR REPLACE FUNCTION is_superseded(p_task_id BIGINT, p_client_order_id TEXT) RETURNS BOOLEAN
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    RETURN p_client_order_id IS NOT NULL
        AND EXISTS (SELECT FROM execution_tasks t
                    JOIN execution_logs l ON l.task_id = t.id AND l.status = 'SENDING' AND l.prev_status = 'PENDING'
                                         AND l.detail ->> 'client_order_id' = t.client_order_id
                    WHERE t.id = p_task_id AND t.client_order_id <> p_client_order_id COLLATE "C");
END
$$;
