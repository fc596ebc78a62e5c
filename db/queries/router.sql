-- Claiming, recording and recovering.

-- name: lock_due_tasks
SELECT id, version, trade_id, event_type, opening, attempts, payload, account, lane, mode, client_order_id, expires_at,
       created_at, received_at, trade, plan, strategy, approved, intent, db_now,
       -- an earlier attempt may have reached the broker under this id
       attempts > 0 AND EXISTS (SELECT FROM execution_logs l WHERE l.task_id = d.id AND l.status = 'UNKNOWN'
                                  AND NOT EXISTS (SELECT FROM execution_logs r
                                                  WHERE r.task_id = d.id AND r.seq > l.seq AND r.reason = 'OPERATOR_RETRY'
                                                    AND r.detail ? 'client_order_id'))
FROM lock_due_tasks(:accounts, :limit, :depth, :mode, :entries) d;

-- name: account_facts^
SELECT account_facts(:accounts, :owners, :others, :roots, :mode);

-- name: read_account_facts^
SELECT read_account_facts(:accounts, :owners, :others, :roots, :mode);

-- name: held_tasks
-- Tasks of one account that wait for a person's approval, and have waited for at least so many seconds since their alert came.
SELECT t.id, t.version, t.trade_id, t.account, t.client_order_id, t.worker, COALESCE(s.received_at, t.created_at)
FROM execution_tasks t
LEFT JOIN automated_signals s ON s.id = t.signal_id
WHERE t.status = 'HELD' AND t.account = :account
  AND COALESCE(s.received_at, t.created_at) <= clock_timestamp() - make_interval(secs => :within)
ORDER BY t.id
LIMIT 500;

-- name: append_log
SELECT task_id, seq, prev_status, attempt, created_at
FROM append_log(:actor, :wake, :task_ids, :versions, :statuses, :reasons, :messages, :codes, :bodies, :raws, :details,
                :run_ins, :leases);

-- name: next_due_in^
-- Seconds until the next delayed task of these accounts is due (null when nothing is delayed), and the time of asking: given as
-- :since the next time, so that what falls due between a claim and this question is not overlooked.
SELECT EXTRACT(EPOCH FROM min(run_at) - clock_timestamp())::FLOAT8, clock_timestamp()
FROM execution_tasks
WHERE status = 'PENDING' AND run_at > created_at AND account = ANY (:accounts)
  AND run_at > COALESCE(:since::TIMESTAMPTZ, '-infinity');

-- name: lease_ended
SELECT t.id, t.version, t.trade_id, t.account, t.client_order_id, t.worker, COALESCE(s.received_at, t.created_at)
FROM execution_tasks t
LEFT JOIN automated_signals s ON s.id = t.signal_id
WHERE t.status = 'SENDING' AND t.lease_until < clock_timestamp() AND t.account = ANY (:accounts)
ORDER BY t.id
LIMIT 500;

-- name: unknown_tasks
-- With what the last intent says, and how often the order was looked for in vain since; a task is looked up at its run_at.
-- Of one mode: what was sent to a broker is not to be looked for in a simulation, which would swear that nothing ever left.
SELECT t.id, t.version, t.trade_id, t.account, t.client_order_id, COALESCE(s.received_at, t.created_at), t.event_type, t.opening,
       t.attempts, t.expires_at, COALESCE(first.created_at, t.created_at), COALESCE(last.detail, '{}'),
       (SELECT count(*) FROM execution_logs l WHERE l.task_id = t.id AND l.reason = 'NOT_FOUND' AND l.seq > COALESCE(last.seq, 0)),
       EXTRACT(EPOCH FROM t.run_at - clock_timestamp())::FLOAT8, clock_timestamp(),
       EXISTS (SELECT FROM execution_logs l WHERE l.task_id = t.id AND l.reason = 'LOOK_UP_FAILED' AND l.seq > COALESCE(last.seq, 0))
