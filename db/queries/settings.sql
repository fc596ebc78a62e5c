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
