-- Ends tokens of a strategy: the one with this id, or with null every one but the newest. Returns the ids that were valid.
CREATE OR REPLACE FUNCTION revoke_strategy_tokens(p_strategy TEXT, p_id BIGINT) RETURNS SETOF BIGINT
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
    UPDATE strategy_tokens t
    SET revoked_at = clock_timestamp()
    WHERE t.strategy = p_strategy AND t.revoked_at IS NULL
      AND CASE WHEN p_id IS NULL
               THEN t.id < (SELECT max(n.id) FROM strategy_tokens n WHERE n.strategy = p_strategy AND n.revoked_at IS NULL)
               ELSE t.id = p_id END
    RETURNING t.id;
$$;