FROM execution_tasks t
LEFT JOIN automated_signals s ON s.id = t.signal_id
LEFT JOIN LATERAL (SELECT l.created_at FROM execution_logs l
                   WHERE l.task_id = t.id AND l.status = 'SENDING' AND l.prev_status = 'PENDING'
                     AND COALESCE(l.detail ->> 'client_order_id' = t.client_order_id, TRUE)
                   ORDER BY l.seq LIMIT 1) first ON TRUE
LEFT JOIN LATERAL (SELECT l.seq, l.detail FROM execution_logs l
                   WHERE l.task_id = t.id AND l.status = 'SENDING' AND l.prev_status = 'PENDING'
                   ORDER BY l.seq DESC LIMIT 1) last ON TRUE
WHERE t.status = 'UNKNOWN' AND t.account = ANY (:accounts) AND t.mode = :mode
ORDER BY t.id
LIMIT 500;

-- name: unknown_in_other_mode
-- Tasks in UNKNOWN that nobody can look up while the router of their account runs in another mode, unless their log says so already.
SELECT t.id, t.version, t.trade_id, t.account, t.client_order_id, t.worker, COALESCE(s.received_at, t.created_at)
FROM execution_tasks t
LEFT JOIN automated_signals s ON s.id = t.signal_id
WHERE t.status = 'UNKNOWN' AND t.account = ANY (:accounts) AND t.mode <> :mode
  AND NOT EXISTS (SELECT FROM execution_logs e WHERE e.task_id = t.id AND e.status = 'UNKNOWN' AND e.reason = 'MODE_CHANGED')
ORDER BY t.id
LIMIT 500;

-- name: live_exits_in_dry_run
-- What would close live positions, and waits because the router of its account runs dry, unless its log says so already.
SELECT t.id, t.version, t.trade_id, t.account, t.client_order_id, t.worker, COALESCE(s.received_at, t.created_at)
FROM execution_tasks t
LEFT JOIN automated_signals s ON s.id = t.signal_id
WHERE t.lane IN (SELECT lane FROM active_lanes()) AND t.status = 'PENDING' AND NOT t.opening AND t.account = ANY (:accounts)
  AND t.mode = 'live'
  AND NOT EXISTS (SELECT FROM execution_logs e WHERE e.task_id = t.id AND e.status = 'PENDING' AND e.reason = 'MODE_CHANGED')
ORDER BY t.id
LIMIT 500;

-- name: exits_behind_sending
-- What closes, is due, and waits because another router is sending something of its lane, or this one is for more than a second;
-- unless its log says so already. With the task that is being sent, who sends it and until when. The lanes are locked.
SELECT w.id, w.version, w.trade_id, w.account, w.received_at, w.sending, w.worker, w.lease_until
FROM (SELECT t.id, t.version, t.trade_id, t.account, t.lane, COALESCE(g.received_at, t.created_at) AS received_at, s.id AS sending,
             s.worker, s.lease_until
      FROM execution_tasks s
      JOIN execution_tasks t ON t.lane = s.lane AND t.status = 'PENDING' AND NOT t.opening AND t.run_at <= clock_timestamp()
                            AND t.mode = s.mode
      LEFT JOIN automated_signals g ON g.id = t.signal_id
      WHERE s.status = 'SENDING' AND s.account = ANY (:accounts) AND s.mode = :mode
        AND (s.worker IS DISTINCT FROM :name OR s.last_attempt_at < clock_timestamp() - INTERVAL '1 second')
        AND NOT (s.opening AND order_is_shown(s.id, s.account))
        AND NOT EXISTS (SELECT FROM execution_logs e
                        WHERE e.task_id = t.id AND e.reason = 'WAITS_FOR_SENDING' AND e.created_at >= s.last_attempt_at)
      ORDER BY t.id
      LIMIT 100) w
WHERE pg_try_advisory_xact_lock(hashtextextended(w.lane, 'execution_tasks'::REGCLASS::OID::BIGINT));

