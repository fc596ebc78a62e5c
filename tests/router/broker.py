"""A broker that answers what the test says, when the test says it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from eventrouter.connectors.base import Capabilities
from eventrouter.domain.broker import Change
from eventrouter.domain.orders import Absent, Accepted, Answer, LookUp, Order, Outcome, Rejected

Reply = Outcome | Exception | Callable[[Order], Awaitable[Outcome]]
OnChange = Callable[[str, Change | None], Awaitable[Outcome]]

DONE = Accepted(Answer(200, "done"), done=True)
GONE = Absent(proven=True, message="No such order, and its id would be refused a second time.")
NOT_THERE = Rejected(Answer(200, "not found"), "No such order works.", gone=True)
UNPROVEN = Absent(proven=False, message="No such order now.")


@dataclass
class Broker:
    """Its replies in turn, then DONE for ever. While `open` is not set, no order gets an answer.

    `on_change` says what becomes of a cancel (no change) or a change of a working order; `changed` are those that came.
    """

    capabilities: Capabilities
    replies: deque[Reply] = field(default_factory=deque)
    found: LookUp = GONE
    orders: list[Order] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    changed: list[tuple[str, Change | None]] = field(default_factory=list)
    on_change: OnChange | None = None
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

    async def cancel(self, account: str, order_id: str) -> Outcome:
        """What the test says, else done."""
        return await self._change(order_id, None)

    async def modify(self, account: str, order_id: str, change: Change) -> Outcome:
        """What the test says, else done."""
        return await self._change(order_id, change)

    async def _change(self, order_id: str, change: Change | None) -> Outcome:
        self.changed.append((order_id, change))
        return DONE if self.on_change is None else await self.on_change(order_id, change)

    def sent(self) -> list[str]:
        """The trades of the orders that came, in order."""
        return [order.trade_id for order in self.orders]


async def never(order: Order) -> Outcome:
    """No answer at all."""
    await asyncio.Event().wait()
    raise AssertionError
