"""What happens to the tasks that a router has just locked. Pure: the same tasks at the same time decide the same way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eventrouter.domain.orders import Order, order_from_payload, payload_fault
from eventrouter.domain.tasks import LogEntry, Status

RECHECK_S = 1.0


@dataclass(frozen=True, slots=True)
class TradeFacts:
    """What is known of a trade's other tasks on the account; see db/functions/trade_facts.sql. Ids, or None."""

    sending: int | None = None
    closed: int | None = None
    opened: tuple[int, str | None] | None = None
    exit: tuple[int, str] | None = None
    unsent: tuple[tuple[int, int], ...] = ()
    entries: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class DueTask:
    """A locked task and what is needed to decide about it. Times are aware, UTC."""

    id: int
    version: int
    trade_id: str
    event_type: str
    opening: bool
    attempts: int
    payload: Mapping[str, Any] | None
    account: str
    lane: str
    mode: str
    client_order_id: str
    expires_at: datetime | None
    created_at: datetime
    received_at: datetime
    trade: TradeFacts


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
    if fault := payload_fault(task.payload):
        return _refuse(task, Status.DENIED, "BAD_PAYLOAD", fault)
    if task.opening and task.expires_at is not None and now >= task.expires_at:
        age_s = (now - task.received_at).total_seconds()
        limit_s = (task.expires_at - task.received_at).total_seconds()
        return _refuse(task, Status.EXPIRED, "TOO_OLD", f"The entry is {age_s:.1f} s old; the limit is {limit_s:g} s.")
    if task.opening:
        return _trade_closed(task)
    return None


def _trade_closed(task: DueTask) -> LogEntry | None:
    if task.trade.exit is None:
        return None
    exit_id, status = task.trade.exit
    if status == Status.PENDING:
        message = f"The exit of its trade (task {exit_id}) came before it was sent."
        return _refuse(task, Status.CANCELLED, "EXIT_OVERTOOK", message)
    message = f"Its trade was closed by task {exit_id} already; a new trade needs a new trade_id."
    return _refuse(task, Status.DENIED, "TRADE_CLOSED", message)


def _cancel_unsent(task: DueTask) -> dict[int, LogEntry]:
    message = f"The exit of its trade (task {task.id}) came before it was sent."
    return {
        task_id: LogEntry(task_id, version, Status.CANCELLED, "EXIT_OVERTOOK", message)
        for task_id, version in task.trade.unsent
    }


def _nothing_to_close(task: DueTask) -> LogEntry | None:
    """Why this exit sends nothing, or waits; None when the trade is open and this exit is its first.

    An entry that is UNKNOWN or in REVIEW counts as not executed: in a dry run nothing can have left, and once its trade
    has an exit that entry can only be denied.
    """
    trade = task.trade
    if trade.sending is not None:
        message = f"Task {trade.sending} of the same trade is being sent or looked up; what there is to close is not known yet."
        return LogEntry(task.id, task.version, Status.PENDING, "TRADE_UNDECIDED", message, run_in_s=RECHECK_S)
    if trade.closed is not None:
        return _refuse(task, Status.DENIED, "NOTHING_TO_CLOSE", f"The trade was closed by task {trade.closed} already.")
    if trade.opened is None:
        stood = ", ".join(f"task {entry} was {_before_exit(status)}" for entry, status in trade.entries)
        message = f"No entry of this trade was executed: {stood or 'the trade has no entry on this account'}."
        return _refuse(task, Status.DENIED, "NOTHING_TO_CLOSE", message)
    return None


def _before_exit(status: str) -> str:
    return "not sent yet and is cancelled" if status in (Status.PENDING, Status.HELD) else status


def _refuse(task: DueTask, status: Status, reason: str, message: str) -> LogEntry:
    return LogEntry(task.id, task.version, status, reason, message)


def _send(task: DueTask, lease_s: float) -> Send:
    held = task.trade.opened[1] if task.trade.opened is not None and not task.opening else None
    order = order_from_payload(
        task.payload or {},
        client_order_id=task.client_order_id,
        account=task.account,
        trade_id=task.trade_id,
        opening=task.opening,
        held_symbol=held,
    )
    detail = {"request_hash": order.request_hash(), "client_order_id": order.client_order_id}
    entry = LogEntry(task.id, task.version, Status.SENDING, "INTENT", detail=detail, lease_s=lease_s)
    return Send(task, order, entry)
