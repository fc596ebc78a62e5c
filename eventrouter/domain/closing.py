"""What becomes of a task that closes, reduces, cancels or moves a stop. Pure.

What a trade holds decides, not what its alerts say: never more is closed than that, and nothing before every order of the
trade that could still fill is out of the way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any

from eventrouter.domain.broker import Change
from eventrouter.domain.clearing import (
    NOBODY,
    ZERO,
    Asker,
    Clearing,
    Requests,
    Wish,
    fitting,
    requests,
    unseen,
    withdrawals,
)
from eventrouter.domain.denials import plain, whole
from eventrouter.domain.instruments import PRODUCTS
from eventrouter.domain.levels import LevelUnclear, level_price
from eventrouter.domain.orders import Order, order_from_payload
from eventrouter.domain.signals import QuantityKind
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.domain.trade_facts import Held, TradeFacts, WorkingOrder
from eventrouter.domain.verdicts import RECHECK_EXIT_S, in_doubt, nothing, refuse, unproven, wait

if TYPE_CHECKING:
    from eventrouter.domain.decide import DueTask

WARNED = frozenset({"NO_STOP", "NO_TARGET", "STILL_CLEARING", "OUT_OF_SYNC", "ENTRY_UNPROVEN"})
"""Reasons that a person should hear of: a position stays without the protection that was asked for, or open."""

_NO_CONTRACT = "-"
_ONE = Decimal(1)
_HUNDRED = Decimal(100)

OrderChange = tuple[str, Change | None]
"""The broker's id of a working order, and its new values; None withdraws it."""


@dataclass(frozen=True, slots=True)
class Closing:
    """What is decided: the task's own row, and the `order` where that is an intent, with the working orders it `changes`.

    `overtaken` are the rows of unsent entries that it cancels. `rows` say, in the logs of other tasks, what is asked of
    their orders: `clearings`. `withdrawn` are such rows about the orders of a CANCEL, which is sent only with them.
    """

    entry: LogEntry
    order: Order | None = None
    changes: tuple[OrderChange, ...] = ()
    overtaken: tuple[LogEntry, ...] = ()
    rows: tuple[LogEntry, ...] = ()
    clearings: tuple[Clearing, ...] = field(default=())
    withdrawn: tuple[LogEntry, ...] = ()


def is_exit(event_type: str) -> bool:
    """Whether the event closes its trade."""
    return event_type.startswith("EXIT")


def close(task: "DueTask", now: datetime, lease_s: float, asker: Asker = NOBODY) -> Closing:
    """What becomes of a due task that opens nothing."""
    if task.event_type == "CANCEL":
        return _cancel(task, now, lease_s)
    if task.event_type == "MOVE_STOP":
        return _move_stop(task, now, lease_s)
    if task.event_type == "REDUCE":
        return _reduce(task, now, lease_s, asker)
    return replace(_exit(task, now, lease_s, asker), overtaken=_overtaken(task, task.trade.unsent))


# exits


def _exit(task: "DueTask", now: datetime, lease_s: float, asker: Asker) -> Closing:
    trade = task.trade
    if waits := _flattening(task, now) or _undecided(task, now):
        return Closing(waits)
    if trade.working:
        everything = [(order, ZERO) for order in trade.working]
        return _clearing(task, everything, now, "Its trade's working orders are withdrawn first.", asker)
    if waits := _unsure(task, now) or _disputed(task, now):
        return Closing(waits)
    if not trade.is_open:
        return Closing(unproven(task) or nothing(task, "NOTHING_TO_CLOSE"))
    if not trade.filled:
        return _send(task, _unfilled_order(task, "CLOSE"), lease_s)
    held = _largest(trade)
    if waits := _others_close(task, held, now):
        return Closing(waits)
    return _send(task, _closing_order(task, "CLOSE", held, held.closable), lease_s, _figures(trade, held))


