"""The netting engine: where orders fill, what positions and money come of it, and what brackets and faults do."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from eventrouter.simulator.engine import closing_ticket
from eventrouter.simulator.orders import (
    Account,
    HalfTurn,
    Leg,
    Order,
    OrderType,
    Position,
    Shape,
    Side,
    Status,
)
from tests.simulator.desk import FEE, MNQ, NOW, ONE, OTHER, START, ZF, bracketed, engine, legs_of, price, ticket

# prices


@pytest.mark.parametrize(
    ("kind", "side", "level", "quiet", "price_seen", "paid"),
    [
        (OrderType.LIMIT, Side.BUY, "23990", "23990.25", "23989", "23990"),
        (OrderType.LIMIT, Side.SELL, "24010", "24009.75", "24012", "24010"),
        (OrderType.STOP, Side.BUY, "24010", "24009.75", "24012", "24012"),
        (OrderType.STOP, Side.SELL, "23990", "23990.25", "23989", "23989"),
        (OrderType.STOP, Side.SELL, "23990", "23990.25", "23990", "23990"),
    ],
)
def test_when_and_where_it_fills(
    kind: OrderType, side: Side, level: str, quiet: str, price_seen: str, paid: str
) -> None:
    """A resting limit fills at its limit, a stop at the price that touched it; neither a tick too early."""
    made = engine()
    name = "limit_price" if kind is OrderType.LIMIT else "stop_price"
    prices: dict[str, Any] = {name: Decimal(level)}
    order = made.submit(ticket(kind, side, **prices), NOW)
    price(made, quiet)
    assert (order.status, order.filled) == (Status.OPEN, 0)
    price(made, price_seen)
    assert (order.status, order.average) == (Status.FILLED, Decimal(paid))


def test_a_limit_that_is_marketable_fills_at_the_price() -> None:
    """A buyer who offers more than the price pays the price."""
    order = engine().submit(ticket(OrderType.LIMIT, limit_price=Decimal(24_010)), NOW)
    assert (order.status, order.average) == (Status.FILLED, Decimal(24_000))


@pytest.mark.parametrize(("side", "sign"), [(Side.SELL, 1), (Side.BUY, -1)])
def test_a_trailing_stop_follows_and_never_goes_back(side: Side, sign: int) -> None:
    """It keeps its distance from the best price seen, and fills when the price has come back by it."""
    made = engine()
    order = made.submit(ticket(OrderType.TRAILING_STOP, side, trail_price=Decimal(24_000 - 10 * sign)), NOW)
    for step, level in ((5, -5), (2, -5), (20, 10), (10.25, 10)):
        price(made, str(24_000 + step * sign))
        assert order.stop_price == 24_000 + level * sign
        assert order.status is Status.OPEN
    price(made, str(24_000 + 10 * sign))
    assert order.average == 24_000 + 10 * sign


def test_a_stop_that_was_touched_goes_on_filling() -> None:
    """It is a market order by then, wherever the price goes while it fills piece by piece."""
    made = engine()
    order = made.submit(ticket(OrderType.STOP, Side.SELL, 2, stop_price=Decimal(23_990)), NOW, Shape(per_price=1))
    price(made, "23990")
    price(made, "24000")
    assert (order.status, order.average) == (Status.FILLED, Decimal(23_995))


# positions and money


def test_a_reversal_closes_before_it_opens() -> None:
    """Two half turns: one with its profit, one that opens at the new price."""
    made = engine()
    made.submit(ticket(size=2), NOW)
    price(made, "24010")
    made.submit(ticket(side=Side.SELL, size=3), NOW)
    turns = [(turn.side, turn.size, turn.profit, turn.fees) for turn in made.trades]
    assert turns == [(0, 2, None, 2 * FEE), (1, 2, Decimal(40), 2 * FEE), (1, 1, None, FEE)]
    assert made.net(ONE, MNQ.id) == -1
    assert made.accounts[ONE].balance == START + 40 - 5 * FEE


def test_the_oldest_contracts_are_closed_first() -> None:
    """Profit is counted from the lot that is closed; the mean is over what is left."""
    made = engine()
    made.submit(ticket(size=1), NOW)
    price(made, "24010")
    made.submit(ticket(size=2), NOW)
    price(made, "24020")
    made.submit(ticket(side=Side.SELL, size=2), NOW)
    assert [turn.profit for turn in made.trades] == [None, None, Decimal(60)]
    assert made.positions[ONE, MNQ.id].average == 24_010


def test_every_contract_has_its_point_value() -> None:
    """A Treasury note's tick of 1/128 is 7.8125 dollars, to the last digit."""
    made = engine()
    made.submit(ticket(contract=ZF, size=3), NOW)
    made.post(ZF, ZF.start + ZF.tick_size, NOW)
    made.submit(closing_ticket(made.positions[ONE, ZF.id], 3), NOW)
    assert made.trades[-1].profit == Decimal("23.4375")


# brackets


