"""A connector with the broker behind it, as the conformance suite sees both."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any

from aiohttp import ClientSession
from pydantic import SecretStr

from eventrouter.connectors.base import Connector
from eventrouter.connectors.dryrun import DryRunConnector
from eventrouter.connectors.projectx import Credentials, ProjectXConnector, Timing
from eventrouter.connectors.projectx.budget import Budget
from eventrouter.connectors.projectx.hub import Pace
from eventrouter.domain.orders import Order
from eventrouter.simulator import Clock, Settings, Simulator
from tests.simulator.client import Client

KEY = "key-that-nobody-may-see"
MONDAY = datetime(2026, 11, 23, 15, tzinfo=UTC)


@dataclass
class Rig:
    """`account` is our name of an account, `symbol` something that it can trade, `price` where that stands at first."""

    connector: Connector
    account: str
    symbol: str
    price: str
    broker: Client | None = None
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    @property
    def control(self) -> Client:
        """The broker's own side."""
        assert self.broker is not None
        return self.broker

    def order(self, action: str = "OPEN", **more: Any) -> Order:
        """An order with an id of its own, of one contract, long, unless it says otherwise."""
        number = next(self.numbers)
        said = {"symbol": self.symbol, "direction": "LONG", "quantity": "1", "price": self.price, **more}
        return Order(
            client_order_id=said.pop("client_order_id", f"id{number:018d}"),
            account=self.account,
            trade_id=f"T{number}",
            action=action,
            **said,
        )

    async def executed(self, order: Order) -> int:
        """How often the broker executed this order."""
        times: int = (await self.control.executed(order.client_order_id))["executed"]
        return times


@asynccontextmanager
async def dryrun_rig(**_settings: object) -> AsyncIterator[Rig]:
    """The dry run, which has nothing behind it."""
    connector = DryRunConnector()
    await connector.open()
    yield Rig(connector, "paper", "MNQZ6", "24000")
    await connector.close()


@asynccontextmanager
async def projectx_rig(**settings: Any) -> AsyncIterator[Rig]:
    """ProjectX, at a simulated broker whose clock stands on a Monday morning."""
    chosen = Settings(**{"requests_per_minute": 0, "step_s": 0.02, "api_key": KEY, **settings})
    clock = Clock(MONDAY, frozen=True)
    async with Simulator(chosen, clock=clock) as broker, ClientSession() as session:
        client = Client(session, broker.url)
        await client.login(chosen.user, KEY)
        connector = ProjectXConnector(
            Credentials(chosen.user, SecretStr(KEY)),
            {"one": "101", "two": "102"},
            base_url=broker.url,
            hub_url=f"{broker.url}/hubs/user",
            unique_ids=chosen.unique_tags,
            # half a minute passes with every request: the pause after a 429 is over with the next one
            budget=Budget(partial(next, count(0.0, 30.0))),
            timing=Timing(hub=Pace(delay_s=lambda _: 0.0), now=clock.now),
        )
        await connector.open()
        try:
            yield Rig(connector, "one", "MNQZ6", "24000", client)
        finally:
            await connector.close()
