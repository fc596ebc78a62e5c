"""Enqueue helpers: a task that joins its caller's transaction, and a failure that stays its own."""

import logging
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row, tuple_row

from eventrouter import enqueue_execution_task, enqueue_execution_task_for_entry, enqueue_execution_task_for_exit
from eventrouter.store.connect import Conn
from tests.store.stored_task import value

UNSAID: Any = None


@pytest.fixture(params=["autocommit", "transactions"])
def autocommit(request: pytest.FixtureRequest) -> bool:
    """How the caller's connection behaves."""
    return bool(request.param == "autocommit")


@pytest.fixture(params=[tuple_row, dict_row], ids=["tuples", "dicts"])
async def caller(request: pytest.FixtureRequest, any_dsn: str, autocommit: bool) -> AsyncIterator[Conn]:
    """A host application's own connection, with a table of its own."""
    connecting = psycopg.AsyncConnection.connect(any_dsn, autocommit=autocommit, row_factory=request.param)
    async with await connecting as connection:
        await connection.execute("CREATE TABLE notes (note text)")
        if not autocommit:
            await connection.commit()
        yield connection


async def test_alone(caller: Conn, conn: Conn, autocommit: bool) -> None:
    """In autocommit the task exists at once; otherwise it begins the caller's transaction and waits for its commit."""
    task_id = await enqueue_execution_task(caller, "T1", "ENTRY", {"symbol": "ES"}, account="a")
    assert task_id
    if not autocommit:
        assert caller.info.transaction_status == TransactionStatus.INTRANS
        assert await value(conn, "SELECT count(*) FROM execution_tasks") == 0
        await caller.commit()
    assert caller.info.transaction_status == TransactionStatus.IDLE
    row = await conn.execute("SELECT id, trade_id, event_type, payload, account FROM execution_tasks")
    assert await row.fetchone() == (task_id, "T1", "ENTRY", {"symbol": "ES"}, "a")


@pytest.mark.parametrize("ends", ["commit", "rollback"])
async def test_in_a_transaction(caller: Conn, conn: Conn, ends: str) -> None:
    """The task exists when the caller's transaction commits, with its other work, and never otherwise."""
    async with caller.transaction():
        await caller.execute("INSERT INTO notes VALUES ('mine')")
        assert await enqueue_execution_task(caller, "T1", "ENTRY")
        assert await value(conn, "SELECT count(*) FROM execution_tasks") == 0
        if ends == "rollback":
            raise psycopg.Rollback
    kept = int(ends == "commit")
    assert await value(conn, "SELECT count(*) FROM execution_tasks") == kept
    assert await value(conn, "SELECT count(*) FROM execution_logs") == kept


NESTED: list[Any] = []
NESTED.append(NESTED)
DEEP: dict[str, Any] = {}
for _ in range(5_000):
    DEEP = {"deeper": DEEP}


FAILURES: list[tuple[Any, str, Any]] = [
    ("x" * 101, "ENTRY", None),
    ("", "ENTRY", None),
    ("T1", " ", None),
    ("T\0", "ENTRY", None),
    ("T\ud800", "ENTRY", None),
    (None, "ENTRY", None),
    ("T1", "ENTRY", {"price": float("nan")}),
    ("T1", "ENTRY", {"price": Decimal("sNaN")}),
    ("T1", "ENTRY", {"note": "a\0b"}),
    ("T1", "ENTRY", {"when": object()}),
    ("T1", "ENTRY", {"loop": NESTED}),
    ("T1", "ENTRY", DEEP),
    ("T1", "ENTRY", [1, 2]),
    ("T1", "ENTRY", 5),
]


async def test_a_failure_stays_its_own(caller: Conn, conn: Conn, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be enqueued is answered with None and logged; the caller's transaction goes on and commits."""
    async with caller.transaction():
        await caller.execute("INSERT INTO notes VALUES ('before')")
        for trade_id, event_type, payload in FAILURES:
            assert await enqueue_execution_task(caller, trade_id, event_type, payload) is None
        await caller.execute("INSERT INTO notes VALUES ('after')")
        assert await enqueue_execution_task(caller, "T2", "ENTRY")
    levels = [record.levelno for record in caplog.records if "task_not_enqueued" in str(record.msg)]
    assert levels == [logging.ERROR] * len(FAILURES)
    assert await value(conn, "SELECT string_agg(trade_id, ',') FROM execution_tasks") == "T2"
    async with caller.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute("SELECT count(*) FROM notes")
        assert await cursor.fetchone() == (2,)


async def test_a_connection_that_is_gone(caller: Conn) -> None:
    """A lost connection does not take the caller's handler down either."""
    await caller.close()
    assert await enqueue_execution_task(caller, "T1", "ENTRY") is None


async def test_entry(conn: Conn) -> None:
    """The entry helper writes stage 13B's ENTRY payload; what it is given beside that joins it."""
    price = Decimal("5012.25")
    task_id = await enqueue_execution_task_for_entry(
        conn, "T1", direction="LONG", entry_price=price, stop_loss=5000.5, session="London", symbol="ES", account="a"
    )
    row = await (await conn.execute("SELECT id, event_type, payload, lane FROM execution_tasks")).fetchone()
    payload = {
        "kind": "ENTRY",
        "direction": "LONG",
        "entry_price": price,
        "stop_loss": Decimal("5000.5"),
        "session": "London",
        "bias": None,
        "symbol": "ES",
    }
    assert row == (task_id, "ENTRY", payload, "a/ES")


@pytest.mark.parametrize(
    ("exit_type", "event_type"), [("SL", "EXIT_SL"), ("exit_be", "EXIT_BE"), ("EXIT", "EXIT"), ("", "EXIT")]
)
async def test_exit(conn: Conn, exit_type: str, event_type: str) -> None:
    """The exit helper names the event after its exit type and writes stage 13B's EXIT payload."""
    await enqueue_execution_task_for_exit(conn, "T1", exit_type=exit_type, exit_price=1, final_no_be_mfe=Decimal("2.5"))
    row = await (await conn.execute("SELECT event_type, payload - 'exit_type' FROM execution_tasks")).fetchone()
    payload = {"kind": "EXIT", "exit_price": 1, "final_be_mfe": None, "final_no_be_mfe": Decimal("2.5")}
    assert row == (event_type, payload)


async def test_helpers_never_raise(conn: Conn) -> None:
    """A handler that passes on what an alert did not say gets None, not an exception."""
    assert await enqueue_execution_task_for_exit(conn, UNSAID, exit_type=UNSAID) is None
    assert await enqueue_execution_task_for_entry(conn, UNSAID, direction=UNSAID) is None
    assert await value(conn, "SELECT count(*) FROM execution_tasks") == 0
