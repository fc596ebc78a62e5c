"""What a decision about a trade is told: its orders, its fills, what it holds, what was asked of its orders."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from eventrouter.domain import book as events
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.domain.trade_facts import TradeFacts, trade_facts_of
from eventrouter.store.books import append_event
from eventrouter.store.connect import Conn
from eventrouter.store.tasks import append, task_state, trade_facts
from tests.router.book import enqueue, move, value
from tests.router.holding import MNQ, ends, fill, show

SENT = (Status.SENDING, Status.ACCEPTED)


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Conn]:
    """The owner's connection."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        yield conn


async def task(db: Conn, event: str = "ENTRY", *statuses: Status, trade: str = "T", mode: str = "live") -> int:
    """A task of the account `real`, moved so far."""
    task_id = await enqueue(db, trade, event, account="real", mode=mode)
    await move(db, task_id, *statuses)
    return task_id


async def facts(db: Conn, trade: str = "T", mode: str = "live") -> TradeFacts:
    """What is known of a trade on that account."""
    return await trade_facts(db, trade, "real", mode)


async def note(db: Conn, task_id: int, reason: str, **detail: Any) -> None:
    """A row of evidence in a task's log."""
    state = await task_state(db, task_id)
    assert state is not None
    assert await append(db, "test", [LogEntry(task_id, state.version, state.status, reason, detail=detail)])


async def test_what_a_trade_holds(db: Conn) -> None:
    """Its own contracts beside the account's net in each, over all trades of that account and mode."""
    mine, theirs = await task(db, "ENTRY", *SENT), await task(db, "ENTRY", *SENT, trade="U")
    assert (await facts(db)).filled is False
    await fill(db, mine, "1", 2)
    await fill(db, theirs, "2", -1)
    await fill(db, await task(db, "ENTRY", mode="dry"), "3", 5)
    found = await facts(db)
    (held,) = found.held
    assert (held.contract, held.root) == (MNQ, "MNQ")
    assert [held.quantity, held.net, held.closable] == [2, 1, 1]
    assert (found.filled, found.is_open) == (True, True)
    assert held.average_price == 100
    (dry,) = (await facts(db, mode="dry")).held
    assert [dry.quantity, dry.net] == [5, 5]


async def test_a_trade_is_closed_by_what_it_holds(db: Conn) -> None:
    """An exit that works closes nothing, one that was executed only where nothing is held; a stop's fill closes without one."""
    entry = await task(db, "ENTRY", *SENT, Status.SUCCESS)
    exit_ = await task(db, "EXIT", *SENT)
    found = await facts(db)
    assert (found.closed, found.exit, found.hidden, found.is_open) == (None, (exit_, "ACCEPTED"), exit_, True)
    await move(db, exit_, Status.SUCCESS)
    assert (await facts(db)).is_open is False
    await fill(db, entry, "1", 2)
    assert (await facts(db)).is_open is True
    await show(db, entry, "9", "stop", 2, state="FILLED", filled=2)
    assert (await facts(db)).unsettled == "9"
    await fill(db, entry, "9", -2, price="95.5")
    found = await facts(db)
    assert (found.is_open, found.unsettled, found.held) == (False, None, ())
    assert found.last is not None
    assert (found.last.role, found.last.order_id, found.last.price) == ("stop", "9", Decimal("95.5"))


async def test_an_exit_on_its_way_comes_before_others(db: Conn) -> None:
    """Of a trade's exits the one that may still close it is told."""
    await task(db, "EXIT", Status.DENIED)
    pending = await task(db, "EXIT_SL")
    assert (await facts(db)).exit == (pending, "PENDING")