def _reduce(task: "DueTask", now: datetime, lease_s: float, asker: Asker) -> Closing:
    trade = task.trade
    if waits := _flattening(task, now) or _undecided(task, now) or _waits_for_entry(task, now) or _unsure(task, now):
        return Closing(waits)
    if waits := _disputed(task, now):
        return Closing(waits)
    if not trade.is_open:
        return Closing(nothing(task, "NOTHING_TO_CLOSE"))
    if not trade.filled:
        return _send(task, _unfilled_order(task, "REDUCE"), lease_s)
    held = _largest(trade)
    if waits := _others_close(task, held, now):
        return Closing(waits)
    whole = task.mode == "live" or held.root in PRODUCTS
    asked, words = _asked(task.payload or {}, held.closable, whole=whole, scale=trade.scale)
    if not asked:
        return Closing(refuse(task, Status.DENIED, "SIZE_ZERO", f"{words} is less than one contract."))
    quantity = min(asked, held.closable)
    wishes = fitting(trade.working, held.contract, held.closable - quantity)
    if wishes:
        left = plain(held.closable - quantity)
        message = f"The orders that could close its trade are fitted to the {left} left first."
        return _clearing(task, wishes, now, message, asker)
    figures = {**_figures(trade, held), "asked": plain(asked), "calculation": words}
    return _send(task, _closing_order(task, "REDUCE", held, quantity), lease_s, figures)


def _asked(payload: Mapping[str, Any], held: Decimal, *, whole: bool, scale: Decimal = _ONE) -> tuple[Decimal, str]:
    """How much to close, and that in words. An account that entered three contracts for one of the alert's closes three.

    `whole`: it trades in whole contracts, so rounded down.
    """
    named = payload.get("quantity")
    quantity = _ONE if named is None else Decimal(str(named))
    if payload.get("quantity_kind") == QuantityKind.PERCENT_OF_POSITION:
        share = held * min(quantity, _HUNDRED) / _HUNDRED
        words = f"{plain(quantity)} % of {plain(held)} held"
    else:
        share = quantity * scale
        times = "" if scale == 1 else f", of which this account has {plain(scale)} contracts each"
        words = f"{plain(quantity)} asked for{times}, {plain(held)} held"
    return (share.to_integral_value(ROUND_FLOOR) if whole else share), words


def _largest(trade: TradeFacts) -> Held:
    return max(trade.held, key=lambda held: (held.closable, held.room))


def _closing_order(task: "DueTask", action: str, held: Held, quantity: Decimal) -> Order:
    """Closes so much of what is held: in that contract, on that side, whatever the alert names."""
    order = _as_told(task, action)
    symbol = None if held.contract == _NO_CONTRACT else held.contract
    return replace(
        order,
        symbol=symbol,
        direction=held.direction,
        quantity=whole(quantity),
        quantity_kind=None,
        stop_loss=None,
        take_profit=None,
    )


def _unfilled_order(task: "DueTask", action: str) -> Order:
    """Closes what the entry asked for, where no fill tells what is held: somebody resolved it by hand. Never more than that."""
    order, told = _as_told(task, action), task.trade.told
    if told is None:
        return order
    quantity = told.quantity
    if action == "REDUCE" and quantity is not None:
        asked, _ = _asked(task.payload or {}, Decimal(quantity), whole=task.mode == "live")
        quantity = whole(min(asked, Decimal(quantity)))
    return replace(
        order,
        symbol=told.contract or order.symbol,
        direction=told.direction or order.direction,
        quantity=quantity or order.quantity,
        quantity_kind=None if quantity else order.quantity_kind,
    )


def _as_told(task: "DueTask", action: str) -> Order:
    """The order as the alert puts it, in the symbol of the entry."""
    return order_from_payload(
        task.payload or {},
        client_order_id=task.client_order_id,
        account=task.account,
        trade_id=task.trade_id,
        action=action,
        held_symbol=task.trade.opened[1] if task.trade.opened is not None else None,
    )


def _figures(trade: TradeFacts, held: Held) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "contract": held.contract,
        "held": whole(held.quantity),
        "net": whole(held.net),
        "closable": whole(held.closable),
    }
    others = {other.contract: plain(other.quantity) for other in trade.held if other is not held}
    return {**figures, "holds_also": others} if others else figures


# cancels and stops


