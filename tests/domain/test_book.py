"""An account's book: what each event does to it, and that it folds to the same book again."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventrouter.domain import book as books
from eventrouter.domain.book import Book, BookEvent, fold, refold
from eventrouter.domain.denials import Denied

MONDAY, TUESDAY = date(2026, 11, 23), date(2026, 11, 24)
OPENED = books.opened(Decimal(50_000), MONDAY)


def money(book: Book) -> tuple[object, ...]:
    """Balance, open profit and loss, the day's start, the highest equity."""
    assert book.balances is not None
    held = book.balances
    return held.balance, held.open_pnl, held.day_start_balance, held.highest_equity


def test_an_account_opens_with_the_brokers_balance() -> None:
    """What it began with, what it has, and what it had when the day began are three figures."""
    book = refold([books.opened(Decimal(50_500), MONDAY, initial=Decimal(50_000), day_start=Decimal(50_700))])
    assert money(book) == (50_500, 0, 50_700, 50_500)
    assert book.balances is not None
    assert book.balances.initial_balance == 50_000
    assert book.balances.day_loss() == 200
    assert book.day == MONDAY


def test_a_loss_is_not_counted_twice() -> None:
    """A fill that closes moves open loss into the balance in one event: equity does not dip in between."""
    before = refold([OPENED, books.marked(Decimal(-300))])
    after = fold(before, books.booked(Decimal(-300), Decimal("2.5"), Decimal(0)))
    assert money(after) == (Decimal("49697.5"), 0, 50_000, 50_000)
    assert after.realised_today == Decimal("-302.5")


def test_an_unknown_open_pnl_stays_as_it_was() -> None:
    """A fill without a price says nothing about what is held."""
    book = refold([OPENED, books.marked(Decimal(40)), books.booked(Decimal(0), Decimal(1), None)])
    assert money(book)[:2] == (49_999, 40)


def test_the_peak_stays() -> None:
    """The highest equity counts unrealised profit and never comes down."""
    book = refold([OPENED, books.marked(Decimal(800)), books.marked(Decimal(-100))])
    assert money(book) == (50_000, -100, 50_000, 50_800)


def test_a_new_day_starts_from_the_balance() -> None:
    """The day's loss and what was realised begin at zero; the highest close follows."""
    book = refold([OPENED, books.booked(Decimal(200), Decimal(0), Decimal(0)), books.new_day(TUESDAY)])
    assert (money(book)[2], book.realised_today) == (50_200, Decimal(0))
    assert book.day == TUESDAY
    assert book.balances is not None
    assert book.balances.highest_close == 50_200


def test_the_brokers_balance_counts_and_the_difference_is_told() -> None:
    """It may know of fees and payments that no fill shows."""
    event = books.balance(refold([OPENED]), Decimal("49987.5"))
    assert event.detail == {"balance": "49987.5", "ours": "50000", "difference": "-12.5"}
    assert money(fold(refold([OPENED]), event))[0] == Decimal("49987.5")


def test_without_a_balance_only_the_days_result_is_kept() -> None:
    """An account whose money nobody told still has a result."""
    book = refold([books.booked(Decimal(-20), Decimal(1), Decimal(0)), books.marked(Decimal(5))])
    assert (book.balances, book.realised_today) == (None, Decimal(-21))


def test_marks_that_stand_in_the_way() -> None:
    """Out of sync until in sync; flattening until flattened; a fact of another kind changes nothing."""
    book = refold([OPENED, books.out_of_sync("Why."), books.flatten_started(7), BookEvent("FLATTEN_STEP", {})])
    assert (book.out_of_sync, book.flattening) == ("Why.", 7)
    book = fold(fold(book, books.in_sync()), books.flattened(positions=0))
    assert (book.out_of_sync, book.flattening) == (None, None)


@pytest.mark.parametrize("kind", ["FLAT", "FLATTEN_FAILED", "FLATTEN_WITHDRAWN"])
def test_what_ends_a_flattening(kind: str) -> None:
    """Proven, failed for now, or withdrawn: nothing is being closed any more, and exits need not wait."""
    assert refold([books.flatten_started(7), BookEvent(kind, {"control": 7})]).flattening is None


@pytest.mark.parametrize("wrong", ["NaN", "Infinity", "1e40"])
def test_a_figure_that_is_no_number_is_refused(wrong: str) -> None:
    """It would make every limit meaningless."""
    with pytest.raises(Denied):
        refold([OPENED, books.marked(Decimal(wrong))])
    with pytest.raises(Denied):
        refold([OPENED, books.booked(Decimal(wrong), Decimal(0), None)])


