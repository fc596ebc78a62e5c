"""What an order that the broker shows means for a task that was not known to have it: adopted, or one too many. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from eventrouter.domain.adopt import agrees
from eventrouter.domain.broker import BrokerOrder, OrderState
from eventrouter.domain.denials import plain
from eventrouter.domain.tasks import LogEntry, Status

WORKS = (OrderState.WORKING, OrderState.UNCLEAR)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task, and the client order id of an order that is shown. `intent` is the last one under that id, sent first at `first_sent_at`.

    `superseded`: an operator had the task sent again since, under another id, and that was sent. `told`: its log has such a row
    about this order; `told_filled`: also that it filled.
    """

    id: int
    version: int
    status: Status
    event_type: str
    account: str
    intent: Mapping[str, Any]
    first_sent_at: datetime
    superseded: bool
    told: bool
    told_filled: bool


def turned_up_order(task: Candidate, order: BrokerOrder) -> LogEntry | None:
    """The row that an order adds which the broker shows; None where it is nothing new.

    A rejected one is left out: a repeat that the broker refused bears the same id. One in UNKNOWN that has ended is looked up.
    """
    if order.state is OrderState.REJECTED:
        return None
    if task.superseded:
        return _one_too_many(task, order)
    if task.status == Status.UNKNOWN and order.state not in (*WORKS, OrderState.FILLED):
        return None
    if task.status not in (Status.PENDING, Status.UNKNOWN, Status.REVIEW):
        return None
    differs = agrees(
        order, task.intent, account=task.account, event_type=task.event_type, first_sent_at=task.first_sent_at
    )
    detail = {"order_id": order.id, "state": str(order.state), "filled": plain(order.filled)}
    if differs is not None:
        if task.status == Status.UNKNOWN or task.told:
            return None
        # one that is to be sent again is not: a person looks first at what bears its id
        return LogEntry(task.id, task.version, Status.REVIEW, "NOT_OURS", differs, detail=detail)
    message = f"The broker shows the order, as {order.id}: {order.state}, {plain(order.filled)} of {plain(order.quantity)} filled."
    reason = "FOUND" if task.status == Status.UNKNOWN else "LATE_ACCEPTANCE"
    return LogEntry(task.id, task.version, Status.ACCEPTED, reason, message, detail=detail)


def _one_too_many(task: Candidate, order: BrokerOrder) -> LogEntry | None:
    """Evidence, once, and once more when it fills, that an order of before a retry is there beside the one of after it."""
    works, filled = order.state in WORKS, order.filled > Decimal(0)
    if not (works or filled) or (task.told_filled if filled else task.told):
        return None
    shown = f"{order.side} {plain(order.quantity)} {order.contract}, {plain(order.filled)} filled, {order.state}"
    follows = " What may still fill of it is withdrawn." if works else ""
    message = (
        f"Order {order.id} of before the retry is at the broker after all: {shown}. The task was sent again since,"
        f" so both may be executed.{follows} Look at the broker's position."
    )
    detail = {"order_id": order.id, "client_order_id": order.client_order_id, "filled": plain(order.filled)}
    return LogEntry(task.id, task.version, task.status, "EARLIER_ORDER", message, detail=detail)
