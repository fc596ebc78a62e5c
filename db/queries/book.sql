-- Fills, holdings, the broker's orders, and the books of accounts.

-- name: lock_books
SELECT account, seq, state, db_now FROM lock_books(:accounts, :mode);

-- name: append_account_log^
SELECT append_account_log(:actor, :mode, :accounts, :seqs, :kinds, :messages, :details, :states);

-- name: record_fills
SELECT account, fill_id, part
FROM record_fills(:mode, :accounts, :fill_ids, :parts, :order_ids, :task_ids, :trade_ids, :contracts, :roots, :sides, :quantities,
                  :prices, :fees, :pnls, :filled_ats);

-- name: note_prices^
SELECT note_prices(:source, :roots, :prices, :ats);

-- name: note_broker_orders
SELECT account, order_id, task_id, trade_id, role, state, filled, state_before, filled_before
FROM note_broker_orders(:mode, :ours, :orders);

-- name: enqueue_protection^
SELECT enqueue_protection(:task_id, :event_type, :reason, :once);

-- name: books
-- The latest state of each of these accounts; accounts without a log are missing.
SELECT n.name, l.state
FROM unnest(:accounts::TEXT[]) AS n (name)
CROSS JOIN LATERAL (SELECT b.state FROM account_log b WHERE b.account = n.name AND b.mode = :mode ORDER BY b.seq DESC LIMIT 1) l;

-- name: book_holdings
SELECT account, trade_id, contract, root, quantity, average_price, opened_at
FROM holdings
WHERE account = ANY (:accounts) AND mode = :mode AND quantity <> 0;

-- name: trade_holdings
-- The same, of certain trades only.
SELECT h.account, h.trade_id, h.contract, h.root, h.quantity, h.average_price, h.opened_at
FROM (SELECT DISTINCT * FROM unnest(:accounts::TEXT[], :trade_ids::TEXT[])) AS g (account, trade_id)
JOIN holdings h ON h.account = g.account AND h.mode = :mode AND h.trade_id = g.trade_id
WHERE h.quantity <> 0;

-- name: prices_of
SELECT root, price FROM last_prices WHERE root = ANY (:roots);

-- name: recorded_fills
SELECT f.account, f.fill_id, f.part, f.order_id, f.task_id, f.trade_id, f.contract, f.root, f.side, f.quantity, f.price, f.fee, f.pnl
FROM unnest(:accounts::TEXT[], :fill_ids::TEXT[]) AS g (account, fill_id)
JOIN fills f ON f.account = g.account AND f.fill_id = g.fill_id
ORDER BY f.account, f.fill_id, f.part;

-- name: order_owners
SELECT o.account, o.order_id, o.task_id, o.trade_id, o.role
FROM unnest(:accounts::TEXT[], :order_ids::TEXT[]) AS g (account, order_id)
JOIN broker_orders o ON o.account = g.account AND o.order_id = g.order_id;

-- name: tasks_with_orders
-- How these tasks stand, and the order of each one that counts: that of the latest retry, where it has one. A repeat that the broker
-- rejected may bear the same id.
SELECT t.id, t.version, t.status, o.order_id, o.state, o.quantity, o.filled,
       (SELECT COALESCE(sum(CASE WHEN right(f.fill_id, 7) = ':voided' THEN -f.quantity ELSE f.quantity END), 0)
        FROM fills f WHERE f.account = o.account AND f.order_id = o.order_id),
       EXISTS (SELECT FROM execution_logs l WHERE l.task_id = t.id AND l.reason = 'CANCEL_REQUESTED'
                 AND NOT EXISTS (SELECT FROM execution_logs r WHERE r.task_id = t.id AND r.seq > l.seq AND r.reason = 'OPERATOR_RETRY')),
       t.trade_id, t.account, COALESCE(s.received_at, t.created_at)
