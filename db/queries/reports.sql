-- What people and programs look at. Lists are paged by id, newest first.

-- name: list_tasks
SELECT t.id, t.trade_id, t.event_type, t.status, t.attempts, t.last_error, t.payload, t.last_attempt_at, t.created_at, t.updated_at,
       t.signal_id, t.account, t.lane, t.mode, t.client_order_id, t.expires_at, t.run_at, t.worker, t.lease_until, t.version, t.plan,
       t.retry_of
FROM execution_tasks t
WHERE (:status::TEXT IS NULL OR t.status = :status)
  AND (:account::TEXT IS NULL OR t.account = :account)
  AND (:trade_id::TEXT IS NULL OR t.trade_id = :trade_id)
  AND (:before::BIGINT IS NULL OR t.id < :before)
ORDER BY t.id DESC
LIMIT :limit;

-- name: one_task^
SELECT t.id, t.trade_id, t.event_type, t.status, t.attempts, t.last_error, t.payload, t.last_attempt_at, t.created_at, t.updated_at,
       t.signal_id, t.account, t.lane, t.mode, t.client_order_id, t.expires_at, t.run_at, t.worker, t.lease_until, t.version, t.plan,
       t.retry_of, s.received_at, s.strategy
FROM execution_tasks t
LEFT JOIN automated_signals s ON s.id = t.signal_id
WHERE t.id = :task_id;

-- name: waiting_behind
-- Of these tasks those that open something and wait for an earlier one of their lane: the first of it, for which all behind it wait.
SELECT t.id, b.id AS task, b.status
FROM execution_tasks t
CROSS JOIN LATERAL (SELECT x.id, x.status, x.place FROM execution_tasks x
                    WHERE x.lane = t.lane AND x.status IN ('PENDING', 'SENDING', 'UNKNOWN', 'REVIEW')
                      AND (x.mode = t.mode OR x.status = 'PENDING' AND (x.opening OR x.mode = 'dry'))
                    ORDER BY x.place, x.id LIMIT 1) b
WHERE t.id = ANY (:ids::BIGINT[]) AND t.status = 'PENDING' AND t.opening AND b.id <> t.id;

-- name: task_log
SELECT seq, prev_status, status, attempt, actor, reason, message, response_code, response_body, detail, run_at, lease_until, created_at
FROM execution_logs
WHERE task_id = :task_id
ORDER BY seq;

-- name: list_signals
SELECT s.id, s.signal_uid, s.duplicate_of, s.strategy, s.trade_id, s.event_type, s.code, s.message, s.field, s.content_type, s.source_ip,
       s.raw, s.parsed, s.received_at, s.created_at,
       COALESCE((SELECT array_agg(t.id ORDER BY t.id) FROM execution_tasks t
                 WHERE t.trade_id = ANY (COALESCE(s.trades, ARRAY[s.trade_id::TEXT])) AND t.signal_id = s.id), '{}') AS tasks
FROM automated_signals s
WHERE (:strategy::TEXT IS NULL OR s.strategy = :strategy)
  AND (:before::BIGINT IS NULL OR s.id < :before)
ORDER BY s.id DESC
LIMIT :limit;

-- name: open_counts
-- Open tasks of each account by status; finished ones are not counted, so this stays cheap for years.
SELECT t.account, t.status, count(*), min(t.created_at)
FROM execution_tasks t
WHERE t.status IN ('PENDING', 'SENDING', 'UNKNOWN', 'REVIEW') AND t.lane IS NOT NULL
GROUP BY 1, 2
UNION ALL
SELECT t.account, t.status, count(*), min(t.created_at)
FROM execution_tasks t
WHERE t.status IN ('HELD', 'ACCEPTED')
GROUP BY 1, 2
UNION ALL
SELECT NULL, t.status, count(*), min(t.created_at)
FROM execution_tasks t
WHERE t.status = 'PENDING' AND t.account IS NULL
GROUP BY 2;

