-- The flattening that was closing an account at a time: {action, scope, actor, reason, at}, or null. A fill may be told of up to a
-- minute after the proof that the account is flat.
CREATE OR REPLACE FUNCTION flattening_at(p_account TEXT, p_mode TEXT, p_at TIMESTAMPTZ) RETURNS JSONB
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object('action', c.action, 'scope', c.scope, 'actor', c.actor, 'reason', c.reason, 'at', c.created_at)
        FROM (SELECT l.seq, (l.detail ->> 'control')::BIGINT AS control FROM account_log l
              WHERE l.account = p_account COLLATE "C" AND l.mode = p_mode AND l.kind LIKE 'FLAT%' AND l.kind = 'FLATTEN_STARTED'
                AND l.created_at <= p_at
              ORDER BY l.seq DESC LIMIT 1) s
        JOIN controls c ON c.id = s.control
        WHERE NOT EXISTS (SELECT FROM account_log e
                          WHERE e.account = p_account COLLATE "C" AND e.mode = p_mode AND e.kind LIKE 'FLAT%' AND e.seq > s.seq
                            AND e.kind IN ('FLAT', 'FLATTEN_WITHDRAWN') AND e.created_at < p_at - INTERVAL '1 minute'));
END
$$;
