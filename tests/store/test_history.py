"""History: whatever anybody does, the log adds up to the tasks; and where it does not, verify says so."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from psycopg.types.json import Jsonb

from eventrouter.domain.tasks import LogEntry, Status, is_legal
from eventrouter.store.chain import verify_chain
from eventrouter.store.connect import Conn, Database
from eventrouter.store.history import verify
from eventrouter.store.tasks import append
from tests.store.stored_task import bring, enqueue, insert

TRADES = st.sampled_from(["T1", "T2"])
ACCOUNTS = st.sampled_from(["a", "b", None])
EVENTS = st.sampled_from(["ENTRY", "EXIT_SL", " cancel ", "HELLO"])
SYMBOLS = st.sampled_from([None, "ES", "MNQ1!", "", "é/'\""])
PAYLOADS = st.sampled_from(
    [None, Jsonb(None), Jsonb([]), Jsonb("x"), Jsonb({"symbol": "ES", "n": 1.50}), Jsonb({"n": 1e300})]
)
TEXTS = st.none() | st.sampled_from(["", "an error", 'it\'s "quoted" \\ é'])
SECONDS = st.none() | st.sampled_from([0.0, 0.25, 3600.0])
ATTACKS = st.sampled_from(
    [
        "UPDATE execution_tasks SET status = 'SUCCESS'",
        "UPDATE execution_tasks SET version = version + 1, attempts = 0",
        "DELETE FROM execution_tasks",
        "DELETE FROM execution_logs WHERE seq > 1",
        "UPDATE execution_logs SET status = 'FAILED'",
        "TRUNCATE execution_logs",
        "INSERT INTO execution_logs (task_id, seq, prev_status, status, attempt, actor, reason)"
        " SELECT id, version + 1, status, 'SUCCESS', attempts + 1, 'me', 'R' FROM execution_tasks",
        "INSERT INTO execution_logs (task_id, seq, prev_status, status, attempt, actor, reason)"
        " SELECT id, version + 2, status, status, attempts, 'me', 'R' FROM execution_tasks",
        "INSERT INTO execution_tasks (trade_id, event_type, status, attempts) VALUES ('T9', 'ENTRY', 'SUCCESS', 9)",
        "UPDATE dead_letters SET closed_seq = opened_seq + 1",
        "DELETE FROM dead_letters",
        "SELECT enqueue_retry(id, '{}', NULL) FROM execution_tasks",
        "SELECT route_task(id, 'me', '{}', NULL) FROM execution_tasks",
        "SELECT route_task(max(id), 'me', '{a,NULL,b}', -5) FROM execution_tasks",
        "SELECT enqueue_execution_task('T9', 'ENTRY', '{\"symbol\": \"ES\"}', 'a'), 1 / 0",
    ]
)


class Histories(RuleBasedStateMachine):
    """Drives a database with what callers, routers and attackers may try, and asks verify after each step."""

    dsn: str

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.owner = psycopg.connect(self.dsn, autocommit=True)
        self.owner.execute("SET session_replication_role = replica")
        self.owner.execute("TRUNCATE execution_logs, execution_tasks RESTART IDENTITY CASCADE")
        self.owner.execute("RESET session_replication_role")
        self.conn = self.run(Database(self.dsn).connect("test"))
        for symbol in ("ES", "CL"):
            self.run(enqueue(self.conn, symbol=symbol))

    def run(self, coroutine: Any) -> Any:
        """A coroutine's result."""
        return self.loop.run_until_complete(coroutine)

    def teardown(self) -> None:
        """Closes everything."""
        self.run(self.conn.close())
        self.owner.close()
        self.loop.close()

    @rule(
        trade=TRADES, event=EVENTS, payload=PAYLOADS, zone=st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York"])
    )
    def plain_insert(self, trade: str, event: str, payload: Any, zone: str) -> None:
        """Stage 13B's INSERT, from a session in any time zone."""
        self.owner.execute("SELECT set_config('timezone', %s, false)", (zone,))
        statement = "INSERT INTO execution_tasks (trade_id, event_type, payload) VALUES (%s, %s, %s)"
        self.owner.execute(statement, (trade, event, payload))

    @rule(trade=TRADES, event=EVENTS, account=ACCOUNTS, symbol=SYMBOLS)
    def enqueue(self, trade: str, event: str, account: str | None, symbol: str | None) -> None:
        """The function for any language, with an account or without."""
        self.run(enqueue(self.conn, event, trade=trade, account=account, symbol=symbol))

    @rule(which=st.integers(0, 3), steps=st.integers(1, 6), data=st.data())
    def walk(self, which: int, steps: int, data: st.DataObject) -> None:
        """Several legal changes of one task, one after the other."""
        for _ in range(steps):
            self.append_one(which, 0, data, wild=False)

    @rule(which=st.integers(0, 3), off=st.sampled_from([0, -1, 1]), data=st.data())
    def append(self, which: int, off: int, data: st.DataObject) -> None:
        """Any change, legal or not, at the right version or a wrong one."""
        self.append_one(which, off, data, wild=True)

    def append_one(self, which: int, off: int, data: st.DataObject, *, wild: bool) -> None:
        """Appends a row, which stands exactly when it is legal and follows what it says it follows."""
        row = self.owner.execute(
            "SELECT id, version, status, account IS NOT NULL FROM execution_tasks"
            " ORDER BY status IN ('SUCCESS', 'DENIED', 'EXPIRED', 'CANCELLED'), id OFFSET %s LIMIT 1",
            (which,),
        ).fetchone()
        if row is None:
            return
        task_id, version, stood, routed = row
        possible = [status for status in Status if wild or is_legal(Status(stood), status)]
        status = data.draw(st.sampled_from(possible))
        starts = status == "SENDING" != stood
        leased = starts != (wild and data.draw(st.booleans()))
        entry = LogEntry(
            task_id,
            version + off,
            status,
            data.draw(st.sampled_from(["TEST", "OPERATOR_RETRY"])),
            data.draw(TEXTS),
            detail=data.draw(st.sampled_from([{}, {"price": 1.5}])),
            run_in_s=data.draw(SECONDS),
            lease_s=60.0 if leased else None,
        )
        try:
            appended = bool(self.run(append(self.conn, "test", [entry])))
        except psycopg.IntegrityError:
            appended = False
        legal = is_legal(Status(stood), status) and leased == starts
        allowed = routed or status in ("PENDING", "DENIED", "CANCELLED")
        assert appended == (legal and allowed and off == 0)

    @rule(accounts=st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True), age=SECONDS)
    def route(self, accounts: list[str], age: float | None) -> None:
        """The oldest row without an account gets its accounts."""
        statement = "SELECT route_task(id, 'router', %s, %s, %s) FROM lock_unrouted_tasks(1)"
        plans = [json.dumps({"route": account, "multiplier": "0.5"}) for account in accounts[:2]]
        self.run(self.conn.execute(statement, (accounts, age, plans)))

    @rule(statement=ATTACKS, as_owner=st.booleans())
    def attack(self, statement: str, as_owner: bool) -> None:
        """Somebody tries a statement of his own."""
        try:
            if as_owner:
                self.owner.execute(statement)
            else:
                self.run(self.conn.execute(statement))
        except psycopg.Error:
            pass

    @invariant()
    def the_log_adds_up(self) -> None:
        """Verify finds nothing, and has seen everything."""
        found = self.run(verify(self.conn))
        assert not found.violations
        assert not self.run(verify_chain(self.conn)).violations
        counts = "SELECT (SELECT count(*) FROM execution_tasks), (SELECT count(*) FROM execution_logs)"
        assert self.owner.execute(counts).fetchone() == (found.tasks, found.log_rows)


