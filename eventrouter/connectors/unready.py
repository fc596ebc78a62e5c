"""What stands in for a connector that cannot be made or opened yet: nothing leaves, and every answer says why."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from decimal import Decimal

from eventrouter.connectors.base import Capabilities
from eventrouter.domain.broker import BrokerAccount, BrokerEvent, BrokerOrder, Change, Contract, Fill, Position, Price
from eventrouter.domain.orders import LookUp, NotSent, Order, Outcome
from eventrouter.errors import BrokerUnavailable


class Unready:
    """Answers NotSent to what changes something, so that entries age and exits wait; raises BrokerUnavailable to the rest."""

    capabilities = Capabilities()

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self._closed = asyncio.Event()

    async def open(self) -> None:
        """There is nothing to open."""

    async def close(self) -> None:
        """Ends the iterators of `events`."""
        self._closed.set()

    async def send(self, order: Order, *, repeated: bool = False) -> Outcome:
        """Not sent."""
        return NotSent(self.reason)

    async def look_up(self, account: str, client_order_id: str, since: datetime | None = None) -> LookUp:
        """Raises BrokerUnavailable."""
        raise BrokerUnavailable(self.reason)

    async def cancel(self, account: str, order_id: str) -> Outcome:
        """Not sent."""
        return NotSent(self.reason)

    async def modify(self, account: str, order_id: str, change: Change) -> Outcome:
        """Not sent."""
        return NotSent(self.reason)

    async def close_position(self, account: str, contract: str, quantity: Decimal | None = None) -> Outcome:
        """Not sent."""
        return NotSent(self.reason)

    async def positions(self, account: str) -> Sequence[Position]:
        """Raises BrokerUnavailable."""
        raise BrokerUnavailable(self.reason)

    async def orders(self, account: str, since: datetime | None = None) -> Sequence[BrokerOrder]:
        """Raises BrokerUnavailable."""
        raise BrokerUnavailable(self.reason)

    async def fills(self, account: str, since: datetime) -> Sequence[Fill]:
        """Raises BrokerUnavailable."""
        raise BrokerUnavailable(self.reason)

    async def accounts(self) -> Sequence[BrokerAccount]:
        """Raises BrokerUnavailable."""
        raise BrokerUnavailable(self.reason)

    async def contract(self, symbol: str) -> Contract | None:
        """Raises BrokerUnavailable."""
        raise BrokerUnavailable(self.reason)

    async def price(self, contract: str) -> Price | None:
        """Raises BrokerUnavailable."""
        raise BrokerUnavailable(self.reason)

    async def events(self) -> AsyncIterator[BrokerEvent]:
        """Nothing, until `close`."""
        await self._closed.wait()
        return
        yield
