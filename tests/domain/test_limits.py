"""Limits refuse entries with a code; they never keep a position from closing."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from eventrouter.domain.limits import Limits, Pace, check
from eventrouter.domain.signals import Signal
from eventrouter.errors import SignalRefused

LIMITS = Limits(symbols=("MES1!",), sides=("LONG",), max_quantity=Decimal(2))


@pytest.mark.parametrize(
    ("signal", "code"),
    [
        (Signal("ENTRY", "T", symbol="MES1!", direction="LONG", quantity=Decimal(2)), None),
        (Signal("ENTRY", "T", symbol="MNQ1!", direction="LONG"), "SYMBOL_NOT_ALLOWED"),
        (Signal("ENTRY", "T", symbol=None, direction="LONG"), "SYMBOL_NOT_ALLOWED"),
        (Signal("ENTRY", "T", symbol="MES1!", direction="SHORT"), "SIDE_NOT_ALLOWED"),
        (Signal("ENTRY", "T", symbol="MES1!", direction="LONG", quantity=Decimal("2.5")), "QUANTITY_TOO_LARGE"),
        (Signal("EXIT_SL", "T", symbol="MNQ1!", direction="SHORT", quantity=Decimal(9)), None),
    ],
)
def test_an_entry_beyond_its_limits_is_refused(signal: Signal, code: str | None) -> None:
    """Symbol, side and size each have a code of their own; an exit passes."""
    if code is None:
        check(signal, LIMITS)
        return
    with pytest.raises(SignalRefused) as refused:
        check(signal, LIMITS)
    assert refused.value.code == code


def test_no_limits_allow_everything() -> None:
    """Empty limits are none."""
    check(Signal("ENTRY", "T", symbol="ANY", direction="SHORT", quantity=Decimal(1000)), Limits())


def test_the_pace_counts_a_sliding_minute() -> None:
    """Two a minute: the third within a minute of the first is one too many, and a minute later it is not."""
    noon, pace = datetime(2026, 11, 20, 12, tzinfo=UTC), Pace()
    taken = [pace.take(noon + timedelta(seconds=after_s), 2) for after_s in (0, 30, 59, 60, 61)]
    assert taken == [True, True, False, True, False]
    assert all(pace.take(noon, 0) for _ in range(100))
