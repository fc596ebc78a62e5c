"""What closes: never more than is held, never in the way of an entry that still works, and its brackets go with it."""

from functools import partial
from typing import Any

from tests.live.conftest import Start
from tests.live.rig import Rig
from tests.processes import until_async

BELOW: dict[str, Any] = {"order_type": "limit", "limit_price": 23900}


async def opened(rig: Rig, quantity: int = 2, **more: Any) -> int:
    """An entry that has filled; its task."""
    posted = await rig.entry("T1", quantity, **more)
    await rig.done(posted)
    return posted.task("one")


async def test_an_exit_closes_what_is_held(start: Start) -> None:
    """Of each account its own quantity."""
    rig = await start(one={"sizing": {"by": "fixed", "value": 2}}, two={"sizing": {"by": "fixed", "value": 5}})
    await rig.done(await rig.entry("T1"))
    assert await rig.holds() == {"one": 2, "two": 5}
    await rig.market.price("MNQ", 24010)
    await rig.done(await rig.exit("T1"))
    assert await rig.holds() == {"one": 0, "two": 0}
    assert [await rig.realised(name) for name in rig.numbers] == [40, 100]


async def test_an_exit_leaves_what_another_trade_holds(start: Start) -> None:
    """Two trades of one product: the exit of one closes only its own contracts, and a second exit of it nothing."""
    rig = await start()
    await rig.done(await rig.entry("T1", 2))
    await rig.done(await rig.entry("T2", 3))
    await rig.done(await rig.exit("T1"))
    assert await rig.holds() == {"one": 3}
    again = await rig.ended((await rig.exit("T1", price=1)).task("one"))
    assert (again["status"], again["reason"]) == ("DENIED", "NOTHING_TO_CLOSE")
    assert await rig.holds() == {"one": 3}


async def test_an_exit_closes_no_more_than_the_account_has(start: Start) -> None:
    """Long 3 and short 1 in two trades come to 2 at a netting broker: the exit of the long one sells 2 and never goes short."""
    rig = await start(one={"no_opposite_side": False})
    await rig.done(await rig.entry("T1", 3))
    await rig.done(await rig.entry("T2", 1, "short"))
    assert await rig.holds() == {"one": 2}
    await rig.done(await rig.exit("T1"))
    assert await rig.holds() == {"one": 0}
    assert await rig.sold() == [1, 2]
    for trade in ("T1", "T2"):
        again = await rig.ended((await rig.exit(trade, price=1)).task("one"))
        assert (again["status"], again["reason"]) == ("DENIED", "NOTHING_TO_CLOSE")
    assert await rig.holds() == {"one": 0}


async def test_an_exit_while_the_entry_works_withdraws_it(start: Start) -> None:
    """Nothing filled: the entry is cancelled, and the exit finds nothing; there is never an opposite position."""
    rig = await start()
    entry = (await rig.entry("T1", 2, **BELOW)).task("one")
    await rig.reached(entry, "ACCEPTED")
    leave = await rig.ended((await rig.exit("T1")).task("one"))
    assert (leave["status"], leave["reason"]) == ("DENIED", "NOTHING_TO_CLOSE")
    assert (await rig.ended(entry))["status"] == "CANCELLED"
    await rig.market.price("MNQ", 23800)
    assert await rig.holds() == {"one": 0}
    assert not [row for row in await rig.market.ledger() if row["what"] == "filled"]


async def test_an_exit_while_the_entry_is_half_filled_closes_that_half(start: Start) -> None:
    """One of three filled: the rest is withdrawn first, then one is sold."""
    rig = await start()
    await rig.market.arm("partial", contracts=1)
    entry = (await rig.entry("T1", 3)).task("one")
    await rig.reached(entry, "ACCEPTED")
    await until_async(partial(held, rig, 1), what="1 filled")
    await rig.done(await rig.exit("T1"))
    end = await rig.ended(entry)
    assert (end["status"], end["reason"]) == ("SUCCESS", "PARTIAL")
    assert await rig.holds() == {"one": 0}
    assert await rig.sold() == [1]


async def test_a_reversal_waits_until_it_is_flat(start: Start) -> None:
    """The opening half is sent after the closing half has filled, not after it was accepted."""
    rig = await start()
    await opened(rig)
    await rig.market.arm("delay", seconds=0.5)
    posted = await rig.post(action="reverse", side="short", quantity=1, price=24000)
    leave, enter = posted.task("one", "EXIT"), posted.task("one", "ENTRY")
    assert (await rig.ended(leave))["status"] == (await rig.ended(enter))["status"] == "SUCCESS"
    flat = next(row for row in rig.watch.rows[leave] if row["status"] == "SUCCESS")
    intent = await rig.reached(enter, "SENDING", "INTENT")
    assert flat["id"] < intent["id"]
    assert await rig.holds() == {"one": -1}


