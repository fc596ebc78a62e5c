-- Who may look and act at the desk.

-- name: desk_users
SELECT u.name, u.role, u.created_at, u.password IS NOT NULL AS has_password,
       (SELECT max(s.seen_at) FROM desk_sessions s WHERE s.user_name = u.name) AS seen_at
FROM desk_users u
WHERE u.disabled_at IS NULL
ORDER BY lower(u.name);

-- name: desk_password^
SELECT u.name, u.password FROM desk_users u WHERE lower(u.name) = lower(:name) AND u.disabled_at IS NULL;

-- name: desk_login_needed^
SELECT EXISTS (SELECT FROM desk_users u WHERE u.disabled_at IS NULL);

-- name: desk_session^
-- The user of a session that has not ended, and whether it is time to note that it is in use.
SELECT u.name, u.role, s.seen_at < clock_timestamp() - interval '1 minute'
FROM desk_sessions s
JOIN desk_users u ON u.name = s.user_name AND u.disabled_at IS NULL
WHERE s.sha256 = :sha256 AND s.expires_at > clock_timestamp() AND s.seen_at > clock_timestamp() - make_interval(secs => :idle_s);

-- name: api_key^
SELECT k.name, k.role FROM api_keys k WHERE k.sha256 = :sha256 AND k.revoked_at IS NULL;

-- name: api_keys
SELECT k.name, k.role, k.created_at, k.revoked_at FROM api_keys k ORDER BY k.id;

-- name: add_desk_user^
SELECT add_desk_user(:name, :password, :role);

-- name: change_desk_user^
SELECT change_desk_user(:name, :password, :remove);

-- name: rehash_desk_password^
SELECT rehash_desk_password(:name, :old, :new);

-- name: open_desk_session^
SELECT open_desk_session(:name, :password, :sha256, :lasts_s);

-- name: open_desk_link^
SELECT open_desk_link(:link, :sha256, :lasts_s);

-- name: add_desk_link^
SELECT add_desk_link(:name, :sha256, :lasts_s);

-- name: touch_desk_session^
SELECT touch_desk_session(:sha256);

-- name: end_desk_session^
SELECT end_desk_session(:sha256);

-- name: add_api_key^
SELECT add_api_key(:name, :sha256, :role);

-- name: revoke_api_key^
SELECT revoke_api_key(:name);
