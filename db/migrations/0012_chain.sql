-- Tamper evidence: every row of history carries a hash over itself and the row before it, and seals carry the heads of these chains.
-- What is hashed: functions/execution_logs_chain.sql, account_log_chain.sql, controls_chain.sql, seal_history.sql.

ALTER TABLE execution_logs ADD COLUMN hash BYTEA CHECK (octet_length(hash) = 32);
ALTER TABLE account_log ADD COLUMN hash BYTEA CHECK (octet_length(hash) = 32);
ALTER TABLE controls ADD COLUMN hash BYTEA CHECK (octet_length(hash) = 32);
-- The hash of the task's latest row. Null while it has only its first one: a birth would otherwise write each task twice.
ALTER TABLE execution_tasks ADD COLUMN head BYTEA CHECK (octet_length(head) = 32);

-- What stands already is chained here, past the triggers that refuse every other change of it.
ALTER TABLE execution_logs DISABLE TRIGGER USER;
ALTER TABLE account_log DISABLE TRIGGER USER;
ALTER TABLE controls DISABLE TRIGGER USER;
ALTER TABLE execution_tasks DISABLE TRIGGER USER;
DO $$
DECLARE
    c_zero CONSTANT BYTEA := decode(repeat('00', 32), 'hex');
    v_row  RECORD;
    v_hash BYTEA;
    v_name TEXT;
    v_last TEXT;
BEGIN
    FOR v_row IN SELECT * FROM execution_logs l ORDER BY l.task_id, l.seq LOOP
        v_name := v_row.task_id::TEXT;
        v_hash := sha256(CASE WHEN v_name = v_last THEN v_hash ELSE c_zero END || convert_to(json_build_array(
            1, v_row.task_id, v_row.seq, v_row.prev_status, v_row.status, v_row.attempt, v_row.actor, v_row.reason, v_row.message,
            v_row.response_code, v_row.response_body, encode(v_row.response_raw, 'hex'), v_row.detail,
            (EXTRACT(EPOCH FROM v_row.run_at) * 1000000)::BIGINT, (EXTRACT(EPOCH FROM v_row.lease_until) * 1000000)::BIGINT,
            (EXTRACT(EPOCH FROM v_row.created_at) * 1000000)::BIGINT)::TEXT, 'UTF8'));
        UPDATE execution_logs l SET hash = v_hash WHERE l.id = v_row.id;
        v_last := v_name;
    END LOOP;
    v_last := NULL;
    FOR v_row IN SELECT * FROM account_log l ORDER BY l.account, l.mode, l.seq LOOP
        v_name := v_row.mode || ':' || v_row.account;
        v_hash := sha256(CASE WHEN v_name = v_last THEN v_hash ELSE c_zero END || convert_to(json_build_array(
            1, v_row.account, v_row.mode, v_row.seq, v_row.kind, v_row.actor, v_row.message, v_row.detail, v_row.state,
            (EXTRACT(EPOCH FROM v_row.created_at) * 1000000)::BIGINT)::TEXT, 'UTF8'));
        UPDATE account_log l SET hash = v_hash WHERE l.account = v_row.account AND l.mode = v_row.mode AND l.seq = v_row.seq;
        v_last := v_name;
    END LOOP;
    v_hash := c_zero;
    FOR v_row IN SELECT * FROM controls c ORDER BY c.id LOOP
        v_hash := sha256(v_hash || convert_to(json_build_array(
            1, v_row.id, v_row.scope, v_row.action, v_row.actor, v_row.reason,
            (EXTRACT(EPOCH FROM v_row.created_at) * 1000000)::BIGINT)::TEXT, 'UTF8'));
        UPDATE controls c SET hash = v_hash WHERE c.id = v_row.id;
    END LOOP;
END
$$;
UPDATE execution_tasks t SET head = l.hash FROM execution_logs l WHERE l.task_id = t.id AND l.seq = t.version AND t.version > 1;
ALTER TABLE execution_logs ENABLE TRIGGER USER;
ALTER TABLE account_log ENABLE TRIGGER USER;
ALTER TABLE controls ENABLE TRIGGER USER;
ALTER TABLE execution_tasks ENABLE TRIGGER USER;

ALTER TABLE execution_logs ALTER COLUMN hash SET NOT NULL;
ALTER TABLE account_log ALTER COLUMN hash SET NOT NULL;
ALTER TABLE controls ALTER COLUMN hash SET NOT NULL;

-- Checkpoints, once a minute while something happens. A seal holds the heads that changed since the one before.
CREATE TABLE seals (
    id       BIGINT PRIMARY KEY CHECK (id >= 1),  -- 1, 2, 3 … without holes
    previous BYTEA       NOT NULL CHECK (octet_length(previous) = 32),  -- the hash of the seal before; 32 zero bytes for the first
    hash     BYTEA       NOT NULL CHECK (octet_length(hash) = 32),
    made_at  TIMESTAMPTZ NOT NULL,
    from_xid XID8        NOT NULL,                -- log rows of the transactions from here …
    to_xid   XID8        NOT NULL,                -- … up to, not including, here; all of them were finished
    heads    INTEGER     NOT NULL CHECK (heads >= 1),
    digest   BYTEA       NOT NULL CHECK (octet_length(digest) = 32)  -- over its rows of sealed_heads
);
CREATE TABLE sealed_heads (
    seal_id BIGINT NOT NULL,
    kind    TEXT COLLATE "C" NOT NULL CHECK (kind IN ('task', 'account', 'controls')),
    name    TEXT COLLATE "C" NOT NULL,  -- the task's id; mode:account; nothing for controls
    seq     BIGINT NOT NULL,            -- the row's seq; its id for controls
    hash    BYTEA  NOT NULL,
    PRIMARY KEY (seal_id, kind, name)
);
CREATE INDEX sealed_heads_few ON sealed_heads (kind, name, seq) WHERE kind <> 'task';
