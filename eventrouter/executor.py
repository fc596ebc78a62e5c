"""Runs tasks: claim, decide and record the intent in one commit; send once; record the outcome.

Talks to the store and the connectors. The commit of the intent is the line: before it a crash leaves PENDING, after it
the broker may have the order, and only an answer or a look-up moves the task on.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby

from eventrouter.changing import Clearer, ask
from eventrouter.connectors.base import Connector
from eventrouter.domain.accounts import Account
from eventrouter.domain.closing import WARNED
from eventrouter.domain.decide import DueTask, Send, decide
from eventrouter.domain.orders import Accepted, Answer, NotSent, Outcome, Rejected, Unknown
from eventrouter.domain.retry import delay_s, may_retry
from eventrouter.domain.tasks import LogEntry, Status, late_entry
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


class Executor:
    """Takes work for accounts and carries it to their connectors.

    `on_change` is called when something ended that others may have waited for: an outcome, a freed slot.
    """

    def __init__(
        self,
        pool: Pool,
        outcome_pool: Pool,
        *,
        name: str,
        accounts: Sequence[Account],
        connectors: Mapping[str, Connector],
        dry_run: bool,
        batch_size: int,
        lease_s: float,
        metrics: Metrics,
        on_change: Callable[[], None],
    ) -> None:
        self._pool = pool
        self._name = name
        self._connectors = connectors
        self._accounts = {account.name: account for account in accounts}
        self._dry_run = dry_run
        self._batch_size = batch_size
        self._lease_s = lease_s
        self._metrics = metrics
        self._on_change = on_change
        self._in_flight: dict[str, int] = dict.fromkeys(connectors, 0)
        self._sending: set[asyncio.Task[None]] = set()
        self._clearer = Clearer(pool, name=name, within_s=lease_s, on_change=on_change)
        self._outcomes: Batcher[LogEntry, Appended | None] = Batcher(
            "outcomes", outcome_pool, self._write_outcomes, metrics, most=max(500, batch_size)
        )

    def start(self) -> None:
        """Starts the writer of outcomes."""
        self._outcomes.start()

    async def turn(self) -> bool:
        """Claims and starts sending once for every connector with a free slot; True when there may be more to claim."""
        more = False
        for connector in self._connectors:
            slots = self._free_slots(connector)
            if slots > 0:
                more |= await self._claim(connector, slots) >= slots
        return more

    async def drain(self, grace_s: float) -> None:
        """Waits for what is in flight, at most `grace_s` seconds; what is left then is found by its lease."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=grace_s)
        for sending in self._sending:
            sending.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        await self._clearer.drain(grace_s)
        await self._outcomes.stop()

    @property
    def in_flight(self) -> int:
        """Tasks and changes of orders that wait for a broker or for their outcome's commit."""
        return sum(self._in_flight.values()) + self._clearer.asking

    def _free_slots(self, connector: str) -> int:
        # two batches: one is claimed while the other one's outcomes are committed
        most = self._connectors[connector].capabilities.most_in_flight or 2 * self._batch_size
        return min(self._batch_size, most - self._in_flight[connector])

    async def _claim(self, connector: str, slots: int) -> int:
        capabilities = self._connectors[connector].capabilities
        names = [account.name for account in self._accounts.values() if account.connector == connector]
        depth = slots if capabilities.lane_in_one_claim else 1
        async with store.claim(self._pool, names, limit=slots, depth=depth) as claim:
            if claim.now is None:
                return 0
            decisions = decide(claim.due, now=claim.now, dry_run=self._dry_run, lease_s=self._lease_s, limit=slots)
            sends = decisions.sends if capabilities.lane_in_one_claim else _first_of_each_lane(decisions.sends)
            entries = [*decisions.others, *(send.entry for send in sends)]
            appended = await claim.record(self._name, entries, decisions.asked)
        # the intents are committed: from here on the orders may leave
        # a row that an exit adds to an entry it cancels is told with the exit's trade and account, which are the entry's
        concerned = {task_id: task for task in claim.due for task_id, _ in task.trade.unsent}
        concerned |= {task.id: task for task in claim.due}
        for entry in entries:
            self._tell(entry, appended[entry.task_id], concerned[entry.task_id])
        asked = [clearing for clearing in decisions.cancels if clearing.task_id in appended]
        self._clearer.start(self._connectors[connector], asked)
        self._start_sending(connector, sends)
        return len(entries)

    def _start_sending(self, connector: str, sends: Sequence[Send]) -> None:
        self._in_flight[connector] += len(sends)
        self._metrics.in_flight.set(self.in_flight)
        for _, group in groupby(sorted(sends, key=lambda send: send.task.lane), key=lambda send: send.task.lane):
            sending = asyncio.create_task(self._send_lane(connector, list(group)))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)

    async def _send_lane(self, connector: str, sends: Sequence[Send]) -> None:
        """Sends one lane's orders in order, and waits until their outcomes are committed."""
        recordings: list[asyncio.Task[None]] = []
        try:
            for send in sends:
                outcome = await self._send_once(self._connectors[connector], send)
                entry = _outcome_entry(send, outcome, datetime.now(UTC), self._lease_s)
                recordings.append(asyncio.create_task(self._record(entry, send.task)))
            await asyncio.gather(*recordings)
        finally:
            for recording in recordings:
                recording.cancel()
            self._in_flight[connector] -= len(sends)
            self._metrics.in_flight.set(self.in_flight)
            self._on_change()

    async def _send_once(self, connector: Connector, send: Send) -> Outcome:
        try:
            async with asyncio.timeout(self._lease_s):
                return await ask(connector, send)
        except TimeoutError:
            return Unknown(Answer(), f"No answer within {self._lease_s:g} s.")
        except Exception as error:
            return Unknown(Answer(), f"The connector failed: {type(error).__name__}: {error}")

    async def _record(self, entry: LogEntry, task: DueTask) -> None:
        """Records an outcome; while Postgres is away it is kept and tried again, since nobody else knows it."""
        delay = 0.1
        while True:
            try:
                appended = await self._outcomes.put(entry)
            except RowRefused as error:
                _log.error("outcome_refused", task=task.id, error=str(error))
                entry = _bare(entry)
            except StoreError as error:
                _log.warning("outcome_waits_for_postgres", task=task.id, error=str(error))
                await asyncio.sleep(delay)
                delay = min(2.0, delay * 2)
            else:
                if appended is not None:
                    self._tell(entry, appended, task)
                return

    async def _write_outcomes(self, conn: Conn, entries: Sequence[LogEntry]) -> list[Appended | None]:
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

    def _tell(self, entry: LogEntry, appended: Appended, task: DueTask) -> None:
        if entry.reason in WARNED:
            _log.warning(entry.reason.lower(), task=entry.task_id, trade=task.trade_id, message=entry.message)
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