@pytest.mark.timeout(600)  # a failing example is made smaller for up to five minutes
def test_the_log_adds_up_whatever_happens(dsn: str) -> None:
    """After every random legal and illegal operation the fold of each log is its task, without a hole."""

    class OnThisDatabase(Histories):
        """On the test's own database."""

    OnThisDatabase.dsn = dsn
    thorough = settings(
        max_examples=30, stateful_step_count=15, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    run_state_machine_as_test(OnThisDatabase, settings=thorough)


PLANTED = [
    ("hole", "DELETE FROM execution_logs WHERE task_id = 2 AND seq = 2"),
    ("hole", "DELETE FROM execution_logs WHERE task_id = 2"),
    ("broken_chain", "UPDATE execution_logs SET prev_status = 'UNKNOWN' WHERE task_id = 2 AND seq = 3"),
    ("attempt", "UPDATE execution_logs SET attempt = 5 WHERE task_id = 2 AND seq = 3"),
    ("not_the_fold", "DELETE FROM execution_logs WHERE task_id = 2 AND seq = 3"),
    ("not_the_fold", "UPDATE execution_tasks SET status = 'FAILED' WHERE id = 2"),
    ("not_the_fold", "UPDATE execution_tasks SET attempts = 0 WHERE id = 2"),
    ("not_the_fold", "UPDATE execution_tasks SET last_error = 'none' WHERE id = 2"),
    ("not_the_fold", "UPDATE execution_tasks SET last_attempt_at = now() WHERE id = 2"),
    ("not_the_fold", "UPDATE execution_tasks SET run_at = run_at + interval '1 s' WHERE id = 2"),
    ("not_the_fold", "UPDATE execution_tasks SET version = 4 WHERE id = 2"),
    ("not_the_fold", "UPDATE execution_tasks SET account = 'b' WHERE id = 2"),
    ("not_the_fold", "UPDATE execution_tasks SET lane = 'a/GC' WHERE id = 2"),
    ("not_the_fold", "UPDATE execution_tasks SET mode = 'live' WHERE id = 2"),
    ("not_the_fold", "UPDATE execution_tasks SET place = 1 WHERE id = 2"),
    ("not_the_fold", "UPDATE execution_tasks SET trade_id = 'T9' WHERE id = 2"),
    ("not_the_fold", "UPDATE execution_tasks SET event_type = 'EXIT' WHERE id = 2"),
    ("not_the_fold", "UPDATE execution_tasks SET payload = '{\"symbol\": \"CL\"}' WHERE id = 2"),
    ("not_the_fold", "UPDATE execution_tasks SET expires_at = now() WHERE id = 2"),
    ("not_the_fold", "UPDATE execution_tasks SET client_order_id = 'x' WHERE id = 2"),
    ("not_the_fold", "UPDATE execution_tasks SET plan = '{\"route\": \"x\"}' WHERE id = 2"),
    ("order_id_repeated", "UPDATE execution_tasks SET client_order_id = (SELECT client_order_id FROM execution_tasks WHERE id = 3)"
                          " WHERE id = 2"),
    ("illegal_transition", "ALTER TABLE execution_logs DROP CONSTRAINT execution_logs_legal;"
                           "UPDATE execution_logs SET status = 'DENIED' WHERE task_id = 2 AND seq = 3;"
                           "UPDATE execution_tasks SET status = 'DENIED' WHERE id = 2"),
    ("log_without_task", "DELETE FROM execution_tasks WHERE id = 2"),
]  # fmt: skip


@pytest.fixture
async def three_tasks(dsn: str) -> AsyncIterator[Conn]:
    """A database with a task that waits, one that is done and one that is being sent."""
    async with await Database(dsn).connect("test") as conn:
        await insert(conn)
        await bring(conn, await enqueue(conn), "SUCCESS")
        await bring(conn, await enqueue(conn, symbol="CL"), "SENDING")
        yield conn


@pytest.fixture
def vandal(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's connection to the same database, past every guard."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SET session_replication_role = replica")
        yield conn


@pytest.mark.parametrize(("rule_broken", "corruption"), PLANTED)
async def test_corruption_is_found(
    three_tasks: Conn, vandal: psycopg.Connection[Any], rule_broken: str, corruption: str
) -> None:
    """What a superuser changes past the guards is found and named, and what he left alone is not accused."""
    assert (await verify(three_tasks)).violations == ()
    vandal.execute(corruption)
    found = await verify(three_tasks)
    assert rule_broken in {violation.rule for violation in found.violations}
    assert {violation.task_id for violation in found.violations} == {2}
    assert all(violation.detail for violation in found.violations)


async def test_the_last_task_is_missed(three_tasks: Conn, vandal: psycopg.Connection[Any]) -> None:
    """The log of a task that is gone is found after the last task too, and counted."""
    vandal.execute("DELETE FROM execution_tasks WHERE id >= 2")
    found = await verify(three_tasks)
    assert (found.tasks, found.log_rows) == (1, 6)
    assert [(violation.task_id, violation.rule) for violation in found.violations] == [
        (2, "log_without_task"),
        (3, "log_without_task"),
    ]


@pytest.mark.parametrize(
    "payload", ['{"n": 1e5000}', '{"n": ' + "[" * 3000 + "]" * 3000 + "}"], ids=["number", "depth"]
)
async def test_verify_reads_any_payload(three_tasks: Conn, payload: str) -> None:
    """A payload that Postgres holds and Python cannot read does not keep verify from its work."""
    insertion = "INSERT INTO execution_tasks (trade_id, event_type, payload) VALUES ('T1', 'ENTRY', %s)"
    await three_tasks.execute(insertion, (payload,))
    found = await verify(three_tasks)
    assert (found.tasks, found.log_rows, found.violations) == (4, 7, ())


async def test_verify_counts(three_tasks: Conn) -> None:
    """Verify counts every task and every log row."""
    found = await verify(three_tasks)
    assert (found.tasks, found.log_rows, found.violations) == (3, 6, ())


async def test_verify_of_many(three_tasks: Conn, vandal: psycopg.Connection[Any]) -> None:
    """A database that is wrong everywhere is counted to its end, and a thousand violations are listed."""
    await three_tasks.execute(
        "INSERT INTO execution_tasks (trade_id, event_type) SELECT 'T', 'ENTRY' FROM generate_series(1, 1500)"
    )
    vandal.execute("DELETE FROM execution_logs")
    found = await verify(three_tasks)
    assert (found.tasks, found.log_rows) == (1503, 0)
    assert 1000 <= len(found.violations) < 1010