async def test_orders_that_work(db: Conn) -> None:
    """Orders of the trade's tasks that may still fill, with the size and prices that they have now; nobody else's."""
    entry = await task(db, "ENTRY", *SENT)
    assert (await facts(db)).hidden == entry
    await show(db, entry, "1", "entry", 3, filled=1, limit_price=99)
    await show(db, entry, "2", "stop", 1, stop_price="95.25")
    await show(db, entry, "3", "target", 1, state="CANCELLED")
    await show(db, await task(db, trade="U"), "4", "stop")
    found = await facts(db)
    assert found.hidden is None
    assert found.unsettled == "1"
    first, second = found.working
    assert (first.task_id, first.order_id, first.role) == (entry, "1", "entry")
    assert [first.remaining, first.limit_price] == [2, 99]
    assert (first.status, first.version, first.contract) == ("ACCEPTED", 3, MNQ)
    assert (second.role, second.stop_price, second.asked, second.answer) == ("stop", Decimal("95.25"), None, None)
    await ends(db, "1", "UNCLEAR")
    assert len((await facts(db)).working) == 2
    await ends(db, "1")
    assert (await facts(db)).hidden == entry


async def test_what_was_asked_of_an_order(db: Conn) -> None:
    """The latest wish, since when it stands, and what the broker answered to it."""
    entry = await task(db, "ENTRY", *SENT)
    await show(db, entry, "1", "stop", 3)
    await note(db, entry, "RESIZE_REQUESTED", orders={"1": "2", "8": "0"}, by=9)
    await note(db, entry, "RESIZE_ANSWERED", order="1", outcome="accepted")
    (order,) = (await facts(db)).working
    assert [order.asked, order.answer] == [2, "accepted"]
    await note(db, entry, "CANCEL_REQUESTED", orders={"1": "0"}, by=9)
    (order,) = (await facts(db)).working
    assert [order.asked, order.answer] == [0, None]
    first = order.asked_at
    await note(db, entry, "CANCEL_ANSWERED", order="1", outcome="unknown")
    await note(db, entry, "CANCEL_REQUESTED", orders={"1": "0"}, by=9)
    (order,) = (await facts(db)).working
    assert [order.asked, order.answer, order.first_asked_at] == [0, None, first]
    assert order.asked_at is not None
    assert first is not None
    assert order.asked_at > first


async def test_a_bracket_that_was_never_shown(db: Conn) -> None:
    """An executed entry that asked for a stop has one; until an order of it is shown that is told."""
    await task(db, "ENTRY", Status.SENDING, Status.SUCCESS)
    assert (await facts(db)).unshown is None
    cursor = await db.execute(
        "INSERT INTO execution_tasks (trade_id, event_type, payload, account, mode)"
        """ VALUES ('V', 'ENTRY', '{"symbol": "NQ", "stop_loss": 90}', 'real', 'live') RETURNING id"""
    )
    protected = int((await cursor.fetchall())[0][0])
    await move(db, protected, Status.SENDING, Status.SUCCESS)
    assert (await facts(db, "V")).unshown == protected
    await show(db, protected, "5", "stop", state="FILLED")
    assert (await facts(db, "V")).unshown is None


async def test_an_entry_without_fills_tells_what_it_asked_for(db: Conn) -> None:
    """The size and contract of its intent, until a fill is recorded; in a dry run nothing of the kind."""
    entry = await task(db)
    state = await task_state(db, entry)
    assert state is not None
    detail = {"quantity": "3", "contract": MNQ, "direction": "SHORT"}
    await append(db, "test", [LogEntry(entry, state.version, Status.SENDING, "INTENT", detail=detail, lease_s=60)])
    assert (await facts(db)).told is None
    await move(db, entry, Status.SUCCESS)
    told = (await facts(db)).told
    assert told is not None
    assert (told.contract, told.direction, told.quantity) == (MNQ, "SHORT", "3")
    await fill(db, entry, "1", -3)
    assert (await facts(db)).told is None
    await task(db, "ENTRY", Status.SENDING, Status.SUCCESS, mode="dry")
    assert (await facts(db, mode="dry")).told is None


async def test_a_reduction_knows_how_its_entries_were_sized(db: Conn) -> None:
    """Contracts beside the alert's quantity of every executed entry; other tasks are not told."""
    entry = await task(db)
    state = await task_state(db, entry)
    assert state is not None
    row = LogEntry(entry, state.version, Status.SENDING, "INTENT", detail={"quantity": "3"}, lease_s=60)
    await append(db, "test", [row])
    await move(db, entry, Status.SUCCESS)
    sized = ((Decimal(3), Decimal(1)),)
    assert (await facts(db)).sized == sized  # what is asked before there is a task may be a reduction
    for event, known in (("REDUCE", sized), ("EXIT", ())):
        other = await task(db, event)
        found = await (await db.execute("SELECT trade_facts('T', 'real', 'live', %s)", (other,))).fetchone()
        assert found is not None
        assert trade_facts_of(found[0]).sized == known


