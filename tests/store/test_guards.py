"""No way around the log: what the database refuses, to the application role and to its own owner."""

import re
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from psycopg import sql

from eventrouter.domain.tasks import LogEntry, Status, is_legal
from eventrouter.errors import RowRefused
from eventrouter.store.connect import Conn, guard_level, translated
from eventrouter.store.tasks import append
from tests.store.stored_task import bring, enqueue, insert, log_of, statuses, value

Owner = psycopg.Connection[Any]

LOG_ROW = (
    "INSERT INTO execution_logs (task_id, seq, prev_status, status, attempt, actor, reason, lease_until)"
    " SELECT id, {seq}, {prev}, {status}, {attempt}, 'me', 'R', {lease} FROM execution_tasks"
)


def log_row(seq: int, prev: str, status: str, attempt: int = 0, *, lease: bool = False) -> sql.Composed:
    """Adds a log row of these values to every task."""
    until = sql.SQL("now() + interval '1 minute'" if lease else "NULL")
    names = {"seq": seq, "prev": prev, "status": status, "attempt": attempt}
    return sql.SQL(LOG_ROW).format(**{name: sql.Literal(given) for name, given in names.items()}, lease=until)


def test_the_constraint_is_the_transition_table(owner: Owner) -> None:
    """The database and the domain call the same changes legal, over every pair of statuses."""
    row = owner.execute(
        "SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE conname = 'execution_logs_legal'"
    ).fetchone()
    assert row
    pairs = [(prev, status) for prev in (None, *Status) for status in Status]
    prevs, following = [None if prev is None else str(prev) for prev, _ in pairs], [str(status) for _, status in pairs]
    found = owner.execute(
        f"SELECT ({row[0]}) IS NOT FALSE FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY"
        " AS l (prev_status, status, number) ORDER BY number",
        (prevs, following),
    ).fetchall()
    assert [legal for (legal,) in found] == [is_legal(prev, status) for prev, status in pairs]


def test_the_status_column_knows_every_status(owner: Owner) -> None:
    """A task's status can be every status of the domain and nothing else."""
    row = owner.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'execution_tasks_status'"
    ).fetchone()
    assert row
    assert set(row[0].split("'")[1::2]) == {str(status) for status in Status}


async def test_the_service_is_held_back(conn: Conn) -> None:
    """The service's sessions are those of the application role."""
    assert await value(conn, "SELECT current_user::text") == "eventrouter_app"
    assert await guard_level(conn) in ("login", "role")


FORBIDDEN: list[str | sql.Composed] = [
    "UPDATE execution_tasks SET status = 'SUCCESS'",
    "UPDATE execution_tasks SET payload = '{}'",
    "DELETE FROM execution_tasks",
    "TRUNCATE execution_tasks CASCADE",
    "INSERT INTO execution_tasks (trade_id, event_type, account) VALUES ('T', 'ENTRY', 'a')",
    "INSERT INTO execution_tasks (trade_id, event_type, mode) VALUES ('T', 'ENTRY', 'live')",
    "INSERT INTO execution_tasks (id, trade_id, event_type) OVERRIDING SYSTEM VALUE VALUES (999, 'T', 'ENTRY')",
    "INSERT INTO execution_tasks (trade_id, event_type) VALUES ('T', 'ENTRY')"
    " ON CONFLICT (id) DO UPDATE SET status = 'SUCCESS'",
    "SELECT * FROM execution_tasks FOR UPDATE",
    log_row(2, "PENDING", "SUCCESS"),
    "UPDATE execution_logs SET status = 'SUCCESS'",
    "DELETE FROM execution_logs",
    "TRUNCATE execution_logs",
    "INSERT INTO automated_signals (signal_uid, strategy, raw, received_at) VALUES (gen_random_uuid(), 's', '', now())",
    "UPDATE strategy_tokens SET revoked_at = NULL",
    "UPDATE desk_users SET role = 'operate'",
    "DELETE FROM desk_users",
    "INSERT INTO desk_sessions (sha256, user_name, expires_at) VALUES ('', 'a', now())",
    "UPDATE api_keys SET revoked_at = NULL",
    "UPDATE schema_migrations SET sha256 = ''",
    "UPDATE failed_tasks SET last_error = NULL",
    "ALTER TABLE execution_tasks DISABLE TRIGGER ALL",
    "ALTER TABLE execution_logs DROP CONSTRAINT execution_logs_legal",
    "DROP TRIGGER execution_logs_guard ON execution_logs",
    "SET session_replication_role = replica",
    "CREATE TABLE mine (id int)",
    "CREATE FUNCTION product_of(text, int) RETURNS text LANGUAGE sql AS 'SELECT 1::text'",
    "INSERT INTO fills SELECT * FROM fills",
    "UPDATE fills SET price = 1",
    "UPDATE holdings SET quantity = 0",
    "DELETE FROM account_log",
    "UPDATE broker_orders SET state = 'FILLED'",
    "UPDATE last_prices SET price = 1",
    "UPDATE seals SET heads = 1",
    "INSERT INTO sealed_heads VALUES (1, 'task', '1', 1, '')",
    "SELECT draw_client_order_id()",
    "SELECT lane_of('a', 'ES', 'T')",
    "SELECT setval('execution_tasks_id_seq', 1)",
]


