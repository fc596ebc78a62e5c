"""The router: wakes, claims until there is nothing left to claim, sleeps. Postgres is the only thing it shares with the web.

Each connection to a broker has loops of its own, so that a broker which hangs delays nobody else's accounts. Hosted by the
application or alone; any number of routers may work on one database.
"""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from eventrouter.bookkeeper import Bookkeeper
from eventrouter.connection import Connection, connections_of
from eventrouter.credentials import CredentialStore
from eventrouter.domain.accounts import Account
from eventrouter.domain.routing import Candidate, RoutingTable
from eventrouter.ending import ended
from eventrouter.errors import BrokerError, ConfigError, StoreError
from eventrouter.executor import Executor
from eventrouter.flatten import Flattener
from eventrouter.gatekeeper import Gatekeeper
from eventrouter.guardian import Guardian
from eventrouter.listener import Listener
from eventrouter.logs import get_logger
from eventrouter.metrics import Metrics
from eventrouter.outcomes import Outcomes
from eventrouter.reconcile import explain_held_up, explain_unclaimed, explain_waiting, reconcile
from eventrouter.sealing import keep_sealing
from eventrouter.store import routed
from eventrouter.store import tasks as store
from eventrouter.store.connect import Database, notify, translated
from eventrouter.store.connections import forget_connections
from eventrouter.store.settings import TableCache
from eventrouter.watch import Watch, told

_log = get_logger("eventrouter.router")
_PAPER = (Account("paper", "dryrun"),)
_RECONCILE_LONGEST_S = 5.0
_RECONCILE_SHORTEST_S = 0.1
_PAUSE_FIRST_S = 0.1
_PAUSE_LONGEST_S = 2.0
_MOST_SESSIONS = 10

Loop = tuple[str, Callable[[], Awaitable[None]]]
"""What runs again and again until the router stops: a name, and one run of it, which may last as long as the router."""


