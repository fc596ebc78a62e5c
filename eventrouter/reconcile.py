"""Finds out what became of orders whose sender is gone: SENDING past its lease becomes UNKNOWN, and UNKNOWN is looked up."""

from collections.abc import Mapping, Sequence

from eventrouter.connectors.base import Connector
from eventrouter.domain.accounts import Account
from eventrouter.domain.orders import Absent, Accepted, LookUp, Rejected
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.logs import get_logger
from eventrouter.metrics import Metrics
from eventrouter.store import tasks as store
from eventrouter.store.connect import Conn, Pool, translated
from eventrouter.store.tasks import SentTask

_log = get_logger("eventrouter.reconcile")


async def reconcile(
    pool: Pool, *, actor: str, accounts: Sequence[Account], connectors: Mapping[str, Connector], metrics: Metrics
) -> int:
    """One round over these accounts; returns how many tasks moved. Look-ups happen outside of any transaction."""
    names = [account.name for account in accounts]
    async with translated("reconcile"), pool.connection() as conn, conn.transaction():
        ended = await store.lease_ended(conn, names)
        moved = await _append(conn, actor, [_lease_ended(task) for task in ended], metrics)
    async with translated("reconcile"), pool.connection() as conn:
        unknown = await store.unknown(conn, names)
    by_name = {account.name: connectors[account.connector] for account in accounts}
    entries = [
        _found(task, await by_name[task.account].look_up(task.account, task.client_order_id)) for task in unknown
    ]
    async with translated("reconcile"), pool.connection() as conn, conn.transaction():
        moved += await _append(conn, actor, entries, metrics)
    return moved


async def _append(conn: Conn, actor: str, entries: Sequence[LogEntry], metrics: Metrics) -> int:
    appended = await store.append(conn, actor, entries)
    for entry in entries:
        if row := appended.get(entry.task_id):
            metrics.transitions.labels(row.prev_status, entry.status).inc()
            _log.warning(
                "transition", task=entry.task_id, prev=row.prev_status, status=str(entry.status), reason=entry.reason
            )
    return len(appended)


def _lease_ended(task: SentTask) -> LogEntry:
    message = f"{task.worker} did not report an outcome before its lease ended."
    return LogEntry(task.id, task.version, Status.UNKNOWN, "LEASE_ENDED", message)


def _found(task: SentTask, found: LookUp) -> LogEntry:
    match found:
        case Accepted(answer, done):
            status = Status.SUCCESS if done else Status.ACCEPTED
            return LogEntry(task.id, task.version, status, "FOUND", None, answer.code, answer.body)
        case Rejected(answer, message):
            return LogEntry(task.id, task.version, Status.FAILED, "FOUND_REJECTED", message, answer.code, answer.body)
        case Absent(proven, message):
            status, reason = (Status.PENDING, "ABSENT") if proven else (Status.REVIEW, "NOT_PROVEN")
            return LogEntry(task.id, task.version, status, reason, message)
