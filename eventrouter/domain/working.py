"""What becomes of a task whose order works at the broker: its fills, its end, late refusals, fills that nobody expected. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from eventrouter.domain.broker import OrderState
from eventrouter.domain.denials import plain
from eventrouter.domain.holdings import Part
from eventrouter.domain.tasks import LogEntry, Status

FILL_REASONS = {"stop": "STOP_FILLED", "target": "TARGET_FILLED"}
"""Role of the order → reason of the log row that its fill adds; FILL for all others, LATE_FILL on a task that was over."""

_OVER = (Status.FAILED, Status.CANCELLED, Status.EXPIRED, Status.DENIED)
_TURNS_UP = (Status.PENDING, Status.UNKNOWN, Status.REVIEW)
_ENDED = (OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED)
_REFUSALS = {
    OrderState.REJECTED: ("REJECTED_LATE", "The broker accepted the order and rejected it later; nothing was filled."),
    OrderState.EXPIRED: ("EXPIRED_AT_BROKER", "The order expired at the broker; nothing was filled."),
    OrderState.CANCELLED: (
        "CANCELLED_AT_BROKER",
        "The broker cancelled the order and we did not ask for it; nothing was filled.",
    ),
}


@dataclass(frozen=True, slots=True)
class WorkingTask:
    """A task and its order. `ordered` and `shown` are what the broker says is ordered and filled of it, `recorded` what our
    fills of it add up to. `cancel_asked`: the task's log has a CANCEL_REQUESTED.
    """

    id: int
    version: int
    status: Status
    order_id: str
    state: OrderState
    ordered: Decimal
    shown: Decimal
    recorded: Decimal
    cancel_asked: bool = False


def lacks_fills(task: WorkingTask) -> bool:
    """Whether the broker shows more filled than we have recorded: its fills are to be read before anything is concluded."""
    expected = task.ordered if task.state is OrderState.FILLED else task.shown
    return task.recorded < max(task.shown, expected)


def ended(task: WorkingTask) -> LogEntry | None:
    """The row that ends an ACCEPTED task; None while its order works, or while fills of it are missing."""
    if task.status != Status.ACCEPTED or lacks_fills(task):
        return None
    detail = {"order_id": task.order_id, "filled": plain(task.recorded), "ordered": plain(task.ordered)}
    if task.state is OrderState.FILLED:
        message = f"{plain(task.recorded)} of {plain(task.ordered)} filled."
        return LogEntry(task.id, task.version, Status.SUCCESS, "FILLED", message, detail=detail)
    if task.state not in _ENDED:
        return None
    if task.recorded:
        message = f"{plain(task.recorded)} of {plain(task.ordered)} filled; the rest is {task.state}."
        return LogEntry(task.id, task.version, Status.SUCCESS, "PARTIAL", message, detail=detail)
    if task.state is OrderState.CANCELLED and task.cancel_asked:
        message = "Cancelled as we asked; nothing was filled."
        return LogEntry(task.id, task.version, Status.CANCELLED, "CANCELLED", message, detail=detail)
    reason, message = _REFUSALS[task.state]
    return LogEntry(task.id, task.version, Status.FAILED, reason, message, detail=detail)


def partly_filled(task: WorkingTask, shown_before: Decimal) -> LogEntry | None:
    """Evidence that an order which goes on working has filled in part; None when the broker's news is not that."""
    working = task.status == Status.ACCEPTED and task.state is OrderState.WORKING
    if not working or not shown_before < task.shown < task.ordered:
        return None
    message = f"The broker shows {plain(task.shown)} of {plain(task.ordered)} filled; the rest is working."
    detail = {"order_id": task.order_id, "filled": plain(task.shown), "ordered": plain(task.ordered)}
    return LogEntry(task.id, task.version, task.status, "PARTIALLY_FILLED", message, detail=detail)


def unknown_to_broker(task: WorkingTask) -> LogEntry | None:
    """The broker does not list an order any more that was working: what became of it must be looked up."""
    if task.status != Status.ACCEPTED:
        return None
    message = f"The broker does not list order {task.order_id} any more."
    return LogEntry(
        task.id, task.version, Status.UNKNOWN, "NO_LONGER_KNOWN", message, detail={"order_id": task.order_id}
    )


def turned_up(task_id: int, version: int, status: Status, order_id: str) -> LogEntry | None:
    """A fill proves that the broker has the order of a task that was not known to be accepted; None where that is known."""
    if status not in _TURNS_UP:
        return None
    message = f"A fill shows that the broker has the order, as {order_id}."
    return LogEntry(task_id, version, Status.ACCEPTED, "LATE_ACCEPTANCE", message, detail={"order_id": order_id})


def is_late(part: Part, status: Status) -> bool:
    """Whether a task's own order filled although the task had ended without doing anything."""
    return status in _OVER and part.role not in FILL_REASONS


def fill_row(part: Part, version: int, status: Status) -> LogEntry:
    """The evidence that a fill leaves in its task's log."""
    assert part.task_id is not None
    execution = part.execution
    price = "an unknown price" if execution.price is None else plain(execution.price)
    message = f"{execution.side} {plain(part.quantity)} {execution.contract} at {price}."
    reason = FILL_REASONS.get(part.role, "FILL")
    if is_late(part, status):
        reason = "LATE_FILL"
        message = f"{message} The task was {status} by then: the position is not what it should be."
    return LogEntry(part.task_id, version, status, reason, message, detail=fill_detail(part))


def fill_detail(part: Part) -> Mapping[str, Any]:
    """A row of fills as JSON; quantities and money as text."""
    execution = part.execution
    return {
        "fill_id": execution.fill_id,
        "part": part.part,
        "order_id": execution.order_id,
        "contract": execution.contract,
        "side": str(execution.side),
        "quantity": plain(part.quantity),
        "price": None if execution.price is None else plain(execution.price),
        "fee": plain(part.fee),
        "pnl": None if part.pnl is None else plain(part.pnl),
        "filled_at": execution.at.isoformat(),
    }
