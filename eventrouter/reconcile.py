"""Finds out what became of orders whose sender is gone: SENDING past its lease becomes UNKNOWN, and UNKNOWN is looked up."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta

from eventrouter.connectors.base import Connector
from eventrouter.domain.accounts import Account
from eventrouter.domain.orders import Absent, Accepted, LookUp, Rejected
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.logs import get_logger
from eventrouter.metrics import Metrics
from eventrouter.store import tasks as store
from eventrouter.store.connect import Pool, session
from eventrouter.store.tasks import StuckTask
from eventrouter.transitions import tell

_log = get_logger("eventrouter.reconcile")
_LOOK_UP_WITHIN_S = 10.0


async def reconcile(
    pool: Pool, *, actor: str, accounts: Sequence[Account], connectors: Mapping[str, Connector], metrics: Metrics
) -> int:
    """One round over these accounts; returns how many tasks moved. Look-ups happen outside of any transaction."""
    names = [account.name for account in accounts]
    async with session(pool, "reconcile") as conn:
        ended = await store.lease_ended(conn, names)
    moved = await _append(pool, actor, [(task, _lease_ended(task)) for task in ended], metrics)
    async with session(pool, "reconcile") as conn:
        unknown = await store.unknown(conn, names)
    by_name = {account.name: connectors[account.connector] for account in accounts}
    found = await asyncio.gather(*(_look_up(by_name[task.account], task) for task in unknown))
    known = [(task, entry) for task, entry in zip(unknown, found, strict=True) if entry is not None]
    return moved + await _append(pool, actor, known, metrics)


async def _look_up(connector: Connector, task: StuckTask) -> LogEntry | None:
    """What the broker says of an order; None when it cannot be asked now, so that one broker is in nobody else's way."""
    try:
        async with asyncio.timeout(_LOOK_UP_WITHIN_S):
            return _found(task, await connector.look_up(task.account, task.client_order_id))
    except Exception as error:
        _log.warning("look_up_failed", task=task.id, account=task.account, error=f"{type(error).__name__}: {error}")
        return None


async def explain_unclaimed(pool: Pool, *, actor: str, accounts: Sequence[Account], metrics: Metrics) -> None:
    """Says in the log of a task why it waits, when its account is none of those that this router, which claims all, knows."""
    async with session(pool, "reconcile") as conn:
        tasks = await store.unclaimed(conn, [account.name for account in accounts])
    await _append(pool, actor, [(task, _unclaimed(task)) for task in tasks], metrics)


async def expire_unapproved(pool: Pool, *, actor: str, accounts: Sequence[Account], metrics: Metrics) -> None:
    """Ends entries that nobody approved within the time that their account's limits give."""
    for account in accounts:
        if (within := account.limits.approve_within) is not None:
            async with session(pool, "reconcile") as conn:
                tasks = await store.held(conn, account.name, within.total_seconds())
            await _append(pool, actor, [(task, _unapproved(task, within)) for task in tasks], metrics)


async def _append(pool: Pool, actor: str, moves: Sequence[tuple[StuckTask, LogEntry]], metrics: Metrics) -> int:
    if not moves:
        return 0
    async with session(pool, "reconcile") as conn, conn.transaction():
        appended = await store.append(conn, actor, [entry for _, entry in moves])
    for task, entry in moves:
        if row := appended.get(entry.task_id):
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
    return len(appended)


def _unclaimed(task: StuckTask) -> LogEntry:
    message = (
        f"No router claims the account {task.account!r}: it is not in the configuration. Add it, or discard the task."
    )
    return LogEntry(task.id, task.version, Status.PENDING, "NO_ROUTER", message)


def _unapproved(task: StuckTask, within: timedelta) -> LogEntry:
    message = f"Nobody approved it within {within.total_seconds():g} s of its alert."
    return LogEntry(task.id, task.version, Status.EXPIRED, "NOT_APPROVED", message)


def _lease_ended(task: StuckTask) -> LogEntry:
    message = f"{task.worker} did not report an outcome before its lease ended."
    return LogEntry(task.id, task.version, Status.UNKNOWN, "LEASE_ENDED", message)


def _found(task: StuckTask, found: LookUp) -> LogEntry:
    match found:
        case Accepted(answer, done):
            status = Status.SUCCESS if done else Status.ACCEPTED
            return LogEntry(task.id, task.version, status, "FOUND", None, answer.code, answer.body)
        case Rejected(answer, message):
            return LogEntry(task.id, task.version, Status.FAILED, "FOUND_REJECTED", message, answer.code, answer.body)
        case Absent(proven, message):
            status, reason = (Status.PENDING, "ABSENT") if proven else (Status.REVIEW, "NOT_PROVEN")
            return LogEntry(task.id, task.version, status, reason, message)
