-- The core: signals come in, tasks carry one order intent per account, the log says everything that happened to them.
-- Statuses change only by a row in execution_logs; triggers/execution_logs_fold.sql carries it into execution_tasks.

CREATE TABLE automated_signals (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    signal_uid    UUID        NOT NULL UNIQUE,   -- drawn on receipt: a repeated commit stores the alert once
    strategy      TEXT        NOT NULL,
    trade_id      VARCHAR(100),
    event_type    VARCHAR(32),                   -- ENTRY, EXIT_SL, EXIT_BE, …; null when the alert was refused
    code          TEXT,                          -- why it was refused; null when it was accepted
    message       TEXT,
    field         TEXT,
    raw           BYTEA       NOT NULL,          -- the body as it came
    content_type  TEXT,
    headers       JSONB       NOT NULL DEFAULT '{}',
    source_ip     TEXT,
    parsed        JSONB,
    received_at   TIMESTAMPTZ NOT NULL CHECK (received_at BETWEEN '2000-01-01Z' AND '2200-01-01Z'),
    created_at    TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT automated_signals_accepted_or_refused
        CHECK ((code IS NULL) = (trade_id IS NOT NULL AND event_type IS NOT NULL)),
    CONSTRAINT automated_signals_refusal_speaks CHECK (code IS NULL OR message IS NOT NULL)
);
CREATE INDEX automated_signals_trade ON automated_signals (trade_id);

CREATE TABLE strategy_tokens (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    strategy     TEXT        NOT NULL,
    token_sha256 BYTEA       NOT NULL UNIQUE CHECK (octet_length(token_sha256) = 32),
    created_at   TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    revoked_at   TIMESTAMPTZ
);

-- Products that hedge each other share a lane: micros and minis of one index are one position to a risk desk.
CREATE TABLE product_families (
    root   TEXT PRIMARY KEY,
    family TEXT NOT NULL
);
INSERT INTO product_families (root, family) VALUES
    ('MES', 'ES'), ('MNQ', 'NQ'), ('M2K', 'RTY'), ('MYM', 'YM'), ('MCL', 'CL'), ('QM', 'CL'), ('MGC', 'GC'),
    ('QO', 'GC'), ('SIL', 'SI'), ('QI', 'SI'), ('MHG', 'HG'), ('QC', 'HG'), ('MNG', 'NG'), ('QG', 'NG'),
    ('M6E', '6E'), ('E7', '6E'), ('M6B', '6B'), ('M6A', '6A'), ('MCD', '6C'), ('MJY', '6J'), ('J7', '6J'),
    ('MBT', 'BTC'), ('MET', 'ETH');

CREATE TABLE execution_tasks (
    id              BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    trade_id        VARCHAR(100) NOT NULL,
    event_type      VARCHAR(32)  NOT NULL,
    status          VARCHAR(32)  NOT NULL DEFAULT 'PENDING',
    attempts        INTEGER      NOT NULL DEFAULT 0,
    last_error      TEXT,
    payload         JSONB,
    last_attempt_at TIMESTAMPTZ,
    created_at      TIMESTAMPTZ  NOT NULL DEFAULT now(),
    updated_at      TIMESTAMPTZ  NOT NULL DEFAULT now(),
    -- fixed at enqueue, or when a router routes a row that named no account
    signal_id       BIGINT REFERENCES automated_signals (id),
    account         TEXT COLLATE "C" CHECK (length(account) BETWEEN 1 AND 100),
    lane            TEXT COLLATE "C",       -- account/product: tasks of one lane run in order
    place           BIGINT       NOT NULL,  -- place in the lane; siblings of a routed row share its place
    opening         BOOLEAN      NOT NULL,  -- adds exposure: waits in line; what reduces it waits only for SENDING
    mode            TEXT         NOT NULL DEFAULT 'dry',
    client_order_id TEXT COLLATE "C",
    expires_at      TIMESTAMPTZ CHECK (expires_at BETWEEN '2000-01-01Z' AND '2200-01-01Z'),
    -- moved by log rows
    version         INTEGER      NOT NULL DEFAULT 1,  -- seq of the latest log row
    run_at          TIMESTAMPTZ  NOT NULL DEFAULT now(),
    worker          TEXT,
    lease_until     TIMESTAMPTZ,
    CONSTRAINT execution_tasks_status CHECK (status IN ('PENDING', 'HELD', 'SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED',
        'SUCCESS', 'FAILED', 'DENIED', 'EXPIRED', 'CANCELLED')),
    CONSTRAINT execution_tasks_mode CHECK (mode IN ('dry', 'live')),
    CONSTRAINT execution_tasks_named CHECK (trade_id <> '' AND event_type <> ''),
    CONSTRAINT execution_tasks_routed CHECK ((account IS NULL) = (lane IS NULL) AND (account IS NULL) = (client_order_id IS NULL)),
    CONSTRAINT execution_tasks_leased CHECK ((status = 'SENDING') = (lease_until IS NOT NULL)),
    CONSTRAINT execution_tasks_routed_first CHECK (account IS NOT NULL OR status IN ('PENDING', 'DENIED', 'CANCELLED'))
) WITH (
    fillfactor = 75,
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 1,
    autovacuum_analyze_scale_factor = 0.05
);

