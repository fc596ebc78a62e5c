-- A claim says whether it sends entries; it is another function than before.
DROP FUNCTION IF EXISTS lock_due_tasks(TEXT[], INTEGER, INTEGER, TEXT);

-- Orders at the broker that are nobody's here are told once each.
CREATE INDEX account_log_external ON account_log (account, (detail ->> 'order')) WHERE kind = 'EXTERNAL';
