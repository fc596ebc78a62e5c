"""The netting engine: whatever is ordered in whatever order, contracts and dollars add up, and no bracket fills both sides."""

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from eventrouter.simulator.contracts import Contract, listing
from eventrouter.simulator.engine import Engine, closing_ticket
from eventrouter.simulator.orders import (
    FINAL,
    Account,
    HalfTurn,
    Leg,
    Order,
    OrderType,
    Position,
    Shape,
    Side,
    Status,
    Ticket,
)
from eventrouter.simulator.settings import BracketMode

NOW = datetime(2026, 11, 23, 15, tzinfo=UTC)
DAY = listing(date(2026, 11, 23))
MNQ, ZF = DAY.contracts["CON.F.US.MNQ.Z26"], DAY.contracts["CON.F.US.FVA.Z26"]
FEE = Decimal("0.37")
START = Decimal(50_000)
ONE, OTHER = 101, 102


def engine(**more: Any) -> Engine:
    """An engine with two accounts."""
    made = Engine(fee_per_side=FEE, **more)
    for number in (ONE, OTHER):
        made.accounts[number] = Account(number, f"SIM-{number}", START, BracketMode.AUTO_OCO)
    return made


def ticket(kind: OrderType = OrderType.MARKET, side: Side = Side.BUY, size: int = 1, **more: Any) -> Ticket:
    """What is asked of the account ONE for MNQ."""
    return Ticket(**{"account": ONE, "contract": MNQ, "type": kind, "side": side, "size": size, **more})


def bracketed(size: int = 2, side: Side = Side.BUY, stop: int = 40, target: int = 80, **more: Any) -> Ticket:
    """A market order with a stop and a target so many ticks away."""
    sign = side.sign
    legs: dict[str, Any] = {
        "stop_loss": Leg(-sign * stop, OrderType.STOP),
        "take_profit": Leg(sign * target, OrderType.LIMIT),
    }
    return ticket(side=side, size=size, tag="t", **{**legs, **more})


def legs_of(made: Engine, entry: Order) -> tuple[Order, Order]:
    """Stop and target."""
    stop, target = (made.orders[each] for each in entry.legs)
    return stop, target


def price(made: Engine, text: str) -> None:
    """Posts a price of MNQ, which starts at 24000."""
    made.post(MNQ, Decimal(text), NOW)


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


# whatever happens

CONTRACTS = (MNQ, ZF)
ticks = st.integers(-60, 60)
few = st.integers(1, 5)


