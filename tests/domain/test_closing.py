"""What closes is decided from what is held: never more than that, and nothing before the trade's orders are out of the way."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventrouter.domain.broker import Change
from eventrouter.domain.clearing import Asker, fitting, leftovers, regrown, shrunk, unwanted
from eventrouter.domain.closing import WARNED
from eventrouter.domain.controls import Control
from eventrouter.domain.decide import Decisions, DueTask, Send, decide
from eventrouter.domain.tasks import LogEntry
from eventrouter.domain.trade_facts import Held, LastFill, Told, TradeFacts, WorkingOrder

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
FLATTENED = Control("account:one", "flatten", 0, "guardian", "FLAT_BY: It is past 15:08.", NOW)
MNQ = "CON.F.US.MNQ.H26"
OPENED = (1, "MNQ1!")


def held(quantity: int = 2, net: int | None = None, contract: str = MNQ, average: str | None = "100") -> Held:
    """So many contracts of a trade."""
    price = None if average is None else Decimal(average)
    return Held(contract, Decimal(quantity), Decimal(quantity if net is None else net), "MNQ", price)


def working(role: str, quantity: int = 2, order_id: str = "", **more: Any) -> WorkingOrder:
    """An order of the entry, task 1; an exit's is that of task 5."""
    task_id, side = (5, "SELL") if role == "exit" else (1, "BUY" if role == "entry" else "SELL")
    status = "ACCEPTED" if role in ("entry", "exit") else "SUCCESS"
    values: dict[str, Any] = {"task_id": task_id, "version": 3, "status": status, "contract": MNQ, "side": side, **more}
    return WorkingOrder(order_id=order_id or f"{role}1", role=role, quantity=Decimal(quantity), **values)


def facts(*holdings: Held, **more: Any) -> TradeFacts:
    """A live trade with these holdings, whose entry was executed."""
    values: dict[str, Any] = {
        "opened": OPENED,
        "entries": ((1, "SUCCESS"),),
        "filled": bool(holdings),
        "held": holdings,
    }
    return TradeFacts(**{**values, **more})


def due(event_type: str, trade: TradeFacts, **more: Any) -> DueTask:
    """A pending live task, id 9, made a minute ago."""
    values: dict[str, Any] = {
        "id": 9,
        "version": 1,
        "trade_id": "T",
        "opening": event_type in ("ENTRY", "ADD"),
        "attempts": 0,
        "payload": {"symbol": "NQ1!"},
        "account": "real",
        "lane": "real/NQ",
        "mode": "live",
        "client_order_id": "order9",
        "expires_at": None,
        "created_at": NOW - timedelta(minutes=1),
        "received_at": NOW - timedelta(minutes=1),
    }
    return DueTask(event_type=event_type, trade=trade, **{**values, **more})


def decided(*tasks: DueTask, now: datetime = NOW) -> Decisions:
    """The decisions."""
    return decide(tasks, now=now, dry_run=tasks[0].mode == "dry", lease_s=30.0, limit=20)


def send_of(event_type: str, trade: TradeFacts, **payload: Any) -> Send:
    """The one intent."""
    (send,) = decided(due(event_type, trade, payload={"symbol": "NQ1!", **payload})).sends
    return send


def other(event_type: str, trade: TradeFacts, **payload: Any) -> LogEntry:
    """The row of a task that sends nothing."""
    (entry,) = decided(due(event_type, trade, payload={"symbol": "NQ1!", **payload})).others
    return entry


# how much is closed


@pytest.mark.parametrize(
    ("quantity", "net", "closes"),
    [
        (2, 2, "2"),
        (2, 5, "2"),
        (2, 1, "1"),
        (-3, -3, "3"),
        (-3, -1, "1"),
        (2, 0, None),
        (2, -1, None),
        (-2, 1, None),
    ],
)
def test_an_exit_closes_what_is_held(quantity: int, net: int, closes: str | None) -> None:
    """The trade's holding, but no more than the account's net on the same side; the held contract, on the position's side."""
    trade = facts(held(quantity, net))
    if closes is None:
        denied = other("EXIT", trade)
        assert (denied.status, denied.reason) == ("DENIED", "NOTHING_TO_CLOSE")
        assert f"net in it is {net}" in (denied.message or "")
        return
    order = send_of("EXIT", trade, quantity=7, direction="LONG", stop_loss=90).order
    assert (order.action, order.symbol, order.quantity) == ("CLOSE", MNQ, closes)
    assert (order.direction, order.stop_loss) == ("LONG" if quantity > 0 else "SHORT", None)


