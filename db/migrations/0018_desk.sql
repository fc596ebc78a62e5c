-- What the desk's lists walk by: each filter has its order in an index, so that a page costs what it shows and not what is stored.

CREATE INDEX automated_signals_of_strategy ON automated_signals (strategy, id);

-- By the product that the alert names, whatever its exchange and month; db/queries/desk_signals.sql asks by the same expression.
CREATE INDEX automated_signals_of_symbol ON automated_signals
    ((regexp_replace(regexp_replace(upper(left(parsed ->> 'symbol', 64)), '^[A-Z0-9_]+:', ''), '([0-9]!|[FGHJKMNQUVXZ]([0-9]{1,2}|20[0-9]{2}))$', '')), id);

CREATE INDEX automated_signals_received ON automated_signals (received_at, id);
CREATE INDEX automated_signals_refused ON automated_signals (id) WHERE code IS NOT NULL;
CREATE INDEX automated_signals_repeats ON automated_signals (id) WHERE duplicate_of IS NOT NULL;

-- A trade's id by its beginning, whatever the collation; equality uses it as before.
DROP INDEX automated_signals_trade;
CREATE INDEX automated_signals_trade ON automated_signals (trade_id varchar_pattern_ops, id);

-- Partial, so that what looks for one trade of an account cannot mistake it for its own index where statistics are missing.
CREATE INDEX execution_tasks_of_account ON execution_tasks (account, signal_id) WHERE signal_id IS NOT NULL;
-- A task that goes straight to SUCCESS is never in it. A status is in another index already, so this one prevents no HOT update.
CREATE INDEX execution_tasks_aside ON execution_tasks (status, signal_id)
    WHERE status IN ('HELD', 'UNKNOWN', 'REVIEW', 'FAILED', 'DENIED', 'EXPIRED', 'CANCELLED');
CREATE INDEX execution_tasks_retries ON execution_tasks (retry_of) WHERE retry_of IS NOT NULL;
