-- The desk's pages of dead letters and of approvals. A list of letters walks their ids downwards, a piece at a time (walk_…), and asks
-- of each piece what the filter leaves (fitting_letters): so a request is bounded whatever it filters by.

-- name: walk_open_letters
SELECT d.id FROM dead_letters d
WHERE d.closed_seq IS NULL AND d.id < :before
ORDER BY d.id DESC LIMIT :most;

-- name: walk_settled_letters
SELECT d.id FROM dead_letters d
WHERE d.closed_seq IS NOT NULL AND d.id < :before
ORDER BY d.id DESC LIMIT :most;

-- name: walk_letters_of_task
SELECT d.id FROM dead_letters d
WHERE d.task_id = :task AND (d.closed_seq IS NULL) = :open AND d.id < :before
ORDER BY d.id DESC LIMIT :most;

-- name: fitting_letters
-- Of these letters those that all filters let through; null asks for nothing. Each word must be somewhere in what the list shows.
SELECT d.id
FROM dead_letters d
JOIN execution_tasks t ON t.id = d.task_id
JOIN execution_logs l ON l.task_id = d.task_id AND l.seq = d.opened_seq
LEFT JOIN automated_signals s ON s.id = t.signal_id
WHERE d.id = ANY (:ids::BIGINT[])
  AND (:code::TEXT IS NULL OR d.code = :code)
  AND (:account::TEXT IS NULL OR t.account = :account)
  AND (:strategy::TEXT IS NULL OR COALESCE(s.strategy, t.payload ->> 'strategy') = :strategy)
  AND (:words::TEXT[] IS NULL OR NOT EXISTS (
      SELECT FROM unnest(:words::TEXT[]) w (word)
      WHERE position(lower(w.word) IN lower(concat_ws(' ', d.code, d.status, d.client_order_id, l.message, t.trade_id, t.event_type, t.account,
                                                      s.strategy, left(t.payload ->> 'symbol', 64), d.closed_by, d.closed_how))) = 0))
ORDER BY d.id DESC;

-- name: letter_rows
-- What the list shows of each letter: why, of what, and how it ended.
SELECT d.id AS letter, d.task_id, d.status, d.code, left(l.message, 300) AS message, d.opened_at, d.closed_at, d.closed_by, d.closed_how,
       left(d.closed_reason, 300) AS closed_reason, t.status AS task_status, t.version, t.trade_id, t.event_type, t.account, t.mode, t.signal_id,
       COALESCE(s.strategy, left(t.payload ->> 'strategy', 64)) AS strategy, left(t.payload ->> 'direction', 16) AS direction,
       left(t.payload ->> 'symbol', 64) AS symbol, left(t.payload ->> 'quantity', 40) AS quantity,
       left(t.payload ->> 'quantity_kind', 40) AS quantity_kind
FROM dead_letters d
JOIN execution_tasks t ON t.id = d.task_id
JOIN execution_logs l ON l.task_id = d.task_id AND l.seq = d.opened_seq
LEFT JOIN automated_signals s ON s.id = t.signal_id
WHERE d.id = ANY (:ids::BIGINT[])
ORDER BY d.id DESC;

-- name: last_prices_of
-- The last price that was seen of each of these products, and when.
SELECT p.root, p.price, p.at FROM last_prices p WHERE p.root = ANY (:roots::TEXT[]);

-- name: held_queue
-- Tasks that wait for a person's approval, the oldest first, behind the task :after; with why they were held, the size that was found,
-- and the settings that say how long a person may take.
SELECT t.id, t.version, t.trade_id, t.event_type, t.opening, t.account, t.mode, t.signal_id, t.expires_at, COALESCE(s.received_at, t.created_at) AS received_at,
       COALESCE(s.strategy, left(t.payload ->> 'strategy', 64)) AS strategy,
       left(t.payload ->> 'direction', 16) AS direction, left(t.payload ->> 'symbol', 64) AS symbol, left(t.payload ->> 'quantity', 40) AS quantity,
       left(t.payload ->> 'quantity_kind', 40) AS quantity_kind, left(t.payload ->> 'order_type', 40) AS order_type,
       left(t.payload ->> 'entry_price', 40) AS entry_price, left(t.payload ->> 'exit_price', 40) AS exit_price,
       left(t.payload ->> 'limit_price', 40) AS limit_price, left(t.payload ->> 'stop_price', 40) AS stop_price,
       left(t.payload ->> 'stop_loss', 100) AS stop_loss, left(t.payload ->> 'take_profit', 100) AS take_profit,
       h.created_at AS held_at, h.reason, left(h.message, 300) AS message, h.actor, h.detail -> 'order' AS sized,
       left(h.detail #>> '{sizing,calculation}', 300) AS calculation, p.body AS settings
FROM (SELECT * FROM execution_tasks x
      WHERE x.status = 'HELD' AND (:task::BIGINT IS NULL OR x.id = :task)
        AND (:after::BIGINT IS NULL
             OR (x.created_at, x.id) > (SELECT a.created_at, a.id FROM execution_tasks a WHERE a.id = :after))
      ORDER BY x.created_at, x.id
      LIMIT :most) t
LEFT JOIN automated_signals s ON s.id = t.signal_id
LEFT JOIN LATERAL (SELECT l.created_at, l.reason, l.message, l.actor, l.detail FROM execution_logs l
                   WHERE l.task_id = t.id AND l.status = 'HELD' AND l.prev_status <> 'HELD'
                   ORDER BY l.seq DESC LIMIT 1) h ON TRUE
LEFT JOIN LATERAL (SELECT v.body FROM settings v WHERE v.kind = 'account' AND v.name = t.account ORDER BY v.version DESC LIMIT 1) p ON TRUE
ORDER BY t.created_at, t.id;
