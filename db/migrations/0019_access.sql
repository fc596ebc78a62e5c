-- Who may look and act at the desk. Passwords are kept as Argon2id, everything that is drawn at random as SHA-256: neither can be used
-- by whoever reads this.
CREATE TABLE desk_users (
    name        TEXT        PRIMARY KEY CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$'),
    password    TEXT,                                        -- Argon2id; null: only a one-time link lets them in
    role        TEXT        NOT NULL CHECK (role IN ('view', 'operate')),
    created_at  TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    disabled_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX desk_users_name ON desk_users (lower(name));

CREATE TABLE desk_sessions (
    sha256     BYTEA       PRIMARY KEY CHECK (octet_length(sha256) = 32),
    user_name  TEXT        NOT NULL REFERENCES desk_users (name),
    created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    seen_at    TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    expires_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX desk_sessions_user ON desk_sessions (user_name);

-- A link that signs a user in once.
CREATE TABLE desk_links (
    sha256     BYTEA       PRIMARY KEY CHECK (octet_length(sha256) = 32),
    user_name  TEXT        NOT NULL REFERENCES desk_users (name),
    expires_at TIMESTAMPTZ NOT NULL
);

-- Bearer tokens of scripts.
CREATE TABLE api_keys (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       TEXT        NOT NULL CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$'),
    sha256     BYTEA       NOT NULL UNIQUE CHECK (octet_length(sha256) = 32),
    role       TEXT        NOT NULL CHECK (role IN ('view', 'operate')),
    created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    revoked_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX api_keys_valid ON api_keys (lower(name)) WHERE revoked_at IS NULL;