ENDS = datetime(2026, 11, 23, 23, tzinfo=UTC)
NEXT = books.new_day(TUESDAY, refold([OPENED]), (ENDS, ENDS + timedelta(days=1)))


def today(book: Book) -> tuple[object, ...]:
    """Balance, today's start, today's result, and the highest close."""
    assert book.balances is not None
    return book.balances.balance, book.balances.day_start_balance, book.realised_today, book.balances.highest_close


@pytest.mark.parametrize(("pnl", "close"), [("-300", 50_000), ("400", 50_700)])
def test_yesterdays_fill_is_no_result_of_today(pnl: str, close: int) -> None:
    """Booked after the day changed, it moves the day's start and, with it, the close that a drawdown follows: up and down."""
    before = refold([OPENED, books.booked(Decimal(300), Decimal(0), Decimal(0))])
    book = fold(before, books.new_day(TUESDAY, before, (ENDS, ENDS + timedelta(days=1))))
    assert today(book) == (50_300, 50_300, 0, 50_300)
    late = fold(book, books.booked(Decimal(pnl), Decimal(0), None, earlier=Decimal(pnl)))
    assert today(late) == (50_300 + int(pnl), 50_300 + int(pnl), 0, close)
    assert Book.from_json(late.to_json()) == late


def test_todays_fill_before_the_day_changed() -> None:
    """It counts as today's once the day begins, and not as yesterday's close."""
    book = refold([OPENED, books.booked(Decimal(-300), Decimal(0), None, later=Decimal(-300)), NEXT])
    assert today(book) == (49_700, 50_000, -300, 50_000)
    assert book.balances is not None
    assert [book.balances.day_loss(), book.ahead] == [300, 0]


def test_a_balance_that_differs_before_anything_was_traded_today() -> None:
    """It is from before the day; a day that has traded keeps it, which is the careful side."""
    book = refold([OPENED, NEXT])
    assert today(fold(book, books.balance(book, Decimal(49_400), traded=False))) == (49_400, 49_400, 0, 50_000)
    assert today(fold(book, books.balance(book, Decimal(49_400), traded=True))) == (49_400, 50_000, 0, 50_000)


@pytest.mark.parametrize(("of_today", "start"), [(True, 50_000), (False, 49_400)])
def test_the_fill_behind_a_balance_comes_late(of_today: bool, start: int) -> None:
    """Whichever day it is of, its money counts once and in that day, once the broker's balance is taken over again."""
    book = refold([OPENED, NEXT])
    book = fold(book, books.balance(book, Decimal(49_400), traded=False))
    loss = Decimal(-600)
    book = fold(book, books.booked(loss, Decimal(0), None, earlier=Decimal(0) if of_today else loss))
    assert book.balances is not None
    assert book.balances.day_loss() == (600 if of_today else 0)
    book = fold(book, books.balance(book, Decimal(49_400), traded=of_today))
    assert today(book)[:3] == (49_400, start, loss if of_today else 0)


def test_a_part_that_can_be_valued_raises_no_peak() -> None:
    """A profit that is known may have a loss beside it that is not."""
    book = refold([OPENED, books.marked(Decimal(900), ["CON.F.US.XYZ.Z26"])])
    assert money(book) == (50_000, 900, 50_000, 50_000)


amounts = st.decimals(-10_000, 10_000, places=2)
events = st.one_of(
    st.builds(books.booked, amounts, amounts, st.one_of(st.none(), amounts)),
    st.builds(books.marked, amounts),
    st.builds(lambda pnl, part: books.booked(pnl, Decimal(0), None, earlier=part), amounts, amounts),
    st.builds(lambda pnl, part: books.booked(pnl, Decimal(0), None, later=part), amounts, amounts),
    st.builds(books.new_day, st.dates(MONDAY, date(2026, 12, 31))),
    st.builds(lambda theirs: books.balance(Book(), theirs), amounts.map(abs)),
    st.builds(books.out_of_sync, st.text(max_size=20)),
    st.builds(books.in_sync),
)


@given(st.lists(events, max_size=20))
def test_a_book_written_down_between_events_is_the_same(history: list[BookEvent]) -> None:
    """Through JSON after every event, and balance = what it opened with + what was booked since the last figure."""
    book = fold(Book(), OPENED)
    expected = Decimal(50_000)
    for event in history:
        book = Book.from_json(fold(book, event).to_json())
        if event.kind == "BOOKED":
            expected += Decimal(event.detail["pnl"]) - Decimal(event.detail["fee"])
        elif event.kind == "BALANCE":
            expected = Decimal(event.detail["balance"])
    assert book == refold([OPENED, *history])
    assert book.balances is not None
    assert book.balances.balance == expected
