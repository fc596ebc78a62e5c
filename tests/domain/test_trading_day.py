"""Trading days follow the account's zone through the changes of the clocks in 2026, in America and in Europe.

In 2026 American clocks change on March 8th and November 1st at 02:00, European ones on March 29th and October 25th at
01:00 UTC. The instants below are worked out by hand from the offsets: Chicago -6/-5, New York -5/-4, Prague +1/+2.
"""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventrouter.domain.trading_day import TradingDays, Window

CHICAGO = TradingDays("America/Chicago", time(17))
NEW_YORK = TradingDays("America/New_York", time(18))
PRAGUE = TradingDays("Europe/Prague")
BEIRUT = TradingDays("Asia/Beirut")
HAVANA = TradingDays("America/Havana")
SKIPPED = TradingDays("America/Chicago", time(2, 30))
REPEATED = TradingDays("America/Chicago", time(1, 30))


def utc(text: str) -> datetime:
    """2026-03-08 22:00 as an instant."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("days", "day", "start", "end", "hours"),
    [
        (CHICAGO, date(2026, 3, 6), "2026-03-05 23:00", "2026-03-06 23:00", 24),
        (CHICAGO, date(2026, 3, 8), "2026-03-07 23:00", "2026-03-08 22:00", 23),  # spring, on the weekend
        (CHICAGO, date(2026, 3, 9), "2026-03-08 22:00", "2026-03-09 22:00", 24),  # Sunday 17:00 is Monday
        (CHICAGO, date(2026, 11, 1), "2026-10-31 22:00", "2026-11-01 23:00", 25),  # autumn
        (CHICAGO, date(2026, 11, 2), "2026-11-01 23:00", "2026-11-02 23:00", 24),
        (NEW_YORK, date(2026, 3, 8), "2026-03-07 23:00", "2026-03-08 22:00", 23),
        (NEW_YORK, date(2026, 11, 1), "2026-10-31 22:00", "2026-11-01 23:00", 25),
        (PRAGUE, date(2026, 3, 28), "2026-03-27 23:00", "2026-03-28 23:00", 24),
        (PRAGUE, date(2026, 3, 29), "2026-03-28 23:00", "2026-03-29 22:00", 23),
        (PRAGUE, date(2026, 3, 30), "2026-03-29 22:00", "2026-03-30 22:00", 24),
        (PRAGUE, date(2026, 10, 25), "2026-10-24 22:00", "2026-10-25 23:00", 25),
        (PRAGUE, date(2026, 3, 8), "2026-03-07 23:00", "2026-03-08 23:00", 24),  # America's change is none here
        (BEIRUT, date(2026, 3, 29), "2026-03-28 22:00", "2026-03-29 21:00", 23),  # 00:00 does not exist: 01:00 it is
        (HAVANA, date(2026, 11, 1), "2026-11-01 04:00", "2026-11-02 05:00", 25),  # 00:00 comes twice: the first counts
        (SKIPPED, date(2026, 3, 7), "2026-03-07 08:30", "2026-03-08 08:00", 23.5),  # 02:30 does not exist: 03:00 it is
        (SKIPPED, date(2026, 3, 8), "2026-03-08 08:00", "2026-03-09 07:30", 23.5),
        (REPEATED, date(2026, 10, 31), "2026-10-31 06:30", "2026-11-01 06:30", 24),
        (REPEATED, date(2026, 11, 1), "2026-11-01 06:30", "2026-11-02 07:30", 25),
    ],
)
def test_a_trading_day_starts_and_ends(days: TradingDays, day: date, start: str, end: str, hours: float) -> None:
    """Its first instant belongs to it, its end to the next one, to the microsecond."""
    assert days.bounds(day) == (utc(start), utc(end))
    assert utc(end) - utc(start) == timedelta(hours=hours)
    tick = timedelta(microseconds=1)
    assert days.of(utc(start)) == days.of(utc(end) - tick) == day
    assert days.of(utc(start) - tick) == day - timedelta(days=1)
    assert days.of(utc(end)) == day + timedelta(days=1)


@pytest.mark.parametrize(
    ("days", "day", "at", "instant"),
    [
        # Topstep: flat by 15:10 in Chicago, the day opens at 17:00 the evening before.
        (CHICAGO, date(2026, 3, 6), time(15, 10), "2026-03-06 21:10"),
        (CHICAGO, date(2026, 3, 9), time(15, 10), "2026-03-09 20:10"),
        (CHICAGO, date(2026, 10, 30), time(15, 10), "2026-10-30 20:10"),
        (CHICAGO, date(2026, 11, 2), time(15, 10), "2026-11-02 21:10"),
        # Apex: before 16:59 in New York.
        (NEW_YORK, date(2026, 3, 6), time(16, 59), "2026-03-06 21:59"),
        (NEW_YORK, date(2026, 3, 9), time(16, 59), "2026-03-09 20:59"),
        (NEW_YORK, date(2026, 11, 2), time(16, 59), "2026-11-02 21:59"),
        # Three weeks in March and one in autumn the two continents are an hour closer.
        (PRAGUE, date(2026, 3, 27), time(22), "2026-03-27 21:00"),
        (PRAGUE, date(2026, 3, 30), time(22), "2026-03-30 20:00"),
        (PRAGUE, date(2026, 10, 26), time(22), "2026-10-26 21:00"),
        (CHICAGO, date(2026, 11, 20), time(23), "2026-11-20 05:00"),  # 23:00 of the evening before
        (CHICAGO, date(2026, 11, 20), time(17), "2026-11-20 23:00"),  # the day's own end
        (PRAGUE, date(2026, 11, 20), time(0), "2026-11-20 23:00"),
        (TradingDays("America/Chicago"), date(2026, 3, 8), time(2, 30), "2026-03-08 08:00"),  # does not exist
        (TradingDays("America/Chicago"), date(2026, 11, 1), time(1, 30), "2026-11-01 06:30"),  # comes twice: the first
    ],
)
def test_the_hour_by_which_it_must_be_flat(days: TradingDays, day: date, at: time, instant: str) -> None:
    """An instant of the trading day itself, or its end."""
    assert days.flat_by(day, at) == utc(instant)
    start, end = days.bounds(day)
    assert start < days.flat_by(day, at) <= end


def test_an_early_close_is_flat_earlier() -> None:
    """The day after Thanksgiving has a time of its own; the next one has not."""
    early = {date(2026, 11, 27): time(12)}
    assert CHICAGO.flat_by(date(2026, 11, 27), time(15, 10), early) == utc("2026-11-27 18:00")
    assert CHICAGO.flat_by(date(2026, 11, 30), time(15, 10), early) == utc("2026-11-30 21:10")


def test_a_half_hour_change_is_found_to_the_second() -> None:
    """Lord Howe's clocks jump from 02:00 to 02:30 on 2026-10-04, at 15:30 UTC of the day before."""
    days = TradingDays("Australia/Lord_Howe", time(2, 15, 0, 7))
    assert days.bounds(date(2026, 10, 4))[0] == utc("2026-10-03 15:30")


