"""What people are told, and what they are not."""

from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest

from eventrouter.domain.balances import Balances, Drawdown, Trail
from eventrouter.domain.book import Book
from eventrouter.domain.nearness import limit_notices
from eventrouter.domain.notices import MOST_LINES, Event, Kind, Notice, Severity, harmless, message_of, notice_of
from eventrouter.domain.risk_inputs import RiskLimits
from eventrouter.domain.trading_day import TradingDays

AT = datetime(2026, 11, 23, 15, 4, 5, tzinfo=UTC)
LIMITS = RiskLimits(days=TradingDays("America/Chicago", time(17)))
REVIEW = Event("task", AT, "a", "live", 7, "REVIEW", "NOT_PROVEN", "It was not found.", "r1", "T1", "ENTRY", None)


def book(equity: str, day: date = date(2026, 11, 23)) -> Book:
    """An account that began the day with 50,000."""
    return Book(Balances.opened(Decimal(50_000)).marked(Decimal(equity) - 50_000), day)


def test_a_review_says_what_to_do() -> None:
    """The task, the account, the reason, and the command to look with."""
    notice = notice_of(REVIEW)
    assert notice is not None
    assert (notice.kind, notice.severity, notice.account, notice.task_id) == (Kind.REVIEW, Severity.CRITICAL, "a", 7)
    assert notice.title == "REVIEW: ENTRY of T1 on a"
    assert notice.body == (
        "Task 7. NOT_PROVEN: It was not found. Look at the broker, then retry or discard it: eventrouter logs 7."
    )


def test_a_flattening_that_fails_again_and_again_is_told_once() -> None:
    """Its topic is the control."""
    event = replace(REVIEW, source="account", what="FLATTEN_FAILED", control="3", task_id=None)
    first, second = notice_of(event), notice_of(replace(event, at=AT.replace(hour=16)))
    assert first is not None
    assert second is not None
    assert first.topic == second.topic is not None


def test_what_nobody_needs_is_not_told() -> None:
    """A row of another kind makes no notice."""
    assert notice_of(replace(REVIEW, source="account", what="BOOKED")) is None


@pytest.mark.parametrize(
    ("equity", "found"),
    [
        ("49200.01", []),
        ("49200", ["daily loss near"]),
        ("49000", ["daily loss reached"]),
        ("48400", ["daily loss reached", "drawdown near"]),
        ("48000", ["daily loss reached", "drawdown reached"]),
        ("51000", []),
    ],
)
def test_limits_are_near_at_their_part_and_reached_at_all(equity: str, found: list[str]) -> None:
    """Open losses count; the numbers are exact."""
    limits = replace(LIMITS, daily_loss=Decimal(1000), drawdown=Drawdown(Trail.STATIC, Decimal(2000)))
    notices = limit_notices("a", "live", book(equity), limits, Decimal("0.8"), AT)
    assert [each.title.removeprefix("a: ") for each in notices] == found


def test_a_buffer_counts_as_used_up() -> None:
    """The limit is what the router stops at, not the firm's."""
    limits = replace(LIMITS, drawdown=Drawdown(Trail.STATIC, Decimal(2000)), buffer=Decimal(1000))
    (notice,) = limit_notices("a", "live", book("49200"), limits, Decimal("0.8"), AT)
    assert notice.body.startswith("800 of 1000 (80 %) is used")


def test_figures_of_another_day_say_nothing() -> None:
    """Nor does an account of which nothing is known."""
    limits = replace(LIMITS, daily_loss=Decimal(1000))
    assert limit_notices("a", "live", book("49000", date(2026, 11, 22)), limits, Decimal("0.8"), AT) == []
    assert limit_notices("a", "live", Book(), limits, Decimal("0.8"), AT) == []


@pytest.mark.parametrize("count", [2, MOST_LINES, MOST_LINES + 1, 1000])
def test_a_message_lists_the_worst_and_counts_the_rest(count: int) -> None:
    """However many there are it stays short, and nothing is left out unsaid."""
    mild = [Notice(Kind.HALT, Severity.INFO, f"Resumed: {number}", "x" * 50, at=AT) for number in range(count - 1)]
    message = message_of([*mild, Notice(Kind.REVIEW, Severity.CRITICAL, "REVIEW", "now", at=AT)])
    lines = message.body.splitlines()
    assert lines[0] == "15:04:05 REVIEW. now"
    assert (message.severity, len(message.body) < 2000) == (Severity.CRITICAL, True)
    assert message.title == f"eventrouter: {count} notices: 1 review, {count - 1} halt"
    told = len(lines) if count <= MOST_LINES else len(lines) - 1 + int(lines[-1].split()[0])
    assert told == count


@pytest.mark.parametrize(
    ("text", "clean"),
    [("a\nb\tc", "a b c"), ("@everyone", "(at)everyone"), ("a\u202eb\u200bc", "a b c"), ("x" * 20, "xxxxxxxxx…")],
)
def test_texts_are_made_harmless(text: str, clean: str) -> None:
    """One line, short, calling nobody."""
    assert harmless(text, 10 if len(text) == 20 else 100) == clean