@pytest.mark.parametrize(
    ("quantity", "payload", "closes"),
    [
        (3, {"quantity": 1}, "1"),
        (3, {"quantity": 3}, "3"),
        (3, {"quantity": 9}, "3"),
        (3, {}, "1"),
        (3, {"quantity": 50, "quantity_kind": "percent_of_position"}, "1"),
        (3, {"quantity": 100, "quantity_kind": "percent_of_position"}, "3"),
        (3, {"quantity": 500, "quantity_kind": "percent_of_position"}, "3"),
        (-4, {"quantity": 75, "quantity_kind": "percent_of_position"}, "3"),
        (1, {"quantity": 50, "quantity_kind": "percent_of_position"}, None),
        (3, {"quantity": 33, "quantity_kind": "percent_of_position"}, None),
    ],
)
def test_how_much_a_reduction_closes(quantity: int, payload: dict[str, Any], closes: str | None) -> None:
    """Whole contracts, rounded down, never more than is held; less than one is denied."""
    trade = facts(held(quantity))
    if closes is None:
        assert other("REDUCE", trade, **payload).reason == "SIZE_ZERO"
        return
    send = send_of("REDUCE", trade, **payload)
    assert (send.order.action, send.order.quantity, send.order.quantity_kind) == ("REDUCE", closes, None)
    assert send.entry.detail["quantity"] == closes
    assert send.entry.detail["held"] == str(quantity)


@pytest.mark.parametrize(
    ("sized", "quantity", "closes"),
    [
        ([("6", "2")], 1, "3"),
        ([("4", "2"), ("2", "1")], 1, "2"),
        ([("3", "2")], 1, "1"),
        ([("6", "2")], 2, "6"),
        ([("6", "2")], 5, "6"),
        ([("1", "2")], 1, None),
        ([], 1, "1"),
    ],
)
def test_a_reduction_is_sized_as_its_entry_was(sized: list[tuple[str, str]], quantity: int, closes: str | None) -> None:
    """An account that entered three contracts for each of the alert's closes three for each; less than one is denied."""
    pairs = tuple((Decimal(contracts), Decimal(asked)) for contracts, asked in sized)
    trade = facts(held(6), sized=pairs)
    if closes is None:
        assert other("REDUCE", trade, quantity=quantity).reason == "SIZE_ZERO"
    else:
        assert send_of("REDUCE", trade, quantity=quantity).order.quantity == closes


@pytest.mark.parametrize(("mode", "root", "closes"), [("dry", "-", "0.5"), ("dry", "MNQ", None), ("live", "-", None)])
def test_only_what_is_simulated_without_an_instrument_has_fractions(mode: str, root: str, closes: str | None) -> None:
    """Half a contract is closed nowhere else."""
    task = due("REDUCE", facts(replace(held(1), root=root)), mode=mode, payload={"quantity": 0.5})
    assert [send.order.quantity for send in decided(task).sends] == ([closes] if closes else [])


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (LastFill(1, "stop", "77", Decimal("99.5"), NOW), "its stop (order 77) filled at 99.5"),
        (LastFill(1, "target", "78", None, NOW), "its target (order 78) filled"),
        (LastFill(4, "exit", "79", Decimal(101), NOW), "closed by task 4 already at 101"),
        (LastFill(None, None, "80", Decimal(101), NOW), "order 80, which is no task's, closed it at 101"),
        (
            LastFill(None, None, "81", Decimal(101), NOW, FLATTENED),
            "closed by order 81 at 101, of a flattening: flatten of account:one by guardian at 2026-01-05 12:00:00 UTC: FLAT_BY: It is past 15:08.",
        ),
    ],
)
@pytest.mark.parametrize("event_type", ["EXIT", "REDUCE", "MOVE_STOP", "ADD"])
def test_what_closed_it_is_named(event_type: str, last: LastFill, said: str) -> None:
    """A trade that holds nothing any more cannot be closed, changed or added to; the sentence says how it ended."""
    denied = other(event_type, facts(filled=True, last=last), stop_loss=90)
    assert denied.status == "DENIED"
    assert denied.reason == ("NOTHING_TO_CLOSE" if event_type in ("EXIT", "REDUCE") else "NOTHING_OPEN")
    assert said in (denied.message or "")


def test_an_exit_that_was_executed_does_not_hide_what_is_held() -> None:
    """A fill that came after the exit is closed by the next one."""
    trade = facts(held(1), closed=(4, "SUCCESS"), exit=(4, "SUCCESS"))
    assert send_of("EXIT_LATE", trade).order.quantity == "1"


def test_without_any_fill_the_statuses_decide() -> None:
    """A trade that somebody resolved by hand is closed in its entry's symbol."""
    assert send_of("EXIT", facts()).order.symbol == "MNQ1!"
    assert other("EXIT", facts(closed=(4, "SUCCESS"))).reason == "NOTHING_TO_CLOSE"


