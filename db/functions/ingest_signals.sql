-- Stores a batch of signals with their tasks. A signal whose uid is stored already is left as it is, so a batch whose commit
-- had an unknown outcome can simply be given again. A signal whose key stands in an open window is stored as the duplicate of
-- that window's first, without tasks. Returns the signals stored now.
-- p_keys, p_windows: what makes the alert the same as another, and for how many seconds; null: it has no duplicates.
-- p_task_*: one element a task; p_task_uids names the signal that it belongs to.
CREATE OR REPLACE FUNCTION ingest_signals(
    p_uids UUID[], p_strategies TEXT[], p_trade_ids TEXT[], p_event_types TEXT[], p_codes TEXT[], p_messages TEXT[], p_fields TEXT[],
    p_raws BYTEA[], p_content_types TEXT[], p_headers TEXT[], p_source_ips TEXT[], p_parsed TEXT[], p_received TIMESTAMPTZ[],
    p_fired TIMESTAMPTZ[], p_keys BYTEA[], p_windows FLOAT8[],
    p_task_uids UUID[], p_task_accounts TEXT[], p_task_payloads TEXT[], p_task_max_ages FLOAT8[]
) RETURNS TABLE (signal_uid UUID, signal_id BIGINT, task_ids BIGINT[], duplicate_of UUID)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    -- Sorted by key, so that two batches cannot wait for each other; one row a key, so that none meets itself.
    INSERT INTO alert_windows AS w (strategy, key, signal_uid, started_at, expires_at)
    SELECT DISTINCT ON (a.strategy, a.key)
           a.strategy, a.key, a.uid, a.received_at, a.received_at + make_interval(secs => a.window_s)
    FROM unnest(p_strategies, p_keys, p_uids, p_received, p_windows) WITH ORDINALITY AS a (strategy, key, uid, received_at, window_s, ord)
    WHERE a.key IS NOT NULL
    ORDER BY a.strategy, a.key, a.ord
    ON CONFLICT (strategy, key) DO UPDATE
        SET signal_uid = EXCLUDED.signal_uid, started_at = EXCLUDED.started_at, expires_at = EXCLUDED.expires_at
        WHERE w.expires_at <= EXCLUDED.started_at;

    -- A statement of its own: it sees what another session's batch, waited for above, has just committed.
    RETURN QUERY
    WITH stored AS (
        INSERT INTO automated_signals AS g (signal_uid, strategy, trade_id, event_type, code, message, field, raw, content_type,
                                            headers, source_ip, parsed, received_at, fired_at, duplicate_of)
        SELECT s.uid, s.strategy, s.trade_id, s.event_type, s.code, s.message, s.field, s.raw, s.content_type, s.headers::JSONB,
               s.source_ip, s.parsed::JSONB, s.received_at, s.fired_at, NULLIF(w.signal_uid, s.uid)
        FROM unnest(p_uids, p_strategies, p_trade_ids, p_event_types, p_codes, p_messages, p_fields, p_raws, p_content_types, p_headers,
                    p_source_ips, p_parsed, p_received, p_fired, p_keys) WITH ORDINALITY
                 AS s (uid, strategy, trade_id, event_type, code, message, field, raw, content_type, headers, source_ip, parsed,
                       received_at, fired_at, key, ord)
        LEFT JOIN alert_windows w ON w.strategy = s.strategy AND w.key = s.key
        ORDER BY s.ord
        ON CONFLICT (signal_uid) DO NOTHING
        RETURNING g.id, g.signal_uid, g.trade_id, g.event_type, g.received_at, g.fired_at, g.duplicate_of
    ), enqueued AS (
        INSERT INTO execution_tasks (trade_id, event_type, payload, signal_id, account, expires_at)
        SELECT s.trade_id, s.event_type, t.payload::JSONB, s.id, t.account,
               LEAST(s.fired_at, s.received_at) + make_interval(secs => t.max_age)
        FROM unnest(p_task_uids, p_task_accounts, p_task_payloads, p_task_max_ages) WITH ORDINALITY
                 AS t (uid, account, payload, max_age, ord)
        JOIN stored s ON s.signal_uid = t.uid
        WHERE s.duplicate_of IS NULL
        ORDER BY t.ord
        RETURNING id, signal_id
    )
    SELECT s.signal_uid, s.id, COALESCE(array_agg(e.id ORDER BY e.id) FILTER (WHERE e.id IS NOT NULL), '{}'), s.duplicate_of
    FROM stored s LEFT JOIN enqueued e ON e.signal_id = s.id
    GROUP BY s.signal_uid, s.id, s.duplicate_of;
END
$$;
