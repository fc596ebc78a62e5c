"""Accounts at the simulated ProjectX broker, a database of the test's own, and flatteners between the two."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from eventrouter.connection import SIMULATED, Connection
from eventrouter.connectors.base import Connector
from eventrouter.domain.accounts import Account
from eventrouter.flatten import Flattener
from eventrouter.store import controls
from eventrouter.store.connect import Conn, Database
from eventrouter.store.controls import Control
from tests.connectors.brokers import Rig, projectx_rig
from tests.processes import until_async

LEASE_S = 5.0


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Conn]:
    """The owner's connection to `dsn`, in autocommit."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True, options="-c lock_timeout=5s") as conn:
        yield conn


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """ProjectX with two accounts, `one` and `two`."""
    async with projectx_rig() as made:
        yield made


@dataclass
class Desk:
    """A person who flattens, and the flatteners that carry it out."""

    dsn: str
    db: Conn
    rig: Rig
    stack: AsyncExitStack

    def connection(self, connector: Connector | None = None, *accounts: str, mode: str = "live") -> Connection:
        """A connection that stands, with these accounts (`one`)."""

        async def never() -> Connector:
            raise AssertionError("It stands already.")

        names = accounts or ("one",)
        made = Connection(
            "projectx/one" if mode == "live" else SIMULATED, [Account(name, "projectx") for name in names], never
        )
        made.connector = connector or self.rig.connector
        made.ready.set()
        return made

    async def start(
        self, connector: Connector | None = None, *accounts: str, mode: str = "live", **more: Any
    ) -> Flattener:
        """A flattener that runs until the test ends."""
        database = Database(self.dsn)
        pool = database.pool("test", size=3)
        await self.stack.enter_async_context(pool)
        settings = {"name": "router-a", "lease_s": LEASE_S, "poll_s": 0.05, **more}
        flattener = Flattener(database, pool, self.connection(connector, *accounts, mode=mode), **settings)
        running = asyncio.create_task(flattener.run())

        async def stop() -> None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        self.stack.push_async_callback(stop)
        return flattener

    async def flatten(self, scope: str = "all") -> Control:
        """Asks for it."""
        return await controls.set_control(self.db, scope, "flatten", "cli:tester", "a test")

    async def fill(self, trade: str, quantity: int, *, mode: str = "live", contract: str = "MNQ") -> None:
        """An execution at 24000 in our books: bought above zero, sold below."""
        await self.db.execute(
            "INSERT INTO fills (account, fill_id, mode, order_id, trade_id, contract, root, side, quantity, price, filled_at)"
            " VALUES ('one', gen_random_uuid()::TEXT, %s, 'o', %s, %s, 'MNQ', %s, %s, 24000, now())",
            (mode, trade, contract, "BUY" if quantity > 0 else "SELL", abs(quantity)),
        )

    async def log(self, account: str = "one") -> list[tuple[str, dict[str, Any], str]]:
        """Kind, detail and message of the account's rows about flattening, in order."""
        cursor = await self.db.execute(
            "SELECT kind, detail, message FROM account_log WHERE account = %s AND kind LIKE 'FLAT%%' ORDER BY seq",
            (account,),
        )
        return [(kind, detail, message) for kind, detail, message in await cursor.fetchall()]

    async def kinds(self, account: str = "one") -> list[str]:
        """The kinds of those rows."""
        return [kind for kind, _, _ in await self.log(account)]

    async def reaches(self, kind: str, account: str = "one", *, times: int = 1) -> dict[str, Any]:
        """Waits for so many rows of this kind; the last one's detail."""

        async def there() -> dict[str, Any] | None:
            found = [detail for each, detail, _ in await self.log(account) if each == kind]
            return found[-1] if len(found) >= times else None

        return await until_async(there, within_s=30, what=f"{kind} of {account}")

    async def is_flat(self, number: int = 101) -> bool:
        """Whether the broker itself shows nothing."""
        return not await self.rig.control.positions(number) and not await self.rig.control.working(number)


@pytest.fixture
async def desk(dsn: str, db: Conn, rig: Rig) -> AsyncIterator[Desk]:
    """The desk; its flatteners stop at the end."""
    async with AsyncExitStack() as stack:
        yield Desk(dsn, db, rig, stack)
