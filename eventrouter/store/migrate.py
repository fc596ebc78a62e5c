"""Brings a database to this version's schema: numbered migrations once, every other SQL object whenever it changed.

A runner of our own, because functions, triggers and views live one to a file and are replaced as a whole, which the
migration libraries do not know; because everything must happen in one transaction under one lock; and because the
schema's name must reach the functions' search_path.
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from eventrouter.errors import MigrationError, StoreUnavailable, one_line
from eventrouter.store.files import db_dir

_LOCK = 0x6576_7274  # "evrt": two processes that migrate one database take turns
_OBJECTS = "objects"
_TABLES = (
    "automated_signals",
    "execution_tasks",
    "execution_logs",
    "strategy_tokens",
    "product_families",
    "alert_windows",
    "strategy_trades",
    "settings",
    "broker_orders",
    "fills",
    "holdings",
    "account_log",
    "last_prices",
    "connection_states",
    "controls",
    "seals",
    "sealed_heads",
    "dead_letters",
    "notifications",
    "notification_state",
    "desk_users",
    "desk_sessions",
    "desk_links",
    "api_keys",
)


@dataclass(frozen=True)
class MigrationReport:
    """What a run did: the migrations applied, and whether functions, triggers, views and privileges were replaced."""

    applied: tuple[str, ...]
    objects_replaced: bool
    guard_role: bool


def migrate(dsn: str, *, schema: str = "public") -> MigrationReport:
    """Migrates in one transaction; safe to run by several processes at once and beside other applications' tables.

    Raises MigrationError when the database is newer than this version, holds foreign tables under our names, or refuses.
    """
    try:
        with (
            psycopg.connect(dsn, connect_timeout=10, application_name="eventrouter-migrate") as conn,
            conn.transaction(),
        ):
            return _migrate(conn, schema)
    except psycopg.OperationalError as error:
        raise StoreUnavailable(f"The database cannot be reached: {one_line(error)}") from error
    except psycopg.Error as error:
        raise MigrationError(
            f"The database refused the migration, and nothing was changed: {one_line(error)}"
        ) from error


def pending(conn_rows: dict[str, str]) -> list[str]:
    """What a database with these rows of schema_migrations (name → sha256) lacks; empty when it is up to date."""
    wanted = {path.stem: _sha256(path) for path in _migrations()} | {_OBJECTS: _objects_sha256()}
    return [name for name, digest in wanted.items() if conn_rows.get(name) != digest]


def _migrate(conn: psycopg.Connection, schema: str) -> MigrationReport:
    conn.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    if conn.info.server_version < 140_000:
        raise MigrationError(f"PostgreSQL 14 or later is needed; this server is {conn.info.server_version // 10_000}.")
    _enter_schema(conn, schema)
    done = _applied(conn, schema)
    _refuse_newer(done)
    if not pending(done):  # also the way of a service whose user may change nothing
        return MigrationReport((), objects_replaced=False, guard_role=_is_member(conn))
    applied = tuple(_apply_migrations(conn, done))
    has_role = _ensure_role(conn, schema)
    for path in _objects():
        _run(conn, path)
    _run(conn, db_dir() / "privileges" / "public.sql")
    if has_role:
        _run(conn, db_dir() / "privileges" / "application.sql")
    _record(conn, _OBJECTS, _objects_sha256())
    return MigrationReport(applied, objects_replaced=True, guard_role=_is_member(conn))


def _enter_schema(conn: psycopg.Connection, schema: str) -> None:
    name = sql.Identifier(schema)
    if conn.execute("SELECT to_regnamespace(%s)", (schema,)).fetchone() == (None,):
        conn.execute(sql.SQL("CREATE SCHEMA {}").format(name))
    # functions keep this as their own search_path; pg_temp last, so that nobody's temporary table can shadow ours
    conn.execute(sql.SQL("SET LOCAL search_path = {}, pg_temp").format(name))
    conn.execute("SET LOCAL client_min_messages = warning")
    conn.execute("SET LOCAL lock_timeout = '30s'")
    conn.execute("SET LOCAL check_function_bodies = off")  # functions may name one that a later file makes


def _applied(conn: psycopg.Connection, schema: str) -> dict[str, str]:
    found = {
        name
        for (name,) in conn.execute(
            "SELECT relname::TEXT FROM pg_class WHERE relnamespace = to_regnamespace(%(schema)s) AND relkind IN ('r', 'p', 'v', 'm', 'f') "
            "UNION ALL SELECT proname::TEXT FROM pg_proc WHERE pronamespace = to_regnamespace(%(schema)s)",
            {"schema": schema},
        )
    }
    if "schema_migrations" not in found:
        foreign = sorted(found.intersection((*_TABLES, *(path.stem for path in _objects()))))
        if foreign:
            raise MigrationError(
                f"Schema {schema!r} already holds objects of these names that eventrouter did not make: {', '.join(foreign)}. "
                'Set another one, for example [database] schema = "eventrouter".'
            )
        conn.execute(
            "CREATE TABLE schema_migrations (name TEXT PRIMARY KEY, sha256 TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())"
        )
        return {}
    columns = {
        name
        for (name,) in conn.execute(
            "SELECT a.attname FROM pg_attribute a WHERE a.attrelid = to_regclass('schema_migrations') AND a.attnum > 0",
        )
    }
    if not {"name", "sha256"} <= columns:
        raise MigrationError(
            f"Schema {schema!r} holds a table schema_migrations of another program. "
            'Set another schema, for example [database] schema = "eventrouter".'
        )
    return dict(conn.execute("SELECT name, sha256 FROM schema_migrations").fetchall())


def _refuse_newer(done: dict[str, str]) -> None:
    known = {path.stem for path in _migrations()} | {_OBJECTS}
    unknown = sorted(set(done) - known)
    if unknown:
        raise MigrationError(
            f"The database was migrated by a newer eventrouter ({', '.join(unknown)}). Install that version or a later one."
        )


def _apply_migrations(conn: psycopg.Connection, done: dict[str, str]) -> Iterator[str]:
    for path in _migrations():
        digest = _sha256(path)
        if path.stem not in done:
            _run(conn, path)
            _record(conn, path.stem, digest)
            yield path.stem
        elif done[path.stem] != digest:
            raise MigrationError(
                f"Migration {path.stem} was changed after it was applied. Restore the file; add a new one."
            )


def _ensure_role(conn: psycopg.Connection, schema: str) -> bool:
    """Makes the application role where that is allowed, and lets this user become it. False: there is no such role."""
    try:
        with conn.transaction():
            if not _has_role(conn):
                conn.execute("CREATE ROLE eventrouter_app NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE")
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        pass  # made by another database's migration at this moment
    except psycopg.errors.InsufficientPrivilege:
        return False
    with suppress(psycopg.errors.InsufficientPrivilege), conn.transaction():
        # since PostgreSQL 16 a role's maker cannot become it unasked; whoever may not grant it has it granted, or another DSN
        conn.execute("GRANT eventrouter_app TO CURRENT_USER")
    conn.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO eventrouter_app").format(sql.Identifier(schema)))
    # PostgreSQL 14 lets everybody create objects in public; with that, a guarded function could be shadowed
    conn.execute(sql.SQL("REVOKE CREATE ON SCHEMA {} FROM PUBLIC, eventrouter_app").format(sql.Identifier(schema)))
    return True


def _has_role(conn: psycopg.Connection) -> bool:
    return conn.execute("SELECT FROM pg_roles WHERE rolname = 'eventrouter_app'").fetchone() is not None


def _is_member(conn: psycopg.Connection) -> bool:
    """Whether sessions of this user can be held back by the role."""
    return _has_role(conn) and conn.execute(
        "SELECT pg_has_role(current_user, 'eventrouter_app', 'MEMBER')"
    ).fetchone() == (True,)


def _record(conn: psycopg.Connection, name: str, digest: str) -> None:
    conn.execute(
        "INSERT INTO schema_migrations (name, sha256) VALUES (%s, %s) "
        "ON CONFLICT (name) DO UPDATE SET sha256 = EXCLUDED.sha256, applied_at = now()",
        (name, digest),
    )


def _run(conn: psycopg.Connection, path: Path) -> None:
    try:
        conn.execute(path.read_bytes())
    except psycopg.Error as error:
        may = (
            ""
            if not isinstance(error, psycopg.errors.InsufficientPrivilege)
            else (
                " The database is not up to date, and this user may not change that: give [database] admin_dsn one who may."
            )
        )
        raise MigrationError(f"{path.relative_to(db_dir())}: {one_line(error)}.{may}") from error


def _migrations() -> list[Path]:
    return sorted((db_dir() / "migrations").glob("*.sql"))


def _objects() -> list[Path]:
    return [path for kind in ("functions", "triggers", "views") for path in sorted((db_dir() / kind).glob("*.sql"))]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _objects_sha256() -> str:
    paths = [*_objects(), *sorted((db_dir() / "privileges").glob("*.sql"))]
    return hashlib.sha256(b"".join(path.name.encode() + b"\0" + path.read_bytes() for path in paths)).hexdigest()
