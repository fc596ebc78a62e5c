"""What happens to the tasks that a router has just locked. Pure: the same tasks at the same time decide the same way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from eventrouter.domain.orders import Order, order_from_payload, payload_fault
from eventrouter.domain.tasks import LogEntry, Status

RECHECK_S = 1.0
_RECHECK_EXIT_S = 10.0
_RECHECK_LONGEST_S = 60.0
_OPENING = ("ENTRY", "ADD")
_UNDECIDED = (Status.PENDING, Status.HELD, Status.SENDING, Status.UNKNOWN, Status.REVIEW, Status.ACCEPTED)
_EVENTS = (*_OPENING, "REDUCE", "CANCEL", "MOVE_STOP")  # and EXIT, EXIT_…


@dataclass(frozen=True, slots=True)
class TradeFacts:
    """What is known of a trade's other tasks on the account; see db/functions/trade_facts.sql. Ids, or None.

    `after`: the same of each trade that must be closed before this one may open.
    """

    sending: int | None = None
    closed: tuple[int, str] | None = None
    opened: tuple[int, str | None] | None = None
    exit: tuple[int, str] | None = None
    unsent: tuple[tuple[int, int], ...] = ()
    entries: tuple[tuple[int, str], ...] = ()
    after: Mapping[str, "TradeFacts"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DueTask:
    """A locked task and what is needed to decide about it. Times are aware, UTC.

    `repeated`: an earlier attempt may have reached the broker.
    """

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
    repeated: bool = False


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
    """Decides at most `limit` tasks: what closes first, then entries, each in the order given.

    What depends on another task that is decided here waits for that one's outcome, and is left out.
    """
    exits = [task for task in due if not task.opening]
    entries = [task for task in due if task.opening]
    sends: list[Send] = []
    others: dict[int, LogEntry] = {}
    busy: set[tuple[str, str]] = set()  # trades of which something is sent now
    for task in [*exits, *entries][:limit]:
        trade = (task.account, task.trade_id)
        waits = trade in busy and task.event_type != "ENTRY"
        if task.id in others or waits or any((task.account, before) in busy for before in task.trade.after):
            continue  # cancelled by an exit just now, or to be decided when the other's outcome is known
        refusal = _refusal(task, now, dry_run=dry_run)
        if refusal is None and not task.opening:
            refusal = _without_object(task, now)
            if is_exit(task.event_type) or task.event_type == "CANCEL":
                others.update(_cancel_unsent(task))
        if refusal is not None:
            others[task.id] = refusal
            continue
        sends.append(_send(task, lease_s))
        busy.add(trade)
    return Decisions(tuple(sends), tuple(others.values()))


def is_exit(event_type: str) -> bool:
    """Whether the event closes its trade."""
    return event_type.startswith("EXIT")


def _refusal(task: DueTask, now: datetime, *, dry_run: bool) -> LogEntry | None:
    if task.event_type not in _EVENTS and not is_exit(task.event_type):
        return _refuse(
            task,
            Status.DENIED,
            "UNKNOWN_EVENT",
            f"{task.event_type} is no event that can be executed: use {', '.join(_EVENTS)} or EXIT.",
        )
    if (task.mode == "dry") != dry_run:
        return _refuse(
            task, Status.CANCELLED, "MODE_CHANGED", f"Enqueued in {task.mode} mode; this router runs in the other one."
        )
    if fault := payload_fault(task.payload):
        return _refuse(task, Status.DENIED, "BAD_PAYLOAD", fault)
    if task.opening and task.expires_at is not None and now >= task.expires_at:
        return _refuse(task, Status.EXPIRED, "TOO_OLD", _too_old(task, task.expires_at, now))
    if task.opening:
        return _trade_closed(task) or _not_flat(task, now) or _nothing_to_add_to(task)
    return None


def _too_old(task: DueTask, expires_at: datetime, now: datetime) -> str:
    limit_s = (expires_at - task.received_at).total_seconds()
    if limit_s > 0:
        age_s = (now - task.received_at).total_seconds()
        return f"The entry is {age_s:.1f} s old; the limit is {limit_s:g} s."
    return f"It fired too long before it came: it was {-limit_s:.1f} s over its age limit on arrival. Is its time that of a bar? Send {{{{timenow}}}}."


def _not_flat(task: DueTask, now: datetime) -> LogEntry | None:
    """Why the opening half of a reversal waits or is refused; None once every trade before it is closed."""
    for trade_id, trade in task.trade.after.items():
        exits = [found[1] for found in (trade.exit, trade.closed) if found is not None]
        unsent = any(entry < task.id for entry, _ in trade.unsent)  # a later one waits in line behind this task
        if trade.sending is not None or unsent or any(status in _UNDECIDED for status in exits):
            message = f"Trade {trade_id}, which it reverses, is being closed."
            return LogEntry(
                task.id,
                task.version,
                Status.PENDING,
                "WAITS_FOR_EXIT",
                message,
                run_in_s=_recheck_s(task, now, _RECHECK_LONGEST_S),
            )
        if trade.opened is not None and trade.closed is None:
            how = f"its exit (task {trade.exit[0]}) is {trade.exit[1]}" if trade.exit else "it has no exit"
            message = f"Trade {trade_id}, which it reverses, is not closed: {how}."
            return _refuse(task, Status.DENIED, "NOT_FLAT", message)
    return None


def _nothing_to_add_to(task: DueTask) -> LogEntry | None:
    if task.event_type != "ADD" or task.trade.opened is not None:
        return None
    return _refuse(task, Status.DENIED, "NOTHING_OPEN", f"There is nothing to add to: {_no_entry(task)}.")


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
    if is_exit(task.event_type):
        reason, message, entries = "EXIT_OVERTOOK", "The exit of its trade", task.trade.unsent
    else:
        reason, message, entries = "CANCELLED_BY_ALERT", "A cancel for its trade", tuple(_waiting_entries(task))
    message = f"{message} (task {task.id}) came before it was sent."
    return {task_id: LogEntry(task_id, version, Status.CANCELLED, reason, message) for task_id, version in entries}


def _without_object(task: DueTask, now: datetime) -> LogEntry | None:
    """Why what closes, reduces, cancels or moves a stop finds nothing to do it to, or waits; None when it does.

    An entry that is UNKNOWN or in REVIEW counts as not executed: in a dry run nothing can have left, and once its trade
    has an exit that entry can only be denied.
    """
    trade = task.trade
    if task.event_type == "CANCEL":
        if _waiting_entries(task):
            return None
        return _refuse(task, Status.DENIED, "NOTHING_TO_CANCEL", "No order of this trade is waiting or working.")
    if trade.sending is not None:
        message = f"Task {trade.sending} of the same trade is being sent or looked up; what is open is not known yet."
        return LogEntry(
            task.id,
            task.version,
            Status.PENDING,
            "TRADE_UNDECIDED",
            message,
            run_in_s=_recheck_s(task, now, _RECHECK_EXIT_S),
        )
    reason = "NOTHING_OPEN" if task.event_type == "MOVE_STOP" else "NOTHING_TO_CLOSE"
    if trade.closed is not None:
        return _refuse(task, Status.DENIED, reason, f"The trade was closed by task {trade.closed[0]} already.")
    if trade.opened is None and _waiting_entries(task) and not is_exit(task.event_type):
        message = "The entry of its trade is not sent yet."
        wait_s = _recheck_s(task, now, _RECHECK_LONGEST_S)
        return LogEntry(task.id, task.version, Status.PENDING, "WAITS_FOR_ENTRY", message, run_in_s=wait_s)
    if trade.opened is None:
        return _refuse(task, Status.DENIED, reason, f"{_no_entry(task)}.")
    return None


def _recheck_s(task: DueTask, now: datetime, longest_s: float) -> float:
    """When to look again: the less often the longer it waits, for each look is a log row."""
    return min(max(RECHECK_S, (now - task.created_at).total_seconds() / 10), longest_s)


def _waiting_entries(task: DueTask) -> list[tuple[int, int]]:
    """Unsent entries that came before this task."""
    return [(entry, version) for entry, version in task.trade.unsent if entry < task.id]


def _no_entry(task: DueTask) -> str:
    stood = ", ".join(f"task {entry} was {_before_exit(status)}" for entry, status in task.trade.entries)
    return f"No entry of this trade was executed: {stood or 'the trade has no entry on this account'}"


def _before_exit(status: str) -> str:
    return "not sent yet and is cancelled" if status in (Status.PENDING, Status.HELD) else status


def _refuse(task: DueTask, status: Status, reason: str, message: str) -> LogEntry:
    return LogEntry(task.id, task.version, status, reason, message)


def _action(event_type: str) -> str:
    if is_exit(event_type):
        return "CLOSE"
    return "OPEN" if event_type in _OPENING else event_type


def _send(task: DueTask, lease_s: float) -> Send:
    held = task.trade.opened[1] if task.trade.opened is not None and not task.opening else None
    order = order_from_payload(
        task.payload or {},
        client_order_id=task.client_order_id,
        account=task.account,
        trade_id=task.trade_id,
        action=_action(task.event_type),
        held_symbol=held,
    )
    detail = {"request_hash": order.request_hash(), "client_order_id": order.client_order_id}
    entry = LogEntry(task.id, task.version, Status.SENDING, "INTENT", detail=detail, lease_s=lease_s)
    return Send(task, order, entry)