@pytest.mark.parametrize(
    ("event_type", "payload", "closes"),
    [
        ("EXIT", {}, "4"),
        ("REDUCE", {"quantity": 1}, "1"),
        ("REDUCE", {"quantity": 9}, "4"),
        ("EXIT", {"quantity": 9}, "4"),
    ],
)
def test_without_any_fill_the_entry_says_how_much(event_type: str, payload: dict[str, Any], closes: str) -> None:
    """What the entry asked for is closed, and not before its fills had time to be recorded."""
    told = Told(MNQ, "SHORT", "4", NOW - timedelta(seconds=3))
    order = send_of(event_type, facts(told=told), **payload).order
    assert (order.symbol, order.direction, order.quantity) == (MNQ, "SHORT", closes)
    fresh = replace(told, since=NOW - timedelta(seconds=2))
    assert other(event_type, facts(told=fresh), **payload).reason == "TRADE_UNDECIDED"


def test_a_dry_trade_without_a_symbol() -> None:
    """What was simulated without an instrument is closed without one."""
    task = due("EXIT", facts(held(1, contract="-")), mode="dry")
    (send,) = decided(task).sends
    assert (send.order.symbol, send.order.quantity) == (None, "1")


# what is out of the way first


def test_an_exit_withdraws_what_works() -> None:
    """Entry, working exit, stop and target are asked to go, each in its task's log; the exit waits."""
    orders = (working("entry"), working("stop"), working("target"), working("exit"))
    found = decided(due("EXIT", facts(held(1), working=orders)))
    (waits,) = found.others
    assert (waits.status, waits.reason, waits.run_in_s) == ("PENDING", "CLEARING", 0.25)
    assert found.sends == ()
    assert {(each.order_id, int(each.left), each.task_id) for each in found.cancels} == {
        ("entry1", 0, 1),
        ("stop1", 0, 1),
        ("target1", 0, 1),
        ("exit1", 0, 5),
    }
    rows = {row.task_id: row for row in found.asked}
    assert rows.keys() == {1, 5}
    assert rows[5].detail == {"orders": {"exit1": "0"}, "by": 9}
    for row in found.asked:
        assert (row.reason, row.version, row.status) == ("CANCEL_REQUESTED", 3, "ACCEPTED")


@pytest.mark.parametrize(
    ("age_s", "answer", "again"),
    [
        (0.5, None, False),
        (0.5, "unknown", False),
        (1.5, "unknown", True),
        (1.5, "not_sent", True),
        (1.5, "accepted", False),
        (1.5, "gone", False),
        (9, None, False),
        (10, None, True),
        (0.5, "rejected", False),
        (1, "rejected", True),
    ],
)
def test_what_was_asked_is_asked_again_after_a_while(age_s: float, answer: str | None, again: bool) -> None:
    """Soon where the broker gave no answer or refused it, else after ten seconds; meanwhile the exit looks less and less often."""
    at = NOW - timedelta(seconds=age_s)
    stop = working("stop", asked=Decimal(0), asked_by=9, asked_at=at, first_asked_at=at, answer=answer)
    found = decided(due("EXIT", facts(held(), working=(stop,))))
    assert bool(found.cancels) == bool(found.asked) == again
    (waits,) = found.others
    assert waits.run_in_s == max(0.25, age_s / 4)
    assert waits.reason == ("STILL_CLEARING" if age_s >= 10 or answer == "rejected" else "CLEARING")


@pytest.mark.parametrize(("times", "pause_s"), [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (60, 30)])
def test_a_refused_cancel_is_asked_again_less_and_less_often(times: int, pause_s: int) -> None:
    """The exit says what the broker said."""
    for age_s, again in ((pause_s - 0.1, False), (pause_s, True)):
        at = NOW - timedelta(seconds=age_s)
        stop = working("stop", asked=Decimal(0), asked_by=9, asked_at=at, first_asked_at=at, answer="rejected")
        stop = replace(stop, times=times, said="Order stop1: rejected: The exchange is closed.")
        found = decided(due("EXIT", facts(held(), working=(stop,))))
        assert bool(found.cancels) == again
        (waits,) = found.others
        assert waits.reason == "STILL_CLEARING"
        assert "The exchange is closed." in (waits.message or "")


@pytest.mark.parametrize(
    ("asker", "since_s", "age_s", "answer", "again"),
    [
        ("gone", 0.0, 0.1, None, True),  # asked before this router began
        ("gone", 60.0, 0.5, None, False),  # by one beside it, whose question may be on its way
        ("gone", 60.0, 1.0, None, True),
        ("me", 60.0, 9.0, None, False),
        ("gone", 0.0, 0.1, "accepted", False),
    ],
)
def test_what_a_router_asked_that_may_be_gone(
    asker: str, since_s: float, age_s: float, answer: str | None, again: bool
) -> None:
    """A router asks at once what one before it asked and has no answer to."""
    at = NOW - timedelta(seconds=age_s)
    stop = working("stop", asked=Decimal(0), asked_by=9, asked_at=at, first_asked_at=at, answer=answer, asker=asker)
    me = Asker("me", NOW - timedelta(seconds=since_s))
    task = due("EXIT", facts(held(), working=(stop,)))
    found = decide([task], now=NOW, dry_run=False, lease_s=30.0, limit=20, asker=me)
    assert bool(found.cancels) == bool(found.asked) == again


