"""The netting engine: orders meet prices, fills move positions and money. Pure: the time is an argument, nothing waits.

Whatever changes is also appended to `events`, as a copy of how it was then; its owner drains them.

Brackets are one-cancels-the-other by arithmetic: an entry's legs together may fill what the entry has filled, and a leg
that has no room left ends. So a partial fill of one leg shrinks the other, and the last one cancels it.

Assumed: a leg cancelled by hand leaves the other one working; closing a position leaves its legs working (recorded so from
the live gateway), unless `orphans_cancelled`.
"""

import itertools
from collections import deque
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from eventrouter.simulator.contracts import Contract
from eventrouter.simulator.matching import fill_price, trailed
from eventrouter.simulator.orders import Account, HalfTurn, Leg, Order, OrderType, Position, Shape, Status, Ticket

Event = Order | HalfTurn | Position | Account


class Engine:
    """`fee_per_side`: dollars per contract and fill. `first_id`: order ids count from here."""

    def __init__(self, *, fee_per_side: Decimal, orphans_cancelled: bool = False, first_id: int = 1) -> None:
        self.fee_per_side = fee_per_side
        self.orphans_cancelled = orphans_cancelled
        self.accounts: dict[int, Account] = {}
        self.orders: dict[int, Order] = {}
        self.trades: list[HalfTurn] = []
        self.positions: dict[tuple[int, str], Position] = {}
        self.prices: dict[str, Decimal] = {}
        self.events: list[Event] = []
        self._working: dict[int, Order] = {}
        self._order_ids = itertools.count(first_id)
        self._trade_ids = itertools.count(1)
        self._position_ids = itertools.count(1)

    def price(self, contract: Contract) -> Decimal:
        """The last price."""
        return self.prices.get(contract.id, contract.start)

    def net(self, account: int, contract_id: str) -> int:
        """Contracts held, negative when short."""
        held = self.positions.get((account, contract_id))
        return held.net if held else 0

    def submit(self, ticket: Ticket, now: datetime, shape: Shape | None = None, *, is_open: bool = True) -> Order:
        """Takes an order and fills what can be filled at once. Its legs are there from the start, SUSPENDED."""
        order = self._enter(ticket, now, shape or Shape())
        legs = [
            self._enter_leg(order, leg, name, now)
            for leg, name in ((ticket.stop_loss, "SL"), (ticket.take_profit, "TP"))
            if leg is not None
        ]
        order.legs = tuple(leg.id for leg in legs)
        if len(legs) == 2:
            legs[1].linked = legs[0].id
        for each in (order, *legs):
            self._emit(each, now)
        order.status = Status.OPEN
        if is_open:
            self._match(ticket.contract, now)
        if order.status is Status.OPEN and not order.filled:
            self._emit(order, now)
        return order

    def refuse(self, ticket: Ticket, now: datetime) -> Order:
        """Keeps a rejected order, which has an id like any other."""
        order = self._enter(ticket, now, Shape())
        self._end(order, Status.REJECTED, now)
        return order

    def post(self, contract: Contract, price: Decimal, now: datetime, *, is_open: bool = True) -> None:
        """A new price: trailing stops follow, and orders are filled where the market is open."""
        self.prices[contract.id] = price
        for order in self._of(contract):
            order.allowance = order.shape.per_price
            if is_open:
                order.stop_price = trailed(order, price)
        if is_open:
            self._match(contract, now)

    def advance(self, now: datetime, *, is_open: bool = True) -> None:
        """Time has passed: late rejects happen, and fills that were held back."""
        for order in list(self._working.values()):
            if order.shape.rejected_from is not None and now >= order.shape.rejected_from and order.working:
                self._end(order, Status.REJECTED, now)
        if is_open:
            for contract in {order.contract.id: order.contract for order in self._working.values()}.values():
                self._match(contract, now)

    def cancel(self, order: Order, now: datetime) -> None:
        """Cancels what is left of a working order; what is left of its legs protects what has filled."""
        self._end(order, Status.CANCELLED, now)

    def modify(
        self,
        order: Order,
        now: datetime,
        *,
        size: int | None = None,
        limit_price: Decimal | None = None,
        stop_price: Decimal | None = None,
        trail: Decimal | None = None,
        is_open: bool = True,
    ) -> None:
        """Changes what is given of a working order. A leg's new size bounds it; it never exceeds what it protects."""
        if size is not None:
            order.size = size
            order.most = size
        order.limit_price = limit_price or order.limit_price
        order.stop_price = stop_price or order.stop_price
        if trail is not None:
            order.trail = trail
            order.stop_price = self.price(order.contract) + trail * order.side.sign
        order.resting = order.triggered = False
        self._emit(order, now)
        if is_open:
            self._match(order.contract, now)

    # orders

    def _enter(self, ticket: Ticket, now: datetime, shape: Shape) -> Order:
        order = Order(
            id=next(self._order_ids),
            account=ticket.account,
            contract=ticket.contract,
            type=ticket.type,
            side=ticket.side,
            size=ticket.size,
            tag=ticket.tag,
            created=now,
            updated=now,
            limit_price=ticket.limit_price,
            stop_price=ticket.stop_price,
            allowance=shape.per_price,
            shape=shape,
        )
        if ticket.trail_price is not None:
            order.trail = abs(self.price(ticket.contract) - ticket.trail_price)
            order.stop_price = ticket.trail_price
        self.orders[order.id] = self._working[order.id] = order
        return order

    def _enter_leg(self, entry: Order, leg: Leg, name: str, now: datetime) -> Order:
        tag = f"{entry.tag}-{name}" if entry.tag else None
        ticket = Ticket(entry.account, entry.contract, leg.type, entry.side.opposite, entry.size, tag=tag)
        order = self._enter(ticket, now, Shape(hidden_until=entry.shape.hidden_until))
        order.status, order.parent, order.leg = Status.SUSPENDED, entry.id, leg
        return order

    def _end(self, order: Order, status: Status, now: datetime) -> None:
        order.status = status
        self._emit(order, now)
        self._settle_legs(order, now)

    def _settle_legs(self, entry: Order, now: datetime) -> None:
        """Gives every leg the room that the entry's fills and the other leg leave it; one without room waits or ends."""
        legs = [self.orders[each] for each in entry.legs]
        taken = sum(leg.filled for leg in legs)
        for leg in legs:
            if not leg.working:
                continue
            before = (leg.status, leg.size)
            room = entry.filled - (taken - leg.filled)
            if leg.most is not None:
                room = min(room, leg.most)
            if room > leg.filled:
                leg.size, leg.status = room, Status.OPEN
                if leg.limit_price is None and leg.stop_price is None:
                    self._price_leg(entry, leg)
                if entry.shape.stop_rejected and leg.type is not OrderType.LIMIT:
                    leg.status = Status.REJECTED
            elif entry.working:
                leg.status = Status.SUSPENDED
            else:
                leg.status = Status.FILLED if leg.filled else Status.CANCELLED
                leg.size = leg.filled or leg.size
            if (leg.status, leg.size) != before:
                self._emit(leg, now)

    def _price_leg(self, entry: Order, leg: Order) -> None:
        """Prices are set by the entry's first fill."""
        assert entry.average is not None
        assert leg.leg is not None
        tick = entry.contract.tick_size
        level = (entry.average / tick).to_integral_value() * tick + leg.leg.ticks * tick
        if leg.type is OrderType.LIMIT:
            leg.limit_price = level
        else:
            leg.stop_price = level
        if leg.type is OrderType.TRAILING_STOP:
            leg.trail = abs(leg.leg.ticks * tick)

    # fills

    def _of(self, contract: Contract) -> list[Order]:
        return [order for order in self._working.values() if order.contract.id == contract.id]

    def _match(self, contract: Contract, now: datetime) -> None:
        """Fills whatever can be filled at the last price, the oldest order first, until nothing can."""
        while any(self._try(order, now) for order in self._of(contract)):
            pass

    def _try(self, order: Order, now: datetime) -> bool:
        if order.status is not Status.OPEN or not _may_fill(order, now):
            return False
        price = fill_price(order, self.price(order.contract))
        order.resting = True
        size = order.left if order.allowance is None else min(order.left, order.allowance)
        if price is None or size == 0:
            return False
        order.triggered = True
        self._fill(order, size, price, now)
        return True

    def _fill(self, order: Order, size: int, price: Decimal, now: datetime) -> None:
        order.filled += size
        order.cost += size * price
        if order.allowance is not None:
            order.allowance -= size
        entry = self.orders[order.parent] if order.parent is not None else order
        if order.left == 0 and not (entry is not order and entry.working):
            order.status = Status.FILLED
        self._emit(order, now)
        self._book(order, size, price, now)
        self._settle_legs(entry, now)
        if order.shape.cancel_rest and order.working:
            self._end(order, Status.CANCELLED, now)

    def _book(self, order: Order, size: int, price: Decimal, now: datetime) -> None:
        """Nets a fill against what is held: first it closes, then what is left of it opens."""
        key = (order.account, order.contract.id)
        held = self.positions.get(key)
        closing = min(size, held.size) if held and held.side is not order.side else 0
        if held and closing:
            self._record(order, closing, price, held.reduce(closing, price), now)
            if not held.lots:
                del self.positions[key]
        if opening := size - closing:
            position = self.positions.get(key)
            if position is None:
                number = next(self._position_ids)
                position = Position(number, order.account, order.contract, now, order.side)
                self.positions[key] = position
            position.lots.append((opening, price))
            self._record(order, opening, price, None, now)
        current = self.positions.get(key) or held
        assert current is not None
        self.events.append(replace(current, lots=deque(current.lots)))
        self.events.append(replace(self.accounts[order.account]))
        if self.orphans_cancelled and key not in self.positions:
            self._cancel_orphans(order, now)

    def _record(self, order: Order, size: int, price: Decimal, profit: Decimal | None, now: datetime) -> None:
        fees = self.fee_per_side * size
        account, number = order.account, next(self._trade_ids)
        turn = HalfTurn(number, account, order.contract, now, price, order.side, size, profit, fees, order.id)
        self.trades.append(turn)
        self.events.append(turn)
        self.accounts[account].balance += (profit or 0) - fees

    def _cancel_orphans(self, closer: Order, now: datetime) -> None:
        for order in self._of(closer.contract):
            mine = order.account == closer.account and order is not closer
            if mine and order.parent is not None and order.status is Status.OPEN:
                self._end(order, Status.CANCELLED, now)

    def _emit(self, order: Order, now: datetime) -> None:
        order.updated = now
        if not order.working:
            self._working.pop(order.id, None)
        self.events.append(replace(order))


def _may_fill(order: Order, now: datetime) -> bool:
    shape = order.shape
    return shape.rejected_from is None and (shape.fills_from is None or now >= shape.fills_from)


def closing_ticket(position: Position, size: int) -> Ticket:
    """The market order that closes so many contracts of a position."""
    return Ticket(position.account, position.contract, OrderType.MARKET, position.side.opposite, size)
