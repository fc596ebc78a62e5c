"""What a strategy's alerts may ask for, and how often. Only entries are refused: nothing may keep a position from closing."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from eventrouter.domain.signals import Signal
from eventrouter.errors import SignalRefused


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a strategy; empty, zero or None: none."""

    symbols: Sequence[str] = ()
    sides: Sequence[str] = ()
    max_quantity: Decimal | None = None
    alerts_per_minute: int = 0


def check(signal: Signal, limits: Limits) -> None:
    """Raises SignalRefused for an entry that asks for what its strategy may not."""
    if not signal.opening:
        return
    if limits.symbols and signal.symbol not in limits.symbols:
        allowed = ", ".join(limits.symbols)
        raise SignalRefused(
            "SYMBOL_NOT_ALLOWED", f"This strategy may trade {allowed}; the alert names {signal.symbol}.", "symbol"
        )
    if limits.sides and signal.direction not in limits.sides:
        allowed = ", ".join(limits.sides)
        raise SignalRefused(
            "SIDE_NOT_ALLOWED", f"This strategy may go {allowed}; the alert says {signal.direction}.", "direction"
        )
    if limits.max_quantity and signal.quantity is not None and signal.quantity > limits.max_quantity:
        raise SignalRefused(
            "QUANTITY_TOO_LARGE",
            f"This strategy may ask for at most {limits.max_quantity}; the alert asks for {signal.quantity}.",
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
