"""The life of a task: its statuses, the one transition table, and the fold that rebuilds a task from its log."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from eventrouter.errors import IllegalTransition


class Status(StrEnum):
    """Where a task stands. The order is the order of a task's way."""

    PENDING = "PENDING"  # waits for a router
    HELD = "HELD"  # waits for a person's approval
    SENDING = "SENDING"  # the intent is committed; the broker may have the order
    UNKNOWN = "UNKNOWN"  # sent, and nobody can yet say whether the broker has it
    REVIEW = "REVIEW"  # the broker could not tell either: a person decides
    ACCEPTED = "ACCEPTED"  # working at the broker
    SUCCESS = "SUCCESS"  # done
    FAILED = "FAILED"  # refused by the broker, or never reached it
    DENIED = "DENIED"  # refused by us, before sending
    EXPIRED = "EXPIRED"  # too old to be sent
    CANCELLED = "CANCELLED"  # withdrawn before it did anything


FINAL = frozenset({Status.SUCCESS, Status.FAILED, Status.DENIED, Status.EXPIRED, Status.CANCELLED})
OPEN = frozenset(Status) - FINAL


class Transition(NamedTuple):
    """One row of the table: from, what happened, to."""

    prev: Status | None
    event: str
    status: Status


_S = Status
TRANSITIONS: tuple[Transition, ...] = tuple(
    Transition(*row)
    for row in (
        (None, "enqueued", _S.PENDING),
        (_S.PENDING, "needs approval", _S.HELD),
        (_S.PENDING, "too old for an entry", _S.EXPIRED),
        (_S.PENDING, "a rule of ours forbids it", _S.DENIED),
        (_S.PENDING, "overtaken by its exit, mode changed, or discarded", _S.CANCELLED),
        (_S.PENDING, "intent committed", _S.SENDING),
        (_S.PENDING, "late acceptance of an earlier attempt", _S.ACCEPTED),
        (_S.PENDING, "late completion of an earlier attempt", _S.SUCCESS),
        (_S.PENDING, "may not be sent again, and its first order may be at the broker", _S.REVIEW),
        (_S.HELD, "approved", _S.PENDING),
        (_S.HELD, "refused, or overtaken by its exit", _S.CANCELLED),
        (_S.HELD, "not approved in time", _S.EXPIRED),
        (_S.SENDING, "certainly not sent, tried again later", _S.PENDING),
        (_S.SENDING, "refused by the broker, or attempts spent", _S.FAILED),
        (_S.SENDING, "certainly not sent, and too old now", _S.EXPIRED),
        (_S.SENDING, "accepted by the broker", _S.ACCEPTED),
        (_S.SENDING, "done", _S.SUCCESS),
        (_S.SENDING, "no certain answer, or the sender is gone", _S.UNKNOWN),
        (_S.UNKNOWN, "found at the broker, working", _S.ACCEPTED),
        (_S.UNKNOWN, "found at the broker, done", _S.SUCCESS),
        (_S.UNKNOWN, "found at the broker, refused", _S.FAILED),
        (_S.UNKNOWN, "certainly not there, and safe to send again", _S.PENDING),
        (_S.UNKNOWN, "not found and not provable", _S.REVIEW),
        (_S.ACCEPTED, "filled, or ended partly filled", _S.SUCCESS),
        (_S.ACCEPTED, "our cancel, nothing filled", _S.CANCELLED),
        (_S.ACCEPTED, "late refusal, expiry or cancel by the broker", _S.FAILED),
        (_S.ACCEPTED, "no longer known to the broker", _S.UNKNOWN),
        (_S.REVIEW, "late acceptance", _S.ACCEPTED),
        (_S.REVIEW, "late completion, or resolved as done", _S.SUCCESS),
        (_S.REVIEW, "operator: retry", _S.PENDING),
        (_S.REVIEW, "operator: discard", _S.CANCELLED),
        (_S.FAILED, "operator: retry", _S.PENDING),
        (_S.FAILED, "operator: discard", _S.CANCELLED),
        (_S.FAILED, "operator: resolved as done", _S.SUCCESS),
    )
)
_LEGAL = frozenset((row.prev, row.status) for row in TRANSITIONS)


def is_legal(prev: Status | None, status: Status) -> bool:
    """True for a row of the table, and for evidence: a fact that changes no status."""
    return (prev, status) in _LEGAL or prev == status


ACTIONS: Mapping[str, Mapping[Status, Status]] = {
    "approve": {_S.HELD: _S.PENDING},
    "refuse": {_S.HELD: _S.CANCELLED},
    "retry": {_S.REVIEW: _S.PENDING, _S.FAILED: _S.PENDING},
    "discard": {_S.PENDING: _S.CANCELLED, _S.HELD: _S.CANCELLED, _S.REVIEW: _S.CANCELLED, _S.FAILED: _S.CANCELLED},
    "resolve": {_S.REVIEW: _S.SUCCESS, _S.FAILED: _S.SUCCESS, _S.ACCEPTED: _S.SUCCESS},
    "hold": {_S.PENDING: _S.HELD},
}
"""What an operator may do: action → status it starts from → status it leads to. From ACCEPTED with conditions: resolving.py."""


