-- What a decision about a task must know of its trade's other tasks on the account. Each fact is one index probe, so a trade
-- with thousands of tasks costs no more than one with two.
--   sending   a task that is being sent, or an exit whose outcome is not known: [id]
--   closed    an exit that was executed: [id, status]
--   opened    an entry that was executed: [id, symbol]
--   exit      an exit that was not cancelled, executed or not: [id, status]
--   unsent    entries not sent yet: [[id, version], …], the first hundred
--   entries   how the latest entries ended: [[id, status], …], at most three
-- The collations are said because a caller's account is of "C": undeclared, both arguments would be, and no index would fit.
CREATE OR REPLACE FUNCTION trade_facts(p_trade_id TEXT, p_account TEXT, p_mode TEXT, p_task_id BIGINT) RETURNS JSONB
LANGUAGE plpgsql STABLE  -- whose plans are kept: an SQL function is planned anew for each row of a trigger
SET search_path FROM CURRENT
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    RETURN (SELECT jsonb_build_object(
                'sending', (SELECT jsonb_build_array(o.id) FROM execution_tasks o
                            WHERE o.trade_id = p_trade_id COLLATE "default" AND o.account = p_account COLLATE "C"
                              AND (o.status = 'SENDING' OR o.event_type LIKE 'EXIT%' AND o.status IN ('UNKNOWN', 'REVIEW'))
                              AND o.mode = p_mode AND o.id <> p_task_id LIMIT 1),
                'closed', (SELECT jsonb_build_array(o.id, o.status) FROM execution_tasks o
                           WHERE o.trade_id = p_trade_id COLLATE "default" AND o.account = p_account COLLATE "C" AND NOT o.opening AND o.event_type LIKE 'EXIT%'
                             AND o.status IN ('SUCCESS', 'ACCEPTED')
                             AND o.mode = p_mode AND o.id <> p_task_id LIMIT 1),
                'opened', (SELECT jsonb_build_array(o.id, o.payload ->> 'symbol') FROM execution_tasks o
                           WHERE o.trade_id = p_trade_id COLLATE "default" AND o.account = p_account COLLATE "C" AND o.opening AND o.status IN ('SUCCESS', 'ACCEPTED')
                             AND o.mode = p_mode AND o.id <> p_task_id LIMIT 1),
                'exit', (SELECT jsonb_build_array(o.id, o.status) FROM execution_tasks o
                         WHERE o.trade_id = p_trade_id COLLATE "default" AND o.account = p_account COLLATE "C" AND NOT o.opening AND o.event_type LIKE 'EXIT%'
                           AND o.status IN ('PENDING', 'HELD', 'SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED', 'SUCCESS', 'FAILED', 'DENIED', 'EXPIRED')
                           AND o.mode = p_mode AND o.id <> p_task_id LIMIT 1),
                'unsent', (SELECT COALESCE(jsonb_agg(jsonb_build_array(u.id, u.version) ORDER BY u.id), '[]') FROM (
                           SELECT o.id, o.version FROM execution_tasks o
                           WHERE o.trade_id = p_trade_id COLLATE "default" AND o.account = p_account COLLATE "C" AND o.opening AND o.status IN ('PENDING', 'HELD')
                             AND o.mode = p_mode AND o.id <> p_task_id
                           ORDER BY o.id LIMIT 100) u),
                'entries', (SELECT COALESCE(jsonb_agg(jsonb_build_array(e.id, e.status) ORDER BY e.id), '[]') FROM (
                            SELECT o.id, o.status FROM execution_tasks o
                            WHERE o.trade_id = p_trade_id COLLATE "default" AND o.account = p_account COLLATE "C" AND o.opening AND o.mode = p_mode AND o.id <> p_task_id
                            ORDER BY o.trade_id, o.account, o.opening, o.status DESC, o.id DESC LIMIT 3) e)));
END
$$;
