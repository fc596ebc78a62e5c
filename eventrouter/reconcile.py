"""Finds out what became of orders whose sender is gone: SENDING past its lease becomes UNKNOWN, and UNKNOWN is looked up."""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal

from eventrouter.connectors.base import Connector
from eventrouter.domain.accounts import Account
from eventrouter.domain.broker import BrokerOrder, OrderState
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
_CHANGES = ("CANCEL", "MOVE_STOP")


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
            if task.event_type in _CHANGES:
                return _changed(task, await connector.orders(task.account) if task.targets else ())
            return _found(task, await connector.look_up(task.account, task.client_order_id))
    except Exception as error:
        _log.warning("look_up_failed", task=task.id, account=task.account, error=f"{type(error).__name__}: {error}")
        return None


async def explain_unclaimed(pool: Pool, *, actor: str, accounts: Sequence[Account], metrics: Metrics) -> None:
    """Says in the log of a task why it waits, when its account is none of those that this router, which claims all, knows."""
    async with session(pool, "reconcile") as conn:
        tasks = await store.unclaimed(conn, [account.name for account in accounts])
    await _append(pool, actor, [(task, _unclaimed(task)) for task in tasks], metrics)


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


def _changed(task: StuckTask, orders: Sequence[BrokerOrder]) -> LogEntry:
    """Whether every order is as the intent wanted it. Where not, it is asked again: that a change is made twice does no harm."""
    working = {order.id: order for order in orders if order.state in (OrderState.WORKING, OrderState.UNCLEAR)}
    missing = [
        order_id for order_id, wanted in (task.targets or {}).items() if not _is_as(working.get(order_id), wanted)
    ]
    if task.targets and not missing:
        message = f"The broker shows what was asked for: {', '.join(task.targets)}."
        return LogEntry(task.id, task.version, Status.SUCCESS, "FOUND", message)
    what = f"Not yet as asked for: {', '.join(missing)}." if missing else "It had nothing to ask the broker."
    return LogEntry(task.id, task.version, Status.PENDING, "ABSENT", what)


def _is_as(order: BrokerOrder | None, wanted: Mapping[str, str] | None) -> bool:
    if wanted is None or order is None:
        return wanted is None and order is None
    return all(getattr(order, name) == Decimal(price) for name, price in wanted.items())
