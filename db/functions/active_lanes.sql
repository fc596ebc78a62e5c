-- The lanes that have open tasks, found by skipping through the index of open tasks: one probe a lane, however many tasks it has.
CREATE OR REPLACE FUNCTION active_lanes() RETURNS TABLE (lane TEXT)
LANGUAGE sql STABLE
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
    WITH RECURSIVE active (lane) AS (
        (SELECT t.lane FROM execution_tasks t
         WHERE t.status IN ('PENDING', 'SENDING', 'UNKNOWN', 'REVIEW') AND t.lane IS NOT NULL
         ORDER BY t.lane LIMIT 1)
        UNION ALL
        SELECT (SELECT t.lane FROM execution_tasks t
                WHERE t.status IN ('PENDING', 'SENDING', 'UNKNOWN', 'REVIEW') AND t.lane > a.lane
                ORDER BY t.lane LIMIT 1)
        FROM active a WHERE a.lane IS NOT NULL
    )
    SELECT a.lane FROM active a WHERE a.lane IS NOT NULL;
$$;
