"""Whether an entry may be sent, and as what: sized for its account, of a contract that is verified, within every limit.

Pure: the same task, account and facts give the same answer. Read `Gate.admit` first; it is the order of the steps.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from eventrouter.domain.account_facts import UNNAMED, Facts, Held, Question, book_of
from eventrouter.domain.accounts import Account
from eventrouter.domain.balances import Balances
from eventrouter.domain.book import Book
from eventrouter.domain.contract_choice import (
    EXCHANGE_DAYS,
    Chosen,
    Looked,
    Waits,
    at_broker,
    held_contract,
    holds,
    of_product,
    unasked,
    without_broker,
)
from eventrouter.domain.controls import ordered_by, standing_of
from eventrouter.domain.decide import DueTask, Sized
from eventrouter.domain.denials import Denial, Denied, figure, plain, whole
from eventrouter.domain.entry_order import SIMULATED, Planned, denied_entry, order_of, refused, waiting_entry
from eventrouter.domain.instruments import PRODUCTS, ContractSize, Product, sibling
from eventrouter.domain.links import barred, explained
from eventrouter.domain.risk import judge, standing_denial
from eventrouter.domain.risk_inputs import AccountState, Exposure, Proposal, Standing
from eventrouter.domain.signals import LevelKind, QuantityKind
from eventrouter.domain.sizing import SizeBy, SizingRequest, SizingRule, size
from eventrouter.domain.sizing_rule import multiplier_of, rule_of
from eventrouter.domain.symbols import root_of
from eventrouter.domain.tasks import LogEntry
from eventrouter.domain.wish import Wish, points_to_stop, wish_of

_BY_RISK = (SizeBy.RISK_AMOUNT, SizeBy.RISK_PERCENT)


class _Left(Exception):
    """The broker is being asked which contract is meant."""


@dataclass
class Gate:
    """Decides about entries one after the other; each one that it lets pass counts for those behind it.

    `accounts` have their configured connectors, also in a dry run. `look_up`: account, symbol → what its broker said of it.
    `asked` collects what no broker has been asked yet: (account, symbol). Without `asks_brokers` none is to be asked: a contract is
    named as far as it can be told, which is enough to say what would happen and not enough to send.
    """

    accounts: Mapping[str, Account]
    facts: Facts
    now: datetime
    dry_run: bool
    look_up: Callable[[Account, str], Looked | None] = lambda _account, _symbol: None
    asked: set[tuple[str, str]] = field(default_factory=set)
    asks_brokers: bool = True

    def admit(self, task: DueTask) -> Sized | LogEntry | None:
        """The order, which counts from here on; or the row that says why there is none; None to leave it for a later claim."""
        account = self.accounts[task.account]
        try:
            wish = wish_of(task.payload or {}, EXCHANGE_DAYS.of(self.now))
            planned = self._planned(task, account, wish)
            verdict = self._verdict(task, account, wish, planned)
            if isinstance(verdict, LogEntry):
                return verdict
            chosen = self._contract(task, account, wish, planned)
            order = order_of(task, account, wish, planned, chosen.symbol)
        except Denied as denied:
            return denied_entry(task, self._explained(task, denied.denial))
        except _Waiting as waiting:
            return waiting_entry(task, waiting.waits, self.now)
        except _Left:
            return None
        self.facts = self.facts.with_entry(
            task.id, Exposure(task.account, planned.root, planned.direction or "", planned.quantity, task.id), self.now
        )
        detail = {
            "sizing": planned.sizing,
            "risk": verdict,
            "contract": chosen.symbol,
            "resolution": chosen.why,
            "root": planned.root,
            "direction": planned.direction,
            "quantity": whole(planned.quantity),
        }
        return Sized(order, detail)

    def _planned(self, task: DueTask, account: Account, wish: Wish) -> Planned:
        """How many of what. Raises Denied; a halt comes before whatever is wrong with the size."""
        try:
            if account.connector == SIMULATED and (wish.product is None or self._direction(task, wish) is None):
                return _unsized(wish, task)
            return self._sized(task, account, wish)
        except Denied:
            if halted := standing_denial(self._standing(task, self._book(task.account)), self._ordered(task)):
                raise Denied(halted) from None
            raise

    def _sized(self, task: DueTask, account: Account, wish: Wish) -> Planned:
        product, direction = _product(wish), self._direction(task, wish)
        if direction is None:
            raise Denied(Denial("SIDE_WRONG", "The alert names no direction: it must be LONG or SHORT."))
        if task.intent is not None and "sizing" in task.intent and task.intent.get("root") in PRODUCTS:
            return _as_before(task.intent, direction)
        rule, why = rule_of(task, account, wish)
        found = size(rule, self._request(task, account, wish, rule, product, direction))
        if isinstance(found, Denial):
            raise Denied(replace(found, detail={**found.detail, "rule": why}))
        sizing = {**found.detail, "calculation": found.calculation, "rule": why}
        return Planned(found.product.root, found.product, found.quantity, sizing, direction)

    def _request(
        self, task: DueTask, account: Account, wish: Wish, rule: SizingRule, product: Product, direction: str
    ) -> SizingRequest:
        by_price = wish.stop is not None and wish.stop.kind is LevelKind.PRICE
        distance = None
        if rule.by in _BY_RISK and wish.stop is not None and not by_price:
            distance = points_to_stop(wish, wish.stop, direction, product)
            if distance is None:
                message = "The rule sizes by risk and the alert's stop loss is an amount of money for any size: send a price or a distance."
                raise Denied(Denial("STOP_NOT_A_DISTANCE", message, {"stop_loss": plain(wish.stop.value)}))
        balances = self._balances(account, self._book(task.account))
        held = sum((abs(each.quantity) for each in self._holds(task) if each.root == product.root), Decimal(0))
        return SizingRequest(
            product,
            direction,
            quantity=wish.quantity,
            entry=wish.entry,
            stop=wish.stop.value if wish.stop is not None and by_price else None,
            distance=distance,
            equity=balances.equity() if balances else None,
            held=held,
            multiplier=multiplier_of(task),
            currency=account.currency,
        )

    def _verdict(self, task: DueTask, account: Account, wish: Wish, planned: Planned) -> LogEntry | dict[str, Any]:
        """What the limits say: the figures they were held against, or the row that says why not."""
        book = self._book(task.account)
        price, priced_at = self._last_price(planned)
        known = self.facts.of(task.account)
        intents = known.intents
        # an attempt whose order the broker may have does not stand in its own way: its id is refused a second time
        exposures = None if known.exposures is None else tuple(each for each in known.exposures if each.task != task.id)
        state = AccountState(
            standing=self._standing(task, book),
            exposures=exposures,
            owner_exposures=self._owner_exposures(account),
            intents_at=None if intents is None else tuple(at for other, at in intents if other != task.id),
            balances=self._balances(account, book),
            day=self._day(account, book),
            last_price=price,
            last_price_at=priced_at,
            ordered=self._ordered(task),
        )
        proposal = Proposal(
            opening=True,
            root=planned.root,
            side=planned.direction or "",
            quantity=planned.quantity,
            price=wish.entry,
            mode=task.mode,
            received_at=task.received_at,
            max_age=None if task.expires_at is None else task.expires_at - task.received_at,
            approved=task.approved,
        )
        # a simulated order without a side is no side's opposite
        found = judge(proposal, state, account.limits, self.now).findings
        findings = [each for each in found if planned.direction or each.code != "SIDE_WRONG"]
        if unvalued := self._unvalued(task, account):
            findings.append(unvalued)
        if book.out_of_sync:
            message = f"What the account holds is not certain: {book.out_of_sync}"
            findings.insert(0, Denial("OUT_OF_SYNC", message, {"out_of_sync": book.out_of_sync}))
        if task.mode == "live" and (bar := barred(known.link)):
            findings.insert(0, bar)
        if findings:
            return refused(task, [self._explained(task, each) for each in findings], planned)
        return _figures(state, account)

    def _unvalued(self, task: DueTask, account: Account) -> Denial | None:
        """Limits of loss count what is open: while its value is not known, or known of long ago only, nobody can say how much is lost."""
        limits = account.limits
        if task.mode != "live" or (limits.daily_loss is None and limits.drawdown is None):
            return None
        for root, at in self.facts.of(task.account).marks:
            if root in PRODUCTS and at is not None and self.now - at <= limits.max_price_age:
                continue
            known = (
                "is not known" if root not in PRODUCTS or at is None else f"is known of {at:%Y-%m-%d %H:%M:%S} UTC only"
            )
            message = f"The account holds {root}, and what that is worth {known}: its loss cannot be told."
            return Denial("STATE_UNKNOWN", message, {"name": "open_pnl", "root": root})
        return None

    def _contract(self, task: DueTask, account: Account, wish: Wish, planned: Planned) -> Chosen:
        """Raises Denied, _Waiting when the broker cannot say, _Left when it is yet to be asked."""
        if planned.product is None or wish.symbol is None:
            return Chosen(wish.symbol.text if wish.symbol else UNNAMED, "Simulated as the alert names it.")
        if task.intent is not None and "sizing" in task.intent and task.intent.get("contract"):
            return Chosen(str(task.intent["contract"]), "As in the attempt before.")
        found = self._choice(task, account, of_product(wish.symbol, planned.product), planned.product)
        if isinstance(found, Denial):
            raise Denied(found)
        if isinstance(found, Waits) and found.fault is not None:
            raise _Waiting(found)
        if isinstance(found, Waits):
            self.asked.add((account.name, found.symbol))
            raise _Left
        return found

    def _choice(self, task: DueTask, account: Account, symbol: Any, product: Product) -> Chosen | Waits | Denial:
        today = EXCHANGE_DAYS.of(self.now)
        held = {each.contract for each in self._holds(task) if each.root == product.root}
        at_door = not self.dry_run and account.connector != SIMULATED
        asks = at_door and self.asks_brokers

        def look_up(name: str) -> Looked | None:
            return self.look_up(account, name)

        if task.event_type == "ADD" and len(held) == 1:
            contract = held.pop()
            return held_contract(contract, product, look_up) if asks else Chosen(contract, holds(contract))
        if asks:
            return at_broker(symbol, product, today, account.roll, look_up)
        if at_door:
            return unasked(symbol, product, today, account.roll)
        return without_broker(symbol, product, today)

    def _book(self, account: str) -> Book:
        return book_of(self.facts.of(account).state)

    def _holds(self, task: DueTask) -> list[Held]:
        return [held for held in self.facts.of(task.account).holdings if held.trade_id == task.trade_id]

    def _direction(self, task: DueTask, wish: Wish) -> str | None:
        """The alert's; an addition that names none goes the way of what its trade holds."""
        if wish.direction is not None or task.event_type != "ADD":
            return wish.direction
        sides = {"LONG" if held.quantity > 0 else "SHORT" for held in self._holds(task)}
        return sides.pop() if len(sides) == 1 else None

    def _standing(self, task: DueTask, book: Book) -> Standing:
        """What is being flattened opens nothing, whatever was resumed."""
        found = standing_of(self.facts.controls, task.account, task.strategy)
        return Standing.REDUCING if found is Standing.ACTIVE and book.flattening is not None else found

    def _ordered(self, task: DueTask) -> str:
        """Who made the standing what it is, when and why."""
        row = ordered_by(self.facts.controls, task.account, task.strategy)
        return row.in_words() if row is not None else ""

    def _explained(self, task: DueTask, denial: Denial) -> Denial:
        """With the cause, where a live account's broker is what keeps a fact from being known."""
        if task.mode != "live":
            return denial
        return explained(
            denial, self.facts.of(task.account).link, has_book=self._book(task.account).balances is not None
        )

    def _balances(self, account: Account, book: Book) -> Balances | None:
        """In a dry run an account without a book has what it is configured to begin with."""
        if book.balances is None and self.dry_run and account.balance is not None:
            return Balances.opened(account.balance)
        return book.balances

    def _day(self, account: Account, book: Book) -> Any:
        return account.limits.days.of(self.now) if book.balances is None and self.dry_run else book.day

    def _owner_exposures(self, account: Account) -> tuple[Exposure, ...] | None:
        if not account.owner:
            return ()
        configured = {each.name for each in self.accounts.values() if each.owner == account.owner}
        others = sorted((configured | set(self.facts.owners.get(account.owner, ()))) - {account.name})
        found: list[Exposure] = []
        for name in others:
            known = self.facts.of(name).exposures
            if known is None:
                return None
            found += known
        return tuple(found)

    def _last_price(self, planned: Planned) -> tuple[Decimal | None, datetime | None]:
        """The latest of the family: a mini and its micro have one price."""
        known = [
            self.facts.prices[root] for root in roots_of(planned.product, planned.root) if root in self.facts.prices
        ]
        return max(known, key=lambda priced: priced[1]) if known else (None, None)


