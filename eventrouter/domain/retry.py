"""When to try again."""

from datetime import datetime

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 60.0
MOST_ATTEMPTS = 8


def delay_s(attempt: int, jitter: float) -> float:
    """Seconds to wait after this attempt (1, 2, …): doubling from half a second to a minute, spread by jitter in [0, 1)."""
    full = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** (min(attempt, 30) - 1))
    return full * (0.5 + jitter / 2)


def may_retry(attempts: int, *, opening: bool, expires_at: datetime | None, now: datetime) -> bool:
    """Whether an order that certainly never left may be tried again. What closes is never given up silently."""
    if not opening:
        return True
    return attempts < MOST_ATTEMPTS and (expires_at is None or now < expires_at)