def shrunk_stop(quantity: int = 2, order_id: str = "s", **more: Any) -> WorkingOrder:
    """A stop of 3 that was made smaller for task 7, which the broker refused."""
    values: dict[str, Any] = {"asked": Decimal(2), "asked_by": 7, "asked_by_status": "FAILED", "was": Decimal(3)}
    return working("stop", quantity, order_id, **{**values, **more})


@pytest.mark.parametrize(
    ("orders", "more", "grown"),
    [
        ((shrunk_stop(),), {}, {"s": 3}),
        ((shrunk_stop(), working("target", 3)), {}, {"s": 3}),
        ((shrunk_stop(asked_by_status="SUCCESS"),), {}, {}),
        ((shrunk_stop(asked_by_status="PENDING"),), {}, {}),
        ((shrunk_stop(status="ACCEPTED"),), {}, {}),
        ((shrunk_stop(asked=Decimal(0)),), {}, {}),
        ((shrunk_stop(),), {"closing": True}, {}),
        ((shrunk_stop(),), {"exit": (9, "PENDING")}, {}),
        ((shrunk_stop(),), {"unsettled": "s"}, {}),
        ((shrunk_stop(),), {"held": (held(2),)}, {}),  # somebody else made it smaller
        ((shrunk_stop(), working("stop", 1, "later", task_id=4)), {"held": (held(3),)}, {"s": 3}),
        ((shrunk_stop(asked=Decimal(3), asked_by=None, was=None, answer="rejected"),), {}, {"s": 3}),
    ],
)
def test_what_a_refused_reduction_made_smaller_grows_back(
    orders: tuple[WorkingOrder, ...], more: dict[str, Any], grown: dict[str, int]
) -> None:
    """Up to what it was and to what the trade holds, once nothing of it is on its way."""
    trade = facts(held(3), **{"working": orders, **more})
    assert {order.order_id: int(left) for order, left in regrown(trade)} == grown


def test_what_another_task_asked_is_asked_anew() -> None:
    """A cancel by alert that the broker refused long ago makes an exit wait for nothing."""
    at = NOW - timedelta(seconds=600)
    entry = working("entry", asked=Decimal(0), asked_by=4, asked_at=at, first_asked_at=at)
    found = decided(due("EXIT", facts(working=(entry,))))
    assert len(found.cancels) == len(found.asked) == 1
    (waits,) = found.others
    assert (waits.reason, waits.run_in_s) == ("CLEARING", 0.25)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"sending": 4}, "Task 4 of the same trade is being sent"),
        ({"unknown": (1, "UNKNOWN")}, "entry of task 1 is not known: it is UNKNOWN"),
        ({"hidden": 1}, "has not shown yet what became of its order"),
        ({"unsettled": "77"}, "fill of order 77 is recorded"),
    ],
)
@pytest.mark.parametrize("event_type", ["EXIT", "REDUCE", "MOVE_STOP", "CANCEL"])
def test_waits_until_it_is_known(event_type: str, more: dict[str, Any], said: str) -> None:
    """Nothing is closed while it is not known what is held or what may still fill."""
    waits = other(event_type, facts(**more), stop_loss=90)
    assert (waits.status, waits.reason) == ("PENDING", "TRADE_UNDECIDED")
    assert waits.run_in_s
    assert said in (waits.message or "")


@pytest.mark.parametrize("more", [{"unknown": (1, "REVIEW")}, {"unsent": ((1, 4),), "in_doubt": frozenset({1})}])
def test_an_exit_waits_for_no_person(more: dict[str, Any]) -> None:
    """It ends with a warning where an entry that may be at the broker waits for a decision; what changes the trade waits on."""
    trade = facts(opened=None, **more)
    ends = decided(due("EXIT", trade)).others[-1]
    assert (ends.status, ends.reason) == ("DENIED", "ENTRY_UNPROVEN")
    assert "task 1 is not known" in (ends.message or "")
    assert "ENTRY_UNPROVEN" in WARNED
    if "unknown" in more:
        assert other("CANCEL", trade).reason == other("REDUCE", trade).reason == "TRADE_UNDECIDED"


def test_an_entry_that_turns_up_after_its_exit_is_withdrawn() -> None:
    """Also one that the broker has accepted; one whose trade goes on stays."""
    orders = (working("entry", order_id="a", late=True), working("entry", order_id="b"), working("stop", order_id="c"))
    assert [order.order_id for order, _ in unwanted(facts(working=orders))] == ["a"]


