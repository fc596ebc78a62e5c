"""Where a process dies, and what is wrong with the broker meanwhile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventrouter import failpoints

Trouble = Sequence[tuple[str, Mapping[str, Any]]]
_LOST: Trouble = (("drop", {"when": "after"}), ("drop", {"when": "before"}))


@dataclass(frozen=True)
class Point:
    """A failpoint, or "" for a kill at any moment. `entries`, `exits`: with what on its way it can be met."""

    name: str
    entries: bool = True
    exits: bool = True
    trouble: Trouble = ()

    def __str__(self) -> str:
        return self.name or "any moment"


def _point(name: str) -> Point:
    if name.startswith("cancel."):
        return Point(name, entries=False)
    return Point(name, trouble=_LOST if name.startswith("lookup.") else ())


POINTS: Sequence[Point] = (*map(_point, failpoints.POINTS), Point(""))
"""Every failpoint, and the kill at any moment."""

FAULTS: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("drop", {"when": "before"}),
    ("drop", {"when": "after"}),
    ("drop", {"when": "midway"}),
    ("cut", {}),
    ("http", {"when": "before", "status": 500}),
    ("http", {"when": "after", "status": 500}),
    ("http", {"when": "before", "status": 429, "retry_after_s": 1}),
    ("http", {"when": "before", "status": 401}),
    ("refuse", {"when": "after", "code": 6}),
    ("refuse", {"when": "after", "code": 7}),
    ("stall", {"when": "before", "seconds": 0.5}),
    ("stall", {"when": "after", "seconds": 0.5}),
    ("stall", {"when": "before", "seconds": 2.0}),
    ("hide", {"seconds": 0.5}),
    ("delay", {"seconds": 0.3}),
)
"""Faults of the broker's that leave what was asked for possible, each with what it is armed with."""