ZONES = ["America/Chicago", "America/New_York", "Europe/Prague", "Europe/London", "Asia/Beirut", "America/Havana"]
ZONES += ["America/Santiago", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]


@given(
    st.sampled_from(ZONES),
    st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    st.integers(0, 364 * 24 * 60 * 60).map(lambda seconds: utc("2026-01-01") + timedelta(seconds=seconds)),
)
def test_every_instant_belongs_to_exactly_one_day(zone: str, starts: time, instant: datetime) -> None:
    """The day that names it has it within its bounds; the next day begins where this one ends."""
    days = TradingDays(zone, starts)
    day = days.of(instant)
    start, end = days.bounds(day)
    assert start <= instant < end
    assert days.bounds(day + timedelta(days=1))[0] == end
    assert timedelta(hours=23) <= end - start <= timedelta(hours=25)


@given(st.sampled_from(ZONES), st.times(), st.times(), st.dates(date(2026, 1, 1), date(2026, 12, 31)))
def test_flat_by_lies_within_its_day(zone: str, starts: time, at: time, day: date) -> None:
    """Whatever the clocks do on it."""
    days = TradingDays(zone, starts)
    start, end = days.bounds(day)
    assert start <= days.flat_by(day, at) <= end


DAY = Window(time(8, 30), time(15), frozenset(range(5)))
NIGHT = Window(time(17), time(2), frozenset({6, 0, 1, 2, 3}))  # opens Sunday to Thursday


@pytest.mark.parametrize(
    ("window", "instant", "inside"),
    [
        (DAY, "2026-11-20 14:30", True),  # Friday 08:30 in Chicago
        (DAY, "2026-11-20 14:29", False),
        (DAY, "2026-11-20 20:59", True),
        (DAY, "2026-11-20 21:00", False),  # 15:00 itself is outside
        (DAY, "2026-11-21 16:00", False),  # Saturday
        (DAY, "2026-03-06 14:30", True),  # before the change 08:30 is 14:30 UTC
        (DAY, "2026-03-09 13:30", True),  # after it 13:30 UTC
        (DAY, "2026-03-09 13:29", False),
        (DAY, "2026-10-30 13:30", True),
        (DAY, "2026-11-02 13:30", False),
        (DAY, "2026-11-02 14:30", True),
        (NIGHT, "2026-11-22 23:00", True),  # Sunday 17:00
        (NIGHT, "2026-11-23 07:59", True),  # Monday 01:59, of the window that opened on Sunday
        (NIGHT, "2026-11-23 08:00", False),
        (NIGHT, "2026-11-20 23:00", False),  # Friday 17:00: it does not open
        (NIGHT, "2026-11-21 07:00", False),  # Saturday 01:00: nothing opened on Friday
        (NIGHT, "2026-11-20 07:00", True),  # Friday 01:00, of Thursday's
        (Window(time(1), time(2)), "2026-11-01 06:30", True),  # 01:30 for the first time
        (Window(time(1), time(2)), "2026-11-01 07:30", True),  # and for the second
        (Window(time(2), time(3)), "2026-03-08 08:00", False),  # an hour that does not exist
        (Window(time(9), time(9)), "2026-11-20 15:00", True),
        (Window(time(9), time(9), frozenset({4})), "2026-11-21 14:59", True),  # Friday's, until Saturday 09:00
        (Window(time(9), time(9), frozenset({4})), "2026-11-21 15:00", False),
    ],
)
def test_a_window_goes_by_the_clock_on_the_wall(window: Window, instant: str, inside: bool) -> None:
    """In Chicago, on both sides of the changes and past midnight."""
    assert window.holds(CHICAGO.local(utc(instant))) is inside


@pytest.mark.parametrize("zone", ["", "Chicago", "America", "../etc/passwd", "/etc/localtime", "America/Chicago\0"])
def test_a_zone_must_be_known(zone: str) -> None:
    """The message shows what was written."""
    with pytest.raises(ValueError, match="no time zone"):
        TradingDays(zone)


def test_an_instant_must_have_a_zone_and_a_start_must_not() -> None:
    """Naive instants are nobody's; the start's zone is the account's."""
    with pytest.raises(ValueError, match="has no zone"):
        CHICAGO.of(utc("2026-11-20 12:00").replace(tzinfo=None))
    with pytest.raises(ValueError, match="no zone of its own"):
        TradingDays("UTC", time(17, tzinfo=UTC))
