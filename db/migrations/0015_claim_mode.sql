-- A claim names the mode that it can execute; it is another function than before.
DROP FUNCTION IF EXISTS lock_due_tasks(TEXT[], INTEGER, INTEGER);

-- Entries that wait to be sent again, of which the broker may have the first order all the same: they count as exposure.
CREATE INDEX execution_tasks_resent ON execution_tasks (account, mode, id)
    WHERE opening AND status = 'PENDING' AND attempts > 0;
