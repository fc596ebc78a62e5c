"""An account's money, and the floors under it that a firm sets. Folded from the log, so a restart changes nothing."""

from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from enum import StrEnum

from eventrouter.domain.denials import EXACT, figure

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Balances:
    """Money of one account. Equity is `balance` (realised, fees paid) plus `open_pnl`.

    `day_start_balance`: the balance when the trading day began. `highest_close`: the highest balance at the end of any
    day, the initial one included. `highest_equity`: the highest equity ever seen, unrealised profit included.
    `close_before`: the highest close without that of the day before this one, which what is booked late still changes;
    None: not known.
    """

    initial_balance: Decimal
    balance: Decimal
    open_pnl: Decimal
    day_start_balance: Decimal
    highest_close: Decimal
    highest_equity: Decimal
    close_before: Decimal | None = None

    @classmethod
    def opened(cls, initial_balance: Decimal) -> "Balances":
        """A new account. Raises Denied for a balance that is no number above zero."""
        start = figure("initial_balance", initial_balance, above=0)
        return cls(start, start, Decimal(0), start, start, start)

    def equity(self) -> Decimal:
        """What the account is worth now. Raises Denied when a part of it is not known."""
        with localcontext(EXACT):
            return figure("balance", self.balance) + figure("open_pnl", self.open_pnl)

    def day_loss(self) -> Decimal:
        """How much the trading day has lost so far, open positions included; negative for a gain."""
        with localcontext(EXACT):
            return figure("day_start_balance", self.day_start_balance) - self.equity()

    def booked(self, pnl: Decimal) -> "Balances":
        """After a fill realised `pnl` (fees taken off). What is open still is marked separately."""
        with localcontext(EXACT):
            return replace(self, balance=figure("balance", self.balance) + figure("pnl", pnl))

    def started(self, earlier: Decimal) -> "Balances":
        """After so much of the balance turned out to be from before the trading day: its start moves, and with it the last close."""
        with localcontext(EXACT):
            start = figure("day_start_balance", self.day_start_balance) + figure("earlier", earlier)
        known = self.highest_close if self.close_before is None else self.close_before
        return replace(self, day_start_balance=start, highest_close=max(figure("highest_close", known), start))

    def marked(self, open_pnl: Decimal, *, whole: bool = True) -> "Balances":
        """After prices moved: the new open profit and loss, and the peak that an intraday drawdown follows.

        Where not the `whole` of what is held could be valued, the peak stays: a profit may have a loss beside it.
        """
        moved = replace(self, open_pnl=figure("open_pnl", open_pnl))
        if not whole:
            return moved
        peak = max(figure("highest_equity", self.highest_equity), moved.equity())
        return replace(moved, highest_equity=peak)

    def new_day(self, ahead: Decimal = _ZERO, close_before: Decimal | None = None) -> "Balances":
        """After the trading day's end: the balance that counts as its close, and as the next one's start.

        `ahead`: what of the balance was executed after that end.
        """
        with localcontext(EXACT):
            close = figure("balance", self.balance) - figure("ahead", ahead)
        peak = max(figure("highest_close", self.highest_close), close)
        return replace(self, day_start_balance=close, highest_close=peak, close_before=close_before)


class Trail(StrEnum):
    """What the drawdown floor follows upwards. It never comes down again."""

    STATIC = "static"  # nothing: it stays below the initial balance
    END_OF_DAY = "end_of_day"  # the highest balance at a day's end
    INTRADAY = "intraday"  # the highest equity ever seen, unrealised profit included


@dataclass(frozen=True, slots=True)
class Drawdown:
    """A firm's drawdown rule: the floor is `amount` below what it trails, and stops rising at `stops_at` (None: never)."""

    trail: Trail
    amount: Decimal
    stops_at: Decimal | None = None


def drawdown_floor(rule: Drawdown, balances: Balances) -> Decimal:
    """The equity at which the firm closes the account. Raises Denied when a figure is not known."""
    with localcontext(EXACT):
        start = figure("initial_balance", balances.initial_balance, above=0)
        peaks = {
            Trail.STATIC: lambda: start,
            Trail.END_OF_DAY: lambda: max(start, figure("highest_close", balances.highest_close)),
            Trail.INTRADAY: lambda: max(start, figure("highest_equity", balances.highest_equity), balances.equity()),
        }
        floor = peaks[rule.trail]() - figure("drawdown", rule.amount, above=0)
        return floor if rule.stops_at is None else min(floor, figure("stops_at", rule.stops_at))
