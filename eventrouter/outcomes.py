"""Records what became of orders: many outcomes in one commit, and none is lost while Postgres is away."""

import asyncio
from collections.abc import Mapping, Sequence

from eventrouter.domain.decide import DueTask
from eventrouter.domain.tasks import LogEntry, late_entry
from eventrouter.errors import RowRefused, StoreError, StoreUnavailable
from eventrouter.logs import get_logger
from eventrouter.metrics import Metrics
from eventrouter.store import tasks as store
from eventrouter.store.batch import Batcher
from eventrouter.store.connect import Conn, Pool
from eventrouter.store.tasks import Appended
from eventrouter.transitions import tell

_log = get_logger("eventrouter.router")
_LATE_TRIES = 5


class Outcomes:
    """The one writer of outcomes in a router, shared by its connections: it waits for Postgres only, never for a broker."""

    def __init__(self, pool: Pool, *, name: str, metrics: Metrics, most: int) -> None:
        self._name = name
        self._metrics = metrics
        self._batcher: Batcher[LogEntry, Appended | None] = Batcher("outcomes", pool, self._write, metrics, most=most)

    def start(self) -> None:
        """Starts the writer."""
        self._batcher.start()

    async def stop(self) -> None:
        """Writes what is waiting, and ends."""
        await self._batcher.stop()

    async def record(self, entry: LogEntry, task: DueTask) -> None:
        """Records an outcome; while Postgres is away it is kept and tried again, since nobody else knows it."""
        delay = 0.1
        while True:
            try:
                appended = await self._batcher.put(entry)
            except RowRefused as error:
                _log.error("outcome_refused", task=task.id, error=str(error))
                entry = _bare(entry)
            except StoreError as error:
                _log.warning("outcome_waits_for_postgres", task=task.id, error=str(error))
                await asyncio.sleep(delay)
                delay = min(2.0, delay * 2)
            else:
                if appended is not None:
                    self.tell(entry, appended, task)
                return

    def tell(self, entry: LogEntry, appended: Appended, task: DueTask) -> None:
        """Says one committed row in log and metrics."""
        tell(
            self._metrics,
            task=entry.task_id,
            trade=task.trade_id,
            account=task.account,
            attempt=appended.attempt,
            prev=appended.prev_status,
            status=entry.status,
            reason=entry.reason,
            received_at=task.received_at,
            at=appended.created_at,
        )

    async def _write(self, conn: Conn, entries: Sequence[LogEntry]) -> list[Appended | None]:
        appended = await store.append(conn, self._name, entries)
        return [_own(appended, entry) or await self._append_late(conn, entry) for entry in entries]

    async def _append_late(self, conn: Conn, entry: LogEntry) -> Appended | None:
        """The task moved on: None when that was this very entry (its commit's answer was lost), else evidence."""
        if await store.is_appended(conn, entry, self._name):
            return None
        for _ in range(_LATE_TRIES):
            state = await store.task_state(conn, entry.task_id)
            if state is None:
                raise StoreError(f"Task {entry.task_id} is not in the database any more.")
            late = late_entry(entry, state.status, state.version)
            appended = await store.append(conn, self._name, [late])
            if appended:
                _log.warning("late_answer", task=entry.task_id, answered=str(entry.status), stood=str(state.status))
                return None
        raise StoreUnavailable(f"Task {entry.task_id} keeps moving on.")


def _own(appended: Mapping[int, Appended], entry: LogEntry) -> Appended | None:
    """The row that this entry became; a batch may hold outcomes of two attempts of one task."""
    row = appended.get(entry.task_id)
    return row if row is not None and row.seq == entry.version + 1 else None


def _bare(entry: LogEntry) -> LogEntry:
    """The same outcome without the texts that the database refused."""
    return LogEntry(
        entry.task_id, entry.version, entry.status, entry.reason, "The answer could not be stored.", entry.response_code
    )
