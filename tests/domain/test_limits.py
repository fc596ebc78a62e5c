"""Limits refuse entries with a code; they never keep a position from closing."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from eventrouter.domain.limits import Limits, Pace, check
from eventrouter.domain.signals import Event, QuantityKind, Side, Signal
from eventrouter.errors import SignalRefused

LIMITS = Limits(symbols=("MES1!",), sides=("LONG",), max_quantity=Decimal(2))


def signal(event: Event = Event.ENTRY, symbol: str | None = "MES1!", side: Side = Side.LONG, **more: Any) -> Signal:
    """A signal of strategy orb."""
    return Signal("generic", event, symbol=symbol, side=side, strategy="orb", **more)


@pytest.mark.parametrize(
    ("signal", "code"),
    [
        (signal(quantity=Decimal(2)), None),
        (signal(symbol="CME_MINI:mes1!"), None),
        (signal(symbol="MNQ1!"), "SYMBOL_NOT_ALLOWED"),
        (signal(symbol=None), "SYMBOL_NOT_ALLOWED"),
        (signal(side=Side.SHORT), "SIDE_NOT_ALLOWED"),
        (signal(quantity=Decimal("2.5")), "QUANTITY_TOO_LARGE"),
        (signal(quantity=Decimal(1), quantity_kind=QuantityKind.RISK_PERCENT), "QUANTITY_NOT_COUNTED"),
        (signal(Event.ADD, quantity=Decimal(3)), "QUANTITY_TOO_LARGE"),
        (signal(Event.REVERSE, side=Side.SHORT), "SIDE_NOT_ALLOWED"),
        *(
            (signal(event, "MNQ1!", Side.SHORT, quantity=Decimal(9)), None)
            for event in Event
            if event not in (Event.ENTRY, Event.ADD, Event.REVERSE)
        ),
    ],
)
def test_an_entry_beyond_its_limits_is_refused(signal: Signal, code: str | None) -> None:
    """Symbol, side and size each have a code of their own; whatever opens nothing passes, also beyond its minute."""
    if code is None:
        check(signal, LIMITS, in_time=signal.opening)
        return
    with pytest.raises(SignalRefused) as refused:
        check(signal, LIMITS)
    assert refused.value.code == code


def test_no_limits_allow_everything() -> None:
    """Empty limits are none."""
    check(signal(symbol="ANY", side=Side.SHORT, quantity=Decimal(1000)), Limits())
    check(signal(quantity=Decimal(90), quantity_kind=QuantityKind.PERCENT_OF_EQUITY), Limits())


def test_one_alert_too_many_is_refused() -> None:
    """What opens beyond the strategy's alerts per minute has a code of its own."""
    with pytest.raises(SignalRefused, match=r"TOO_MANY_ALERTS.*2 alerts a minute"):
        check(signal(), Limits(alerts_per_minute=2), in_time=False)


def test_the_pace_counts_a_sliding_minute() -> None:
    """Two a minute: the third within a minute of the first is one too many, and a minute later it is not."""
    noon, pace = datetime(2026, 11, 20, 12, tzinfo=UTC), Pace()
    taken = [pace.take(noon + timedelta(seconds=after_s), 2) for after_s in (0, 30, 59, 60, 61)]
    assert taken == [True, True, False, True, False]
    assert all(pace.take(noon, 0) for _ in range(100))
