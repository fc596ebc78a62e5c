"""Carries out flattenings: cancels what works, closes what is held, and reads the broker again until nothing is left.

One loop for each connection to a broker. It waits in no lane. An account is flattened by one router at a time, which holds
an advisory lock on a connection of its own, and no row lock, while the broker is being talked to. Each step is a row of
the account's log; while it is being closed its exits wait (Book.flattening). What a strategy holds, and what is simulated, is closed by an exit of each trade on the usual way.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC
from functools import partial
from typing import Any

from eventrouter.closing_out import Round, close_out, is_flat
from eventrouter.connection import Connection
from eventrouter.domain.book import BookEvent
from eventrouter.domain.flattening import Kind, is_open, retry_in_s
from eventrouter.ending import ended
from eventrouter.errors import BrokerError, BrokerUnavailable, StoreError
from eventrouter.logs import get_logger
from eventrouter.store import controls as store
from eventrouter.store.books import append_event, lock_books, read_books
from eventrouter.store.connect import Conn, Database, Pool, session
from eventrouter.store.controls import FlattenRequest

_log = get_logger("eventrouter.flatten")
_ROUNDS = 12
_PAUSE_FIRST_S = 0.1
_PAUSE_LONGEST_S = 2.0
_AFTER_UNKNOWN_S = 1.0  # a close that nobody answered may still be on its way: another one would close too much
_LOOK_S = 0.1
_TELL_AFTER_S = 1.0
_VERIFY_AGAIN_S = 15.0


class Flattener:
    """Flattens the accounts of one connection whenever a control asks for it.

    `lease_s` bounds how long an order can be on its way. `wake` is to be set when there may be something to do; every `poll_s` it is looked anyway.
    """

    def __init__(
        self,
        database: Database,
        pool: Pool,
        connection: Connection,
        *,
        name: str,
        lease_s: float,
        poll_s: float = 1.0,
    ) -> None:
        self.wake = asyncio.Event()
        self._database = database
        self._pool = pool
        self._name = name
        self._connection = connection
        self._mode = connection.mode
        self._simulated = connection.mode == "dry"
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
                await self._look()
                # not wait_for: until Python 3.12 that loses a cancellation which comes together with the wake
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await self.wake.wait()
        finally:
            await ended(self._running.values())
            if self._locks is not None:
                await self._locks.close()

    async def _look(self) -> None:
        """Begins what is due, the one that was asked for first; and ends what nobody asks for any more."""
        names = self._connection.account_names
        async with session(self._pool, "flatten") as conn:
            books = await read_books(conn, names, self._mode)  # before the requests, which then name what a book names
            found = await store.flatten_requests(conn, names, self._mode)
        now = time.monotonic()
        for each in found:
            if _open(each) and (each.resolved or self._pause_until(each) <= now):
                self._begin(each.account, each.control, partial(self._flatten, each))
        asked = {(each.account, each.control) for each in found}
        for account, book in books.items():
            if book.flattening is not None and (account, book.flattening) not in asked:
                self._begin(account, book.flattening, partial(self._withdraw, account, book.flattening))

    def _pause_until(self, request: FlattenRequest) -> float:
        return self._not_before.get((request.account, request.control), 0.0)

    def _begin(self, account: str, control: int, work: Callable[[Conn], Awaitable[None]]) -> None:
        """One at a time for an account."""
        if account in self._running:
            return
        task = asyncio.create_task(self._alone(account, control, work), name=f"flatten {account}")
        self._running[account] = task
        task.add_done_callback(lambda _: self._running.pop(account, None))

    async def _alone(self, account: str, control: int, work: Callable[[Conn], Awaitable[None]]) -> None:
        """Does the work unless another router is at the account; it is given the connection that holds the lock."""
        try:
            lock = await self._lock_connection()
            async with store.flatten_lock(lock, account) as alone:
                if alone:
                    await work(lock)
        except StoreError as error:
            _log.warning("flatten_waits", account=account, control=control, error=str(error))
        except Exception:
            _log.exception("flatten_fault", account=account, control=control)

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
        try:
            if self._simulated or request.strategy is not None:
                if request.kind in (None, Kind.FAILED):
                    await self._start(request)
                await self._by_exits(request)
            elif request.kind != Kind.FLAT or not await self._is_flat(request):
                if request.kind not in (
                    Kind.STARTED,
                    Kind.STEP,
                    Kind.WAITS,
                ):  # else somebody broke off in the middle of it
                    await self._start(request)
                await self._at_broker(request, lock)
            else:
                await self._flat(request)
        except BrokerError as error:
            await self._failed(request, f"The broker cannot be asked: {error}")

    async def _asked(self, request: FlattenRequest) -> FlattenRequest | None:
        """The request as it stands now; None once it was withdrawn, or asked for anew."""
        async with session(self._pool, "flatten") as conn:
            found = await store.flatten_requests(conn, [request.account], self._mode)
        return next((each for each in found if each.control == request.control), None)

    async def _withdraw(self, account: str, control: int, _lock: Conn) -> None:
        """Ends in the account's book what was resumed before it was done: its exits wait no longer."""
        async with session(self._pool, "flatten") as conn, conn.transaction():
            books = await lock_books(conn, [account], self._mode)
            if books[account].flattening == control:
                message = f"Control {control} was withdrawn before the account was flat."
                books.add(account, BookEvent(Kind.WITHDRAWN, {"control": control}, message))
                await books.write(conn, self._name)

    # at the broker

    async def _is_flat(self, request: FlattenRequest) -> bool:
        """Whether the proof still holds; nothing is changed, so nobody has to wait."""
        await self._nothing_on_its_way(request, tells=False)  # the proof stays its latest row
        async with _answering(4 * self._lease_s):
            return await is_flat(self._connection.connector, request.account)

    async def _at_broker(self, request: FlattenRequest, lock: Conn) -> None:
        pause_s, sure = _PAUSE_FIRST_S, 1
        seen = Round()
        for number in range(1, _ROUNDS + 1):
            await self._nothing_on_its_way(request)
            if await self._asked(request) is None:
                return
            async with _answering(4 * self._lease_s):
                seen = await close_out(self._connection.connector, request.account, partial(store.check_lock, lock))
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

    async def _nothing_on_its_way(self, request: FlattenRequest, *, tells: bool = True) -> None:
        """Waits for orders that are being sent, as long as their leases can last: one that arrives later would not be seen."""
        begun = time.monotonic()
        told = not tells
        while time.monotonic() < begun + self._lease_s + _PAUSE_LONGEST_S:
            async with session(self._pool, "flatten") as conn:
                tasks = await store.undecided(conn, request.account, self._mode, request.strategy)
            coming = [
                task for task in tasks if task.status == "SENDING" and not task.shown and (task.lease_s or 0.0) > 0
            ]
            if not coming:
                return
            if not told and (time.monotonic() - begun > _TELL_AFTER_S or any(t.worker != self._name for t in coming)):
                told = True
                await self._record(request, Kind.WAITS, f"It waits for {'; '.join(map(_on_its_way, coming))}.")
            await asyncio.sleep(_LOOK_S)

    # by exits

    async def _by_exits(self, request: FlattenRequest) -> None:
        deadline = time.monotonic() + self._lease_s + _PAUSE_LONGEST_S
        asked: set[str] = set()
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
                await self._record(request, Kind.STEP, f"{len(fresh)} trades get an exit.", held=now, working=[])
            if time.monotonic() >= deadline:
                why = (
                    "; ".join(f"{each.trade_id}: task {each.task} is {each.status}" for each in held) or "it is sending"
                )
                await self._failed(request, f"Its trades are not closed: {why}.", held=now, working=[])
                return
            await asyncio.sleep(pause_s)
            pause_s = min(_PAUSE_LONGEST_S, pause_s * 1.5)

    # what the log says

    async def _start(self, request: FlattenRequest) -> None:
        """Once this is committed no exit is sent, and every one that was decided before is in SENDING."""
        detail = {"control": request.control, "scope": request.scope, "reason": request.reason}
        why = f": {request.reason}" if request.reason else "."
        event = BookEvent(Kind.STARTED, detail, f"Flattening asked for by {request.actor}{why}")
        async with session(self._pool, "flatten") as conn, conn.transaction():
            await store.wait_for_claims(conn)
            await append_event(conn, self._name, request.account, self._mode, event)

    async def _flat(self, request: FlattenRequest) -> None:
        async with session(self._pool, "flatten") as conn:
            undecided = await store.undecided(conn, request.account, self._mode, request.strategy)
        unresolved = [task.id for task in undecided]
        if request.kind == Kind.FLAT and request.detail.get("unresolved") == unresolved:
            # the proof stands, and our own books say otherwise: that is not settled by asking every moment
            self._not_before[request.account, request.control] = time.monotonic() + _VERIFY_AGAIN_S
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
            await append_event(conn, self._name, request.account, self._mode, BookEvent(str(kind), detail, message))


@asynccontextmanager
async def _answering(within_s: float) -> AsyncIterator[None]:
    """Whatever keeps a connector from answering is a BrokerError; what is wrong with Postgres stays what it is."""
    try:
        async with asyncio.timeout(within_s):
            yield
    except (BrokerError, StoreError):
        raise
    except TimeoutError as error:
        raise BrokerUnavailable(f"No answer within {within_s:g} s.") from error
    except Exception as error:
        raise BrokerUnavailable(f"The connector failed: {type(error).__name__}: {error}") from error


def _on_its_way(task: store.UndecidedTask) -> str:
    until = "" if task.lease_until is None else f", until {task.lease_until.astimezone(UTC):%H:%M:%S} UTC at the latest"
    return f"task {task.id}, which {task.worker} is sending{until}"


def _open(request: FlattenRequest) -> bool:
    return is_open(request.kind, request.detail, request.age_s, resolved=request.resolved, holds=request.holds)
