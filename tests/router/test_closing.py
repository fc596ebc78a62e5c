"""An exit makes way first, and closes exactly what is held; the test's hand plays what the broker's events come to."""

import json
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from eventrouter.domain.broker import BrokerOrder, Change, OrderSide, OrderState
from eventrouter.domain.orders import Accepted, Answer, Order, Outcome, Rejected, Unknown
from eventrouter.domain.tasks import Status
from eventrouter.store.connect import Conn
from tests.processes import until_async
from tests.router.book import enqueue, is_sound, move, reaches, row_of, status_of, value, way
from tests.router.broker import DONE, NOT_THERE, Broker, live
from tests.router.conftest import Start
from tests.router.holding import MNQ, ends, fill, resized, show

LIVE: dict[str, Any] = {"dry_run": False, "accounts": [live("real", "alpha")], "poll_interval": 0.1}
WORKING = Accepted(Answer(200, "#1"), done=False, order_id="1")
BUSY = Unknown(Answer(503, "busy"), "The broker answered 503.")

enqueue_live = partial(enqueue, account="real", mode="live")


@pytest.fixture
def broker(broker_named: Callable[..., Broker]) -> Broker:
    """The broker of the account `real`."""
    return broker_named("alpha")


async def with_payload(db: Conn, trade: str, event: str, **payload: Any) -> int:
    """A new live task."""
    cursor = await db.execute(
        "INSERT INTO execution_tasks (trade_id, event_type, payload, account, mode) VALUES (%s, %s, %s, 'real', 'live') RETURNING id",
        (trade, event, json.dumps({"symbol": "NQ", **payload})),
    )
    return int((await cursor.fetchall())[0][0])


async def accepted(db: Conn, trade: str = "t", quantity: int = 2) -> int:
    """An entry that works at the broker as order e-TRADE."""
    entry = await enqueue_live(db, trade)
    await move(db, entry, Status.SENDING, Status.ACCEPTED)
    await show(db, entry, f"e-{trade}", "entry", quantity)
    return entry


async def opened(db: Conn, trade: str = "t", quantity: int = 2, *, bracket: bool = False) -> int:
    """An entry that has filled; with a bracket, the stop s-TRADE and the target p-TRADE work."""
    entry = await accepted(db, trade, quantity)
    await fill(db, entry, f"e-{trade}", quantity)
    await ends(db, f"e-{trade}", "FILLED", filled=quantity)
    await move(db, entry, Status.SUCCESS)
    if bracket:
        await show(db, entry, f"s-{trade}", "stop", quantity, stop_price=90)
        await show(db, entry, f"p-{trade}", "target", quantity, limit_price=120)
    return entry


async def told(db: Conn, task: int, reason: str) -> None:
    """Returns once the task's log says so."""
    logged = "SELECT EXISTS (SELECT FROM execution_logs WHERE task_id = %s AND reason = %s)"
    await until_async(partial(value, db, logged, task, reason), within_s=15, what=f"{reason} in the log of task {task}")


def asked(order: Order) -> tuple[str, str | None, str | None, str | None]:
    """What matters of an order that closes."""
    return (order.action, order.symbol, order.direction, order.quantity)


async def test_an_exit_while_its_entry_works(db: Conn, start: Start, broker: Broker) -> None:
    """The entry is withdrawn, and its task's log says so before the broker is asked; without a fill nothing is closed."""
    entry = await accepted(db)

    async def withdrawn(order_id: str, _change: Change | None) -> Outcome:
        await row_of(db, entry, "CANCEL_REQUESTED")
        return DONE

    broker.on_change = withdrawn
    await start(**LIVE, sleeping=False)
    exit_ = await enqueue_live(db, "t", "EXIT")
    await told(db, entry, "CANCEL_ANSWERED")
    assert (await row_of(db, entry, "CANCEL_ANSWERED"))[8]["outcome"] == "accepted"
    assert await status_of(db, exit_) == Status.PENDING
    await ends(db, "e-t")
    await move(db, entry, Status.CANCELLED)
    await reaches(db, exit_, Status.DENIED)
    assert (broker.placed, broker.changed) == ([], [("e-t", None)])
    assert await is_sound(db)


