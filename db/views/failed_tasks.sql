-- Tasks that a broker refused or that ran out of attempts, newest first.
CREATE OR REPLACE VIEW failed_tasks AS
SELECT id, trade_id, event_type, account, attempts, last_error, created_at
FROM execution_tasks
WHERE status = 'FAILED'
ORDER BY created_at DESC;
