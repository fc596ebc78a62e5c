"""A broker that answers what the test says, when the test says it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from eventrouter.connectors.base import Capabilities
from eventrouter.domain.orders import Absent, Accepted, Answer, LookUp, Order, Outcome

Reply = Outcome | Exception | Callable[[Order], Awaitable[Outcome]]

DONE = Accepted(Answer(200, "done"), done=True)
GONE = Absent(proven=True, message="No such order, and its id would be refused a second time.")
UNPROVEN = Absent(proven=False, message="No such order now.")


@dataclass
class Broker:
    """Its replies in turn, then DONE for ever. While `open` is not set, no order gets an answer."""

    capabilities: Capabilities
    replies: deque[Reply] = field(default_factory=deque)
    found: LookUp = GONE
    orders: list[Order] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    searchable: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.open.set()
        self.searchable.set()

    async def send(self, order: Order) -> Outcome:
        """The next reply."""
        self.orders.append(order)
        reply = self.replies.popleft() if self.replies else DONE
        await self.open.wait()
        if isinstance(reply, Exception):
            raise reply
        outcome = await reply(order) if callable(reply) else reply
        self.answered.append(order.client_order_id)
        return outcome

    async def look_up(self, account: str, client_order_id: str) -> LookUp:
        """What the test says that there is."""
        await self.searchable.wait()
        return self.found

    def sent(self) -> list[str]:
        """The trades of the orders that came, in order."""
        return [order.trade_id for order in self.orders]


async def never(order: Order) -> Outcome:
    """No answer at all."""
    await asyncio.Event().wait()
    raise AssertionError