class _Waiting(Exception):
    def __init__(self, waits: Waits) -> None:
        super().__init__(waits.symbol)
        self.waits = waits


def question_of(entries: Iterable[DueTask], accounts: Mapping[str, Account]) -> Question:
    """What must be known before these entries are decided about."""
    tasks = tuple(entries)
    names = {task.account for task in tasks}
    owners = {accounts[name].owner for name in names} - {""}
    others = {each.name for each in accounts.values() if each.owner in owners} - names
    roots: set[str] = set()
    for task in tasks:
        root = root_of(str((task.payload or {}).get("symbol") or ""))
        roots.update(roots_of(PRODUCTS.get(root), root))
    return Question(*(tuple(sorted(each)) for each in (names, owners, others, roots)))


def roots_of(product: Product | None, root: str) -> tuple[str, ...]:
    """The roots whose prices are this one's too: itself, and the mini and micro of its family."""
    if product is None:
        return (root,)
    relatives = (sibling(product, which) for which in (ContractSize.MINI, ContractSize.MICRO))
    return tuple(dict.fromkeys([root, *(each.root for each in relatives if each is not None)]))


def _product(wish: Wish) -> Product:
    if wish.fault is not None:
        raise Denied(wish.fault)
    if wish.symbol is None or wish.product is None:
        root = wish.symbol.root if wish.symbol else ""
        message = f"{root} is no instrument that is known here: without its tick and point value no order can be sized."
        raise Denied(Denial("INSTRUMENT_UNKNOWN", message, {"root": root}))
    return wish.product


