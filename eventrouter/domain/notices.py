"""What people are told, and how it is worded: one notice for each event that somebody may have to act on. Pure.

Texts of alerts and brokers stand in notices, so they are made harmless first: one line, short, and no mention of anybody.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

MOST_LINES = 20
_MOST_TITLE = 150
_MOST_BODY = 600
_MOST_LINE = 240
_MOST_MESSAGE = 1800  # Discord takes 2,000 characters
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")


class Kind(StrEnum):
    """What a notice is about; each can be switched off."""

    DEAD_LETTER = "dead_letter"  # a task FAILED
    REVIEW = "review"  # a task whose outcome only a person can find out
    OUT_OF_SYNC = "out_of_sync"  # what an account holds differs from the broker's view, and when they agree again
    LATE_FILL = "late_fill"  # an order filled after its task or its trade was over
    UNPROTECTED = "unprotected"  # the stop of an entry was refused
    HALT = "halt"  # halts, resumes and flattenings, also those that nobody asked for
    LIMIT = "limit"  # a loss limit is near, or reached
    CONNECTOR = "connector"  # a broker's login cannot be used, and when it can again
    LISTENER = "listener"  # notifications of the database do not arrive, and when they do again
    DATABASE = "database"  # Postgres is away, and when it is back
    SILENCE = "silence"  # a strategy is not heard of for longer than expected, and when it is again


class Severity(StrEnum):
    """How bad it is, from what is good to know to what cannot wait."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for what is good to know."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell. `topic`: what must be told once only, also by several processes; None: each time."""

    kind: Kind
    severity: Severity
    title: str
    body: str
    account: str | None = None
    task_id: int | None = None
    topic: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A row of history: `source` task, account or control, with the columns of the query notable_events.

    `what`: the status, the kind, the action. `subject`: the trade, or the control's scope. `control`: its id.
    """

    source: str
    at: datetime
    account: str | None
    mode: str | None
    task_id: int | None
    what: str
    code: str | None
    message: str | None
    actor: str
    subject: str | None
    event_type: str | None
    control: str | None


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: one notice, or several together."""

    title: str
    body: str
    severity: Severity


def harmless(text: str, most: int) -> str:
    """The text on one line, at most so long, and unable to call anybody (@everyone)."""
    line = " ".join(_UNPRINTABLE.sub(" ", text).replace("@", "(at)").split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def notice_of(event: Event) -> Notice | None:
    """What to tell of a row of history; None: nothing."""
    match event.source:
        case "task":
            return _of_task(event)
        case "account":
            return _of_account(event)
        case _:
            return _of_control(event)


def _of_task(event: Event) -> Notice:
    kind, severity, word, advice = _task_words(event)
    dry = " (dry run)" if event.mode == "dry" else ""
    title = f"{word}: {event.event_type} of {event.subject} on {event.account or 'no account'}{dry}"
    said = event.message or ""
    reason = f"{event.code}: {said}" if event.code else said
    return _notice(event, kind, severity, title, f"Task {event.task_id}. {reason} {advice}")


def _task_words(event: Event) -> tuple[Kind, Severity, str, str]:
    if event.code == "LATE_FILL":
        return Kind.LATE_FILL, Severity.CRITICAL, "Late fill", "Look at the broker's position now."
    if event.code == "EARLIER_ORDER":
        return Kind.LATE_FILL, Severity.CRITICAL, "Two orders of one task", f"See eventrouter logs {event.task_id}."
    if event.what == "REVIEW":
        advice = f"Look at the broker, then retry or discard it: eventrouter logs {event.task_id}."
        return Kind.REVIEW, Severity.CRITICAL, "REVIEW", advice
    if event.what == "FAILED":
        return Kind.DEAD_LETTER, Severity.ERROR, "FAILED", f"See eventrouter logs {event.task_id}."
    if event.event_type == "EXIT_LATE":
        return Kind.LATE_FILL, Severity.WARNING, "Late fill", "It is being closed."
    return Kind.UNPROTECTED, Severity.CRITICAL, "Unprotected position", "It is being closed; see that it is."


def _of_account(event: Event) -> Notice | None:
    said = event.message or ""
    words: Mapping[str, tuple[Kind, Severity, str]] = {
        "OUT_OF_SYNC": (Kind.OUT_OF_SYNC, Severity.CRITICAL, f"{event.account} is out of sync"),
        "IN_SYNC": (Kind.OUT_OF_SYNC, Severity.INFO, f"{event.account} is in sync again"),
        "FLAT": (Kind.HALT, Severity.INFO, f"{event.account} is flat"),
        "FLATTEN_FAILED": (Kind.HALT, Severity.CRITICAL, f"{event.account} could not be flattened"),
    }
    if event.what not in words:
        return None
    kind, severity, title = words[event.what]
    topic = f"flatten/{event.account}/{event.mode}/{event.control}" if event.what == "FLATTEN_FAILED" else None
    if event.what == "OUT_OF_SYNC":
        said += " No entries until it is resolved: eventrouter accounts."
    return _notice(event, kind, severity, title, said, topic)


def _of_control(event: Event) -> Notice:
    words = {
        "halt": (Severity.WARNING, "Halted"),
        "reduce": (Severity.WARNING, "Closing only"),
        "flatten": (Severity.ERROR, "Flattening"),
        "resume": (Severity.INFO, "Resumed"),
    }
    severity, word = words.get(event.what, (Severity.WARNING, event.what))
    body = f"By {event.actor}. {event.message or ''}"
    return _notice(event, Kind.HALT, severity, f"{word}: {event.subject}", body)


def _notice(event: Event, kind: Kind, severity: Severity, title: str, body: str, topic: str | None = None) -> Notice:
    account = event.account
    if account is None and event.subject is not None and event.subject.startswith("account:"):
        account = event.subject.removeprefix("account:")
    return Notice(
        kind,
        severity,
        harmless(title, _MOST_TITLE),
        harmless(body, _MOST_BODY),
        account,
        event.task_id,
        topic,
        event.at,
    )


def plain_notice(
    kind: Kind, severity: Severity, title: str, body: str, *, topic: str, at: datetime, account: str | None = None
) -> Notice:
    """A notice of something that is no row of history."""
    return Notice(kind, severity, harmless(title, _MOST_TITLE), harmless(body, _MOST_BODY), account, topic=topic, at=at)


def left_out(source: str, most: int, at: datetime) -> Notice:
    """Tells that more happened than was read."""
    where = {"task": "eventrouter dead", "control": "eventrouter accounts"}.get(source, "eventrouter accounts")
    kind = {"task": Kind.DEAD_LETTER, "account": Kind.OUT_OF_SYNC}.get(source, Kind.HALT)
    body = f"Only the last {most} are listed in `eventrouter alerts list`; see {where} for the rest."
    return Notice(kind, Severity.ERROR, f"More than {most} events at once ({source})", body, at=at)


def message_of(notices: Sequence[Notice]) -> Message:
    """One message for all of them; at least one. The worst stand first, and how many find no room is said at the end."""
    worst = max((each.severity for each in notices), key=lambda severity: severity.rank)
    if len(notices) == 1:
        return Message(f"eventrouter: {notices[0].title}", notices[0].body, worst)
    ordered = sorted(notices, key=lambda each: -each.severity.rank)
    title = f"eventrouter: {len(notices)} notices: {_counted(ordered)}"
    lines: list[str] = []
    length = 0
    for each in ordered[:MOST_LINES]:
        line = harmless(f"{_clock(each.at)}{each.title}. {each.body}", _MOST_LINE)
        length += len(line) + 1
        if length > _MOST_MESSAGE:
            break
        lines.append(line)
    if over := len(notices) - len(lines):
        lines.append(f"{over} more are left out here; see `eventrouter alerts list`.")
    return Message(title, "\n".join(lines), worst)


def _counted(notices: Iterable[Notice]) -> str:
    counts = Counter(each.kind for each in notices)
    return ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items())


def _clock(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(UTC):%H:%M:%S} "
