"""What makes two alerts the same one."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from eventrouter.domain.signals import Signal

KNOWN_FOR_S = 7 * 86_400.0
"""How long an alert that names itself is remembered: far longer than any sender goes on repeating."""


@dataclass(frozen=True, slots=True)
class DuplicateKey:
    """Alerts of one strategy with the same key are one alert until `window_s` seconds after the first was received."""

    key: bytes
    window_s: float


def duplicate_key(raw: bytes, signal: Signal, *, window_s: float = 30.0) -> DuplicateKey | None:
    """The sender's own id with what it asks for, else that and when it fired, else the very same bytes within `window_s` s.

    `window_s` of 0 switches the last rule off (None is returned): a static alert that repeats faster than that is meant to.
    An id that does not change from alert to alert, as some templates have it, makes no exit the repeat of an entry.
    """
    if signal.source_id:
        return DuplicateKey(_digest("id", signal.source_id, *_identity(signal)), KNOWN_FOR_S)
    if fired := exact(signal.fire_time):
        return DuplicateKey(_digest("fired", fired.isoformat(), *_identity(signal), *_terms(signal)), KNOWN_FOR_S)
    if window_s <= 0:
        return None
    return DuplicateKey(_digest("body", raw.hex()), window_s)


def exact(fired: datetime | None) -> datetime | None:
    """The time if it is one of firing. One of a whole minute may be that of a bar, which fires many things."""
    return fired if fired is not None and (fired.second or fired.microsecond) else None


def _identity(signal: Signal) -> tuple[str | None, ...]:
    """What tells alerts of one second apart, such as the two legs of a reversal."""
    size = None if signal.position_size is None else str(signal.position_size.normalize())
    action = (signal.event_type, signal.side)
    return (signal.trade_id, signal.symbol, *action, signal.order_id, signal.position, size)


def _terms(signal: Signal) -> tuple[str | None, ...]:
    """What tells two orders of one second apart that want the same, such as two targets."""
    numbers = (signal.quantity, signal.price, signal.limit_price, signal.stop_price)
    return (*(None if number is None else str(number.normalize()) for number in numbers), str(signal.order_type))


def _digest(*parts: str | None) -> bytes:
    return hashlib.sha256(json.dumps(parts).encode()).digest()
