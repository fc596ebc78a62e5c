"""A router finds its work: through the wake alone, with the poll an hour away, and through the poll alone."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import psycopg
import pytest

from eventrouter import ExecutionRouter, enqueue_execution_task
from eventrouter import router as router_module
from eventrouter.domain.accounts import Account
from eventrouter.domain.dead_letters import Retry
from eventrouter.domain.tasks import Status
from eventrouter.errors import StoreUnavailable
from eventrouter.store import actions, routed
from eventrouter.store import tasks as store
from eventrouter.store.connect import Conn, Database
from eventrouter.store.settings import publish
from tests.processes import until_async
from tests.router.book import enqueue, is_sound, move, reaches, status_of, value, way
from tests.router.conftest import Start, asleep

PLAIN_INSERT = """INSERT INTO execution_tasks (trade_id, event_type, payload) VALUES ('t', 'ENTRY', '{"symbol": "NQ"}') RETURNING id"""
FUNCTION = """SELECT enqueue_execution_task('t', 'ENTRY', '{"symbol": "NQ"}')"""
FUNCTION_WITH_ACCOUNT = """SELECT enqueue_execution_task('t', 'ENTRY', '{"symbol": "NQ"}', 'paper')"""


@pytest.mark.parametrize("sql", [PLAIN_INSERT, FUNCTION, FUNCTION_WITH_ACCOUNT], ids=["insert", "function", "account"])
async def test_the_insert_wakes_the_router(dsn: str, db: Conn, start: Start, sql: str) -> None:
    """A task inserted by any client is executed at once, and three log rows tell its way."""
    await start()
    async with await Database(dsn).connect("client") as client:
        task = await value(client, sql)
    await reaches(db, task, Status.SUCCESS)
    assert await way(db, task) == "PENDING SENDING SUCCESS"
    assert await is_sound(db)


async def test_a_task_exists_only_if_its_transaction_commits(dsn: str, db: Conn, start: Start) -> None:
    """A task enqueued inside a caller's transaction runs after the commit, and after a rollback it never was."""
    await start()
    async with await psycopg.AsyncConnection.connect(dsn) as caller:
        committed = await enqueue_execution_task(caller, "kept", "ENTRY", {"symbol": "NQ"}, account="paper")
        await reaches(db, await enqueue(db, "meanwhile", symbol="ES"), Status.SUCCESS)
        assert await value(db, "SELECT count(*) FROM execution_tasks WHERE trade_id = 'kept'") == 0
        await caller.commit()
        assert committed is not None
        await reaches(db, committed, Status.SUCCESS)
        await enqueue_execution_task(caller, "taken back", "ENTRY", {"symbol": "NQ"}, account="paper")
        await caller.rollback()
    assert await value(db, "SELECT count(*) FROM execution_tasks WHERE trade_id = 'taken back'") == 0


async def test_start_and_stop_can_be_repeated(dsn: str, db: Conn) -> None:
    """Starting twice makes one router, stopping twice stops it once, and no session of it is left."""
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE %s"
    router = ExecutionRouter(dsn)
    await router.stop()
    await asyncio.gather(router.start(), router.start())
    await router.start()
    await router.listener.wait_healthy()
    assert await value(db, sessions, "eventrouter-listener") == 1
    assert [task.get_name() for task in asyncio.all_tasks()].count("route") == 1
    await reaches(db, await enqueue(db, "t"), Status.SUCCESS)
    await asyncio.gather(router.stop(), router.stop())
    await router.stop()
    left = partial(value, db, sessions.replace("count(*)", "count(*) = 0"), "eventrouter-%")
    await until_async(left, within_s=15, what="no session")
    with pytest.raises(RuntimeError, match="make a new one"):
        await router.start()


async def test_the_poll_finds_what_no_notification_told(db: Conn, start: Start) -> None:
    """With the insert's trigger switched off a task still runs."""
    await start(poll_interval=0.2)
    await db.execute("ALTER TABLE execution_tasks DISABLE TRIGGER execution_tasks_notify")
    await reaches(db, await enqueue(db, "t"), Status.SUCCESS)


async def test_a_row_without_an_account_becomes_a_task_for_each(db: Conn, start: Start) -> None:
    """Routers that see such a row at the same time route it once, each account getting it in the same place of its line."""
    accounts = [Account(name, "dryrun") for name in ("a", "b")]
    routers = [await start(accounts=accounts) for _ in range(2)]
    for number in range(10):
        await enqueue(db, f"t{number}", account=None)
    done = "SELECT count(*) = 20 FROM execution_tasks WHERE status = 'SUCCESS'"
    await until_async(partial(value, db, done), within_s=30, what="all SUCCESS")
    made = "SELECT array_agg(account ORDER BY account) FROM execution_tasks GROUP BY trade_id, place"
    assert await (await db.execute(made)).fetchall() == [(["a", "b"],)] * 10
    assert [router.metrics.store_errors.labels("route")._value.get() for router in routers] == [0, 0]
    assert await is_sound(db)


