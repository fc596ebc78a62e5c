-- What every session of the service needs.

-- name: configure_session^
SELECT set_config('search_path', :search_path, false),
       set_config('timezone', 'UTC', false),
       set_config('statement_timeout', :timeout, false),
       set_config('lock_timeout', '5s', false),
       set_config('idle_in_transaction_session_timeout', '10s', false),
       set_config('synchronous_commit', 'on', false),
       set_config('jit', 'off', false);

-- name: may_become_app^
SELECT EXISTS (
    SELECT FROM pg_roles r
    WHERE r.rolname = 'eventrouter_app' AND r.rolname <> current_user AND pg_has_role(session_user, r.oid, 'MEMBER')
);

-- name: guard_level^
-- login: this user can never be more than the application role; role: it could step back; triggers: it owns the tables.
SELECT CASE
    WHEN has_table_privilege(current_user, 'execution_tasks', 'UPDATE') THEN 'triggers'
    WHEN has_table_privilege(session_user, 'execution_tasks', 'UPDATE') THEN 'role'
    ELSE 'login'
END;

-- name: database_identity^
SELECT (SELECT system_identifier FROM pg_control_system())::TEXT || '.' || (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: applied_migrations
SELECT name, sha256 FROM schema_migrations;

-- name: notify^
SELECT pg_notify(:channel, :payload);

-- name: repeatable_read!
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- name: take_run_lock^
SELECT pg_try_advisory_lock(hashtext('eventrouter.run'), 0);

-- name: run_lock_holder^
SELECT a.application_name
FROM pg_locks l
JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.classid::BIGINT = (hashtext('eventrouter.run')::BIGINT & 4294967295) AND l.objid = 0;
