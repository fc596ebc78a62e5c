-- Tamper evidence: what `verify --chain` reads. JSON as text and times as microseconds, as they are hashed.

-- name: seal_history^
SELECT seal_history();

-- name: long_statement^
SELECT set_config('statement_timeout', '15min', true);

-- name: latest_seal^
SELECT id, previous, hash, (EXTRACT(EPOCH FROM made_at) * 1000000)::BIGINT, from_xid::TEXT, to_xid::TEXT, heads, digest
FROM seals ORDER BY id DESC LIMIT 1;

-- name: chained_logs
SELECT l.task_id, l.seq, l.hash,
       l.prev_status, l.status, l.attempt, l.actor, l.reason, l.message, l.response_code, l.response_body,
       encode(l.response_raw, 'hex'), l.detail::TEXT, (EXTRACT(EPOCH FROM l.run_at) * 1000000)::BIGINT,
       (EXTRACT(EPOCH FROM l.lease_until) * 1000000)::BIGINT, (EXTRACT(EPOCH FROM l.created_at) * 1000000)::BIGINT
FROM execution_logs l
ORDER BY l.task_id, l.seq;

-- name: heads_astray
-- Tasks whose head is not the hash of their latest row. One that has only its first row has none yet.
SELECT t.id, t.version, last.seq
FROM execution_tasks t
LEFT JOIN LATERAL (SELECT l.seq, l.hash FROM execution_logs l WHERE l.task_id = t.id ORDER BY l.seq DESC LIMIT 1) last ON TRUE
WHERE last.seq IS DISTINCT FROM t.version
   OR t.head IS DISTINCT FROM CASE WHEN t.version > 1 THEN last.hash END
ORDER BY t.id;

-- name: chained_account_logs
SELECT l.mode || ':' || l.account, l.seq, l.hash,
       l.account, l.mode, l.kind, l.actor, l.message, l.detail::TEXT, l.state::TEXT,
       (EXTRACT(EPOCH FROM l.created_at) * 1000000)::BIGINT
FROM account_log l
ORDER BY l.account, l.mode, l.seq;

-- name: chained_controls
SELECT c.id, c.hash, c.scope, c.action, c.actor, c.reason, (EXTRACT(EPOCH FROM c.created_at) * 1000000)::BIGINT
FROM controls c
ORDER BY c.id;

-- name: all_seals
SELECT id, previous, hash, (EXTRACT(EPOCH FROM made_at) * 1000000)::BIGINT, from_xid::TEXT, to_xid::TEXT, heads, digest
FROM seals ORDER BY id;

-- name: all_sealed_heads
-- What was sealed, in the order of the seals' digests, and the hash of that row today; null where it is gone.
SELECT s.seal_id, s.kind, s.name, s.seq, s.hash,
       CASE s.kind
           WHEN 'task' THEN (SELECT l.hash FROM execution_logs l
                             WHERE l.task_id = CASE WHEN s.name ~ '^[0-9]{1,18}$' THEN s.name::BIGINT END AND l.seq = s.seq)
           WHEN 'controls' THEN (SELECT c.hash FROM controls c WHERE c.id = s.seq)
           ELSE (SELECT a.hash FROM account_log a WHERE a.account = substr(s.name, strpos(s.name, ':') + 1)
                                                    AND a.mode = split_part(s.name, ':', 1) AND a.seq = s.seq)
       END
FROM sealed_heads s
ORDER BY s.seal_id, s.kind, s.name;

-- name: rows_not_sealed^
SELECT count(*) FROM execution_logs l WHERE l.xid >= COALESCE((SELECT s.to_xid FROM seals s ORDER BY s.id DESC LIMIT 1), '0');