-- name: entries_waiting
-- The first due entry of each lane of these accounts that a claim leaves, unless its log says so already: because the circuit of
-- their connection is open (:circuit names that opening, null: it is closed), or because of an entry in UNKNOWN on its account,
-- which is returned. What is too old is left out: a claim ends that. The lanes are locked.
WITH blocked (account, unknown) AS MATERIALIZED (
    SELECT a.name, CASE WHEN :circuit::TEXT IS NULL THEN u.id END
    FROM unnest(:accounts::TEXT[]) AS a (name)
    LEFT JOIN LATERAL (SELECT x.id FROM execution_tasks x
                       WHERE x.account = a.name AND x.mode = :mode AND x.opening AND x.status = 'UNKNOWN'
                       ORDER BY x.id LIMIT 1) u ON TRUE
    WHERE :circuit::TEXT IS NOT NULL OR u.id IS NOT NULL
)
SELECT w.id, w.version, w.trade_id, w.account, w.client_order_id, w.worker, w.received_at, w.unknown
FROM (SELECT t.id, t.version, t.trade_id, t.account, t.client_order_id, t.worker, t.lane, b.unknown,
             COALESCE(g.received_at, t.created_at) AS received_at
      FROM active_lanes() l
      CROSS JOIN LATERAL (SELECT * FROM execution_tasks o
                          WHERE o.lane = l.lane AND o.status = 'PENDING' AND o.opening AND o.mode = :mode
                          ORDER BY o.place, o.id LIMIT 1) t
      JOIN blocked b ON b.account = t.account
      LEFT JOIN automated_signals g ON g.id = t.signal_id
      WHERE EXISTS (SELECT FROM blocked)  -- nearly always nothing is, and then no lane is looked at
        AND t.run_at <= clock_timestamp() AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp())
        AND NOT EXISTS (SELECT FROM execution_logs e
                        WHERE e.task_id = t.id
                          AND (e.reason = 'CIRCUIT_OPEN' AND e.detail ->> 'circuit' = :circuit
                               OR e.reason = 'WAITS_FOR_UNKNOWN' AND e.detail ->> 'unknown' = b.unknown::TEXT))
      ORDER BY t.id
      LIMIT 100) w
WHERE pg_try_advisory_xact_lock(hashtextextended(w.lane, 'execution_tasks'::REGCLASS::OID::BIGINT));

-- name: unclaimed_tasks
-- The first waiting task of each lane whose account none of these routers knows, unless its log says so already.
SELECT t.id, t.version, t.trade_id, t.account, t.client_order_id, t.worker, COALESCE(s.received_at, t.created_at)
FROM active_lanes() l
CROSS JOIN LATERAL (
    SELECT * FROM execution_tasks o
    WHERE o.lane = l.lane AND o.status IN ('PENDING', 'SENDING', 'UNKNOWN', 'REVIEW')
    ORDER BY o.place, o.id
    LIMIT 1
) t
LEFT JOIN automated_signals s ON s.id = t.signal_id
WHERE t.account <> ALL (:accounts) AND t.status = 'PENDING' AND t.created_at < clock_timestamp() - INTERVAL '10 seconds'
  AND NOT EXISTS (SELECT FROM execution_logs e WHERE e.task_id = t.id AND e.reason = 'NO_ROUTER');

-- name: task_state^
SELECT id, version, status, attempts, worker FROM execution_tasks WHERE id = :task_id;

-- name: log_row^
SELECT status, attempt, actor, reason FROM execution_logs WHERE task_id = :task_id AND seq = :seq;

-- name: only_evidence_since^
-- Whether every log row after this one left the status as it was.
SELECT NOT EXISTS (SELECT FROM execution_logs WHERE task_id = :task_id AND seq > :seq AND status IS DISTINCT FROM prev_status);

-- name: lock_unrouted_tasks
SELECT id, version, trade_id, event_type, payload FROM lock_unrouted_tasks(:limit);

-- name: route_task
SELECT route_task(:task_id, :actor, :accounts, :max_age, :plans, :others);
