-- Dead letters: what waits for a person, or waited, and how that ended. A letter opens with the log row that makes its task FAILED or
-- REVIEW, and closes with the next row that makes it something else; triggers/execution_logs.sql writes both in that row's commit.
CREATE TABLE dead_letters (
    id              BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id         BIGINT      NOT NULL REFERENCES execution_tasks (id),
    opened_seq      INTEGER     NOT NULL,                     -- the log row that opened it
    status          TEXT        NOT NULL CHECK (status IN ('FAILED', 'REVIEW')),
    code            TEXT        NOT NULL,                     -- that row's reason
    client_order_id TEXT COLLATE "C" NOT NULL,                -- under which it had been sent: a retry draws a new one
    opened_at       TIMESTAMPTZ NOT NULL,
    closed_seq      INTEGER,                                  -- the log row that closed it; null: it is open
    closed_at       TIMESTAMPTZ,
    closed_by       TEXT,                                     -- who: an operator, or the router that heard of a late acceptance
    closed_how      TEXT,                                     -- OPERATOR_RETRY, OPERATOR_DISCARD, OPERATOR_RESOLVE, LATE_ACCEPTANCE, …
    closed_reason   TEXT,                                     -- what was said to that
    CONSTRAINT dead_letters_once UNIQUE (task_id, opened_seq),
    CONSTRAINT dead_letters_closed CHECK (closed_seq > opened_seq AND closed_at IS NOT NULL AND closed_by IS NOT NULL AND closed_how IS NOT NULL
        OR closed_seq IS NULL AND closed_at IS NULL AND closed_by IS NULL AND closed_how IS NULL AND closed_reason IS NULL)
);
CREATE UNIQUE INDEX dead_letters_open ON dead_letters (task_id) WHERE closed_seq IS NULL;
-- An order of a generation that was given up may turn up at the broker: it is its task's all the same.
CREATE INDEX dead_letters_client_order ON dead_letters (client_order_id);

INSERT INTO dead_letters (task_id, opened_seq, status, code, client_order_id, opened_at, closed_seq, closed_at, closed_by, closed_how,
                          closed_reason)
SELECT o.task_id, o.seq, o.status, o.reason, t.client_order_id, o.created_at, c.seq, c.created_at, c.actor, c.reason, c.message
FROM execution_logs o
JOIN execution_tasks t ON t.id = o.task_id
LEFT JOIN LATERAL (SELECT l.seq, l.created_at, l.actor, l.reason, l.message FROM execution_logs l
                   WHERE l.task_id = o.task_id AND l.seq > o.seq AND l.status <> l.prev_status
                   ORDER BY l.seq LIMIT 1) c ON TRUE
WHERE o.status IN ('FAILED', 'REVIEW') AND o.prev_status <> o.status
ORDER BY o.created_at, o.task_id;

-- A dead letter that is changed and sent again is another task; this one names the first.
ALTER TABLE execution_tasks ADD COLUMN retry_of BIGINT REFERENCES execution_tasks (id);
