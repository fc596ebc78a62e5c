"""What a strategy's own settings make of an alert: its symbol, its limits, its age, its name."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from eventrouter.domain.limits import Limits
from eventrouter.domain.parsers import Reading
from eventrouter.domain.signals import Event, QuantityKind, Side, Signal
from eventrouter.domain.understand import StrategyRules, Understood, ask_of, max_age_of, understand
from eventrouter.errors import SignalRefused

NOW = datetime(2026, 3, 10, 14, 31, 5, tzinfo=UTC)
OPENING = (Event.ENTRY, Event.ADD, Event.REVERSE)
CLOSING = tuple(event for event in Event if event not in OPENING)


def signal(event: Event = Event.ENTRY, **more: Any) -> Signal:
    """A signal as a parser gives it."""
    return Signal(**{"family": "generic", "event": event, "symbol": "MNQ1!", "side": Side.LONG, **more})


def judged(read: Signal, *, in_time: bool = True, **rules: Any) -> Understood:
    """What it is for the strategy orb with these rules, received now, and what its limits say. Raises SignalRefused."""
    reading = Reading(b"{}", (), read, None, read.family)
    return understand(reading, "orb", StrategyRules(**rules), received_at=NOW, in_time=in_time)


def understood(read: Signal, **rules: Any) -> Signal:
    """The signal alone, to which no limit may say anything."""
    found = judged(read, **rules)
    assert found.veto is None
    return found.signal


def test_a_refused_reading_stays_refused() -> None:
    """The parser's refusal is the answer."""
    refusal = SignalRefused("ACTION_UNKNOWN", "No.", "action")
    with pytest.raises(SignalRefused) as caught:
        understand(Reading(b"", (), None, refusal), "orb", StrategyRules(), received_at=NOW, in_time=True)
    assert caught.value is refusal


# the strategy's quantity


@pytest.mark.parametrize("event", Event)
def test_what_opens_without_a_quantity_has_the_strategys(event: Event) -> None:
    """A note says so. What closes without one closes everything, so it never gets one."""
    read = signal(event, trade_id="t")
    found = understood(read, quantity=Decimal("2.50"))
    if event in OPENING:
        assert found.quantity == Decimal("2.50")
        assert found.notes == ("The alert names no quantity; its strategy's is 2.5.",)
    else:
        assert (found.quantity, found.notes) == (None, ())
    without = understood(read)
    assert (without.quantity, without.notes) == (None, ())


@pytest.mark.parametrize(
    "more",
    [
        {"quantity": Decimal(7)},
        {"quantity": Decimal(1), "quantity_kind": QuantityKind.RISK_PERCENT},
        {"target": True},
    ],
)
def test_an_alerts_own_quantity_stays(more: dict[str, Any]) -> None:
    """The strategy's stands in for nothing else."""
    found = understood(signal(**more), quantity=Decimal(2))
    assert (found.quantity, found.notes) == (more.get("quantity"), ())


def test_the_strategys_quantity_is_within_its_limit_too() -> None:
    """A limit counts what will be asked for."""
    found = judged(signal(), quantity=Decimal(3), limits=Limits(max_quantity=Decimal(2)))
    assert found.veto is not None
    assert found.veto.code == "QUANTITY_TOO_LARGE"


# whose alert it is


@pytest.mark.parametrize("family", ["stage13b", "generic", "traderspost", "words"])
def test_the_strategy_is_the_tokens(family: str) -> None:
    """Whatever an alert calls itself; our own format alone is held to the name, and elsewhere a note says so."""
    assert understood(signal(family=family)).strategy == "orb"
    same = understood(signal(family=family, strategy="orb"))
    assert (same.strategy, same.notes) == ("orb", ())
    if family == "stage13b":
        with pytest.raises(SignalRefused, match="STRATEGY_MISMATCH"):
            understood(signal(family=family, strategy="My Chart"))
        return
    other = understood(signal(family=family, strategy="My Chart"))
    assert other.strategy == "orb"
    assert "'My Chart'" in other.notes[0]


# its symbol


@pytest.mark.parametrize("event", sorted(Event))
@pytest.mark.parametrize("trade_id", [None, "T1"])
def test_the_strategys_symbol(event: Event, trade_id: str | None) -> None:
    """For an alert that names none, but not for one that follows its trade, nor for one that means everything."""
    follows = event is Event.FLATTEN or (event in CLOSING and trade_id is not None)
    bare = signal(event, symbol=None, trade_id=trade_id)
    assert understood(bare, symbol="MES1!").symbol == (None if follows else "MES1!")
    assert understood(replace(bare, symbol="MNQ1!"), symbol="MES1!").symbol == "MNQ1!"


