"""An account's trading days: which one an instant belongs to, and when a day starts, ends and must be flat.

A local time stands for the first instant at which the zone's clocks show it or later. So a time that is skipped in spring
means the moment of the change, and one that comes twice in autumn means its first coming: early rather than late.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

NOON = time(12)
_NO_EARLY: Mapping[date, time] = {}


WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Window:
    """Local times between which entries are allowed, `closes` not included. Past midnight when it closes before it opens.

    `weekdays` (0 = Monday) are the days on which it opens; empty: every day. Equal times: the whole day around.
    """

    opens: time
    closes: time
    weekdays: frozenset[int] = frozenset()

    def __str__(self) -> str:
        days = ",".join(WEEKDAYS[day] for day in sorted(self.weekdays))
        return f"{days} {self.opens:%H:%M}-{self.closes:%H:%M}".strip()

    def holds(self, local: datetime) -> bool:
        """Whether the wall clock is inside."""
        now = local.time()
        if self.opens < self.closes:
            return self.opens <= now < self.closes and self._opens_on(local.date())
        if now >= self.opens:
            return self._opens_on(local.date())
        return now < self.closes and self._opens_on(local.date() - timedelta(days=1))

    def _opens_on(self, day: date) -> bool:
        return not self.weekdays or day.weekday() in self.weekdays


@dataclass(frozen=True, slots=True)
class TradingDays:
    """The days of one zone that start at one local time, without gaps: each ends when the next one starts.

    A day that starts at noon or later is named after the date on which it ends: Sunday 17:00 in Chicago opens Monday.
    Raises ValueError for a zone that is not known and for a start with a zone of its own.
    """

    zone: str
    starts: time = time(0)
    _info: ZoneInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.starts.tzinfo is not None:
            raise ValueError("The start of the trading day is a local time; it has no zone of its own.")
        try:
            object.__setattr__(self, "_info", ZoneInfo(self.zone))
        except (KeyError, ValueError, OSError):
            raise ValueError(
                f"{self.zone!r} is no time zone that this machine knows; use America/Chicago, say."
            ) from None

    def of(self, instant: datetime) -> date:
        """The name of the trading day that an aware instant belongs to."""
        near = self.local(instant).date() + timedelta(days=1)
        while instant < self.bounds(near)[0]:
            near -= timedelta(days=1)
        return near

    def bounds(self, day: date) -> tuple[datetime, datetime]:
        """When the trading day starts and when the next one does, in UTC: 23, 24 or 25 hours apart as a rule."""
        opens_on = self._opens_on(day)
        return self._first_instant(opens_on, self.starts), self._first_instant(
            opens_on + timedelta(days=1), self.starts
        )

    def flat_by(self, day: date, at: time, early: Mapping[date, time] = _NO_EARLY) -> datetime:
        """The instant, in UTC, by which a trading day's positions must be closed: at local time `at`.

        `early` names the trading days with another time (early closes). A time that equals the start means the end.
        """
        wanted = early.get(day, at)
        opens_on = self._opens_on(day)
        return self._first_instant(opens_on + timedelta(days=wanted <= self.starts), wanted)

    def local(self, instant: datetime) -> datetime:
        """What the zone's clocks show. Raises ValueError for an instant without a zone: nobody knows when that is."""
        if instant.tzinfo is None:
            raise ValueError(f"{instant.isoformat()} has no zone; instants are aware, best in UTC.")
        return instant.astimezone(self._info)

    def _opens_on(self, day: date) -> date:
        return day - timedelta(days=1) if self.starts >= NOON else day

    def _first_instant(self, day: date, at: time) -> datetime:
        wall = datetime.combine(day, at)
        instant = wall.replace(tzinfo=self._info).astimezone(UTC)
        if self.local(instant).replace(tzinfo=None) == wall:
            return instant
        return self._change_before(instant, wall.replace(tzinfo=self._info, fold=1).astimezone(UTC))

    def _change_before(self, after: datetime, before: datetime) -> datetime:
        """The second at which the clocks jumped, between an instant before the change and one at or after it."""
        before, after = before.replace(microsecond=0), after.replace(microsecond=0)
        old = self.local(before).utcoffset()
        seconds_low, seconds_high = 0, int((after - before).total_seconds())
        while seconds_high - seconds_low > 1:
            middle = (seconds_low + seconds_high) // 2
            if self.local(before + timedelta(seconds=middle)).utcoffset() == old:
                seconds_low = middle
            else:
                seconds_high = middle
        return before + timedelta(seconds=seconds_high)
