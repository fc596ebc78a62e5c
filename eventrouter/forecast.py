"""What the tasks of an alert would come to on each account, decided by the code that decides about them when they are claimed.

Takes no lock and changes nothing: it waits for no claim and no claim waits for it. No broker is asked.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from eventrouter.config import Config
from eventrouter.config.rules import account_of, published_account, published_rows
from eventrouter.domain.account_facts import Facts
from eventrouter.domain.accounts import Account
from eventrouter.domain.decide import DueTask, decide
from eventrouter.domain.gate import Gate, question_of
from eventrouter.domain.payloads import plain_number
from eventrouter.domain.plan import Planned, opens
from eventrouter.domain.tasks import LogEntry
from eventrouter.domain.trade_facts import TradeFacts
from eventrouter.domain.trades import Leg
from eventrouter.store.connect import Conn
from eventrouter.store.facts import known_facts
from eventrouter.store.settings import account_bodies
from eventrouter.store.tasks import trade_facts

NEW_TRADE = "(a new trade)"
NOTHING = "nothing"
NOT_KNOWN = "unknown"
_OUTCOMES = {
    "SENDING": "send",
    "PENDING": "wait",
    "HELD": "hold",
    "DENIED": "deny",
    "EXPIRED": "expire",
    "CANCELLED": "cancel",
}
_FIRST_ID = 2**62  # after every task there is
_UNTOLD = ("STATE_UNKNOWN", "NUMBER_MISSING")
"""What the gate says of facts that nobody has read."""
_OF_THE_ORDER = ("request_hash", "client_order_id")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fleet:
    """The accounts as the routers that claim them know them, and how each trades: live or dry.

    `differs`: those whose published settings are others than in this configuration.
    """

    accounts: Mapping[str, Account]
    modes: Mapping[str, str]
    differs: tuple[str, ...] = ()

    def mode(self, account: str) -> str:
        """How its next task will be executed."""
        return self.modes.get(account, "dry")


@dataclass(frozen=True, slots=True)
class Step:
    """One leg of the alert on one account, as it was planned."""

    leg: Leg
    planned: Planned


@dataclass
class Forecaster:
    """Says what becomes of an alert's steps, in their order: what one entry takes is gone for those behind it.

    `conn` None: nothing is read, and what would have to be known is said to be unknown. `fired_at` counts for the age of what
    opens, `now` where the alert does not say it.
    """

    conn: Conn | None
    fleet: Fleet
    strategy: str
    routes_version: int
    now: datetime
    fired_at: datetime | None = None
    _gates: dict[str, Gate] = field(default_factory=dict)

    async def rows(self, steps: Sequence[Step]) -> list[Row]:
        """One row for each step: {account, event, trade_id, decision, reason, message, quantity, asked, contract, calculation, …}."""
        tasks = [await self._task(number, step) for number, step in enumerate(steps)]
        for mode in {task.mode for task in tasks if task is not None}:
            self._gates[mode] = await self._gate(
                mode, [task for task in tasks if task is not None and task.mode == mode]
            )
        return [self._row(step, task) for step, task in zip(steps, tasks, strict=True)]

    async def _task(self, number: int, step: Step) -> DueTask | None:
        """The task as a claim would find it; None where there is none."""
        leg, intent = step.leg, step.planned.intent
        if intent is None:
            return None
        account, mode = intent.account, self.fleet.mode(intent.account)
        since = self.now if self.fired_at is None else min(self.now, self.fired_at)
        return DueTask(
            id=_FIRST_ID + number,
            version=1,
            trade_id=leg.trade_id,
            event_type=leg.event_type,
            opening=opens(leg.event_type),
            attempts=0,
            payload=leg.payload,
            account=account,
            lane=account,
            mode=mode,
            client_order_id="",
            expires_at=None if intent.max_age_s is None else since + timedelta(seconds=intent.max_age_s),
            created_at=self.now,
            received_at=self.now,
            # without `after`: the trades that a reversal closes first count as closed, since their exits stand beside it
            trade=TradeFacts() if self.conn is None else await trade_facts(self.conn, leg.trade_id, account, mode),
            plan=intent.record(self.strategy, self.routes_version),
            strategy=self.strategy,
        )

    async def _gate(self, mode: str, tasks: Iterable[DueTask]) -> Gate:
        entries = [task for task in tasks if task.opening and task.account in self.fleet.accounts]
        facts = Facts()
        if self.conn is not None and entries:
            facts = await known_facts(self.conn, question_of(entries, self.fleet.accounts), mode)
            for task in entries:
                facts = facts.once_closed(task.account, _reversed(task))
        return Gate(self.fleet.accounts, facts, self.now, mode == "dry", asks_brokers=False)

    def _row(self, step: Step, task: DueTask | None) -> Row:
        row = _plain_row(step)
        if task is None:
            return {**row, "decision": NOTHING, "reason": step.planned.code, "message": step.planned.message}
        if self.conn is None and not task.opening:
            return _unknown(row, "NOT_ASKED", "Whether the account holds the trade is not known.")
        if task.opening and task.account not in self.fleet.accounts:
            return _unknown(row, "SETTINGS_UNREADABLE", "What was published of the account cannot be read here.")
        made = decide(
            [task], now=self.now, dry_run=task.mode == "dry", lease_s=1.0, limit=1, gate=self._gates[task.mode]
        )
        entry = made.sends[0].entry if made.sends else next(one for one in made.others if one.task_id == task.id)
        if self.conn is None and entry.reason in _UNTOLD:
            return _unknown(row, "NOT_ASKED", f"Only the database could tell. {entry.message}")
        order = made.sends[0].order if made.sends else None
        quantity = (order.quantity, order.symbol) if order is not None else (_would_be(entry), None)
        return {**row, **_decided(task, entry, *quantity)}


async def fleet_of(config: Config, conn: Conn | None) -> Fleet:
    """The published accounts, whoever claims them, and those of this configuration that nobody has published."""
    accounts: dict[str, Account] = {}
    modes: dict[str, str] = {}
    differs: list[str] = []
    own = published_rows(config)["account"]
    for configured in config.accounts:
        account = accounts[configured.name] = account_of(configured)
        modes[configured.name] = account.mode(dry_run=config.router.dry_run)
    for name, body in (await account_bodies(conn)).items() if conn is not None else ():
        modes[name] = "live" if body.get("mode") == "live" else "dry"  # a task's mode is the published one
        if name in own and _as_stored(own[name]) != _as_stored(body):
            differs.append(name)
        published = published_account(name, body)
        accounts.pop(name, None)
        if published is not None:
            accounts[name] = published
    return Fleet(accounts, modes, tuple(differs))


def _as_stored(body: Mapping[str, Any]) -> Any:
    """As JSON has it, with its numbers of one kind."""
    return json.loads(json.dumps(body, default=float))


def _plain_row(step: Step) -> Row:
    leg = step.leg
    return {
        "account": step.planned.account,
        "event": leg.event_type,
        "trade_id": None if leg.trade_id == NEW_TRADE and not opens(leg.event_type) else leg.trade_id,
        "quantity": None,
        "asked": leg.payload.get("quantity"),
        "contract": None,
        "calculation": None,
        "resolution": None,
        "mode": None,
        "figures": {},
    }


def _unknown(row: Row, reason: str, message: str) -> Row:
    return {**row, "decision": NOT_KNOWN, "reason": reason, "message": message}


def _decided(task: DueTask, entry: LogEntry, quantity: str | None, contract: str | None) -> Row:
    detail = dict(entry.detail)
    calculation = detail.get("calculation") or (detail.get("sizing") or {}).get("calculation")
    resolution = detail.get("resolution")
    return {
        "decision": _OUTCOMES[entry.status],
        "reason": entry.reason,
        "message": entry.message or _sent(task, quantity, contract, calculation, resolution),
        "quantity": _number(quantity),
        "contract": contract,
        "calculation": calculation,
        "resolution": resolution,
        "mode": task.mode,
        "figures": {key: value for key, value in detail.items() if key not in _OF_THE_ORDER},
    }


def _would_be(entry: LogEntry) -> str | None:
    """The size of an order that was refused after it had been sized."""
    order = entry.detail.get("order")
    return order.get("quantity") if isinstance(order, Mapping) else None


def _number(quantity: str | None) -> int | float | None:
    return None if quantity is None else plain_number(Decimal(quantity))


def _sent(
    task: DueTask, quantity: str | None, contract: str | None, calculation: str | None, resolution: str | None
) -> str:
    order = " ".join(filter(None, (quantity, contract)))
    first = ", ".join(_reversed(task))
    condition = f" once {first} is closed here" if first else ""
    ends = f"The order would be sent{condition}."
    if task.mode == "dry":
        ends = f"It would be simulated{condition}; nothing leaves this machine."
    return " ".join(filter(None, (f"{order}." if order else "", calculation, resolution, ends)))


def _reversed(task: DueTask) -> Sequence[str]:
    """The trades that are closed before it opens anything."""
    return tuple((task.payload or {}).get("after", ()))