-- name: all_logs
-- Payloads as text: jsonb has one text for one value, and Python cannot read every number and depth that it can hold.
SELECT task_id, seq, prev_status, status, attempt, reason, message, detail - 'payload', detail ->> 'payload', created_at, run_at,
       lease_until IS NOT NULL
FROM execution_logs
ORDER BY task_id, seq;

-- name: all_tasks
SELECT id, trade_id, event_type, jsonb_build_object('p', payload) ->> 'p',
       signal_id, account, lane, place, mode, client_order_id, expires_at, plan, retry_of, status, attempts, version, last_error, last_attempt_at, run_at,
       created_at
FROM execution_tasks
ORDER BY id;

-- name: intents
SELECT l.task_id, t.event_type, t.account, l.created_at, l.detail
FROM execution_logs l
JOIN execution_tasks t ON t.id = l.task_id
WHERE l.status = 'SENDING' AND l.prev_status = 'PENDING'
ORDER BY l.task_id, l.seq;

-- name: sent_while_halted
-- Intents of what opens, committed while the latest row of a scope that concerns them forbade it. A control is written under the
-- lock that claims hold shared, so no intent of before it has a later time.
SELECT l.task_id, l.seq, l.created_at, c.scope, c.action, c.created_at
FROM execution_logs l
JOIN execution_tasks t ON t.id = l.task_id
LEFT JOIN automated_signals s ON s.id = t.signal_id
CROSS JOIN LATERAL (VALUES ('all'), ('account:' || t.account),
                           ('strategy:' || lower(COALESCE(t.plan ->> 'strategy', s.strategy, t.payload ->> 'strategy')))) AS x (scope)
JOIN LATERAL (SELECT k.scope, k.action, k.created_at FROM controls k
              WHERE CASE WHEN k.scope LIKE 'strategy:%%' THEN lower(k.scope) ELSE k.scope END = x.scope AND k.created_at < l.created_at
              ORDER BY k.id DESC LIMIT 1) c ON c.action <> 'resume'
WHERE l.status = 'SENDING' AND l.prev_status = 'PENDING' AND t.event_type IN ('ENTRY', 'ADD')
ORDER BY l.task_id, l.seq;

-- name: sent_too_old
-- Intents of what opens, committed some seconds after the time that its rows say it expires; what a person approved has no such time.
SELECT l.task_id, l.seq, l.created_at, e.expires_at
FROM execution_logs l
JOIN execution_tasks t ON t.id = l.task_id
JOIN LATERAL (SELECT (d.detail ->> 'expires_at')::TIMESTAMPTZ AS expires_at FROM execution_logs d
              WHERE d.task_id = l.task_id AND d.seq < l.seq AND d.detail ? 'expires_at'
                AND (d.seq = 1 OR d.reason IN ('ROUTED', 'OPERATOR_RETRY'))
              ORDER BY d.seq DESC LIMIT 1) e ON e.expires_at + make_interval(secs => :grace) < l.created_at
WHERE l.status = 'SENDING' AND l.prev_status = 'PENDING' AND t.event_type IN ('ENTRY', 'ADD')
  AND NOT EXISTS (SELECT FROM execution_logs a
                  WHERE a.task_id = l.task_id AND a.seq < l.seq AND a.prev_status = 'HELD' AND a.status = 'PENDING')
ORDER BY l.task_id, l.seq;

-- name: answered_by_others
-- What a sender says of its attempt, written by somebody who did not make it: an outcome that no fence kept out.
SELECT l.task_id, l.seq, l.reason, l.actor, i.actor
FROM execution_logs l
JOIN LATERAL (SELECT s.actor FROM execution_logs s
              WHERE s.task_id = l.task_id AND s.seq < l.seq AND s.status = 'SENDING' AND s.prev_status = 'PENDING'
              ORDER BY s.seq DESC LIMIT 1) i ON i.actor <> l.actor
