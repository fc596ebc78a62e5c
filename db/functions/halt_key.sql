-- The advisory lock that claims hold shared until they commit, and that whoever halts takes exclusively: once it has it, no
-- further intent can follow.
CREATE OR REPLACE FUNCTION halt_key() RETURNS BIGINT
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
    SELECT hashtextextended('eventrouter.halt', 0);
$$;