@pytest.mark.parametrize("filled", [1, 2])
async def test_an_entry_that_fills_while_it_is_withdrawn(db: Conn, start: Start, broker: Broker, filled: int) -> None:
    """Exactly what filled is closed, in the held contract and on its side, once its fills are recorded."""
    entry = await accepted(db)

    async def too_late(order_id: str, _change: Change | None) -> Outcome:
        await ends(db, order_id, "FILLED" if filled == 2 else "CANCELLED", filled=filled)
        return NOT_THERE if filled == 2 else DONE

    broker.on_change = too_late
    await start(**LIVE, sleeping=False)
    exit_ = await enqueue_live(db, "t", "EXIT")
    await told(db, exit_, "TRADE_UNDECIDED")
    assert broker.placed == []
    await fill(db, entry, "e-t", filled)
    await move(db, entry, Status.SUCCESS)
    await reaches(db, exit_, Status.SUCCESS)
    assert [asked(order) for order in broker.placed] == [("CLOSE", MNQ, "LONG", str(filled))]
    assert await is_sound(db)


async def test_brackets_go_before_the_close(db: Conn, start: Start, broker: Broker) -> None:
    """Stop and target are withdrawn, and only when both are gone the position is closed."""
    entry = await opened(db, bracket=True)
    await start(**LIVE, sleeping=False)
    exit_ = await enqueue_live(db, "t", "EXIT")
    await told(db, entry, "CANCEL_ANSWERED")
    await ends(db, "p-t")
    await until_async(partial(value, db, "SELECT count(*) >= 3 FROM execution_logs WHERE task_id = %s", exit_))
    assert broker.placed == []
    await ends(db, "s-t")
    await reaches(db, exit_, Status.SUCCESS)
    assert sorted(broker.changed) == [("p-t", None), ("s-t", None)]
    assert [asked(order) for order in broker.placed] == [("CLOSE", MNQ, "LONG", "2")]
    intent = (await row_of(db, exit_, "INTENT"))[8]
    assert (intent["contract"], intent["held"], intent["net"], intent["quantity"]) == (MNQ, "2", "2", "2")
    assert await is_sound(db)


async def test_a_stop_that_fills_first(db: Conn, start: Start, broker: Broker) -> None:
    """When the stop fills while it is withdrawn, there is nothing left to close, and the exit says what closed the trade."""
    entry = await opened(db, bracket=True)

    async def filled(order_id: str, _change: Change | None) -> Outcome:
        if order_id == "s-t":
            await ends(db, "s-t", "FILLED", filled=2)
        return NOT_THERE

    broker.on_change = filled
    await start(**LIVE, sleeping=False)
    exit_ = await enqueue_live(db, "t", "EXIT")
    await told(db, entry, "CANCEL_ANSWERED")
    await ends(db, "p-t")
    await told(db, exit_, "TRADE_UNDECIDED")
    await fill(db, entry, "s-t", -2, price="90")
    await reaches(db, exit_, Status.DENIED)
    assert "its stop (order s-t) filled at 90" in (await row_of(db, exit_, "NOTHING_TO_CLOSE"))[4]
    assert broker.placed == []


async def test_two_trades_in_one_contract(db: Conn, start: Start, broker: Broker) -> None:
    """Each exit closes its own trade's part."""
    await opened(db, "a", 2)
    await opened(db, "b", 3)
    await start(**LIVE, sleeping=False)

    async def executed(order: Order) -> Outcome:
        task = await value(db, "SELECT id FROM execution_tasks WHERE client_order_id = %s", order.client_order_id)
        await fill(db, task, f"x-{task}", -int(order.quantity or 0))
        return DONE

    broker.replies = deque([executed, executed])
    for trade in ("b", "a"):
        await reaches(db, await enqueue_live(db, trade, "EXIT"), Status.SUCCESS)
    assert [order.quantity for order in broker.placed] == ["3", "2"]
    assert await value(db, "SELECT count(*) FROM holdings WHERE quantity <> 0") == 0


