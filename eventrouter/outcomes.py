"""Records what became of orders: many outcomes in one commit, and none is lost while Postgres is away."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from eventrouter.domain.closing import WARNED, is_exit
from eventrouter.domain.decide import DueTask
from eventrouter.domain.tasks import LogEntry, Status, late_entry
from eventrouter.errors import RowRefused, StoreError, StoreUnavailable
from eventrouter.logs import get_logger
from eventrouter.metrics import Metrics
from eventrouter.store import tasks as store
from eventrouter.store.acceptances import Acceptance, lock_acceptances, record_acceptances
from eventrouter.store.batch import Batcher
from eventrouter.store.connect import Conn, Pool
from eventrouter.store.tasks import Appended
from eventrouter.transitions import tell

_log = get_logger("eventrouter.router")
_LATE_TRIES = 5
_MODES = ("dry", "live")

_Recorded = tuple[LogEntry, Acceptance | None, str]
"""An outcome's log row, the order and fills that an acceptance came with, and the task's mode."""


class Outcomes:
    """The one writer of outcomes in a router, shared by its connections: it waits for Postgres only, never for a broker."""

    def __init__(self, pool: Pool, *, name: str, metrics: Metrics, most: int) -> None:
        self._name = name
        self._metrics = metrics
        self._batcher: Batcher[_Recorded, Appended | None] = Batcher("outcomes", pool, self._write, metrics, most=most)

    def start(self) -> None:
        """Starts the writer."""
        self._batcher.start()

    async def stop(self) -> None:
        """Writes what is waiting, and ends."""
        await self._batcher.stop()

    async def record(self, entry: LogEntry, task: DueTask, acceptance: Acceptance | None = None) -> None:
        """Records an outcome; while Postgres is away it is kept and tried again, since nobody else knows it."""
        delay, refused = 0.1, 0
        while True:
            try:
                appended = await self._batcher.put((entry, acceptance, task.mode))
            except RowRefused as error:
                refused += 1
                _log.error("outcome_refused", task=task.id, error=str(error), times=refused)
                if refused == 1:
                    entry = _bare(entry)
                elif refused == 2:
                    acceptance = None  # the outcome matters more; a broker's fills are read again
                else:
                    raise
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
        if entry.status == Status.FAILED and is_exit(task.event_type):
            _log.error(
                "exit_failed", task=entry.task_id, trade=task.trade_id, account=task.account, message=entry.message
            )
        if entry.reason in WARNED:
            _log.warning(entry.reason.lower(), task=entry.task_id, trade=task.trade_id, message=entry.message)
        if entry.status == Status.SENDING and task.attempts == 0 and not task.approved:
            waited_s = (appended.created_at - task.created_at).total_seconds()
            self._metrics.phase_seconds.labels("claimed").observe(max(0.0, waited_s))
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

    async def _write(self, conn: Conn, results: Sequence[_Recorded]) -> list[Appended | None]:
        brought = {
            mode: [(each, n) for n, (_, each, of) in enumerate(results) if each and of == mode] for mode in _MODES
        }
        locked = {mode: [each for each, _ in brought[mode]] for mode in _MODES if brought[mode]}
        # accounts before tasks, as a claim does
        books = {mode: await lock_acceptances(conn, mode, acceptances) for mode, acceptances in locked.items()}
        appended = await store.append(conn, self._name, [entry for entry, _, _ in results])
        written = [_own(appended, entry) or await self._append_late(conn, entry) for entry, _, _ in results]
        for mode, acceptances in locked.items():
            doubtful = [each for each, n in brought[mode] if written[n] is None]
            await record_acceptances(conn, self._name, mode, books[mode], acceptances, doubtful)
        return written

    async def _append_late(self, conn: Conn, entry: LogEntry) -> Appended | None:
        """The task moved on: None when that was this very entry (its commit's answer was lost), else evidence.

        Where only evidence came between, a fill that was faster than the answer, the entry is appended behind it.
        """
        if await store.is_appended(conn, entry, self._name):
            return None
        for _ in range(_LATE_TRIES):
            state = await store.task_state(conn, entry.task_id)
            if state is None:
                raise StoreError(f"Task {entry.task_id} is not in the database any more.")
            in_time = await store.only_evidence_since(conn, entry)
            late = replace(entry, version=state.version) if in_time else late_entry(entry, state.status, state.version)
            appended = await store.append(conn, self._name, [late])
            if appended and in_time:
                return appended[entry.task_id]
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
