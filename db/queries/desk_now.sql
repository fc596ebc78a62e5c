-- The desk's first page: what waits for a person, how much comes in, and how fast it leaves. Each is bounded, whatever is stored.

-- name: waiting_for_people
-- Open dead letters and tasks that wait for approval, each counted to a thousand, and when the oldest of them came to wait.
SELECT d.count AS letters, d.oldest AS oldest_letter, h.count AS held, h.oldest AS oldest_held
FROM (SELECT count(*), min(x.opened_at) AS oldest
      FROM (SELECT opened_at FROM dead_letters WHERE closed_seq IS NULL ORDER BY id LIMIT 1000) x) d
CROSS JOIN (SELECT count(*), min(x.created_at) AS oldest
            FROM (SELECT created_at FROM execution_tasks WHERE status = 'HELD' ORDER BY status, created_at LIMIT 1000) x) h;

-- name: signals_by_minute
-- Of each minute since :since, counted from zero: signals that came, of the newest 20,000.
SELECT floor(EXTRACT(EPOCH FROM s.received_at - :since::TIMESTAMPTZ) / 60)::INTEGER AS minute, count(*) AS signals
FROM (SELECT received_at FROM automated_signals WHERE received_at >= :since ORDER BY received_at DESC LIMIT 20000) s
GROUP BY 1
ORDER BY 1;

-- name: intents_by_minute
-- The same of tasks of the newest thousand signals whose first intent was committed: how many, and seconds from receipt until then.
-- What a person approved or sent again is counted, but its seconds are theirs. Nobody does that within a second: the log of few is asked.
SELECT floor(EXTRACT(EPOCH FROM s.received_at - :since::TIMESTAMPTZ) / 60)::INTEGER AS minute, count(*) AS orders,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY t.took) FILTER (WHERE NOT t.by_hand) AS p50,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY t.took) FILTER (WHERE NOT t.by_hand) AS p99
FROM (SELECT id, received_at, trades, trade_id FROM automated_signals
      WHERE received_at >= :since ORDER BY received_at DESC LIMIT 1000) s
CROSS JOIN LATERAL (
    SELECT GREATEST(0, EXTRACT(EPOCH FROM e.last_attempt_at - s.received_at))::FLOAT8 AS took,
           e.retry_of IS NOT NULL
           OR (e.last_attempt_at > s.received_at + INTERVAL '1 second'
               AND EXISTS (SELECT FROM execution_logs l WHERE l.task_id = e.id AND l.prev_status = 'HELD')) AS by_hand
    FROM execution_tasks e
    WHERE e.trade_id = ANY (COALESCE(s.trades, ARRAY[s.trade_id::TEXT])) AND e.signal_id = s.id
      AND e.attempts = 1 AND e.last_attempt_at IS NOT NULL) t
GROUP BY 1
ORDER BY 1;

-- name: last_outcomes
-- What the latest signal of each of these accounts came to there, and what the last row of its task says.
SELECT a.name AS account, t.id AS task, t.status, t.created_at, e.reason, e.message
FROM unnest(:accounts::TEXT[]) AS a (name)
CROSS JOIN LATERAL (SELECT x.id, x.status, x.created_at FROM execution_tasks x
                    WHERE x.account = a.name AND x.signal_id IS NOT NULL
                    ORDER BY x.signal_id DESC, x.id DESC LIMIT 1) t
CROSS JOIN LATERAL (SELECT l.reason, l.message FROM execution_logs l WHERE l.task_id = t.id ORDER BY l.seq DESC LIMIT 1) e;

-- name: contracts_held
-- Of each account: how many contracts of a root its trades hold, all sides added up as max_contracts counts them.
SELECT account, mode, root, sum(abs(quantity)) AS quantity
FROM holdings
WHERE quantity <> 0
GROUP BY 1, 2, 3;