class ExecutionRouter:
    """Routes tasks to accounts until stopped. Dry run is the default: orders are simulated and nothing leaves.

    `dsn` defaults to DATABASE_URL. `accounts` are those whose tasks this router claims, `credentials` where the keys of
    their logins are. Tasks that name no account are planned with the published accounts and routes, or with these accounts
    where none are published; what they open is too old after `max_age` seconds (None: never) unless its strategy publishes
    another limit. `poll_interval`, `lease` and `grace` are seconds: how long a missed notification can go unnoticed, how
    long a task may stay in SENDING, how long `stop` waits for sends in flight. `batch_size` is the most tasks one claim
    takes. `claims_all`: no other router has other accounts, so tasks of unknown ones are told about.
    """

    def __init__(
        self,
        dsn: str | None = None,
        *,
        poll_interval: float = 2.0,
        batch_size: int = 20,
        dry_run: bool = True,
        accounts: Sequence[Account] = _PAPER,
        credentials: CredentialStore | None = None,
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
        self._accounts = tuple(accounts)
        own = tuple(Candidate(account.name, account.enabled, account.owner) for account in self._accounts)
        self._tables = TableCache(RoutingTable(own))
        self._max_age_s = max_age
        self._claims_all = claims_all
        self._wake = asyncio.Event()  # for rows without an account; each connection has a wake of its own
        self._stop = asyncio.Event()
        self._asked_at: dict[str, datetime | None] = {}
        self._pauses: dict[str, float] = {}
        self._claiming: list[asyncio.Task[None]] = []
        self._others: list[asyncio.Task[None]] = []
        database = Database(dsn, schema)
        self.connections = connections_of(self._accounts, credentials, dry_run=dry_run, metrics=self.metrics)
        self._pool = database.pool("router", size=min(_MOST_SESSIONS, 2 + len(self.connections)))
        self._outcome_pool = database.pool("outcomes", size=1)
        self.listener = Listener(database, self.wake, dsn=listen_dsn, metrics=self.metrics)
        self._outcomes = Outcomes(self._outcome_pool, name=self.name, metrics=self.metrics, most=max(500, batch_size))
        self._gatekeeper = Gatekeeper(self._accounts)
        self._executors = {each.name: self._executor(each, batch_size) for each in self.connections}
        self._bookkeepers: dict[str, Bookkeeper] = {}
        self._watches = {each.name: Watch(self._pool, each, name=self.name) for each in self.connections}
        self._flatteners = {
            connection.name: Flattener(database, self._pool, connection, name=self.name, lease_s=lease)
            for connection in self.connections
        }
        self._guardians = {
            connection.name: Guardian(self._pool, connection, name=self.name) for connection in self.connections
        }

    def _executor(self, connection: Connection, batch_size: int) -> Executor:
        return Executor(
            self._pool,
            self._outcomes,
            connection,
            self._gatekeeper,
            name=self.name,
            batch_size=batch_size,
            lease_s=self._lease,
            metrics=self.metrics,
        )

    @property
    def in_flight(self) -> int:
        """Tasks and changes of orders that wait for a broker or for their outcome's commit."""
        return sum(executor.in_flight + executor.asking for executor in self._executors.values())

    def connection_states(self) -> dict[str, str]:
        """Each connection's name → "open", or why it is not, or that its broker does not answer."""
        return {connection.name: connection.state for connection in self.connections}

    def standings(self) -> dict[str, dict[str, Any]]:
        """Each connection's name → how its broker stands, as its accounts' logins were last answered, see watch.told; and `circuit`:
        "closed", or why entries wait.
        """
        return {
            each.name: {**told(self._watches[each.name].links), "circuit": each.circuit.said}
            for each in self.connections
        }

    async def start(self) -> None:
        """Starts routing and returns at once; a database that cannot be reached yet is waited for. Idempotent."""
        if self._stop.is_set():
            raise RuntimeError("This router was stopped; make a new one.")
        if self._claiming:
            return
        await self._pool.open()
        await self._outcome_pool.open()
        self.listener.start()
        self._outcomes.start()
        claims = [(f"claim {each.name}", partial(self._claim_until_stopped, each)) for each in self.connections]
        self._claiming = [self._started("route", self._route_until_stopped), *(self._started(*each) for each in claims)]
        others = [loop for connection in self.connections for loop in self._loops_of(connection)]
        self._others = [self._started(*loop) for loop in [*others, *self._loops()]]
        _log.info("router_started", router=self.name, accounts=[account.name for account in self._accounts])

    def _loops_of(self, connection: Connection) -> list[Loop]:
        """What runs beside the claims for each connection. A fault in one starts that one again and nothing else."""
        books = (
            [(f"books {connection.name}", partial(self._keep_books, connection))] if connection.mode == "live" else []
        )
        return [
            *books,
            (f"open {connection.name}", connection.open),
            (f"watch {connection.name}", self._watches[connection.name].run),
            (f"reconcile {connection.name}", partial(self._reconcile_until_stopped, connection)),
            (f"flatten {connection.name}", self._flatteners[connection.name].run),
            (f"guard {connection.name}", self._guardians[connection.name].run),
        ]

    def _loops(self) -> list[Loop]:
        """What runs once in a router."""
        explaining: list[Loop] = [("explain", self._explain_until_stopped)] if self._claims_all else []
        return [("seal", partial(keep_sealing, self._pool)), *explaining]

    async def stop(self) -> None:
        """Claims nothing more, waits for sends in flight (at most `grace` seconds), closes. Idempotent."""
        if self._stop.is_set() or not self._claiming:
            return
        self._stop.set()
        self.wake()
        await ended(self._others)
        await asyncio.wait(self._claiming, timeout=self._grace)  # longer only where Postgres hangs
        await ended(self._claiming)
        await self._gatekeeper.stop()
        await asyncio.gather(*(executor.drain(self._grace) for executor in self._executors.values()))
        await self._outcomes.stop()
        await asyncio.gather(*(connection.close() for connection in self.connections))
        await self.listener.stop()
        with suppress(StoreError):  # another router may have waited for a lane of ours
            async with translated("stop"), asyncio.timeout(1.0), self._pool.connection() as conn:
                await forget_connections(conn, self.name)
                await notify(conn)
        await self._pool.close()
        await self._outcome_pool.close()
        _log.info("router_stopped", router=self.name)

    def wake(self) -> None:
        """Looks for work now."""
        self._wake.set()
        for connection in self.connections:
            connection.wake.set()
            self._flatteners[connection.name].wake.set()

    def _started(self, name: str, run: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        return asyncio.create_task(self._repeat(name, run), name=name)

    async def _repeat(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Runs a loop until the router stops; a fault is logged, and the loop starts again after a pause.

        The pause grows with each fault and is short again once a round has gone well.
        """
        while not self._stop.is_set():
            try:
                await run()
            except (StoreError, BrokerError) as error:
                pause_s = self._pauses.get(name, _PAUSE_FIRST_S)
                _log.warning("router_waits", operation=name, error=str(error), retry_in_s=pause_s)
                if isinstance(error, StoreError):
                    self.metrics.store_errors.labels(name.partition(" ")[0]).inc()
            except Exception:
                pause_s = self._pauses.get(name, _PAUSE_FIRST_S)
                _log.exception("router_fault", operation=name, retry_in_s=pause_s)
            else:
                return
            self._pauses[name] = min(_PAUSE_LONGEST_S, pause_s * 2)
            await self._pause(pause_s)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    async def _claim_until_stopped(self, connection: Connection) -> None:
        executor = self._executors[connection.name]
        await connection.tried()  # a connector that opens in a moment must not cost the first orders an attempt
        await connection.looked()
        after = "wake"
        while not self._stop.is_set():
            connection.wake.clear()  # before the claim: what comes during it wakes the next round
            since, before = time.monotonic(), executor.claimed
            while await executor.turn() and not self._stop.is_set():
                pass
            self.metrics.claimed_tasks.labels(after).inc(executor.claimed - before)
            self._pauses.pop(f"claim {connection.name}", None)
            after = await self._sleep(connection, since)

    async def _sleep(self, connection: Connection, claimed_at: float) -> str:
        """Until a wake, the next delayed task or order that may go out (timer), or the poll, whichever is first; says which."""
        if connection.wake.is_set():
            return "wake"
        for explain in (explain_held_up, explain_waiting):
            await explain(self._pool, actor=self.name, connection=connection, metrics=self.metrics)
        since = self._asked_at.get(connection.name)
        due_in_s, self._asked_at[connection.name] = await store.next_due(self._pool, connection.account_names, since)
        allowed_in_s = connection.held_for_s(claimed_at)
        wait_s = min(max(0.0, each) for each in (self._poll_interval, due_in_s, allowed_in_s) if each is not None)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await connection.wake.wait()
                return "wake"
        return "timer" if wait_s < self._poll_interval else "poll"

    async def _route_until_stopped(self) -> None:
        """Gives rows that name no account theirs; the rows that come of it wake whoever claims them."""
        while not self._stop.is_set():
            self._wake.clear()
            looked_at = await routed.route(self._pool, self.name, self._tables, max_age_s=self._max_age_s)
            self._pauses.pop("route", None)
            if not looked_at:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_interval):
                        await self._wake.wait()
            else:
                self.wake()

    async def _reconcile_until_stopped(self, connection: Connection) -> None:
        longest_s = max(_RECONCILE_SHORTEST_S, min(_RECONCILE_LONGEST_S, self._lease / 2))
        while True:
            connection.unknown.clear()
            moved, again_in_s = await reconcile(
                self._pool, actor=self.name, connection=connection, metrics=self.metrics
            )
            if moved:
                connection.wake.set()
                self._look_at_books(connection)
            self._pauses.pop(f"reconcile {connection.name}", None)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(longest_s, again_in_s)):
                    await connection.unknown.wait()

    async def _keep_books(self, connection: Connection) -> None:
        """Follows what the broker reports of a connection's accounts; a simulated broker reports nothing."""
        await connection.ready.wait()
        keeper = self._bookkeepers[connection.name] = Bookkeeper(
            connection.connector,
            connection.accounts,
            self._pool,
            actor=self.name,
            metrics=self.metrics,
            on_change=self.wake,
            on_look=connection.note_look,
        )
        connection.on_reduced = keeper.tidy_soon
        await keeper.run()

    def _look_at_books(self, connection: Connection) -> None:
        """Reads a connection's accounts anew: an order turned up whose fills nobody has reported."""
        if keeper := self._bookkeepers.get(connection.name):
            for name in connection.account_names:
                keeper.look_soon(name)

    async def _explain_until_stopped(self) -> None:
        names = [account.name for account in self._accounts]
        while True:
            await explain_unclaimed(self._pool, actor=self.name, accounts=names, metrics=self.metrics)
            self._pauses.pop("explain", None)
            await asyncio.sleep(_RECONCILE_LONGEST_S)