def _own(appended: Mapping[int, Appended], entry: LogEntry) -> Appended | None:
    """The row that this entry became; a batch may hold outcomes of two attempts of one task."""
    row = appended.get(entry.task_id)
    return row if row is not None and row.seq == entry.version + 1 else None


def _first_of_each_lane(sends: Sequence[Send]) -> tuple[Send, ...]:
    first: dict[str, Send] = {}
    for send in sends:
        first.setdefault(send.task.lane, send)
    return tuple(first.values())


def _outcome_entry(send: Send, outcome: Outcome, now: datetime, lease_s: float) -> LogEntry:
    """The log row that an outcome adds to the row of its intent."""
    task, version = send.task, send.task.version + 1
    attempts = task.attempts + 1
    match outcome:
        case Accepted(answer, done):
            status, reason, message = (Status.SUCCESS, "DONE", None) if done else (Status.ACCEPTED, "ACCEPTED", None)
        case Rejected(answer, message):
            status, reason = Status.FAILED, "REJECTED"
        case Unknown(answer, message):
            status, reason = Status.UNKNOWN, "UNKNOWN_OUTCOME"
        case NotSent(message, retry_after_s):
            if may_retry(attempts, opening=task.opening, expires_at=task.expires_at, now=now):
                wait_s = max(delay_s(attempts, random.random()), retry_after_s or 0.0)  # noqa: S311 - spreads retries, guards nothing
                return LogEntry(task.id, version, Status.PENDING, "NOT_SENT", message, run_in_s=wait_s)
            expired = task.expires_at is not None and now >= task.expires_at
            return LogEntry(task.id, version, Status.EXPIRED if expired else Status.FAILED, "NOT_SENT", message)
    return LogEntry(
        task.id, version, status, reason, message, answer.code, answer.body, detail=dict(answer.detail or {})
    )


def _bare(entry: LogEntry) -> LogEntry:
    """The same outcome without the texts that the database refused."""
    return LogEntry(
        entry.task_id, entry.version, entry.status, entry.reason, "The answer could not be stored.", entry.response_code
    )
