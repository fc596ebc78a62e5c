"""Migrations: once, by whoever comes first, beside whatever else the database holds, or not at all."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from eventrouter.errors import MigrationError, StoreUnavailable
from eventrouter.store.connect import Database, guard_level, missing_migrations
from eventrouter.store.files import db_dir
from eventrouter.store.migrate import MigrationReport, migrate, pending
from tests.conftest import Server
from tests.store import schema_dump
from tests.store.stored_task import enqueue, insert, log_of, move, value

MIGRATIONS = tuple(sorted(path.stem for path in (db_dir() / "migrations").glob("*.sql")))
TABLES = [
    "alert_windows",
    "automated_signals",
    "execution_logs",
    "execution_tasks",
    "strategy_trades",
    "product_families",
    "schema_migrations",
    "strategy_tokens",
    "settings",
    "broker_orders",
    "fills",
    "holdings",
    "account_log",
    "last_prices",
    "controls",
    "seals",
    "sealed_heads",
    "dead_letters",
    "connection_states",
    "notifications",
    "notification_state",
    "desk_users",
    "desk_sessions",
    "desk_links",
    "api_keys",
]
VIEWS = sorted(path.stem for path in (db_dir() / "views").glob("*.sql"))


def execute(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    """What a statement of the owner returns."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        cursor = conn.execute(statement)
        return cursor.fetchall() if cursor.description else []


def names(dsn: str, schema: str = "public") -> list[str]:
    """The tables and views in a schema."""
    rows = execute(
        dsn,
        f"SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('{schema}') AND relkind IN ('r', 'v') ORDER BY 1",
    )
    return [name for (name,) in rows]


def at_once(*calls: Callable[[], MigrationReport]) -> list[MigrationReport]:
    """The calls' results, all of them made at the same moment."""
    ready = threading.Barrier(len(calls))

    def run(call: Callable[[], MigrationReport]) -> MigrationReport:
        ready.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


@pytest.fixture
def dsn_of_nothing(embedded_server: Server) -> Iterator[str]:
    """An empty database on the embedded server."""
    with embedded_server.database() as janitor:
        yield embedded_server.dsn(janitor.dbname)


def test_several_at_once(empty_dsn: str) -> None:
    """Of several that migrate one database at once, one does it and the others find it done."""
    reports = at_once(*[lambda: migrate(empty_dsn)] * 4)
    assert sorted(report.applied for report in reports) == [(), (), (), MIGRATIONS]
    assert sorted(report.objects_replaced for report in reports) == [False, False, False, True]
    assert sorted({*TABLES, *VIEWS}) == names(empty_dsn)


def test_several_databases_at_once(any_server: Server) -> None:
    """Databases of one server can be migrated at once, though they share the application role."""
    with ExitStack() as stack:
        dsns = [any_server.dsn(stack.enter_context(any_server.database()).dbname) for _ in range(3)]
        first = at_once(*[lambda dsn=dsn: migrate(dsn) for dsn in dsns])
        again = at_once(*[lambda dsn=dsn: migrate(dsn) for dsn in dsns])
    assert [report.applied for report in first] == [MIGRATIONS] * 3
    assert [report.applied for report in again] == [()] * 3


def test_repeating_changes_nothing(empty_dsn: str) -> None:
    """A second run applies nothing, replaces nothing and touches no row."""
    migrate(empty_dsn)
    execute(empty_dsn, "INSERT INTO execution_tasks (trade_id, event_type) VALUES ('T1', 'ENTRY')")
    look = "SELECT name, sha256, applied_at FROM schema_migrations ORDER BY 1"
    before = execute(empty_dsn, look), execute(empty_dsn, "SELECT xmin, * FROM execution_tasks")
    report = migrate(empty_dsn)
    assert (report.applied, report.objects_replaced) == ((), False)
    assert (execute(empty_dsn, look), execute(empty_dsn, "SELECT xmin, * FROM execution_tasks")) == before
    assert pending({name: digest for name, digest, _ in before[0]}) == []


