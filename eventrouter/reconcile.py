"""Finds out what became of orders whose sender is gone: SENDING past its lease becomes UNKNOWN, and UNKNOWN is looked up."""

import asyncio
import math
import random
from collections.abc import Sequence
from datetime import UTC, timedelta

from eventrouter import failpoints
from eventrouter.connection import Connection
from eventrouter.domain.lookups import UnknownTask, is_change, resolve, settled, unasked
from eventrouter.domain.retry import Cause, delay_s
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.errors import BrokerUnavailable
from eventrouter.logs import get_logger
from eventrouter.metrics import Metrics
from eventrouter.store import tasks as store
from eventrouter.store.connect import Pool, session
from eventrouter.store.tasks import Appended, HeldUp, StuckTask
from eventrouter.transitions import tell

_log = get_logger("eventrouter.reconcile")
LOOK_UP_WITHIN_S = 10.0
_MOST_LOOK_UPS = 4  # at the same time: an exit may need what is left of the broker's rate limit


async def reconcile(pool: Pool, *, actor: str, connection: Connection, metrics: Metrics) -> tuple[int, float]:
    """One round over the accounts of a connection. Look-ups happen outside of any transaction.

    Returns how many tasks moved, and the seconds until a task is to be looked up again (infinite for none).
    """
    names = connection.account_names
    async with session(pool, "reconcile") as conn:
        ended = await store.lease_ended(conn, names)
        elsewhere = await store.unknown_in_other_mode(conn, names, connection.mode)
        waiting = [] if connection.mode == "live" else await store.live_exits_in_dry_run(conn, names)
    told = [(task, _other_mode(task, connection.mode)) for task in elsewhere]
    await _append(pool, actor, [*told, *((task, _waits_for_live(task)) for task in waiting)], metrics)
    moved = await _append(pool, actor, [(task, _lease_ended(task)) for task in ended], metrics)
    moved += await _expire_unapproved(pool, actor, connection, metrics)
    async with session(pool, "reconcile") as conn:
        unknown = await store.unknown(conn, names, connection.mode)
    if not connection.ready.is_set():
        if connection.fault is not None:
            await _append(pool, actor, _told(unknown, connection.fault), metrics)
        return moved, math.inf
    due_in_s = _due_in_s(connection, unknown)
    due = [task for task in unknown if due_in_s[task.id] <= 0]
    together = asyncio.Semaphore(_MOST_LOOK_UPS)
    found = await asyncio.gather(*(_look_up(connection, task, together) for task in due))
    known = [(task, entry) for task, entry in zip(due, found, strict=True) if entry is not None]
    moved += await _append(pool, actor, known, metrics)
    waits_s = [wait_s for wait_s in _due_in_s(connection, unknown).values() if wait_s > 0]
    waits_s += [entry.run_in_s for _, entry in known if entry.run_in_s is not None]
    connection.note_reconciled()
    return moved, min(waits_s, default=math.inf)


def _due_in_s(connection: Connection, unknown: Sequence[UnknownTask]) -> dict[int, float]:
    """Seconds until each is to be looked up: after a look-up that failed not before its pause is over."""
    now, failed = asyncio.get_running_loop().time(), connection.look_ups_failed
    left = {task.id for task in unknown}
    connection.look_ups_failed = {task_id: each for task_id, each in failed.items() if task_id in left}
    return {
        task.id: max(task.due_in_s, failed[task.id][1] - now if task.id in failed else -math.inf) for task in unknown
    }


def _told(unknown: Sequence[UnknownTask], fault: str) -> list[tuple[UnknownTask, LogEntry]]:
    return [(task, entry) for task in unknown if (entry := unasked(task, fault)) is not None]


async def _expire_unapproved(pool: Pool, actor: str, connection: Connection, metrics: Metrics) -> int:
    """Ends entries that nobody approved within the time that their account's limits give; returns how many."""
    moved = 0
    for account in connection.accounts:
        if (within := account.limits.approve_within) is not None:
            async with session(pool, "reconcile") as conn:
                tasks = await store.held(conn, account.name, within.total_seconds())
            moved += await _append(pool, actor, [(task, _unapproved(task, within)) for task in tasks], metrics)
    return moved


async def _look_up(connection: Connection, task: UnknownTask, together: asyncio.Semaphore) -> LogEntry | None:
    """What the broker says of an order. When it cannot be asked now the row that says so, None where one does already."""
    connector = connection.connector
    retry_after_s: float | None = None
    try:
        async with together, asyncio.timeout(LOOK_UP_WITHIN_S):
            failpoints.hit("lookup.before")
            if is_change(task.event_type):
                entry = settled(task, await connector.orders(task.account))
            else:
                found = await connector.look_up(task.account, task.client_order_id, task.first_sent_at)
                entry = resolve(task, found, refuses_repeated_ids=connector.capabilities.refuses_repeated_ids)
    except TimeoutError:
        fault = f"No answer within {LOOK_UP_WITHIN_S:g} s."
    except BrokerUnavailable as error:
        fault, retry_after_s = str(error), error.retry_after_s
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
    else:
        connection.look_ups_failed.pop(task.id, None)
        connection.note_answer()
        return entry
    if retry_after_s is None:  # else it is there, and wants to be asked less often
        connection.note_failure(fault)
    times = connection.look_ups_failed.get(task.id, (0, 0.0))[0] + 1
    pause_s = delay_s(times, random.random(), Cause.LOOK_UP_FAILED) + (retry_after_s or 0.0)  # noqa: S311 - spreads, guards nothing
    connection.look_ups_failed[task.id] = (times, asyncio.get_running_loop().time() + pause_s)
    if times == 1:
        _log.warning("look_up_failed", task=task.id, account=task.account, error=fault)
    return unasked(task, fault)


