-- How much of a contract the live exits and reductions of an account's other trades may still close, on the side of p_sign (1: they
-- sell what is long, -1: they buy back what is short). Each is counted by its latest intent, less what is recorded of its fills.
CREATE OR REPLACE FUNCTION leaving(p_trade_id TEXT, p_account TEXT, p_contract TEXT, p_sign NUMERIC) RETURNS NUMERIC
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    RETURN (SELECT sum(GREATEST((i.detail ->> 'quantity')::NUMERIC - r.filled, 0))
            FROM execution_tasks o
            CROSS JOIN LATERAL (SELECT l.detail FROM execution_logs l WHERE l.task_id = o.id AND l.reason = 'INTENT'
                                ORDER BY l.seq DESC LIMIT 1) i
            CROSS JOIN LATERAL (SELECT COALESCE(sum(CASE WHEN right(f.fill_id, 7) = ':voided' THEN -f.quantity ELSE f.quantity END), 0)
                                       AS filled
                                FROM fills f WHERE f.task_id = o.id) r
            WHERE o.account = p_account COLLATE "C" AND o.mode = 'live' AND NOT o.opening
              AND o.status IN ('SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED')
              AND o.trade_id <> p_trade_id COLLATE "default"
              AND i.detail ->> 'contract' = p_contract AND sign((i.detail ->> 'held')::NUMERIC) = p_sign);
END
$$;