async def test_an_exit_while_another_one_works(db: Conn, start: Start, broker: Broker) -> None:
    """A limit exit that works closes nothing: the next exit withdraws it, and closes what it has left."""
    await opened(db, quantity=3)
    broker.replies = deque([WORKING, DONE])
    await start(**LIVE, sleeping=False)
    first = await with_payload(db, "t", "EXIT", order_type="limit", limit_price=120)
    await reaches(db, first, Status.ACCEPTED)
    assert (broker.placed[0].order_type, broker.placed[0].quantity) == ("limit", "3")

    async def partly(order_id: str, _change: Change | None) -> Outcome:
        await fill(db, first, "1", -1)
        await ends(db, "1", filled=1)
        return DONE

    broker.on_change = partly
    second = await enqueue_live(db, "t", "EXIT_SL")
    await told(db, first, "CANCEL_ANSWERED")
    await move(db, first, Status.SUCCESS)
    await reaches(db, second, Status.SUCCESS)
    assert [order.quantity for order in broker.placed] == ["3", "2"]
    assert await is_sound(db)


async def test_a_reduction_resizes_the_bracket_first(db: Conn, start: Start, broker: Broker) -> None:
    """Stop and target are made as small as what will be left, and only then the part is closed."""
    entry = await opened(db, quantity=3, bracket=True)
    await start(**LIVE, sleeping=False)
    reduction = await with_payload(db, "t", "REDUCE", quantity=1)
    await told(db, entry, "RESIZE_ANSWERED")
    assert broker.placed == []
    await resized(db, "s-t", 2)
    await resized(db, "p-t", 2)
    await reaches(db, reduction, Status.SUCCESS)
    smaller = Change(quantity=Decimal(2))
    assert dict(broker.changed) == {"s-t": smaller, "p-t": smaller}
    assert [asked(order) for order in broker.placed] == [("REDUCE", MNQ, "LONG", "1")]


async def test_what_the_broker_does_not_answer_is_asked_again(db: Conn, start: Start, broker: Broker) -> None:
    """A cancel whose outcome is unknown is asked a second time: it does no harm, and the exit must not wait for ever."""
    entry = await opened(db, bracket=True)
    await ends(db, "p-t")

    async def busy_once(order_id: str, _change: Change | None) -> Outcome:
        if len(broker.changed) == 1:
            return BUSY
        await ends(db, order_id)
        return DONE

    broker.on_change = busy_once
    await start(**LIVE, sleeping=False)
    exit_ = await enqueue_live(db, "t", "EXIT")
    await reaches(db, exit_, Status.SUCCESS)
    assert broker.changed == [("s-t", None)] * 2
    outcomes = "SELECT string_agg(detail ->> 'outcome', ' ' ORDER BY seq) FROM execution_logs WHERE task_id = %s"
    assert await value(db, outcomes, entry) == "unknown accepted"


async def test_a_cancel_by_alert(db: Conn, start: Start, broker: Broker) -> None:
    """Withdraws the working entry; an order that is gone already counts as withdrawn."""
    entry = await accepted(db)
    broker.on_change = _gone
    await start(**LIVE, sleeping=False)
    cancel = await enqueue_live(db, "t", "CANCEL")
    await reaches(db, cancel, Status.SUCCESS)
    assert (broker.placed, broker.changed) == ([], [("e-t", None)])
    assert (await row_of(db, cancel, "DONE"))[8]["orders"] == {"e-t": "gone: No such order works."}
    assert (await row_of(db, entry, "CANCEL_REQUESTED"))[8] == {"orders": {"e-t": "0"}, "by": cancel}


async def _gone(_order_id: str, _change: Change | None) -> Outcome:
    return NOT_THERE


async def _refused(_order_id: str, _change: Change | None) -> Outcome:
    return Rejected(Answer(200, "no"), "The price is off the grid.")


async def test_a_stop_is_moved(db: Conn, start: Start, broker: Broker) -> None:
    """Stop and target get their new prices at the broker; nothing is placed."""
    await opened(db, bracket=True)
    await start(**LIVE, sleeping=False)
    moved = await with_payload(db, "t", "MOVE_STOP", stop_loss=95, take_profit=125)
    await reaches(db, moved, Status.SUCCESS)
    assert dict(broker.changed) == {
        "s-t": Change(stop_price=Decimal(95)),
        "p-t": Change(limit_price=Decimal(125)),
    }
    assert broker.placed == []


@pytest.mark.parametrize("answer", [_gone, _refused])
async def test_a_stop_that_the_broker_does_not_move(db: Conn, start: Start, broker: Broker, answer: Any) -> None:
    """A refusal, or a stop that is gone, fails the task: the protection is not where it was wanted."""
    await opened(db, bracket=True)
    broker.on_change = answer
    await start(**LIVE, sleeping=False)
    moved = await with_payload(db, "t", "MOVE_STOP", stop_loss=95)
    await reaches(db, moved, Status.FAILED)


