"""How many requests a connection may still make: the broker's limit over a sliding window, with a share kept for exits."""

from collections import deque
from collections.abc import Callable

MOST_REQUESTS = 200
WINDOW_S = 61.0  # the broker counts 60 s; requests reach it later than they are counted here, and not all equally late
KEPT_FOR_EXITS = 50
KEPT_FROM_BOOKS = 50  # twenty accounts on one login take 61 requests to read, every minute and at a start twice


class Budget:
    """Counts requests when they are made; it never waits, but says how long to wait.

    What closes, cancels or moves a stop may use all of `most`; everything else leaves `kept` requests for it. `clock`
    gives seconds that only grow. What can wait, such as reading the books, leaves `spared` requests more, for entries.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        most: int = MOST_REQUESTS,
        window_s: float = WINDOW_S,
        kept: int = KEPT_FOR_EXITS,
    ) -> None:
        if not 0 <= kept < most:
            raise ValueError("kept must be at least 0 and below most")
        self._clock = clock
        self._most = most
        self._window_s = window_s
        self._kept = kept
        self._made: deque[float] = deque()
        self._paused_until = float("-inf")

    def take(self, *, urgent: bool, spared: int = 0) -> float:
        """Counts one request and returns 0; or counts nothing and returns the seconds until one may be made."""
        now = self._clock()
        while self._made and self._made[0] <= now - self._window_s:
            self._made.popleft()
        allowed = self._most if urgent else max(1, self._most - self._kept - spared)
        wait_s = 0.0
        if len(self._made) >= allowed:
            wait_s = self._made[len(self._made) - allowed] + self._window_s - now
        if not urgent:
            wait_s = max(wait_s, self._paused_until - now)
        if wait_s <= 0:
            self._made.append(now)
            return 0.0
        return wait_s

    def pause(self, seconds: float) -> None:
        """The broker said that there were too many: nothing but exits for so long. Something else may use the same login."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)
