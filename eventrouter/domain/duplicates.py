"""What makes two alerts the same one."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

KNOWN_FOR_S = 7 * 86_400.0
"""How long an alert that names itself is remembered: far longer than any sender goes on repeating."""


@dataclass(frozen=True, slots=True)
class DuplicateKey:
    """Alerts of one strategy with the same key are one alert until `window_s` seconds after the first was received."""

    key: bytes
    window_s: float


def duplicate_key(
    raw: bytes,
    *,
    source_id: str | None = None,
    fire_time: datetime | None = None,
    identity: tuple[str | None, ...] = (),
    window_s: float = 30.0,
) -> DuplicateKey | None:
    """The sender's own id, else what it asks for and when it fired, else the very same bytes within `window_s` seconds.

    `identity` tells alerts of one second apart: symbol, action, order id, position. `window_s` of 0 switches the last
    rule off (None is returned): a static alert that repeats faster than that is meant to.
    """
    if source_id:
        return DuplicateKey(_digest("id", source_id), KNOWN_FOR_S)
    if fire_time is not None:
        return DuplicateKey(_digest("fired", fire_time.isoformat(), *identity), KNOWN_FOR_S)
    if window_s <= 0:
        return None
    return DuplicateKey(_digest("body", raw.hex()), window_s)


def _digest(*parts: str | None) -> bytes:
    return hashlib.sha256(json.dumps(parts).encode()).digest()