def test_a_bracket_waits_for_its_entry() -> None:
    """Its orders exist at once, suspended and without prices, and get both from the entry's fill."""
    made = engine()
    entry = made.submit(
        ticket(OrderType.LIMIT, limit_price=Decimal(23_990), tag="t", stop_loss=Leg(-40, OrderType.STOP)), NOW
    )
    (stop,) = (made.orders[each] for each in entry.legs)
    assert (stop.status, stop.stop_price, stop.tag, stop.parent) == (Status.SUSPENDED, None, "t-SL", entry.id)
    price(made, "23990")
    assert (stop.status, stop.stop_price, stop.side) == (Status.OPEN, Decimal(23_980), Side.SELL)


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("wins", ["stop", "target"])
def test_one_cancels_the_other(side: Side, wins: str) -> None:
    """The leg that is reached fills, the other is cancelled, and the account is flat."""
    made = engine()
    entry = made.submit(bracketed(side=side), NOW)
    stop, target = legs_of(made, entry)
    assert stop.stop_price == 24_000 - 10 * side.sign
    assert target.limit_price == 24_000 + 20 * side.sign
    price(made, str(24_000 + (-10 if wins == "stop" else 20) * side.sign))
    won, lost = (stop, target) if wins == "stop" else (target, stop)
    assert (won.status, won.filled, lost.status, lost.filled) == (Status.FILLED, 2, Status.CANCELLED, 0)
    assert made.net(ONE, MNQ.id) == 0
    price(made, "24000")
    price(made, str(24_000 + (20 if wins == "stop" else -10) * side.sign))
    assert made.net(ONE, MNQ.id) == 0


def test_legs_protect_what_has_filled() -> None:
    """While an entry fills piece by piece its legs grow with it, and a leg that ran ahead wakes up again."""
    made = engine()
    entry = made.submit(bracketed(size=3), NOW, Shape(per_price=1))
    stop, target = legs_of(made, entry)
    assert (entry.filled, stop.size, target.size) == (1, 1, 1)
    price(made, "24000")
    assert (entry.filled, stop.size, target.size) == (2, 2, 2)
    price(made, "24020")  # the target closes what is held while the entry opens its last contract
    assert (entry.status, target.filled, stop.filled) == (Status.FILLED, 3, 0)
    assert (target.status, stop.status) == (Status.FILLED, Status.CANCELLED)
    assert made.net(ONE, MNQ.id) == 0


def test_a_partial_fill_of_one_leg_shrinks_the_other() -> None:
    """Both together never close more than was opened."""
    made = engine()
    entry = made.submit(bracketed(size=3), NOW)
    stop, target = legs_of(made, entry)
    target.shape = Shape(per_price=1)
    price(made, "24020")
    assert (target.filled, stop.size, stop.status) == (1, 2, Status.OPEN)
    price(made, "23990")
    assert (stop.status, stop.filled, target.status, target.filled) == (Status.FILLED, 2, Status.FILLED, 1)
    assert (stop.size, target.size) == (2, 1)
    assert made.net(ONE, MNQ.id) == 0


def test_legs_that_are_done_wait_for_more_of_the_entry() -> None:
    """What was opened is closed while the entry still works; its next fill wakes them up."""
    made = engine()
    wanted = bracketed(size=2)
    limit = replace(wanted, type=OrderType.LIMIT, limit_price=Decimal(24_000))
    entry = made.submit(limit, NOW, Shape(per_price=1))
    stop, target = legs_of(made, entry)
    price(made, "24020")
    assert (target.filled, target.status, stop.status) == (1, Status.SUSPENDED, Status.SUSPENDED)
    price(made, "24000")
    assert (entry.status, target.status, target.left, stop.status, stop.size) == (
        Status.FILLED,
        Status.OPEN,
        1,
        Status.OPEN,
        1,
    )
    price(made, "23990")
    assert (stop.status, target.status, made.net(ONE, MNQ.id)) == (Status.FILLED, Status.FILLED, 0)


def test_a_leg_that_was_made_smaller_stays_so() -> None:
    """Whatever else fills; and it still shrinks with the other one."""
    made = engine()
    entry = made.submit(bracketed(size=3), NOW, Shape(per_price=2))
    stop, target = legs_of(made, entry)
    made.modify(stop, NOW, size=1)
    price(made, "24000")
    assert (entry.filled, stop.size, target.size) == (3, 1, 3)
    made.modify(stop, NOW, size=2)
    target.shape = Shape(per_price=2)
    price(made, "24020")
    assert (target.filled, stop.size) == (2, 1)


def test_a_cancelled_entry_keeps_legs_for_what_it_filled() -> None:
    """And none for what it did not fill."""
    made = engine()
    entry = made.submit(bracketed(size=3), NOW, Shape(per_price=1))
    made.cancel(entry, NOW)
    assert [(leg.status, leg.size) for leg in legs_of(made, entry)] == [(Status.OPEN, 1)] * 2
    waiting = made.submit(bracketed(size=3), NOW, Shape(fills_from=NOW + timedelta(hours=1)))
    made.cancel(waiting, NOW)
    assert [leg.status for leg in legs_of(made, waiting)] == [Status.CANCELLED] * 2


