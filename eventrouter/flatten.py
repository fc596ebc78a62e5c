"""Carries out flattenings: cancels what works, closes what is held, and reads the broker again until nothing is left.

One loop for each connection to a broker. It waits in no lane. An account is flattened by one router at a time, which holds
an advisory lock on a connection of its own, and no row lock, while the broker is being talked to. Each step is a row of
the account's log. What a strategy holds, and what is simulated, is closed by an exit of each trade on the usual way.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from eventrouter.closing_out import Round, close_out
from eventrouter.connectors.base import Connector
from eventrouter.domain.flattening import Kind, is_open, retry_in_s
from eventrouter.errors import BrokerError, StoreError
from eventrouter.logs import get_logger
from eventrouter.store import controls as store
from eventrouter.store.account_log import append_event
from eventrouter.store.connect import Conn, Database, Pool, session
from eventrouter.store.controls import FlattenRequest

_log = get_logger("eventrouter.flatten")
_ROUNDS = 12
_PAUSE_FIRST_S = 0.1
_PAUSE_LONGEST_S = 2.0
_AFTER_UNKNOWN_S = 1.0  # a close that nobody answered may still be on its way: another one would close too much
_LOOK_S = 0.1
_VERIFY_AGAIN_S = 15.0


class Flattener:
    """Flattens the accounts of one connection whenever a control asks for it.

    `connector` gives the one to use now. `mode` is dry or live; `simulated`: there is no broker behind it. `lease_s` bounds how
    long an order can be on its way. `wake` is to be set when there may be something to do, and is looked past every `poll_s`.
    """

    def __init__(
        self,
        database: Database,
        pool: Pool,
        *,
        name: str,
        connector: Callable[[], Connector],
        accounts: Sequence[str],
        mode: str,
        simulated: bool,
        lease_s: float,
        poll_s: float = 1.0,
    ) -> None:
        self.wake = asyncio.Event()
        self._database = database
        self._pool = pool
        self._name = name
        self._connector = connector
        self._accounts = list(accounts)
        self._mode = mode
        self._simulated = simulated
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._running: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[tuple[str, int], float] = {}
        self._locks: Conn | None = None
        self._connecting = asyncio.Lock()

    async def run(self) -> None:
        """Runs until cancelled; raises StoreError when Postgres is away."""
        try:
            while True:
                self.wake.clear()
                for request in await self._due():
                    self._begin(request)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.wake.wait(), self._poll_s)
        finally:
            running = list(self._running.values())
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            if self._locks is not None:
                await self._locks.close()

    async def _due(self) -> list[FlattenRequest]:
        async with session(self._pool, "flatten") as conn:
            found = await store.flatten_requests(conn, self._accounts, self._mode)
        now = time.monotonic()
        return [each for each in found if _open(each) and self._not_before.get((each.account, each.control), 0.0) <= now]

    def _begin(self, request: FlattenRequest) -> None:
        """One at a time for an account, the one that was asked for first."""
        if request.account in self._running:
            return
        task = asyncio.create_task(self._carry_out(request), name=f"flatten {request.account}")
        self._running[request.account] = task
        task.add_done_callback(lambda _: self._running.pop(request.account, None))

    async def _carry_out(self, request: FlattenRequest) -> None:
        try:
            lock = await self._lock_connection()
            async with store.flatten_lock(lock, request.account) as alone:
                if alone:
                    await self._flatten(request, lock)
        except StoreError as error:
            _log.warning("flatten_waits", account=request.account, control=request.control, error=str(error))
        except Exception:
            _log.exception("flatten_fault", account=request.account, control=request.control)

    async def _lock_connection(self) -> Conn:
        async with self._connecting:
            if self._locks is None or self._locks.closed:
                self._locks = await self._database.connect("flatten")
            return self._locks

    async def _flatten(self, seen: FlattenRequest, lock: Conn) -> None:
        """Does what is still to be done now that nobody else can do it."""
        request = await self._asked(seen)
        if request is None or not _open(request):
            return
        if request.kind is None:
            await self._record(request, Kind.STARTED, f"Flattening asked for by {request.actor}.", reason=request.reason)
        try:
            if self._simulated or request.strategy is not None:
                await self._by_exits(request)
            else:
                await self._at_broker(request, lock)
        except (BrokerError, TimeoutError) as error:
            await self._failed(request, f"The broker cannot be asked: {error or 'no answer in time'}")

    async def _asked(self, request: FlattenRequest) -> FlattenRequest | None:
        """The request as it stands now; None once it was withdrawn, or asked for anew."""
        async with session(self._pool, "flatten") as conn:
            found = await store.flatten_requests(conn, [request.account], self._mode)
        return next((each for each in found if each.control == request.control), None)

    # at the broker

    async def _at_broker(self, request: FlattenRequest, lock: Conn) -> None:
        pause_s, sure = _PAUSE_FIRST_S, 1
        seen = Round()
        for number in range(1, _ROUNDS + 1):
            await self._nothing_on_its_way(request)
            await store.check_lock(lock)  # with the connection the lock is gone, and another router may be at it
            if await self._asked(request) is None:
                return
            async with asyncio.timeout(4 * self._lease_s):
                seen = await close_out(self._connector(), request.account)
            if seen.nothing:
                sure -= 1
                if sure <= 0:
                    await self._flat(request)
                    return
            else:
                message = f"Round {number}: {seen.in_words()}"
                await self._record(request, Kind.STEP, message, round=number, **seen.detail())
                sure = max(sure, 2 if seen.unknown else 1)
            await asyncio.sleep(max(pause_s, _AFTER_UNKNOWN_S if seen.unknown else 0.0))
            pause_s = min(_PAUSE_LONGEST_S, pause_s * 2)
        await self._failed(request, f"After {_ROUNDS} rounds it was not flat: {seen.in_words()}", **seen.left())

    async def _nothing_on_its_way(self, request: FlattenRequest) -> None:
        """Waits for orders that are being sent, as long as their leases can last: one that arrives later would not be seen."""
        deadline = time.monotonic() + self._lease_s + _PAUSE_LONGEST_S
        while time.monotonic() < deadline:
            async with session(self._pool, "flatten") as conn:
                tasks = await store.undecided(conn, request.account, self._mode, request.strategy)
            if not any(task.status == "SENDING" and (task.lease_s or 0.0) > 0 for task in tasks):
                return
            await asyncio.sleep(_LOOK_S)

    # by exits

    async def _by_exits(self, request: FlattenRequest) -> None:
        deadline = time.monotonic() + self._lease_s + _PAUSE_LONGEST_S
        asked: set[str] = set()
        shown: list[dict[str, Any]] = []
        pause_s = _LOOK_S
        while True:
            async with session(self._pool, "flatten") as conn, conn.transaction():
                held = await store.exits_of_held(
                    conn, request.account, self._mode, request.strategy, control=request.control, enqueue=False
                )
                fresh = {each.trade_id for each in held} - asked
                if fresh:
                    asked |= fresh
                    held = await store.exits_of_held(
                        conn, request.account, self._mode, request.strategy, control=request.control, enqueue=True
                    )
            async with session(self._pool, "flatten") as conn:
                undecided = await store.undecided(conn, request.account, self._mode, request.strategy)
            if not held and not any(task.status == "SENDING" for task in undecided):
                await self._flat(request)
                return
            if await self._asked(request) is None:
                return
            now = [
                {"trade": each.trade_id, "contract": each.contract, "quantity": str(each.quantity), "task": each.task}
                for each in held
            ]
            if fresh:
                shown = now
                await self._record(request, Kind.STEP, f"{len(fresh)} trades get an exit.", held=now, working=[])
            if time.monotonic() >= deadline:
                why = "; ".join(f"{each.trade_id}: task {each.task} is {each.status}" for each in held) or "it is sending"
                await self._failed(request, f"Its trades are not closed: {why}.", held=now, working=[])
                return
            await asyncio.sleep(pause_s)
            pause_s = min(_PAUSE_LONGEST_S, pause_s * 1.5)

    # what the log says

    async def _flat(self, request: FlattenRequest) -> None:
        async with session(self._pool, "flatten") as conn:
            undecided = await store.undecided(conn, request.account, self._mode, request.strategy)
        unresolved = [task.id for task in undecided]
        # our own view follows the broker's fills: until it does, looking every moment would tell nothing new
        self._not_before[request.account, request.control] = time.monotonic() + _VERIFY_AGAIN_S
        if request.kind == Kind.FLAT and request.detail.get("unresolved") == unresolved:
            return
        message = "No position and no working order: read from the broker after the last step."
        if self._simulated or request.strategy is not None:
            message = "No trade holds anything any more."
        await self._record(request, Kind.FLAT, message, held=[], working=[], unresolved=unresolved)

    async def _failed(self, request: FlattenRequest, why: str, **seen: Any) -> None:
        failures = 1 + int(request.detail.get("failures", 0) if request.kind == Kind.FAILED else 0)
        wait_s = retry_in_s(failures)
        message = f"{why} It is tried again in {wait_s:g} s."
        await self._record(request, Kind.FAILED, message, failures=failures, retry_in_s=wait_s, **seen)
        _log.error("not_flat", account=request.account, control=request.control, why=why, retry_in_s=wait_s)

    async def _record(self, request: FlattenRequest, kind: Kind, message: str, **detail: Any) -> None:
        detail = {"control": request.control, "scope": request.scope, **detail}
        async with session(self._pool, "flatten") as conn, conn.transaction():
            await append_event(conn, self._name, request.account, self._mode, str(kind), message, detail)


def _open(request: FlattenRequest) -> bool:
    return is_open(request.kind, request.detail, request.age_s, late=request.late)
