"""A broker that answers what the test says, when the test says it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from eventrouter.connectors.base import Capabilities
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
from eventrouter.domain.orders import Absent, Accepted, Answer, LookUp, Order, Outcome

Reply = Outcome | Exception | Callable[[Order], Awaitable[Outcome]]

DONE = Accepted(Answer(200, "done"), done=True)
GONE = Absent(proven=True, message="No such order, and its id would be refused a second time.")
UNPROVEN = Absent(proven=False, message="No such order now.")


@dataclass
class Broker:
    """Its replies in turn, then DONE for ever. While `answers` is not set, no order gets an answer; without `searchable` no
    look-up, without `opens` it does not open, without `resolves` no contract is named.
    """

    capabilities: Capabilities
    replies: deque[Reply] = field(default_factory=deque)
    found: LookUp = GONE
    placed: list[Order] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    repeated: list[bool] = field(default_factory=list)
    look_ups: list[datetime | None] = field(default_factory=list)
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
        """Done."""
        return DONE

    async def modify(self, account: str, order_id: str, change: Change) -> Outcome:
        """Done."""
        return DONE

    async def close_position(self, account: str, contract: str, quantity: Decimal | None = None) -> Outcome:
        """Done."""
        return DONE

    async def positions(self, account: str) -> Sequence[Position]:
        """None."""
        return ()

    async def orders(self, account: str, since: datetime | None = None) -> Sequence[BrokerOrder]:
        """None."""
        return ()

    async def fills(self, account: str, since: datetime) -> Sequence[Fill]:
        """None."""
        return ()

    async def accounts(self) -> Sequence[BrokerAccount]:
        """None."""
        return ()

    async def contract(self, symbol: str) -> Contract | None:
        """One of this name, once it may say so."""
        await self.resolves.wait()
        return Contract(symbol, symbol, Decimal("0.25"), Decimal(5), active=True)

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


async def never(order: Order) -> Outcome:
    """No answer at all."""
    await asyncio.Event().wait()
    raise AssertionError