async def test_what_is_missing_is_named(empty_dsn: str) -> None:
    """A service can tell what a database lacks, before and after a migration."""
    async with await Database(empty_dsn).connect("test") as conn:
        assert await missing_migrations(conn) == [*MIGRATIONS, "objects"]
        migrate(empty_dsn)
        assert await missing_migrations(conn) == []


def test_objects_and_privileges_are_restored(empty_dsn: str) -> None:
    """Changed functions, triggers and views are replaced, and privileges given by hand are taken away."""
    migrate(empty_dsn)
    execute(empty_dsn, "UPDATE schema_migrations SET sha256 = '' WHERE name = 'objects'")
    execute(empty_dsn, "DROP TRIGGER execution_logs_guard ON execution_logs")
    execute(empty_dsn, "GRANT UPDATE ON execution_tasks TO eventrouter_app")
    report = migrate(empty_dsn)
    assert (report.applied, report.objects_replaced) == ((), True)
    assert execute(empty_dsn, "SELECT count(*) FROM pg_trigger WHERE tgname = 'execution_logs_guard'") == [(1,)]
    assert execute(empty_dsn, "SELECT has_table_privilege('eventrouter_app', 'execution_tasks', 'UPDATE')") == [
        (False,)
    ]


def test_beside_other_tables(empty_dsn: str) -> None:
    """Other applications' tables, rows and privileges stay as they are."""
    execute(empty_dsn, "CREATE TABLE orders (id int PRIMARY KEY, note text); INSERT INTO orders VALUES (1, 'theirs')")
    execute(
        empty_dsn, "CREATE FUNCTION notify() RETURNS int LANGUAGE sql AS 'SELECT 1'; GRANT SELECT ON orders TO PUBLIC"
    )
    look = "SELECT relacl::text, (SELECT note FROM orders), notify() FROM pg_class WHERE relname = 'orders'"
    before = execute(empty_dsn, look)
    assert migrate(empty_dsn).applied == MIGRATIONS
    assert execute(empty_dsn, look) == before
    assert "orders" in names(empty_dsn)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, "TABLE {} (id int)") for name in (*TABLES, *VIEWS)),
        ("execution_tasks", "VIEW {} AS SELECT 1 AS id"),
        ("pending_tasks", "VIEW {} AS SELECT 1::bigint AS pending_count"),
        ("product_of", "FUNCTION {}(p_symbol text) RETURNS text LANGUAGE sql AS 'SELECT 1::text'"),
    ],
)
def test_foreign_objects_of_our_names(dsn_of_nothing: str, name: str, kind: str) -> None:
    """A table or view of our name that another program made is left alone, and the error says how to go elsewhere."""
    execute(dsn_of_nothing, "CREATE " + kind.format(name))
    with pytest.raises(MigrationError, match=r'(?s)[sS]chema.*\[database\] schema = "eventrouter"'):
        migrate(dsn_of_nothing)
    assert names(dsn_of_nothing) == [found for found in [name] if "FUNCTION" not in kind]
    assert migrate(dsn_of_nothing, schema="eventrouter").applied == MIGRATIONS


