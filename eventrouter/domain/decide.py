"""What happens to the tasks that a router has just locked. Pure: the same tasks at the same time decide the same way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from eventrouter.domain.orders import Order, order_from_payload
from eventrouter.domain.tasks import LogEntry, Status

RECHECK_S = 1.0


class Sibling(NamedTuple):
    """Another task of the same trade on the same account."""

    id: int
    version: int
    status: str
    opening: bool


@dataclass(frozen=True, slots=True)
class DueTask:
    """A locked task and what is needed to decide about it. Times are aware, UTC."""

    id: int
    version: int
    trade_id: str
    event_type: str
    opening: bool
    attempts: int
    payload: Mapping[str, Any]
    account: str
    lane: str
    mode: str
    client_order_id: str
    expires_at: datetime | None
    created_at: datetime
    received_at: datetime
    trade: tuple[Sibling, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """An intent to record and then to send."""

    task: DueTask
    order: Order
    entry: LogEntry


@dataclass(frozen=True, slots=True)
class Decisions:
    """`sends` in the order to be sent; `others` are log rows that send nothing."""

    sends: tuple[Send, ...]
    others: tuple[LogEntry, ...]


def decide(due: Sequence[DueTask], *, now: datetime, dry_run: bool, lease_s: float, limit: int) -> Decisions:
    """Decides at most `limit` tasks: exits first, then entries, each in the order given."""
    exits = [task for task in due if not task.opening]
    entries = [task for task in due if task.opening]
    sends: list[Send] = []
    others: dict[int, LogEntry] = {}
    closing: set[tuple[str, str]] = set()
    for task in [*exits, *entries][:limit]:
        trade = (task.account, task.trade_id)
        if task.id in others or (not task.opening and trade in closing):
            continue  # cancelled by an exit just now, or a second exit: it waits for the outcome of the first
        refusal = _refusal(task, now, dry_run=dry_run)
        if refusal is None and not task.opening:
            others.update(_cancel_unsent(task))
            refusal = _nothing_to_close(task)
        if refusal is not None:
            others[task.id] = refusal
            continue
        sends.append(_send(task, lease_s))
        if not task.opening:
            closing.add(trade)
    return Decisions(tuple(sends), tuple(others.values()))


def _refusal(task: DueTask, now: datetime, *, dry_run: bool) -> LogEntry | None:
    if task.event_type != "ENTRY" and not task.event_type.startswith("EXIT"):
        return _refuse(
            task,
            Status.DENIED,
            "UNKNOWN_EVENT",
            f"{task.event_type} is no event that can be executed: use ENTRY or EXIT.",
        )
    if (task.mode == "dry") != dry_run:
        return _refuse(
            task, Status.CANCELLED, "MODE_CHANGED", f"Enqueued in {task.mode} mode; this router runs in the other one."
        )
    if task.opening and task.expires_at is not None and now >= task.expires_at:
        age_s = (now - task.received_at).total_seconds()
        limit_s = (task.expires_at - task.received_at).total_seconds()
        return _refuse(task, Status.EXPIRED, "TOO_OLD", f"The entry is {age_s:.1f} s old; the limit is {limit_s:g} s.")
    if task.opening:
        return _trade_closed(task)
    return None


def _trade_closed(task: DueTask) -> LogEntry | None:
    for other in task.trade:
        if other.opening or other.status == Status.CANCELLED:
            continue
        if other.status == Status.PENDING:
            return _refuse(
                task,
                Status.CANCELLED,
                "EXIT_OVERTOOK",
                f"The exit of its trade (task {other.id}) came before it was sent.",
            )
        return _refuse(
            task,
            Status.DENIED,
            "TRADE_CLOSED",
            f"Its trade was closed by task {other.id} already; a new trade needs a new trade_id.",
        )
    return None


def _cancel_unsent(task: DueTask) -> dict[int, LogEntry]:
    message = f"The exit of its trade (task {task.id}) came before it was sent."
    return {
        entry.id: LogEntry(entry.id, entry.version, Status.CANCELLED, "EXIT_OVERTOOK", message)
        for entry in task.trade
        if entry.opening and entry.status in (Status.PENDING, Status.HELD)
    }


def _nothing_to_close(task: DueTask) -> LogEntry | None:
    """Why this exit sends nothing, or waits; None when the trade is open and this exit is its first.

    An entry that is UNKNOWN or in REVIEW counts as not executed: in a dry run nothing can have left, and once its trade
    has an exit that entry can only be denied.
    """
    sending = next((other for other in task.trade if other.status == Status.SENDING), None)
    if sending is not None:
        message = f"Task {sending.id} of the same trade is being sent; what there is to close is not known yet."
        return LogEntry(task.id, task.version, Status.PENDING, "TRADE_UNDECIDED", message, run_in_s=RECHECK_S)
    done = [other for other in task.trade if other.status in (Status.SUCCESS, Status.ACCEPTED)]
    closed_by = next((other for other in done if not other.opening), None)
    if closed_by is not None:
        return _refuse(task, Status.DENIED, "NOTHING_TO_CLOSE", f"The trade was closed by task {closed_by.id} already.")
    if not done:
        entries = [other for other in task.trade if other.opening]
        stood = (
            ", ".join(f"task {e.id} was {_before_exit(e)}" for e in entries) or "the trade has no entry on this account"
        )
        return _refuse(task, Status.DENIED, "NOTHING_TO_CLOSE", f"No entry of this trade was executed: {stood}.")
    return None


def _before_exit(entry: Sibling) -> str:
    return "not sent yet and is cancelled" if entry.status in (Status.PENDING, Status.HELD) else entry.status


def _refuse(task: DueTask, status: Status, reason: str, message: str) -> LogEntry:
    return LogEntry(task.id, task.version, status, reason, message)


def _send(task: DueTask, lease_s: float) -> Send:
    order = order_from_payload(
        task.payload,
        client_order_id=task.client_order_id,
        account=task.account,
        trade_id=task.trade_id,
        opening=task.opening,
    )
    detail = {"request_hash": order.request_hash(), "client_order_id": order.client_order_id}
    entry = LogEntry(task.id, task.version, Status.SENDING, "INTENT", detail=detail, lease_s=lease_s)
    return Send(task, order, entry)
