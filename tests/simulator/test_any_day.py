"""Whatever is ordered in whatever order, contracts and dollars add up, and no bracket fills both its sides."""

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from eventrouter.simulator.contracts import Contract
from eventrouter.simulator.engine import Engine, closing_ticket
from eventrouter.simulator.orders import (
    FINAL,
    Leg,
    Order,
    OrderType,
    Shape,
    Side,
    Status,
    Ticket,
)
from tests.simulator.desk import FEE, MNQ, NOW, ONE, OTHER, START, ZF, engine

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
