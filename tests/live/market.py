"""The simulated broker as a test sees it from outside: prices, faults, positions, and the ledger of what was executed."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from eventrouter.simulator import Settings, Simulator
from tests.processes import until_async
from tests.simulator.client import Client
from tests.simulator.test_process import simulator

Row = dict[str, Any]
Key = tuple[int, str]  # the broker's account and contract
FIRST = 101


@dataclass
class Market:
    """One broker. Accounts are the broker's numbers, from 101; contracts are named by their root (the active month).

    `simulator` is the broker itself where it is in this process.
    """

    client: Client
    contracts: dict[str, str] = field(default_factory=dict)
    simulator: Simulator | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return self.client.url

    async def contract(self, root: str) -> str:
        """The broker's id of the product's active month."""
        if root not in self.contracts:
            found = await self.client.call("Contract/search", searchText=root, live=False)
            active = [each for each in found["contracts"] if each["activeContract"] and each["name"][:-2] == root]
            assert len(active) == 1, active
            self.contracts[root] = active[0]["id"]
        return self.contracts[root]

    async def price(self, root: str, price: str | float) -> None:
        """Posts a price."""
        await self.client.control("prices", {await self.contract(root): str(price)})

    async def arm(self, fault: str, **more: Any) -> int:
        """Arms a fault; its id."""
        return await self.client.arm(fault, **more)

    async def disarm(self) -> None:
        """Disarms every fault, and lets go what they hold."""
        await self.client.control("faults", method="DELETE")

    async def stalled(self, fault: int) -> None:
        """Returns once a request hangs in this fault."""

        async def hangs() -> bool:
            return any(each["id"] == fault and each["stalled"] for each in await self.client.control("faults"))

        await until_async(hangs, what=f"a request that hangs in fault {fault}")

    async def ledger(self) -> list[Row]:
        """Everything that was accepted, refused, filled and ended, in order."""
        rows: list[Row] = (await self.client.control("ledger"))["rows"]
        return rows

    async def executions(self) -> dict[str, Row]:
        """What was executed for each client order id."""
        found = (await self.client.control("ledger"))["executions"]
        return {row["tag"]: row for row in found if row["tag"] is not None}

    async def accounts(self) -> dict[int, Row]:
        """Every account with its balance, positions and working orders."""
        return {row["id"]: row for row in await self.client.control("accounts")}

    async def positions(self) -> dict[Key, int]:
        """Contracts held, negative when short; what is flat is left out."""
        return {
            (number, held["contractId"]): held["size"] * (1 if held["type"] == 1 else -1)
            for number, account in (await self.accounts()).items()
            for held in account["positions"]
        }

    async def net(self, account: int, root: str) -> int:
        """Contracts of the active month that an account holds."""
        return (await self.positions()).get((account, await self.contract(root)), 0)

    async def working(self, account: int) -> list[Row]:
        """Its orders that may still fill, brackets that wait included."""
        found: list[Row] = (await self.accounts())[account]["working"]
        return found

    async def trades(self, account: int) -> list[Row]:
        """All its executions as the gateway lists them."""
        return await self.client.trades(account)


def filled(rows: list[Row]) -> dict[Key, int]:
    """The sum of a ledger's fills; what comes to nothing is left out."""
    sums: Counter[Key] = Counter()
    for row in rows:
        if row["what"] == "filled":
            sums[row["account"], row["contract"]] += row["size"] * (1 if row["side"] == "BUY" else -1)
    return {key: quantity for key, quantity in sums.items() if quantity}


@asynccontextmanager
async def market(**settings: Any) -> AsyncIterator[Market]:
    """A broker in this process: prices are posted, time passes as it does."""
    chosen = Settings(**{"requests_per_minute": 0, "step_s": 0.02, **settings})
    async with Simulator(chosen) as broker, ClientSession() as session:
        client = Client(session, broker.url)
        await client.login(chosen.user, chosen.api_key)
        yield Market(client, simulator=broker)


@contextmanager
def market_process(cwd: Path, *options: str) -> Iterator[Mapping[str, Any]]:
    """The same as a process of its own; what it said about its addresses."""
    words = ("--feed", "posted", "--step", "0.02", "--requests-per-minute", "0")
    with simulator(*words, *options, cwd=cwd) as (_, said):
        yield said


def profit(entry: str, leave: str, quantity: int, point_value: str) -> Decimal:
    """What a long position of so many contracts gains between two prices, before fees."""
    return (Decimal(leave) - Decimal(entry)) * quantity * Decimal(point_value)
