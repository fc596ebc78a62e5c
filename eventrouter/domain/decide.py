"""What happens to the tasks that a router has just locked. Pure: the same tasks at the same time decide the same way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from eventrouter.domain.clearing import NOBODY, Asker, Clearing
from eventrouter.domain.closing import OrderChange, close, is_exit
from eventrouter.domain.opening import not_flat, nothing_to_add_to
from eventrouter.domain.orders import Order, order_from_payload, payload_fault
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.domain.trade_facts import TradeFacts
from eventrouter.domain.verdicts import in_doubt, refuse

_OPENING = ("ENTRY", "ADD")
_EVENTS = (*_OPENING, "REDUCE", "CANCEL", "MOVE_STOP")  # and EXIT, EXIT_…


@dataclass(frozen=True, slots=True)
class DueTask:
    """A locked task and what is needed to decide about it. Times are aware, UTC.

    `repeated`: an earlier attempt may have reached the broker. `plan`: why and how this account was planned for; `approved`: a
    person has allowed it; `intent`: what an entry's last attempt was recorded with, None before the first.
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
    plan: Mapping[str, Any] | None = None
    strategy: str | None = None
    approved: bool = False
    intent: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Sized:
    """An entry that may be sent: the whole order, and the figures behind it for the log row of its intent."""

    order: Order
    detail: Mapping[str, Any]


class Entries(Protocol):
    """Decides how much an entry may open."""

    def admit(self, task: DueTask) -> "Sized | LogEntry | None":
        """The order, which counts from here on; or why there is none; None to leave the task for a later claim."""
        ...


