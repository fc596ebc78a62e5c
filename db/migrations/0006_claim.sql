-- What a claim asks of an account before an entry may open anything: each fact is found by an index over open rows or by time.

CREATE INDEX execution_tasks_exposed ON execution_tasks (account, mode, id)
    WHERE opening AND status IN ('SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED');
CREATE INDEX execution_tasks_intents ON execution_tasks (account, mode, last_attempt_at)
    WHERE opening AND last_attempt_at IS NOT NULL;
CREATE INDEX execution_tasks_held ON execution_tasks (account, id) WHERE status = 'HELD';
-- who else belongs to an owner, in whatever process's configuration
CREATE INDEX settings_owner ON settings ((body ->> 'owner')) WHERE kind = 'account';

-- it returns more than it did; a new database has not got it yet
DROP FUNCTION IF EXISTS lock_due_tasks(TEXT[], INTEGER, INTEGER);
