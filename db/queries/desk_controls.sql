-- What a control would meet: the open tasks, trades and orders of its scope, each bounded whatever is stored; and what is being flattened.

-- name: open_tasks_of_scope
-- Open tasks, of one account or (null) of all, the first :most of each status. `fits`: it belongs to the strategy, or (null) none is asked for.
SELECT t.id, t.account, t.mode, t.trade_id, t.event_type, t.opening, t.status, t.payload ->> 'symbol' AS symbol,
       t.payload ->> 'direction' AS direction, t.updated_at,
       :strategy::TEXT IS NULL OR COALESCE(lower(strategy_of(t.id)) = lower(:strategy), FALSE) AS fits
FROM ((SELECT * FROM execution_tasks s WHERE s.status = 'SENDING' AND (:account::TEXT IS NULL OR s.account = :account) LIMIT :most)
      UNION ALL
      (SELECT * FROM execution_tasks u WHERE u.status = 'UNKNOWN' AND (:account::TEXT IS NULL OR u.account = :account) LIMIT :most)
      UNION ALL
      (SELECT * FROM execution_tasks a WHERE a.status = 'ACCEPTED' AND (:account::TEXT IS NULL OR a.account = :account) LIMIT :most)
      UNION ALL
      (SELECT * FROM execution_tasks r WHERE r.status = 'REVIEW' AND (:account::TEXT IS NULL OR r.account = :account) LIMIT :most)
      UNION ALL
      (SELECT * FROM execution_tasks h WHERE h.status = 'HELD' AND (:account::TEXT IS NULL OR h.account = :account) LIMIT :most)
      UNION ALL
      (SELECT * FROM execution_tasks p WHERE p.status = 'PENDING' AND (:account::TEXT IS NULL OR p.account = :account) LIMIT :most)) t
ORDER BY t.id;

-- name: trades_of_scope
-- What a flattening of these accounts, each in its mode, finds in our books; contract null: a working entry. With the product's last price.
SELECT a.account, a.mode, f.trade_id, f.contract, f.quantity, h.root, h.average_price, h.opened_at, p.price, p.at AS priced_at
FROM unnest(:accounts::TEXT[], :modes::TEXT[]) AS a (account, mode)
CROSS JOIN LATERAL trades_to_flatten(a.account, a.mode, :strategy::TEXT) f
LEFT JOIN holdings h ON h.account = a.account COLLATE "C" AND h.mode = a.mode AND h.trade_id = f.trade_id COLLATE "default" AND h.contract = f.contract
LEFT JOIN last_prices p ON p.root = h.root COLLATE "C"
ORDER BY a.account, h.opened_at, f.trade_id, f.contract
LIMIT :most;

-- name: orders_of_scope
-- Orders that work at the broker, as it showed them last; of one strategy those of its tasks.
SELECT o.account, o.mode, o.order_id, o.role, o.contract, o.side, o.quantity, o.filled, o.state, o.limit_price, o.stop_price, o.task_id
FROM broker_orders o
JOIN unnest(:accounts::TEXT[], :modes::TEXT[]) AS a (account, mode) ON o.account = a.account COLLATE "C" AND o.mode = a.mode
WHERE o.state IN ('WORKING', 'UNCLEAR')
  AND (:strategy::TEXT IS NULL OR COALESCE(lower(strategy_of(o.task_id)) = lower(:strategy), FALSE))
ORDER BY o.account, o.placed_at, o.order_id
LIMIT :most;

-- name: flattenings_asked
-- The latest flattening of each scope that no resume has withdrawn, the newest first.
SELECT c.id, c.scope, c.action, c.actor, c.reason, c.created_at
FROM (SELECT DISTINCT ON (f.scope) f.* FROM controls f WHERE f.action = 'flatten' ORDER BY f.scope, f.id DESC) c
WHERE NOT EXISTS (SELECT FROM controls r WHERE r.scope = c.scope AND r.id > c.id AND r.action = 'resume')
ORDER BY c.id DESC
LIMIT :most;