class AnyDay(RuleBasedStateMachine):
    """Orders of all kinds on two accounts and two contracts, prices, cancels, changes, closes and time, in any order."""

    @initialize(orphans=st.booleans())
    def open(self, *, orphans: bool) -> None:
        """A new engine."""
        self.engine = engine(orphans_cancelled=orphans)
        self.now = NOW
        self.seen = 0
        self.trails: dict[int, Decimal] = {}

    @rule(
        account=st.sampled_from((ONE, OTHER)),
        contract=st.sampled_from(CONTRACTS),
        kind=st.sampled_from((OrderType.MARKET, OrderType.LIMIT, OrderType.STOP, OrderType.TRAILING_STOP)),
        side=st.sampled_from(Side),
        size=few,
        away=st.integers(1, 60),
        stop=st.none() | st.integers(4, 40),
        profit=st.none() | st.integers(1, 40),
        trailing=st.booleans(),
        shape=st.none() | st.builds(Shape, per_price=few, cancel_rest=st.booleans()),
        wait=st.sampled_from(("", "", "fills_from", "rejected_from")),
        pieces=st.none() | few,
    )
    def place(
        self,
        *,
        account: int,
        contract: Contract,
        kind: OrderType,
        side: Side,
        size: int,
        away: int,
        stop: int | None,
        profit: int | None,
        trailing: bool,
        shape: Shape | None,
        wait: str,
        pieces: int | None,
    ) -> None:
        """An order, with a bracket or without, as the market or a fault shapes it."""
        last, sign = self.engine.price(contract), side.sign
        prices: dict[str, Any] = {}
        if kind is OrderType.LIMIT:
            prices["limit_price"] = last + (away - 30) * contract.tick_size
        elif kind is not OrderType.MARKET:
            name = "stop_price" if kind is OrderType.STOP else "trail_price"
            prices[name] = last + away * sign * contract.tick_size
        stop_type = OrderType.TRAILING_STOP if trailing else OrderType.STOP
        wanted = Ticket(
            account,
            contract,
            kind,
            side,
            size,
            **prices,
            stop_loss=None if stop is None else Leg(-sign * stop, stop_type),
            take_profit=None if profit is None else Leg(sign * profit, OrderType.LIMIT),
        )
        if wait:
            later = self.now + timedelta(seconds=5)
            shape = Shape(fills_from=later) if wait == "fills_from" else Shape(rejected_from=later)
        for leg in self.engine.submit(wanted, self.now, shape).legs:
            self.engine.orders[leg].shape = Shape(per_price=pieces)

    @rule(contract=st.sampled_from(CONTRACTS), by=ticks, is_open=st.sampled_from((True, True, True, False)))
    def post(self, *, contract: Contract, by: int, is_open: bool) -> None:
        """A price."""
        self.engine.post(contract, self.engine.price(contract) + by * contract.tick_size, self.now, is_open=is_open)

    @rule(seconds=st.integers(0, 6), is_open=st.booleans())
    def wait(self, *, seconds: int, is_open: bool) -> None:
        """Time."""
        self.now += timedelta(seconds=seconds)
        self.engine.advance(self.now, is_open=is_open)

    @precondition(lambda self: any(each.working for each in self.engine.orders.values()))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """A cancel of anything that works, legs and suspended ones too."""
        self.engine.cancel(self._one_working(data), self.now)

    @precondition(lambda self: any(each.working for each in self.engine.orders.values()))
    @rule(data=st.data(), by=ticks, size=few)
    def modify(self, data: st.DataObject, by: int, size: int) -> None:
        """A change of price or size, as far as the broker lets it through."""
        order = self._one_working(data)
        if order.status is not Status.OPEN:
            return
        level = self.engine.price(order.contract) + by * order.contract.tick_size
        change: dict[str, Any] = {}
        if order.type is OrderType.LIMIT:
            change["limit_price"] = level
        elif order.type is OrderType.STOP and by * order.side.sign > 0:
            change["stop_price"] = level
        if order.filled < size <= self._most(order):
            change["size"] = size
        self.engine.modify(order, self.now, **change)

    @precondition(lambda self: bool(self.engine.positions))
    @rule(data=st.data(), size=few)
    def close(self, data: st.DataObject, size: int) -> None:
        """All of a position, or some of it."""
        held = data.draw(st.sampled_from(list(self.engine.positions.values())))
        self.engine.submit(closing_ticket(held, min(size, held.size)), self.now)

    def _most(self, order: Order) -> int:
        """A leg is never larger than what its entry has filled and the other leg has not closed."""
        if order.parent is None:
            return 10
        entry = self.engine.orders[order.parent]
        return entry.filled - sum(self.engine.orders[each].filled for each in entry.legs if each != order.id)

    def _one_working(self, data: st.DataObject) -> Order:
        return data.draw(st.sampled_from([each for each in self.engine.orders.values() if each.working]))

    @invariant()
    def position_is_the_sum_of_fills(self) -> None:
        """Counted from the orders and from the half turns."""
        by_order: defaultdict[tuple[int, str], int] = defaultdict(int)
        by_turn: defaultdict[tuple[int, str], int] = defaultdict(int)
        for order in self.engine.orders.values():
            by_order[order.account, order.contract.id] += order.side.sign * order.filled
        for turn in self.engine.trades:
            by_turn[turn.account, turn.contract.id] += turn.side.sign * turn.size
        held = {key: position.net for key, position in self.engine.positions.items()}
        assert {key: net for key, net in by_order.items() if net} == held
        assert {key: net for key, net in by_turn.items() if net} == held

    @invariant()
    def money_is_the_sum_of_fills(self) -> None:
        """Realised profit and what is open are what every fill gained until now, in points times point value."""
        for number, account in self.engine.accounts.items():
            turns = [turn for turn in self.engine.trades if turn.account == number]
            held = [each for each in self.engine.positions.values() if each.account == number]
            gained = sum(
                (_gain(self.engine, turn.contract, turn.side, turn.size, turn.price) for turn in turns), Decimal()
            )
            lots = [(each, size, paid) for each in held for size, paid in each.lots]
            unreal = sum(
                (_gain(self.engine, each.contract, each.side, size, paid) for each, size, paid in lots), Decimal()
            )
            realised = sum((turn.profit for turn in turns if turn.profit is not None), Decimal())
            assert realised + unreal == gained
            assert account.balance == START + realised - FEE * sum(turn.size for turn in turns)

    @invariant()
    def sizes_are_sane(self) -> None:
        """No negative size, nothing overfilled, and a status that says what happened."""
        for order in self.engine.orders.values():
            assert 0 <= order.filled <= order.size
            assert order.size >= 1
            assert order.status is not Status.FILLED or order.left == 0
            assert order.status is not Status.REJECTED or order.filled == 0
            assert order.left or not order.working or order.parent is not None
        for position in self.engine.positions.values():
            assert all(size > 0 for size, _ in position.lots)
            assert position.size > 0

    @invariant()
    def legs_never_close_more_than_was_opened(self) -> None:
        """Both together; and as long as nobody cut a leg, they cover all of it while it is open."""
        for entry in self.engine.orders.values():
            if not entry.legs:
                continue
            legs = [self.engine.orders[each] for each in entry.legs]
            taken = sum(leg.filled for leg in legs)
            assert taken <= entry.filled
            for leg in legs:
                working = leg.left if leg.status is Status.OPEN else 0
                assert taken + working <= entry.filled
                untouched = leg.most is None and leg.status is not Status.CANCELLED
                assert not untouched or leg.status is Status.FILLED or taken + working == entry.filled

    @invariant()
    def fills_are_at_fair_prices(self) -> None:
        """New fills: a limit never worse than its limit, a stop never better than its level, all at prices that exist."""
        for turn in self.engine.trades[self.seen :]:
            order = self.engine.orders[turn.order]
            assert turn.contract.on_grid(turn.price)
            if order.limit_price is not None:
                assert turn.side.sign * (order.limit_price - turn.price) >= 0
        self.seen = len(self.engine.trades)

    @invariant()
    def events_are_the_truth(self) -> None:
        """The last event of every order shows it as it is, so that a listener knows all there is to know."""
        last = {event.id: event for event in self.engine.events if isinstance(event, Order)}
        for order in self.engine.orders.values():
            known, told = last[order.id], order
            assert (known.filled, known.cost, known.size) == (told.filled, told.cost, told.size)
            assert (known.status in FINAL) == (told.status in FINAL)
            assert not told.filled or known.status == told.status


def _gain(made: Engine, contract: Contract, side: Side, size: int, paid: Decimal) -> Decimal:
    """Dollars between a price and the last one, from tick value and tick size."""
    return side.sign * size * (made.price(contract) - paid) / contract.tick_size * contract.tick_value


TestAnyDay = pytest.mark.timeout(300)(AnyDay.TestCase)
TestAnyDay.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