async def test_without_a_stop_none_is_moved(
    db: Conn, start: Start, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """The alert is denied, and a warning says so."""
    await opened(db)
    await start(**LIVE, sleeping=False)
    moved = await with_payload(db, "t", "MOVE_STOP", stop_loss=95)
    await reaches(db, moved, Status.DENIED)
    assert "no_stop" in caplog.text
    assert (await row_of(db, moved, "NO_STOP"))[:2] == ("PENDING", "DENIED")
    assert broker.changed == []


def shown(order_id: str, stop_price: int) -> BrokerOrder:
    """A stop as the broker lists it."""
    return BrokerOrder(
        order_id,
        "real",
        MNQ,
        None,
        OrderSide.SELL,
        Decimal(2),
        OrderState.WORKING,
        Decimal(0),
        None,
        datetime.now(UTC),
        stop_price=Decimal(stop_price),
    )


@pytest.mark.parametrize(
    ("event", "lists", "expected"),
    [
        ("MOVE_STOP", [shown("s-t", 95)], "PENDING SENDING UNKNOWN SUCCESS"),
        ("MOVE_STOP", [shown("s-t", 90)], "PENDING SENDING UNKNOWN PENDING SENDING SUCCESS"),
        ("CANCEL", [], "PENDING SENDING UNKNOWN SUCCESS"),
        ("CANCEL", [shown("e-t", 90)], "PENDING SENDING UNKNOWN PENDING SENDING SUCCESS"),
    ],
)
async def test_a_change_without_an_answer_is_looked_at(
    db: Conn,
    start: Start,
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
    event: str,
    lists: list[BrokerOrder],
    expected: str,
) -> None:
    """Orders that stand as they were wanted settle it; else it is asked once more."""

    async def busy_once(_order_id: str, _change: Change | None) -> Outcome:
        return BUSY if len(broker.changed) == 1 else DONE

    async def orders(_account: str, _since: datetime | None = None) -> list[BrokerOrder]:
        return lists

    broker.on_change = busy_once
    monkeypatch.setattr(broker, "orders", orders)
    if event == "CANCEL":
        await accepted(db)
    else:
        await opened(db, bracket=True)
    await start(**LIVE, lease=0.5, sleeping=False)
    task = await with_payload(db, "t", event, **({"stop_loss": 95} if event == "MOVE_STOP" else {}))
    await reaches(db, task, Status.SUCCESS)
    assert await way(db, task) == expected
    assert await is_sound(db)


async def test_a_reversal_waits_for_flat(db: Conn, start: Start, broker: Broker) -> None:
    """Its opening half leaves once the trade before it holds nothing, none of its orders works and every fill is recorded."""
    await opened(db, "old", bracket=True)
    broker.replies = deque([WORKING, DONE])
    await start(**LIVE, sleeping=False)
    exit_ = await enqueue_live(db, "old", "EXIT_REVERSE")
    entry = await with_payload(db, "new", "ENTRY", after=["old"], direction="SHORT", quantity=1)
    await told(db, exit_, "CLEARING")
    await ends(db, "s-old")
    await ends(db, "p-old")
    await reaches(db, exit_, Status.ACCEPTED)
    await told(db, entry, "WAITS_FOR_EXIT")
    assert broker.sent() == ["old"]
    await ends(db, "1", filled=2)
    await fill(db, exit_, "1", -2)
    await move(db, exit_, Status.SUCCESS)
    await reaches(db, entry, Status.SUCCESS)
    assert broker.sent() == ["old", "new"]


async def test_the_router_stops_while_orders_are_withdrawn(db: Conn, start: Start, broker: Broker) -> None:
    """What the broker said by then is written down; the exit waits for the next router."""
    entry = await opened(db, bracket=True)
    router = await start(**LIVE, sleeping=False)
    exit_ = await enqueue_live(db, "t", "EXIT")
    await told(db, entry, "CANCEL_REQUESTED")
    await router.stop()
    answered = "SELECT count(*) FROM execution_logs WHERE task_id = %s AND reason = 'CANCEL_ANSWERED'"
    assert await value(db, answered, entry) == 2
    assert await status_of(db, exit_) == Status.PENDING