async def test_the_application_role_cannot(conn: Conn) -> None:
    """The application role has no privilege that could change history, or what guards it."""
    task_id = await enqueue(conn)
    allowed = []
    for statement in FORBIDDEN:
        with suppress(psycopg.errors.InsufficientPrivilege):
            await conn.execute(statement)
            allowed.append(statement)
    assert not allowed
    assert await log_of(conn, task_id) == await statuses(conn) == ["PENDING"]


async def test_a_plain_insert_is_a_new_task(conn: Conn) -> None:
    """Stage 13B's INSERT works, and makes a PENDING task without attempts and its first log row, whatever it claims."""
    await conn.execute(
        "INSERT INTO execution_tasks (trade_id, event_type, status, attempts, last_error, payload, last_attempt_at, created_at,"
        " updated_at) VALUES ('T1', ' exit_sl ', 'SUCCESS', 7, 'an error', '{\"exit_price\": 1.50}', now(), '2001-01-01',"
        " '2001-01-01')"
    )
    columns = "event_type, status, attempts, last_error, last_attempt_at, account, opening, version, payload::text"
    task = await (await conn.execute(f"SELECT {columns} FROM execution_tasks")).fetchone()
    assert task == ("EXIT_SL", "PENDING", 0, None, None, None, False, 1, '{"exit_price": 1.50}')
    assert await value(conn, "SELECT created_at > now() - interval '1 hour' FROM execution_tasks")
    log = await (await conn.execute("SELECT seq, prev_status, status, attempt, actor FROM execution_logs")).fetchall()
    assert log == [(1, None, "PENDING", 0, "enqueue")]


async def test_one_insert_of_many_rows(conn: Conn) -> None:
    """Every row of an INSERT gets its own first log row."""
    await conn.execute(
        "INSERT INTO execution_tasks (trade_id, event_type) SELECT 'T' || n, 'ENTRY' FROM generate_series(1, 50) n"
    )
    rows = await conn.execute(
        "SELECT count(*), count(DISTINCT task_id), min(seq), max(seq), bool_and(detail ->> 'trade_id' = t.trade_id)"
        " FROM execution_logs l JOIN execution_tasks t ON t.id = l.task_id"
    )
    assert await rows.fetchone() == (50, 50, 1, 1, True)


MERGE = (
    "MERGE INTO execution_tasks t USING (SELECT 1) s ON true WHEN MATCHED THEN UPDATE SET status = 'SUCCESS'"
    " WHEN NOT MATCHED THEN DO NOTHING"
)


