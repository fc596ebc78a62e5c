"""When an order that certainly never left is tried again."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventrouter.domain.retry import (
    FIRST_DELAY_S,
    LIMITS,
    LONGEST_DELAY_S,
    MOST_ATTEMPTS,
    Cause,
    delay_s,
    may_retry,
)

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)


def test_delay_doubles() -> None:
    """The wait doubles from half a second up to a minute."""
    assert [delay_s(attempt, 1.0) for attempt in (1, 2, 3, 7, 8, 500)] == [
        0.5,
        1,
        2,
        32,
        LONGEST_DELAY_S,
        LONGEST_DELAY_S,
    ]


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_jitter_spreads_the_upper_half(attempt: int, jitter: float) -> None:
    """Jitter takes away at most half of a wait."""
    full = delay_s(attempt, 1.0)
    assert FIRST_DELAY_S / 2 <= full / 2 <= delay_s(attempt, jitter) <= full


@pytest.mark.parametrize(
    ("attempts", "opening", "expires_at", "again"),
    [
        (1, True, None, True),
        (MOST_ATTEMPTS - 1, True, LATER, True),
        (MOST_ATTEMPTS, True, None, False),
        (1000, True, LATER, True),
        (1, True, NOW, False),
        (10_000, False, NOW, True),
    ],
)
def test_may_retry(attempts: int, opening: bool, expires_at: datetime | None, again: bool) -> None:
    """An entry is given up when its attempts are spent or it is too old; what closes a trade never is."""
    assert may_retry(attempts, opening=opening, expires_at=expires_at, now=NOW) is again


def test_every_cause_has_its_limits() -> None:
    """Delays stay below the cause's longest; a refused session is given up soon, however fresh the entry is."""
    assert set(LIMITS) == set(Cause)
    for cause, limits in LIMITS.items():
        assert max(delay_s(attempt, 0.999, cause) for attempt in range(1, 60)) <= limits.longest_s
        assert delay_s(1, 1.0, cause) == limits.first_s
    refused = LIMITS[Cause.SESSION_REFUSED].attempts
    assert refused is not None
    for attempts, again in ((refused - 1, True), (refused, False)):
        said = may_retry(attempts, opening=True, expires_at=LATER, now=NOW, cause=Cause.SESSION_REFUSED)
        assert said is again
    assert may_retry(10**6, opening=False, expires_at=None, now=NOW, cause=Cause.SESSION_REFUSED)