def _cancel(task: "DueTask", now: datetime, lease_s: float) -> Closing:
    """Withdraws orders that wait or work for their price; what protects an open position stays."""
    trade, live = task.trade, task.mode == "live"
    unsent = _waiting_entries(task)
    overtaken = _overtaken(task, unsent)
    if live and (waits := _undecided(task, now) or _unsure(task, now)):
        return Closing(waits, overtaken=overtaken)
    targets = [order for order in trade.working if order.role in ("entry", "exit")]
    if not unsent and not targets:
        message = "No order of this trade is waiting or working."
        return Closing(refuse(task, Status.DENIED, "NOTHING_TO_CANCEL", message))
    changes: tuple[OrderChange, ...] = tuple((order.order_id, None) for order in targets)
    closing = _send(task, _as_told(task, "CANCEL"), lease_s, changes=changes)
    return replace(closing, overtaken=overtaken, withdrawn=withdrawals(task.id, targets))


def _move_stop(task: "DueTask", now: datetime, lease_s: float) -> Closing:
    trade = task.trade
    if waits := _undecided(task, now) or _waits_for_entry(task, now):
        return Closing(waits)
    if not trade.is_open:
        return Closing(nothing(task, "NOTHING_OPEN"))
    if task.mode != "live":
        return _send(task, _as_told(task, "MOVE_STOP"), lease_s)
    if not _of_role(trade, "stop") and (waits := _unsure(task, now)):
        return Closing(waits)
    try:
        changes = _moves(task.payload or {}, trade)
    except LevelUnclear as unclear:
        return Closing(refuse(task, Status.DENIED, unclear.code, str(unclear)))
    return _send(task, _as_told(task, "MOVE_STOP"), lease_s, changes=changes)


def _moves(payload: Mapping[str, Any], trade: TradeFacts) -> tuple[OrderChange, ...]:
    """The new price of each working stop and target. Raises LevelUnclear."""
    held = _largest(trade) if trade.held else None
    changes: list[OrderChange] = []
    for name, role, code in (("stop_loss", "stop", "NO_STOP"), ("take_profit", "target", "NO_TARGET")):
        level = payload.get(name)
        if level is None:
            continue
        orders = _of_role(trade, role)
        if not orders:
            raise LevelUnclear(code, f"No {role} of this trade works at the broker, so none can be moved.")
        price = level_price(name, level, held)
        for order in orders:
            change = Change(stop_price=price) if role == "stop" else Change(limit_price=price)
            changes.append((order.order_id, change))
    if not changes:
        raise LevelUnclear("NO_LEVEL", "It names neither a stop_loss nor a take_profit.")
    return tuple(changes)


def _of_role(trade: TradeFacts, role: str) -> list[WorkingOrder]:
    return [order for order in trade.working if order.role == role]


# rows


def _undecided(task: "DueTask", now: datetime) -> LogEntry | None:
    """Waits while another task of the trade may be at the broker's door.

    In a dry run an entry that is UNKNOWN or in REVIEW counts as not executed: nothing can have left. A live one is waited
    for, except where something is held already: that is closed at once, and what fills later is closed then. An exit waits
    for look-ups, which end by themselves, and for no person: what is in REVIEW is closed when it fills.
    """
    trade = task.trade
    if trade.sending is not None:
        message = f"Task {trade.sending} of the same trade is being sent or looked up; what is open is not known yet."
        return wait(task, now, "TRADE_UNDECIDED", message, RECHECK_EXIT_S)
    if trade.unknown is not None and not trade.working and not any(held.room for held in trade.held):
        entry, status = trade.unknown
        if status == Status.REVIEW and is_exit(task.event_type):
            return None
        message = f"Whether the broker has the entry of task {entry} is not known: it is {status}."
        return wait(task, now, "TRADE_UNDECIDED", message, RECHECK_EXIT_S)
    return None


def _flattening(task: "DueTask", now: datetime) -> LogEntry | None:
    """Waits while the broker is told to close whatever the account holds: both together would close more than that."""
    trade = task.trade
    if trade.flattening is not None:
        message = f"Everything of the account is being closed at the broker, as control {trade.flattening} asks."
    elif trade.outdated is not None:
        message = (
            f"The broker showed a flat account after control {trade.outdated}; what closed it is not recorded yet."
        )
    else:
        return None
    return wait(task, now, "FLATTENING", message, RECHECK_EXIT_S)


