"""What closes says why it waits, and waits no longer than it must: behind a send, in a dry run, for a cancel nobody answered."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from eventrouter.domain import clearing
from eventrouter.domain.broker import Change
from eventrouter.domain.orders import Outcome
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.store.connect import Conn
from eventrouter.store.tasks import append, task_state
from tests.processes import until_async
from tests.router.book import enqueue, is_sound, move, reaches, row_of, status_of, value
from tests.router.broker import DONE, Broker, live
from tests.router.conftest import Start, asleep
from tests.router.holding import MNQ, ends, fill, show

ACCOUNTS = [live("real", "alpha")]
LIVE: dict[str, Any] = {"dry_run": False, "accounts": ACCOUNTS, "poll_interval": 0.1}
DRY: dict[str, Any] = {"dry_run": True, "accounts": ACCOUNTS, "poll_interval": 0.1}
ROWS = "SELECT count(*) FROM execution_logs WHERE task_id = %s AND reason = %s"

enqueue_live = partial(enqueue, account="real", mode="live")


@pytest.fixture
def broker(broker_named: Callable[..., Broker]) -> Broker:
    """The broker of the account `real`."""
    return broker_named("alpha")


async def told(db: Conn, task: int, reason: str, times: int = 1) -> None:
    """Returns once the task's log says so, so many times."""

    async def says() -> bool:
        return int(await value(db, ROWS, task, reason)) >= times

    await until_async(says, within_s=15, what=f"{reason} in the log of task {task}")


async def sent_by_a_dead_router(db: Conn, trade: str = "t") -> int:
    """An entry in SENDING, whose lease ends in an hour."""
    entry = await enqueue_live(db, trade)
    await move(db, entry, Status.SENDING, actor="gone")
    return entry


async def filled(db: Conn, entry: int, quantity: int = 2) -> None:
    """The broker shows the entry's order, and its fills are recorded."""
    await show(db, entry, "e", "entry", quantity)
    await fill(db, entry, "e", quantity)
    await ends(db, "e", "FILLED", filled=quantity)


async def test_an_exit_behind_a_dead_routers_entry(db: Conn, start: Start, broker: Broker) -> None:
    """It says at once what it waits for and until when; once the entry's order is shown and its fills are booked it goes on."""
    entry = await sent_by_a_dead_router(db)
    await start(**LIVE, sleeping=False)
    exit_ = await enqueue_live(db, "t", "EXIT")
    await told(db, exit_, "WAITS_FOR_SENDING")
    said = await row_of(db, exit_, "WAITS_FOR_SENDING")
    assert said[:2] == ("PENDING", "PENDING")
    assert f"gone is sending task {entry}" in said[4]
    assert said[8]["sending"] == entry
    await filled(db, entry)
    await reaches(db, exit_, Status.SUCCESS)
    assert [(order.action, order.symbol, order.quantity) for order in broker.placed] == [("CLOSE", MNQ, "2")]
    assert await status_of(db, entry) == Status.SENDING
    assert await value(db, ROWS, exit_, "WAITS_FOR_SENDING") == 1
    assert await is_sound(db)


async def test_an_exit_withdraws_a_dead_routers_entry_that_works(db: Conn, start: Start, broker: Broker) -> None:
    """Its order is shown as working: it is cancelled without waiting for the lease, and nothing is left to close."""

    async def gone(order_id: str, _change: Change | None) -> Outcome:
        await ends(db, order_id)
        return DONE

    broker.on_change = gone
    entry = await sent_by_a_dead_router(db)
    await show(db, entry, "e", "entry", 2)
    await start(**LIVE, sleeping=False)
    exit_ = await enqueue_live(db, "t", "EXIT")
    await reaches(db, exit_, Status.DENIED)
    assert (broker.changed, broker.placed) == ([("e", None)], [])
    assert (await row_of(db, exit_, "NOTHING_TO_CLOSE"))[0] == "PENDING"


