-- Removes windows that ended more than a minute ago (at most a thousand at once); returns how many.
CREATE OR REPLACE FUNCTION purge_alert_windows() RETURNS BIGINT
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
    WITH gone AS (
        DELETE FROM alert_windows w
        WHERE (w.strategy, w.key) IN (
            SELECT o.strategy, o.key FROM alert_windows o
            WHERE o.expires_at < clock_timestamp() - INTERVAL '1 minute'
            ORDER BY o.expires_at
            LIMIT 1000
            FOR UPDATE SKIP LOCKED
        )
        RETURNING 1
    )
    SELECT count(*) FROM gone;
$$;
