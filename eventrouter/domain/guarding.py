"""When an account has to be closed without anybody asking: its firm's cut-off, and a loss limit that is reached. Pure.

The guardian's flattenings are rows of `controls` like everybody's. Their reason begins with a code, so that rows alone tell
what was done on which trading day, and when an account may trade again.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from eventrouter.domain.book import Book
from eventrouter.domain.risk import breaches
from eventrouter.domain.risk_inputs import AccountState, RiskLimits, Standing
from eventrouter.domain.trading_day import TradingDays

GUARDIAN = "guardian"
FLAT_BY = "FLAT_BY"
_FOR_A_DAY = (FLAT_BY, "DAILY_LOSS")  # a drawdown is for a person to end
_STANDS_AS = {"flatten": "reduce"}  # what a person flattened stays denied, and is not flattened again


class Alarm(NamedTuple):
    """Why everything is to be closed now: a code, and a sentence with the numbers."""

    code: str
    message: str

    def reason(self) -> str:
        """For the row of controls."""
        return f"{self.code}: {self.message}"


class ControlRow(NamedTuple):
    """A row of controls of the account's own scope."""

    action: str
    actor: str
    reason: str | None
    at: datetime

    @property
    def code(self) -> str | None:
        """What the guardian flattened for; None for rows that are not its flattenings."""
        if self.actor != GUARDIAN or self.action != "flatten":
            return None
        return (self.reason or "").partition(":")[0]


def alarms(book: Book, limits: RiskLimits, now: datetime) -> tuple[Alarm, ...]:
    """Everything that says that the account must be flat now. A book of another trading day breaches no limit."""
    state = AccountState(Standing.ACTIVE, None, None, None, book.balances, book.day)
    found = [Alarm(each.code, each.message) for each in breaches(state, limits, now)]
    if passed := _past_cut_off(limits, now):
        found.append(Alarm(FLAT_BY, passed))
    return tuple(found)


def unanswered(found: Sequence[Alarm], rows: Sequence[ControlRow], days: TradingDays, now: datetime) -> tuple[Alarm, ...]:
    """Those that the guardian did not act on yet in this trading day. `rows`: newest first, of the account's scope."""
    today = days.of(now)
    answered = {row.code for row in rows if row.code is not None and days.of(row.at) == today}
    return tuple(alarm for alarm in found if alarm.code not in answered)


def ends_with(rows: Sequence[ControlRow], days: TradingDays, now: datetime) -> str | None:
    """What counts again, now that a new trading day has begun after the guardian's flattening; None: nothing changes.

    That is what somebody ordered before it: a halt stays a halt. `rows`: newest first, of the account's scope.
    """
    if not rows or rows[0].code not in _FOR_A_DAY or days.of(rows[0].at) >= days.of(now):
        return None
    if any(row.code is not None and row.code not in _FOR_A_DAY for row in _since_anybody(rows)):
        return None
    before = next((row for row in rows if row.code is None), None)
    return "resume" if before is None else _STANDS_AS.get(before.action, before.action)


def _since_anybody(rows: Sequence[ControlRow]) -> list[ControlRow]:
    """The guardian's latest flattenings, back to the last row of another kind."""
    found = []
    for row in rows:
        if row.code is None:
            break
        found.append(row)
    return found


def _past_cut_off(limits: RiskLimits, now: datetime) -> str | None:
    if limits.flat_by is None:
        return None
    cut_off = limits.days.flat_by(limits.days.of(now), limits.flat_by, dict(limits.early_closes))
    if now < cut_off:
        return None
    return f"It is past {limits.days.local(cut_off):%H:%M} in {limits.days.zone}, when the account has to be flat."