def _unsure(task: "DueTask", now: datetime) -> LogEntry | None:
    message = unseen(task.trade, now) if task.mode == "live" else None
    return None if message is None else wait(task, now, "TRADE_UNDECIDED", message, RECHECK_EXIT_S)


def _disputed(task: "DueTask", now: datetime) -> LogEntry | None:
    """Waits while our fills say that the trade holds something, and the broker shows nothing that could be closed.

    An order for it would open the other side where the broker is right, and nobody would ask again where it is not.
    """
    trade = task.trade
    if trade.out_of_sync is None or trade.is_open or not any(held.quantity for held in trade.held):
        return None
    message = f"{trade.out_of_sync} Nothing of it can be closed before they agree: look at the broker, then eventrouter accounts adopt."
    return wait(task, now, "OUT_OF_SYNC", message)


def _others_close(task: "DueTask", held: Held, now: datetime) -> LogEntry | None:
    """Waits while the exits of other trades may close all that the account holds: one more would open the other side."""
    if held.closable:
        return None
    message = (
        f"Exits of other trades that are sent or working may close {plain(held.leaving)} {held.contract},"
        f" and the account holds {plain(held.net)} in all."
    )
    return wait(task, now, "OTHERS_CLOSING", message, RECHECK_EXIT_S)


def _waits_for_entry(task: "DueTask", now: datetime) -> LogEntry | None:
    trade = task.trade
    if not trade.filled and _of_role(trade, "entry"):
        message = "The entry of its trade works at the broker and has not filled."
    elif not trade.filled and trade.opened is None and trade.closed is None and _waiting_entries(task):
        message = "The entry of its trade is not sent yet."
    else:
        return None
    return wait(task, now, "WAITS_FOR_ENTRY", message)


def _clearing(task: "DueTask", wishes: Sequence[Wish], now: datetime, message: str, asker: Asker) -> Closing:
    asked: Requests = requests(task.account, task.id, wishes, now, asker)
    names = ", ".join(order.order_id for order, _ in wishes)
    reason = "STILL_CLEARING" if asked.stuck else "CLEARING"
    said = " ".join([f"{message} Still working: {names}.", *asked.refused])
    entry = LogEntry(task.id, task.version, Status.PENDING, reason, said, run_in_s=asked.waits_s)
    return Closing(entry, rows=asked.rows, clearings=asked.clearings)


def _send(
    task: "DueTask",
    order: Order,
    lease_s: float,
    figures: Mapping[str, Any] | None = None,
    *,
    changes: tuple[OrderChange, ...] = (),
) -> Closing:
    order = replace(order, targets=tuple(order_id for order_id, _ in changes))
    detail: dict[str, Any] = {"request_hash": order.request_hash(), "client_order_id": order.client_order_id}
    if figures is not None:
        detail |= {**figures, "quantity": order.quantity}
    if changes:
        detail["targets"] = {order_id: _wanted(change) for order_id, change in changes}
    entry = LogEntry(task.id, task.version, Status.SENDING, "INTENT", detail=detail, lease_s=lease_s)
    return Closing(entry, order, changes)


def _wanted(change: Change | None) -> dict[str, str] | None:
    """A target as the intent's detail names it: the prices asked for, null for one to withdraw."""
    if change is None:
        return None
    prices = {"stop_price": change.stop_price, "limit_price": change.limit_price}
    return {name: plain(price) for name, price in prices.items() if price is not None}


def _overtaken(task: "DueTask", entries: Sequence[tuple[int, int]]) -> tuple[LogEntry, ...]:
    reason, what = (
        ("EXIT_OVERTOOK", "The exit of") if is_exit(task.event_type) else ("CANCELLED_BY_ALERT", "A cancel for")
    )
    message = f"{what} its trade (task {task.id}) came before it was sent."
    rows = (LogEntry(task_id, version, Status.CANCELLED, reason, message) for task_id, version in entries)
    return tuple(in_doubt(row) if row.task_id in task.trade.in_doubt else row for row in rows)


def _waiting_entries(task: "DueTask") -> list[tuple[int, int]]:
    """Unsent entries that came before this task."""
    return [(entry, version) for entry, version in task.trade.unsent if entry < task.id]
