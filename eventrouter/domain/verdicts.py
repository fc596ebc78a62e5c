"""Rows of tasks that end here or wait, and the sentences that say why. Pure."""

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from eventrouter.domain.denials import plain
from eventrouter.domain.tasks import FINAL, LogEntry, Status
from eventrouter.domain.trade_facts import TradeFacts

if TYPE_CHECKING:
    from eventrouter.domain.decide import DueTask

RECHECK_S = 1.0
RECHECK_EXIT_S = 10.0
RECHECK_LONGEST_S = 60.0


def refuse(task: "DueTask", status: Status, reason: str, message: str) -> LogEntry:
    """The row of a task that ends here."""
    return LogEntry(task.id, task.version, status, reason, message)


def wait(task: "DueTask", now: datetime, reason: str, message: str, longest_s: float = RECHECK_LONGEST_S) -> LogEntry:
    """Looks again the less often the longer it waits, for each look is a log row."""
    run_in_s = min(max(RECHECK_S, (now - task.created_at).total_seconds() / 10), longest_s)
    return LogEntry(task.id, task.version, Status.PENDING, reason, message, run_in_s=run_in_s)


def in_doubt(entry: LogEntry) -> LogEntry:
    """The row of an entry that would end here although its first order may be at the broker: a person decides then."""
    if entry.status not in FINAL:
        return entry
    message = (
        f"{entry.message} But an earlier order of it was looked for in vain, which proves nothing: look at the broker."
    )
    detail = {**entry.detail, "instead_of": str(entry.status), "because": entry.reason}
    return replace(entry, status=Status.REVIEW, reason="NOT_PROVEN", message=message, detail=detail, run_in_s=None)


def way_cleared(task_id: int, version: int) -> LogEntry:
    """The row of a task that waited for orders or fills at the broker, and is looked at again at once."""
    message = "What it waited for at the broker has changed."
    return LogEntry(task_id, version, Status.PENDING, "WAY_CLEARED", message, run_in_s=0.0)


def unproven(task: "DueTask") -> LogEntry | None:
    """Ends an exit that finds nothing while an entry of its trade may be at the broker after all; None where none may."""
    trade = task.trade
    if task.mode != "live" or (trade.unknown is None and not trade.in_doubt):
        return None
    entry = trade.unknown[0] if trade.unknown is not None else min(trade.in_doubt)
    message = (
        f"Nothing of the trade is held, and whether the broker has the entry of task {entry} is not known. Look at the broker:"
        " if it works there it is withdrawn as soon as it shows, and if it fills it is closed at once."
    )
    return refuse(task, Status.DENIED, "ENTRY_UNPROVEN", message)


def nothing(task: "DueTask", reason: str) -> LogEntry:
    """The row of a task that finds nothing of its trade open, and how that came."""
    trade = task.trade
    if trade.filled:
        why = ended(trade)
    elif trade.closed is not None:
        why = f"The trade was closed by task {trade.closed[0]} already"
    else:
        why = no_entry(task)
    return refuse(task, Status.DENIED, reason, f"{why}.")


def ended(trade: TradeFacts) -> str:
    """How it came that nothing is left of a trade that filled."""
    if trade.held:
        held = trade.held[0]
        return (
            f"The trade holds {plain(held.quantity)} {held.contract}, but the account's net in it is {plain(held.net)}"
        )
    if trade.last is None:
        return "The trade holds nothing any more"
    at = "" if trade.last.price is None else f" at {plain(trade.last.price)}"
    if trade.last.role in ("stop", "target"):
        return f"The trade holds nothing any more: its {trade.last.role} (order {trade.last.order_id}) filled{at}"
    if trade.last.flattening is not None:
        by = f"order {trade.last.order_id}" if trade.last.task_id is None else f"task {trade.last.task_id}"
        return f"The trade was closed by {by}{at}, of a flattening: {trade.last.flattening.in_words()}"
    if trade.last.task_id is None:
        return f"The trade holds nothing any more: order {trade.last.order_id}, which is no task's, closed it{at}"
    return f"The trade was closed by task {trade.last.task_id} already{at}"


def no_entry(task: "DueTask") -> str:
    """How the entries of a trade of which nothing was executed ended."""
    stood = ", ".join(f"task {entry} was {_before_exit(status)}" for entry, status in task.trade.entries)
    return f"No entry of this trade was executed: {stood or 'the trade has no entry on this account'}"


def _before_exit(status: str) -> str:
    return "not sent yet and is cancelled" if status in (Status.PENDING, Status.HELD) else status
