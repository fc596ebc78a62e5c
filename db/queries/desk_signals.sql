-- The desk's pages of signals and of one task. A list walks ids downwards by the index of one filter (walk_…), a piece at a time;
-- what the other filters leave is asked of such a piece by its ids (fitting_signals). So a request is bounded whatever it filters by.

-- name: walk_signals
SELECT s.id FROM automated_signals s
WHERE s.id < :before AND s.id >= :low
ORDER BY s.id DESC LIMIT :most;

-- name: walk_strategy
SELECT s.id FROM automated_signals s
WHERE s.strategy = :strategy AND s.id < :before AND s.id >= :low
ORDER BY s.id DESC LIMIT :most;

-- name: walk_symbol
SELECT s.id FROM automated_signals s
WHERE regexp_replace(regexp_replace(upper(left(s.parsed ->> 'symbol', 64)), '^[A-Z0-9_]+:', ''), '([0-9]!|[FGHJKMNQUVXZ]([0-9]{1,2}|20[0-9]{2}))$', '')
    = regexp_replace(regexp_replace(upper(left(:symbol, 64)), '^[A-Z0-9_]+:', ''), '([0-9]!|[FGHJKMNQUVXZ]([0-9]{1,2}|20[0-9]{2}))$', '')
  AND s.id < :before AND s.id >= :low
ORDER BY s.id DESC LIMIT :most;

-- name: walk_refused
SELECT s.id FROM automated_signals s
WHERE s.code IS NOT NULL AND s.id < :before AND s.id >= :low
ORDER BY s.id DESC LIMIT :most;

-- name: walk_repeats
SELECT s.id FROM automated_signals s
WHERE s.duplicate_of IS NOT NULL AND s.id < :before AND s.id >= :low
ORDER BY s.id DESC LIMIT :most;

-- name: walk_account
SELECT DISTINCT t.signal_id FROM execution_tasks t
WHERE t.account = :account AND t.signal_id < :before AND t.signal_id >= :low
ORDER BY t.signal_id DESC LIMIT :most;

-- name: walk_status
SELECT DISTINCT t.signal_id FROM execution_tasks t
WHERE t.status = :status AND t.status IN ('HELD', 'UNKNOWN', 'REVIEW', 'FAILED', 'DENIED', 'EXPIRED', 'CANCELLED')
  AND t.signal_id < :before AND t.signal_id >= :low
ORDER BY t.signal_id DESC LIMIT :most;

-- name: signals_by_number
-- The signal of this id, and the signal of the task of this id.
SELECT s.id FROM automated_signals s WHERE s.id = :number
UNION
SELECT t.signal_id FROM execution_tasks t WHERE t.id = :number AND t.signal_id IS NOT NULL;

-- name: signals_of_trade
-- By a trade's id or its beginning: `after` is a text behind everything that begins so.
(SELECT s.id FROM automated_signals s WHERE s.trade_id ~>=~ :trade AND s.trade_id ~<~ :after LIMIT :most)
UNION
(SELECT t.signal_id FROM execution_tasks t WHERE t.trade_id = :trade AND t.signal_id IS NOT NULL LIMIT :most);

-- name: signal_bounds^
-- The ids between which all signals of a time are; nulls where there are none. Adding zero keeps the planner from looking for
-- the least id in the order of ids, through everything that is older.
SELECT min(s.id + 0), max(s.id + 0) FROM automated_signals s
WHERE s.received_at >= :since AND s.received_at < :until;

-- name: fitting_signals
-- Of these signals those that all filters let through; null asks for nothing. Words are compared byte by byte: a body is what came.
SELECT s.id FROM automated_signals s
WHERE s.id = ANY (:ids::BIGINT[])
  AND (:strategy::TEXT IS NULL OR s.strategy = :strategy)
  AND (:symbol::TEXT IS NULL
       OR regexp_replace(regexp_replace(upper(left(s.parsed ->> 'symbol', 64)), '^[A-Z0-9_]+:', ''), '([0-9]!|[FGHJKMNQUVXZ]([0-9]{1,2}|20[0-9]{2}))$', '')
        = regexp_replace(regexp_replace(upper(left(:symbol, 64)), '^[A-Z0-9_]+:', ''), '([0-9]!|[FGHJKMNQUVXZ]([0-9]{1,2}|20[0-9]{2}))$', ''))
  AND (:since::TIMESTAMPTZ IS NULL OR s.received_at >= :since)
  AND (:until::TIMESTAMPTZ IS NULL OR s.received_at < :until)
  AND CASE :outcome::TEXT WHEN 'REFUSED' THEN s.code IS NOT NULL WHEN 'REPEAT' THEN s.duplicate_of IS NOT NULL
                          WHEN 'NO ORDER' THEN s.code IS NULL AND s.duplicate_of IS NULL ELSE TRUE END
  AND CASE WHEN :outcome::TEXT IS NULL AND :account::TEXT IS NULL AND :status::TEXT IS NULL THEN TRUE
           ELSE (:outcome::TEXT IS NULL) = EXISTS (
               SELECT FROM execution_tasks t
               WHERE t.trade_id = ANY (COALESCE(s.trades, ARRAY[s.trade_id::TEXT])) AND t.signal_id = s.id
                 AND (:account::TEXT IS NULL OR t.account = :account)
                 AND (:status::TEXT IS NULL OR t.status = :status)) END
  AND (:words::TEXT[] IS NULL OR NOT EXISTS (
      SELECT FROM unnest(:words::TEXT[]) w (word)
      WHERE position(lower(encode(convert_to(w.word, 'UTF8'), 'escape')) IN lower(encode(s.raw, 'escape'))) = 0))
