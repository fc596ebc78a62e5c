"""How long an order took from phase to phase: received, stored, claimed, sent, acknowledged, filled. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

PHASES = (
    ("stored", "from the alert's receipt until it is stored"),
    ("claimed", "until a router takes it and records what it will send, or decides against it"),
    ("sent", "until the order leaves"),
    ("acknowledged", "until the broker's answer is recorded"),
    ("filled", "until it is done"),
)
"""What each part of a strip is, in order."""


def phases(received: datetime | None, stored: datetime, moments: Mapping[str, Any]) -> list[tuple[str, float]]:
    """(phase, seconds) as far as the order came; `moments` as store/desk_tasks.py has them.

    The alert's receipt is told by the web host's clock and the rest by the database's: what would be negative is zero.
    """
    marks: list[datetime | None] = [received or stored, stored, moments["claimed"] or moments["decided"]]
    if moments["claimed"] is not None and moments["acknowledged"] is not None:
        took = timedelta(milliseconds=moments["took_ms"] or 0)
        marks += [max(moments["claimed"], moments["acknowledged"] - took), moments["acknowledged"], moments["done"]]
    made = []
    for (word, _), before, after in zip(PHASES, marks, marks[1:], strict=False):
        if before is None or after is None:
            break
        made.append((word, max(0.0, (after - before).total_seconds())))
    return made