async def test_partial_fills_end_with_the_right_size(start: Start) -> None:
    """Three fills of one contract each, each once in the log, and SUCCESS only after the third."""
    rig = await start()
    await rig.market.arm("partial", contracts=1)
    entry = (await rig.entry("T1", 3)).task("one")
    await rig.reached(entry, "ACCEPTED")
    for price, number in ((24001, 1), (24002, 2)):
        await until_async(partial(held, rig, number), what=f"{number} filled")
        assert await rig.rows("SELECT status FROM execution_tasks WHERE id = %s", entry) == [{"status": "ACCEPTED"}]
        await rig.market.price("MNQ", price)
    assert (await rig.ended(entry))["status"] == "SUCCESS"
    fills = [row for row in rig.watch.rows[entry] if row["reason"] == "FILL"]
    assert len(fills) == 3
    assert await rig.holds() == {"one": 3}
    booked = await rig.rows("SELECT average_price FROM holdings")
    assert [row["average_price"] for row in booked] == [24001]


async def nothing_works(rig: Rig) -> bool:
    """Whether no order of the account may still fill at the broker."""
    return not await rig.market.working(101)


async def held(rig: Rig, quantity: int) -> bool:
    """Whether so many contracts are booked."""
    return sum((await rig.booked("holdings")).values()) == quantity


async def test_what_is_left_of_an_entry_may_be_cancelled(start: Start) -> None:
    """The broker fills one of three and cancels the rest: a success with what was filled."""
    rig = await start()
    await rig.market.arm("partial", contracts=1, rest="cancel")
    end = await rig.ended((await rig.entry("T1", 3)).task("one"))
    assert (end["status"], end["reason"]) == ("SUCCESS", "PARTIAL")
    assert await rig.holds() == {"one": 1}
    await rig.done(await rig.exit("T1"))
    assert await rig.holds() == {"one": 0}


async def test_what_an_exit_left_is_closed_too(start: Start) -> None:
    """The broker sells one of three and cancels the rest, twice: two more exits follow by themselves, and it is flat."""
    rig = await start()
    await opened(rig, 3)
    await rig.market.arm("partial", contracts=1, rest="cancel", times=2)
    end = await rig.ended((await rig.exit("T1")).task("one"))
    assert (end["status"], end["reason"]) == ("SUCCESS", "PARTIAL")
    await until_async(lambda: _sold(rig, 3), what="the sale of the rest")
    assert await rig.sold() == [1, 1, 1]
    assert await rig.holds() == {"one": 0}
    rests = await rig.rows("SELECT id FROM execution_tasks WHERE event_type = 'EXIT_REST' ORDER BY id")
    assert len(rests) == 2
    assert [(await rig.ended(row["id"]))["status"] for row in rests] == ["SUCCESS", "SUCCESS"]


async def test_what_a_cancelled_exit_left_stays(start: Start) -> None:
    """An exit at a limit has sold one of three when somebody cancels it: the other two are kept."""
    rig = await start()
    await opened(rig, 3)
    await rig.market.arm("partial", contracts=1)
    leave = (await rig.exit("T1", order_type="limit", limit_price=23990)).task("one")
    await rig.reached(leave, None, "FILL")  # the hub may be faster than the answer
    await rig.reached(leave, "ACCEPTED")
    await rig.done(await rig.post(trade_id="T1", action="cancel"))
    end = await rig.ended(leave)
    assert (end["status"], end["reason"]) == ("SUCCESS", "PARTIAL")
    assert await rig.holds() == {"one": 2}
    assert await rig.rows("SELECT id FROM execution_tasks WHERE event_type = 'EXIT_REST'") == []


async def test_a_late_reject_fails_the_task(start: Start) -> None:
    """Accepted, then rejected by the broker: FAILED, and nothing is held."""
    rig = await start()
    await rig.market.arm("reject_later", seconds=0.2)
    entry = (await rig.entry("T1", 3)).task("one")
    assert (await rig.ended(entry))["status"] == "FAILED"
    assert "ACCEPTED" in rig.statuses(entry)
    assert await rig.holds() == {"one": 0}


async def test_an_exit_removes_the_bracket(start: Start) -> None:
    """Stop and target work while the trade is open, and not after its exit."""
    rig = await start()
    await opened(rig, stop_loss=23990, take_profit=24020)
    assert len(await rig.market.working(101)) == 2
    await rig.done(await rig.exit("T1"))
    assert await rig.market.working(101) == []
    await rig.market.price("MNQ", 23900)
    assert await rig.holds() == {"one": 0}