@pytest.mark.parametrize("why", ["part", "again", "unseen"])
async def test_an_exit_goes_no_further_than_is_safe(db: Conn, start: Start, broker: Broker, why: str) -> None:
    """A fill is missing, or a second attempt may be on its way, or nothing was seen though the trade holds something: it waits."""
    entry = await enqueue_live(db, "t")
    if why == "again":
        await move(db, entry, Status.SENDING, Status.PENDING, actor="gone")
    await move(db, entry, Status.SENDING, actor="gone")
    if why == "unseen":
        before = await enqueue_live(db, "t", "ADD")
        await move(db, before, Status.DENIED)
        await fill(db, before, "by-hand", 2)
    else:
        await filled(db, entry)
    if why == "part":
        await db.execute("UPDATE broker_orders SET quantity = 3, filled = 3")
    await start(**LIVE, sleeping=False)
    exit_ = await enqueue_live(db, "t", "EXIT")
    await told(db, exit_, "TRADE_UNDECIDED" if why == "part" else "WAITS_FOR_SENDING")
    later = await enqueue_live(db, "other", "EXIT")
    await told(db, later, "NOTHING_TO_CLOSE" if why == "part" else "WAITS_FOR_SENDING")
    assert (broker.placed, await status_of(db, exit_)) == ([], Status.PENDING)


async def test_an_exit_outlasts_a_dry_run(db: Conn, start: Start, broker: Broker) -> None:
    """It says once why it waits, holds up nothing that is simulated, and closes the position when a router trades live again."""
    entry = await enqueue_live(db, "t")
    await move(db, entry, Status.SENDING, Status.ACCEPTED)
    await filled(db, entry)
    await move(db, entry, Status.SUCCESS)
    unknown = await enqueue_live(db, "u")
    await move(db, unknown, Status.SENDING, Status.UNKNOWN, run_in_s=3600)
    cancel, exit_ = [await enqueue_live(db, "t", event) for event in ("CANCEL", "EXIT")]
    router = await start(**DRY, sleeping=False)
    await told(db, exit_, "MODE_CHANGED")
    for event in ("ENTRY", "EXIT"):
        await reaches(db, await enqueue(db, "dry", event, account="real"), Status.SUCCESS)
    forgotten = await enqueue_live(db, "new")
    await reaches(db, forgotten, Status.CANCELLED)
    later = await enqueue_live(db, "t", "MOVE_STOP")
    await told(db, later, "MODE_CHANGED")  # another round of what told it
    assert await value(db, ROWS, exit_, "MODE_CHANGED") == 1
    assert [await status_of(db, task) for task in (cancel, exit_, later)] == ["PENDING"] * 3
    await router.stop()
    assert broker.placed == []
    broker.searchable.clear()  # nobody finds out about the other trade's entry meanwhile
    await start(**LIVE, sleeping=False)
    await reaches(db, exit_, Status.SUCCESS)
    assert [(order.action, order.quantity) for order in broker.placed] == [("CLOSE", "2")]
    assert await is_sound(db)


async def test_a_new_router_asks_again_at_once(
    db: Conn, start: Start, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before it was killed between the row of a cancel and the cancel."""
    monkeypatch.setattr(clearing, "_AGAIN", timedelta(hours=1))
    monkeypatch.setattr(clearing, "_AGAIN_AFTER_NO_ANSWER", timedelta(hours=1))

    async def gone(order_id: str, _change: Change | None) -> Outcome:
        await ends(db, order_id)
        return DONE

    broker.on_change = gone
    entry = await enqueue_live(db, "t")
    await move(db, entry, Status.SENDING, Status.ACCEPTED)
    await filled(db, entry)
    await move(db, entry, Status.SUCCESS)
    await show(db, entry, "s", "stop", 2, stop_price=90)
    exit_ = await enqueue_live(db, "t", "EXIT")
    state = await task_state(db, entry)
    assert state is not None
    detail = {"orders": {"s": "0"}, "by": exit_}
    row = LogEntry(entry, state.version, state.status, "CANCEL_REQUESTED", "asked", detail=detail)
    assert await append(db, "killed", [row])
    router = await start(**LIVE, sleeping=False)
    await reaches(db, exit_, Status.SUCCESS)
    assert broker.changed == [("s", None)]
    assert await value(db, ROWS, entry, "CANCEL_REQUESTED") == 2
    await asleep(router)
