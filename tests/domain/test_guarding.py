"""When an account is flattened by itself, once a day, and what counts when the next day begins."""

from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest

from eventrouter.domain.balances import Balances, Drawdown, Trail
from eventrouter.domain.book import Book
from eventrouter.domain.guarding import GUARDIAN, Alarm, ControlRow, alarms, ends_with, unanswered
from eventrouter.domain.risk_inputs import RiskLimits
from eventrouter.domain.trading_day import TradingDays

CHICAGO = TradingDays("America/Chicago", time(17))
LIMITS = RiskLimits(days=CHICAGO, flat_by=time(15, 10))


def at(text: str) -> datetime:
    """An instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


CUT_OFFS = [
    # 15:10 in Chicago is 20:10 UTC in summer and 21:10 in winter
    ("2026-03-06 21:09:59", False),
    ("2026-03-06 21:10", True),
    ("2026-03-09 20:09:59", False),  # the Monday after the clocks went forward
    ("2026-03-09 20:10", True),
    ("2026-10-30 20:10", True),
    ("2026-11-02 20:10", False),  # the Monday after they went back
    ("2026-11-02 21:10", True),
    ("2026-11-02 22:59", True),
    ("2026-11-02 23:00", False),  # 17:00: the next trading day
    ("2026-11-27 18:14:59", False),  # the early close after Thanksgiving, 12:15
    ("2026-11-27 18:15", True),
]


@pytest.mark.parametrize(("now", "passed"), CUT_OFFS)
def test_flat_by_follows_the_zone(now: str, passed: bool) -> None:
    """The cut-off is a local time, through both changes of the clocks and on early closes, until the trading day ends."""
    limits = replace(LIMITS, early_closes=((date(2026, 11, 27), time(12, 15)),))
    assert [each.code for each in alarms(Book(), limits, at(now))] == (["FLAT_BY"] if passed else [])


def book(equity: str, day: date = date(2026, 11, 23)) -> Book:
    """An account that began the day with 50,000."""
    return Book(Balances.opened(Decimal(50_000)).marked(Decimal(equity) - 50_000), day)


@pytest.mark.parametrize(
    ("equity", "codes"),
    [("49001", []), ("49000", ["DAILY_LOSS"]), ("48000", ["DAILY_LOSS", "DRAWDOWN"]), ("51000", [])],
)
def test_a_breached_limit(equity: str, codes: list[str]) -> None:
    """A loss at the limit, open losses included, is an alarm with its numbers."""
    limits = replace(LIMITS, flat_by=None, daily_loss=Decimal(1000), drawdown=Drawdown(Trail.STATIC, Decimal(2000)))
    found = alarms(book(equity), limits, at("2026-11-23 15:00"))
    assert [each.code for each in found] == codes
    assert all("1000" in each.message or "48000" in each.message for each in found)
    yesterday = book(equity, date(2026, 11, 20))
    assert "DAILY_LOSS" not in [each.code for each in alarms(yesterday, limits, at("2026-11-23 15:00"))]


def row(action: str, moment: str, actor: str = "cli:me", code: str = "") -> ControlRow:
    """A row of controls."""
    return ControlRow(action, actor, f"{code}: because" if code else None, at(moment))


def guarded(code: str, moment: str) -> ControlRow:
    """A flattening of the guardian's."""
    return row("flatten", moment, GUARDIAN, code)


def test_once_a_trading_day() -> None:
    """What was answered in this trading day is not asked for again; another alarm, and the next day, are."""
    found = (Alarm("DAILY_LOSS", "x"), Alarm("FLAT_BY", "y"))
    today = guarded("DAILY_LOSS", "2026-11-22 23:30")  # Sunday evening in Chicago opens Monday
    now = at("2026-11-23 15:00")
    assert [each.code for each in unanswered(found, [today], CHICAGO, now)] == ["FLAT_BY"]
    assert unanswered(found, [guarded("DAILY_LOSS", "2026-11-20 15:00")], CHICAGO, now) == found
    assert unanswered(found, [row("flatten", "2026-11-23 14:00")], CHICAGO, now) == found


ENDS = [
    ([], None),
    ([row("halt", "2026-11-20 15:00")], None),
    ([row("flatten", "2026-11-20 15:00")], None),  # a person's: only a person ends it
    ([guarded("FLAT_BY", "2026-11-23 14:00")], None),  # today's
    ([guarded("FLAT_BY", "2026-11-20 20:00")], "resume"),
    ([guarded("DAILY_LOSS", "2026-11-20 20:00")], "resume"),
    ([guarded("DRAWDOWN", "2026-11-20 20:00")], None),
    ([guarded("FLAT_BY", "2026-11-20 20:00"), guarded("DRAWDOWN", "2026-11-20 15:00")], None),
    (
        [
            guarded("FLAT_BY", "2026-11-20 20:00"),
            row("resume", "2026-11-20 16:00"),
            guarded("DRAWDOWN", "2026-11-20 15:00"),
        ],
        "resume",
    ),
    ([guarded("FLAT_BY", "2026-11-20 20:00"), row("halt", "2026-11-20 15:00")], "halt"),
    ([guarded("FLAT_BY", "2026-11-20 20:00"), row("flatten", "2026-11-20 15:00")], "reduce"),
    ([row("halt", "2026-11-20 20:30"), guarded("FLAT_BY", "2026-11-20 20:00")], None),
]


@pytest.mark.parametrize(("rows", "action"), ENDS)
def test_the_next_trading_day(rows: list[ControlRow], action: str | None) -> None:
    """A cut-off and a day's loss end with their day, and what a person ordered before counts again; a drawdown stays."""
    assert ends_with(rows, CHICAGO, at("2026-11-23 15:00")) == action
