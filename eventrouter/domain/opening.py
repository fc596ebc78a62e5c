"""What an entry waits for, or is refused for: the trades that it reverses, and the one that it adds to. Pure."""

from datetime import datetime
from typing import TYPE_CHECKING

from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.domain.trade_facts import TradeFacts
from eventrouter.domain.verdicts import ended, no_entry, refuse, wait

if TYPE_CHECKING:
    from eventrouter.domain.decide import DueTask

_UNDECIDED = (Status.PENDING, Status.HELD, Status.SENDING, Status.UNKNOWN, Status.REVIEW, Status.ACCEPTED)


def not_flat(task: "DueTask", now: datetime) -> LogEntry | None:
    """Why the opening half of a reversal waits or is refused; None once every trade before it is closed."""
    for trade_id, trade in task.trade.after.items():
        unsent = any(entry < task.id for entry, _ in trade.unsent)  # a later one waits in line behind this task
        exiting = trade.exit is not None and trade.exit[1] in _UNDECIDED
        if trade.sending is not None or unsent or exiting:
            return wait(task, now, "WAITS_FOR_EXIT", f"Trade {trade_id}, which it reverses, is being closed.")
        if trade.is_open:
            how = f"its exit (task {trade.exit[0]}) is {trade.exit[1]}" if trade.exit else "it has no exit"
            message = f"Trade {trade_id}, which it reverses, is not closed: {how}."
            return refuse(task, Status.DENIED, "NOT_FLAT", message)
        left = _left_at_broker(trade)
        if left is not None:
            message = f"Trade {trade_id}, which it reverses, holds nothing, but {left}."
            return wait(task, now, "WAITS_FOR_EXIT", message)
    return None


def nothing_to_add_to(task: "DueTask") -> LogEntry | None:
    """Why there is nothing that an ADD could add to; None when there is, or it is no ADD."""
    trade = task.trade
    if task.event_type != "ADD" or (trade.opened is not None and (trade.is_open or not trade.filled)):
        return None
    why = f"{ended(trade)}." if trade.filled else f"{no_entry(task)}."
    return refuse(task, Status.DENIED, "NOTHING_OPEN", f"There is nothing to add to: {why}")


def _left_at_broker(trade: TradeFacts) -> str | None:
    if trade.working:
        return f"order {trade.working[0].order_id} of it still works"
    if trade.hidden is not None or trade.unsettled is not None:
        return "the broker has not shown all of its orders and fills yet"
    if trade.unknown is not None:
        return f"its entry (task {trade.unknown[0]}) is {trade.unknown[1]}"
    return None
