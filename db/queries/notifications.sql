-- What people are told: the events behind it, and the notifications themselves.

-- name: notification_position^
-- How far history was read (null: never), which cluster and database this is, and the snapshot of now.
SELECT (SELECT position FROM notification_state),
       (SELECT system_identifier FROM pg_control_system())::TEXT || '.' || (SELECT oid FROM pg_database WHERE datname = current_database()),
       pg_current_snapshot()::TEXT;

-- name: notable_events
-- What became visible since the snapshot :prev and somebody may want to know, at most :limit rows of each source; with the snapshot
-- that saw it, and the time. One row of nulls where there is nothing.
WITH s AS MATERIALIZED (SELECT pg_current_snapshot() AS snapshot),
-- materialized, and the task looked up row by row: with a LIMIT in sight the planner would walk all of history backwards
news AS MATERIALIZED (
    SELECT l.id, l.created_at, l.task_id, l.seq, l.status, l.reason, l.message, l.actor
    FROM s
    JOIN execution_logs l ON l.xid >= pg_snapshot_xmin(:prev::PG_SNAPSHOT) AND l.xid < pg_snapshot_xmax(s.snapshot)
    WHERE NOT pg_visible_in_snapshot(l.xid, :prev::PG_SNAPSHOT)
      AND (l.status IN ('FAILED', 'REVIEW') AND l.status <> COALESCE(l.prev_status, '') OR l.reason IN ('LATE_FILL', 'EARLIER_ORDER') OR l.seq = 1)
)
SELECT s.snapshot::TEXT, clock_timestamp(), e.*
FROM s
LEFT JOIN LATERAL (
    (SELECT 'task' AS source, l.created_at, t.account, t.mode, l.task_id, l.status AS what, l.reason AS code, l.message, l.actor,
            t.trade_id::TEXT AS subject, t.event_type::TEXT AS event_type, NULL::TEXT AS control
     FROM news l
     CROSS JOIN LATERAL (SELECT * FROM execution_tasks f WHERE f.id = l.task_id OFFSET 0) t
     WHERE l.seq > 1 OR t.event_type IN ('EXIT_UNPROTECTED', 'EXIT_LATE')
     ORDER BY l.id DESC
     LIMIT :limit)
    UNION ALL
    (SELECT 'account', a.created_at, a.account, a.mode, NULL, a.kind, NULL, a.message, a.actor, NULL, NULL, a.detail ->> 'control'
     FROM account_log a
     WHERE a.xid >= pg_snapshot_xmin(:prev::PG_SNAPSHOT) AND a.xid < pg_snapshot_xmax(s.snapshot)
       AND NOT pg_visible_in_snapshot(a.xid, :prev::PG_SNAPSHOT)
       AND a.kind IN ('OUT_OF_SYNC', 'IN_SYNC', 'FLAT', 'FLATTEN_FAILED')
     ORDER BY a.created_at DESC
     LIMIT :limit)
    UNION ALL
    (SELECT 'control', c.created_at, NULL, NULL, NULL, c.action, NULL, c.reason, c.actor, c.scope, NULL, c.id::TEXT
     FROM controls c
     WHERE c.xid >= pg_snapshot_xmin(:prev::PG_SNAPSHOT) AND c.xid < pg_snapshot_xmax(s.snapshot)
       AND NOT pg_visible_in_snapshot(c.xid, :prev::PG_SNAPSHOT)
     ORDER BY c.id DESC
     LIMIT :limit)
) e ON TRUE
ORDER BY e.created_at;

-- name: note_notifications^
SELECT note_notifications(:notices::JSONB, :wait_s::FLOAT8, :before::TEXT, :after::TEXT);

-- name: claim_notifications
SELECT id, kind, severity, title, body, account, task_id, created_at, attempts, reached, waiting
FROM claim_notifications(:worker, :lease_s, :per_minute, :most);

-- name: settle_notifications^
SELECT settle_notifications(:worker, :results::JSONB);

-- name: list_notifications
-- The last notifications, newest first.
SELECT id, kind, severity, title, body, account, task_id, created_at, due_at, attempts, reached, sent_at, last_error
FROM notifications
ORDER BY id DESC
LIMIT :limit;