GUARDED: list[tuple[str, str]] = [
    ("UPDATE execution_tasks SET status = 'SUCCESS'", "execution_tasks"),
    ("UPDATE ONLY execution_tasks SET payload = '{}' WHERE false", "execution_tasks"),
    ("DELETE FROM execution_tasks", "execution_tasks"),
    ("TRUNCATE execution_tasks CASCADE", "execution_(tasks|logs)"),
    (
        "INSERT INTO execution_tasks (id, trade_id, event_type) OVERRIDING SYSTEM VALUE VALUES (1, 'T', 'ENTRY')"
        " ON CONFLICT (id) DO UPDATE SET status = 'SUCCESS'",
        "execution_tasks",
    ),
    (MERGE, "execution_tasks"),
    ("UPDATE failed_tasks SET last_error = NULL", "execution_tasks"),
    ("UPDATE execution_logs SET status = 'SUCCESS'", "execution_logs"),
    ("DELETE FROM execution_logs", "execution_logs"),
    ("TRUNCATE execution_logs", "execution_logs"),
    *(
        (statement.format(table), table)
        for table in ("fills", "account_log", "holdings")
        for statement in ("UPDATE {} SET account = 'b'", "DELETE FROM {}", "TRUNCATE {}")
    ),
    ("UPDATE dead_letters SET closed_seq = 9 WHERE false", "dead_letters"),
    ("DELETE FROM dead_letters", "dead_letters"),
    ("TRUNCATE dead_letters", "dead_letters"),
    (
        "INSERT INTO dead_letters (task_id, opened_seq, status, code, client_order_id, opened_at)"
        " VALUES (1, 1, 'FAILED', 'R', 'x', now())",
        "dead_letters",
    ),
    *(
        (statement.format(table), table)
        for table in ("seals", "sealed_heads")
        for statement in ("UPDATE {} SET hash = ''", "DELETE FROM {}", "TRUNCATE {}")
    ),
    (
        "INSERT INTO holdings (account, mode, trade_id, contract, root, quantity, opened_at, updated_at)"
        " VALUES ('a', 'live', 'T', 'ES', 'ES', 1, now(), now())",
        "holdings",
    ),
]


async def test_the_owner_cannot(owner: Owner, conn: Conn) -> None:
    """The owner's own statements fail too, with an error that names the table and says what to do instead."""
    task_id = await enqueue(conn)
    allowed = []
    for statement, table in GUARDED:
        if statement == MERGE and owner.info.server_version < 150_000:
            continue  # MERGE came with PostgreSQL 15
        try:
            owner.execute(statement)
            allowed.append(statement)
        except psycopg.errors.ObjectNotInPrerequisiteState as error:
            if not (re.search(table, str(error)) and error.diag.message_hint):
                allowed.append(statement)
    assert not allowed
    assert await log_of(conn, task_id) == await statuses(conn) == ["PENDING"]


ASTRAY = [
    log_row(2, "PENDING", "FAILED"),
    log_row(2, "PENDING", "NONSENSE"),
    log_row(2, "NONSENSE", "NONSENSE"),
    log_row(3, "PENDING", "HELD"),
    log_row(1, "PENDING", "HELD"),
    log_row(0, "PENDING", "HELD"),
    log_row(2, "HELD", "CANCELLED"),
    log_row(2, "PENDING", "SENDING", 1),
    log_row(2, "PENDING", "HELD", lease=True),
    log_row(2, "PENDING", "SENDING", 0, lease=True),
    log_row(2, "PENDING", "SENDING", 2, lease=True),
    log_row(2, "PENDING", "PENDING", -1),
    log_row(2, "PENDING", "HELD", 1),
]


async def test_a_log_row_must_follow(owner: Owner, conn: Conn) -> None:
    """Even the owner can only append a legal change that follows the task's present version, status and attempt."""
    task_id = await enqueue(conn)
    allowed = []
    for statement in ASTRAY:
        with suppress(psycopg.errors.IntegrityError):
            owner.execute(statement)
            allowed.append(statement)
    assert not allowed
    assert await log_of(conn, task_id) == await statuses(conn) == ["PENDING"]


def test_two_log_rows_of_one_task_in_one_statement(owner: Owner) -> None:
    """Two rows of one task cannot come in one statement: which one stands would be chance."""
    owner.execute("INSERT INTO execution_tasks (trade_id, event_type) VALUES ('T1', 'ENTRY')")
    with pytest.raises(psycopg.errors.CheckViolation, match="present state"):
        owner.execute(
            "INSERT INTO execution_logs (task_id, seq, prev_status, status, attempt, actor, reason)"
            " SELECT id, n, 'PENDING', 'PENDING', 0, 'me', 'R' FROM execution_tasks, generate_series(2, 3) n"
        )


