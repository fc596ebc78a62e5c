-- What an entry for one of these accounts must know, as it stands now; locks nothing and changes nothing. A claim calls
-- account_facts() instead, which locks first.
--   controls   [[scope, action, id, actor, reason, time], …], the latest of each scope
--   owners     {owner: [account, …]}, as published; an account that is configured no longer may still hold something
--   prices     {root: [price, time]} of the roots asked for
--   accounts   of the accounts asked for, of p_others, and of the owners' accounts:
--     holdings   [[trade, root, contract, quantity], …], above zero long
--     marks      for each of the holdings [root, when its last price stood]; null where that or what it cost is not known
--     entries    entries that may still open something, with what their intents said; also such as are to be sent again because
--                the broker did not find their order, which proves nothing:
--                [[task, root, direction, quantity, filled, symbol, asked direction, asked quantity], …]
--     orders     working orders that no open task stands for: [[root, contract, side, quantity left], …]
--     intents    [[task, time], …]: when its entries of the last minute were sent, the latest thousand
--     state      of its latest account_log row, or null
--     connection how its broker stands: [state, code, message, since], or null where no router says so
-- Numbers are texts, so that none is rounded. The collations are said because a caller's names are not of "C".
CREATE OR REPLACE FUNCTION read_account_facts(
    p_accounts TEXT[], p_owners TEXT[], p_others TEXT[], p_roots TEXT[], p_mode TEXT
) RETURNS JSONB
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path FROM CURRENT
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    RETURN (
        WITH RECURSIVE latest (scope, action, id, actor, reason, created_at) AS (
            (SELECT c.scope, c.action, c.id, c.actor, c.reason, c.created_at FROM controls c ORDER BY c.scope, c.id DESC LIMIT 1)
            UNION ALL
            SELECT n.scope, n.action, n.id, n.actor, n.reason, n.created_at
            FROM latest l
            CROSS JOIN LATERAL (SELECT c.scope, c.action, c.id, c.actor, c.reason, c.created_at FROM controls c WHERE c.scope > l.scope
                                ORDER BY c.scope, c.id DESC LIMIT 1) n
        ), owned (owner, account) AS (
            SELECT o.owner, s.name
            FROM unnest(p_owners) AS o (owner)
            CROSS JOIN LATERAL (SELECT DISTINCT p.name FROM settings p
                                WHERE p.kind = 'account' AND p.body ->> 'owner' = o.owner) s
            WHERE o.owner = (SELECT b.body ->> 'owner' FROM settings b
                             WHERE b.kind = 'account' AND b.name = s.name AND NOT b.withdrawn ORDER BY b.version DESC LIMIT 1)
        ), wanted (account) AS (
            SELECT a.name COLLATE "C" FROM unnest(p_accounts || p_others) AS a (name)
            UNION
            SELECT w.account FROM owned w
        )
        SELECT jsonb_build_object(
            'controls', (SELECT COALESCE(jsonb_agg(jsonb_build_array(l.scope, l.action, l.id, l.actor, l.reason, l.created_at)), '[]') FROM latest l),
            'owners', (SELECT COALESCE(jsonb_object_agg(g.owner, g.names), '{}')
                       FROM (SELECT w.owner, jsonb_agg(w.account ORDER BY w.account) AS names FROM owned w GROUP BY w.owner) g),
            'prices', (SELECT COALESCE(jsonb_object_agg(p.root, jsonb_build_array(p.price::TEXT, p.at)), '{}')
                       FROM last_prices p WHERE p.root = ANY (p_roots)),
            'accounts', (SELECT COALESCE(jsonb_object_agg(w.account, jsonb_build_object(
                'holdings', (SELECT COALESCE(jsonb_agg(jsonb_build_array(h.trade_id, h.root, h.contract, h.quantity::TEXT)), '[]')
                             FROM holdings h WHERE h.account = w.account AND h.mode = p_mode AND h.quantity <> 0),
                'marks', (SELECT COALESCE(jsonb_agg(jsonb_build_array(h.root, CASE WHEN h.average_price IS NOT NULL THEN p.at END)), '[]')
                          FROM holdings h
                          LEFT JOIN last_prices p ON p.root = h.root
                          WHERE h.account = w.account AND h.mode = p_mode AND h.quantity <> 0),
                'entries', (SELECT COALESCE(jsonb_agg(jsonb_build_array(
                                       t.id, i.detail ->> 'root', i.detail ->> 'direction', i.detail ->> 'quantity',
                                       (SELECT COALESCE(sum(f.quantity), 0)::TEXT FROM fills f WHERE f.task_id = t.id),
                                       t.payload ->> 'symbol', t.payload ->> 'direction', t.payload ->> 'quantity')), '[]')
                            FROM (SELECT x.* FROM execution_tasks x
                                  WHERE x.account = w.account AND x.mode = p_mode AND x.opening
                                    AND x.status IN ('SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED')
                                  UNION ALL
                                  SELECT x.* FROM execution_tasks x
                                  WHERE x.account = w.account AND x.mode = p_mode AND x.opening
                                    AND x.status = 'PENDING' AND x.attempts > 0
                                    AND is_in_doubt(x.id)
                                    -- what works of it is counted below
                                    AND NOT EXISTS (SELECT FROM broker_orders b
                                                    WHERE b.task_id = x.id AND b.role = 'entry' AND b.state IN ('WORKING', 'UNCLEAR'))) t
                            LEFT JOIN LATERAL (SELECT e.detail FROM execution_logs e
                                               WHERE e.task_id = t.id AND e.reason = 'INTENT' ORDER BY e.seq DESC LIMIT 1) i ON TRUE),
                'orders', (SELECT COALESCE(jsonb_agg(jsonb_build_array(b.root, b.contract, b.side, (b.quantity - b.filled)::TEXT)), '[]')
                           FROM broker_orders b
                           WHERE b.account = w.account AND b.mode = p_mode AND b.state IN ('WORKING', 'UNCLEAR')
                             AND (b.role = 'foreign'
                                  OR b.role = 'entry' AND NOT EXISTS (
                                      SELECT FROM execution_tasks x
                                      WHERE x.id = b.task_id AND x.status IN ('SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED')))),
                'intents', (SELECT COALESCE(jsonb_agg(jsonb_build_array(r.id, r.last_attempt_at)), '[]')
                            FROM (SELECT t.id, t.last_attempt_at FROM execution_tasks t
                                  WHERE t.account = w.account AND t.mode = p_mode AND t.opening
                                    AND t.last_attempt_at > now() - INTERVAL '2 minutes'
                                  ORDER BY t.last_attempt_at DESC LIMIT 1000) r),
                'state', (SELECT s.state FROM account_log s WHERE s.account = w.account AND s.mode = p_mode ORDER BY s.seq DESC LIMIT 1),
                'connection', (SELECT jsonb_build_array(k.state, k.code, k.message, k.since) FROM connection_of(w.account) k WHERE k.fresh)
            )), '{}') FROM wanted w)));
END
$$;
