"""Finds out what became of orders whose sender is gone: SENDING past its lease becomes UNKNOWN, and UNKNOWN is looked up."""

import asyncio
import math
from collections.abc import Sequence
from datetime import UTC, timedelta

from eventrouter.connection import Connection
from eventrouter.domain.lookups import UnknownTask, is_change, resolve, settled
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
    if not connection.ready.is_set():
        return moved, math.inf
    async with session(pool, "reconcile") as conn:
        unknown = await store.unknown(conn, names, connection.mode)
    due = [task for task in unknown if task.due_in_s <= 0]
    together = asyncio.Semaphore(_MOST_LOOK_UPS)
    found = await asyncio.gather(*(_look_up(connection, task, together) for task in due))
    known = [(task, entry) for task, entry in zip(due, found, strict=True) if entry is not None]
    moved += await _append(pool, actor, known, metrics)
    waits_s = [task.due_in_s for task in unknown if task.due_in_s > 0]
    waits_s += [entry.run_in_s for _, entry in known if entry.run_in_s is not None]
    return moved, min(waits_s, default=math.inf)


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
    """What the broker says of an order; None when it cannot be asked now."""
    connector = connection.connector
    try:
        async with together, asyncio.timeout(LOOK_UP_WITHIN_S):
            if is_change(task.event_type):
                return settled(task, await connector.orders(task.account))
            found = await connector.look_up(task.account, task.client_order_id, task.first_sent_at)
    except TimeoutError:
        fault = f"No answer within {LOOK_UP_WITHIN_S:g} s."
    except BrokerUnavailable as error:
        fault = str(error)
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
    else:
        return resolve(task, found, refuses_repeated_ids=connector.capabilities.refuses_repeated_ids)
    _log.warning("look_up_failed", task=task.id, account=task.account, error=fault)
    return None


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


async def _append(
    pool: Pool, actor: str, moves: Sequence[tuple[StuckTask | UnknownTask, LogEntry]], metrics: Metrics
) -> int:
    if not moves:
        return 0
    async with session(pool, "reconcile") as conn, conn.transaction():
        appended = await store.append(conn, actor, [entry for _, entry in moves])
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