@pytest.mark.parametrize("event", OPENING)
def test_what_opens_needs_a_symbol(event: Event) -> None:
    """From the alert or from its strategy; stage 13B's format may do without, as ever."""
    with pytest.raises(SignalRefused) as refused:
        understood(signal(event, symbol=None))
    assert (refused.value.code, refused.value.field) == ("FIELD_MISSING", "symbol")
    assert understood(signal(Event.ENTRY, symbol=None, family="stage13b")).symbol is None


def test_the_strategys_symbol_is_held_to_its_limits() -> None:
    """The default is looked at like any other."""
    veto = judged(signal(symbol=None), symbol="MES1!", limits=Limits(symbols=("MNQ1!",))).veto
    assert veto is not None
    assert veto.code == "SYMBOL_NOT_ALLOWED"


# its limits


@pytest.mark.parametrize("event", sorted(Event))
def test_limits_hold_for_what_opens(event: Event) -> None:
    """They say no to what opens, and nothing to what closes."""
    veto = judged(signal(event, quantity=Decimal(9)), limits=Limits(max_quantity=Decimal(2))).veto
    assert (veto and veto.code) == ("QUANTITY_TOO_LARGE" if event not in CLOSING else None)


@pytest.mark.parametrize(
    ("limits", "in_time", "code"),
    [
        (Limits(sides=("LONG",)), True, "SIDE_NOT_ALLOWED"),
        (Limits(symbols=("MES1!",)), True, "SYMBOL_NOT_ALLOWED"),
        (Limits(max_quantity=Decimal(1)), True, "QUANTITY_TOO_LARGE"),
        (Limits(alerts_per_minute=1), False, "TOO_MANY_ALERTS"),
    ],
)
def test_each_limit_has_its_code(limits: Limits, in_time: bool, code: str) -> None:
    """A reversal is not refused for them: what it closes is decided beside the open trades."""
    found = judged(signal(Event.REVERSE, side=Side.SHORT, quantity=Decimal(2)), limits=limits, in_time=in_time)
    assert found.signal.event is Event.REVERSE
    assert found.veto is not None
    assert found.veto.code == code


# its age


@pytest.mark.parametrize(
    ("of_strategy", "of_alert", "smaller"),
    [(60.0, None, 60.0), (60.0, 5, 5.0), (60.0, 600, 60.0), (None, 5, 5.0), (None, None, None), (60.0, 0, 60.0)],
)
def test_the_smaller_age_limit_counts(of_strategy: float | None, of_alert: int | None, smaller: float | None) -> None:
    """An alert may ask for less patience than its strategy has, not for more; 0 says nothing."""
    read = signal(max_age_s=None if of_alert is None else Decimal(of_alert))
    assert max_age_of(read, StrategyRules(max_age_s=of_strategy)) == smaller


@pytest.mark.parametrize("event", sorted(Event))
@pytest.mark.parametrize(("late_s", "max_age_s", "flagged"), [(61, 60.0, True), (60, 60.0, False), (61, None, False)])
def test_what_closes_late_is_flagged(event: Event, late_s: int, max_age_s: float | None, flagged: bool) -> None:
    """It is done and says so; what opens late is left to expire."""
    read = signal(event, fire_time=NOW - timedelta(seconds=late_s))
    found = understood(read, max_age_s=max_age_s)
    assert found.event is event
    expected = [f"It fired {late_s} s before it came, which is late; what closes is done all the same."]
    assert list(found.notes) == (expected if flagged and event in (*CLOSING, Event.REVERSE) else [])


# what is stored


@pytest.mark.parametrize("opposite", ["refuse", "exit", "reverse"])
def test_an_ask_says_what_pairing_needs(opposite: str) -> None:
    """The instrument's root, the side, and what a bare word means for this strategy."""
    read = understood(signal(symbol="CME_MINI:MNQZ2026", side=Side.SHORT, bare=True, quantity=Decimal("1.5")))
    asked = ask_of(Understood(read), StrategyRules(opposite=opposite))
    found = (asked.event, asked.event_type, asked.root, asked.side, asked.bare, asked.opposite, asked.units)
    assert found == ("ENTRY", "ENTRY", "MNQ", "SHORT", True, opposite, Decimal("1.5"))


@pytest.mark.parametrize("kind", sorted(QuantityKind))
def test_only_units_are_counted(kind: QuantityKind) -> None:
    """Money, risk and percent are no size of a position."""
    read = understood(signal(quantity=Decimal(10), quantity_kind=kind))
    assert ask_of(Understood(read), StrategyRules()).units == (Decimal(10) if kind is QuantityKind.FIXED else None)
