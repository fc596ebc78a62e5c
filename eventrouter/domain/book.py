"""An account's book: its money, its trading day, and what stands in the way of trading. Pure; folded from account_log.

Each row of account_log is one event and the book after it, so the last row is the account's state and a restart changes
nothing: `fold` over all rows gives the same book again, which `eventrouter verify` proves.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal, localcontext
from enum import StrEnum
from typing import Any

from eventrouter.domain.balances import Balances
from eventrouter.domain.denials import EXACT, figure, whole

_NONE: Mapping[str, Any] = {}
_ZERO = Decimal(0)

Bounds = tuple[datetime, datetime]
"""When a trading day began, and when it ends."""


class BookKind(StrEnum):
    """What changes a book. Rows of account_log with another kind are facts that leave it as it is."""

    OPENED = "OPENED"  # initial_balance, balance, day_start_balance, day, began, ends
    BOOKED = "BOOKED"  # pnl, fee, open_pnl (null: as it was), unvalued; of pnl less fee what is of another day: earlier, later
    MARKED = "MARKED"  # open_pnl, unvalued
    NEW_DAY = "NEW_DAY"  # day, began, ends, close_before
    BALANCE = "BALANCE"  # balance, as the broker has it; earlier: what of the difference is from before the day
    OUT_OF_SYNC = "OUT_OF_SYNC"  # why
    IN_SYNC = "IN_SYNC"
    RESYNC_ASKED = "RESYNC_ASKED"  # a fact: somebody wants the broker to be looked at now
    COMPARED = "COMPARED"  # a fact, the answer to that: asked, differences
    ADOPTED = "ADOPTED"  # a fact: somebody took the broker's positions for true: differences, reason
    EXTERNAL = "EXTERNAL"  # a fact: an order at the broker that is nobody's here: order, contract, side, quantity, …
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
    control that is being carried out now, None also while a flattening that failed waits to be tried again. `began`, `ends`:
    of the trading day, None: not known. `ahead`: what was realised after `ends`. `shifted`: how much of the differences to the
    broker's balance was counted as from before the day.
    """

    balances: Balances | None = None
    day: date | None = None
    realised_today: Decimal = Decimal(0)
    out_of_sync: str | None = None
    flattening: int | None = None
    began: datetime | None = None
    ends: datetime | None = None
    ahead: Decimal = _ZERO
    shifted: Decimal = _ZERO

    def to_json(self) -> dict[str, Any]:
        """For account_log.state."""
        money = (
            None
            if self.balances is None
            else {name: str(each) for name, each in asdict(self.balances).items() if each is not None}
        )
        return {
            "balances": money,
            "day": None if self.day is None else self.day.isoformat(),
            "realised_today": str(self.realised_today),
            "out_of_sync": self.out_of_sync,
            "flattening": self.flattening,
            "began": None if self.began is None else self.began.isoformat(),
            "ends": None if self.ends is None else self.ends.isoformat(),
            "ahead": str(self.ahead),
            "shifted": str(self.shifted),
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
            began=_moment(state, "began"),
            ends=_moment(state, "ends"),
            ahead=Decimal(state.get("ahead", "0")),
            shifted=Decimal(state.get("shifted", "0")),
        )


def fold(book: Book, event: BookEvent) -> Book:
    """The book after an event. Raises Denied for a figure that is no number of a sane size."""
    detail = event.detail
    match event.kind:
        case BookKind.OPENED:
            return replace(
                book,
                balances=_opened(detail),
                day=_day(detail, book.day),
                began=_moment(detail, "began"),
                ends=_moment(detail, "ends"),
            )
        case BookKind.BOOKED:
            return _booked(book, detail)
        case BookKind.MARKED:
            marked = None if book.balances is None else _marked(book.balances, detail)
            return replace(book, balances=marked)
        case BookKind.NEW_DAY:
            return _next_day(book, detail)
        case BookKind.BALANCE:
            return _balanced(book, detail)
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
    balance: Decimal,
    day: date,
    *,
    initial: Decimal | None = None,
    day_start: Decimal | None = None,
    bounds: Bounds | None = None,
) -> BookEvent:
    """The account is known from here on. `initial`: what it began with; `day_start`: its balance when `day` began."""
    start = balance if initial is None else initial
    detail = {"initial_balance": str(start), "balance": str(balance), "day": day.isoformat()}
    return BookEvent(
        BookKind.OPENED,
        {**detail, "day_start_balance": str(balance if day_start is None else day_start), **_bounds_said(bounds)},
        f"The account stands at {whole(balance)}; it began with {whole(start)}.",
    )