async def explain_unclaimed(pool: Pool, *, actor: str, accounts: Sequence[str], metrics: Metrics) -> None:
    """Says in the log of a task why it waits, when its account is none of those that this router, which claims all, knows."""
    async with session(pool, "reconcile") as conn:
        tasks = await store.unclaimed(conn, accounts)
    await _append(pool, actor, [(task, _unclaimed(task)) for task in tasks], metrics)


async def explain_held_up(pool: Pool, *, actor: str, connection: Connection, metrics: Metrics) -> None:
    """Says in the log of what closes why it is not sent, while an order of its lane is on its way to the broker."""
    if connection.mode != "live":
        return
    async with session(pool, "held up") as conn, conn.transaction():
        tasks = await store.exits_behind_sending(conn, connection.account_names, connection.mode, actor)
        appended = await store.append(conn, actor, [_held_up(task) for task in tasks])
    for task in tasks:
        if row := appended.get(task.id):
            _tell(metrics, task, _held_up(task), row)


async def explain_waiting(pool: Pool, *, actor: str, connection: Connection, metrics: Metrics) -> None:
    """Says once in the log of an entry that it waits for the connection's circuit, or for one of its account in UNKNOWN."""
    if connection.mode != "live":
        return  # nothing that is simulated can be unknown for long
    circuit, why = connection.opening_id, connection.circuit.why
    async with session(pool, "waiting") as conn, conn.transaction():
        found = await store.entries_waiting(conn, connection.account_names, connection.mode, circuit)
        moves = [(task, _waits(task, unknown, circuit, why)) for task, unknown in found]
        appended = await store.append(conn, actor, [entry for _, entry in moves])
    for task, entry in moves:
        if row := appended.get(task.id):
            _tell(metrics, task, entry, row)


async def _append(
    pool: Pool, actor: str, moves: Sequence[tuple[StuckTask | UnknownTask, LogEntry]], metrics: Metrics
) -> int:
    if not moves:
        return 0
    async with session(pool, "reconcile") as conn, conn.transaction():
        appended = await store.append(conn, actor, [entry for _, entry in moves])
        failpoints.hit("lookup.commit.before")
    failpoints.hit("lookup.commit.after")
    for task, entry in moves:
        if row := appended.get(entry.task_id):
            _tell(metrics, task, entry, row)
    return sum(entry.task_id in appended and entry.status != appended[entry.task_id].prev_status for _, entry in moves)


def _tell(metrics: Metrics, task: StuckTask | UnknownTask | HeldUp, entry: LogEntry, row: Appended) -> None:
    tell(
        metrics,
        task=task.id,
        trade=task.trade_id,
        account=task.account,
        attempt=row.attempt,
        prev=row.prev_status,
        status=entry.status,
        reason=entry.reason,
        received_at=task.received_at,
        at=row.created_at,
    )


def _held_up(task: HeldUp) -> LogEntry:
    message = (
        f"{task.worker} is sending task {task.sending} of the same account and product. It waits for the outcome, for the broker "
        f"to show that order, or for the end of its lease at {task.lease_until.astimezone(UTC):%H:%M:%S} UTC."
    )
    detail = {"sending": task.sending, "worker": task.worker, "until": task.lease_until.isoformat()}
    return LogEntry(task.id, task.version, Status.PENDING, "WAITS_FOR_SENDING", message, detail=detail)


def _waits(task: StuckTask, unknown: int | None, circuit: str | None, why: str) -> LogEntry:
    if unknown is None:
        message = f"Its broker does not answer: {why} It goes out when an answer comes, if it is fresh enough by then."
        return LogEntry(task.id, task.version, Status.PENDING, "CIRCUIT_OPEN", message, detail={"circuit": circuit})
    message = f"Whether the broker has the entry of task {unknown} is not known; until it is, nothing else is opened on {task.account}."
    return LogEntry(task.id, task.version, Status.PENDING, "WAITS_FOR_UNKNOWN", message, detail={"unknown": unknown})


def _waits_for_live(task: StuckTask) -> LogEntry:
    message = "It would close a live position, and this account's router runs in dry mode: it waits until one trades live again."
    return LogEntry(task.id, task.version, Status.PENDING, "MODE_CHANGED", message)


def _unclaimed(task: StuckTask) -> LogEntry:
    message = (
        f"No router claims the account {task.account!r}: it is not in the configuration. Add it, or discard the task."
    )
    return LogEntry(task.id, task.version, Status.PENDING, "NO_ROUTER", message)


def _other_mode(task: StuckTask, mode: str) -> LogEntry:
    message = (
        f"Nobody looks it up: this account's router runs in {mode} mode, and the task is of the other one. "
        "Run it in that mode again, or look at the broker and resolve the task."
    )
    return LogEntry(task.id, task.version, Status.UNKNOWN, "MODE_CHANGED", message)


def _unapproved(task: StuckTask, within: timedelta) -> LogEntry:
    message = f"Nobody approved it within {within.total_seconds():g} s of its alert."
    return LogEntry(task.id, task.version, Status.EXPIRED, "NOT_APPROVED", message)


def _lease_ended(task: StuckTask) -> LogEntry:
    message = f"{task.worker} did not report an outcome before its lease ended."
    return LogEntry(task.id, task.version, Status.UNKNOWN, "LEASE_ENDED", message)
