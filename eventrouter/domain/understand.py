"""From what a body says to what its strategy wants: the strategy's defaults, limits and age, and the sentences about them."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from eventrouter.domain.denials import plain
from eventrouter.domain.duplicates import exact
from eventrouter.domain.limits import Limits, check
from eventrouter.domain.parsers import Reading
from eventrouter.domain.payloads import payload_of, record_of
from eventrouter.domain.signals import Event, Signal
from eventrouter.domain.symbols import root_of
from eventrouter.domain.trades import Ask, Veto
from eventrouter.errors import SignalRefused

_LONGEST_AGE_S = 31_536_000


@dataclass(frozen=True, slots=True)
class StrategyRules:
    """What holds for a strategy's alerts.

    `symbol` is that of an alert that names none, `quantity` what opens without one asks for (None: it stays without, which
    means 1); `duplicate_window_s` for how long a body is the same alert; `max_age_s`
    after how long what opens is too old (None: never); `opposite` what a bare buy or sell means against an open trade of
    the other side (domain/trades.py).
    """

    symbol: str | None = None
    quantity: Decimal | None = None
    duplicate_window_s: float = 30.0
    max_age_s: float | None = 60.0
    opposite: str = "refuse"
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Understood:
    """A strategy's signal, and what its limits say against opening anything with it."""

    signal: Signal
    veto: Veto | None = None


def understand(
    reading: Reading, strategy: str, rules: StrategyRules, *, received_at: datetime, in_time: bool
) -> Understood:
    """What this strategy's alert means. `in_time`: it keeps to the strategy's alerts per minute. Raises SignalRefused."""
    if reading.signal is None:
        raise reading.refusal or SignalRefused("READING_FAILED", "The alert could not be read.", None)
    signal = _of_strategy(reading.signal, strategy)
    if signal.symbol is None and signal.event is not Event.FLATTEN and (signal.opening or signal.trade_id is None):
        signal = replace(signal, symbol=rules.symbol)
    signal = _sized(signal, rules)
    if signal.opening and signal.symbol is None and signal.family != "stage13b":
        raise SignalRefused(
            "FIELD_MISSING", "The alert names no instrument, and its strategy has none: send symbol.", "symbol"
        )
    veto = None
    try:
        check(signal, rules.limits, in_time=in_time)
    except SignalRefused as refusal:  # what it would close is known only beside the strategy's open trades
        veto = Veto(refusal.code, refusal.message, refusal.field)
    return Understood(_flagged(signal, rules, received_at), veto)


def ask_of(understood: Understood, rules: StrategyRules) -> Ask:
    """The same in the form in which it is stored, or waits on disk."""
    signal = understood.signal
    return Ask(
        event=str(signal.event),
        event_type=signal.event_type,
        payload=payload_of(signal),
        record=record_of(signal),
        trade_id=signal.trade_id,
        root=None if signal.symbol is None else root_of(signal.symbol),
        side=None if signal.side is None else str(signal.side),
        bare=signal.bare,
        opposite=rules.opposite,
        veto=understood.veto,
        fired_at=exact(signal.fire_time),
        target=signal.target,
    )


def max_age_of(signal: Signal, rules: StrategyRules) -> float | None:
    """Seconds after which what opens is too old: the strategy's limit, or the alert's own where that is shorter.

    An alert that asks for more than a year has no limit of its own; no database counts as far as its digits go.
    """
    own = None if signal.max_age_s is None or signal.max_age_s > _LONGEST_AGE_S else max(-1.0, float(signal.max_age_s))
    return min((limit for limit in (rules.max_age_s, own) if limit), default=None)


def _of_strategy(signal: Signal, strategy: str) -> Signal:
    """The token says whose alert it is. Only our own format is held to the name; elsewhere it is the chart's title."""
    said = signal.strategy
    if said is None or said == strategy:
        return replace(signal, strategy=strategy)
    if signal.family == "stage13b":
        raise SignalRefused(
            "STRATEGY_MISMATCH",
            f"The alert names the strategy {said[:60]!r}, but the token belongs to {strategy!r}.",
            "strategy",
        )
    note = f"The alert calls its strategy {said[:60]!r}; it counts for {strategy!r}, whose token it has."
    return replace(signal, strategy=strategy, notes=(*signal.notes, note))


def _sized(signal: Signal, rules: StrategyRules) -> Signal:
    """What opens without a quantity has the strategy's. An alert that names a position but no size stays as it is."""
    if not signal.opening or signal.quantity is not None or signal.target or rules.quantity is None:
        return signal
    note = f"The alert names no quantity; its strategy's is {plain(rules.quantity)}."
    return replace(signal, quantity=rules.quantity, notes=(*signal.notes, note))


def _flagged(signal: Signal, rules: StrategyRules, received_at: datetime) -> Signal:
    """What closes is done at any age, and says so."""
    limit = max_age_of(signal, rules)
    opens_only = signal.opening and signal.event is not Event.REVERSE
    if opens_only or signal.fire_time is None or limit is None:
        return signal
    age = Decimal(str((received_at - signal.fire_time).total_seconds()))
    if age <= Decimal(str(limit)):
        return signal
    note = f"It fired {age:.0f} s before it came, which is late; what closes is done all the same."
    return replace(signal, notes=(*signal.notes, note))