async def test_whoever_routes_a_row_wakes_the_router_of_its_account(dsn: str, db: Conn, start: Start) -> None:
    """A row that one router gives to an account of another one is executed by that one at once."""
    await start(accounts=[Account("theirs", "dryrun")])
    async with await Database(dsn).connect("publisher") as publisher:
        await publish(publisher, "test", "account", {"theirs": {"enabled": True}, "ours": {"enabled": False}})
    ours = await start(accounts=[Account("ours", "dryrun")])
    await db.execute("ALTER TABLE execution_tasks DISABLE TRIGGER execution_tasks_notify")
    task = await enqueue(db, "t", account=None)
    ours.wake()
    await reaches(db, task, Status.SUCCESS)


@pytest.mark.parametrize(
    ("before", "action"),
    [
        ([Status.SENDING, Status.FAILED], "retry"),
        ([Status.SENDING, Status.UNKNOWN, Status.REVIEW], "retry"),
        ([Status.HELD], "approve"),
    ],
    ids=["retry-failed", "retry-review", "approve"],
)
async def test_an_operators_yes_takes_effect_at_once(
    dsn: str, db: Conn, start: Start, before: list[Status], action: str
) -> None:
    """A retry or an approval wakes the router, which then executes the task."""
    task = await enqueue(db, "t")
    await move(db, task, *before)
    await start()
    assert await status_of(db, task) == before[-1]
    async with await Database(dsn).connect("operator") as operator:
        await actions.act(operator, task, action, actor="anna", retry=Retry(confirm=task))
    await reaches(db, task, Status.SUCCESS)
    assert await is_sound(db)


async def _later(db: Conn, task: int) -> None:
    await move(db, task, Status.PENDING, run_in_s=3600)


async def _in_review(db: Conn, task: int) -> None:
    await move(db, task, Status.SENDING, Status.UNKNOWN, Status.REVIEW)


@pytest.mark.parametrize("wait", [_later, _in_review], ids=["later", "review"])
async def test_discarding_the_head_of_a_lane_frees_the_next(
    dsn: str, db: Conn, start: Start, wait: Callable[[Conn, int], Awaitable[None]]
) -> None:
    """The task behind a discarded one runs at once."""
    head, behind = await enqueue(db, "head"), await enqueue(db, "behind")
    await wait(db, head)
    await start()
    assert await status_of(db, behind) == Status.PENDING
    async with await Database(dsn).connect("operator") as operator:
        await actions.act(operator, head, "discard", actor="anna")
    await reaches(db, behind, Status.SUCCESS)
    assert await status_of(db, head) == Status.CANCELLED


async def test_a_delayed_task_runs_when_it_is_due(db: Conn, start: Start) -> None:
    """A task due later than now wakes the router by itself, and is not sent before."""
    task = await enqueue(db, "t", account="paper")
    await move(db, task, Status.PENDING, run_in_s=0.5)
    await start()
    await reaches(db, task, Status.SUCCESS)
    assert await value(
        db,
        "SELECT l.created_at >= t.run_at FROM execution_tasks t JOIN execution_logs l ON l.task_id = t.id"
        " WHERE t.id = %s AND l.status = 'SENDING'",
        task,
    )


async def test_a_task_that_falls_due_just_before_the_router_sleeps_is_not_overlooked(
    db: Conn, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task whose time comes between the claim and the look at the clock does not wait for the poll."""
    task = await enqueue(db, "t")
    await move(db, task, Status.PENDING, run_in_s=0.5)
    ask = store.next_due

    async def ask_late(*arguments: Any) -> Any:
        await until_async(partial(value, db, "SELECT run_at < clock_timestamp() FROM execution_tasks"))
        return await ask(*arguments)

    monkeypatch.setattr(store, "next_due", ask_late)
    await start()
    await reaches(db, task, Status.SUCCESS)


async def test_a_fault_that_passed_does_not_slow_the_next_one_down(
    db: Conn, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A router that has worked since its last fault looks again as soon as after the first one."""
    router = await start()
    pauses: list[float] = []
    route = routed.route

    async def fail_once(*arguments: Any, **named: Any) -> int:
        monkeypatch.setattr(routed, "route", route)
        raise StoreUnavailable("away")

    monkeypatch.setattr(router_module._log, "warning", lambda event, **said: pauses.append(said["retry_in_s"]))
    for number in range(3):
        monkeypatch.setattr(routed, "route", fail_once)
        await reaches(db, await enqueue(db, f"t{number}", account=None), Status.SUCCESS)
        await asleep(router)
    assert pauses == [pauses[0]] * 3