@pytest.mark.parametrize(("cancelled", "status"), [(False, Status.OPEN), (True, Status.CANCELLED)])
def test_closing_a_position_leaves_its_bracket(*, cancelled: bool, status: Status) -> None:
    """It goes on working, and would open the opposite position; a broker that tidies up can be played too."""
    made = engine(orphans_cancelled=cancelled)
    entry = made.submit(bracketed(), NOW)
    waiting = made.submit(bracketed(side=Side.BUY), NOW, Shape(fills_from=NOW + timedelta(hours=1)))
    theirs = made.submit(bracketed(account=OTHER), NOW)
    made.submit(closing_ticket(made.positions[ONE, MNQ.id], 1), NOW)
    assert [leg.status for leg in legs_of(made, entry)] == [Status.OPEN] * 2
    made.submit(closing_ticket(made.positions[ONE, MNQ.id], 1), NOW)
    assert [leg.status for leg in legs_of(made, theirs)] == [Status.OPEN] * 2
    assert [leg.status for leg in legs_of(made, entry)] == [status] * 2
    assert [leg.status for leg in legs_of(made, waiting)] == [Status.SUSPENDED] * 2
    price(made, "23980")
    assert made.net(ONE, MNQ.id) == (0 if cancelled else -2)


def test_a_trailing_leg_trails_from_the_entry() -> None:
    """A stop bracket of the trailing type keeps its distance."""
    made = engine()
    entry = made.submit(ticket(tag="t", stop_loss=Leg(-40, OrderType.TRAILING_STOP)), NOW)
    stop = made.orders[entry.legs[0]]
    price(made, "24030")
    assert stop.stop_price == 24_020


# shaped orders


def test_partial_and_delayed_fills_and_late_rejects() -> None:
    """What a fault asks for: so many at a price, the rest cancelled, nothing before its time, or a reject after all."""
    made = engine()
    pieces = made.submit(ticket(size=3), NOW, Shape(per_price=2))
    once = made.submit(ticket(size=3), NOW, Shape(per_price=2, cancel_rest=True))
    later = made.submit(ticket(), NOW, Shape(fills_from=NOW + timedelta(seconds=5)))
    never = made.submit(bracketed(), NOW, Shape(rejected_from=NOW + timedelta(seconds=5)))
    made.advance(NOW + timedelta(seconds=4))
    found = [(each.status, each.filled) for each in (pieces, once, later, never)]
    assert found == [(Status.OPEN, 2), (Status.CANCELLED, 2), (Status.OPEN, 0), (Status.OPEN, 0)]
    made.advance(NOW + timedelta(seconds=5))
    price(made, "24000")
    found = [(each.status, each.filled) for each in (pieces, once, later, never)]
    assert found == [(Status.FILLED, 3), (Status.CANCELLED, 2), (Status.FILLED, 1), (Status.REJECTED, 0)]
    assert [leg.status for leg in legs_of(made, never)] == [Status.CANCELLED] * 2


def test_nothing_fills_while_the_market_is_closed() -> None:
    """Prices are noted, trails stand, and what was touched meanwhile fills at the price of the opening."""
    made = engine()
    order = made.submit(ticket(OrderType.LIMIT, limit_price=Decimal(23_990)), NOW)
    trailing = made.submit(ticket(OrderType.TRAILING_STOP, Side.BUY, trail_price=Decimal(24_010)), NOW)
    made.post(MNQ, Decimal(23_980), NOW, is_open=False)
    assert trailing.stop_price == 24_010
    made.advance(NOW, is_open=False)
    assert order.filled == 0
    made.advance(NOW)
    assert order.filled == 1


def test_events_tell_a_life_in_order() -> None:
    """Pending with its suspended legs, filled, booked, and then the legs open: each event as it was then."""
    made = engine()
    made.submit(bracketed(), NOW)

    def short(event: object) -> tuple[str, object]:
        if isinstance(event, Order):
            return (event.tag or "", event.status)
        if isinstance(event, HalfTurn | Position):
            return (type(event).__name__, event.size)
        assert isinstance(event, Account)
        return ("Account", event.balance)

    assert [short(event) for event in made.events] == [
        ("t", Status.PENDING),
        ("t-SL", Status.SUSPENDED),
        ("t-TP", Status.SUSPENDED),
        ("t", Status.FILLED),
        ("HalfTurn", 2),
        ("Position", 2),
        ("Account", START - 2 * FEE),
        ("t-SL", Status.OPEN),
        ("t-TP", Status.OPEN),
    ]
    told = [short(event) for event in made.events]
    made.submit(ticket(), NOW)
    assert [short(event) for event in made.events][: len(told)] == told
