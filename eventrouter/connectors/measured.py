"""Counts and times every call to a broker, whatever connector makes it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from eventrouter.connectors.base import Capabilities, Connector
from eventrouter.domain.broker import BrokerAccount, BrokerEvent, BrokerOrder, Change, Contract, Fill, Position, Price
from eventrouter.domain.orders import Absent, Accepted, LookUp, NotSent, Order, Outcome, Rejected, Unknown
from eventrouter.errors import BrokerRefused, BrokerUnavailable
from eventrouter.metrics import Metrics

T = TypeVar("T")
_WORDS = {Accepted: "accepted", Rejected: "rejected", NotSent: "not_sent", Unknown: "unknown", Absent: "absent"}


class Measured:
    """A connector like the one inside it, which does all the work."""

    def __init__(self, name: str, inner: Connector, metrics: Metrics) -> None:
        self._name = name
        self._inner = inner
        self._metrics = metrics

    @property
    def capabilities(self) -> Capabilities:
        """What this broker can do."""
        return self._inner.capabilities

    async def open(self) -> None:
        """Asks the broker nothing, so it counts as no call."""
        await self._inner.open()

    async def close(self) -> None:
        """Ends it."""
        await self._inner.close()

    async def send(self, order: Order, *, repeated: bool = False) -> Outcome:
        """Counted as `send`."""
        return await self._call("send", lambda: self._inner.send(order, repeated=repeated))

    async def look_up(self, account: str, client_order_id: str, since: datetime | None = None) -> LookUp:
        """Counted as `look_up`."""
        return await self._call("look_up", lambda: self._inner.look_up(account, client_order_id, since))

    async def cancel(self, account: str, order_id: str) -> Outcome:
        """Counted as `cancel`."""
        return await self._call("cancel", lambda: self._inner.cancel(account, order_id))

    async def modify(self, account: str, order_id: str, change: Change) -> Outcome:
        """Counted as `modify`."""
        return await self._call("modify", lambda: self._inner.modify(account, order_id, change))

    async def close_position(self, account: str, contract: str, quantity: Decimal | None = None) -> Outcome:
        """Counted as `close_position`."""
        return await self._call("close_position", lambda: self._inner.close_position(account, contract, quantity))

    async def positions(self, account: str) -> Sequence[Position]:
        """Counted as `positions`."""
        return await self._call("positions", lambda: self._inner.positions(account))

    async def orders(self, account: str, since: datetime | None = None) -> Sequence[BrokerOrder]:
        """Counted as `orders`."""
        return await self._call("orders", lambda: self._inner.orders(account, since))

    async def fills(self, account: str, since: datetime) -> Sequence[Fill]:
        """Counted as `fills`."""
        return await self._call("fills", lambda: self._inner.fills(account, since))

    async def accounts(self) -> Sequence[BrokerAccount]:
        """Counted as `accounts`."""
        return await self._call("accounts", self._inner.accounts)

    async def contract(self, symbol: str) -> Contract | None:
        """Counted as `contract`."""
        return await self._call("contract", lambda: self._inner.contract(symbol))

    async def price(self, contract: str) -> Price | None:
        """Counted as `price`."""
        return await self._call("price", lambda: self._inner.price(contract))

    def events(self) -> AsyncIterator[BrokerEvent]:
        """A stream without an end, so it counts as no call."""
        return self._inner.events()

    async def _call(self, operation: str, ask: Callable[[], Awaitable[T]]) -> T:
        began, outcome = time.monotonic(), "error"
        try:
            answer = await ask()
            outcome = _WORDS.get(type(answer), "ok")
        except (asyncio.CancelledError, TimeoutError):
            outcome = "no_answer"
            raise
        except BrokerUnavailable:
            outcome = "unavailable"
            raise
        except BrokerRefused:
            outcome = "refused"
            raise
        finally:
            self._metrics.broker_calls.labels(self._name, operation, outcome).inc()
            self._metrics.broker_call_seconds.labels(self._name, operation).observe(time.monotonic() - began)
        return answer
