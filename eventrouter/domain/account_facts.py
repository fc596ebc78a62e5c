"""What is known of accounts when a claim decides about their entries; see db/functions/read_account_facts.sql."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from eventrouter.domain.book import Book
from eventrouter.domain.controls import Control
from eventrouter.domain.denials import Denied, figure
from eventrouter.domain.links import Link, link_from_row
from eventrouter.domain.risk_inputs import Exposure
from eventrouter.domain.symbols import root_of

UNNAMED = "-"
"""The root of what names no symbol."""
_OPENED_BY = {"BUY": "LONG", "SELL": "SHORT"}


class Question(NamedTuple):
    """What is asked before entries are decided about: their accounts and those accounts' owners, others of these owners, roots."""

    accounts: tuple[str, ...]
    owners: tuple[str, ...]
    others: tuple[str, ...]
    roots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """What a trade holds of a contract: above zero long, below zero short."""

    trade_id: str
    root: str
    contract: str
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """One account. `exposures`: what it holds and what may still open something; None: not known.

    `intents`: its entries of the last minute and when they were sent, None: not known. `state`: of its latest account_log row.
    `marks`: root of what is held and when its last price stood, None where its profit cannot be told. `link`: how its broker
    stands, None where no router says so.
    """

    holdings: tuple[Held, ...] = ()
    exposures: tuple[Exposure, ...] | None = ()
    intents: tuple[tuple[int, datetime], ...] | None = ()
    state: Mapping[str, Any] | None = None
    marks: tuple[tuple[str, datetime | None], ...] = ()
    link: Link | None = None


NOTHING_KNOWN = AccountFacts(exposures=None, intents=None)
"""Of an account that was not asked about; every limit that needs a fact of it denies."""


@dataclass(frozen=True, slots=True)
class Facts:
    """`owners`: owner → accounts as published; `prices`: root → last known price and its time."""

    controls: tuple[Control, ...] = ()
    accounts: Mapping[str, AccountFacts] = field(default_factory=dict)
    owners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    prices: Mapping[str, tuple[Decimal, datetime]] = field(default_factory=dict)

    def of(self, account: str) -> AccountFacts:
        """What is known of an account."""
        return self.accounts.get(account, NOTHING_KNOWN)

    def with_entry(self, task_id: int, exposure: Exposure, at: datetime) -> "Facts":
        """The same after one more entry of an account was decided."""
        before = self.of(exposure.account)
        others = None if before.exposures is None else [each for each in before.exposures if each.task != task_id]
        after = replace(
            before,
            exposures=None if others is None else (*others, exposure),
            intents=None if before.intents is None else (*before.intents, (task_id, at)),
        )
        return replace(self, accounts={**self.accounts, exposure.account: after})

    def once_closed(self, account: str, trades: Collection[str]) -> "Facts":
        """The same once an account holds nothing of these trades any more."""
        before = self.of(account)
        holdings = tuple(held for held in before.holdings if held.trade_id not in trades)
        exposures = before.exposures
        if exposures is not None:
            others = list(exposures)
            for held in before.holdings:
                others.remove(_held(account, held, before.holdings))
            exposures = (*(_held(account, held, holdings) for held in holdings), *others)
        after = replace(before, holdings=holdings, exposures=exposures)
        return replace(self, accounts={**self.accounts, account: after})


def facts_of(found: Mapping[str, Any]) -> Facts:
    """From the JSON that read_account_facts() answers."""
    return Facts(
        controls=tuple(_control(*row) for row in found["controls"]),
        accounts={name: _account(name, facts) for name, facts in found["accounts"].items()},
        owners={owner: tuple(names) for owner, names in found["owners"].items()},
        prices={root: (Decimal(price), datetime.fromisoformat(at)) for root, (price, at) in found["prices"].items()},
    )


def _account(name: str, facts: Mapping[str, Any]) -> AccountFacts:
    holdings = tuple(Held(trade, root, contract, Decimal(held)) for trade, root, contract, held in facts["holdings"])
    try:
        exposures = (
            *(_held(name, held, holdings) for held in holdings),
            *_entries(name, facts["entries"]),
            *_orders(name, facts["orders"], holdings),
        )
    except (Denied, ArithmeticError):
        exposures = None
    intents = tuple((task, datetime.fromisoformat(at)) for task, at in facts["intents"])
    marks = tuple((root, None if at is None else datetime.fromisoformat(at)) for root, at in facts.get("marks") or ())
    return AccountFacts(holdings, exposures, intents, facts["state"], marks, link_from_row(facts.get("connection")))


def _control(
    scope: str, action: str, number: int, actor: str = "", reason: str | None = None, at: str | None = None
) -> Control:
    return Control(scope, action, number, actor, reason, None if at is None else datetime.fromisoformat(at))


def _held(account: str, held: Held, holdings: Sequence[Held]) -> Exposure:
    side = "LONG" if held.quantity > 0 else "SHORT"
    offset = _net(held.contract, holdings) * held.quantity <= 0
    return Exposure(account, held.root, side, abs(held.quantity), offset=offset)


def _net(contract: str, holdings: Sequence[Held]) -> Decimal:
    return sum((held.quantity for held in holdings if held.contract == contract), Decimal(0))


def _entries(account: str, rows: Iterable[Sequence[Any]]) -> Iterable[Exposure]:
    """Entries that are sent or working. One whose intent names no size (it was moved by hand) has what its alert asked for."""
    for task, root, side, quantity, filled, symbol, asked_side, asked in rows:
        left = figure("quantity", Decimal(str(quantity or asked or 1))) - figure("filled", Decimal(filled))
        if left > 0:
            yield Exposure(account, root or root_of(symbol or "") or UNNAMED, side or asked_side or "", left, task)


def _orders(account: str, rows: Iterable[Sequence[Any]], holdings: Sequence[Held]) -> Iterable[Exposure]:
    """Working orders of nobody's task. One that can only close what the account holds opens nothing."""
    for root, contract, side, quantity in rows:
        opens = _OPENED_BY[side]
        net = _net(contract, holdings)
        closes = max(Decimal(0), -net if opens == "LONG" else net)
        left = figure("quantity", Decimal(quantity)) - closes
        if left > 0:
            yield Exposure(account, root, opens, left)


def book_of(state: Mapping[str, Any] | None) -> Book:
    """The account's book. One that cannot be read knows no money and is out of sync, which denies."""
    try:
        return Book.from_json(state)
    except (TypeError, ValueError, ArithmeticError, AttributeError, KeyError) as error:
        return Book(out_of_sync=f"Its book cannot be read: {type(error).__name__}.")