async def test_a_reduction_resizes_the_bracket(start: Start) -> None:
    """One of three is sold: stop and target are for two, and the stop then closes just those; nothing is left working."""
    rig = await start()
    await opened(rig, 3, stop_loss=23990, take_profit=24020)
    await rig.done(await rig.post(trade_id="T1", action="reduce", quantity=1))
    assert await rig.holds() == {"one": 2}
    assert [order["size"] for order in await rig.market.working(101)] == [2, 2]
    await rig.market.price("MNQ", 23980)
    assert await rig.holds() == {"one": 0}
    assert await rig.sold() == [1, 2]
    await until_async(partial(nothing_works, rig), what="the rest of the target withdrawn")
    assert await rig.holds() == {"one": 0}


async def test_a_brackets_fill_is_logged_on_the_entrys_task(start: Start) -> None:
    """The stop fills at the broker by itself; the exit that comes later is told what closed the trade."""
    rig = await start()
    entry = await opened(rig, stop_loss=23990, take_profit=24020)
    await rig.market.price("MNQ", 23985)
    assert await rig.holds() == {"one": 0}
    fill = await rig.reached(entry, "SUCCESS", "STOP_FILLED")
    assert fill["prev_status"] == "SUCCESS"
    leave = await rig.ended((await rig.exit("T1")).task("one"))
    assert (leave["status"], leave["reason"]) == ("DENIED", "NOTHING_TO_CLOSE")
    assert "stop" in leave["message"]
    assert await rig.realised("one") == -60
    assert await rig.market.working(101) == []


async def test_a_stop_is_moved_where_there_is_one(start: Start) -> None:
    """The working stop gets the new price; a trade without one is told so."""
    rig = await start()
    await opened(rig, stop_loss=23990)
    await rig.done(await rig.post(trade_id="T1", action="move_stop", stop_loss=23995))
    assert [order["stopPrice"] for order in await rig.market.working(101)] == [23995]
    await rig.done(await rig.exit("T1"))
    await rig.done(await rig.entry("T2", 1))
    denied = await rig.ended((await rig.post(trade_id="T2", action="move_stop", stop_loss=23995)).task("one"))
    assert (denied["status"], denied["reason"]) == ("DENIED", "NO_STOP")


async def test_a_cancel_withdraws_the_working_entry(start: Start) -> None:
    """CANCEL ends the entry as CANCELLED."""
    rig = await start()
    entry = (await rig.entry("T1", 2, **BELOW)).task("one")
    await rig.reached(entry, "ACCEPTED")
    await rig.done(await rig.post(trade_id="T1", action="cancel"))
    assert (await rig.ended(entry))["status"] == "CANCELLED"
    assert await rig.market.working(101) == []


async def test_an_entry_that_fills_after_its_exit_is_closed_at_once(start: Start) -> None:
    """The order hung at the broker when the exit came; it executes late, and is sold again by itself."""
    rig = await start(sections={"router": {"lease": 1.0}})
    hanging = await rig.market.arm("stall", when="before")
    entry = (await rig.entry("T1", 2)).task("one")
    await rig.market.stalled(hanging)
    await rig.reached(entry, "UNKNOWN")
    leave = await rig.ended((await rig.exit("T1")).task("one"))
    assert (leave["status"], leave["reason"]) == ("DENIED", "ENTRY_UNPROVEN")
    assert rig.statuses(entry)[-1] == "REVIEW"
    await rig.market.client.control(f"faults/{hanging}/release", {})
    await until_async(lambda: _sold(rig, 2), what="the sale of what filled late")
    assert await rig.holds() == {"one": 0}
    (late,) = await rig.rows("SELECT id FROM execution_tasks WHERE event_type = 'EXIT_LATE'")
    assert (await rig.ended(late["id"]))["status"] == "SUCCESS"


async def test_an_entry_whose_stop_is_refused_is_closed_at_once(start: Start) -> None:
    """It filled, and the broker rejected its stop: sold by itself, and the target goes too."""
    rig = await start()
    await rig.market.arm("reject_stop")
    await rig.entry("T1", 2, stop_loss=23990, take_profit=24020)
    await until_async(lambda: _sold(rig, 2), what="the sale of what has no stop")
    assert await rig.holds() == {"one": 0}
    (closed,) = await rig.rows("SELECT id FROM execution_tasks WHERE event_type = 'EXIT_UNPROTECTED'")
    assert (await rig.ended(closed["id"]))["status"] == "SUCCESS"
    assert await rig.market.working(101) == []


async def _sold(rig: Rig, quantity: int) -> bool:
    return sum(await rig.sold()) == quantity