def booked(
    pnl: Decimal,
    fee: Decimal,
    open_pnl: Decimal | None,
    *,
    earlier: Decimal = _ZERO,
    later: Decimal = _ZERO,
    unvalued: Sequence[str] = (),
    **more: Any,
) -> BookEvent:
    """Fills realised `pnl` and cost `fee`. `open_pnl`: of what is held after them and can be valued; None: as it was.

    `earlier`, `later`: how much of pnl less fee was executed before the book's trading day began, and after it ended.
    """
    detail = {"pnl": str(pnl), "fee": str(fee), "open_pnl": None if open_pnl is None else str(open_pnl), **more}
    if earlier:
        detail["earlier"] = str(earlier)
    if later:
        detail["later"] = str(later)
    return BookEvent(BookKind.BOOKED, detail | ({"unvalued": list(unvalued)} if unvalued else {}))


def marked(open_pnl: Decimal, unvalued: Sequence[str] = ()) -> BookEvent:
    """Prices moved. `unvalued`: contracts that are held and not part of it."""
    more = {"unvalued": list(unvalued)} if unvalued else {}
    return BookEvent(BookKind.MARKED, {"open_pnl": str(open_pnl), **more})


def new_day(day: date, book: Book | None = None, bounds: Bounds | None = None) -> BookEvent:
    """The trading day before `day` has ended; `book` is the one before."""
    detail = {"day": day.isoformat(), **_bounds_said(bounds)}
    if book is not None and book.balances is not None:
        detail["close_before"] = str(book.balances.highest_close)
    return BookEvent(BookKind.NEW_DAY, detail)


def balance(book: Book, theirs: Decimal, *, traded: bool = True) -> BookEvent:
    """The broker's balance counts; what ours was and the difference are told.

    An account that has not `traded` since its day began has lost nothing in it, so a difference is from before. Should a fill of
    the day come after all, the broker's balance is less than ours by then, and what was counted so is taken back.
    """
    ours = None if book.balances is None else book.balances.balance
    message = f"The broker's balance is {whole(theirs)}"
    detail: dict[str, Any] = {"balance": str(theirs)}
    if ours is not None:
        with localcontext(EXACT):
            difference = theirs - ours
        detail |= {"ours": str(ours), "difference": str(difference)}
        earlier = _not_of_today(book.shifted, difference, traded=traded)
        if earlier:
            detail["earlier"] = str(earlier)
        message += f", {'+' if difference > 0 else ''}{whole(difference)} from what our fills add up to"
    return BookEvent(BookKind.BALANCE, detail, f"{message}.")


def external(
    order: str, contract: str, side: str, quantity: str, client_order_id: str | None, **more: str | None
) -> BookEvent:
    """An order at the broker that no task of ours placed. It is left alone; while it works it counts as exposure."""
    whose = f"under the id {client_order_id!r}, which no task here has" if client_order_id else "under no id of ours"
    message = f"Order {order} at the broker was not sent from here: {side} {quantity} {contract}, {whose}."
    detail = {
        "order": order,
        "contract": contract,
        "side": side,
        "quantity": quantity,
        "client_order_id": client_order_id,
    }
    return BookEvent(BookKind.EXTERNAL, {**detail, **{name: each for name, each in more.items() if each}}, message)


