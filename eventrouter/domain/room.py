"""How much an account may still lose: its money of the trading day, held against its limits. Pure; for people to look at."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext

from eventrouter.domain.balances import Balances, drawdown_floor
from eventrouter.domain.book import Book
from eventrouter.domain.denials import EXACT, Denied
from eventrouter.domain.risk_inputs import RiskLimits


@dataclass(frozen=True, slots=True)
class Room:
    """Money, None where it is not known or there is no such limit.

    `today`: what the trading day has made, open positions included. `to_daily_loss`, `to_floor`: how much may still be lost before
    entries stop, the account's buffer taken off. `floor`: the equity at which the firm closes the account.
    """

    balance: Decimal | None = None
    equity: Decimal | None = None
    today: Decimal | None = None
    to_daily_loss: Decimal | None = None
    floor: Decimal | None = None
    to_floor: Decimal | None = None

    @property
    def least(self) -> Decimal | None:
        """The nearer of the two limits."""
        return min((each for each in (self.to_daily_loss, self.to_floor) if each is not None), default=None)


def room_of(book: Book, limits: RiskLimits | None, now: datetime, *, begins_with: Decimal | None = None) -> Room:
    """The figures of an account. `limits` None: not readable here; `begins_with`: what a simulated account without a book has."""
    balances = book.balances
    simulated = balances is None and begins_with is not None
    if simulated and begins_with is not None:
        balances = Balances.opened(begins_with)
    if balances is None:
        return Room()
    try:
        with localcontext(EXACT):
            return _room(balances, limits, current=simulated or limits is None or book.day == limits.days.of(now))
    except Denied:
        return Room(balances.balance)


def _room(balances: Balances, limits: RiskLimits | None, *, current: bool) -> Room:
    """`current`: the figures are of this trading day; those of another say nothing of today."""
    equity = balances.equity()
    today = -balances.day_loss() if current else None
    if limits is None:
        return Room(balances.balance, equity, today)
    to_daily_loss = None
    if limits.daily_loss is not None and today is not None:
        to_daily_loss = limits.daily_loss - limits.buffer + today
    floor = None if limits.drawdown is None else drawdown_floor(limits.drawdown, balances)
    to_floor = None if floor is None else equity - floor - limits.buffer
    return Room(balances.balance, equity, today, to_daily_loss, floor, to_floor)
