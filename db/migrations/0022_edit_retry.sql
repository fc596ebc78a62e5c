-- The desk's list of what waits for a person: the newest first, however many letters are settled.
CREATE INDEX dead_letters_waiting ON dead_letters (id) WHERE closed_seq IS NULL;
