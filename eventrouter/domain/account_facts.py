"""What is known of accounts when a claim decides about their entries; see db/functions/account_facts.sql."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from eventrouter.domain.balances import Balances
from eventrouter.domain.controls import Control
from eventrouter.domain.denials import Denied, figure
from eventrouter.domain.risk_inputs import Exposure
from eventrouter.domain.symbols import root_of

UNNAMED = "-"
"""The root of what names no symbol."""
_OPENED_BY = {"BUY": "LONG", "SELL": "SHORT"}


@dataclass(frozen=True, slots=True)
class Held:
    """What a trade holds of a contract: above zero long, below zero short."""

    trade_id: str
    root: str
    contract: str
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """One account. `exposures`: what it holds and what may still open something; None when a part of it cannot be read."""

    holdings: tuple[Held, ...] = ()
    exposures: tuple[Exposure, ...] | None = ()
    intents_at: tuple[datetime, ...] = ()
    state: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """`owners`: owner → accounts as published; `prices`: root → last known price and its time."""

    controls: tuple[Control, ...] = ()
    accounts: Mapping[str, AccountFacts] = field(default_factory=dict)
    owners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    prices: Mapping[str, tuple[Decimal, datetime]] = field(default_factory=dict)

    def with_entry(self, exposure: Exposure, at: datetime) -> "Facts":
        """The same after one more entry of an account was decided."""
        before = self.accounts.get(exposure.account, AccountFacts())
        known = None if before.exposures is None else (*before.exposures, exposure)
        after = replace(before, exposures=known, intents_at=(*before.intents_at, at))
        return replace(self, accounts={**self.accounts, exposure.account: after})


@dataclass(frozen=True, slots=True)
class Standings:
    """What an account's latest state says: its money, the trading day it belongs to, and whether it is in order."""

    balances: Balances | None = None
    day: date | None = None
    out_of_sync: str | None = None
    flattening: bool = False


def facts_of(found: Mapping[str, Any]) -> Facts:
    """From the JSON that account_facts() answers."""
    return Facts(
        controls=tuple(Control(*row) for row in found["controls"]),
        accounts={name: _account(name, facts) for name, facts in found["accounts"].items()},
        owners={owner: tuple(names) for owner, names in found["owners"].items()},
        prices={
            root: (Decimal(price), datetime.fromisoformat(at)) for root, (price, at) in found["prices"].items()
        },
    )


def _account(name: str, facts: Mapping[str, Any]) -> AccountFacts:
    holdings = tuple(Held(trade, root, contract, Decimal(held)) for trade, root, contract, held in facts["holdings"])
    try:
        exposures = (
            *(_held(name, held) for held in holdings),
            *_entries(name, facts["entries"]),
            *_orders(name, facts["orders"], holdings),
        )
    except Denied:
        exposures = None
    intents = tuple(datetime.fromisoformat(at) for at in facts["intents"])
    return AccountFacts(holdings, exposures, intents, facts["state"])


def _held(account: str, held: Held) -> Exposure:
    return Exposure(account, held.root, "LONG" if held.quantity > 0 else "SHORT", abs(held.quantity))


def _entries(account: str, rows: Iterable[Sequence[Any]]) -> Iterable[Exposure]:
    """Entries that are sent or working. One whose intent names no size (it was moved by hand) has what its alert asked for."""
    for _, root, side, quantity, filled, symbol, asked_side, asked in rows:
        left = figure("quantity", Decimal(str(quantity or asked or 1))) - figure("filled", Decimal(filled))
        if left > 0:
            yield Exposure(account, root or root_of(symbol or "") or UNNAMED, side or asked_side or "", left)


def _orders(account: str, rows: Iterable[Sequence[Any]], holdings: Sequence[Held]) -> Iterable[Exposure]:
    """Working orders of nobody's task. One that can only close what the account holds opens nothing."""
    for root, contract, side, quantity in rows:
        opens = _OPENED_BY[side]
        net = sum((held.quantity for held in holdings if held.contract == contract), Decimal(0))
        closes = max(Decimal(0), -net if opens == "LONG" else net)
        left = figure("quantity", Decimal(quantity)) - closes
        if left > 0:
            yield Exposure(account, root, opens, left)


def standings_of(state: Mapping[str, Any] | None) -> Standings:
    """What the latest account_log state says. What is missing or cannot be read is not known, which denies."""
    if state is None:
        return Standings()
    try:
        balances = state.get("balances")
        day = state.get("day")
        return Standings(
            balances=Balances(**{name: Decimal(str(value)) for name, value in balances.items()}) if balances else None,
            day=date.fromisoformat(day) if day else None,
            out_of_sync=str(state["out_of_sync"]) if state.get("out_of_sync") else None,
            flattening=bool(state.get("flattening")),
        )
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        return Standings(out_of_sync=f"its state cannot be read: {type(error).__name__}")
