-- Stores the hash of a new webhook token; the token itself is never stored. At most two are valid at once, the old and the new
-- one of a rotation. Returns null where two are.
CREATE OR REPLACE FUNCTION add_strategy_token(p_strategy TEXT, p_sha256 BYTEA) RETURNS BIGINT
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    v_id BIGINT;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('eventrouter.token'), hashtext(p_strategy));
    IF (SELECT count(*) FROM strategy_tokens t WHERE t.strategy = p_strategy AND t.revoked_at IS NULL) >= 2 THEN
        RETURN NULL;
    END IF;
    INSERT INTO strategy_tokens (strategy, token_sha256) VALUES (p_strategy, p_sha256) RETURNING id INTO v_id;
    RETURN v_id;
END
$$;
