-- What the alerts alone do not tell of a trade: whether it has had an exit that was not called off, and whether everything
-- that would change its size was done or still may be, and nothing else did: no stop, no target, no entry that ended partly filled.
CREATE OR REPLACE FUNCTION trade_doubts(p_trade_id TEXT, OUT exited BOOLEAN, OUT sized BOOLEAN)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    exited := EXISTS (SELECT FROM execution_tasks t WHERE t.trade_id = p_trade_id AND NOT t.opening AND t.event_type LIKE 'EXIT%'
                                                      AND t.status <> 'CANCELLED');
    sized := NOT EXISTS (SELECT FROM execution_tasks t
                         WHERE t.trade_id = p_trade_id AND (t.opening OR t.event_type LIKE 'REDUCE%')
                           AND t.status NOT IN ('PENDING', 'SENDING', 'ACCEPTED', 'SUCCESS'))
             AND NOT EXISTS (SELECT FROM broker_orders b
                             WHERE b.trade_id = p_trade_id AND b.filled > 0
                               AND (b.role IN ('stop', 'target') OR b.role = 'entry' AND b.filled < b.quantity AND b.state IN ('CANCELLED', 'EXPIRED')));
END
$$;
