"""What must be out of the way before a trade is closed or made smaller: its orders that could still fill. Pure.

An order is asked to go, or to be smaller, by a log row of its task that is committed before the broker is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from eventrouter.domain.denials import plain
from eventrouter.domain.tasks import FINAL, LogEntry, Status
from eventrouter.domain.trade_facts import TradeFacts, WorkingOrder

SOON_S = 0.25
LATEST_S = 10.0
STUCK_S = 10.0
_AGAIN = timedelta(seconds=10)
_AGAIN_AFTER_NO_ANSWER = timedelta(seconds=1)
_AGAIN_AFTER_REFUSAL_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
_SHOWS_WITHIN = timedelta(seconds=3)
_CLEARS_ITSELF = (Status.PENDING, Status.HELD, Status.SENDING, Status.ACCEPTED)
_UNDONE = (Status.FAILED, Status.CANCELLED, Status.EXPIRED, Status.DENIED)
_OVER = (Status.CANCELLED, Status.DENIED, Status.EXPIRED, Status.FAILED)
_UNSENT = (Status.PENDING, Status.HELD)
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Clearing:
    """A working order to withdraw (`left` is zero), or to make so much smaller that no more than `left` may still fill.

    `size` is its whole size then, what has filled already included. `task_id` is the task whose log tells of it.
    """

    account: str
    order_id: str
    task_id: int
    left: Decimal
    size: Decimal


@dataclass(frozen=True, slots=True)
class Asker:
    """A router, and since when it asks: what was asked before that, and not answered, was asked by one that may be gone."""

    name: str
    since: datetime | None = None


NOBODY = Asker("")


@dataclass(frozen=True, slots=True)
class Requests:
    """What is asked of working orders now, and the log rows that say so before. `waits_s`: when to look again.

    `refused`: a sentence for each order of which the broker has refused what was asked.
    """

    clearings: tuple[Clearing, ...]
    rows: tuple[LogEntry, ...]
    waits_s: float
    stuck: bool
    refused: tuple[str, ...] = ()


Wish = tuple[WorkingOrder, Decimal]
"""An order and what may still fill of it afterwards."""


def shrunk(orders: Sequence[WorkingOrder], most: Decimal) -> list[Wish]:
    """The orders to change so that all of them together fill no more than `most`; the last ones give way first."""
    excess = _remaining(orders) - most
    wishes: list[Wish] = []
    for order in reversed(orders):
        if excess <= 0:
            break
        taken = min(excess, order.remaining)
        wishes.append((order, order.remaining - taken))
        excess -= taken
    return wishes


def fitting(working: Sequence[WorkingOrder], contract: str, left: Decimal) -> list[Wish]:
    """What to change so that no mix of this contract's working exits, stops and targets closes more than `left`.

    Of an entry's stop and target only one fills, so its bracket counts as much as the larger of the two. The brackets of
    later entries give way first.
    """
    of_contract = [order for order in working if order.contract == contract]
    exits = [order for order in of_contract if order.role == "exit"]
    wishes = shrunk(exits, left)
    left -= _remaining(exits) - sum((order.remaining - size for order, size in wishes), ZERO)
    brackets: dict[int, tuple[list[WorkingOrder], list[WorkingOrder]]]
    brackets = {order.task_id: ([], []) for order in of_contract if order.role in ("stop", "target")}
    for order in of_contract:
        if order.role in ("stop", "target"):
            brackets[order.task_id][order.role == "target"].append(order)
    excess = sum((max(map(_remaining, legs)) for legs in brackets.values()), ZERO) - left
    for legs in reversed(brackets.values()):
        whole = max(map(_remaining, legs))
        taken = min(max(excess, ZERO), whole)
        wishes += [wish for leg in legs for wish in shrunk(leg, whole - taken)]
        excess -= taken
    return wishes


def _remaining(orders: Sequence[WorkingOrder]) -> Decimal:
    return sum((order.remaining for order in orders), ZERO)


def unwanted(trade: TradeFacts) -> list[Wish]:
    """Orders that turned up late and work: withdrawn, whatever is held.

    Entries whose tasks are over or whose trade was closed, and what was sent before a retry that was sent too.
    """
    over = [order for order in trade.working if order.role == "entry" and Status(order.status) in _OVER]
    return [(order, ZERO) for order in trade.working if order.late or order in over]


def leftovers(trade: TradeFacts) -> list[Wish]:
    """What to change so that the trade's stops and targets close no more than it holds, where no exit will see to it.

    Nothing while it is not certain what it holds, or while their entry may still fill.
    """
    uncertain = trade.sending is not None or trade.hidden is not None or trade.unsettled is not None
    uncertain |= trade.flattening is not None or trade.outdated is not None
    if uncertain or (not trade.filled and trade.opened is not None):
        return []
    if trade.exit is not None and Status(trade.exit[1]) in _CLEARS_ITSELF:
        return []
    brackets = [order for order in trade.working if order.role in ("stop", "target") and Status(order.status) in FINAL]
    room = {held.contract: held.room for held in trade.held}
    contracts = dict.fromkeys(order.contract for order in brackets)
    return [wish for each in contracts for wish in fitting(brackets, each, room.get(each, ZERO))]


def regrown(trade: TradeFacts) -> list[Wish]:
    """Stops and targets that were made smaller for a reduction which then did not happen, and the size that they had.

    No more than together fits what the trade holds; nothing while an exit or a reduction of it is on its way.
    """
    uncertain = trade.sending is not None or trade.hidden is not None or trade.unsettled is not None
    uncertain |= trade.flattening is not None or trade.outdated is not None or trade.closing
    if uncertain or (trade.exit is not None and Status(trade.exit[1]) in _CLEARS_ITSELF):
        return []
    grown = [replace(order, quantity=order.filled + _had(order)) for order in trade.working]
    kept: dict[str, Decimal] = {}
    for held in trade.held:
        kept |= {order.order_id: left for order, left in fitting(grown, held.contract, held.closable)}
    had = {order.order_id: order.remaining for order in grown}
    contracts = {held.contract for held in trade.held if held.closable}
    wishes = [(order, kept.get(order.order_id, had[order.order_id])) for order in trade.working]
    return [(order, left) for order, left in wishes if left > order.remaining and order.contract in contracts]


def _had(order: WorkingOrder) -> Decimal:
    """What may fill of an order once what was asked of it is undone, or done, where that is to make it larger again."""
    if order.role not in ("stop", "target") or Status(order.status) not in FINAL or not order.asked:
        return order.remaining
    if order.asked_by is None:
        return max(order.remaining, order.asked)
    undone = order.asked_by_status in _UNDONE and order.was is not None
    return max(order.remaining, order.was) if undone and order.was is not None else order.remaining


def requests(
    account: str, by_task: int | None, wishes: Sequence[Wish], now: datetime, asker: Asker = NOBODY
) -> Requests:
    """Asks what was not asked yet, or was not answered, or was refused: one log row for each task whose orders are concerned.

    `by_task` is the exit that they make way for; None: no task needs them away, they are left over.
    """
    asked: dict[int, list[Wish]] = {}
    for order, left in wishes:
        if order.status not in _UNSENT and _is_due(order, left, by_task, now, asker):
            asked.setdefault(order.task_id, []).append((order, left))
    rows = tuple(_row(group, by_task) for group in asked.values())
    clearings = tuple(
        Clearing(account, order.order_id, order.task_id, left, order.filled + left)
        for group in asked.values()
        for order, left in group
    )
    mine = [order for order, left in wishes if order.asked == left and order.asked_by == by_task]
    first = [order.first_asked_at for order in mine if order.first_asked_at]
    waited_s = max(0.0, (now - min(first)).total_seconds()) if first else 0.0
    refused = tuple(_refused(order) for order in mine if order.answer == "rejected")
    stuck = waited_s >= STUCK_S or bool(refused)
    return Requests(clearings, rows, min(max(SOON_S, waited_s / 4), LATEST_S), stuck, refused)


def withdrawals(by_task: int, orders: Sequence[WorkingOrder]) -> tuple[LogEntry, ...]:
    """One log row for each task whose orders a CANCEL withdraws: what ends without a fill then ended as we asked."""
    by_order: dict[int, list[Wish]] = {}
    for order in orders:
        if order.status not in _UNSENT:
            by_order.setdefault(order.task_id, []).append((order, ZERO))
    return tuple(_row(group, by_task) for group in by_order.values())


def _is_due(order: WorkingOrder, left: Decimal, by_task: int | None, now: datetime, asker: Asker) -> bool:
    if order.asked != left or order.asked_at is None or order.asked_by != by_task:
        return True
    waited = now - order.asked_at
    if order.answer is None and order.asker not in (None, asker.name):
        before = asker.since is not None and order.asked_at < asker.since
        return before or waited >= _AGAIN_AFTER_NO_ANSWER
    if order.answer == "rejected":
        return waited >= _after_refusal(order)
    return waited >= (_AGAIN_AFTER_NO_ANSWER if order.answer in ("unknown", "not_sent") else _AGAIN)


def _after_refusal(order: WorkingOrder) -> timedelta:
    return timedelta(seconds=_AGAIN_AFTER_REFUSAL_S[min(max(order.times, 1), len(_AGAIN_AFTER_REFUSAL_S)) - 1])


def _refused(order: WorkingOrder) -> str:
    again_s = _after_refusal(order).total_seconds()
    said = order.said or f"Order {order.order_id}"
    return f"The broker refused that. {said} It is asked again after {again_s:g} s."


def _row(group: Sequence[Wish], by_task: int | None) -> LogEntry:
    first = group[0][0]
    words = [f"{_words(order)} is {_asked(order, left)}" for order, left in group]
    detail: dict[str, Any] = {"orders": {order.order_id: plain(left) for order, left in group}, "by": by_task}
    smaller = {order.order_id: plain(order.remaining) for order, left in group if ZERO < left < order.remaining}
    if smaller:
        detail["from"] = smaller
    reason = "RESIZE_REQUESTED" if any(left for _, left in group) else "CANCEL_REQUESTED"
    grows = any(left > order.remaining for order, left in group)
    own = "for its trade still holds so much" if grows else "for its trade does not hold so much"
    why = own if by_task is None else f"for task {by_task}"
    message = f"{'; '.join(words)}, {why}."
    return LogEntry(first.task_id, first.version, Status(first.status), reason, message, detail=detail)


def _words(order: WorkingOrder) -> str:
    return f"{order.role} order {order.order_id}"


def _asked(order: WorkingOrder, left: Decimal) -> str:
    if left > order.remaining:
        return f"made larger again, to {plain(left)}"
    return f"made smaller, to {plain(left)}" if left else "withdrawn"


def unseen(trade: TradeFacts, now: datetime) -> str | None:
    """Why what the trade holds, or what may still fill of it, is not known yet though nothing works; None when it is."""
    if trade.hidden is not None:
        return f"The broker has task {trade.hidden}, and has not shown yet what became of its order."
    if trade.unsettled is not None:
        return f"Not every fill of order {trade.unsettled} is recorded yet."
    if trade.told is not None and now - trade.told.since < _SHOWS_WITHIN:
        return "Its entry is executed, and no fill of it is recorded yet."
    if trade.unshown is not None and trade.last is not None and now - trade.last.recorded_at < _SHOWS_WITHIN:
        return f"The bracket of task {trade.unshown} has not been shown yet."
    return None