@dataclass(frozen=True, slots=True)
class Send:
    """An intent to record and then to send. `changes`: the working orders that a CANCEL or MOVE_STOP is about."""

    task: DueTask
    order: Order
    entry: LogEntry
    changes: tuple[OrderChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Decisions:
    """`sends` in the order to be sent; `others` are log rows that send nothing.

    `cancels` are working orders to withdraw or to make smaller once `asked`, the rows that say so in their tasks' logs, are
    committed. A row whose task moved on meanwhile is left out, and with it the orders of that task.
    """

    sends: tuple[Send, ...]
    others: tuple[LogEntry, ...]
    cancels: tuple[Clearing, ...] = ()
    asked: tuple[LogEntry, ...] = ()


def decide(
    due: Sequence[DueTask],
    *,
    now: datetime,
    dry_run: bool,
    lease_s: float,
    limit: int,
    gate: Entries | None = None,
    one_of_a_lane: bool = False,
    most_sends: int | None = None,
    asker: Asker = NOBODY,
) -> Decisions:
    """Decides at most `limit` tasks: what closes first, then entries, each in the order given.

    What depends on another task that is decided here waits for that one's outcome, and is left out; with `one_of_a_lane`
    everything behind a lane's first order does. Without a `gate` entries are as their alerts ask: nothing is to be sent then.
    In a dry run what closes live positions is left out too. With `most_sends`, what would send more is left out. `asker` is who decides.
    """
    # a live position is not closed by forgetting its exit: that waits for a router that trades live
    exits = [task for task in due if not task.opening and (task.mode == "dry" or not dry_run)]
    entries = [task for task in due if task.opening]
    sends: list[Send] = []
    others: dict[int, LogEntry] = {}
    cancels: list[Clearing] = []
    asked: list[LogEntry] = []
    busy: set[tuple[str, str]] = set()  # trades of which something is sent or withdrawn now
    for task in [*exits, *entries][:limit]:
        trade = (task.account, task.trade_id)
        waits = trade in busy and task.event_type != "ENTRY"
        refusal = _refusal(task, now, dry_run=dry_run)
        full = refusal is None and most_sends is not None and len(sends) >= most_sends
        if one_of_a_lane and any(send.task.lane == task.lane for send in sends):
            continue
        if full or task.id in others or waits or any((task.account, before) in busy for before in task.trade.after):
            continue  # cancelled by an exit just now, or to be decided when the other's outcome is known
        if refusal is not None:
            others[task.id] = _ended(task, refusal)
        elif task.opening:
            sized = gate.admit(task) if gate is not None else None
            if isinstance(sized, LogEntry):
                others[task.id] = _ended(task, sized)
            elif sized is not None or gate is None:
                sends.append(_send(task, lease_s, sized))
                busy.add(trade)
        else:
            closing = close(task, now, lease_s, asker)
            others.update({entry.task_id: entry for entry in (*closing.overtaken, *closing.withdrawn)})
            asked += closing.rows
            cancels += closing.clearings
            if closing.order is None:
                others[task.id] = closing.entry
            else:
                sends.append(Send(task, closing.order, closing.entry, closing.changes))
            if closing.order is not None or closing.clearings:
                busy.add(trade)
    return Decisions(tuple(sends), tuple(others.values()), tuple(cancels), tuple(asked))


def _ended(task: DueTask, entry: LogEntry) -> LogEntry:
    """The row that ends an entry; one whose first order may be at the broker is left to a person."""
    return in_doubt(entry) if task.intent is not None and task.intent.get("in_doubt") else entry


def _refusal(task: DueTask, now: datetime, *, dry_run: bool) -> LogEntry | None:
    if task.event_type not in _EVENTS and not is_exit(task.event_type):
        return refuse(
            task,
            Status.DENIED,
            "UNKNOWN_EVENT",
            f"{task.event_type} is no event that can be executed: use {', '.join(_EVENTS)} or EXIT.",
        )
    if (task.mode == "dry") != dry_run:
        return refuse(
            task, Status.CANCELLED, "MODE_CHANGED", f"Enqueued in {task.mode} mode; this router runs in the other one."
        )
    if fault := payload_fault(task.payload):
        return refuse(task, Status.DENIED, "BAD_PAYLOAD", fault)
    # once a person has allowed it, the gate says how long that holds
    if task.opening and not task.approved and task.expires_at is not None and now >= task.expires_at:
        return refuse(task, Status.EXPIRED, "TOO_OLD", _too_old(task, task.expires_at, now))
    if task.opening:
        return _trade_closed(task) or not_flat(task, now) or nothing_to_add_to(task)
    return None


def _too_old(task: DueTask, expires_at: datetime, now: datetime) -> str:
    limit_s = (expires_at - task.received_at).total_seconds()
    if limit_s > 0:
        age_s = (now - task.received_at).total_seconds()
        return f"The entry is {age_s:.1f} s old; the limit is {limit_s:g} s."
    return f"It fired too long before it came: it was {-limit_s:.1f} s over its age limit on arrival. Is its time that of a bar? Send {{{{timenow}}}}."


def _trade_closed(task: DueTask) -> LogEntry | None:
    if task.trade.exit is None:
        return None
    exit_id, status = task.trade.exit
    if status == Status.PENDING:
        message = f"The exit of its trade (task {exit_id}) came before it was sent."
        return refuse(task, Status.CANCELLED, "EXIT_OVERTOOK", message)
    message = f"Its trade was closed by task {exit_id} already; a new trade needs a new trade_id."
    return refuse(task, Status.DENIED, "TRADE_CLOSED", message)


def _send(task: DueTask, lease_s: float, sized: Sized | None) -> Send:
    order = (
        sized.order
        if sized
        else order_from_payload(
            task.payload or {},
            client_order_id=task.client_order_id,
            account=task.account,
            trade_id=task.trade_id,
            action="OPEN",
        )
    )
    detail: dict[str, Any] = {"request_hash": order.request_hash(), "client_order_id": order.client_order_id}
    detail |= sized.detail if sized else {}
    entry = LogEntry(task.id, task.version, Status.SENDING, "INTENT", detail=detail, lease_s=lease_s)
    return Send(task, order, entry)
