-- Tasks created in each minute and how many of them have been executed since.
CREATE OR REPLACE VIEW processing_rate AS
SELECT date_trunc('minute', created_at) AS minute,
       count(*) AS tasks_created,
       count(*) FILTER (WHERE status = 'SUCCESS') AS tasks_processed
FROM execution_tasks
GROUP BY 1
ORDER BY 1 DESC;
