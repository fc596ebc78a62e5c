"""One signal, many accounts: who gets a task, and why not. Read this first; sizing and risk decide when a task is claimed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from eventrouter.domain.routing import Candidate, Route, RoutingTable
from eventrouter.domain.symbols import root_of
from eventrouter.domain.trades import Leg

_LISTED = 10  # names in a message


@dataclass(frozen=True, slots=True)
class Intent:
    """A task to enqueue for one account. `max_age_s`: an entry older than this is never sent (None: no limit).

    `multiplier` is that of the `route` (empty: no route was needed), `version` that of the account's published settings.
    """

    account: str
    max_age_s: float | None
    multiplier: Decimal = Decimal(1)
    route: str = ""
    version: int = 0

    def record(self, strategy: str, routes_version: int) -> dict[str, Any]:
        """What is stored with the task: how and from which settings it was planned."""
        return {
            "route": self.route or None,
            "multiplier": format(self.multiplier, "f"),
            "strategy": strategy,
            "account_version": self.version,
            "routes_version": routes_version,
        }


@dataclass(frozen=True, slots=True)
class Planned:
    """What a signal comes to on one account: an intent, or a code and a sentence that say why there is none.

    `version` is that of the account's published settings (0: it has none).
    """

    account: str
    intent: Intent | None = None
    code: str | None = None
    message: str | None = None
    version: int = 0

    def record(self) -> dict[str, Any]:
        """What is stored with the signal."""
        known = {"account": self.account, "account_version": self.version, "code": self.code, "message": self.message}
        if self.intent is None:
            return known
        return {**known, "route": self.intent.route or None, "multiplier": format(self.intent.multiplier, "f")}


@dataclass(frozen=True, slots=True)
class Entered:
    """How an account came into a trade: the symbol of its latest entry, and the route and multiplier that it had."""

    symbol: str | None = None
    multiplier: Decimal = Decimal(1)
    route: str = ""


@dataclass(slots=True)
class _Found:
    """What the routes say of one account: the first that takes the signal, else those that came nearest."""

    route: Route | None = None
    step: int = 0  # how many of strategy, instrument and event the nearest routes take
    nearest: list[Route] = field(default_factory=list)


def opens(event_type: str) -> bool:
    """Whether an event adds exposure and waits in line; exits and their like wait only while their lane is sending."""
    return not event_type.startswith(("EXIT", "CANCEL", "REDUCE", "MOVE_STOP", "FLATTEN"))


def plan(
    event_type: str, symbol: str | None, strategy: str, table: RoutingTable, *, max_age_s: float | None = None
) -> tuple[Planned, ...]:
    """For every account of the table an intent, or a coded reason why not. Age never stops what closes.

    The opening half of a reversal is planned as REVERSE. Of several routes to an account the first that takes the signal
    counts. What closes and names no symbol is taken by routes of any instrument: it closes only what is held.
    """
    root = root_of(symbol) if symbol else None
    found = _search(event_type, root, strategy, table.routes)
    chosen = table.chosen.get(strategy.casefold(), ())
    age = max_age_s if opens(event_type) else None
    planned: list[Planned] = []
    for account in table.accounts:
        reached = found.get(account.name, _Found())
        refusal = _refusal(account, chosen, strategy) or (
            _unrouted(reached, event_type, root, strategy) if table.routes and reached.route is None else None
        )
        if refusal is not None:
            planned.append(Planned(account.name, None, *refusal, account.version))
            continue
        route = reached.route
        multiplier, name = (route.multiplier, route.name) if route is not None else (Decimal(1), "")
        intent = Intent(account.name, age, multiplier, name, account.version)
        planned.append(Planned(account.name, intent, version=account.version))
    return tuple(planned)


def planned_as(leg: Leg) -> str:
    """The event by which routes take a leg: the opening half of a reversal is REVERSE."""
    return "REVERSE" if leg.event_type == "ENTRY" and leg.payload.get("after") else leg.event_type


def tasks_of(leg: Leg, planned: Sequence[Planned], held: Mapping[str, Entered]) -> tuple[Leg, tuple[Planned, ...]]:
    """What one leg comes to on each account, and the leg as its tasks have it. `held`: the accounts that hold its trade.

    What closes follows its trade: to its accounts, at any age, and in its symbol where it names none.
    """
    if opens(leg.event_type):
        return leg, tuple(planned)
    symbol = symbol_of(leg, held)
    payload = {**leg.payload, **({"symbol": symbol} if symbol else {})}
    return replace(leg, payload=payload), follow_trade(planned, leg.event_type, held)


def symbol_of(leg: Leg, held: Mapping[str, Entered]) -> str | None:
    """The symbol of a leg: its own, or that of the trade that it closes."""
    own = leg.payload.get("symbol")
    if own or opens(leg.event_type):
        return own if isinstance(own, str) else None
    return next((entered.symbol for entered in held.values() if entered.symbol), None)


def follow_trade(planned: Sequence[Planned], event_type: str, held: Mapping[str, Entered]) -> tuple[Planned, ...]:
    """What closes goes to the accounts that hold the trade, as their entry went, whatever the configuration says by now."""
    if opens(event_type):
        return tuple(planned)
    versions = {each.account: each.version for each in planned}

    def followed(account: str, entered: Entered) -> Planned:
        version = versions.get(account, 0)
        intent = Intent(account, None, entered.multiplier, entered.route, version)
        return Planned(account, intent, version=version)

    return (
        *(followed(each.account, held[each.account]) if each.account in held else each for each in planned),
        *(followed(account, entered) for account, entered in held.items() if account not in versions),
    )


def _search(event_type: str, root: str | None, strategy: str, routes: Iterable[Route]) -> dict[str, _Found]:
    """What the routes say of each account that any of them names."""
    found: dict[str, _Found] = {}
    anything = root is None and not opens(event_type)
    for route in routes:
        step = 0
        if route.takes_strategy(strategy):
            step = 1
            if anything or route.takes_root(root):
                step = 3 if route.takes_event(event_type) else 2
        for account in route.accounts:
            reached = found.setdefault(account, _Found())
            if step == 3 and reached.route is None:
                reached.route = route
            if step > reached.step:
                reached.step, reached.nearest = step, []
            if step == reached.step:
                reached.nearest.append(route)
    return found


def _refusal(account: Candidate, chosen: Sequence[str], strategy: str) -> tuple[str, str] | None:
    if not account.enabled:
        return "ACCOUNT_DISABLED", "The account is not enabled."
    if chosen and account.name not in chosen:
        return "NOT_IN_STRATEGY", f"Strategy {strategy[:64]!r} is traded only on {_listed(chosen)}."
    return None


def _unrouted(found: _Found, event_type: str, root: str | None, strategy: str) -> tuple[str, str]:
    """The code and the sentence for an account that no route brings the signal to."""
    names = f"{'Route' if len(found.nearest) == 1 else 'Routes'} {_listed(route.name for route in found.nearest)}"
    if found.step == 2:
        events = _listed(event for route in found.nearest for event in route.events)
        return "EVENT_NOT_ROUTED", f"{names} to this account: only {events}. This is {event_type}."
    if found.step == 1:
        instruments = _listed(each for route in found.nearest for each in route.instruments)
        named = f"The signal is for {root}." if root else "The signal names no instrument."
        return "INSTRUMENT_NOT_ROUTED", f"{names} to this account: only {instruments}. {named}"
    return "NO_ROUTE", f"No route brings signals of strategy {strategy[:64]!r} to this account."


def _listed(names: Iterable[str]) -> str:
    """The names, each once; of many the first ones and how many more there are."""
    distinct = list(dict.fromkeys(names))
    more = f" and {len(distinct) - _LISTED} more" if len(distinct) > _LISTED else ""
    return ", ".join(distinct[:_LISTED]) + more


def intents(planned: Iterable[Planned]) -> Iterator[Intent]:
    """The tasks to enqueue, in order."""
    return (each.intent for each in planned if each.intent is not None)
