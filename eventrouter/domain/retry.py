"""When to try again, and how often: one row for each reason why an order is certainly not at the broker."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 60.0
MOST_ATTEMPTS = 8


class Cause(StrEnum):
    """Why something has to be tried again. Nothing else ever is: what may have been executed is looked up."""

    UNREACHABLE = "unreachable"  # no byte left: name, connection, TLS, a login that fails, a connector that is not open
    RATE_LIMITED = "rate limited"  # no byte left, because of the broker's limit of requests; it or we say until when
    SESSION_REFUSED = "session refused"  # the broker refused the token and executed nothing
    LEASE_ENDED = "lease ended"  # this process came too late to send it
    NOT_FOUND = "not found"  # looked up to the end, at a broker that refuses repeated ids
    LOOK_UP_FAILED = "look-up failed"  # the broker could not be asked what became of an order


@dataclass(frozen=True, slots=True)
class Limits:
    """`attempts`: the most of one entry, None for any number. `while_fresh`: where an entry has an age limit, that counts instead.

    Delays are seconds: the first one, doubled after each attempt up to the longest.
    """

    attempts: int | None
    first_s: float
    longest_s: float
    while_fresh: bool


LIMITS: Mapping[Cause, Limits] = MappingProxyType(
    {
        Cause.UNREACHABLE: Limits(MOST_ATTEMPTS, FIRST_DELAY_S, LONGEST_DELAY_S, while_fresh=True),
        Cause.RATE_LIMITED: Limits(20, 1.0, LONGEST_DELAY_S, while_fresh=True),
        # a login that stays refused needs a person, and each try counts at the broker
        Cause.SESSION_REFUSED: Limits(5, 1.0, 30.0, while_fresh=False),
        Cause.LEASE_ENDED: Limits(MOST_ATTEMPTS, FIRST_DELAY_S, 10.0, while_fresh=True),
        # every attempt more is one more order that may turn up
        Cause.NOT_FOUND: Limits(MOST_ATTEMPTS, 0.0, 0.0, while_fresh=False),
        Cause.LOOK_UP_FAILED: Limits(None, 1.0, 15.0, while_fresh=False),
    }
)
"""The limits of each cause. They bind entries; what closes is tried until it gets through, after the same delays."""


def delay_s(attempt: int, jitter: float, cause: Cause = Cause.UNREACHABLE) -> float:
    """Seconds to wait after this attempt (1, 2, …), spread over the upper half by jitter in [0, 1)."""
    limits = LIMITS[cause]
    full = min(limits.longest_s, limits.first_s * 2.0 ** (min(attempt, 30) - 1))
    return full * (0.5 + jitter / 2)


def may_retry(
    attempts: int,
    *,
    opening: bool,
    expires_at: datetime | None,
    now: datetime,
    cause: Cause = Cause.UNREACHABLE,
) -> bool:
    """Whether an order that is certainly not at the broker may be tried again. What closes is never given up silently."""
    if not opening:
        return True
    if expires_at is not None and now >= expires_at:
        return False
    limits = LIMITS[cause]
    unlimited = limits.attempts is None or (limits.while_fresh and expires_at is not None)
    return unlimited or attempts < (limits.attempts or 0)