@pytest.mark.parametrize(("more", "said"), [({"flattening": 7}, "as control 7 asks"), ({"outdated": 8}, "control 8")])
@pytest.mark.parametrize(("event_type", "waits"), [("EXIT", True), ("REDUCE", True), ("MOVE_STOP", False)])
def test_waits_while_the_account_is_flattened(event_type: str, waits: bool, more: dict[str, Any], said: str) -> None:
    """What the broker is told to close whole is not sold a second time; not even its brackets are asked for."""
    trade = facts(held(), working=(working("stop"),), **more)
    found = decided(due(event_type, trade, payload={"symbol": "NQ1!", "stop_loss": 95}))
    assert [entry.reason for entry in found.others] == (["FLATTENING"] if waits else [])
    assert len(found.sends) == (not waits)
    assert (found.cancels, found.asked) == ((), ())
    assert not waits or said in (found.others[0].message or "")


# what is left over

OVER = (working("stop"), working("target"))


@pytest.mark.parametrize(
    ("trade", "left"),
    [
        (facts(filled=True, working=OVER), {"stop1": 0, "target1": 0}),
        (facts(held(1), working=OVER), {"stop1": 1, "target1": 1}),
        (facts(held(2), working=OVER), {}),
        (facts(held(2, 1), working=OVER), {"stop1": 1, "target1": 1}),
        (facts(opened=None, working=OVER), {"stop1": 0, "target1": 0}),
        (facts(working=OVER), {}),  # its entry counts as executed, and no fill says how much
        (facts(filled=True, working=OVER, flattening=7), {}),
        (facts(filled=True, working=OVER, sending=4), {}),
        (facts(filled=True, working=OVER, hidden=1), {}),
        (facts(filled=True, working=OVER, unsettled="77"), {}),
        (facts(filled=True, working=OVER, exit=(5, "PENDING")), {}),
        (facts(filled=True, working=OVER, exit=(5, "SUCCESS")), {"stop1": 0, "target1": 0}),
        (facts(filled=True, working=(working("stop", status="ACCEPTED"),)), {}),  # its entry may still fill
        (facts(filled=True, working=(working("entry"), working("exit"))), {}),
    ],
)
def test_what_is_left_over(trade: TradeFacts, left: dict[str, int]) -> None:
    """Stops and targets for more than the trade holds, where that is certain and no exit comes for them."""
    assert {order.order_id: wanted for order, wanted in leftovers(trade)} == left


def test_what_is_held_does_not_wait_for_an_entry_that_is_looked_up() -> None:
    """A position is closed at once; what the lost entry may still open is closed when it shows."""
    trade = facts(held(1), unknown=(2, "REVIEW"))
    assert send_of("EXIT", trade).order.quantity == "1"


def test_a_bracket_that_was_not_shown_yet_is_waited_for_a_little() -> None:
    """An entry that has just filled may have a stop that no event has told of; after three seconds there is none."""
    last = LastFill(1, "entry", "7", None, NOW - timedelta(seconds=1))
    assert other("EXIT", facts(held(), unshown=1, last=last)).reason == "TRADE_UNDECIDED"
    old = replace(last, recorded_at=NOW - timedelta(seconds=3))
    assert send_of("EXIT", facts(held(), unshown=1, last=old)).order.quantity == "2"


def test_two_exits_ask_once() -> None:
    """Of two exits of a trade in one claim only the first one asks; nothing is said about the other."""
    trade = facts(held(), working=(working("stop"),))
    found = decided(due("EXIT", trade), due("EXIT_SL", trade, id=10))
    assert [entry.task_id for entry in found.others] == [9]
    assert len(found.asked) == 1


# reductions and the orders beside them


@pytest.mark.parametrize(
    ("remaining", "most", "left"),
    [
        ((2,), 2, {}),
        ((2,), 1, {0: 1}),
        ((2,), 0, {0: 0}),
        ((1, 2), 2, {1: 1}),
        ((1, 2), 1, {1: 0}),
        ((2, 2), 1, {1: 0, 0: 1}),
        ((), 0, {}),
    ],
)
def test_orders_give_way(remaining: tuple[int, ...], most: int, left: dict[int, int]) -> None:
    """Together they fill no more than that; the last ones give way first."""
    orders = [working("stop", quantity, f"s{n}") for n, quantity in enumerate(remaining)]
    assert {int(order.order_id[1:]): int(size) for order, size in shrunk(orders, Decimal(most))} == left


def test_a_reduction_fits_the_brackets_first() -> None:
    """Stop and target are made as small as what will be left; the reduction goes once they are."""
    orders = (working("stop", 3), working("target", 3))
    found = decided(due("REDUCE", facts(held(3), working=orders), payload={"quantity": 2}))
    assert found.sends == ()
    assert {(each.order_id, int(each.left), int(each.size)) for each in found.cancels} == {
        ("stop1", 1, 1),
        ("target1", 1, 1),
    }
    (row,) = found.asked
    assert (row.reason, row.detail["orders"]) == ("RESIZE_REQUESTED", {"target1": "1", "stop1": "1"})
    fitted = (working("stop", 1), working("target", 1))
    assert send_of("REDUCE", facts(held(3), working=fitted), quantity=2).order.quantity == "2"


