-- What became of each flattening is looked for by account; an account's log holds much else.
CREATE INDEX account_log_flattening ON account_log (account, mode, seq) WHERE kind LIKE 'FLAT%';
-- The latest row of each flattening that somebody waits for.
CREATE INDEX controls_flattening ON controls (scope, id DESC) WHERE action = 'flatten';
