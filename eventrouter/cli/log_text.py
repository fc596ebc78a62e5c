"""Logs of tasks as people read them: what happened when, in what size and why. `logs --json` has all of it."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from eventrouter.domain.tasks import Status
from eventrouter.domain.telling import calculation, told, waits_behind

Row = Mapping[str, Any]
Told = tuple[Row, Sequence[Row]]
"""A task and the rows of its log."""


def log_lines(task: Row, rows: Sequence[Row], width: int | None = None) -> Iterator[str]:
    """The lines of a log; times are milliseconds since the alert came. Who wrote a row stands behind it when that changes.

    `width`: columns that a line may have, None for any.
    """
    number = task["client_order_id"] or "not drawn yet"
    account = task["account"] or "no account yet"
    yield f"Task {task['id']}: {account}, {task['event_type']} {task['trade_id']}, {task['mode']} mode, client order id {number}"
    columns = [(row["status"], row["reason"]) for row in rows]
    widths = [max(map(len, column)) for column in zip(*columns, strict=True)]
    actor = None
    for row in rows:
        by = f" (by {row['actor']})" if row["actor"] != actor else ""
        actor = row["actor"]
        first, *others = list(told(task, row)) or [""]
        words = [f"{word:<{size}}" for word, size in zip((row["status"], row["reason"]), widths, strict=True)]
        head = f"{_ms(task, row):>12} ms  {'  '.join(words)}  "
        yield from _wrapped(head, [f"{first}{by}".strip(), *others], width)
    if behind := task.get("behind"):
        yield from _wrapped(" " * 17, [waits_behind(behind)], width)


def summary_lines(tasks: Sequence[Told], width: int | None = None) -> Iterator[str]:
    """One line for each task of an alert: contracts, milliseconds to its intent and to its end, how it ended and why."""
    rows = [_summary(task, log) for task, log in tasks]
    titles = ("account", "size", "intent", "end", "status", "")
    sizes = [max(len(row[place]) for row in (titles, *rows)) for place in range(5)]
    for row in (titles, *rows):
        account, *numbers, status = (
            f"{word:{align}{size}}" for word, align, size in zip(row, "<>>><", sizes, strict=False)
        )
        yield from _wrapped("  ".join((f"  {account}", *numbers, status, "")), [row[5]], width)


def _summary(task: Row, rows: Sequence[Row]) -> tuple[str, ...]:
    intent = next((row for row in reversed(rows) if row["reason"] == "INTENT"), None)
    # what is written down after the end is about other tasks
    end = next((row for row in rows if row["status"] == task["status"]), rows[-1])
    detail = intent["detail"] or {} if intent else {}
    fills = [row for row in rows if row["reason"] == "FILL"]
    why = calculation(detail)
    if task["status"] != Status.SUCCESS:
        why = f"{end['reason']}: {end['message'] or ''}"
    elif why is None and fills:
        why = " ".join(sentence for row in fills for sentence in told(task, row))
    return (
        task["account"] or "-",
        str(detail.get("quantity") or "-"),
        f"{_ms(task, intent)} ms" if intent else "-",
        f"{_ms(task, end)} ms",
        task["status"],
        why or "",
    )


def _ms(task: Row, row: Row) -> str:
    return f"{(row['created_at'] - (task['received_at'] or task['created_at'])).total_seconds() * 1000:,.1f}"


def _wrapped(head: str, sentences: Sequence[str], width: int | None) -> Iterator[str]:
    """The first sentence behind the head, the others below it; a sentence that is too long goes on below itself."""
    room = None if width is None else max(40, width - len(head))
    lines = [line for each in sentences for line in (textwrap.wrap(each, room) if room else [each])] or [""]
    yield f"{head}{lines[0]}".rstrip()
    yield from (f"{' ' * len(head)}{line}" for line in lines[1:])
