"""Whether what a simulated broker executed is what our log says was sent: its ledger against the rows of intents. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from eventrouter.domain.adopt import contract_of, quantity_differs, side_of
from eventrouter.domain.tasks import Violation


class Intent(NamedTuple):
    """The log row of an intent: what it says in its detail, and when it was committed. Its broker's account where that is known."""

    task_id: int
    event_type: str
    account: int | None
    at: datetime
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Execution:
    """An order that the broker took. `account`: the broker's number; `tag`: the client order id that it came with."""

    order: int
    account: int
    tag: str
    contract: str
    side: str
    size: int
    at: datetime


def executions_of(rows: Iterable[Mapping[str, Any]]) -> list[Execution]:
    """The orders that a ledger's rows say were taken; what the broker made by itself, a bracket's order, is left out.

    Raises KeyError, ValueError, TypeError for rows that are no ledger's.
    """
    return [
        Execution(
            int(row["order"]),
            int(row["account"]),
            str(row["tag"]),
            str(row["contract"]),
            str(row["side"]),
            int(row["size"]),
            datetime.fromisoformat(row["at"]),
        )
        for row in rows
        if row["what"] == "accepted" and row["parent"] is None and row["tag"] is not None
    ]


def check_executions(executions: Sequence[Execution], intents: Mapping[str, Sequence[Intent]]) -> list[Violation]:
    """Every order must have one intent before it that asks for this very order, and no second order may have its id.

    `intents`: those of each client order id, the oldest first. Times are compared as they are: the broker's clock must be ours.
    """
    found: list[Violation] = []
    bearing: defaultdict[tuple[int, str], list[Execution]] = defaultdict(list)
    for execution in executions:
        bearing[execution.account, execution.tag].append(execution)
        wanted = intents.get(execution.tag, ())
        task_id = wanted[0].task_id if wanted else 0
        if wrong := _wrong(execution, wanted):
            rule, said = wrong
            found.append(Violation(task_id, rule, f"the broker's order {execution.order} ({execution.tag}): {said}"))
    for (account, tag), orders in bearing.items():
        if len(orders) > 1:
            task_id = intents[tag][0].task_id if tag in intents else 0
            said = f"{tag} became the orders {[each.order for each in orders]} on account {account}"
            found.append(Violation(task_id, "executed_twice", said))
    return found


def _wrong(execution: Execution, intents: Sequence[Intent]) -> tuple[str, str] | None:
    """The rule that an executed order breaks, and how."""
    if not intents:
        return "executed_without_intent", "no row of the log says that it would be sent"
    before = [intent for intent in intents if intent.at <= execution.at]
    if not before:
        return "executed_before_intent", f"taken at {execution.at}, its intent is of {intents[0].at}"
    hashed = [intent for intent in before if intent.detail.get("request_hash")]
    if not hashed:
        return "intent_without_hash", "its intent does not say what was asked for"
    differences = [_differences(execution, intent) for intent in hashed]
    if all(differences):
        return "executed_otherwise", differences[-1]
    return None


def _differences(execution: Execution, intent: Intent) -> str:
    wanted = {
        "account": intent.account,
        "contract": contract_of(intent.detail),
        "side": side_of(intent.detail, intent.event_type),
    }
    said = [
        f"its {name} is {getattr(execution, name)} instead of {value}"
        for name, value in wanted.items()
        if value is not None and value != getattr(execution, name)
    ]
    said.append(quantity_differs(Decimal(execution.size), intent.detail.get("quantity")) or "")
    return "; ".join(filter(None, said))
