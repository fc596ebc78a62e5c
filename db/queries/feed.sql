-- The feed of log rows. A position is a snapshot: what is visible now and was not visible then is new, in whatever order
-- transactions committed, and nobody's open transaction holds it up.

-- name: feed_origin^
-- Positions of another cluster or database mean nothing here: stored transaction ids would compare wrongly.
SELECT (SELECT system_identifier FROM pg_control_system())::TEXT || '.' || (SELECT oid FROM pg_database WHERE datname = current_database()),
       pg_current_snapshot()::TEXT,
       COALESCE((SELECT max(id) FROM execution_logs), 0);

-- name: feed_fresh
-- Rows that became visible since :prev, and the snapshot that saw them; one row of nulls when there are none. An id from
-- the future (a restored dump) is left for later: it would count as new each time.
SELECT s.snapshot::TEXT, r.*
FROM (SELECT pg_current_snapshot() AS snapshot) s
LEFT JOIN LATERAL (
    SELECT l.id, l.task_id, l.seq, l.prev_status, l.status, l.attempt, l.actor, l.reason, l.message, l.response_code, l.response_body,
           l.detail, l.created_at, t.trade_id, t.event_type, t.account, t.signal_id
    FROM execution_logs l
    JOIN execution_tasks t ON t.id = l.task_id
    WHERE l.xid >= pg_snapshot_xmin(:prev::PG_SNAPSHOT)
      AND l.xid < pg_snapshot_xmax(s.snapshot)
      AND NOT pg_visible_in_snapshot(l.xid, :prev::PG_SNAPSHOT)
    ORDER BY l.id
    LIMIT :limit
) r ON true;

-- name: feed_page
-- The rest of such a delta: rows visible in :next and not in :prev, after an id.
SELECT :next::TEXT, l.id, l.task_id, l.seq, l.prev_status, l.status, l.attempt, l.actor, l.reason, l.message, l.response_code, l.response_body,
       l.detail, l.created_at, t.trade_id, t.event_type, t.account, t.signal_id
FROM execution_logs l
JOIN execution_tasks t ON t.id = l.task_id
WHERE l.xid >= pg_snapshot_xmin(:prev::PG_SNAPSHOT)
  AND NOT pg_visible_in_snapshot(l.xid, :prev::PG_SNAPSHOT)
  AND pg_visible_in_snapshot(l.xid, :next::PG_SNAPSHOT)
  AND l.id > :after
ORDER BY l.id
LIMIT :limit;

-- name: feed_replay
-- History by id, for a client that starts at the beginning or comes with a position of another cluster. What was under way
-- at :prev comes later, as new; what has an id from the future (a restored dump) comes here.
SELECT :next::TEXT, l.id, l.task_id, l.seq, l.prev_status, l.status, l.attempt, l.actor, l.reason, l.message, l.response_code, l.response_body,
       l.detail, l.created_at, t.trade_id, t.event_type, t.account, t.signal_id
FROM execution_logs l
JOIN execution_tasks t ON t.id = l.task_id
WHERE l.id > :after AND l.id <= :last
  AND (pg_visible_in_snapshot(l.xid, :prev::PG_SNAPSHOT) OR l.xid >= pg_snapshot_xmax(pg_current_snapshot()))
ORDER BY l.id
LIMIT :limit;
