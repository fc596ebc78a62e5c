"""The broker: who may do what, on which contract and when; tags; what searches show. It owns the engine and its clock.

Assumed, where the gateway's documents are silent:
- An order that is rejected for what it asks (reason ORDER_REJECTED) has an id and is listed as Rejected; other refusals
  leave nothing. A repeated tag's rejected order carries no tag; a rejected order's tag stays used.
- An account that cannot trade, or is at its most contracts, is refused as a violation; a follower account is rejected.
- What is final cannot be modified or cancelled (rejected), nor can a bracket's order that is still suspended.
- A contract that has expired stays in its position: nothing is settled here.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from eventrouter.simulator import hours, rules
from eventrouter.simulator.clock import Clock
from eventrouter.simulator.codes import Reason, Refused
from eventrouter.simulator.contracts import Contract, Listing, listing
from eventrouter.simulator.engine import Engine, Event, closing_ticket
from eventrouter.simulator.ledger import Ledger
from eventrouter.simulator.orders import Account, HalfTurn, Order, Position, Shape, Status, Ticket
from eventrouter.simulator.settings import Settings
from eventrouter.simulator.tape import Bar, Tape

_FIRST_ACCOUNT = 101
_LISTED_IN_SEARCH = frozenset(Status) - {Status.SUSPENDED}


class Broker:
    """Its calls return at once and happen whole, in the order in which they are made."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.ledger = Ledger(settings.ledger)
        self.listeners: list[Callable[[Event], None]] = []
        self.engine = Engine(
            fee_per_side=settings.fee_per_side,
            orphans_cancelled=settings.orphans_cancelled,
            first_id=self.ledger.next_order(),
        )
        self._tags = self.ledger.tags()
        self._tape = Tape()
        for number in range(settings.accounts):
            account = Account(_FIRST_ACCOUNT + number, f"SIM-{number + 1:03}", settings.balance, settings.brackets)
            self.engine.accounts[account.id] = account

    # the world

    def now(self) -> datetime:
        """The broker's time."""
        return self.clock.now()

    def is_open(self) -> bool:
        """Whether orders are taken and filled."""
        return not self.settings.market_hours or hours.is_open(self.now())

    def listing(self) -> Listing:
        """Today's contracts."""
        return listing(self.now().astimezone(hours.CHICAGO).date())

    def advance(self) -> None:
        """Lets happen what was waiting for time to pass."""
        self.engine.advance(self.now(), is_open=self.is_open())
        self._publish()

    def post(self, contract: Contract, price: Decimal) -> None:
        """A new price, which fills orders while the market is open."""
        self._tape.note(contract, price, self.now())
        self.engine.post(contract, price, self.now(), is_open=self.is_open())
        self._publish()

    # orders

    def place(self, ticket: Ticket, shape: Shape | None = None) -> Order:
        """Takes an order; Refused says why not."""
        account = self._may_trade(ticket.account)
        if not self.is_open():
            raise Refused(Reason.TRADING_HOURS, "Trading is currently unavailable. The market is closed.")
        self._check_tag(ticket)
        price = self.engine.price(ticket.contract)
        if fault := rules.order_fault(ticket, price) or rules.bracket_fault(ticket, account.brackets):
            raise self._rejected(ticket, fault)
        self._check_size(account, ticket, price)
        if ticket.tag is not None:
            self._tags.add((ticket.account, ticket.tag))
        order = self.engine.submit(ticket, self.now(), shape)
        self._publish()
        return order

    def modify(
        self,
        account_id: int,
        order_id: int,
        *,
        size: int | None,
        limit_price: Decimal | None,
        stop_price: Decimal | None,
        trail_price: Decimal | None,
    ) -> None:
        """Changes a working order; Refused says why not."""
        order = self._own(account_id, order_id, "modify")
        market = self.engine.price(order.contract)
        trail = None if trail_price is None else abs(market - trail_price)
        levels = {"limit_price": limit_price, "stop_price": stop_price, "trail_price": trail_price}
        fault = rules.change_fault(order, levels, market)
        if size is not None and not order.filled < size <= self._most(order):
            fault = f"Invalid size ({size})."
        if fault:
            raise Refused(Reason.ORDER_REJECTED, fault)
        self.engine.modify(
            order,
            self.now(),
            size=size,
            limit_price=limit_price,
            stop_price=stop_price,
            trail=trail,
            is_open=self.is_open(),
        )
        self._publish()

    def cancel(self, account_id: int, order_id: int) -> None:
        """Cancels what is left of an order; Refused says why not."""
        order = self._own(account_id, order_id, "cancel")
        if not self.account(account_id).simulated:
            raise Refused(Reason.ACCOUNT_REJECTED, "Live accounts not supported")
        self.engine.cancel(order, self.now())
        self._publish()

    def close(self, account_id: int, contract_id: str, size: int | None = None, shape: Shape | None = None) -> Order:
        """Closes a position at the market, all of it or `size` contracts. Its brackets are not touched."""
        account = self.account(account_id)
        contract = self.contract(contract_id)
        held = self.engine.positions.get((account_id, contract.id))
        if held is None:
            raise Refused(Reason.POSITION_NOT_FOUND, "Position not found.")
        if account.follower:
            raise Refused(Reason.ACCOUNT_REJECTED, "Follower accounts cannot close positions")
        if size is not None and not 0 < size <= held.size:
            raise Refused(Reason.SIZE_INVALID, f"Invalid close size ({size}). {held.size} are held.")
        if not self.is_open():
            raise Refused(Reason.TRADING_HOURS, "Trading is currently unavailable. The market is closed.")
        order = self.engine.submit(closing_ticket(held, size or held.size), self.now(), shape)
        self._publish()
        return order

    def reveal(self, orders: Iterable[Order]) -> None:
        """Lets searches show these orders, their legs and their trades from now on."""
        for order in orders:
            for each in (order.id, *order.legs):
                hidden = self.engine.orders[each]
                hidden.shape = replace(hidden.shape, hidden_until=None)

    # what is asked for

    def account(self, account_id: int) -> Account:
        """An account, or Refused."""
        account = self.engine.accounts.get(account_id)
        if account is None:
            raise Refused(Reason.ACCOUNT_NOT_FOUND, "Account not found.")
        return account

    def contract(self, contract_id: str) -> Contract:
        """A contract that can be traded today, or Refused. One that somebody holds is known after it left the listing."""
        day = self.listing()
        held = (position.contract for position in self.engine.positions.values())
        contract = day.contracts.get(contract_id) or next((each for each in held if each.id == contract_id), None)
        if contract is None:
            raise Refused(Reason.CONTRACT_NOT_FOUND, f"Contract {contract_id[:40]!r} not found.")
        if not day.is_tradable(contract):
            raise Refused(Reason.CONTRACT_NOT_ACTIVE, f"Contract {contract_id} is not active.")
        return contract

    def orders(self, account_id: int) -> list[Order]:
        """An account's orders that searches may show now: suspended bracket orders are in none, so recorded."""
        self.account(account_id)
        return [each for each in self._visible(account_id) if each.status in _LISTED_IN_SEARCH]

    def all_orders(self, account_id: int) -> list[Order]:
        """The same with suspended ones, for look-ups by id or by status."""
        self.account(account_id)
        return self._visible(account_id)

    def positions(self, account_id: int) -> list[Position]:
        """What an account holds."""
        self.account(account_id)
        return [held for held in self.engine.positions.values() if held.account == account_id]

    def bars(self, contract: Contract, start: datetime, end: datetime, length: timedelta) -> list[Bar]:
        """Bars of this length that begin between start and end, the newest first. The last price stands until now."""
        self._tape.stand(contract, self.engine.price(contract), self.now())
        return self._tape.bars(contract, start, end, int(length.total_seconds()))

    def trades(self, account_id: int) -> list[HalfTurn]:
        """An account's half turns, except those of orders that are not visible yet."""
        shown = {order.id for order in self.all_orders(account_id)}
        return [turn for turn in self.engine.trades if turn.order in shown]

    # checks

    def _may_trade(self, account_id: int) -> Account:
        account = self.account(account_id)
        if account.follower:
            raise Refused(Reason.ACCOUNT_REJECTED, "Follower accounts cannot place orders")
        if not account.can_trade:
            raise Refused(Reason.ACCOUNT_VIOLATION, "The account is not allowed to trade.")
        return account

    def _check_tag(self, ticket: Ticket) -> None:
        if not self.settings.unique_tags or ticket.tag is None or (ticket.account, ticket.tag) not in self._tags:
            return
        untagged = Ticket(ticket.account, ticket.contract, ticket.type, ticket.side, ticket.size)
        raise self._rejected(untagged, rules.DUPLICATE_TAG)

    def _check_size(self, account: Account, ticket: Ticket, price: Decimal) -> None:
        after = abs(self.engine.net(account.id, ticket.contract.id) + ticket.side.sign * ticket.size)
        grows = after > abs(self.engine.net(account.id, ticket.contract.id))
        if grows and account.most is not None and after > account.most:
            raise Refused(Reason.ACCOUNT_VIOLATION, f"Maximum position of {account.most} contracts exceeded.")
        if grows and account.margin * after > account.balance:
            raise Refused(Reason.FUNDS_INSUFFICIENT, f"Insufficient funds: {account.margin} per contract at {price}.")

    def _rejected(self, ticket: Ticket, fault: str) -> Refused:
        order = self.engine.refuse(ticket, self.now())
        if ticket.tag is not None:
            self._tags.add((ticket.account, ticket.tag))
        self._publish()
        return Refused(Reason.ORDER_REJECTED, fault, order.id)

    def _own(self, account_id: int, order_id: int, verb: str) -> Order:
        account = self.account(account_id)
        order = self.engine.orders.get(order_id)
        if order is None or order.account != account_id:
            raise Refused(Reason.ORDER_NOT_FOUND, "Order not found.")
        if account.follower:
            raise Refused(Reason.ACCOUNT_REJECTED, f"Follower accounts cannot {verb} orders")
        if not order.working or (verb == "modify" and order.status is Status.SUSPENDED):
            raise Refused(Reason.ORDER_REJECTED, f"The order is {order.status.name.lower()}.")
        return order

    def _most(self, order: Order) -> int:
        """The largest size that an order can be given; a bracket's order never exceeds what its entry has filled."""
        if order.parent is None:
            return 10_000
        entry = self.engine.orders[order.parent]
        return entry.filled - sum(self.engine.orders[each].filled for each in entry.legs if each != order.id)

    def _visible(self, account_id: int) -> list[Order]:
        now = self.now()
        mine = (order for order in self.engine.orders.values() if order.account == account_id)
        return [each for each in mine if each.shape.hidden_until is None or now >= each.shape.hidden_until]

    def _publish(self) -> None:
        events, self.engine.events = self.engine.events, []
        for event in events:
            self.ledger.note(event, self.now())
            for listener in self.listeners:
                listener(event)


def as_utc(at: datetime) -> datetime:
    """A time that names no zone is taken for UTC."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
