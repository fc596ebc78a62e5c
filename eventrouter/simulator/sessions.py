"""Tokens that expire, and how many requests a user may make. A new login leaves older tokens valid.

Assumed: requests are counted per user over a sliding window; a request that was answered 429 is not counted.
"""

import random
from collections import defaultdict, deque
from collections.abc import Callable
from datetime import datetime, timedelta

_WINDOW = timedelta(seconds=60)


class Sessions:
    """`draw` makes tokens: drawn from a seed, they are the same in every run, and no secret."""

    def __init__(self, now: Callable[[], datetime], lifetime_s: float, draw: random.Random) -> None:
        self._now = now
        self._lifetime = timedelta(seconds=lifetime_s)
        self._draw = draw
        self._tokens: dict[str, tuple[str, datetime]] = {}

    def open(self, user: str) -> str:
        """A new token for this user."""
        token = f"sim.{self._draw.getrandbits(160):040x}"
        self._tokens[token] = (user, self._now() + self._lifetime)
        return token

    def user_of(self, token: str) -> str | None:
        """Whose token it is, or None when it is unknown or has expired."""
        user, until = self._tokens.get(token, (None, self._now()))
        return user if self._now() < until else None

    def end(self, token: str) -> None:
        """Forgets a token."""
        self._tokens.pop(token, None)

    def expire_all(self) -> int:
        """Forgets all; how many they were."""
        ended = len(self._tokens)
        self._tokens.clear()
        return ended


class RateLimit:
    """At most so many requests of one user in any 60 seconds; 0 for no limit."""

    def __init__(self, now: Callable[[], datetime], most: int) -> None:
        self._now = now
        self._most = most
        self._seen: defaultdict[str, deque[datetime]] = defaultdict(deque)

    def allows(self, user: str) -> bool:
        """Counts a request, unless it is one too many."""
        seen, now = self._seen[user], self._now()
        while seen and seen[0] <= now - _WINDOW:
            seen.popleft()
        if self._most and len(seen) >= self._most:
            return False
        seen.append(now)
        return True
