"""How far a flattening is, as the log tells it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from eventrouter.domain.flattening import is_open, progress, retry_in_s

NOW = datetime(2026, 11, 23, 15, tzinfo=UTC)


def row(kind: str, **detail: Any) -> dict[str, Any]:
    """A row of the account's log."""
    return {"mode": "live", "kind": kind, "message": kind.lower(), "detail": detail, "created_at": NOW}


@pytest.mark.parametrize(
    ("kind", "detail", "age_s", "resolved", "holds", "expected"),
    [
        (None, {}, 0.0, False, False, True),
        ("FLATTEN_STARTED", {}, 0.0, False, False, True),  # whoever began it is gone, or nobody has its lock
        ("FLATTEN_STEP", {}, 0.0, False, False, True),
        ("FLATTEN_FAILED", {"retry_in_s": 4.0}, 3.9, False, False, False),
        ("FLATTEN_FAILED", {"retry_in_s": 4.0}, 4.0, False, False, True),
        ("FLAT", {}, 9.0, False, False, False),
        ("FLAT", {}, 0.0, True, False, True),
        ("FLAT", {}, 0.0, False, True, False),  # our books follow the broker's fills
        ("FLAT", {}, 9.0, False, True, True),
    ],
)
def test_what_is_to_be_done(
    kind: str | None, detail: dict[str, Any], age_s: float, resolved: bool, holds: bool, expected: bool
) -> None:
    """Everything that is not proven flat, when it is due; and a proof that something has cast doubt on."""
    assert is_open(kind, detail, age_s, resolved=resolved, holds=holds) is expected


def test_pauses_grow() -> None:
    """Up to half a minute."""
    assert [retry_in_s(failures) for failures in (1, 2, 3, 6, 1000)] == [1.0, 2.0, 4.0, 30.0, 30.0]


def test_progress() -> None:
    """Waiting, under way, not flat with what is left, and flat with all that was done."""
    step = row("FLATTEN_STEP", held=[{"contract": "C"}], working=[], cancelled=["a"], closed=["b"])
    started, flat = row("FLATTEN_STARTED"), row("FLAT", held=[], working=[], unresolved=[7])
    assert progress("one", [])["state"] == "WAITING"
    assert progress("one", [started])["state"] == "UNDER_WAY"
    failed = progress("one", [started, step, row("FLATTEN_FAILED", failures=1)])
    assert (failed["state"], failed["held"], failed["flat_at"]) == ("NOT_FLAT", [{"contract": "C"}], None)
    done = progress("one", [started, step, step, flat])
    assert (done["state"], done["cancelled"], done["closed"]) == ("FLAT", ["a", "a"], ["b", "b"])
    assert (done["flat_at"], done["unresolved"], done["held"], done["mode"]) == (NOW, [7], [], "live")
