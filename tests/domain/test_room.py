"""What an account may still lose, in money."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

from eventrouter.domain.balances import Balances, Drawdown, Trail
from eventrouter.domain.book import Book
from eventrouter.domain.risk_inputs import RiskLimits
from eventrouter.domain.room import Room, room_of
from eventrouter.domain.trading_day import TradingDays

NOW = datetime(2026, 11, 20, 15, tzinfo=UTC)
LIMITS = RiskLimits(
    TradingDays("America/Chicago"),
    daily_loss=Decimal(1000),
    drawdown=Drawdown(Trail.END_OF_DAY, Decimal(2000)),
    buffer=Decimal(100),
)
LOST = replace(
    Balances.opened(Decimal(50_000)), balance=Decimal(49_700), open_pnl=Decimal(-50), highest_close=Decimal(50_500)
)


def test_the_room_to_both_limits() -> None:
    """Open losses and the buffer count; the nearer limit is the room."""
    room = room_of(Book(LOST, date(2026, 11, 20)), LIMITS, NOW)
    assert (room.equity, room.today) == (Decimal(49_650), Decimal(-350))
    assert (room.to_daily_loss, room.floor, room.to_floor) == (Decimal(550), Decimal(48_500), Decimal(1050))
    assert room.least == Decimal(550)


def test_what_is_not_known_is_left_out() -> None:
    """Without a book nothing is known; of another day's book not today's loss; without limits no room."""
    assert room_of(Book(), LIMITS, NOW) == Room()
    old = room_of(Book(LOST, date(2026, 11, 19)), LIMITS, NOW)
    assert (old.today, old.to_daily_loss, old.to_floor) == (None, None, Decimal(1050))
    assert room_of(Book(LOST, date(2026, 11, 20)), None, NOW).least is None
    assert room_of(Book(), LIMITS, NOW, begins_with=Decimal(50_000)).to_daily_loss == Decimal(900)
    broken = Book(replace(LOST, open_pnl=Decimal("NaN")), date(2026, 11, 20))
    assert room_of(broken, LIMITS, NOW) == Room(Decimal(49_700))
