"""The broker's clock: the real one, moved, or standing still until it is told to go on."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Clock:
    """Time in UTC. `at`: where it starts, default now. `frozen`: it stands until `advance`. `elapsed`: seconds that pass."""

    def __init__(
        self, at: datetime | None = None, *, frozen: bool = False, elapsed: Callable[[], float] = time.monotonic
    ) -> None:
        self._elapsed = elapsed
        self._base = at or datetime.now(UTC)
        self._mark = None if frozen else elapsed()

    @property
    def frozen(self) -> bool:
        """Whether it stands still."""
        return self._mark is None

    def now(self) -> datetime:
        """The time it shows."""
        if self._mark is None:
            return self._base
        return self._base + timedelta(seconds=self._elapsed() - self._mark)

    def set(self, at: datetime) -> None:
        """Jumps, forward or back."""
        self._base = at
        if self._mark is not None:
            self._mark = self._elapsed()

    def advance(self, seconds: float) -> None:
        """Jumps by so many seconds."""
        self.set(self.now() + timedelta(seconds=seconds))

    def freeze(self, *, frozen: bool) -> None:
        """Stops it where it is, or lets it run on from there."""
        self._base = self.now()
        self._mark = None if frozen else self._elapsed()
