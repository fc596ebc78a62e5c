"""Verify: folds every task's log and compares the result with the task's row, streaming, in one snapshot."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eventrouter.domain.tasks import IDENTITY, LogRow, Violation, check_history, fold
from eventrouter.store.connect import Conn, translated
from eventrouter.store.files import query

_COMPARED = (*IDENTITY, "status", "attempts", "version", "last_error", "last_attempt_at")
_MOST_VIOLATIONS = 1000


@dataclass(frozen=True, slots=True)
class Verification:
    """What was counted and what is wrong (at most a thousand violations are listed)."""

    tasks: int
    log_rows: int
    violations: tuple[Violation, ...]


async def verify(conn: Conn) -> Verification:
    """Checks the invariants of history for the whole database. `conn` must be in autocommit."""
    violations: list[Violation] = []
    tasks = log_rows = 0
    async with translated("verify"), conn.transaction():
        await conn.execute(query("repeatable_read"))
        logs = _Logs(_stream(conn, "all_logs"))
        async for row in _stream(conn, "all_tasks"):
            tasks += 1
            orphans = await logs.before(row[0])
            history = await logs.before(row[0] + 1)
            rows = [_log_row(log) for log in history]
            log_rows += len(orphans) + len(history)
            if len(violations) < _MOST_VIOLATIONS:
                violations += _without_task(orphans)
                violations += check_history(row[0], rows)
                violations += _compare(row, rows)
        orphans = await logs.before(None)
        log_rows += len(orphans)
        violations += _without_task(orphans)
        async for order_id, ids in _stream(conn, "repeated_order_ids"):
            violations.append(Violation(ids[0], "order_id_repeated", f"{order_id} belongs to the tasks {ids}"))
    return Verification(tasks, log_rows, tuple(violations))


def _compare(row: Sequence[Any], history: Sequence[LogRow]) -> list[Violation]:
    """Where the row of execution_tasks is not what its log adds up to."""
    names = (*IDENTITY, "status", "attempts", "version", "last_error", "last_attempt_at", "run_at", "created_at")
    stands = dict(zip(names, row[1:], strict=True))
    folded = fold(history)
    if not folded:
        return []
    if isinstance(folded["expires_at"], str):
        folded["expires_at"] = datetime.fromisoformat(folded["expires_at"])
    folded["run_at"] = folded["run_at"] or stands["created_at"]
    return [
        Violation(row[0], "not_the_fold", f"{name} is {stands[name]!r}, but its log says {folded[name]!r}")
        for name in (*_COMPARED, "run_at")
        if stands[name] != folded[name]
    ]


async def _stream(conn: Conn, name: str) -> AsyncIterator[Sequence[Any]]:
    async with conn.cursor(name=name) as cursor:
        cursor.itersize = 2000
        await cursor.execute(query(name))
        async for row in cursor:
            yield row


def _log_row(log: Sequence[Any]) -> LogRow:
    """A row of the query all_logs: its payload joins the other details again."""
    *before, detail, payload, created_at, run_at, leased = log[1:]
    details = {**(detail if isinstance(detail, dict) else {}), "payload": payload}
    values = [*before, details, created_at, run_at, leased]
    return LogRow(*values)


def _without_task(orphans: Sequence[Sequence[Any]]) -> list[Violation]:
    return [
        Violation(task_id, "log_without_task", "its log rows belong to no task")
        for task_id in sorted({row[0] for row in orphans})
    ]


class _Logs:
    """Hands out the rows of one stream in portions; both streams are ordered by task."""

    def __init__(self, rows: AsyncIterator[Sequence[Any]]) -> None:
        self._rows = rows
        self._next: Sequence[Any] | None = None

    async def before(self, task_id: int | None) -> list[Sequence[Any]]:
        """The rows not handed out yet whose task has a lower id (None: all of them)."""
        found: list[Sequence[Any]] = []
        while True:
            row = self._next if self._next is not None else await anext(self._rows, None)
            self._next = row
            if row is None or (task_id is not None and row[0] >= task_id):
                return found
            self._next = None
            found.append(row)
