"""How old an alert may be that opens something: by its strategy's limit and by its own."""

from decimal import Decimal

import pytest

from eventrouter.domain.signals import Event, Signal
from eventrouter.domain.understand import StrategyRules, max_age_of


@pytest.mark.parametrize(
    ("strategys", "own", "expected"),
    [
        (60.0, None, 60.0),
        (60.0, "30", 30.0),
        (60.0, "300", 60.0),
        (60.0, "0", 60.0),
        (None, "300", 300.0),
        (None, None, None),
        (None, "31536001", None),
        (None, "999999999999999", None),
        (60.0, "-999999999999999", -1.0),
    ],
)
def test_the_shorter_limit_counts(strategys: float | None, own: str | None, expected: float | None) -> None:
    """And none is so long, or so far below zero, that no database can count it."""
    signal = Signal("generic", Event.ENTRY, max_age_s=None if own is None else Decimal(own))
    assert max_age_of(signal, StrategyRules(max_age_s=strategys)) == expected
