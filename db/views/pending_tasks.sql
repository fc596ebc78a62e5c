-- How many tasks wait for a router.
CREATE OR REPLACE VIEW pending_tasks AS
SELECT count(*) AS pending_count
FROM execution_tasks
WHERE status = 'PENDING';
