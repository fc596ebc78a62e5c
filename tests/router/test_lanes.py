"""Tasks of a lane run in order, lanes run side by side, and an exit overtakes what has not been sent."""

from collections import deque
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from eventrouter.domain.orders import Answer, Rejected
from eventrouter.domain.tasks import Status
from eventrouter.store.connect import Conn
from tests.router.book import attempts, enqueue, is_sound, move, reaches, row_of, status_of, way
from tests.router.broker import Broker, live
from tests.router.conftest import Start, asleep

LIVE: dict[str, Any] = {"dry_run": False, "accounts": [live("real", "alpha")]}


async def test_an_exit_overtakes_its_unsent_entry(dsn: str, db: Conn, start: Start) -> None:
    """An entry and its exit enqueued before the router looks: the entry is cancelled, the exit has nothing to close."""
    await start()
    async with await psycopg.AsyncConnection.connect(dsn) as caller:
        entry, exit_ = await enqueue(caller, "t"), await enqueue(caller, "t", "EXIT_SL", symbol=None)
    await reaches(db, exit_, Status.DENIED)
    assert await way(db, entry) == "PENDING CANCELLED"
    assert (await row_of(db, entry, "EXIT_OVERTOOK"))[:2] == ("PENDING", "CANCELLED")
    assert (await row_of(db, exit_, "NOTHING_TO_CLOSE"))[:2] == ("PENDING", "DENIED")


@pytest.mark.parametrize(
    ("ahead", "entry_status"),
    [
        ([Status.SENDING, Status.UNKNOWN, Status.REVIEW], Status.PENDING),
        ([Status.HELD], Status.HELD),
    ],
    ids=["entry-waits", "entry-held"],
)
async def test_an_exit_does_not_wait_behind_its_entry(
    db: Conn, start: Start, ahead: list[Status], entry_status: Status
) -> None:
    """An entry that waits in its lane or for a person is overtaken as soon as its exit comes."""
    if entry_status == Status.PENDING:
        await move(db, await enqueue(db, "ahead"), *ahead)
    entry = await enqueue(db, "t")
    if entry_status == Status.HELD:
        await move(db, entry, Status.HELD)
    await start()
    assert await status_of(db, entry) == entry_status
    exit_ = await enqueue(db, "t", "EXIT_SL")
    await reaches(db, exit_, Status.DENIED)
    assert await status_of(db, entry) == Status.CANCELLED
    assert await is_sound(db)


async def test_a_trade_is_opened_and_closed_once(db: Conn, start: Start) -> None:
    """After entry and exit a second exit has nothing to close and a second entry comes too late."""
    await start()
    for event, status in [
        ("ENTRY", Status.SUCCESS),
        ("EXIT_SL", Status.SUCCESS),
        ("EXIT_BE", Status.DENIED),
        ("ENTRY", Status.DENIED),
    ]:
        await reaches(db, await enqueue(db, "t", event), status)


@pytest.mark.parametrize(
    ("ahead", "behind"),
    [
        ([Status.PENDING], Status.PENDING),
        ([Status.SENDING], Status.PENDING),
        ([Status.SENDING, Status.UNKNOWN], Status.PENDING),
        ([Status.SENDING, Status.UNKNOWN, Status.REVIEW], Status.PENDING),
        ([Status.SENDING, Status.ACCEPTED], Status.SUCCESS),
        ([Status.HELD], Status.SUCCESS),
    ],
    ids=["later", "sending", "unknown", "review", "accepted", "held"],
)
async def test_a_waiting_head_holds_its_own_lane_only(
    db: Conn, start: Start, broker_named: Callable[..., Broker], ahead: list[Status], behind: Status
) -> None:
    """What waits for a time, an answer or a person keeps its lane in order; other lanes and accounts go on. An entry that is
    unknown holds the other lanes of its account too.
    """
    broker = broker_named("alpha")
    broker.searchable.clear()
    accounts = [live("real", "alpha"), live("other", "alpha")]
    await start(dry_run=False, accounts=accounts, lease=3600.0)
    async with db.transaction():
        head = await enqueue(db, "head", account="real", mode="live")
        await move(db, head, *ahead, run_in_s=3600 if ahead == [Status.PENDING] else None)
        next_ = await enqueue(db, "next", account="real", symbol="MNQ1!", mode="live")
        beside = [
            await enqueue(db, "beside", account="real", symbol="ES", mode="live"),
            await enqueue(db, "elsewhere", account="other", symbol="NQ", mode="live"),
        ]
    unknown = ahead[-1] == Status.UNKNOWN
    for task in reversed(beside):
        await reaches(db, task, Status.PENDING if unknown and task == beside[0] else Status.SUCCESS)
    await reaches(db, next_, behind)
    assert await status_of(db, head) == ahead[-1]


async def test_the_end_of_a_task_frees_the_next_of_its_lane(
    db: Conn, start: Start, broker_named: Callable[..., Broker]
) -> None:
    """One order of a lane is at the broker at a time, and the answer to it lets the next one go at once."""
    broker = broker_named("alpha")
    broker.answers.clear()
    router = await start(**LIVE)
    lanes = {symbol: [f"{symbol}{n}" for n in range(4)] for symbol in ("NQ", "ES")}
    last = [[await enqueue(db, trade, account="real", symbol=s, mode="live") for trade in lanes[s]][-1] for s in lanes]
    await asleep(router, sending=2)
    assert sorted(broker.sent()) == ["ES0", "NQ0"]
    broker.answers.set()
    for task in last:
        await reaches(db, task, Status.SUCCESS)
    for symbol, trades in lanes.items():
        assert [trade for trade in broker.sent() if trade.startswith(symbol)] == trades


async def test_a_lane_taken_in_one_claim_is_sent_in_order(
    db: Conn, start: Start, broker_named: Callable[..., Broker]
) -> None:
    """Where several orders of a lane are taken at once they still leave one after the other, in the order of their ids."""
    broker = broker_named("alpha", lane_in_one_claim=True)
    await start(**LIVE)
    trades = [f"t{n}" for n in range(12)]
    async with db.transaction():
        tasks = [await enqueue(db, trade, account="real", mode="live") for trade in trades]
    await reaches(db, tasks[-1], Status.SUCCESS)
    assert broker.sent() == trades


async def test_a_refusal_frees_the_next_of_its_lane_too(
    db: Conn, start: Start, broker_named: Callable[..., Broker]
) -> None:
    """A task that fails does not stop its lane."""
    broker = broker_named("alpha")
    broker.replies = deque([Rejected(Answer(400, "no"), "No margin.")])
    await start(**LIVE)
    async with db.transaction():
        first, second = [await enqueue(db, trade, account="real", mode="live") for trade in ("first", "second")]
    await reaches(db, second, Status.SUCCESS)
    assert (await status_of(db, first), await attempts(db, first)) == (Status.FAILED, 1)


async def test_an_open_transaction_of_a_host_holds_up_no_other_sender(dsn: str, db: Conn, start: Start) -> None:
    """A caller who has enqueued and not yet committed does not block the enqueue of others into the same lane."""
    await start()
    async with await psycopg.AsyncConnection.connect(dsn) as caller:
        await enqueue(caller, "slow")
        await reaches(db, await enqueue(db, "quick"), Status.SUCCESS)
