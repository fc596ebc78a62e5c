"""A broker that answers what the test says, when the test says it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from eventrouter.connectors.base import Capabilities
from eventrouter.domain.accounts import UNLIMITED, Account
from eventrouter.domain.broker import (
    BrokerAccount,
    BrokerEvent,
    BrokerOrder,
    Change,
    Contract,
    Fill,
    Gap,
    Position,
    Price,
)
from eventrouter.domain.instruments import PRODUCTS
from eventrouter.domain.orders import Absent, Accepted, Answer, LookUp, Order, Outcome, Rejected
from eventrouter.domain.symbols import root_of
from eventrouter.errors import BrokerUnavailable

Reply = Outcome | Exception | Callable[[Order], Awaitable[Outcome]]
OnChange = Callable[[str, Change | None], Awaitable[Outcome]]

DONE = Accepted(Answer(200, "done"), done=True)
GONE = Absent(proven=True, message="No such order, and its id would be refused a second time.")
NOT_THERE = Rejected(Answer(200, "not found"), "No such order works.", gone=True)
UNPROVEN = Absent(proven=False, message="No such order now.")


@dataclass
class Broker:
    """Its replies in turn, then DONE for ever. While `answers` is not set, no order gets an answer; without `searchable` no
    look-up, without `opens` it does not open, without `resolves` no contract is named.

    `on_change` says what becomes of a cancel (no change) or a change of a working order; `changed` are those that came.
    """

    capabilities: Capabilities
    replies: deque[Reply] = field(default_factory=deque)
    found: LookUp = GONE
    placed: list[Order] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    repeated: list[bool] = field(default_factory=list)
    resolved: list[str] = field(default_factory=list)
    look_ups: list[datetime | None] = field(default_factory=list)
    changed: list[tuple[str, Change | None]] = field(default_factory=list)
    on_change: OnChange | None = None
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    searchable: asyncio.Event = field(default_factory=asyncio.Event)
    opens: asyncio.Event = field(default_factory=asyncio.Event)
    resolves: asyncio.Event = field(default_factory=asyncio.Event)
    opened: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.let_go()

    def let_go(self) -> None:
        """Answers whatever waits."""
        for gate in (self.answers, self.searchable, self.opens, self.resolves):
            gate.set()

    async def open(self) -> None:
        """Once it may."""
        await self.opens.wait()
        self.opened += 1

    async def close(self) -> None:
        """Ends its events."""
        self.closed.set()

    async def send(self, order: Order, *, repeated: bool = False) -> Outcome:
        """The next reply."""
        self.placed.append(order)
        self.repeated.append(repeated)
        reply = self.replies.popleft() if self.replies else DONE
        await self.answers.wait()
        if isinstance(reply, Exception):
            raise reply
        outcome = await reply(order) if callable(reply) else reply
        self.answered.append(order.client_order_id)
        return outcome

    async def look_up(self, account: str, client_order_id: str, since: datetime | None = None) -> LookUp:
        """What the test says that there is."""
        self.look_ups.append(since)
        await self.searchable.wait()
        return self.found

    async def cancel(self, account: str, order_id: str) -> Outcome:
        """What the test says, else done."""
        return await self._change(order_id, None)

    async def modify(self, account: str, order_id: str, change: Change) -> Outcome:
        """What the test says, else done."""
        return await self._change(order_id, change)

    async def _change(self, order_id: str, change: Change | None) -> Outcome:
        self.changed.append((order_id, change))
        return DONE if self.on_change is None else await self.on_change(order_id, change)

    async def close_position(self, account: str, contract: str, quantity: Decimal | None = None) -> Outcome:
        """Done."""
        return DONE

    async def positions(self, account: str) -> Sequence[Position]:
        """It cannot say."""
        raise BrokerUnavailable("It shows no positions.")

    async def orders(self, account: str, since: datetime | None = None) -> Sequence[BrokerOrder]:
        """It cannot say."""
        raise BrokerUnavailable("It shows no orders.")

    async def fills(self, account: str, since: datetime) -> Sequence[Fill]:
        """It cannot say."""
        raise BrokerUnavailable("It shows no fills.")

    async def accounts(self) -> Sequence[BrokerAccount]:
        """It cannot say."""
        raise BrokerUnavailable("It shows no accounts.")

    async def contract(self, symbol: str) -> Contract | None:
        """One of this name, once it may say so, or of the product's last month; its id is its name. None of what is no product."""
        self.resolved.append(symbol)
        await self.resolves.wait()
        product = PRODUCTS.get(root_of(symbol))
        if product is None:
            return None
        name = f"{product.root}{product.months[-1]}2026" if "!" in symbol else symbol
        return Contract(name, name, product.tick_size, product.tick_value, active=True)

    async def price(self, contract: str) -> Price | None:
        """None."""
        return None

    async def events(self) -> AsyncIterator[BrokerEvent]:
        """A gap, and nothing after it."""
        yield Gap("It begins.")
        await self.closed.wait()

    def sent(self) -> list[str]:
        """The trades of the orders that came, in order."""
        return [order.trade_id for order in self.placed]


def live(name: str, connector: str, **rules: Any) -> Account:
    """An account whose orders may leave; `rules` are limits."""
    return Account(name, connector, limits=replace(UNLIMITED, live=True, **rules))


async def never(order: Order) -> Outcome:
    """No answer at all."""
    await asyncio.Event().wait()
    raise AssertionError
