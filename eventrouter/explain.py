"""What an alert would do, on each account, without doing it: read, paired and decided by the code that does it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from eventrouter.config import Config
from eventrouter.config.rules import rules_of, table_of
from eventrouter.domain.duplicates import duplicate_key
from eventrouter.domain.parsers import Reading, read_alert
from eventrouter.domain.payloads import record_of
from eventrouter.domain.plan import Entered, opens, plan, planned_as, symbol_of, tasks_of
from eventrouter.domain.refusals import REFUSALS
from eventrouter.domain.routing import RoutingTable
from eventrouter.domain.signals import Signal
from eventrouter.domain.symbols import root_of
from eventrouter.domain.trades import Leg, begun_since, resolve
from eventrouter.domain.understand import ask_of, max_age_of, understand
from eventrouter.domain.wording import in_words
from eventrouter.errors import SignalRefused
from eventrouter.forecast import NEW_TRADE, NOTHING, Forecaster, Step, fleet_of
from eventrouter.store import tasks as store
from eventrouter.store.connect import Conn
from eventrouter.store.settings import routing_table
from eventrouter.store.signals import repeated_signal, trades_of
from eventrouter.store.tokens import token_hash, valid_tokens


@dataclass(slots=True)
class _Explanation:
    """Grows as the alert goes its way; `answer` is the shape of `explain --json` and POST /api/explain."""

    strategy: str
    family: str | None = None
    signal: dict[str, Any] | None = None
    message: str = ""
    code: str | None = None
    at_fault: str | None = None
    mend: str | None = None
    repairs: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    duplicate_of: int | None = None
    accounts: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, refusal: SignalRefused) -> None:
        """The alert ends here."""
        self.code, self.message, self.at_fault = refusal.code, refusal.message, refusal.field
        self.mend = REFUSALS.get(refusal.code)

    def repeats(self) -> None:
        """Sent now, it would be answered as the repeat that it is."""
        self.notes.append(f"It repeats signal {self.duplicate_of}.")
        message = f"It repeats signal {self.duplicate_of}, and makes no order."
        self.accounts = [
            {**row, "decision": NOTHING, "reason": "DUPLICATE", "message": message, "quantity": None}
            for row in self.accounts
        ]

    def answer(self) -> dict[str, Any]:
        """{"understood", "code", "message", "signal", "accounts", …}."""
        return {
            "understood": self.code is None,
            "code": self.code,
            "message": self.message,
            "field": self.at_fault,
            "mend": self.mend,
            "strategy": self.strategy,
            "family": self.family,
            "signal": self.signal,
            "repairs": list(self.repairs),
            "notes": self.notes,
            "duplicate_of": self.duplicate_of,
            "accounts": self.accounts,
        }


async def explain(config: Config, conn: Conn | None, raw: bytes, *, strategy: str | None = None) -> dict[str, Any]:
    """What the alert would do if it came now; changes nothing.

    `strategy`: whose alert it is; without it the one whose token it carries, that it names, or the only one configured.
    `conn` None: the database is not asked, so open trades, repeats and held positions are not known.
    """
    reading = read_alert(raw)
    strategy, notes = await _strategy_of(config, conn, reading, strategy)
    told = _Explanation(strategy, family=reading.family, notes=notes)
    if conn is None:
        told.notes.append("The database was not asked: open trades, positions and repeats are not known.")
    rules, now = rules_of(config, strategy), datetime.now(UTC)
    try:
        understood = understand(reading, strategy, rules, received_at=now, in_time=True)
        signal = understood.signal
        _describe(told, signal)
        ask = ask_of(understood, rules)
        trades = await trades_of(conn, strategy, ask.root) if conn is not None else []
        resolved = resolve(ask, trades, NEW_TRADE)
    except SignalRefused as refusal:
        told.refuse(refusal)
        return told.answer()
    told.notes += resolved.notes
    key = duplicate_key(reading.redacted, signal, window_s=rules.duplicate_window_s)
    first = await repeated_signal(conn, strategy, key) if conn is not None and key is not None else None
    if first is not None and not begun_since(ask, trades, first[1]):
        told.duplicate_of = first[0]
    table = await _table(told, config, conn)
    if rules.limits.alerts_per_minute and signal.opening:
        told.notes.append("Whether alerts_per_minute still allows it is known only to the service.")
    steps: list[Step] = []
    for leg in resolved.legs:
        held = await _held(conn, leg)
        asked = (planned_as(leg), symbol_of(leg, held), strategy)
        planned = plan(*asked, table, max_age_s=max_age_of(signal, rules))
        led, planned = tasks_of(leg, planned, held)
        steps += [Step(led, each) for each in planned]
    fleet = await fleet_of(config, conn)
    if fleet.differs:
        names = ", ".join(fleet.differs)
        told.notes.append(
            f"What was published of these accounts counts, and it is not what this configuration says: {names}."
        )
    forecaster = Forecaster(conn, fleet, strategy, table.version, now, signal.fire_time)
    told.accounts = _each_once(await forecaster.rows(steps))
    if told.duplicate_of is not None:
        told.repeats()
    return told.answer()


async def _table(told: _Explanation, config: Config, conn: Conn | None) -> RoutingTable:
    """What planning reads: the published table, or this configuration where nothing is published or nobody is asked."""
    configured = table_of(config)
    published = await routing_table(conn) if conn is not None else None
    if published is None or not published.accounts:
        return configured
    if _unversioned(published) != _unversioned(configured):
        told.notes.append(
            "The published accounts, strategies and routes count, and they are others than in this configuration: a service "
            "publishes its own when it starts."
        )
    return published


def _unversioned(table: RoutingTable) -> RoutingTable:
    accounts = tuple(sorted((replace(each, version=0) for each in table.accounts), key=lambda each: each.name))
    return replace(table, accounts=accounts, version=0, max_ages={})


async def _held(conn: Conn | None, leg: Leg) -> Mapping[str, Entered]:
    if conn is None or opens(leg.event_type):
        return {}
    return (await store.trade_accounts(conn, {leg.trade_id})).get(leg.trade_id, {})


def _each_once(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What becomes of the alert on each account; an account that gets nothing at all stands once, at the end."""
    served = {row["account"] for row in rows if row["decision"] != NOTHING}
    others = {row["account"]: {**row, "event": None, "trade_id": None} for row in rows if row["account"] not in served}
    return [*(row for row in rows if row["account"] in served), *others.values()]


