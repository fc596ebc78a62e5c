"""The ingest's writer: Postgres first, the spool while Postgres is away, and back again without a change of order.

There is one queue and one writer. Each batch of it goes to Postgres only when nothing waits in the spool; otherwise, or when
Postgres does not answer in time, it goes to the spool. Beside it a task empties the spool from the front. The last of it is
stored with the door closed: the writer waits meanwhile, or a steady stream of alerts would keep the spool for ever.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import UUID

from eventrouter.ending import ended
from eventrouter.errors import RowRefused, SpoolError, SpoolFull, StoreUnavailable
from eventrouter.logs import get_logger
from eventrouter.metrics import Metrics
from eventrouter.spool.segments import Batch, Spool
from eventrouter.store.batch import Batcher
from eventrouter.store.connect import Pool
from eventrouter.store.settings import TableCache
from eventrouter.store.signals import Stored, StoredAlert, store_alerts

_log = get_logger("eventrouter.spool")

# TradingView hangs up after three seconds. In the worst case an alert waits at the closed door, then for Postgres, and is
# spooled only then.
_COMMIT_WITHIN_S = 0.8
_GIVE_UP_WITHIN_S = 0.2
_DRAIN_WITHIN_S = 10.0
_MOST = 500
_FEWEST = 10
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 1.0
_STUCK_PAUSE_S = 5.0
_OPEN_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Spooled:
    """The alert waits on disk and will be stored under this uid."""

    uid: UUID


class SpoolWriter(Batcher[StoredAlert, Stored | Spooled]):
    """Commits alerts in batches, or spools them; its results say which.

    `tables` says for which accounts an alert is planned when it is stored. `place` and `database`: where the spool is (None: there is none). `stored` is told of each alert that came from the
    spool into Postgres, and of its own signal and tasks.
    """

    def __init__(
        self,
        pool: Pool,
        metrics: Metrics,
        *,
        deadline_s: float,
        tables: TableCache,
        place: Path | None = None,
        database: str = "",
        stored: Callable[[StoredAlert, Stored], None] = lambda alert, stored: None,
    ) -> None:
        super().__init__(
            "ingest",
            pool,
            partial(store_alerts, tables=tables),
            metrics,
            most=_MOST,
            waiting=5_000,
            deadline_s=deadline_s,
        )
        self._place = place
        self._database = database
        self._stored = stored
        self._spool: Spool | None = None
        self._spool_fault = ""
        self._most = _MOST  # of a batch from the spool
        self._arrived = asyncio.Event()
        self._door = asyncio.Lock()
        self._attempts: set[asyncio.Task[Sequence[Stored | Spooled | Exception]]] = set()
        self._draining: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Takes the spool and begins to store what an earlier process left there. Without it the writer works all the same."""
        if self._place is not None and self._draining is None:
            await self._take_spool()
            self._draining = asyncio.create_task(self._drain_for_ever(), name="spool")

    async def stop(self) -> None:
        """Stores or spools what is waiting, then ends; what is in the spool stays there."""
        draining, self._draining = self._draining, None
        if draining is not None:
            await ended([draining])
        await super().stop()
        spool, self._spool = self._spool, None
        if spool is not None:
            if spool.pending:
                _log.warning("spool_left", directory=str(spool.directory), alerts=spool.waiting)
            await asyncio.to_thread(spool.close)

    @property
    def spool_state(self) -> dict[str, object]:
        """{"state": "off" | "unavailable" | "empty" | "waiting", "alerts": how many wait there}."""
        spool = self._spool
        if spool is None:
            return {"state": "off" if self._place is None else "unavailable", "alerts": 0}
        return {"state": "waiting" if spool.pending else "empty", "alerts": spool.waiting}

    async def commit(self, items: Sequence[StoredAlert], deadline: float) -> Sequence[Stored | Spooled | Exception]:
        """Writes these alerts to Postgres, or to the spool: for each its result. Raises StoreError for all of them."""
        async with self._door:
            spool = self._spool
            if spool is None:
                return await super().commit(items, deadline)
            if not spool.pending:
                left_s = deadline - asyncio.get_running_loop().time()
                try:
                    return await self._attempt(items, min(_COMMIT_WITHIN_S, left_s))
                except StoreUnavailable as error:
                    _log.warning("spooling", alerts=len(items), directory=str(spool.directory), error=str(error))
            return await self._spool_away(spool, items)

    async def _attempt(self, items: Sequence[StoredAlert], within_s: float) -> Sequence[Stored | Spooled | Exception]:
        """One commit. After its time it is given up, and on a server that hangs, where even that takes long, left to itself.

        Whether it is done then, nobody knows. The same alerts may be committed again, they have their uids.
        """
        deadline = asyncio.get_running_loop().time() + within_s
        attempt = asyncio.create_task(super().commit(items, deadline), name="ingest-commit")
        self._attempts.add(attempt)
        attempt.add_done_callback(self._forget)
        try:
            done, _ = await asyncio.wait({attempt}, timeout=within_s + _GIVE_UP_WITHIN_S)
        except asyncio.CancelledError:
            attempt.cancel()
            raise
        if not done:
            attempt.cancel()
            raise StoreUnavailable(f"ingest: no commit within {within_s:g} s.")
        return attempt.result()

    def _forget(self, attempt: asyncio.Task[Sequence[Stored | Spooled | Exception]]) -> None:
        self._attempts.discard(attempt)
        if not attempt.cancelled():
            attempt.exception()  # nobody may be waiting for it any more

    async def _spool_away(self, spool: Spool, items: Sequence[StoredAlert]) -> list[Spooled]:
        try:
            await asyncio.to_thread(spool.append, items)
        except StoreUnavailable as error:
            reason = "full" if isinstance(error, SpoolFull) else "broken"
            self._metrics.spool_refusals.labels(reason).inc(len(items))
            raise
        finally:
            self._metrics.spool_alerts.set(spool.waiting)
            self._arrived.set()
        self._metrics.spooled.inc(len(items))
        return [Spooled(alert.uid) for alert in items]

    async def _take_spool(self) -> None:
        assert self._place is not None
        try:
            spool = await asyncio.to_thread(Spool, self._place, self._database)
        except SpoolError as error:
            if str(error) != self._spool_fault:
                self._spool_fault = str(error)
                _log.error("spool_unavailable", error=str(error), retry_in_s=_OPEN_EVERY_S)
            return
        self._spool = spool
        self._metrics.spool_alerts.set(spool.waiting)
        if spool.pending:
            self._arrived.set()

    async def _drain_for_ever(self) -> None:
        while (spool := self._spool) is None:
            await asyncio.sleep(_OPEN_EVERY_S)
            await self._take_spool()
        pause_s = _FIRST_PAUSE_S
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while spool.pending:
                try:
                    await self._drain(spool)
                    pause_s = _FIRST_PAUSE_S
                except StoreUnavailable as error:
                    _log.debug("spool_waits", alerts=spool.waiting, error=str(error))
                    await asyncio.sleep(pause_s)
                    pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
                except Exception:
                    _log.exception("spool_stuck", alerts=spool.waiting, retry_in_s=_STUCK_PAUSE_S)
                    await asyncio.sleep(_STUCK_PAUSE_S)

    async def _drain(self, spool: Spool) -> None:
        """Stores everything in the spool, oldest first; each segment is deleted only after the commit of all its alerts."""
        moved = 0
        answers = False
        while spool.pending:
            last = answers and spool.waiting <= self._most  # while Postgres is away the door must stay open
            async with self._door if last else nullcontext():
                batch = await asyncio.to_thread(spool.head, self._most if answers else _FEWEST)
                try:
                    unstorable = await self._store(batch, _COMMIT_WITHIN_S if last else _DRAIN_WITHIN_S)
                except StoreUnavailable:
                    if answers:
                        self._most = max(_FEWEST, self._most // 2)  # Postgres may only be slow
                    raise
                await asyncio.to_thread(spool.drop, batch, keep=unstorable)
            answers = True
            self._most = min(_MOST, self._most + _FEWEST)
            moved += len(batch.alerts)
            self._metrics.spool_stored.inc(len(batch.alerts))
            self._metrics.spool_alerts.set(spool.waiting)
        _log.info("spool_drained", alerts=moved)

    async def _store(self, batch: Batch, within_s: float) -> bool:
        """Commits a batch. True when the database takes one of its alerts in no form."""
        unstorable = False
        if not batch.alerts:
            return unstorable
        for alert, result in zip(batch.alerts, await self._attempt(batch.alerts, within_s), strict=True):
            if isinstance(result, Stored):
                self._stored(alert, result)
            elif isinstance(result, RowRefused):
                (refused,) = await self._attempt([_bare(alert)], within_s)
                unstorable |= isinstance(refused, Exception)
                _log.error(
                    "spooled_alert_refused", signal_uid=str(alert.uid), strategy=alert.strategy, error=str(result)
                )
        return unstorable


def _bare(alert: StoredAlert) -> StoredAlert:
    """The alert as refused, with its bytes and nothing that the database could stumble over."""
    return StoredAlert(
        uid=alert.uid,
        strategy=alert.strategy,
        received_at=alert.received_at,
        raw=alert.raw,
        code="NOT_STORABLE",
        message="The database refused a value of this alert, which had been answered 202; its raw bytes are kept.",
    )