@pytest.mark.parametrize("prev", ["PENDING", "HELD", "SENDING", "REVIEW", "SUCCESS", "DENIED"])
async def test_illegal_transitions_fail(conn: Conn, prev: str) -> None:
    """The one writer of history refuses every change that the table does not know, and nothing moves."""
    task_id = await bring(conn, await enqueue(conn), prev)
    version = await value(conn, "SELECT version FROM execution_tasks")
    for status in Status:
        if is_legal(Status(prev), status):
            continue
        lease_s = 60.0 if status == Status.SENDING else None
        with pytest.raises(RowRefused, match=r"execution_logs_(legal|leased)"):
            async with translated("append"):
                await append(conn, "test", [LogEntry(task_id, version, status, "R", lease_s=lease_s)])
    assert await statuses(conn) == [prev]


async def test_sending_needs_a_lease(conn: Conn) -> None:
    """A task cannot be SENDING without a lease: nobody would ever look what became of it."""
    task_id = await enqueue(conn)
    with pytest.raises(psycopg.errors.CheckViolation, match="execution_logs_leased"):
        await append(conn, "test", [LogEntry(task_id, 1, Status.SENDING, "INTENT")])


async def test_a_task_without_an_account_is_not_sent(conn: Conn) -> None:
    """A task must be routed before it can be sent, and only route_task routes."""
    task_id = await insert(conn)
    with pytest.raises(psycopg.errors.CheckViolation, match="execution_tasks_routed_first"):
        await append(conn, "test", [LogEntry(task_id, 1, Status.SENDING, "INTENT", lease_s=60.0)])
    with pytest.raises(psycopg.errors.CheckViolation, match="route_task"):
        await append(conn, "test", [LogEntry(task_id, 1, Status.PENDING, "ROUTED", detail={"account": "a"})])


async def test_objects_of_ours_cannot_be_shadowed(conn: Conn) -> None:
    """Temporary tables, types and functions of the same names are not what the database's own functions use."""
    for name in ("execution_tasks", "execution_logs", "automated_signals", "product_families"):
        await conn.execute(f"CREATE TEMP TABLE {name} (LIKE public.{name} INCLUDING IDENTITY)")
    await conn.execute("CREATE TEMP TABLE lanes (lane TEXT PRIMARY KEY, account TEXT, product TEXT)")
    await conn.execute(
        "CREATE FUNCTION pg_temp.product_of(text) RETURNS text LANGUAGE sql AS 'SELECT ''stolen''::text'"
    )
    await conn.execute("CREATE FUNCTION pg_temp.upper(text) RETURNS text LANGUAGE sql AS 'SELECT ''EXIT''::text'")
    await conn.execute("SET search_path = pg_temp, public, pg_catalog")
    payload = '{"symbol": "MNQ1!"}'
    task_id = await value(conn, "SELECT public.enqueue_execution_task('T1', 'entry', %s, 'a')", payload)
    await conn.execute("INSERT INTO public.execution_tasks (trade_id, event_type) VALUES ('T2', 'entry')")
    await append(conn, "test", [LogEntry(task_id, 1, Status.SENDING, "INTENT", lease_s=60.0)])
    assert await value(conn, "SELECT array_agg(public.route_task(id, 'me', '{b,c}', NULL)::text) FROM"
                             " public.lock_unrouted_tasks(9)") == ["{2,3}"]  # fmt: skip
    assert await value(conn, "SELECT count(*) FROM public.lock_due_tasks('{b}', 9, 9, 'dry')") == 1
    rows = await conn.execute("SELECT event_type, status, lane FROM public.execution_tasks ORDER BY id")
    entry = [("ENTRY", "SENDING", "a/NQ"), ("ENTRY", "PENDING", "b/-"), ("ENTRY", "PENDING", "c/-")]
    assert await rows.fetchall() == entry
    for name in ("execution_tasks", "execution_logs", "automated_signals", "lanes"):
        assert await value(conn, f"SELECT count(*) FROM pg_temp.{name}") == 0