def test_what_filled_of_an_order_counts_for_its_new_size() -> None:
    """The broker counts an order's whole size, filled parts included."""
    order = working("stop", 3, filled=Decimal(1))
    (clearing,) = decided(due("REDUCE", facts(held(2), working=(order,)), payload={"quantity": 1})).cancels
    assert (int(clearing.left), int(clearing.size)) == (1, 2)


def test_working_exits_take_from_the_brackets() -> None:
    """A limit order that closes and a stop may both fill: together they must not close more than is left."""
    orders = [working("exit", 1), working("stop", 3), working("target", 3)]
    assert {order.order_id: int(left) for order, left in fitting(orders, MNQ, Decimal(2))} == {"stop1": 1, "target1": 1}
    assert fitting(orders, "another", Decimal(0)) == []


def test_a_reduction_waits_for_its_entry() -> None:
    """While the entry works and has not filled there is nothing to reduce yet."""
    trade = facts(working=(working("entry"),))
    assert other("REDUCE", trade, quantity=1).reason == "WAITS_FOR_ENTRY"
    assert other("MOVE_STOP", trade, stop_loss=1).reason == "WAITS_FOR_ENTRY"


# cancels and stops


def test_a_cancel_withdraws_what_waits_and_works() -> None:
    """Working entries and exits go, and entries that were not sent; stops and targets stay."""
    orders = (working("entry"), working("stop"), working("exit"))
    trade = facts(working=orders, unsent=((3, 30),))
    found = decided(due("CANCEL", trade))
    (send,) = found.sends
    assert (send.order.action, send.order.targets) == ("CANCEL", ("entry1", "exit1"))
    assert send.changes == (("entry1", None), ("exit1", None))
    assert send.entry.detail["targets"] == {"entry1": None, "exit1": None}
    rows = [(entry.task_id, entry.status, entry.reason) for entry in found.others]
    asked = [(1, "ACCEPTED", "CANCEL_REQUESTED"), (5, "ACCEPTED", "CANCEL_REQUESTED")]
    assert rows == [(3, "CANCELLED", "CANCELLED_BY_ALERT"), *asked]
    assert [entry.detail["orders"] for entry in found.others[1:]] == [{"entry1": "0"}, {"exit1": "0"}]
    assert other("CANCEL", facts(held(), working=(working("stop"),))).reason == "NOTHING_TO_CANCEL"


@pytest.mark.parametrize(
    ("quantity", "payload", "stop", "target"),
    [
        (2, {"stop_loss": 95}, "95", None),
        (2, {"stop_loss": 95.1}, "95.25", None),
        (-2, {"stop_loss": 105.1}, "105", None),
        (2, {"take_profit": 120}, None, "120"),
        (2, {"stop_loss": 95, "take_profit": 120}, "95", "120"),
        (2, {"stop_loss": {"value": 8, "kind": "ticks"}}, "98", None),
        (-2, {"stop_loss": {"value": 8, "kind": "ticks"}}, "102", None),
        (2, {"take_profit": {"value": 3, "kind": "offset"}}, None, "103"),
        (2, {"stop_loss": {"value": 5, "kind": "percent"}}, "95", None),
        (2, {"stop_loss": {"value": 40, "kind": "cash"}}, "90", None),
        (2, {"stop_loss": {"value": 99, "kind": "price"}}, "99", None),
    ],
)
def test_a_stop_is_moved(quantity: int, payload: dict[str, Any], stop: str | None, target: str | None) -> None:
    """Each working stop and target gets its new price, on a tick; a distance counts from the entry at 100."""
    trade = facts(held(quantity), working=(working("stop"), working("target")))
    send = send_of("MOVE_STOP", trade, **payload)
    wanted: dict[str, Change | None] = {}
    if stop is not None:
        wanted["stop1"] = Change(stop_price=Decimal(stop))
    if target is not None:
        wanted["target1"] = Change(limit_price=Decimal(target))
    assert dict(send.changes) == wanted
    assert send.order.targets == tuple(wanted)


@pytest.mark.parametrize(
    ("trade", "payload", "reason"),
    [
        (facts(held()), {"stop_loss": 95}, "NO_STOP"),
        (facts(held(), working=(working("target"),)), {"stop_loss": 95}, "NO_STOP"),
        (facts(held(), working=(working("stop"),)), {"take_profit": 95}, "NO_TARGET"),
        (facts(held(), working=(working("stop"),)), {}, "NO_LEVEL"),
        (
            facts(held(), working=(working("stop"),)),
            {"stop_loss": {"value": 4, "kind": "ticks", "trailing": True}},
            "LEVEL_UNCLEAR",
        ),
        (
            facts(held(average=None), working=(working("stop"),)),
            {"stop_loss": {"value": 4, "kind": "ticks"}},
            "LEVEL_UNCLEAR",
        ),
        (
            facts(held(), working=(working("stop"),)),
            {"stop_loss": {"value": 4000, "kind": "ticks"}},
            "LEVEL_UNCLEAR",
        ),
    ],
)
def test_a_stop_that_cannot_be_moved(trade: TradeFacts, payload: dict[str, Any], reason: str) -> None:
    """Without a working order to move, or a price to move it to, the alert is denied."""
    denied = other("MOVE_STOP", trade, **payload)
    assert (denied.status, denied.reason) == ("DENIED", reason)


