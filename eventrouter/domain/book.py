"""An account's book: its money, its trading day, and what stands in the way of trading. Pure; folded from account_log.

Each row of account_log is one event and the book after it, so the last row is the account's state and a restart changes
nothing: `fold` over all rows gives the same book again, which `eventrouter verify` proves.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from decimal import Decimal, localcontext
from enum import StrEnum
from typing import Any

from eventrouter.domain.balances import Balances
from eventrouter.domain.denials import EXACT, figure, whole

_NONE: Mapping[str, Any] = {}


class BookKind(StrEnum):
    """What changes a book. Rows of account_log with another kind are facts that leave it as it is."""

    OPENED = "OPENED"  # initial_balance, balance, day_start_balance, day
    BOOKED = "BOOKED"  # pnl, fee, open_pnl (null: as it was)
    MARKED = "MARKED"  # open_pnl
    NEW_DAY = "NEW_DAY"  # day
    BALANCE = "BALANCE"  # balance, as the broker has it
    OUT_OF_SYNC = "OUT_OF_SYNC"  # why
    IN_SYNC = "IN_SYNC"
    FLATTEN_STARTED = "FLATTEN_STARTED"  # control
    FLATTEN_FAILED = "FLATTEN_FAILED"  # nothing is being closed until it is tried again
    FLATTEN_WITHDRAWN = "FLATTEN_WITHDRAWN"
    FLAT = "FLAT"


@dataclass(frozen=True, slots=True)
class BookEvent:
    """Something that happened to an account. `detail` is JSON: money as text, dates in ISO form."""

    kind: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Book:
    """How an account stands in one mode.

    `balances`: None until a balance was known. `realised_today`: what the fills of this trading day realised, fees taken
    off. `out_of_sync`: why the broker's view is another than ours, None while they agree. `flattening`: the id of the
    control that is being carried out now, None also while a flattening that failed waits to be tried again.
    """

    balances: Balances | None = None
    day: date | None = None
    realised_today: Decimal = Decimal(0)
    out_of_sync: str | None = None
    flattening: int | None = None

    def to_json(self) -> dict[str, Any]:
        """For account_log.state."""
        money = None if self.balances is None else {name: str(each) for name, each in asdict(self.balances).items()}
        return {
            "balances": money,
            "day": None if self.day is None else self.day.isoformat(),
            "realised_today": str(self.realised_today),
            "out_of_sync": self.out_of_sync,
            "flattening": self.flattening,
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any] | None) -> "Book":
        """From account_log.state; an account without a row has an empty book."""
        if not state:
            return cls()
        money, day = state.get("balances"), state.get("day")
        return cls(
            balances=None if money is None else Balances(**{name: Decimal(each) for name, each in money.items()}),
            day=None if day is None else date.fromisoformat(day),
            realised_today=Decimal(state.get("realised_today", "0")),
            out_of_sync=state.get("out_of_sync"),
            flattening=state.get("flattening"),
        )


def fold(book: Book, event: BookEvent) -> Book:
    """The book after an event. Raises Denied for a figure that is no number of a sane size."""
    detail = event.detail
    match event.kind:
        case BookKind.OPENED:
            return replace(book, balances=_opened(detail), day=_day(detail, book.day))
        case BookKind.BOOKED:
            return _booked(book, detail)
        case BookKind.MARKED:
            marked = None if book.balances is None else book.balances.marked(Decimal(detail["open_pnl"]))
            return replace(book, balances=marked)
        case BookKind.NEW_DAY:
            closed = None if book.balances is None else book.balances.new_day()
            return replace(book, balances=closed, day=_day(detail, book.day), realised_today=Decimal(0))
        case BookKind.BALANCE:
            return _balanced(book, Decimal(detail["balance"]))
        case BookKind.OUT_OF_SYNC:
            return replace(book, out_of_sync=detail["why"])
        case BookKind.IN_SYNC:
            return replace(book, out_of_sync=None)
        case BookKind.FLATTEN_STARTED:
            return replace(book, flattening=int(detail["control"]))
        case BookKind.FLAT | BookKind.FLATTEN_FAILED | BookKind.FLATTEN_WITHDRAWN:
            return replace(book, flattening=None)
        case _:
            return book


def refold(events: Iterable[BookEvent]) -> Book:
    """The book that these events add up to, the first one first."""
    book = Book()
    for event in events:
        book = fold(book, event)
    return book


def opened(
    balance: Decimal, day: date, *, initial: Decimal | None = None, day_start: Decimal | None = None
) -> BookEvent:
    """The account is known from here on. `initial`: what it began with; `day_start`: its balance when `day` began."""
    start = balance if initial is None else initial
    detail = {"initial_balance": str(start), "balance": str(balance), "day": day.isoformat()}
    return BookEvent(
        BookKind.OPENED,
        {**detail, "day_start_balance": str(balance if day_start is None else day_start)},
        f"The account stands at {whole(balance)}; it began with {whole(start)}.",
    )


def booked(pnl: Decimal, fee: Decimal, open_pnl: Decimal | None, **more: Any) -> BookEvent:
    """Fills realised `pnl` and cost `fee`. `open_pnl`: of what is held after them; None where a price is not known."""
    detail = {"pnl": str(pnl), "fee": str(fee), "open_pnl": None if open_pnl is None else str(open_pnl), **more}
    return BookEvent(BookKind.BOOKED, detail)


def marked(open_pnl: Decimal) -> BookEvent:
    """Prices moved."""
    return BookEvent(BookKind.MARKED, {"open_pnl": str(open_pnl)})


def new_day(day: date) -> BookEvent:
    """The trading day before `day` has ended."""
    return BookEvent(BookKind.NEW_DAY, {"day": day.isoformat()})


def balance(book: Book, theirs: Decimal) -> BookEvent:
    """The broker's balance counts; what ours was and the difference are told."""
    ours = None if book.balances is None else book.balances.balance
    message = f"The broker's balance is {whole(theirs)}"
    detail: dict[str, Any] = {"balance": str(theirs)}
    if ours is not None:
        with localcontext(EXACT):
            difference = theirs - ours
        detail |= {"ours": str(ours), "difference": str(difference)}
        message += f", {'+' if difference > 0 else ''}{whole(difference)} from what our fills add up to"
    return BookEvent(BookKind.BALANCE, detail, f"{message}.")