@pytest.mark.parametrize("status", [Status.UNKNOWN, Status.REVIEW])
async def test_what_nobody_knows(db: Conn, status: Status) -> None:
    """A lost entry is told in live mode; a lost reduction is waited for as a lost exit is."""
    way = (Status.SENDING, Status.UNKNOWN, Status.REVIEW)[: 2 if status == Status.UNKNOWN else 3]
    entry = await task(db, "ENTRY", *way)
    assert (await facts(db)).unknown == (entry, status)
    assert (await facts(db)).sending is None
    reduction = await task(db, "REDUCE", *way)
    assert (await facts(db)).sending == reduction
    await task(db, "REDUCE", *way, mode="dry")
    assert (await facts(db, mode="dry")).sending is None


async def test_one_exit_at_the_brokers_door(db: Conn) -> None:
    """A second exit may be sent once the first one works or is done, and not before."""
    first, second = await task(db, "EXIT", Status.SENDING), await task(db, "EXIT_SL")
    with pytest.raises(psycopg.errors.UniqueViolation):
        await move(db, second, Status.SENDING)
    await move(db, first, Status.ACCEPTED)
    await move(db, second, Status.SENDING)


async def stands(db: Conn) -> tuple[str, bool, bool]:
    """How the trade stands, and whether it has had an exit, and whether its size is as its alerts told."""
    row = await (await db.execute("SELECT trade_stands('T'), exited, sized FROM trade_doubts('T')")).fetchone()
    assert row is not None
    return (row[0], row[1], row[2])


async def test_how_a_trade_stands(db: Conn) -> None:
    """What it holds decides where something filled: a stop closes it, and an exit that was executed only if all is gone."""
    entry = await task(db, "ENTRY", *SENT)
    assert await stands(db) == ("open", False, True)
    await fill(db, entry, "1", 2)
    await move(db, entry, Status.SUCCESS)
    exit_ = await task(db, "EXIT", *SENT)
    assert await stands(db) == ("closing", True, True)
    await fill(db, exit_, "2", -1)
    await move(db, exit_, Status.SUCCESS)
    assert await stands(db) == ("open", True, True)
    await show(db, entry, "9", "stop", 1, state="FILLED", filled=1)
    await fill(db, entry, "9", -1)
    assert await stands(db) == ("closed", True, False)


async def test_a_stop_closes_a_trade(db: Conn) -> None:
    """Without any exit; while another entry of it may fill it is open still."""
    entry = await task(db, "ENTRY", *SENT, Status.SUCCESS)
    await fill(db, entry, "1", 1)
    await fill(db, entry, "9", -1)
    assert (await stands(db))[0] == "closed"
    add = await task(db, "ADD")
    assert (await stands(db))[0] == "open"
    await move(db, add, Status.DENIED)
    assert (await stands(db))[0] == "closed"


async def test_each_account_counts(db: Conn) -> None:
    """A trade is closed once it is closed on each of its accounts."""
    mine = await task(db, "ENTRY", *SENT, Status.SUCCESS)
    theirs = await enqueue(db, "T", account="other", mode="live")
    await move(db, theirs, *SENT, Status.SUCCESS)
    for entry, account in ((mine, "real"), (theirs, "other")):
        await fill(db, entry, f"in-{account}", 1, account=account)
    await fill(db, mine, "out-real", -1)
    assert (await stands(db))[0] == "open"
    await fill(db, theirs, "out-other", -1, account="other")
    assert (await stands(db))[0] == "closed"
    assert await value(db, "SELECT count(*) FROM holdings WHERE quantity <> 0") == 0