ORDER BY s.id DESC;

-- name: signal_rows
-- What a list shows of each: what it asks for, how its tasks stand (status → count), and how long the slowest first intent took.
SELECT s.id, s.received_at, s.strategy, s.trade_id, s.event_type, s.code, s.message, s.trades,
       left(s.parsed ->> 'symbol', 64) AS symbol, left(s.parsed ->> 'direction', 16) AS direction, left(s.parsed ->> 'quantity', 40) AS quantity,
       left(s.parsed ->> 'quantity_kind', 40) AS quantity_kind, s.duplicate_of IS NOT NULL AS repeats,
       (SELECT f.id FROM automated_signals f WHERE f.signal_uid = s.duplicate_of) AS first_signal,
       t.statuses, t.tasks, EXTRACT(EPOCH FROM t.slowest - s.received_at)::FLOAT8 AS to_intent_s
FROM automated_signals s
CROSS JOIN LATERAL (
    SELECT COALESCE(jsonb_object_agg(c.status, c.count), '{}') AS statuses, COALESCE(sum(c.count), 0)::BIGINT AS tasks, max(c.slowest) AS slowest
    FROM (SELECT e.status, count(*), max(e.last_attempt_at) FILTER (WHERE e.attempts = 1) AS slowest
          FROM execution_tasks e
          WHERE e.trade_id = ANY (COALESCE(s.trades, ARRAY[s.trade_id::TEXT])) AND e.signal_id = s.id
          GROUP BY e.status) c
) t
WHERE s.id = ANY (:ids::BIGINT[])
ORDER BY s.id DESC;

-- name: own_outcomes
-- What these signals came to on one account: its latest task of each, and what the last row of that says.
SELECT DISTINCT ON (t.signal_id) t.signal_id, t.id AS task, t.status, e.reason, e.message
FROM execution_tasks t
CROSS JOIN LATERAL (SELECT l.reason, l.message FROM execution_logs l WHERE l.task_id = t.id ORDER BY l.seq DESC LIMIT 1) e
WHERE t.account = :account AND t.signal_id = ANY (:ids::BIGINT[])
ORDER BY t.signal_id, t.id DESC;

-- name: filter_names
-- What a filter offers: accounts and strategies that were published, and strategies that have a token.
(SELECT DISTINCT s.kind, s.name FROM settings s WHERE s.kind IN ('account', 'strategy'))
UNION
(SELECT 'strategy', t.strategy FROM strategy_tokens t)
ORDER BY 1, 2
LIMIT 500;

-- name: milestones
-- When each task came how far, of its latest attempt: intent, the broker's answer (and how long it took), done; and of a task that
-- was never sent, when it was decided. With what its intent says.
SELECT t.id, i.created_at AS claimed, a.created_at AS acknowledged, (a.detail ->> 'took_ms')::FLOAT8 AS took_ms, d.created_at AS done,
       x.created_at AS decided, i.detail AS intent
FROM execution_tasks t
LEFT JOIN LATERAL (SELECT l.seq, l.created_at, l.detail FROM execution_logs l
                   WHERE l.task_id = t.id AND l.status = 'SENDING' AND l.prev_status = 'PENDING' ORDER BY l.seq DESC LIMIT 1) i ON TRUE
LEFT JOIN LATERAL (SELECT l.seq, l.created_at, l.detail FROM execution_logs l
                   WHERE l.task_id = t.id AND l.seq > i.seq AND l.status <> l.prev_status AND l.status IN ('ACCEPTED', 'SUCCESS', 'FAILED')
                   ORDER BY l.seq LIMIT 1) a ON TRUE
LEFT JOIN LATERAL (SELECT l.created_at FROM execution_logs l
                   WHERE l.task_id = t.id AND l.seq > i.seq AND l.status <> l.prev_status AND l.status = 'SUCCESS'
                   ORDER BY l.seq LIMIT 1) d ON TRUE
LEFT JOIN LATERAL (SELECT l.created_at FROM execution_logs l
                   WHERE i.seq IS NULL AND l.task_id = t.id AND l.seq > 1 AND l.status <> l.prev_status AND l.status IN ('DENIED', 'EXPIRED', 'CANCELLED')
                   ORDER BY l.seq DESC LIMIT 1) x ON TRUE
WHERE t.id = ANY (:tasks::BIGINT[]);

-- name: timeline
-- The latest rows of a task's log below `before`, newest first.
SELECT seq, prev_status, status, attempt, actor, reason, message, response_code, response_body, detail, run_at, created_at
FROM execution_logs
WHERE task_id = :task_id AND seq < :before
ORDER BY seq DESC
LIMIT :most;

-- name: task_orders
-- A task's own orders and their brackets, as the broker showed them last.
SELECT o.order_id, o.client_order_id, o.role, o.contract, o.side, o.quantity, o.filled, o.state, o.limit_price, o.stop_price, o.parent_id,
       o.placed_at, o.seen_at
FROM broker_orders o
WHERE o.task_id = :task_id
ORDER BY o.placed_at, o.order_id
LIMIT :most;

-- name: task_fills
SELECT f.fill_id, f.part, f.order_id, f.contract, f.side, f.quantity, f.price, f.fee, f.pnl, f.filled_at, COALESCE(o.role, 'entry') AS role
FROM fills f
LEFT JOIN broker_orders o ON o.account = f.account AND o.order_id = f.order_id
WHERE f.task_id = :task_id
ORDER BY f.filled_at DESC, f.fill_id, f.part
LIMIT :most;

-- name: task_retries
SELECT t.id FROM execution_tasks t WHERE t.retry_of = :task_id ORDER BY t.id;