async def test_a_schema_of_its_own(empty_dsn: str) -> None:
    """In another schema everything works, and stage 13B's own tables in public are never touched."""
    execute(
        empty_dsn,
        "CREATE TABLE execution_tasks (id serial, trade_id text, event_type text, status text);"
        "CREATE TABLE execution_logs (id serial, task_id int); CREATE TABLE lanes (lane text)",
    )
    migrate(empty_dsn, schema="evr_core")
    assert migrate(empty_dsn, schema="evr_core").applied == ()
    assert names(empty_dsn, "evr_core") == sorted([*TABLES, *VIEWS])
    async with await Database(empty_dsn, "evr_core").connect("test") as conn:
        first = await enqueue(conn)
        await move(conn, first, "SENDING", "SUCCESS")
        second = await insert(conn, "T2")
        assert await value(conn, "SELECT route_task(%s, 'me', '{a}', NULL)", second) == [second]
        assert await log_of(conn, first) == ["PENDING", "SENDING", "SUCCESS"]
        # the functions find their own tables, whatever the caller's path is
        await conn.execute("SET search_path = public")
        await value(conn, "SELECT evr_core.enqueue_execution_task('T3', 'EXIT', NULL, 'a')")
        assert await value(conn, "SELECT count(*) FROM evr_core.execution_logs") == 6
    assert execute(empty_dsn, "SELECT count(*) FROM public.execution_tasks") == [(0,)]
    assert execute(
        empty_dsn, "SELECT DISTINCT proconfig[1] FROM pg_proc WHERE pronamespace = 'evr_core'::regnamespace"
    ) == [("search_path=evr_core, pg_temp",)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("INSERT INTO schema_migrations (name, sha256) VALUES ('9999_future', '')", "newer eventrouter .9999_future."),
        ("UPDATE schema_migrations SET sha256 = 'x' WHERE name = '0001_core'", "0001_core was changed"),
    ],
)
def test_another_version_is_refused(empty_dsn: str, change: str, said: str) -> None:
    """A database of a newer version, or one made by a migration that has changed since, is left as it is."""
    migrate(empty_dsn)
    execute(
        empty_dsn, f"{change}; DROP VIEW failed_tasks; UPDATE schema_migrations SET sha256 = '' WHERE name = 'objects'"
    )
    with pytest.raises(MigrationError, match=said):
        migrate(empty_dsn)
    assert "failed_tasks" not in names(empty_dsn)


def test_a_migration_that_fails_leaves_nothing(empty_dsn: str) -> None:
    """A migration that the database refuses names its file and changes nothing."""
    execute(empty_dsn, "CREATE TABLE theirs (id int); CREATE INDEX execution_logs_xid ON theirs (id)")
    with pytest.raises(MigrationError, match=r"migrations/0001_core\.sql"):
        migrate(empty_dsn)
    assert names(empty_dsn) == ["theirs"]


async def test_without_the_right_to_make_roles(empty_dsn: str) -> None:
    """Whoever may not make roles is told so, still gets the triggers' guard, and nobody else may call a function."""
    role = f"trader_{conninfo_to_dict(empty_dsn)['dbname']}"
    execute(empty_dsn, f"CREATE ROLE {role}; CREATE SCHEMA own AUTHORIZATION {role}")
    dsn = f"{empty_dsn} options='-c role={role}'"
    try:
        assert not migrate(dsn, schema="own").guard_role
        assert migrate(dsn, schema="own").applied == ()
        with psycopg.connect(f"{empty_dsn} options='-c role={role} -c search_path=own'", autocommit=True) as conn:
            conn.execute("INSERT INTO execution_tasks (trade_id, event_type) VALUES ('T1', 'ENTRY')")
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="moved only by its log"):
                conn.execute("UPDATE execution_tasks SET status = 'SUCCESS'")
            assert conn.execute("SELECT prev_status, status FROM execution_logs").fetchall() == [(None, "PENDING")]
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as session:
            await Database(dsn, "own").configure(session, role=False)
            assert await guard_level(session) == "triggers"
        callable_by_all = "SELECT proname FROM pg_proc WHERE pronamespace = 'own'::regnamespace"
        assert execute(empty_dsn, f"{callable_by_all} AND has_function_privilege('public', oid, 'EXECUTE')") == []
    finally:
        execute(empty_dsn, f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_database_that_is_away() -> None:
    """A server that does not answer is a reason to try again, not a failed migration."""
    with pytest.raises(StoreUnavailable):
        migrate("host=127.0.0.1 port=1 user=nobody dbname=none")


def test_schema_file(dsn: str) -> None:
    """db/schema.sql is what the migrations make; `python -m tests.store.schema_dump` writes it anew."""
    assert schema_dump.dump(dsn) == schema_dump.SCHEMA.read_text()


def test_no_two_queries_have_one_name() -> None:
    """Of two queries of one name only one would be found, and its callers would not notice before they run."""
    named = [
        line.split()[2].rstrip("^$!*<")
        for path in sorted((db_dir() / "queries").glob("*.sql"))
        for line in path.read_text("utf-8").splitlines()
        if line.startswith("-- name:")
    ]
    assert sorted(set(named)) == sorted(named)