def _unsized(wish: Wish, task: DueTask) -> Planned:
    """An order of an account without a broker that cannot be sized: it is simulated as it was asked."""
    quantity = wish.quantity if wish.kind is QuantityKind.FIXED else Decimal(1)
    what = "names no direction" if wish.product is not None else "names no instrument that is known here"
    why = f"Not sized: the alert {what}. It is simulated as it was asked, and counts as {whole(quantity)}."
    return Planned(wish.symbol.root if wish.symbol else UNNAMED, None, quantity, {"calculation": why}, wish.direction)


def _as_before(intent: Mapping[str, Any], direction: str) -> Planned:
    """What is sent again under the same id must be the same order: the first one may turn up after all."""
    product = PRODUCTS[str(intent["root"])]
    quantity = figure("quantity", Decimal(str(intent["quantity"])), above=0)
    return Planned(product.root, product, quantity, intent["sizing"], direction)


def _figures(state: AccountState, account: Account) -> dict[str, Any]:
    """What the order was held against, as far as it is known: contracts held and working, entries sent, equity, price."""
    own = state.exposures
    found: dict[str, Any] = {"standing": state.standing.value, "entries_last_minute": str(len(state.intents_at or ()))}
    if own is not None:
        found["held_and_working"] = plain(sum((each.quantity for each in own), Decimal(0)))
    if account.limits.max_contracts is not None:
        found["max_contracts"] = plain(account.limits.max_contracts)
    if state.balances is not None:
        found |= {"equity": plain(state.balances.equity()), "day_loss": plain(state.balances.day_loss())}
    if state.last_price is not None:
        found["last_price"] = plain(state.last_price)
    return found
