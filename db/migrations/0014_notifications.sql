-- What people are told: written from what is committed, sent beside the router, and never in its way.

CREATE TABLE notifications (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind          TEXT        NOT NULL,
    severity      TEXT        NOT NULL CHECK (severity IN ('info', 'warning', 'error', 'critical')),
    title         TEXT        NOT NULL,
    body          TEXT        NOT NULL,
    account       TEXT COLLATE "C",
    task_id       BIGINT,                           -- no foreign key: a notification locks nothing of the router's
    topic         TEXT COLLATE "C" UNIQUE,          -- what must be told once only; null: each time
    created_at    TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    due_at        TIMESTAMPTZ,                      -- when it is to be sent, again or at last; null: sent, or given up
    attempts      INTEGER     NOT NULL DEFAULT 0,
    reached       TEXT[]      NOT NULL DEFAULT '{}',  -- the receivers that took it
    sent_at       TIMESTAMPTZ,                      -- when the last of them did
    last_error    TEXT,                             -- never a secret
    worker        TEXT,
    claimed_until TIMESTAMPTZ,
    CONSTRAINT notifications_claimed CHECK ((worker IS NULL) = (claimed_until IS NULL))
);
CREATE INDEX notifications_waiting ON notifications (id) WHERE due_at IS NOT NULL;

-- How far history was read (a cluster and a snapshot of it), and when messages left within the last minute.
CREATE TABLE notification_state (
    single   BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (single),
    position TEXT          NOT NULL,
    rounds   TIMESTAMPTZ[] NOT NULL DEFAULT '{}'
);

-- As in execution_logs: what became visible since a snapshot is a range of transaction ids.
ALTER TABLE account_log ADD COLUMN xid XID8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX account_log_xid ON account_log (xid);
ALTER TABLE controls ADD COLUMN xid XID8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX controls_xid ON controls (xid);