# a reversal


@pytest.mark.parametrize(
    ("trade", "found"),
    [
        (facts(held(), closed=(4, "SUCCESS"), exit=(4, "SUCCESS")), ("DENIED", "NOT_FLAT")),
        (facts(held(), exit=(4, "ACCEPTED")), ("PENDING", "WAITS_FOR_EXIT")),
        (facts(held(), exit=(4, "PENDING")), ("PENDING", "WAITS_FOR_EXIT")),
        (facts(filled=True, closed=(4, "SUCCESS"), exit=(4, "SUCCESS")), ("SENDING", "INTENT")),
        (facts(filled=True, exit=(4, "DENIED")), ("SENDING", "INTENT")),
        (facts(filled=True, exit=(4, "SUCCESS"), working=(working("target"),)), ("PENDING", "WAITS_FOR_EXIT")),
        (facts(filled=True, exit=(4, "SUCCESS"), hidden=2), ("PENDING", "WAITS_FOR_EXIT")),
        (facts(filled=True, exit=(4, "SUCCESS"), unsettled="7"), ("PENDING", "WAITS_FOR_EXIT")),
        (facts(filled=True, exit=(4, "SUCCESS"), unknown=(2, "REVIEW")), ("PENDING", "WAITS_FOR_EXIT")),
        (facts(held(2, 0), exit=(4, "SUCCESS")), ("SENDING", "INTENT")),
    ],
)
def test_a_reversal_waits_for_flat(trade: TradeFacts, found: tuple[str, str]) -> None:
    """Its opening half goes once nothing of the trade before it is held, and nothing of it can fill any more."""
    decisions = decided(due("ENTRY", TradeFacts(after={"T": trade}), trade_id="N"))
    entries = [*decisions.others, *(send.entry for send in decisions.sends)]
    assert [(str(entry.status), entry.reason) for entry in entries] == [found]


# any sequence


@dataclass
class Desk:
    """A broker with one contract, as its fills and orders show: `holdings` by trade, `orders` that may still fill."""

    holdings: dict[str, int] = field(default_factory=dict)
    orders: dict[str, tuple[str, WorkingOrder]] = field(default_factory=dict)
    filled: set[str] = field(default_factory=set)
    pairs: dict[str, str] = field(default_factory=dict)
    drawn: int = 0

    def add(self, trade: str, role: str, quantity: int, **more: Any) -> str:
        """A new working order."""
        self.drawn += 1
        order_id = f"{role}{self.drawn:03}"
        self.orders[order_id] = (trade, working(role, quantity, order_id, **{"task_id": self.drawn + 100, **more}))
        return order_id

    def fill(self, order_id: str, quantity: int) -> None:
        """A part of an order executes. An entry brings a stop and a target for that part; of the two only one fills."""
        trade, order = self.orders[order_id]
        quantity = min(quantity, int(order.remaining))
        sign = 1 if order.role == "entry" else -1
        self.holdings[trade] = self.holdings.get(trade, 0) + sign * quantity
        self.filled.add(trade)
        self._shrink(order_id, quantity)
        if order.role == "entry":
            pair = (self.add(trade, "stop", quantity), self.add(trade, "target", quantity, task_id=self.drawn + 100))
            self.pairs |= {pair[0]: pair[1], pair[1]: pair[0]}
        elif (twin := self.pairs.get(order_id)) in self.orders:
            self._shrink(twin, quantity)

    def _shrink(self, order_id: str | None, quantity: int) -> None:
        assert order_id is not None
        trade, order = self.orders[order_id]
        self.orders[order_id] = (trade, replace(order, filled=order.filled + quantity))
        if self.orders[order_id][1].remaining <= 0:
            del self.orders[order_id]

    def facts(self, trade: str) -> TradeFacts:
        """What the database would show."""
        net = sum(self.holdings.values())
        quantity = self.holdings.get(trade, 0)
        return facts(
            *([held(quantity, net)] if quantity else []),
            filled=trade in self.filled,
            opened=OPENED if trade in self.filled else None,
            working=tuple(order for of, order in self.orders.values() if of == trade),
        )

    def most_closed(self, trade: str) -> int:
        """What its orders may still close, where of each bracket the larger leg fills."""
        mine = {order_id: int(order.remaining) for order_id, (of, order) in self.orders.items() if of == trade}
        legs = [max(left, mine.get(self.pairs[each], 0)) for each, left in mine.items() if each.startswith("stop")]
        alone = [left for each, left in mine.items() if each.startswith("target") and self.pairs[each] not in mine]
        return sum(legs) + sum(alone) + sum(left for each, left in mine.items() if each.startswith("exit"))

    def carry_out(self, decisions: Decisions, obeyed: int) -> None:
        """The broker obeys the first so many requests, or all, and takes the order that is sent."""
        for clearing in decisions.cancels[: obeyed if obeyed < 2 else None]:
            trade, order = self.orders[clearing.order_id]
            self.orders[clearing.order_id] = (trade, replace(order, quantity=clearing.size))
            if not clearing.left:
                del self.orders[clearing.order_id]
        for send in decisions.sends:
            quantity = Decimal(send.order.quantity or 0)
            assert quantity <= self.holdings[send.task.trade_id]
            self.add(send.task.trade_id, "exit", int(quantity))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "fill", "fill", "EXIT", "EXIT", "REDUCE"]),
        st.sampled_from("AB"),
        st.integers(1, 4),
        st.integers(0, 6),
    ),
    max_size=40,
)


