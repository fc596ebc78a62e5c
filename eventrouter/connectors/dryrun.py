"""The dry-run connector: every order succeeds at once and nothing leaves this machine.

It needs no table of what answers mean, as connectors to brokers have (projectx/answers.py): there is no transport, and one answer.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal

from eventrouter.connectors.base import Capabilities, ConnectionSettings
from eventrouter.domain.broker import (
    BrokerAccount,
    BrokerEvent,
    BrokerOrder,
    Change,
    Contract,
    Fill,
    Gap,
    OrderSide,
    Position,
    Price,
)
from eventrouter.domain.orders import Absent, Accepted, Answer, LookUp, Order, Outcome
from eventrouter.domain.signals import QuantityKind, Side

_FILLED = ("OPEN", "CLOSE", "REDUCE")


class DryRunConnector:
    """Simulates a broker that takes and fills every order, and keeps none of them."""

    capabilities = Capabilities(lane_in_one_claim=True, most_in_flight=None)

    def __init__(self) -> None:
        self._closed = asyncio.Event()

    @classmethod
    def of(cls, settings: ConnectionSettings) -> "DryRunConnector":
        """Needs nothing of its settings."""
        return cls()

    async def open(self) -> None:
        """There is nothing to open."""
        self._closed.clear()

    async def close(self) -> None:
        """Ends the iterators of `events`."""
        self._closed.set()

    async def send(self, order: Order, *, repeated: bool = False) -> Outcome:
        """Accepted, done and filled at the order's own price; the answer repeats the order that a broker would have got."""
        request = {name: value for name, value in asdict(order).items() if value is not None}
        return Accepted(_simulated(order=request), done=True, fills=(_fill(order),) if order.action in _FILLED else ())

    async def look_up(self, account: str, client_order_id: str, since: datetime | None = None) -> LookUp:
        """Absent, with certainty: nothing has ever left."""
        return Absent(proven=True, message="Simulated, so nothing can have left; it is safe to simulate it again.")

    async def cancel(self, account: str, order_id: str) -> Outcome:
        """Accepted and done."""
        return Accepted(_simulated(cancelled=order_id), done=True)

    async def modify(self, account: str, order_id: str, change: Change) -> Outcome:
        """Accepted and done."""
        asked = {name: str(value) for name, value in asdict(change).items() if value is not None}
        return Accepted(_simulated(modified=order_id, change=asked), done=True)

    async def close_position(self, account: str, contract: str, quantity: Decimal | None = None) -> Outcome:
        """Accepted and done."""
        return Accepted(_simulated(closed=contract, quantity=None if quantity is None else str(quantity)), done=True)

    async def positions(self, account: str) -> Sequence[Position]:
        """None: nothing is ever held."""
        return ()

    async def orders(self, account: str, since: datetime | None = None) -> Sequence[BrokerOrder]:
        """None are kept."""
        return ()

    async def fills(self, account: str, since: datetime) -> Sequence[Fill]:
        """None: a simulated order has no price to fill at."""
        return ()

    async def accounts(self) -> Sequence[BrokerAccount]:
        """None: every name is an account here."""
        return ()

    async def contract(self, symbol: str) -> Contract | None:
        """None: it knows no instrument."""
        return None

    async def price(self, contract: str) -> Price | None:
        """None: it knows no instrument."""
        return None

    async def events(self) -> AsyncIterator[BrokerEvent]:
        """The first Gap, and nothing after it."""
        yield Gap("Simulated: there is nothing that could be reported.")
        await self._closed.wait()


def _fill(order: Order) -> Fill:
    """All of the order at once; one contract where it names no quantity, long where it names no direction."""
    sized = order.quantity is not None and order.quantity_kind in (None, QuantityKind.FIXED)
    price = order.limit_price or order.stop_price or order.price
    return Fill(
        id=order.client_order_id,
        order_id=order.client_order_id,
        account=order.account,
        contract=order.symbol or "-",
        side=OrderSide.of(order.direction or Side.LONG, opening=order.action == "OPEN"),
        quantity=Decimal(order.quantity) if sized and order.quantity is not None else Decimal(1),
        price=None if price is None else Decimal(price),
        fee=Decimal(0),
        profit_and_loss=None,
        at=datetime.now(UTC),
    )


def _simulated(**facts: object) -> Answer:
    return Answer(code=200, body=json.dumps({"simulated": True, **facts}))
