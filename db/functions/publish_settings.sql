-- Publishes configuration of one kind: a new version of each row whose body is another one now, and nothing for the others.
-- Returns the rows that it wrote, each with its difference: key → [before, after].
-- p_bodies: JSON objects as text. p_only_new: leave names alone that were ever published. p_withdraw_others: names that are
-- not given here are configured no longer.
-- Publishers take turns until their commits, so the ids of rows become visible in order and their maximum tells what is new.
CREATE OR REPLACE FUNCTION publish_settings(
    p_actor TEXT, p_kind TEXT, p_names TEXT[], p_bodies TEXT[], p_only_new BOOLEAN, p_withdraw_others BOOLEAN
) RETURNS TABLE (name TEXT, version INTEGER, difference JSONB, withdrawn BOOLEAN)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('eventrouter.settings'), 'settings'::REGCLASS::OID::INTEGER);
    RETURN QUERY
    WITH latest AS (
        SELECT DISTINCT ON (s.name) s.name, s.version, s.body, s.withdrawn
        FROM settings s
        WHERE s.kind = p_kind
        ORDER BY s.name, s.version DESC
    ), wanted AS (
        SELECT g.name, g.body::JSONB AS body, FALSE AS withdrawn, g.ord
        FROM unnest(p_names, p_bodies) WITH ORDINALITY AS g (name, body, ord)
        UNION ALL
        SELECT l.name, l.body, TRUE, NULL
        FROM latest l
        WHERE p_withdraw_others AND l.name <> ALL (p_names)
    )
    INSERT INTO settings AS s (kind, name, version, body, difference, withdrawn, actor)
    SELECT p_kind, w.name, COALESCE(l.version, 0) + 1, w.body,
           (SELECT COALESCE(jsonb_object_agg(k.key, jsonb_build_array(l.body -> k.key, w.body -> k.key)), '{}')
            FROM (SELECT jsonb_object_keys(l.body) UNION SELECT jsonb_object_keys(w.body)) AS k (key)
            WHERE l.body -> k.key IS DISTINCT FROM w.body -> k.key),
           w.withdrawn, p_actor
    FROM wanted w
    LEFT JOIN latest l ON l.name = w.name COLLATE "C"
    WHERE (l.body, l.withdrawn) IS DISTINCT FROM (w.body, w.withdrawn) AND NOT (p_only_new AND l.name IS NOT NULL)
    ORDER BY w.ord NULLS LAST, w.name
    RETURNING s.name, s.version, s.difference, s.withdrawn;
END
$$;
