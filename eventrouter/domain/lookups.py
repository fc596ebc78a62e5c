"""What a look-up of an order makes of its task, and when to look again. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from eventrouter.domain.adopt import agrees
from eventrouter.domain.broker import BrokerOrder, OrderState
from eventrouter.domain.orders import Absent, Accepted, LookUp, Rejected
from eventrouter.domain.retry import Cause, may_retry
from eventrouter.domain.tasks import LogEntry, Status

LOOK_AGAIN_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds after each look-up that found nothing: an order may become visible late."""


@dataclass(frozen=True, slots=True)
class UnknownTask:
    """A task in UNKNOWN. `intent` is what its last intent's row says, `absences` how often it was looked for in vain since.

    `due_in_s`: seconds until it is to be looked up (again), zero or less when it is due. `told`: its log says that the broker
    could not be asked.
    """

    id: int
    version: int
    trade_id: str
    account: str
    client_order_id: str
    received_at: datetime
    event_type: str
    opening: bool
    attempts: int
    expires_at: datetime | None
    first_sent_at: datetime
    intent: Mapping[str, Any]
    absences: int
    due_in_s: float
    now: datetime
    told: bool = False


def unasked(task: UnknownTask, fault: str) -> LogEntry | None:
    """The row that says, once for each attempt, that the broker could not be asked what became of it."""
    if task.told:
        return None
    return LogEntry(task.id, task.version, Status.UNKNOWN, "LOOK_UP_FAILED", f"{fault} It is asked again and again.")


def is_change(event_type: str) -> bool:
    """Whether it changes orders that work already: a cancel, a stop's new price. Doing that twice does no harm."""
    return event_type in ("CANCEL", "MOVE_STOP")


def settled(task: UnknownTask, orders: Sequence[BrokerOrder]) -> LogEntry:
    """The row of a change whose answer was lost: SUCCESS when every order is as its intent wanted it, else it is asked again.

    `orders`: those that work now. The intent's `targets` are order ids with the prices wanted, or null to have it cancelled.
    """
    targets: Mapping[str, Mapping[str, str] | None] = task.intent.get("targets") or {}
    working = {order.id: order for order in orders if order.state in (OrderState.WORKING, OrderState.UNCLEAR)}
    missing = [order_id for order_id, wanted in targets.items() if not _is_as(working.get(order_id), wanted)]
    if targets and not missing:
        message = f"The broker shows what was asked for: {', '.join(targets)}."
        return LogEntry(task.id, task.version, Status.SUCCESS, "FOUND", message)
    what = f"Not yet as asked for: {', '.join(missing)}." if missing else "It had nothing to ask the broker."
    return LogEntry(task.id, task.version, Status.PENDING, "REPEATABLE", f"{what} Doing it again is harmless.")


def _is_as(order: BrokerOrder | None, wanted: Mapping[str, str] | None) -> bool:
    if wanted is None or order is None:
        return wanted is None and order is None
    return all(getattr(order, name) == Decimal(price) for name, price in wanted.items())


def resolve(task: UnknownTask, found: LookUp, *, refuses_repeated_ids: bool) -> LogEntry:
    """The log row that a look-up's answer adds. Only an order that agrees with the intent is taken for ours.

    A found order that is done stays ACCEPTED until its fills are recorded; one that comes without its facts is as it says.
    """
    order = None if isinstance(found, Absent) else found.order
    if order is not None:
        why_not = agrees(
            order,
            task.intent,
            account=task.account,
            event_type=task.event_type,
            first_sent_at=task.first_sent_at,
        )
        if why_not:
            detail = {"order_id": order.id, "order": _facts(order)}
            return LogEntry(task.id, task.version, Status.REVIEW, "NOT_OURS", why_not, detail=detail)
    match found:
        case Accepted(answer, done, order_id):
            status = Status.SUCCESS if done and order is None else Status.ACCEPTED
            reason, message = "FOUND", None
        case Rejected(answer, message):
            status, reason, order_id = Status.FAILED, "FOUND_REJECTED", order.id if order else None
        case Absent(proven, message):
            return _absent(task, message, proven=proven, refuses_repeated_ids=refuses_repeated_ids)
    detail = {**(answer.detail or {}), **({"order_id": order_id} if order_id else {})}
    return LogEntry(task.id, task.version, status, reason, message, answer.code, answer.body, detail=detail)


def _absent(task: UnknownTask, message: str, *, proven: bool, refuses_repeated_ids: bool) -> LogEntry:
    if proven:
        return LogEntry(task.id, task.version, Status.PENDING, "ABSENT", message, detail={"proven": True})
    if task.absences < len(LOOK_AGAIN_S):
        wait_s = LOOK_AGAIN_S[task.absences]
        detail = {"look_up": task.absences + 1}
        return LogEntry(task.id, task.version, Status.UNKNOWN, "NOT_FOUND", message, detail=detail, run_in_s=wait_s)
    sought = f"{message} It was looked up {task.absences + 1} times."
    if not refuses_repeated_ids:
        return LogEntry(task.id, task.version, Status.REVIEW, "NOT_PROVEN", sought)
    fresh = may_retry(
        task.attempts, opening=task.opening, expires_at=task.expires_at, now=task.now, cause=Cause.NOT_FOUND
    )
    if fresh:
        message = f"{sought} The broker refuses an id that it knows, so the order is sent again under the same one."
        return LogEntry(task.id, task.version, Status.PENDING, "ABSENT", message)
    return LogEntry(task.id, task.version, Status.REVIEW, "NOT_PROVEN", f"{sought} It is too late to send it again.")


def _facts(order: Any) -> dict[str, str]:
    names = ("account", "contract", "side", "quantity", "filled", "state", "created_at")
    return {name: str(getattr(order, name)) for name in names}
