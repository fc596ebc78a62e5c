"""Brings a database to this version's schema: numbered migrations once, every other SQL object whenever it changed.

A runner of our own, because functions, triggers and views live one to a file and are replaced as a whole, which the
migration libraries do not know; because everything must happen in one transaction under one lock; and because the
schema's name must reach the functions' search_path.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from eventrouter.errors import MigrationError, StoreUnavailable
from eventrouter.store.files import db_dir

_LOCK = 0x6576_7274  # "evrt": two processes that migrate one database take turns
_OBJECTS = "objects"
_OURS = (
    "automated_signals",
    "execution_tasks",
    "execution_logs",
    "strategy_tokens",
    "product_families",
    "lanes",
    "alert_windows",
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
        raise StoreUnavailable(f"The database cannot be reached: {error}") from error
    except psycopg.Error as error:
        raise MigrationError(f"The database refused the migration, and nothing was changed: {error}") from error


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
    applied = tuple(_apply_migrations(conn, done))
    guard_role = _ensure_role(conn, schema)
    replaced = done.get(_OBJECTS) != _objects_sha256()
    if replaced or applied:
        for path in _objects():
            _run(conn, path)
        _record(conn, _OBJECTS, _objects_sha256())
    if guard_role:
        _run(conn, db_dir() / "privileges.sql")
    return MigrationReport(applied, replaced, guard_role)


def _enter_schema(conn: psycopg.Connection, schema: str) -> None:
    name = sql.Identifier(schema)
    if conn.execute("SELECT to_regnamespace(%s)", (schema,)).fetchone() == (None,):
        conn.execute(sql.SQL("CREATE SCHEMA {}").format(name))
    # functions keep this as their own search_path; pg_temp last, so that nobody's temporary table can shadow ours
    conn.execute(sql.SQL("SET LOCAL search_path = {}, pg_temp").format(name))
    conn.execute("SET LOCAL client_min_messages = warning")
    conn.execute("SET LOCAL lock_timeout = '30s'")


def _applied(conn: psycopg.Connection, schema: str) -> dict[str, str]:
    found = {
        name
        for (name,) in conn.execute(
            "SELECT c.relname FROM pg_class c WHERE c.relnamespace = to_regnamespace(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
            (schema,),
        )
    }
    if "schema_migrations" not in found:
        foreign = sorted(found.intersection(_OURS))
        if foreign:
            raise MigrationError(
                f"Schema {schema!r} already holds tables of these names that eventrouter did not make: {', '.join(foreign)}. "
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
    """Makes the application role where that is allowed, and lets this user become it. False: guarded by triggers only."""
    try:
        with conn.transaction():
            if conn.execute("SELECT FROM pg_roles WHERE rolname = 'eventrouter_app'").fetchone() is None:
                conn.execute("CREATE ROLE eventrouter_app NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE")
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        pass  # made by another database's migration at this moment
    except psycopg.errors.InsufficientPrivilege:
        return False
    try:
        with conn.transaction():
            conn.execute(
                "GRANT eventrouter_app TO CURRENT_USER"
            )  # since PostgreSQL 16 a role's maker cannot become it unasked
    except psycopg.errors.InsufficientPrivilege:
        return False
    conn.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO eventrouter_app").format(sql.Identifier(schema)))
    # PostgreSQL 14 lets everybody create objects in public; with that, a guarded function could be shadowed
    conn.execute(sql.SQL("REVOKE CREATE ON SCHEMA {} FROM PUBLIC, eventrouter_app").format(sql.Identifier(schema)))
    return True


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
        raise MigrationError(f"{path.relative_to(db_dir())}: {error}") from error


def _migrations() -> list[Path]:
    return sorted((db_dir() / "migrations").glob("*.sql"))


def _objects() -> list[Path]:
    return [path for kind in ("functions", "triggers", "views") for path in sorted((db_dir() / kind).glob("*.sql"))]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _objects_sha256() -> str:
    paths = [*_objects(), db_dir() / "privileges.sql"]
    return hashlib.sha256(b"".join(path.name.encode() + b"\0" + path.read_bytes() for path in paths)).hexdigest()
