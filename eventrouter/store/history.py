"""Verify: folds every task's and account's log and compares the result with what stands, streaming, in one snapshot."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eventrouter.domain.book import Book, BookEvent
from eventrouter.domain.book import fold as fold_book
from eventrouter.domain.ledger import Execution, Intent, check_executions
from eventrouter.domain.tasks import IDENTITY, LogRow, Violation, check_history, fold
from eventrouter.store.connect import Conn, translated
from eventrouter.store.files import query

_COMPARED = (*IDENTITY, "status", "attempts", "version", "last_error", "last_attempt_at")
MOST_VIOLATIONS = 1000
_TOO_OLD_GRACE_S = 5.0  # between the moment when a claim decides and that of its row


@dataclass(frozen=True, slots=True)
class Verification:
    """What was counted and what is wrong (at most a thousand violations of tasks' logs are listed).

    A violation of an account, which is no task's, has the task id 0. `executions`: of a broker's ledger, None without one.
    """

    tasks: int
    log_rows: int
    intents: int
    executions: int | None
    violations: tuple[Violation, ...]


async def verify(
    conn: Conn, executions: Sequence[Execution] | None = None, numbers: Mapping[str, int] | None = None
) -> Verification:
    """Checks the invariants of history for the whole database. `conn` must be in autocommit.

    `executions` are a simulated broker's, to be compared with the intents; `numbers`: its accounts by our names for them.
    """
    violations: list[Violation] = []
    tasks = log_rows = intents = 0
    async with translated("verify"), conn.transaction():
        await conn.execute(query("repeatable_read"))
        logs = _Logs(stream(conn, "all_logs"))
        async for row in stream(conn, "all_tasks"):
            tasks += 1
            orphans = await logs.before(row[0])
            history = await logs.before(row[0] + 1)
            rows = [_log_row(log) for log in history]
            log_rows += len(orphans) + len(history)
            if len(violations) < MOST_VIOLATIONS:
                violations += _without_task(orphans)
                violations += check_history(row[0], rows)
                violations += _compare(row, rows)
        orphans = await logs.before(None)
        log_rows += len(orphans)
        violations += _without_task(orphans)
        async for order_id, ids in stream(conn, "repeated_order_ids"):
            violations.append(Violation(ids[0], "order_id_repeated", f"{order_id} belongs to the tasks {ids}"))
        violations += [violation async for violation in _accounts(conn)]
        violations += [violation async for violation in _fills(conn)]
        violations += [violation async for violation in _dead_letters(conn)]
        violations += [violation async for violation in _forbidden(conn)]
        sent = await _intents(conn, numbers or {})
        intents = sum(map(len, sent.values()))
        if executions is not None:
            violations += check_executions(executions, sent)
    told = None if executions is None else len(executions)
    return Verification(tasks, log_rows, intents, told, tuple(violations))


async def _intents(conn: Conn, numbers: Mapping[str, int]) -> dict[str, list[Intent]]:
    """Client order id → its intents, the oldest first; those of a log that names no id stand under an empty one."""
    found: defaultdict[str, list[Intent]] = defaultdict(list)
    async for task_id, event_type, account, at, detail in stream(conn, "intents"):
        intent = Intent(task_id, event_type, numbers.get(account), at, detail)
        found[str(detail.get("client_order_id") or "")].append(intent)
    return found


async def _forbidden(conn: Conn) -> AsyncIterator[Violation]:
    """What was sent while it was halted or too old, and outcomes that are not the sender's."""
    async for task_id, seq, at, scope, action, since in stream(conn, "sent_while_halted"):
        said = f"log row {seq}: sent at {at}, after the {action} of {scope} at {since}"
        yield Violation(task_id, "sent_while_halted", said)
    async for task_id, seq, reason, actor, sender in stream(conn, "answered_by_others"):
        said = f"log row {seq}: {actor} says {reason} of an attempt that {sender} made"
        yield Violation(task_id, "not_the_senders_answer", said)
    async for task_id, seq, at, expires_at in stream(conn, "sent_too_old", grace=_TOO_OLD_GRACE_S):
        yield Violation(task_id, "sent_too_old", f"log row {seq}: sent at {at}, too old since {expires_at}")


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


async def _accounts(conn: Conn) -> AsyncIterator[Violation]:
    """Where an account's state is not what its log adds up to, or its money not what its fills do."""
    last: tuple[str, str] | None = None
    book, expected = Book(), 1
    async for account, mode, seq, kind, detail, state in stream(conn, "all_account_logs"):
        if (account, mode) != last:
            last, book, expected = (account, mode), Book(), 1
        where = f"{account} ({mode}), row {seq}"
        if seq != expected:
            yield Violation(0, "account_hole", f"{where} stands where {expected} was expected")
        stands = Book.from_json(state)
        if (folded := fold_book(book, BookEvent(kind, detail))) != stands:
            yield Violation(0, "account_not_the_fold", f"{where} says {stands}, but its log adds up to {folded}")
        book, expected = stands, seq + 1
    async for account, mode, pnl, fee, filled_pnl, filled_fee in stream(conn, "booked_astray"):
        said = (
            f"{account} ({mode}) booked {pnl} and fees of {fee}, but its fills made {filled_pnl} and cost {filled_fee}"
        )
        yield Violation(0, "booked_not_the_fills", said)


async def _fills(conn: Conn) -> AsyncIterator[Violation]:
    """Where holdings, logs and sizes do not agree with the fills."""
    async for account, mode, trade, contract, stands, filled in stream(conn, "holdings_astray"):
        said = f"{trade} on {account} ({mode}) has {contract}: {stands}, but its fills add up to {filled}"
        yield Violation(0, "holding_not_the_sum", said)
    async for task_id, fill_id, part, told, made in stream(conn, "fills_astray"):
        said = f"fill {fill_id}, part {part}: its log row says {told}, the fill {made}"
        yield Violation(task_id, "fill_not_in_log" if told is None else "log_not_the_fill", said)
    async for task_id, filled, quantity in stream(conn, "overfilled"):
        yield Violation(task_id, "filled_too_much", f"{filled} filled of an order of {quantity}")


async def _dead_letters(conn: Conn) -> AsyncIterator[Violation]:
    """Where dead letters are not what the logs of their tasks say."""
    async for task_id, seq, told, stands in stream(conn, "letters_astray"):
        said = f"log row {seq} says {told or 'nothing of it'}, the letter {stands or 'is missing'}"
        yield Violation(task_id, "letter_not_the_log", said)


async def stream(conn: Conn, name: str, **values: Any) -> AsyncIterator[Sequence[Any]]:
    """The rows of a named query, a portion at a time; inside a transaction."""
    async with conn.cursor(name=name) as cursor:
        cursor.itersize = 2000
        await cursor.execute(query(name), values or None)
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
