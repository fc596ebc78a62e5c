"""What a strategy's alerts may ask for, and how often. Only what opens is refused: nothing may keep a position from closing."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from eventrouter.domain.signals import QuantityKind, Signal
from eventrouter.domain.symbols import root_of
from eventrouter.errors import SignalRefused


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a strategy; empty, zero or None: none. `symbols` mean products: MES1! is MESZ2026 as well."""

    symbols: Sequence[str] = ()
    sides: Sequence[str] = ()
    max_quantity: Decimal | None = None
    alerts_per_minute: int = 0


def check(signal: Signal, limits: Limits, *, in_time: bool = True) -> None:
    """Raises SignalRefused for an alert that would open what its strategy may not. `in_time`: it keeps to alerts_per_minute."""
    if not signal.opening:
        return
    if limits.symbols and root_of(signal.symbol or "") not in map(root_of, limits.symbols):
        allowed = ", ".join(limits.symbols)
        raise SignalRefused(
            "SYMBOL_NOT_ALLOWED", f"This strategy may trade {allowed}; the alert names {signal.symbol}.", "symbol"
        )
    if limits.sides and signal.side not in limits.sides:
        allowed = ", ".join(limits.sides)
        raise SignalRefused(
            "SIDE_NOT_ALLOWED", f"This strategy may go {allowed}; the alert says {signal.side}.", "direction"
        )
    if limits.max_quantity and signal.quantity is not None:
        _check_quantity(signal, limits.max_quantity)
    if not in_time:
        most = limits.alerts_per_minute
        raise SignalRefused("TOO_MANY_ALERTS", f"This strategy may send {most} alerts a minute; this is one more.")


def _check_quantity(signal: Signal, most: Decimal) -> None:
    if signal.quantity_kind is not QuantityKind.FIXED:
        raise SignalRefused(
            "QUANTITY_NOT_COUNTED",
            f"This strategy may ask for at most {most} units; the alert's quantity is {signal.quantity_kind}.",
            "quantity",
        )
    if signal.quantity is not None and signal.quantity > most:
        raise SignalRefused(
            "QUANTITY_TOO_LARGE",
            f"This strategy may ask for at most {most}; the alert asks for {signal.quantity}.",
            "quantity",
        )


@dataclass(slots=True)
class Pace:
    """Counts a strategy's alerts over the last minute."""

    times: deque[datetime] = field(default_factory=deque)

    def take(self, now: datetime, per_minute: int) -> bool:
        """Counts an alert; False when there have been `per_minute` of them in the last minute already (0: never)."""
        while self.times and now - self.times[0] >= timedelta(minutes=1):
            self.times.popleft()
        if per_minute and len(self.times) >= per_minute:
            return False
        self.times.append(now)
        return True