FROM unnest(:task_ids::BIGINT[]) AS g (id)
JOIN execution_tasks t ON t.id = g.id
CROSS JOIN LATERAL (
    SELECT b.* FROM broker_orders b
    WHERE b.task_id = t.id AND b.role IN ('entry', 'exit')
    ORDER BY b.client_order_id IS DISTINCT FROM t.client_order_id, b.state = 'REJECTED', b.placed_at, b.order_id
    LIMIT 1
) o
LEFT JOIN automated_signals s ON s.id = t.signal_id
ORDER BY t.id;

-- name: turned_up
-- Which of these orders are of tasks that are not known to have them: that wait, are looked up or in REVIEW, or that were sent again
-- since under another id (`superseded`). With the intent under the order's id, when that was sent first, and what the log tells already.
SELECT b.order_id, t.trade_id, COALESCE(s.received_at, t.created_at), t.id, t.version, t.status, t.event_type, t.account,
       i.detail, i.first_at, x.superseded,
       EXISTS (SELECT FROM execution_logs l WHERE l.task_id = t.id AND l.reason IN ('EARLIER_ORDER', 'NOT_OURS')
                 AND l.detail ->> 'order_id' = b.order_id),
       EXISTS (SELECT FROM execution_logs l WHERE l.task_id = t.id AND l.reason = 'EARLIER_ORDER'
                 AND l.detail ->> 'order_id' = b.order_id AND l.detail ->> 'filled' <> '0')
FROM unnest(:accounts::TEXT[], :order_ids::TEXT[]) AS g (account, order_id)
JOIN broker_orders b ON b.account = g.account COLLATE "C" AND b.order_id = g.order_id COLLATE "C" AND b.role IN ('entry', 'exit')
JOIN execution_tasks t ON t.id = b.task_id AND t.mode = 'live'
LEFT JOIN automated_signals s ON s.id = t.signal_id
CROSS JOIN LATERAL (SELECT is_superseded(t.id, b.client_order_id) AS superseded) x
CROSS JOIN LATERAL (
    SELECT l.detail, first_value(l.created_at) OVER (ORDER BY l.seq) AS first_at FROM execution_logs l
    WHERE l.task_id = t.id AND l.status = 'SENDING' AND l.prev_status = 'PENDING'
      AND COALESCE(l.detail ->> 'client_order_id', t.client_order_id) = b.client_order_id
    ORDER BY l.seq DESC LIMIT 1
) i
WHERE t.status IN ('PENDING', 'UNKNOWN', 'REVIEW') OR x.superseded
ORDER BY t.id, b.placed_at, b.order_id;

-- name: accepted_tasks
SELECT id FROM execution_tasks WHERE status = 'ACCEPTED' AND account = ANY (:accounts) AND mode = 'live' ORDER BY id;

-- name: task_states
SELECT id, version, status FROM execution_tasks WHERE id = ANY (:task_ids);

-- name: closed_before
-- Entries among these tasks whose trade was closed on their account after they came, so that what fills is to be closed; not where
-- somebody has taken the broker's position in the contract for true since it was sent: the fill was in it, and may be gone by now.
SELECT g.id FROM unnest(:task_ids::BIGINT[]) AS g (id)
WHERE is_closed_before(g.id)
  AND NOT EXISTS (SELECT FROM execution_tasks t
                  JOIN execution_logs l ON l.task_id = t.id AND l.reason = 'INTENT'
                  JOIN account_log a ON a.account = t.account AND a.mode = t.mode AND a.kind = 'ADOPTED' AND a.created_at > l.created_at
                  CROSS JOIN jsonb_array_elements(a.detail -> 'differences') d
                  WHERE t.id = g.id AND (l.detail ->> 'contract' IS NULL OR d ->> 0 = l.detail ->> 'contract'))
ORDER BY g.id;