-- Only open rows are indexed for claiming, so its cost follows neither history nor backlog.
CREATE INDEX execution_tasks_line ON execution_tasks (lane, place, id)
    WHERE status IN ('PENDING', 'SENDING', 'UNKNOWN', 'REVIEW');
CREATE INDEX execution_tasks_exits ON execution_tasks (lane, place, id) WHERE status = 'PENDING' AND NOT opening;
CREATE INDEX execution_tasks_sending ON execution_tasks (lane, lease_until) WHERE status = 'SENDING';
CREATE INDEX execution_tasks_unrouted ON execution_tasks (id) WHERE status = 'PENDING' AND account IS NULL;
CREATE INDEX execution_tasks_delayed ON execution_tasks (run_at) WHERE status = 'PENDING' AND run_at > created_at;
CREATE INDEX execution_tasks_attention ON execution_tasks (status, created_at)
    WHERE status IN ('HELD', 'UNKNOWN', 'REVIEW', 'ACCEPTED', 'FAILED');
CREATE INDEX execution_tasks_trade ON execution_tasks (trade_id, account, opening, status, id);
-- A trade is closed once: two routers that decide about two of its exits at the same moment cannot both send.
CREATE UNIQUE INDEX execution_tasks_one_exit ON execution_tasks (account, trade_id, mode)
    WHERE NOT opening AND status IN ('SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED', 'SUCCESS');

CREATE TABLE execution_logs (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id       BIGINT       NOT NULL REFERENCES execution_tasks (id),
    seq           INTEGER      NOT NULL,
    prev_status   VARCHAR(32),
    status        VARCHAR(32)  NOT NULL,
    attempt       INTEGER      NOT NULL,
    actor         TEXT         NOT NULL,           -- who: enqueue, a router's name, an operator
    reason        TEXT         NOT NULL,           -- a code
    message       TEXT,                            -- the reason in a sentence
    response_code INTEGER,
    response_body TEXT,                            -- the broker's answer, cleaned
    response_raw  BYTEA,                           -- the same as it came, where cleaning changed it
    detail        JSONB        NOT NULL DEFAULT '{}',
    run_at        TIMESTAMPTZ,                     -- set: the task is due again then
    lease_until   TIMESTAMPTZ,
    created_at    TIMESTAMPTZ  NOT NULL DEFAULT clock_timestamp(),
    xid           XID8         NOT NULL DEFAULT pg_current_xact_id(),
    CONSTRAINT execution_logs_task_seq UNIQUE (task_id, seq),
    CONSTRAINT execution_logs_first CHECK ((seq = 1) = (prev_status IS NULL)),
    CONSTRAINT execution_logs_counts CHECK (seq >= 1 AND attempt >= 0),
    CONSTRAINT execution_logs_leased CHECK ((status = 'SENDING' AND prev_status = 'PENDING') = (lease_until IS NOT NULL)),
    -- the transition table of eventrouter/domain/tasks.py; a test holds the two equal
    CONSTRAINT execution_logs_legal CHECK (
        COALESCE(prev_status, '') = status
        OR COALESCE(prev_status, '') || '>' || status IN (
            '>PENDING',
            'PENDING>HELD', 'PENDING>EXPIRED', 'PENDING>DENIED', 'PENDING>CANCELLED', 'PENDING>SENDING',
            'PENDING>ACCEPTED', 'PENDING>SUCCESS',
            'HELD>PENDING', 'HELD>CANCELLED', 'HELD>EXPIRED',
            'SENDING>PENDING', 'SENDING>FAILED', 'SENDING>EXPIRED', 'SENDING>ACCEPTED', 'SENDING>SUCCESS', 'SENDING>UNKNOWN',
            'UNKNOWN>ACCEPTED', 'UNKNOWN>SUCCESS', 'UNKNOWN>FAILED', 'UNKNOWN>PENDING', 'UNKNOWN>REVIEW',
            'ACCEPTED>SUCCESS', 'ACCEPTED>CANCELLED', 'ACCEPTED>FAILED', 'ACCEPTED>UNKNOWN',
            'REVIEW>ACCEPTED', 'REVIEW>SUCCESS', 'REVIEW>PENDING', 'REVIEW>CANCELLED',
            'FAILED>PENDING', 'FAILED>CANCELLED', 'FAILED>SUCCESS'))
);
-- The feed reads what became visible since a snapshot: a range of transaction ids.
CREATE INDEX execution_logs_xid ON execution_logs (xid);
