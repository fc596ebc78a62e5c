-- An alert that repeats within its window is recorded, points at the first, and makes no tasks.

CREATE TABLE alert_windows (
    strategy   TEXT        NOT NULL,
    key        BYTEA       NOT NULL CHECK (octet_length(key) = 32),
    signal_uid UUID        NOT NULL,  -- the first alert with this key
    started_at TIMESTAMPTZ NOT NULL,  -- when it was received
    expires_at TIMESTAMPTZ NOT NULL,  -- counted from there; a repeat does not move it
    PRIMARY KEY (strategy, key)
);
CREATE INDEX alert_windows_expiry ON alert_windows (expires_at);

ALTER TABLE automated_signals
    ADD COLUMN fired_at     TIMESTAMPTZ,  -- when the alert fired, as it says itself
    ADD COLUMN duplicate_of UUID REFERENCES automated_signals (signal_uid),
    ADD CONSTRAINT automated_signals_not_its_own_duplicate CHECK (duplicate_of <> signal_uid);

-- When a strategy was last heard of.
CREATE INDEX automated_signals_strategy ON automated_signals (strategy, received_at);
