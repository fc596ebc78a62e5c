-- The log with each task's trade, newest first.
CREATE OR REPLACE VIEW recent_execution_logs AS
SELECT l.id, t.trade_id, t.event_type, t.account, l.task_id, l.seq, l.prev_status, l.status, l.reason, l.message, l.response_body,
       l.created_at
FROM execution_logs l
JOIN execution_tasks t ON t.id = l.task_id
ORDER BY l.created_at DESC, l.id DESC;
