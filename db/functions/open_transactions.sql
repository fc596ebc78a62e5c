-- How long the oldest open transaction of this database's clients has lasted, in seconds (0: there is no other), and of how many
-- sessions that cannot be told. With the owner's rights, since the application role sees only its own sessions.
CREATE OR REPLACE FUNCTION open_transactions(OUT oldest_s FLOAT8, OUT hidden INTEGER)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
    SELECT COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(a.xact_start) FILTER (WHERE a.backend_type = 'client backend')), 0)::FLOAT8,
           (count(*) FILTER (WHERE a.query = '<insufficient privilege>'))::INTEGER
    FROM pg_stat_activity a
    WHERE a.datname = current_database() AND a.pid <> pg_backend_pid();
$$;