def out_of_sync(why: str, **more: Any) -> BookEvent:
    """The broker's view is another than ours."""
    return BookEvent(BookKind.OUT_OF_SYNC, {"why": why, **more}, why)


def in_sync() -> BookEvent:
    """They agree again."""
    return BookEvent(BookKind.IN_SYNC, _NONE, "What the broker holds is what our fills add up to.")


def flatten_started(control: int, message: str | None = None) -> BookEvent:
    """Everything is being closed, as this row of controls asks."""
    return BookEvent(BookKind.FLATTEN_STARTED, {"control": control}, message)


def flattened(**proof: Any) -> BookEvent:
    """Nothing is held and nothing works any more."""
    return BookEvent(BookKind.FLAT, proof, "Flat: nothing is held, no order works.")


def _opened(detail: Mapping[str, Any]) -> Balances:
    start = Balances.opened(Decimal(detail["initial_balance"]))
    now = Decimal(detail["balance"])
    peak = max(start.initial_balance, now)
    return replace(
        start,
        balance=now,
        day_start_balance=Decimal(detail["day_start_balance"]),
        highest_close=peak,
        highest_equity=peak,
    )


def _booked(book: Book, detail: Mapping[str, Any]) -> Book:
    with localcontext(EXACT):
        net = Decimal(detail["pnl"]) - Decimal(detail["fee"])
        realised = figure("realised_today", book.realised_today + net)
    balances = book.balances
    if balances is not None:
        balances = balances.booked(net)
        if detail["open_pnl"] is not None:
            balances = balances.marked(Decimal(detail["open_pnl"]))
    return replace(book, balances=balances, realised_today=realised)


def _balanced(book: Book, theirs: Decimal) -> Book:
    if book.balances is None:
        return book
    moved = replace(book.balances, balance=theirs)
    return replace(book, balances=moved.marked(moved.open_pnl))


def _day(detail: Mapping[str, Any], before: date | None) -> date | None:
    return date.fromisoformat(detail["day"]) if detail.get("day") else before
