"""What prices were, as bars of a second, and those gathered into longer ones. Pure.

Assumed, where the gateway's documents are silent: the newest bar comes first and `limit` counts from there, a price that
nobody posted anew stands when it is asked for, and a bar's volume is the number of prices in it.
"""

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from eventrouter.simulator.contracts import Contract

UNITS_S = {1: 1, 2: 60, 3: 3600, 4: 86_400, 5: 604_800}
"""A bar's unit by its number, in seconds. Months, which differ in length, are not played."""
MOST_BARS = 20_000
_KEPT_S = 1800


@dataclass(slots=True)
class Bar:
    """One span from `at` on."""

    at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int

    def add(self, later: "Bar") -> None:
        """Takes in a bar that follows."""
        self.high, self.low = max(self.high, later.high), min(self.low, later.low)
        self.close, self.volume = later.close, self.volume + later.volume


class Tape:
    """Keeps the last 1,800 seconds that had a price, for each contract."""

    def __init__(self) -> None:
        self._seconds: dict[str, deque[Bar]] = {}

    def note(self, contract: Contract, price: Decimal, at: datetime) -> None:
        """A price at a time that is not before the last one's."""
        kept = self._seconds.setdefault(contract.id, deque(maxlen=_KEPT_S))
        _gather(kept, Bar(_floor(at, 1), price, price, price, price, 1))

    def bars(self, contract: Contract, start: datetime, end: datetime, seconds: int) -> list[Bar]:
        """Bars of so many seconds that begin between start and end, the newest first."""
        found: deque[Bar] = deque()
        for second in self._seconds.get(contract.id, ()):
            at = _floor(second.at, seconds)
            _gather(found, Bar(at, second.open, second.high, second.low, second.close, second.volume))
        return [bar for bar in reversed(found) if start <= bar.at <= end]

    def stand(self, contract: Contract, price: Decimal, at: datetime) -> None:
        """The last price, which stands still at this time: a bar of its own where the second has none yet."""
        kept = self._seconds.get(contract.id)
        if not kept or kept[-1].at < _floor(at, 1):
            self.note(contract, price, at)


def _gather(bars: deque[Bar], bar: Bar) -> None:
    if bars and bars[-1].at >= bar.at:
        bars[-1].add(bar)
    else:
        bars.append(bar)


def _floor(at: datetime, seconds: int) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return at - (at - epoch) % timedelta(seconds=seconds)
