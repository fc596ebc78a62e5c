"""Natural batching: while one commit is in flight the next batch collects, and it goes as soon as the first returns.

No timers and no delay when idle; under load one commit carries hundreds of rows. A row that the database refuses is
singled out by halving the batch, so that it fails alone.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import psycopg

from eventrouter import failpoints
from eventrouter.ending import ended
from eventrouter.errors import RowRefused, StoreBusy, StoreError, StoreUnavailable, one_line
from eventrouter.metrics import Metrics
from eventrouter.store.connect import GUILTY_ROW, Conn, Pool, translated

Item = TypeVar("Item")
Result = TypeVar("Result")
Write = Callable[[Conn, Sequence[Item]], Awaitable[Sequence[Result]]]

_REPEATS = 5
_LEAST_S = 0.1  # with less time left a commit is not begun
_GRACE_S = 1.0  # for giving up a commit and hearing that it was given up
_REPEATABLE = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)


@dataclass(slots=True)
class _Waiting(Generic[Item, Result]):
    """An item, who waits for its result, and until when (the loop's time)."""

    item: Item
    future: asyncio.Future[Result]
    deadline: float


class Batcher(Generic[Item, Result]):
    """Collects items, writes them together, and gives each caller its own result or its own error.

    `write` gets a connection inside a transaction and must return one result for each item, in order.
    """

    def __init__(
        self,
        name: str,
        pool: Pool,
        write: Write[Item, Result],
        metrics: Metrics,
        *,
        most: int = 500,
        waiting: int = 10_000,
        deadline_s: float = 20.0,
    ) -> None:
        self._name = name
        self._before, self._after = f"{name}.commit.before", f"{name}.commit.after"
        self._pool = pool
        self._write = write
        self._most = most
        self._waiting = waiting
        self._deadline_s = deadline_s
        self._metrics = metrics
        self._queue: list[_Waiting[Item, Result]] = []
        self._unsettled: set[asyncio.Future[Result]] = set()
        self._filled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def start(self) -> None:
        """Starts the writer; items may be put before."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"batcher-{self._name}")

    async def stop(self) -> None:
        """Writes what is waiting, then ends; nothing can be put after."""
        self._stopped = True
        if self._task is not None:
            task, self._task = self._task, None
            while self._unsettled and not task.done():
                await asyncio.wait(self._unsettled)
            await ended([task])

    async def put(self, item: Item, *, within_s: float | None = None) -> Result:
        """The item's result once it is committed. Raises RowRefused for this item alone, StoreUnavailable, StoreBusy.

        After `within_s` seconds it is withdrawn, and a commit under way is given up, so that StoreUnavailable means "not
        stored" but for a commit whose answer was lost on its way.
        """
        loop = asyncio.get_running_loop()
        future = self.add(item, deadline=math.inf if within_s is None else loop.time() + within_s)
        try:
            async with asyncio.timeout(None if within_s is None else within_s + _GRACE_S):
                return await future
        except TimeoutError as error:
            raise StoreUnavailable(f"{self._name}: no commit within {within_s:g} s.") from error

    def add(self, item: Item, *, deadline: float = math.inf) -> asyncio.Future[Result]:
        """Like put, without waiting; `deadline` is the loop's time."""
        if self._stopped:
            raise StoreUnavailable(f"{self._name}: stopped.")
        if len(self._unsettled) >= self._waiting:
            raise StoreBusy(f"{self._name}: {len(self._unsettled)} items are waiting for Postgres already.")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(item, future, deadline))
        self._unsettled.add(future)
        future.add_done_callback(self._unsettled.discard)
        self._filled.set()
        return future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._filled.wait()
            batch, self._queue = self._queue[: self._most], self._queue[self._most :]
            if not self._queue:
                self._filled.clear()
            late = [waiting for waiting in batch if waiting.deadline <= loop.time() + _LEAST_S]
            _settle(late, [StoreUnavailable(f"{self._name}: Postgres is too slow.")] * len(late))
            batch = [waiting for waiting in batch if not waiting.future.done()]
            if not batch:
                continue
            deadline = min(loop.time() + self._deadline_s, *(waiting.deadline for waiting in batch))
            try:
                results = await self.commit([waiting.item for waiting in batch], deadline)
            except asyncio.CancelledError:
                _settle(batch, [StoreUnavailable(f"{self._name}: stopped before the commit.")] * len(batch))
                raise
            except Exception as error:
                results = [error] * len(batch)
            _settle(batch, results)

    async def commit(self, items: Sequence[Item], deadline: float) -> Sequence[Result | Exception]:
        """Writes these items now, in one commit: for each its result, or RowRefused. Raises StoreError for all of them.

        `deadline` is the loop's time; a commit under way is given up then.
        """
        for repeat in range(_REPEATS):
            try:
                async with translated(self._name), asyncio.timeout_at(deadline):
                    try:
                        async with self._pool.connection() as conn, conn.transaction():
                            results: Sequence[Result | Exception] = await self._write(conn, items)
                            failpoints.hit(self._before)
                    except GUILTY_ROW:
                        results = await self._singled_out(items)
            except StoreUnavailable as error:
                if isinstance(error.__cause__, _REPEATABLE) and repeat + 1 < _REPEATS:
                    continue
                raise
            failpoints.hit(self._after)
            if len(results) != len(items):
                raise StoreError(f"{self._name}: {len(results)} results for {len(items)} items.")
            self._metrics.batches.labels(self._name).inc()
            self._metrics.batch_rows.labels(self._name).observe(len(items))
            return results
        raise StoreUnavailable(f"{self._name}: gave way to other transactions {_REPEATS} times.")

    async def _singled_out(self, items: Sequence[Item]) -> Sequence[Result | Exception]:
        try:
            async with self._pool.connection() as conn, conn.transaction():
                return await self._single_out(conn, items)
        except GUILTY_ROW as error:  # at COMMIT, where no row is to blame: the queue of notifications is full
            raise StoreUnavailable(f"{self._name}: {one_line(error)}") from error

    async def _single_out(self, conn: Conn, items: Sequence[Item]) -> list[Result | Exception]:
        try:
            async with conn.transaction():  # a savepoint
                return list(await self._write(conn, items))
        except GUILTY_ROW as error:
            if len(items) == 1:
                refused = RowRefused(f"{self._name}: {error}")
                refused.__cause__ = error
                return [refused]
        middle = len(items) // 2
        return [*await self._single_out(conn, items[:middle]), *await self._single_out(conn, items[middle:])]


def _settle(batch: Sequence[_Waiting[Item, Result]], results: Sequence[Result | Exception]) -> None:
    for waiting, result in zip(batch, results, strict=True):
        if waiting.future.done():
            continue
        if isinstance(result, Exception):
            waiting.future.set_exception(result)
            waiting.future.exception()  # a caller that stopped waiting must not make asyncio complain
        else:
            waiting.future.set_result(result)
