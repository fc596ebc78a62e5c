"""The legs of a batch of alerts, planned for every account, and the columns that keep the plan."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from eventrouter.domain.plan import Entered, Intent, Planned, intents, opens, plan, planned_as, symbol_of, tasks_of
from eventrouter.domain.routing import RoutingTable
from eventrouter.domain.trades import Leg
from eventrouter.store.connect import Conn
from eventrouter.store.tasks import trade_accounts

_MOST_NOTES = 10
_MOST_NAMES = 10


@dataclass(frozen=True, slots=True)
class AskedLeg:
    """One leg of an alert of a strategy; what it opens is too old after `max_age_s`."""

    uid: UUID
    strategy: str
    max_age_s: float | None
    leg: Leg


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """A task to enqueue for one account."""

    uid: UUID
    strategy: str
    leg: Leg
    intent: Intent
    routes_version: int


@dataclass(frozen=True, slots=True)
class PlannedLeg:
    """What one leg of an alert comes to on each account."""

    asked: AskedLeg
    leg: Leg
    planned: tuple[Planned, ...]
    routes_version: int

    @property
    def tasks(self) -> list[PlannedTask]:
        """One for each account that gets it."""
        asked = self.asked
        return [
            PlannedTask(asked.uid, asked.strategy, self.leg, intent, self.routes_version)
            for intent in intents(self.planned)
        ]

    @property
    def record(self) -> list[dict[str, Any]]:
        """What is stored with the signal, account by account."""
        about = {"trade_id": self.leg.trade_id, "event_type": self.leg.event_type}
        return [{**each.record(), **about} for each in self.planned]


PlannedLegs = Mapping[UUID, Sequence[PlannedLeg]]
"""The uid of each alert that has legs → its legs, planned."""


async def plan_legs(conn: Conn, legs: Sequence[AskedLeg], table: RoutingTable) -> defaultdict[UUID, list[PlannedLeg]]:
    """Plans the legs in order. Entries among them count as held by those after them: they are not in the database yet."""
    held = await trade_accounts(conn, {asked.leg.trade_id for asked in legs if not opens(asked.leg.event_type)})
    known: dict[tuple[object, ...], tuple[Planned, ...]] = {}  # a burst asks the same again and again
    done: defaultdict[UUID, list[PlannedLeg]] = defaultdict(list)
    for asked in legs:
        trade = held.setdefault(asked.leg.trade_id, {})
        symbol = symbol_of(asked.leg, trade)
        key = (planned_as(asked.leg), symbol, asked.strategy)
        if (planned := known.get((*key, asked.max_age_s))) is None:
            planned = known[(*key, asked.max_age_s)] = plan(*key, table, max_age_s=asked.max_age_s)
        leg, planned = tasks_of(asked.leg, planned, trade)
        done[asked.uid].append(PlannedLeg(asked, leg, planned, table.version))
        if opens(leg.event_type):
            trade.update({each.account: Entered(symbol, each.multiplier, each.route) for each in intents(planned)})
    return done


def plan_record(legs: Sequence[PlannedLeg] | None) -> str | None:
    """What is stored with a signal, as JSON; None for one that was refused or repeats another."""
    return None if legs is None else json.dumps([row for leg in legs for row in leg.record])


def why_nobody(legs: Sequence[PlannedLeg]) -> tuple[str, ...]:
    """Sentences that say why no account gets anything of an alert, one for each code; none where an account does."""
    if not legs or any(leg.tasks for leg in legs):
        return ()
    accounts: dict[tuple[str, str], list[str]] = {}
    for each in (each for leg in legs for each in leg.planned):
        named = accounts.setdefault((each.code or "NO_ROUTE", each.message or ""), [])
        if each.account not in named:
            named.append(each.account)
    if not accounts:
        return (
            "NO_ACCOUNT: no account is published, so nobody trades it; a service publishes its own when it starts.",
        )
    return tuple(_not_traded(code, message, names) for (code, message), names in accounts.items())[:_MOST_NOTES]


def _not_traded(code: str, message: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{code}: {', '.join(names[:_MOST_NAMES])}{more}: no task. {message}".rstrip()


def task_columns(legs: PlannedLegs) -> dict[str, Any]:
    """The columns of all tasks, in order."""
    tasks = [task for each in legs.values() for leg in each for task in leg.tasks]
    return {
        "task_uids": [task.uid for task in tasks],
        "task_trade_ids": [task.leg.trade_id for task in tasks],
        "task_event_types": [task.leg.event_type for task in tasks],
        "task_accounts": [task.intent.account for task in tasks],
        "task_payloads": [json.dumps(dict(task.leg.payload), allow_nan=False) for task in tasks],
        "task_max_ages": [task.intent.max_age_s for task in tasks],
        "task_plans": [json.dumps(task.intent.record(task.strategy, task.routes_version)) for task in tasks],
    }