def after_action(action: str, status: Status) -> Status:
    """The status that an operator's action leads to. Raises IllegalTransition, saying what is possible instead."""
    try:
        return ACTIONS[action][status]
    except KeyError:
        possible = sorted(name for name, moves in ACTIONS.items() if status in moves)
        if possible:
            hint = f"possible now: {', '.join(possible)}"
        elif status in FINAL:
            hint = "nothing can be done to it any more; a new alert makes a new task"
        else:
            hint = "nothing can be done to it until its outcome is known"
        raise IllegalTransition(f"A task that is {status} cannot be changed by {action!r}; {hint}.") from None


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A log row to append: what happened to which task, seen at which version. Times are seconds from now."""

    task_id: int
    version: int
    status: Status
    reason: str
    message: str | None = None
    response_code: int | None = None
    response_body: str | None = None
    response_raw: bytes | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    run_in_s: float | None = None
    lease_s: float | None = None


@dataclass(frozen=True, slots=True)
class LogRow:
    """A stored log row, as far as the fold needs it."""

    seq: int
    prev_status: str | None
    status: str
    attempt: int
    reason: str
    message: str | None
    detail: Mapping[str, Any]
    created_at: datetime
    run_at: datetime | None
    leased: bool


class Violation(NamedTuple):
    """A rule of history that a task breaks."""

    task_id: int
    rule: str
    detail: str


IDENTITY = (
    "trade_id",
    "event_type",
    "payload",
    "signal_id",
    "account",
    "lane",
    "place",
    "mode",
    "client_order_id",
    "expires_at",
    "plan",
    "retry_of",
)
"""What log row 1 (and the routing row) fix of a task."""

_DEAD = frozenset({Status.FAILED, Status.REVIEW})
_CLEARS_ERROR = frozenset({Status.SENDING, Status.ACCEPTED, Status.SUCCESS, Status.HELD})


def fold(rows: Iterable[LogRow]) -> dict[str, Any]:
    """The row of execution_tasks that these log rows add up to, bookkeeping (lease, worker, updated_at) aside."""
    state: dict[str, Any] = {}
    for row in rows:
        if row.seq == 1:
            state = {name: row.detail.get(name) for name in IDENTITY}
            state |= {"last_error": None, "last_attempt_at": None, "run_at": None}
        elif row.reason == "ROUTED":
            routed = ("account", "lane", "mode", "client_order_id", "expires_at", "plan")
            state |= {name: row.detail.get(name) for name in routed}
        elif row.reason == "OPERATOR_RETRY" and row.prev_status in _DEAD and "client_order_id" in row.detail:
            state |= {name: row.detail[name] for name in ("client_order_id", "expires_at") if name in row.detail}
        state |= {"status": row.status, "attempts": row.attempt, "version": row.seq}
        if row.status in _CLEARS_ERROR:
            state["last_error"] = None
        elif row.status != row.prev_status:
            state["last_error"] = row.message
        if row.leased:
            state["last_attempt_at"] = row.created_at
        state["run_at"] = row.run_at or state.get("run_at")
    return state


def check_history(task_id: int, rows: Sequence[LogRow]) -> list[Violation]:
    """Every rule that a task's log breaks by itself: holes, illegal pairs, attempts, more than one execution."""
    found: list[Violation] = []
    status: str | None = None
    attempt = 0
    executions = 0
    for number, row in enumerate(rows, start=1):
        where = f"log row {row.seq}"
        if row.seq != number:
            found.append(Violation(task_id, "hole", f"{where} stands where {number} was expected"))
        if row.prev_status != status:
            found.append(
                Violation(
                    task_id, "broken_chain", f"{where} says it follows {row.prev_status}, but {status} went before"
                )
            )
        if not _is_legal_text(row.prev_status, row.status):
            found.append(Violation(task_id, "illegal_transition", f"{where}: {row.prev_status} to {row.status}"))
        expected = attempt + (row.status == Status.SENDING and row.prev_status == Status.PENDING)
        if row.attempt != expected:
            found.append(Violation(task_id, "attempt", f"{where} counts attempt {row.attempt} instead of {expected}"))
        executions += row.status == Status.SUCCESS != row.prev_status
        status, attempt = row.status, row.attempt
    if executions > 1:
        found.append(Violation(task_id, "executed_twice", f"{executions} executions"))
    if not rows:
        found.append(Violation(task_id, "hole", "no log row at all"))
    return found


def _is_legal_text(prev: str | None, status: str) -> bool:
    try:
        return is_legal(None if prev is None else Status(prev), Status(status))
    except ValueError:
        return False


def late_entry(entry: LogEntry, status: Status, version: int) -> LogEntry:
    """What to append when a task moved on before this answer came: the broker's yes still counts, the rest is evidence."""
    accepted = entry.status in (Status.ACCEPTED, Status.SUCCESS)
    if accepted and status in (Status.PENDING, Status.SENDING, Status.UNKNOWN, Status.REVIEW):
        return replace(entry, version=version, reason="LATE_ACCEPTANCE", run_in_s=None)
    detail = {**entry.detail, "answered": str(entry.status), "reason": entry.reason}
    message = f"A late answer to an earlier attempt: {entry.status}. The task was {status} by then."
    return replace(
        entry, version=version, status=status, reason="LATE_ANSWER", message=message, detail=detail, run_in_s=None
    )
