-- Whether each account's broker can be used, as each router that claims it found last. Written over; no history is kept.
CREATE TABLE connection_states (
    account    TEXT COLLATE "C" NOT NULL,
    router     TEXT        NOT NULL,
    connection TEXT        NOT NULL,               -- the login
    mode       TEXT        NOT NULL CHECK (mode IN ('dry', 'live')),
    state      TEXT        NOT NULL CHECK (state IN ('opening', 'open', 'down')),
    code       TEXT,                               -- why it is down: LOGIN_REFUSED, BROKER_UNREACHABLE, …
    message    TEXT,                               -- never a secret
    since      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    seen_at    TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (account, router)
);