WHERE l.prev_status = 'SENDING' AND l.reason IN ('DONE', 'ACCEPTED', 'REJECTED', 'NOT_SENT', 'SESSION_REFUSED', 'UNKNOWN_OUTCOME')
ORDER BY l.task_id, l.seq;

-- name: repeated_order_ids
SELECT client_order_id, array_agg(id ORDER BY id)
FROM execution_tasks
WHERE client_order_id IS NOT NULL
GROUP BY client_order_id
HAVING count(*) > 1;

-- name: one_signal^
SELECT s.id, s.signal_uid, s.duplicate_of, (SELECT f.id FROM automated_signals f WHERE f.signal_uid = s.duplicate_of) AS first_signal,
       s.strategy, s.trade_id, s.trades, s.event_type, s.code, s.message, s.field, s.content_type, s.source_ip, s.raw, s.parsed,
       s.received_at, s.fired_at, s.created_at, s.plan
FROM automated_signals s
WHERE s.id = :signal_id;

-- name: signal_tasks
-- A signal's tasks, each with what its log says last: of a finished task, how it ended, and not what was noted afterwards; with
-- what was ordered, and what of that was filled by its own order, at which average price.
SELECT t.id, t.account, t.trade_id, t.event_type, t.status, t.mode, t.plan, l.reason, l.message, l.detail, l.created_at,
       (i.detail ->> 'quantity')::TEXT AS quantity, COALESCE(m.contract, i.detail ->> 'contract') AS contract, m.filled, m.average_price
FROM automated_signals s
JOIN execution_tasks t ON t.trade_id = ANY (COALESCE(s.trades, ARRAY[s.trade_id::TEXT])) AND t.signal_id = s.id
CROSS JOIN LATERAL (
    SELECT e.* FROM execution_logs e
    WHERE e.task_id = t.id
      AND (t.status NOT IN ('SUCCESS', 'FAILED', 'DENIED', 'EXPIRED', 'CANCELLED') OR e.prev_status IS DISTINCT FROM e.status)
    ORDER BY e.seq DESC
    LIMIT 1
) l
LEFT JOIN LATERAL (SELECT e.detail FROM execution_logs e
                   WHERE e.task_id = t.id AND e.reason = 'INTENT' ORDER BY e.seq DESC LIMIT 1) i ON TRUE
CROSS JOIN LATERAL (
    SELECT COALESCE(sum(f.quantity), 0) AS filled, min(f.contract) AS contract,
           sum(f.quantity * f.price) / NULLIF(sum(f.quantity) FILTER (WHERE f.price IS NOT NULL), 0) AS average_price
    FROM fills f
    LEFT JOIN broker_orders o ON o.account = f.account AND o.order_id = f.order_id
    WHERE f.task_id = t.id AND (f.order_id = t.client_order_id OR o.role IN ('entry', 'exit'))
) m
WHERE s.id = :signal_id
ORDER BY t.id;

-- name: published_accounts
-- Every account that was ever published, in the order of first publication.
SELECT name, version, withdrawn, actor AS changed_by, created_at AS changed_at, body AS settings
FROM (SELECT DISTINCT ON (s.name) s.*, min(s.id) OVER (PARTITION BY s.name) AS first
      FROM settings s WHERE s.kind = 'account' ORDER BY s.name, s.version DESC) latest
ORDER BY first;

-- name: account_versions
SELECT version, withdrawn, difference, actor, created_at
FROM settings
WHERE kind = 'account' AND name = :account
ORDER BY version DESC
LIMIT :limit;

-- name: open_holdings
SELECT account, mode, trade_id, contract, quantity, average_price, opened_at
FROM holdings
WHERE quantity <> 0 AND (:account::TEXT IS NULL OR account = :account)
ORDER BY account, mode, opened_at, trade_id;

-- name: external_orders_working
-- Orders that work at the broker and are nobody's here: they count as exposure, and only a flattening touches them.
SELECT order_id, contract, side, quantity, filled, state, limit_price, stop_price, client_order_id, placed_at
FROM broker_orders
WHERE account = :account AND mode = 'live' AND role = 'foreign' AND state IN ('WORKING', 'UNCLEAR')
ORDER BY placed_at, order_id
LIMIT :limit;

