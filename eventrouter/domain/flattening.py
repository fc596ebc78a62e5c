"""How a flattening goes, as an account's log tells it: when it is tried again, and what proves that the account is flat."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

_RETRY_FIRST_S = 1.0
_RETRY_LONGEST_S = 30.0
_BOOKS_FOLLOW_S = 2.0


class Kind(StrEnum):
    """Rows of an account's log about a flattening. Each names its control."""

    STARTED = "FLATTEN_STARTED"
    STEP = "FLATTEN_STEP"  # what was cancelled and closed, with the broker's answers
    WAITS = "FLATTEN_WAITS"  # for what is on its way to the broker, and until when
    FLAT = "FLAT"  # the proof: the broker was read again and showed nothing
    FAILED = "FLATTEN_FAILED"  # why, and when it is tried again
    WITHDRAWN = "FLATTEN_WITHDRAWN"  # resumed before it was done


def retry_in_s(failures: int) -> float:
    """Seconds until a flattening that failed so often is tried again."""
    return min(_RETRY_LONGEST_S, _RETRY_FIRST_S * 2.0 ** min(max(failures, 1) - 1, 10))


def is_open(kind: str | None, detail: Mapping[str, Any], age_s: float, *, resolved: bool, holds: bool) -> bool:
    """Whether something is to be done now: it never began, broke off, is due again, or has to be verified again.

    What our own books hold after the proof may be older than it: that is verified when they had time to follow.
    """
    if kind == Kind.FLAT:
        return resolved or (holds and age_s >= _BOOKS_FOLLOW_S)
    return kind != Kind.FAILED or age_s >= float(detail.get("retry_in_s", 0.0))


def progress(account: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How far an account is: FLAT, NOT_FLAT, UNDER_WAY or WAITING (no router took it), with all that was done to get there.

    `rows` are those of its log about one flattening, in order. `exits`: the tasks that close its trades, where it is not done at
    the broker.
    """
    steps = [row["detail"] for row in rows if row["kind"] == Kind.STEP]
    found: dict[str, Any] = {
        "account": account,
        "mode": rows[-1]["mode"] if rows else None,
        "state": "WAITING",
        "cancelled": [each for step in steps for each in step.get("cancelled", ())],
        "closed": [each for step in steps for each in step.get("closed", ())],
        "exits": sorted({each["task"] for step in steps for each in step.get("held", ()) if each.get("task")}),
        "flat_at": None,
        "unresolved": [],
        "held": [],
        "working": [],
        "message": rows[-1]["message"] if rows else "No router that claims this account has taken it yet.",
    }
    if not rows:
        return found
    last = rows[-1]
    found["state"] = {Kind.FLAT: "FLAT", Kind.FAILED: "NOT_FLAT"}.get(last["kind"], "UNDER_WAY")
    if last["kind"] == Kind.FLAT:
        found |= {"flat_at": last["created_at"], "unresolved": last["detail"].get("unresolved", [])}
    else:
        seen: Mapping[str, Any] = next((row["detail"] for row in reversed(rows) if "held" in row["detail"]), {})
        found |= {"held": seen.get("held", []), "working": seen.get("working", [])}
    return found
