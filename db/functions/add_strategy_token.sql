-- Stores the hash of a new webhook token; the token itself is never stored.
CREATE OR REPLACE FUNCTION add_strategy_token(p_strategy TEXT, p_sha256 BYTEA) RETURNS BIGINT
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
    INSERT INTO strategy_tokens (strategy, token_sha256) VALUES (p_strategy, p_sha256) RETURNING id;
$$;
