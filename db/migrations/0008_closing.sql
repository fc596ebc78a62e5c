-- What closes: an exit that works at the broker, or was executed, may be followed by another one that closes what is left.

-- Two exits of one trade on an account are never at the broker's door at once. What each may close is decided from holdings.
DROP INDEX execution_tasks_one_exit;
CREATE UNIQUE INDEX execution_tasks_one_exit ON execution_tasks (account, trade_id, mode)
    WHERE event_type LIKE 'EXIT%' AND status IN ('SENDING', 'UNKNOWN', 'REVIEW');

-- Whether every fill that a trade's orders tell of is recorded is asked before it is closed.
CREATE INDEX broker_orders_trade ON broker_orders (trade_id, account);
