-- Exits that may still close something of an account are asked for with every exit of another trade.
CREATE INDEX execution_tasks_leaving ON execution_tasks (account, mode, id)
    WHERE NOT opening AND status IN ('SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED');
-- Whether somebody asked for a look at the broker is looked for every second.
CREATE INDEX account_log_asked ON account_log (account, seq) WHERE kind = 'RESYNC_ASKED';