-- name: left_by_exits
-- Exits among these tasks whose trade still holds something that can be closed: an exit closes one contract, and maybe not all of
-- it. What a cancel withdrew is left out: somebody wanted that.
SELECT t.id
FROM execution_tasks t
WHERE t.id = ANY (:task_ids) AND NOT t.opening AND starts_with(t.event_type, 'EXIT')
  AND EXISTS (SELECT FROM holdings h
              WHERE h.account = t.account AND h.mode = t.mode AND h.trade_id = t.trade_id AND h.quantity <> 0
                AND sign(h.quantity) = sign((SELECT sum(n.quantity) FROM holdings n
                                             WHERE n.account = h.account AND n.mode = h.mode AND n.contract = h.contract
                                               AND n.quantity <> 0)))
  AND NOT EXISTS (
      SELECT FROM execution_tasks c
      JOIN execution_logs l ON l.task_id = c.id AND l.reason = 'INTENT'
      JOIN broker_orders b ON b.task_id = t.id AND b.account = t.account AND l.detail -> 'targets' ? b.order_id
      WHERE c.trade_id = t.trade_id AND c.account = t.account AND NOT c.opening AND c.event_type = 'CANCEL')
ORDER BY t.id;

-- name: unprotected
-- Entries of which something is held although their stop was refused.
SELECT DISTINCT o.task_id
FROM broker_orders o
JOIN holdings h ON h.account = o.account AND h.mode = o.mode AND h.trade_id = o.trade_id AND h.quantity <> 0
WHERE o.account = ANY (:accounts) AND o.mode = 'live' AND o.role = 'stop' AND o.state = 'REJECTED' AND o.task_id IS NOT NULL
ORDER BY o.task_id;

-- name: refused_exits
-- The latest failed exit of each trade that holds something still, and that no exit is on its way for. Each failure of a trade
-- doubles the time until the next attempt, from 15 seconds up to 15 minutes: a closed market would refuse it again and again.
SELECT DISTINCT ON (h.account, h.trade_id) t.id
FROM holdings h
JOIN execution_tasks t ON t.trade_id = h.trade_id AND t.account = h.account AND t.mode = h.mode AND NOT t.opening
    AND starts_with(t.event_type, 'EXIT') AND t.status = 'FAILED'
CROSS JOIN LATERAL (SELECT count(*) AS times, max(f.updated_at) AS latest FROM execution_tasks f
                    WHERE f.trade_id = h.trade_id AND f.account = h.account AND f.mode = h.mode AND NOT f.opening
                      AND starts_with(f.event_type, 'EXIT') AND f.status = 'FAILED') failed
WHERE h.account = ANY (:accounts) AND h.mode = 'live' AND h.quantity <> 0
  AND clock_timestamp() >= failed.latest + make_interval(secs => LEAST(900, 15 * 2 ^ LEAST(failed.times - 1, 10)))
  AND NOT EXISTS (SELECT FROM execution_tasks o
                  WHERE o.trade_id = h.trade_id AND o.account = h.account AND o.mode = h.mode AND NOT o.opening
                    AND starts_with(o.event_type, 'EXIT')
                    AND o.status IN ('PENDING', 'HELD', 'SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED'))
ORDER BY h.account, h.trade_id, t.id DESC;

-- name: cleared_ways
-- What closes a trade of which these orders are, is due only later, and waited last for orders that work no more (an exit), that
-- changed (a reduction), or for fills that are recorded now. The lanes are locked, waiting for nobody.
SELECT w.id, w.version
FROM (SELECT DISTINCT t.id, t.version, t.lane
      FROM unnest(:accounts::TEXT[], :order_ids::TEXT[]) AS n (account, order_id)
      JOIN broker_orders b ON b.account = n.account COLLATE "C" AND b.order_id = n.order_id COLLATE "C"
      JOIN execution_tasks t ON t.trade_id = b.trade_id AND t.account = b.account AND t.mode = b.mode AND NOT t.opening
                            AND t.status = 'PENDING' AND t.run_at > clock_timestamp()
      CROSS JOIN LATERAL (SELECT l.reason, l.created_at FROM execution_logs l WHERE l.task_id = t.id ORDER BY l.seq DESC LIMIT 1) last
      WHERE last.reason IN ('CLEARING', 'STILL_CLEARING', 'TRADE_UNDECIDED')
        AND CASE
            WHEN last.reason <> 'TRADE_UNDECIDED' AND t.event_type NOT LIKE 'EXIT%%' THEN b.seen_at >= last.created_at
            ELSE NOT EXISTS (SELECT FROM broker_orders o
                             WHERE o.trade_id = b.trade_id AND o.account = b.account AND o.mode = b.mode AND o.role <> 'foreign'
                               AND (o.state IN ('WORKING', 'UNCLEAR') AND last.reason <> 'TRADE_UNDECIDED'
                                    OR o.filled > (SELECT COALESCE(sum(f.quantity), 0) FROM fills f
                                                   WHERE f.account = o.account AND f.order_id = o.order_id)))
            END
      ORDER BY t.id
      LIMIT 100) w