def _describe(told: _Explanation, signal: Signal) -> None:
    told.message = in_words(signal)
    told.repairs = signal.repairs
    told.notes += signal.notes
    record = {name: value for name, value in record_of(signal).items() if name not in ("kind", "repairs", "notes")}
    told.signal = {
        "event": signal.event_type,
        "side": signal.side and str(signal.side),
        "symbol": signal.symbol,
        "instrument": None if signal.symbol is None else root_of(signal.symbol),
        "quantity": None,
        "trade_id": signal.trade_id,
        **record,
    }


async def _strategy_of(config: Config, conn: Conn | None, reading: Reading, named: str | None) -> tuple[str, list[str]]:
    if named is not None:
        return named, await _doubts(config, conn, named)
    if conn is not None and reading.secrets:
        known = await valid_tokens(conn)
        for secret in reading.secrets:
            if strategy := known.get(token_hash(secret)):
                return strategy, []
    said = reading.signal.strategy if reading.signal is not None else None
    configured = [strategy.name for strategy in config.strategies]
    if said in configured:
        return said, []
    if len(configured) == 1:
        return configured[0], [f"Read as an alert of {configured[0]!r}, the only strategy in the configuration."]
    if said is not None and reading.family == "stage13b":
        return said, []
    return "default", ["No strategy was named, so the defaults of a strategy hold."]


async def _doubts(config: Config, conn: Conn | None, strategy: str) -> list[str]:
    if any(one.name == strategy for one in config.strategies):
        return []
    if conn is not None and strategy in (await valid_tokens(conn)).values():
        return []
    return [f"No strategy {strategy!r} is known: it has no token, and no block in the configuration."]