-- name: account_states
-- The last thing that happened to each account, in each mode, and how it stood afterwards.
SELECT a.name AS account, m.mode, l.seq, l.kind, l.message, l.state, l.created_at
FROM unnest(:accounts::TEXT[]) AS a (name)
CROSS JOIN (VALUES ('dry'), ('live')) AS m (mode)
CROSS JOIN LATERAL (
    SELECT e.* FROM account_log e WHERE e.account = a.name COLLATE "C" AND e.mode = m.mode ORDER BY e.seq DESC LIMIT 1
) l;

-- name: account_events
SELECT mode, seq, kind, actor, message, detail, state, created_at
FROM account_log
WHERE account = :account
ORDER BY created_at DESC, mode, seq DESC
LIMIT :limit;

-- name: account_standings
-- The latest control of everything and of each account.
SELECT DISTINCT ON (c.scope) c.scope, c.action, c.id, c.actor, c.reason, c.created_at
FROM controls c
WHERE c.scope = 'all' OR starts_with(c.scope, 'account:')
ORDER BY c.scope, c.id DESC;

-- name: all_account_logs
SELECT account, mode, seq, kind, detail, state FROM account_log ORDER BY account, mode, seq;

-- name: holdings_astray
-- Holdings that are not the sum of their fills: account, mode, trade, contract, and what differs.
WITH sums AS (
    SELECT account, mode, trade_id, contract, sum(CASE side WHEN 'BUY' THEN quantity ELSE -quantity END) AS quantity,
           sum(COALESCE(pnl, 0)) AS realised, sum(fee) AS fees
    FROM fills
    GROUP BY account, mode, trade_id, contract
)
SELECT account, mode, trade_id, contract,
       concat_ws(', ', 'quantity ' || COALESCE(h.quantity::TEXT, 'missing'), 'realised ' || h.realised, 'fees ' || h.fees),
       concat_ws(', ', 'quantity ' || COALESCE(s.quantity::TEXT, 'missing'), 'realised ' || s.realised, 'fees ' || s.fees)
FROM sums s
FULL JOIN holdings h USING (account, mode, trade_id, contract)
WHERE (h.quantity, h.realised, h.fees) IS DISTINCT FROM (s.quantity, s.realised, s.fees)
ORDER BY 1, 2, 3, 4;

-- name: booked_astray
-- Accounts whose BOOKED rows are not the sum of their fills' money.
WITH booked AS (
    SELECT account, mode, sum((detail ->> 'pnl')::NUMERIC) AS pnl, sum((detail ->> 'fee')::NUMERIC) AS fee
    FROM account_log WHERE kind = 'BOOKED' GROUP BY account, mode
), filled AS (
    SELECT account, mode, sum(COALESCE(pnl, 0)) AS pnl, sum(fee) AS fee FROM fills GROUP BY account, mode
)
SELECT account, mode, COALESCE(b.pnl, 0), COALESCE(b.fee, 0), COALESCE(f.pnl, 0), COALESCE(f.fee, 0)
FROM booked b
FULL JOIN filled f USING (account, mode)
WHERE (COALESCE(b.pnl, 0), COALESCE(b.fee, 0)) <> (COALESCE(f.pnl, 0), COALESCE(f.fee, 0))
ORDER BY 1, 2;

-- name: fills_astray
-- Fills of tasks and the log rows that are their evidence, where one lacks the other. A simulated fill has no row of its own.
WITH told AS (
    SELECT task_id, detail ->> 'fill_id' AS fill_id, (detail ->> 'part')::INTEGER AS part, (detail ->> 'quantity')::NUMERIC AS quantity
    FROM execution_logs
    WHERE reason IN ('FILL', 'STOP_FILLED', 'TARGET_FILLED', 'LATE_FILL')
), made AS (
    SELECT f.task_id, f.fill_id, f.part, f.quantity
    FROM fills f JOIN execution_tasks t ON t.id = f.task_id
    WHERE f.order_id <> t.client_order_id
)
SELECT task_id, fill_id, part, t.quantity, m.quantity
FROM told t
FULL JOIN made m USING (task_id, fill_id, part)
WHERE t.quantity IS DISTINCT FROM m.quantity
ORDER BY 1, 2, 3;