def out_of_sync(why: str, **more: Any) -> BookEvent:
    """The broker's view is another than ours."""
    return BookEvent(BookKind.OUT_OF_SYNC, {"why": why, **more}, why)


def in_sync() -> BookEvent:
    """They agree again."""
    return BookEvent(BookKind.IN_SYNC, _NONE, "What the broker holds is what our fills add up to.")


def resync_asked(reason: str | None = None) -> BookEvent:
    """Somebody wants the broker's positions compared with ours now."""
    return BookEvent(BookKind.RESYNC_ASKED, _NONE, reason)


def compared(asked: int, differences: Sequence[Sequence[str | None]]) -> BookEvent:
    """The answer to the question in row `asked`. `differences`: [contract, the broker's, ours, the broker's price] each."""
    said = "The broker's positions differ from ours." if differences else "The broker holds what our fills add up to."
    return BookEvent(BookKind.COMPARED, {"asked": asked, "differences": [list(each) for each in differences]}, said)


def adopted(reason: str, differences: Sequence[Sequence[str | None]]) -> BookEvent:
    """Somebody took the broker's positions for true; fills `adjustment-…` make up for the differences, as above."""
    return BookEvent(
        BookKind.ADOPTED, {"reason": reason, "differences": [list(each) for each in differences]}, f"Adopted: {reason}"
    )


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
        earlier, later = Decimal(detail.get("earlier", "0")), Decimal(detail.get("later", "0"))
        realised = figure("realised_today", book.realised_today + net - earlier)
        ahead = figure("ahead", book.ahead + later)
    balances = book.balances
    if balances is not None:
        balances = balances.booked(net)
        if earlier:
            balances = balances.started(earlier)
        if detail["open_pnl"] is not None:
            balances = _marked(balances, detail)
    return replace(book, balances=balances, realised_today=realised, ahead=ahead)


def _marked(balances: Balances, detail: Mapping[str, Any]) -> Balances:
    return balances.marked(Decimal(detail["open_pnl"]), whole=not detail.get("unvalued"))


def _next_day(book: Book, detail: Mapping[str, Any]) -> Book:
    """What was executed after the end of the day before is this day's result, and no part of that day's close."""
    before = detail.get("close_before")
    balances = None
    if book.balances is not None:
        balances = book.balances.new_day(book.ahead, None if before is None else Decimal(before))
    return replace(
        book,
        balances=balances,
        day=_day(detail, book.day),
        realised_today=book.ahead,
        ahead=_ZERO,
        shifted=_ZERO,
        began=_moment(detail, "began"),
        ends=_moment(detail, "ends"),
    )


def _balanced(book: Book, detail: Mapping[str, Any]) -> Book:
    if book.balances is None:
        return book
    earlier = Decimal(detail.get("earlier", "0"))
    moved = replace(book.balances, balance=Decimal(detail["balance"]))
    if earlier:
        moved = moved.started(earlier)
    with localcontext(EXACT):
        shifted = book.shifted + earlier
    return replace(book, balances=moved.marked(moved.open_pnl), shifted=shifted)


def _not_of_today(shifted: Decimal, difference: Decimal, *, traded: bool) -> Decimal:
    """What of a difference to the broker's balance moves the day's start: first back what moved it before."""
    if shifted and (shifted > 0) != (difference > 0):
        return max(difference, -shifted) if difference < 0 else min(difference, -shifted)
    return _ZERO if traded else difference


def _bounds_said(bounds: Bounds | None) -> dict[str, str]:
    return {} if bounds is None else {"began": bounds[0].isoformat(), "ends": bounds[1].isoformat()}


def _moment(values: Mapping[str, Any], name: str) -> datetime | None:
    return datetime.fromisoformat(values[name]) if values.get(name) else None


def _day(detail: Mapping[str, Any], before: date | None) -> date | None:
    return date.fromisoformat(detail["day"]) if detail.get("day") else before
