"""The router: wakes, claims until there is nothing left to claim, sleeps. Postgres is the only thing it shares with the web.

Hosted by the application or alone; any number of routers may work on one database.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from eventrouter.connectors import REGISTRY
from eventrouter.domain.accounts import Account
from eventrouter.domain.routing import Candidate, RoutingTable
from eventrouter.errors import ConfigError, StoreError
from eventrouter.executor import Executor
from eventrouter.listener import Listener
from eventrouter.logs import get_logger
from eventrouter.metrics import Metrics
from eventrouter.reconcile import explain_unclaimed, reconcile
from eventrouter.store import routed
from eventrouter.store import tasks as store
from eventrouter.store.connect import Database, notify, translated
from eventrouter.store.settings import TableCache

_log = get_logger("eventrouter.router")
_PAPER = (Account("paper", "dryrun"),)
_RECONCILE_LONGEST_S = 5.0
_RECONCILE_SHORTEST_S = 0.1
_PAUSE_FIRST_S = 0.1
_PAUSE_LONGEST_S = 2.0


class ExecutionRouter:
    """Routes tasks to accounts until stopped. Dry run is the default: orders are simulated and nothing leaves.

    `dsn` defaults to DATABASE_URL. `accounts` are those whose tasks this router claims. Tasks that name no account are
    planned with the published accounts and routes, or with these accounts where none are published; what they open is too
    old after `max_age` seconds (None: never) unless its strategy publishes another limit. `poll_interval`, `lease` and `grace` are seconds: how long a missed notification can go
    unnoticed, how long a task may stay in SENDING, how long `stop` waits for sends in flight. `batch_size` is the most
    tasks one claim takes. `claims_all`: no other router has other accounts, so tasks of unknown ones are told about.
    """

    def __init__(
        self,
        dsn: str | None = None,
        *,
        poll_interval: float = 2.0,
        batch_size: int = 20,
        dry_run: bool = True,
        accounts: Sequence[Account] = _PAPER,
        max_age: float | None = None,
        lease: float = 30.0,
        grace: float = 10.0,
        schema: str = "public",
        listen_dsn: str | None = None,
        name: str | None = None,
        metrics: Metrics | None = None,
        claims_all: bool = False,
    ) -> None:
        dsn = dsn or os.environ.get("DATABASE_URL")
        if not dsn:
            raise ConfigError("ExecutionRouter needs a database: pass dsn, or set DATABASE_URL.")
        if not dry_run and all(account.connector == "dryrun" for account in accounts):
            raise ConfigError("dry_run=False, but no account has a connector that could send anything. Leave it True.")
        self.name = name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self.metrics = metrics or Metrics()
        self._poll_interval = poll_interval
        self._grace = grace
        self._lease = lease
        # a dry run reaches no broker, whatever connector an account has
        self._accounts = tuple(replace(account, connector="dryrun") if dry_run else account for account in accounts)
        own = tuple(Candidate(account.name, account.enabled, account.owner) for account in self._accounts)
        self._tables = TableCache(RoutingTable(own))
        self._max_age_s = max_age
        self._connectors = {name: REGISTRY[name]() for name in dict.fromkeys(a.connector for a in self._accounts)}
        self._claims_all = claims_all
        self._wake = asyncio.Event()
        self._asked_at: datetime | None = None
        self._pauses: dict[str, float] = {}
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        database = Database(dsn, schema)
        self._pool = database.pool("router", size=3)
        self._outcome_pool = database.pool("outcomes", size=1)
        self.listener = Listener(database, self._wake.set, dsn=listen_dsn, metrics=self.metrics)
        self._executor = Executor(
            self._pool,
            self._outcome_pool,
            name=self.name,
            accounts=self._accounts,
            connectors=self._connectors,
            dry_run=dry_run,
            batch_size=batch_size,
            lease_s=lease,
            metrics=self.metrics,
            on_change=self._wake.set,
        )

    async def start(self) -> None:
        """Starts routing and returns at once; a database that cannot be reached yet is waited for. Idempotent."""
        if self._tasks:
            return
        if self._stopping:
            raise RuntimeError("This router was stopped; make a new one.")
        await self._pool.open()
        await self._outcome_pool.open()
        self.listener.start()
        self._executor.start()
        self._tasks = [
            asyncio.create_task(self._repeat("route", self._route_until_stopped), name="router"),
            asyncio.create_task(self._repeat("reconcile", self._reconcile_until_stopped), name="reconcile"),
        ]
        _log.info("router_started", router=self.name, accounts=[account.name for account in self._accounts])

    async def stop(self) -> None:
        """Claims nothing more, waits for sends in flight (at most `grace` seconds), closes. Idempotent."""
        if self._stopping or not self._tasks:
            return
        self._stopping = True
        self._wake.set()
        route, reconciling = self._tasks
        reconciling.cancel()
        with suppress(asyncio.CancelledError):
            await reconciling
        await asyncio.wait({route}, timeout=self._grace)  # longer only where Postgres hangs
        route.cancel()
        await asyncio.gather(route, return_exceptions=True)
        await self._executor.drain(self._grace)
        await self.listener.stop()
        with suppress(StoreError):  # another router may have waited for a lane of ours
            async with translated("stop"), asyncio.timeout(1.0), self._pool.connection() as conn:
                await notify(conn)
        await self._pool.close()
        await self._outcome_pool.close()
        self._tasks = []
        _log.info("router_stopped", router=self.name)

    def wake(self) -> None:
        """Looks for work now."""
        self._wake.set()

    async def _repeat(self, operation: str, run: Callable[[], Awaitable[None]]) -> None:
        """Runs a loop until the router stops; a fault is logged, and the loop starts again after a pause.

        The pause grows with each fault and is short again once a round has gone well.
        """
        while not self._stopping:
            try:
                await run()
            except StoreError as error:
                pause_s = self._pauses.get(operation, _PAUSE_FIRST_S)
                _log.warning("router_waits", operation=operation, error=str(error), retry_in_s=pause_s)
            except Exception:
                pause_s = self._pauses.get(operation, _PAUSE_FIRST_S)
                _log.exception("router_fault", operation=operation, retry_in_s=pause_s)
            else:
                return
            self._pauses[operation] = min(_PAUSE_LONGEST_S, pause_s * 2)
            self.metrics.store_errors.labels(operation).inc()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop_requested(), pause_s)

    async def _stop_requested(self) -> None:
        while not self._stopping:
            await self._wake.wait()
            if not self._stopping:
                self._wake.clear()

    async def _route_until_stopped(self) -> None:
        while not self._stopping:
            self._wake.clear()  # before the claim: what comes during it wakes the next round
            while await self._executor.turn() and not self._stopping:
                pass
            looked_at = await routed.route(self._pool, self.name, self._tables, max_age_s=self._max_age_s)
            self._pauses.pop("route", None)
            if not looked_at:
                await self._sleep()

    async def _sleep(self) -> None:
        """Until a wake, the next delayed task, or the poll, whichever is first."""
        if self._wake.is_set():
            return
        accounts = [account.name for account in self._accounts]
        due_in_s, self._asked_at = await store.next_due(self._pool, accounts, self._asked_at)
        wait_s = self._poll_interval if due_in_s is None else min(self._poll_interval, max(0.0, due_in_s))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), wait_s)

    async def _reconcile_until_stopped(self) -> None:
        pause_s = max(_RECONCILE_SHORTEST_S, min(_RECONCILE_LONGEST_S, self._lease / 2))
        while not self._stopping:
            await self._reconcile()
            self._pauses.pop("reconcile", None)
            await asyncio.sleep(pause_s)

    async def _reconcile(self) -> None:
        moved = await reconcile(
            self._pool, actor=self.name, accounts=self._accounts, connectors=self._connectors, metrics=self.metrics
        )
        if moved:
            self._wake.set()
        if self._claims_all:
            await explain_unclaimed(self._pool, actor=self.name, accounts=self._accounts, metrics=self.metrics)
