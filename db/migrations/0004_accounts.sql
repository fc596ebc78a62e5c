-- Accounts: what is configured for them, what they hold, and everything that happened to them.

-- The published configuration. A change is a new version; the latest one of a (kind, name) counts.
CREATE TABLE settings (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       TEXT        NOT NULL CHECK (kind IN ('account', 'strategy', 'routes')),
    name       TEXT COLLATE "C" NOT NULL CHECK (name <> ''),
    version    INTEGER     NOT NULL CHECK (version >= 1),
    body       JSONB       NOT NULL,                       -- never a secret
    difference JSONB       NOT NULL DEFAULT '{}',          -- key → [before, after], null where there was none
    withdrawn  BOOLEAN     NOT NULL DEFAULT FALSE,         -- it is configured no longer
    actor      TEXT        NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (kind, name, version)
);

-- For every account an order intent or a coded reason why not: [{account, code, message, …}].
ALTER TABLE automated_signals ADD COLUMN plan JSONB;
-- Why and how this account was planned for: {route, multiplier, strategy, account_version, routes_version}.
ALTER TABLE execution_tasks ADD COLUMN plan JSONB;

-- Orders as the broker last showed them: ours, their brackets, and those that somebody else placed.
CREATE TABLE broker_orders (
    account         TEXT COLLATE "C" NOT NULL,
    order_id        TEXT COLLATE "C" NOT NULL,  -- the broker's
    mode            TEXT        NOT NULL CHECK (mode IN ('dry', 'live')),
    task_id         BIGINT REFERENCES execution_tasks (id),  -- whose order it is, or whose entry it protects; null: not ours
    trade_id        VARCHAR(100),
    role            TEXT        NOT NULL CHECK (role IN ('entry', 'exit', 'stop', 'target', 'foreign')),
    contract        TEXT        NOT NULL,       -- the broker's id
    root            TEXT        NOT NULL,
    side            TEXT        NOT NULL CHECK (side IN ('BUY', 'SELL')),
    quantity        NUMERIC     NOT NULL CHECK (quantity > 0 AND quantity < 1e30),
    filled          NUMERIC     NOT NULL DEFAULT 0 CHECK (filled >= 0 AND filled < 1e30),
    state           TEXT        NOT NULL CHECK (state IN ('WORKING', 'FILLED', 'CANCELLED', 'EXPIRED', 'REJECTED', 'UNCLEAR')),
    limit_price     NUMERIC,
    stop_price      NUMERIC,
    client_order_id TEXT COLLATE "C",
    parent_id       TEXT,
    linked_id       TEXT,
    placed_at       TIMESTAMPTZ NOT NULL,       -- by the broker's clock
    updated_at      TIMESTAMPTZ,                -- the same
    seen_at         TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (account, order_id)
);
CREATE INDEX broker_orders_working ON broker_orders (account, mode) WHERE state IN ('WORKING', 'UNCLEAR');
CREATE INDEX broker_orders_task ON broker_orders (task_id);

-- Executions, appended once each and never changed. One that closes parts of several trades has a row for each part.
CREATE TABLE fills (
    account    TEXT COLLATE "C" NOT NULL,
    fill_id    TEXT COLLATE "C" NOT NULL,
    part       INTEGER     NOT NULL DEFAULT 1 CHECK (part >= 1),
    mode       TEXT        NOT NULL CHECK (mode IN ('dry', 'live')),
    order_id   TEXT COLLATE "C" NOT NULL,
    task_id    BIGINT REFERENCES execution_tasks (id),  -- null: nobody's task (a hand, a flattening)
    trade_id   VARCHAR(100) NOT NULL,
    contract   TEXT        NOT NULL,
    root       TEXT        NOT NULL,
    side       TEXT        NOT NULL CHECK (side IN ('BUY', 'SELL')),
    quantity   NUMERIC     NOT NULL CHECK (quantity > 0 AND quantity < 1e30),
    price      NUMERIC     CHECK (price < 1e30),         -- null: simulated, and the alert named none
    fee        NUMERIC     NOT NULL DEFAULT 0,
    pnl        NUMERIC,                                  -- realised by it, fees not taken off; null: it only opened
    filled_at  TIMESTAMPTZ NOT NULL,                     -- by the broker's clock
    created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (account, fill_id, part)
);
CREATE INDEX fills_task ON fills (task_id);
CREATE INDEX fills_trade ON fills (trade_id, account);
CREATE INDEX fills_order ON fills (account, order_id);

-- What each trade holds on each account: the sum of its fills, kept by a trigger.
CREATE TABLE holdings (
    account       TEXT COLLATE "C" NOT NULL,
    mode          TEXT        NOT NULL,
    trade_id      VARCHAR(100) NOT NULL,
    contract      TEXT        NOT NULL,
    root          TEXT        NOT NULL,
    quantity      NUMERIC     NOT NULL,  -- above zero long, below zero short
    average_price NUMERIC,               -- of what is held; null where a price is not known
    realised      NUMERIC     NOT NULL DEFAULT 0,
    fees          NUMERIC     NOT NULL DEFAULT 0,
    opened_at     TIMESTAMPTZ NOT NULL,
    updated_at    TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account, mode, trade_id, contract)
);
CREATE INDEX holdings_open ON holdings (account, mode) WHERE quantity <> 0;

-- What happened to an account, and how it stood afterwards: the row of the highest seq is its state.
CREATE TABLE account_log (
    account    TEXT COLLATE "C" NOT NULL,
    mode       TEXT        NOT NULL CHECK (mode IN ('dry', 'live')),
    seq        INTEGER     NOT NULL CHECK (seq >= 1),
    kind       TEXT        NOT NULL,
    actor      TEXT        NOT NULL,
    message    TEXT,
    detail     JSONB       NOT NULL DEFAULT '{}',
    state      JSONB       NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (account, mode, seq)
);

-- The latest price of each product that anybody told: a fill, an alert, the broker.
CREATE TABLE last_prices (
    root   TEXT COLLATE "C" PRIMARY KEY,
    price  NUMERIC     NOT NULL CHECK (price > -1e30 AND price < 1e30),
    source TEXT        NOT NULL,
    at     TIMESTAMPTZ NOT NULL
);

-- Halts, resumes and flattenings. For each scope ('all', 'account:NAME', 'strategy:NAME') the latest halt, reduce or resume counts.
CREATE TABLE controls (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope      TEXT COLLATE "C" NOT NULL CHECK (scope = 'all' OR scope ~ '^(account|strategy):.'),
    action     TEXT        NOT NULL CHECK (action IN ('halt', 'reduce', 'resume', 'flatten')),
    actor      TEXT        NOT NULL,
    reason     TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX controls_scope ON controls (scope, id DESC);