SEED_COLUMNS = {
    "trade_id",
    "event_type",
    "status",
    "attempts",
    "last_error",
    "payload",
    "last_attempt_at",
    "created_at",
    "updated_at",
}
CALLABLE = {
    "account_facts",
    "active_lanes",
    "add_strategy_token",
    "append_account_log",
    "append_log",
    "claim_notifications",
    "connection_of",
    "dead_letter_evidence",
    "enqueue_retry",
    "enqueue_execution_task",
    "enqueue_protection",
    "enqueue_flattening",
    "flattening_at",
    "forget_connections",
    "halt_key",
    "ingest_signals",
    "lock_books",
    "lock_due_tasks",
    "lock_unrouted_tasks",
    "open_transactions",
    "order_is_shown",
    "note_broker_orders",
    "note_connections",
    "note_notifications",
    "note_prices",
    "prepare_signals",
    "product_of",
    "publish_settings",
    "purge_alert_windows",
    "read_account_facts",
    "record_fills",
    "revoke_strategy_tokens",
    "route_task",
    "seal_history",
    "set_control",
    "settle_notifications",
    "strategy_of",
    "trade_facts",
    "trade_doubts",
    "trade_stands",
    "working_orders",
    "is_closed_before",
    "is_in_doubt",
    "is_superseded",
    "leaving",
    "trades_to_flatten",
    "add_desk_user",
    "change_desk_user",
    "rehash_desk_password",
    "open_desk_session",
    "open_desk_link",
    "add_desk_link",
    "touch_desk_session",
    "end_desk_session",
    "add_api_key",
    "revoke_api_key",
}


def test_privileges(owner: Owner) -> None:
    """The application role reads everything of ours, inserts the seed columns, calls a few functions: nothing else."""
    tables = owner.execute(
        "SELECT c.relname, p FROM pg_class c,"
        " unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
        " AND has_table_privilege('eventrouter_app', c.oid, p)"
    ).fetchall()
    assert tables == []
    columns = owner.execute(
        "SELECT c.relname, a.attname, p FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0,"
        " unnest(ARRAY['INSERT', 'UPDATE', 'REFERENCES']) p"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
        " AND NOT a.attisdropped AND has_column_privilege('eventrouter_app', c.oid, a.attname, p)"
    ).fetchall()
    assert set(columns) == {("execution_tasks", name, "INSERT") for name in SEED_COLUMNS}
    unread = owner.execute(
        "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace"
        " AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT has_table_privilege('eventrouter_app', c.oid, 'SELECT')"
    ).fetchall()
    assert unread == []
    sequences = owner.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND CASE relkind WHEN 'S'"
        " THEN has_sequence_privilege('eventrouter_app', oid, 'USAGE, SELECT, UPDATE') END"
    ).fetchall()
    assert sequences == []
    functions = owner.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        " AND has_function_privilege('eventrouter_app', oid, 'EXECUTE')"
    ).fetchall()
    assert {name for (name,) in functions} == CALLABLE
    row = owner.execute(
        "SELECT has_schema_privilege('eventrouter_app', 'public', 'CREATE'), rolsuper, rolcreaterole, rolcreatedb, rolbypassrls,"
        " (SELECT count(*) FROM pg_auth_members WHERE member = r.oid),"
        " (SELECT count(*) FROM pg_shdepend WHERE refobjid = r.oid AND deptype = 'o')"
        " FROM pg_roles r WHERE rolname = 'eventrouter_app'"
    ).fetchone()
    assert row == (False, False, False, False, False, 0, 0)


def test_nobody_else_may_call_or_read(owner: Owner) -> None:
    """Whoever is not the application role can call and read nothing of ours."""
    functions = owner.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND has_function_privilege('public', oid, 'EXECUTE')"
    ).fetchall()
    assert functions == []
    tables = owner.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')"
        " AND has_table_privilege('public', oid, 'SELECT, INSERT, UPDATE, DELETE')"
    ).fetchall()
    assert tables == []


def test_every_function_has_a_fixed_search_path(owner: Owner) -> None:
    """Each function of ours looks in its own schema first and in the caller's temporary objects last."""
    found = owner.execute(
        "SELECT proname, proconfig FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    ).fetchall()
    assert len(found) >= len(CALLABLE)
    for name, settings in found:
        paths = [setting for setting in settings or [] if setting.startswith("search_path=")]
        assert [path.replace('"', "") for path in paths] == ["search_path=public, pg_temp"], name
