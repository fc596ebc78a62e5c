-- What waits for a person, the newest letter first: why, what is known of it, and the task.
CREATE OR REPLACE VIEW open_dead_letters AS
SELECT d.id, d.task_id, d.opened_seq, d.status, d.code, l.message, d.client_order_id, d.opened_at, t.trade_id, t.event_type, t.account,
       t.mode, t.attempts, dead_letter_evidence(d.task_id, d.opened_seq, d.closed_seq) AS evidence
FROM dead_letters d
JOIN execution_tasks t ON t.id = d.task_id
JOIN execution_logs l ON l.task_id = d.task_id AND l.seq = d.opened_seq
WHERE d.closed_seq IS NULL
ORDER BY d.id DESC;
