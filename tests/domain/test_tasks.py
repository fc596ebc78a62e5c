"""The life of a task: one transition table, and a log that adds up to the task."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventrouter.domain.tasks import (
    ACTIONS,
    FINAL,
    IDENTITY,
    OPEN,
    TRANSITIONS,
    LogEntry,
    LogRow,
    Status,
    after_action,
    check_history,
    fold,
    is_legal,
    late_entry,
)
from eventrouter.errors import IllegalTransition

LIFE = {
    None: "PENDING",
    "PENDING": "HELD SENDING ACCEPTED SUCCESS DENIED EXPIRED CANCELLED REVIEW",
    "HELD": "PENDING CANCELLED EXPIRED",
    "SENDING": "PENDING UNKNOWN ACCEPTED SUCCESS FAILED EXPIRED",
    "UNKNOWN": "PENDING REVIEW ACCEPTED SUCCESS FAILED",
    "REVIEW": "PENDING ACCEPTED SUCCESS CANCELLED",
    "ACCEPTED": "SUCCESS FAILED CANCELLED UNKNOWN",
    "FAILED": "PENDING SUCCESS CANCELLED",
}
PAIRS = {(prev, status) for prev, following in LIFE.items() for status in following.split()}
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
BORN = {name: f"its {name}" for name in IDENTITY}


def row(seq: int, prev: str | None, status: str, *, attempt: int = 0, **more: Any) -> LogRow:
    """A log row, one second after the one before."""
    values: dict[str, Any] = {
        "reason": "R",
        "message": None,
        "detail": {},
        "run_at": None,
        "leased": status == "SENDING" != prev,
    }
    return LogRow(seq, prev, status, attempt, created_at=NOON + timedelta(seconds=seq), **{**values, **more})


def history(*statuses: str) -> list[LogRow]:
    """The log of a task that went this way."""
    rows: list[LogRow] = []
    attempt = 0
    for seq, (prev, status) in enumerate(zip([None, *statuses], statuses, strict=False), start=1):
        attempt += (prev, status) == ("PENDING", "SENDING")
        rows.append(row(seq, prev, status, attempt=attempt, detail=BORN if seq == 1 else {}))
    return rows


def test_transition_table() -> None:
    """The table is the design's, each pair once; evidence, which changes no status, is legal everywhere."""
    table = [(transition.prev, transition.status) for transition in TRANSITIONS]
    assert sorted(table, key=str) == sorted(PAIRS, key=str)
    for prev in (None, *Status):
        for status in Status:
            assert is_legal(prev, status) == ((prev, status) in PAIRS or prev == status), (prev, status)


def test_final_statuses_end_a_task() -> None:
    """Nothing follows a final status, except that an operator may take up a failed task again."""
    assert {prev for prev, _ in PAIRS if prev in FINAL} == {"FAILED"}
    assert set(Status) == FINAL | OPEN
    assert not FINAL & OPEN


@pytest.mark.parametrize("status", Status)
def test_actions(status: Status) -> None:
    """An operator's action leads along the table, or is refused with what is possible instead."""
    possible = sorted(name for name, moves in ACTIONS.items() if status in moves)
    for action in (*ACTIONS, "explode"):
        if action in possible:
            assert (status, after_action(action, status)) in PAIRS
            continue
        with pytest.raises(IllegalTransition, match=", ".join(possible) or "nothing can be done"):
            after_action(action, status)


def test_actions_of_the_design() -> None:
    """Approve and refuse are for held tasks; retry and discard for what waits for a person."""
    assert [after_action(name, Status.HELD) for name in ("approve", "refuse")] == ["PENDING", "CANCELLED"]
    for waiting in (Status.REVIEW, Status.FAILED):
        assert [after_action(name, waiting) for name in ("retry", "discard")] == ["PENDING", "CANCELLED"]


