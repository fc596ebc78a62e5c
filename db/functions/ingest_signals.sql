-- Stores a batch of signals with their tasks in one statement. A signal whose uid is stored already is left as it is, so
-- a batch whose commit had an unknown outcome can simply be given again. Returns the signals stored now, with their tasks.
-- p_task_*: one element a task; p_task_uids names the signal that it belongs to.
CREATE OR REPLACE FUNCTION ingest_signals(
    p_uids UUID[], p_strategies TEXT[], p_trade_ids TEXT[], p_event_types TEXT[], p_codes TEXT[], p_messages TEXT[], p_fields TEXT[],
    p_raws BYTEA[], p_content_types TEXT[], p_headers TEXT[], p_source_ips TEXT[], p_parsed TEXT[], p_received TIMESTAMPTZ[],
    p_task_uids UUID[], p_task_accounts TEXT[], p_task_payloads TEXT[], p_task_max_ages FLOAT8[]
) RETURNS TABLE (signal_uid UUID, signal_id BIGINT, task_ids BIGINT[])
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH stored AS (
        INSERT INTO automated_signals (signal_uid, strategy, trade_id, event_type, code, message, field, raw, content_type, headers,
                                       source_ip, parsed, received_at)
        SELECT s.uid, s.strategy, s.trade_id, s.event_type, s.code, s.message, s.field, s.raw, s.content_type, s.headers::JSONB,
               s.source_ip, s.parsed::JSONB, s.received_at
        FROM unnest(p_uids, p_strategies, p_trade_ids, p_event_types, p_codes, p_messages, p_fields, p_raws, p_content_types, p_headers,
                    p_source_ips, p_parsed, p_received) WITH ORDINALITY
                 AS s (uid, strategy, trade_id, event_type, code, message, field, raw, content_type, headers, source_ip, parsed,
                       received_at, ord)
        ORDER BY s.ord
        ON CONFLICT (signal_uid) DO NOTHING
        RETURNING id, signal_uid, trade_id, event_type, received_at
    ), enqueued AS (
        INSERT INTO execution_tasks (trade_id, event_type, payload, signal_id, account, expires_at)
        SELECT s.trade_id, s.event_type, t.payload::JSONB, s.id, t.account, s.received_at + make_interval(secs => t.max_age)
        FROM unnest(p_task_uids, p_task_accounts, p_task_payloads, p_task_max_ages) WITH ORDINALITY
                 AS t (uid, account, payload, max_age, ord)
        JOIN stored s ON s.signal_uid = t.uid
        ORDER BY t.ord
        RETURNING id, signal_id
    )
    SELECT s.signal_uid, s.id, COALESCE(array_agg(e.id ORDER BY e.id) FILTER (WHERE e.id IS NOT NULL), '{}')
    FROM stored s LEFT JOIN enqueued e ON e.signal_id = s.id
    GROUP BY s.signal_uid, s.id;

END
$$;
