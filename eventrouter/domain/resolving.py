"""What an operator may say of a task whose end the books do not know: that it is done, or that nothing of it was executed. Pure."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from eventrouter.domain.dead_letters import RetryFacts
from eventrouter.domain.denials import plain
from eventrouter.domain.tasks import Status

SHOWS_WITHIN = timedelta(minutes=1)
"""For so long after its acceptance a task's order and fills may still show by themselves."""


@dataclass(frozen=True, slots=True)
class Resolve:
    """What somebody saw at the broker. `executed` False: nothing of it was. `confirm`: the task's id once more, needed in ACCEPTED."""

    confirm: int | None = None
    executed: bool = True


def why_not_resolved(task_id: int, facts: RetryFacts, asked: Resolve) -> tuple[str, str] | None:
    """Why it may not be resolved so (code, sentence), or None. The confirmation comes last, with what the broker showed."""
    if facts.status is not Status.ACCEPTED:
        if asked.executed:
            return None
        return "NOT_RESOLVED", f"A task that is {facts.status} and was not executed is discarded: discard {task_id}."
    if facts.working:
        order_id, side, left, contract = facts.working[0]
        said = f"Order {order_id} of it works at the broker: {side} {plain(Decimal(left))} {contract}."
        return "STILL_WORKS", f"{said} Cancel that one first; the task then ends by itself."
    if facts.accepted_at is not None and facts.now - facts.accepted_at < SHOWS_WITHIN:
        return (
            "TOO_EARLY",
            "It was accepted less than a minute ago: its fills may still come by themselves. Look again.",
        )
    if facts.filled and not asked.executed:
        done = ", ".join(f"{plain(Decimal(quantity))} {contract}" for contract, quantity in facts.filled.items())
        return "NOT_RESOLVED", f"Task {task_id} has executed {done}, as its fills say."
    if asked.confirm != task_id:
        becomes = "SUCCESS as executed by hand" if asked.executed else "CANCELLED as not executed"
        again = f"Look there first, then confirm with the task's id, and it becomes {becomes}: --confirm {task_id}."
        return "NOT_CONFIRMED", f"{_shown(facts)} {again}"
    return None


def resolved(asked: Resolve) -> Status:
    """Where it leads from ACCEPTED."""
    return Status.SUCCESS if asked.executed else Status.CANCELLED


def _shown(facts: RetryFacts) -> str:
    """The evidence in words: its orders as the broker showed them, and what is recorded as filled."""
    recorded = ", ".join(f"{plain(Decimal(quantity))} {contract}" for contract, quantity in facts.filled.items())
    orders = [
        f"order {order_id}: {side} {plain(Decimal(quantity))} {contract}, {state}, {plain(Decimal(filled))} filled"
        for order_id, side, quantity, filled, contract, state in facts.orders
    ]
    shown = f"The broker showed {'; '.join(orders)}." if orders else "The broker has shown no order of it."
    return f"{shown} Recorded as filled: {recorded or 'nothing'}."
