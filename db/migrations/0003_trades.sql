-- Alerts that name no trade are paired with the open trades of their strategy; some touch several trades.

CREATE TABLE strategy_trades (
    strategy      TEXT         NOT NULL,
    trade_id      VARCHAR(100) NOT NULL,
    root          TEXT,                   -- instrument root; null: no alert of it named a symbol
    side          TEXT CHECK (side IN ('LONG', 'SHORT')),
    units         NUMERIC CHECK (units > 0 AND units < 1e30),  -- its size as the alerts told it; null: they did not
    opened_at     TIMESTAMPTZ  NOT NULL CHECK (opened_at BETWEEN '2000-01-01Z' AND '2200-01-01Z'),  -- its first entry's receipt
    ended_at      TIMESTAMPTZ,            -- its exit's receipt; null: it is open
    exit_fired_at TIMESTAMPTZ,            -- when that exit fired, as it says itself
    PRIMARY KEY (strategy, trade_id)
);
CREATE INDEX strategy_trades_open ON strategy_trades (strategy, root) WHERE ended_at IS NULL;
CREATE INDEX strategy_trades_ended ON strategy_trades (strategy, root, ended_at DESC) WHERE ended_at IS NOT NULL;

-- Every trade that a signal touches, where that is not just its trade_id.
ALTER TABLE automated_signals ADD COLUMN trades TEXT[];

-- Only an exit closes a trade; reducing it, moving its stop or cancelling its orders can happen again and again.
DROP INDEX execution_tasks_one_exit;
CREATE UNIQUE INDEX execution_tasks_one_exit ON execution_tasks (account, trade_id, mode)
    WHERE event_type LIKE 'EXIT%' AND status IN ('SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED', 'SUCCESS');

-- It takes other arguments now; a second one beside it would be called by nobody.
DROP FUNCTION IF EXISTS ingest_signals;