WHERE pg_try_advisory_xact_lock(hashtextextended(w.lane, 'execution_tasks'::REGCLASS::OID::BIGINT))
ORDER BY w.id;

-- name: trades_with_brackets
-- And those of which an entry works whose task is over without it, that turned up after its trade was closed, or of before a retry.
SELECT DISTINCT b.trade_id FROM broker_orders b
WHERE b.account = :account AND b.mode = 'live' AND b.state IN ('WORKING', 'UNCLEAR') AND b.trade_id IS NOT NULL
  AND (b.role IN ('stop', 'target')
       OR b.role = 'entry' AND EXISTS (SELECT FROM execution_tasks t
                                       WHERE t.id = b.task_id AND (t.status IN ('CANCELLED', 'DENIED', 'EXPIRED', 'FAILED') OR is_closed_before(t.id)))
       OR b.role IN ('entry', 'exit') AND is_superseded(b.task_id, b.client_order_id))
ORDER BY b.trade_id;

-- name: resync_from^
-- From when on an account is to be read again: the oldest order that may still do something, the latest fill that is known.
SELECT LEAST((SELECT min(t.created_at) FROM execution_tasks t
              WHERE t.account = :account AND t.mode = 'live' AND t.status IN ('SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED')),
             (SELECT min(o.placed_at) FROM broker_orders o
              WHERE o.account = :account AND o.mode = 'live' AND o.state IN ('WORKING', 'UNCLEAR'))),
       (SELECT max(f.filled_at) FROM fills f WHERE f.account = :account AND f.mode = 'live'),
       (SELECT min(l.created_at) FROM account_log l WHERE l.account = :account AND l.mode = 'live' AND l.kind = 'OPENED'),
       clock_timestamp();

-- name: external_orders
-- Of these orders at the broker those that are nobody's here and were not told yet: they work, or have filled under an id like ours.
SELECT o.order_id, o.contract, o.side, o.quantity::TEXT, o.filled::TEXT, o.state, o.limit_price::TEXT, o.stop_price::TEXT,
       o.client_order_id, o.placed_at
FROM broker_orders o
WHERE o.account = :account AND o.order_id = ANY (:order_ids) AND o.mode = 'live' AND o.role = 'foreign'
  AND (o.state IN ('WORKING', 'UNCLEAR') OR o.filled > 0 AND o.client_order_id ~ '^[a-z2-7]{20}$')
  AND NOT EXISTS (SELECT FROM account_log l
                  WHERE l.account = :account AND l.kind = 'EXTERNAL' AND l.detail ->> 'order' = o.order_id)
ORDER BY o.placed_at, o.order_id
LIMIT 100;

-- name: realised_since^
SELECT COALESCE(sum(COALESCE(pnl, 0) - fee), 0) FROM fills WHERE account = :account AND mode = :mode AND filled_at >= :since;

-- name: traded_since^
SELECT EXISTS (SELECT FROM fills WHERE account = :account AND mode = 'live' AND filled_at >= :since);

-- name: working_orders
SELECT task_id, order_id FROM broker_orders
WHERE account = :account AND mode = 'live' AND state IN ('WORKING', 'UNCLEAR') AND role IN ('entry', 'exit') AND task_id IS NOT NULL;