-- name: overfilled
-- Tasks whose own orders filled more than they were sized to: their ids, what filled, the latest intent's quantity.
SELECT x.id, x.filled, i.quantity
FROM (SELECT t.id, sum(f.quantity) AS filled
      FROM fills f
      JOIN execution_tasks t ON t.id = f.task_id
      LEFT JOIN broker_orders o ON o.account = f.account AND o.order_id = f.order_id
      WHERE f.order_id = t.client_order_id OR o.role IN ('entry', 'exit')
      GROUP BY t.id) x
CROSS JOIN LATERAL (SELECT (l.detail ->> 'quantity')::NUMERIC AS quantity FROM execution_logs l
                    WHERE l.task_id = x.id AND l.reason = 'INTENT' ORDER BY l.seq DESC LIMIT 1) i
WHERE x.filled > i.quantity
ORDER BY x.id;

-- name: out_of_sync
-- The live book of an account: why it is out of sync (null: it is not), since when, and the latest row that says what differs.
SELECT s.why, o.detail, o.created_at AS seen_at,
       (SELECT min(f.created_at) FROM account_log f
        WHERE f.account = :account AND f.mode = 'live' AND f.kind = 'OUT_OF_SYNC'
          AND f.seq > COALESCE((SELECT max(i.seq) FROM account_log i
                                WHERE i.account = :account AND i.mode = 'live' AND i.kind = 'IN_SYNC'), 0)) AS since
FROM (SELECT l.state ->> 'out_of_sync' AS why FROM account_log l
      WHERE l.account = :account AND l.mode = 'live' ORDER BY l.seq DESC LIMIT 1) s
LEFT JOIN LATERAL (SELECT l.detail, l.created_at FROM account_log l
                   WHERE l.account = :account AND l.mode = 'live' AND l.kind = 'OUT_OF_SYNC' ORDER BY l.seq DESC LIMIT 1) o ON TRUE;

-- name: may_explain
-- Live tasks of an account that a fill in one of these contracts may still come of, or may have come of unseen: not what rests to
-- open something, of which a fill leaves our books with more than there is, and never less.
SELECT t.id, t.event_type, t.status
FROM (SELECT * FROM execution_tasks s WHERE s.status = 'SENDING'
      UNION ALL
      SELECT * FROM execution_tasks u WHERE u.status IN ('UNKNOWN', 'REVIEW')
      UNION ALL
      SELECT * FROM execution_tasks x WHERE x.status = 'ACCEPTED' AND NOT x.opening) t
LEFT JOIN LATERAL (SELECT l.detail ->> 'contract' AS contract FROM execution_logs l
                   WHERE l.task_id = t.id AND l.reason = 'INTENT' ORDER BY l.seq DESC LIMIT 1) i ON TRUE
WHERE t.account = :account AND t.mode = 'live' AND t.event_type NOT IN ('CANCEL', 'MOVE_STOP')
  AND (i.contract IS NULL OR i.contract = ANY (:contracts))
ORDER BY t.id
LIMIT 5;

-- name: resyncs_asked
SELECT account, max(seq) AS seq FROM account_log
WHERE account = ANY (:accounts) AND mode = 'live' AND kind = 'RESYNC_ASKED'
GROUP BY account;

-- name: resync_answer
SELECT detail FROM account_log
WHERE account = :account AND mode = 'live' AND kind = 'COMPARED' AND seq > :asked AND (detail ->> 'asked')::INTEGER >= :asked
ORDER BY seq LIMIT 1;