def run(desk: Desk, steps: Sequence[tuple[str, str, int, int]]) -> None:
    """Takes the steps; after each no trade may stand on the other side."""
    for step, trade, quantity, pick in steps:
        mine = sorted(order_id for order_id, (of, _) in desk.orders.items() if of == trade)
        if step == "enter":
            desk.add(trade, "entry", quantity)
        elif step == "fill" and mine:
            desk.fill(mine[pick % len(mine)], quantity)
        elif step in ("EXIT", "REDUCE"):
            task = due(step, desk.facts(trade), trade_id=trade, payload={"quantity": quantity})
            desk.carry_out(decided(task), pick)
        for each, left in desk.holdings.items():
            assert desk.most_closed(each) <= left, (step, each)


@given(STEPS)
def test_nothing_ever_closes_more_than_is_held(steps: list[tuple[str, str, int, int]]) -> None:
    """Entries that fill in parts, stops and targets that fill in between, exits and reductions: no trade changes sides."""
    desk = Desk()
    desk.fill(desk.add("A", "entry", 4), 4)
    run(desk, steps)


@pytest.mark.parametrize("event", ["EXIT", "REDUCE"])
@pytest.mark.parametrize("net", [0, -1])
def test_what_the_broker_does_not_show_is_not_closed(event: str, net: int) -> None:
    """Our fills say 2, the broker shows none, or the other side: it waits and says so; of the one that it shows, one is closed."""
    why = f"The broker holds {net} {MNQ} and our fills add up to 2."
    entry = other(event, facts(held(2, net), out_of_sync=why))
    assert (entry.status, entry.reason) == ("PENDING", "OUT_OF_SYNC")
    assert entry.message is not None
    assert entry.message.startswith(why)
    assert entry.run_in_s
    assert send_of(event, facts(held(2, 1), out_of_sync=why)).order.quantity == "1"


@given(
    st.lists(st.integers(-4, 4), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["EXIT", "REDUCE", "fill", "refuse"])), max_size=12),
)
def test_exits_of_several_trades_never_turn_the_account(trades: list[int], steps: list[tuple[int, str]]) -> None:
    """However many are on their way at once, filled or refused in whatever order: all of them filled leave no opposite position."""
    sent: dict[int, Decimal] = {}  # trade -> what its exit may still move, below zero a sale
    holdings = [Decimal(each) for each in trades]
    for place, step in steps:
        trade = place % len(holdings)
        net = sum(holdings, Decimal(0))
        if step in ("fill", "refuse"):
            moved = sent.pop(trade, Decimal(0))
            holdings[trade] += moved if step == "fill" else 0
        elif trade not in sent and holdings[trade]:
            sign = 1 if holdings[trade] > 0 else -1
            leaving = sum((-each * sign for each in sent.values() if each * sign < 0), Decimal(0))
            mine = Held(MNQ, holdings[trade], net, "MNQ", Decimal(100), leaving)
            for send in decided(due(step, facts(mine), payload={"symbol": "NQ1!", "quantity": "1"})).sends:
                assert send.order.quantity is not None
                sent[trade] = -sign * Decimal(send.order.quantity)
        net = sum(holdings, Decimal(0))
        for sign in (1, -1):
            selling = sum((-each * sign for each in sent.values() if each * sign < 0), Decimal(0))
            assert selling <= max(net * sign, Decimal(0))


def test_an_exit_waits_for_those_of_other_trades() -> None:
    """While they may close all that the account holds; it is not denied, since one of them may yet be refused."""
    mine = replace(held(2), leaving=Decimal(2))
    for event in ("EXIT", "REDUCE"):
        assert other(event, facts(mine)).reason == "OTHERS_CLOSING"