@pytest.mark.parametrize("stood", Status)
@pytest.mark.parametrize("answered", ["PENDING", "ACCEPTED", "SUCCESS", "FAILED", "UNKNOWN", "EXPIRED"])
def test_late_answer(answered: str, stood: Status) -> None:
    """A late yes still moves an unfinished task; every other late answer is kept as evidence and changes nothing."""
    entry = LogEntry(7, 3, Status(answered), "DONE", response_body="the answer", detail={"order": 1}, run_in_s=5.0)
    late = late_entry(entry, stood, 9)
    counts = answered in ("ACCEPTED", "SUCCESS") and stood in ("PENDING", "SENDING", "UNKNOWN", "REVIEW")
    assert late.status == (answered if counts else stood)
    assert is_legal(stood, late.status)
    assert (late.task_id, late.version, late.response_body, late.run_in_s) == (7, 9, "the answer", None)
    assert late.detail["order"] == 1
    if not counts:
        assert late.detail["answered"] == answered
        assert answered in (late.message or "")


def test_fold() -> None:
    """A log adds up to its task: identity from row 1 and the routing row, the latest error, attempt and due time."""
    due = NOON + timedelta(minutes=1)
    routed: dict[str, Any] = {
        "account": "a",
        "lane": "a/NQ",
        "mode": "dry",
        "client_order_id": "c",
        "expires_at": None,
        "plan": {},
    }
    rows = [
        row(1, None, "PENDING", detail=BORN),
        row(2, "PENDING", "PENDING", reason="ROUTED", detail=routed),
        row(3, "PENDING", "SENDING", attempt=1),
        row(4, "SENDING", "PENDING", attempt=1, message="no route to host", run_at=due),
        row(5, "PENDING", "PENDING", attempt=1, message="a late answer"),
    ]
    waiting = {**BORN, **routed, "status": "PENDING", "attempts": 1, "version": 5, "last_error": "no route to host"}
    assert fold(rows) == {**waiting, "last_attempt_at": rows[2].created_at, "run_at": due}
    rows.append(row(6, "PENDING", "SENDING", attempt=2))
    sending = {**waiting, "status": "SENDING", "attempts": 2, "version": 6, "last_error": None}
    assert fold(rows) == {**sending, "last_attempt_at": rows[5].created_at, "run_at": due}
    assert fold([]) == {}


def test_legal_histories_break_no_rule() -> None:
    """Whatever way of six steps a task takes through the table, with evidence after each or without, breaks no rule."""
    ways = [["PENDING"]]
    for way in ways:
        if len(way) <= 6:
            ways += [[*way, status] for prev, status in PAIRS if prev == way[-1]]
    wrong = [way for way in ways if check_history(1, history(*way))]
    doubled = [[status for status in way for _ in range(2)] for way in ways]
    wrong += [way for way in doubled if check_history(1, history(*way))]
    assert not wrong, f"{len(wrong)} of {len(ways)}, the shortest: {min(wrong, key=len)}"


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        ("hole", []),
        ("hole", [history("PENDING", "SENDING", "SUCCESS")[i] for i in (0, 2)]),
        ("hole", history("PENDING", "SENDING")[1:]),
        ("broken_chain", [*history("PENDING"), row(2, "HELD", "PENDING")]),
        ("illegal_transition", history("PENDING", "SENDING", "HELD")),
        ("illegal_transition", history("SENDING")),
        ("illegal_transition", history("PENDING", "NO SUCH STATUS")),
        ("attempt", [*history("PENDING"), row(2, "PENDING", "SENDING", attempt=2)]),
        ("attempt", [*history("PENDING", "SENDING"), row(3, "SENDING", "SUCCESS", attempt=2)]),
        ("executed_twice", history("PENDING", "SENDING", "SUCCESS", "PENDING", "SENDING", "SUCCESS")),
    ],
)
def test_broken_histories_are_found(rule: str, rows: list[LogRow]) -> None:
    """Each rule that a log can break is named, with the task that breaks it."""
    found = check_history(42, rows)
    assert rule in {violation.rule for violation in found}
    assert {violation.task_id for violation in found} == {42}


def test_one_change_is_one_violation() -> None:
    """A single wrong number is not reported as more than it is."""
    rows = history("PENDING", "SENDING", "SUCCESS")
    rows[2] = replace(rows[2], seq=4)
    assert [violation.rule for violation in check_history(1, rows)] == ["hole"]