async def test_the_net_is_what_the_broker_shows(db: Conn) -> None:
    """Where it shows another one than our fills add up to: what it showed, and what was filled since then; until they agree."""
    entry = await task(db, "ENTRY", *SENT)
    await fill(db, entry, "1", 3)
    await _book(db, events.out_of_sync("It is another one.", differences=[[MNQ, "1", "3"], ["other", "5", "0"]]))
    found = await facts(db)
    assert [(held.quantity, held.net, held.closable) for held in found.held] == [(Decimal(3), Decimal(1), Decimal(1))]
    assert found.out_of_sync == "It is another one."
    await fill(db, entry, "2", -1)
    found = await facts(db)
    assert [(held.quantity, held.net, held.closable) for held in found.held] == [(Decimal(2), Decimal(0), Decimal(0))]
    await _book(db, events.in_sync())
    found = await facts(db)
    assert [held.closable for held in found.held] == [2]
    assert found.out_of_sync is None


async def test_a_proof_that_is_not_doubted_holds_nothing_up(db: Conn) -> None:
    """Flat at the broker and in our fills, though two trades oppose each other: nothing more will be recorded that closes them."""
    mine, theirs = await task(db, "ENTRY", *SENT), await task(db, "ENTRY", *SENT, trade="U")
    await fill(db, mine, "1", 3)
    await fill(db, theirs, "2", -1)
    await _book(db, events.BookEvent("FLAT", {"control": 1, "scope": "all", "unresolved": []}, ""))
    assert (await facts(db)).outdated == 1
    await fill(db, mine, "3", -2)
    found = await facts(db)
    assert (found.outdated, found.is_open) == (None, False)


async def _book(db: Conn, event: events.BookEvent) -> None:
    async with db.transaction():
        await append_event(db, "test", "real", "live", event)


async def intent(db: Conn, task_id: int, held: int, quantity: int, *then: Status) -> None:
    """An exit goes out for so many of what its trade holds, and stands there."""
    state = await task_state(db, task_id)
    assert state is not None
    detail = {"contract": MNQ, "held": str(held), "quantity": str(quantity)}
    assert await append(
        db, "test", [LogEntry(task_id, state.version, Status.SENDING, "INTENT", lease_s=60.0, detail=detail)]
    )
    await move(db, task_id, *then)


@pytest.mark.parametrize("then", [(), (Status.ACCEPTED,), (Status.UNKNOWN,), (Status.UNKNOWN, Status.REVIEW)])
@pytest.mark.parametrize("event", ["EXIT", "REDUCE"])
async def test_exits_of_other_trades_come_off_the_net(db: Conn, then: tuple[Status, ...], event: str) -> None:
    """Sent, working or unknown, less what filled of them; not one that is over, nor one that closes the other side."""
    long, short, more = [await task(db, "ENTRY", *SENT, Status.SUCCESS, trade=each) for each in ("T", "U", "V")]
    await fill(db, long, "1", 3)
    await fill(db, short, "2", -2)
    await fill(db, more, "3", 2)
    other = await task(db, event, trade="V")
    await intent(db, await task(db, event, trade="U"), -2, 2, *then)
    (held,) = (await facts(db)).held
    assert [held.net, held.leaving, held.closable] == [3, 0, 3]
    await intent(db, other, 2, 2, *then)
    (held,) = (await facts(db)).held
    assert [held.leaving, held.closable, held.room] == [2, 1, 3]
    await fill(db, other, "4", -1)
    (held,) = (await facts(db)).held
    assert [held.net, held.leaving, held.closable] == [2, 1, 1]
    if then == (Status.ACCEPTED,):
        await move(db, other, Status.CANCELLED)
        (held,) = (await facts(db)).held
        assert [held.leaving, held.closable] == [0, 2]


async def test_fills_that_come_after_a_difference_was_seen(db: Conn) -> None:
    """What was missing is counted once: two opposing trades, of which one would else close more than the account holds."""
    first, other = await task(db), await task(db, trade="U")
    await fill(db, other, "u", -2)
    await fill(db, first, "t", 2)
    await _book(db, events.out_of_sync("It is another one.", differences=[[MNQ, "2", "0"]]))
    assert [held.closable for held in (await facts(db)).held] == [2]
    await fill(db, first, "t", 2)
    shown = [[int(part) for part in (held.quantity, held.net, held.closable)] for held in (await facts(db)).held]
    assert shown == [[4, 2, 2]]
