-- Seals the heads of all chains that changed since the last seal. Returns the new seal's id; null where nothing changed, or where
-- somebody else is sealing at this moment.
CREATE OR REPLACE FUNCTION seal_history() RETURNS BIGINT
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
SET jit = off
AS $$
DECLARE
    c_zero   CONSTANT BYTEA := decode(repeat('00', 32), 'hex');
    v_last   seals;
    v_new    seals;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('eventrouter.seal'), 'seals'::REGCLASS::OID::INTEGER) THEN
        RETURN NULL;
    END IF;
    SELECT * INTO v_last FROM seals s ORDER BY s.id DESC LIMIT 1;
    v_new.id := COALESCE(v_last.id, 0) + 1;
    v_new.previous := COALESCE(v_last.hash, c_zero);
    v_new.made_at := clock_timestamp();
    -- every transaction below this one is finished, so the statements below see all that it wrote
    v_new.to_xid := pg_snapshot_xmin(pg_current_snapshot());
    -- in a cluster that counts from a lower number (a restored dump) everything is sealed anew
    v_new.from_xid := CASE WHEN v_last.to_xid <= v_new.to_xid THEN v_last.to_xid ELSE '0' END;

    INSERT INTO sealed_heads (seal_id, kind, name, seq, hash)
    SELECT DISTINCT ON (l.task_id) v_new.id, 'task', l.task_id::TEXT, l.seq, l.hash
    FROM execution_logs l
    WHERE l.xid >= v_new.from_xid AND (l.xid < v_new.to_xid OR v_new.from_xid = '0')
    ORDER BY l.task_id, l.seq DESC;

    INSERT INTO sealed_heads (seal_id, kind, name, seq, hash)
    WITH RECURSIVE accounts AS (
        (SELECT l.account, l.mode FROM account_log l ORDER BY l.account, l.mode LIMIT 1)
        UNION ALL
        SELECT n.account, n.mode
        FROM accounts a
        CROSS JOIN LATERAL (SELECT l.account, l.mode FROM account_log l WHERE (l.account, l.mode) > (a.account, a.mode)
                            ORDER BY l.account, l.mode LIMIT 1) n
    ), heads AS (
        SELECT 'account' AS kind, a.mode || ':' || a.account AS name, h.seq::BIGINT AS seq, h.hash
        FROM accounts a
        CROSS JOIN LATERAL (SELECT l.seq, l.hash FROM account_log l WHERE l.account = a.account AND l.mode = a.mode
                            ORDER BY l.seq DESC LIMIT 1) h
        UNION ALL
        (SELECT 'controls', '', c.id, c.hash FROM controls c ORDER BY c.id DESC LIMIT 1)
    )
    SELECT v_new.id, h.kind, h.name, h.seq, h.hash
    FROM heads h
    WHERE NOT EXISTS (SELECT FROM sealed_heads s WHERE s.kind <> 'task' AND s.kind = h.kind COLLATE "C" AND s.name = h.name COLLATE "C"
                                                   AND s.seq = h.seq AND s.hash = h.hash);

    SELECT count(*), sha256(string_agg(convert_to(json_build_array(s.kind, s.name, s.seq, encode(s.hash, 'hex'))::TEXT, 'UTF8'), ''
                                       ORDER BY s.kind, s.name))
    INTO v_new.heads, v_new.digest
    FROM sealed_heads s WHERE s.seal_id = v_new.id;
    IF v_new.heads = 0 THEN
        RETURN NULL;
    END IF;
    v_new.hash := sha256(v_new.previous || convert_to(json_build_array(
        1, v_new.id, (EXTRACT(EPOCH FROM v_new.made_at) * 1000000)::BIGINT, v_new.from_xid::TEXT, v_new.to_xid::TEXT, v_new.heads,
        encode(v_new.digest, 'hex'))::TEXT, 'UTF8'));
    INSERT INTO seals SELECT v_new.*;
    RETURN v_new.id;
END
$$;
