-- Alerts that name no trade are paired with the open trades of their strategy; some touch several trades.

CREATE TABLE open_trades (
    strategy  TEXT         NOT NULL,
    trade_id  VARCHAR(100) NOT NULL,
    root      TEXT,                   -- instrument root; null: no alert of it named a symbol
    side      TEXT CHECK (side IN ('LONG', 'SHORT')),
    units     NUMERIC,                -- its size as the alerts told it; null: they did not
    opened_at TIMESTAMPTZ  NOT NULL,  -- when its first entry was received
    PRIMARY KEY (strategy, trade_id)
);

CREATE INDEX open_trades_root ON open_trades (strategy, root);

-- Every trade that a signal touches, where that is not just its trade_id.
ALTER TABLE automated_signals ADD COLUMN trades TEXT[];

-- Only an exit closes a trade; reducing it, moving its stop or cancelling its orders can happen again and again.
DROP INDEX execution_tasks_one_exit;
CREATE UNIQUE INDEX execution_tasks_one_exit ON execution_tasks (account, trade_id, mode)
    WHERE event_type LIKE 'EXIT%' AND status IN ('SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED', 'SUCCESS');

-- It takes other arguments now; a second one beside it would be called by nobody.
DROP FUNCTION IF EXISTS ingest_signals;
