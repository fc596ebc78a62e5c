-- Accounts, strategies and routes as they are published.

-- name: publish_settings
SELECT name, version, difference, withdrawn FROM publish_settings(:actor, :kind, :names, :bodies, :only_new, :withdraw_others);

-- name: newest_settings^
SELECT max(id) FROM settings;

-- name: latest_settings
-- The latest version of everything, in the order in which the names were first published.
SELECT kind, name, version, body, withdrawn, id
FROM (SELECT DISTINCT ON (s.kind, s.name) s.*, min(s.id) OVER (PARTITION BY s.kind, s.name) AS first
      FROM settings s ORDER BY s.kind, s.name, s.version DESC) latest
ORDER BY first;

-- name: account_stakes
-- What each of these accounts has at its broker as far as we know: contracts held, and tasks whose orders may be there.
SELECT a.name,
       ARRAY(SELECT trim_scale(sum(h.quantity)) || ' ' || h.contract FROM holdings h
             WHERE h.account = a.name COLLATE "C" AND h.mode = 'live' AND h.quantity <> 0
             GROUP BY h.contract ORDER BY h.contract) AS held,
       ARRAY(SELECT t.id FROM execution_tasks t
             WHERE t.account = a.name COLLATE "C" AND t.mode = 'live' AND t.status IN ('SENDING', 'UNKNOWN', 'REVIEW', 'ACCEPTED')
             ORDER BY t.id LIMIT 20) AS open
FROM unnest(:names::TEXT[]) AS a (name);
