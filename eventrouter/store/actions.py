"""What an operator does to a task: approve, refuse, hold, retry, discard, resolve; in one transaction, with actor and reason."""

import json
from collections.abc import Mapping
from typing import Any

from psycopg.rows import dict_row

from eventrouter.domain.dead_letters import Retry, RetryFacts, expires_anew, obstacle, suggestion
from eventrouter.domain.edits import edited
from eventrouter.domain.resolving import Resolve, resolved, why_not_resolved
from eventrouter.domain.tasks import LogEntry, Status, after_action
from eventrouter.errors import MovedOn, RetryRefused, UnknownTask
from eventrouter.store.books import lock_books
from eventrouter.store.connect import Conn, translated
from eventrouter.store.files import query
from eventrouter.store.reports import MOST_ROWS, Row, rows_of, task
from eventrouter.store.tasks import append, task_state

_AS_ASKED = Retry()
_AS_DONE = Resolve()


async def dead_letters(
    conn: Conn,
    *,
    closed: bool = False,
    task_id: int | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Row]:
    """Dead letters, newest first: `id` is the task's, `letter` its own, which `before` pages by; `closed` ones too.

    {letter, id, status, code, message, suggestion, evidence, client_order_id, opened_at, closed_at, closed_by, closed_how,
    closed_reason} and columns of the task, whose status now is `task_status`. `evidence`: db/functions/dead_letter_evidence.sql.
    """
    values = {"closed": closed, "task": task_id, "before": before, "limit": min(limit, MOST_ROWS)}
    found = await rows_of(conn, "letters", values)
    return [{**row, "suggestion": suggestion(row["code"], row["status"])} for row in found]


async def act(
    conn: Conn,
    task_id: int,
    action: str,
    *,
    actor: str,
    reason: str | None = None,
    retry: Retry = _AS_ASKED,
    resolve: Resolve = _AS_DONE,
    seen: int | None = None,
) -> Row:
    """An operator's action on a task; returns the task after it, or the new task where `retry` changes it.

    `seen`: the task's version that whoever acts has looked at; nothing is done once it has moved on. None: as it stands now.
    A retry is a new generation: the order as it was sized, under a new client order id, and every limit asked anew. An ACCEPTED
    task is resolved where its order does not work and its end does not come. Raises
    UnknownTask, IllegalTransition when the action is not possible now, RetryRefused with what stands in the way, ChangeWrong.
    """
    async with translated(action), conn.transaction():
        state = await task_state(conn, task_id)
        if state is None:
            raise UnknownTask(f"There is no task {task_id}. See: eventrouter tasks")
        if seen is not None and seen != state.version:
            raise MovedOn(
                f"Task {task_id} moved on since you looked: it is {state.status} now. Look again, then decide."
            )
        status = after_action(action, state.status)
        said = reason or "No reason was given."
        if action == "retry":
            made = await _retry(conn, task_id, state.version, actor, said, retry)
        elif action == "resolve":
            await _resolve(conn, task_id, state.version, actor, said, resolve)
            made = task_id
        else:
            entry = LogEntry(
                task_id,
                state.version,
                status,
                f"OPERATOR_{action.upper()}",
                said,
                run_in_s=0.0 if status == Status.PENDING else None,
            )
            await _append(conn, actor, entry)
            made = task_id
    return await task(conn, made) or {}


async def _retry(conn: Conn, task_id: int, version: int, actor: str, said: str, retry: Retry) -> int:
    """Sends a task again, or a changed one in its place; returns the id of what is sent."""
    facts = await _locked_facts(conn, task_id)
    if facts.version != version:  # while the account's lock was waited for
        raise _moved_on(task_id)
    if why_not := obstacle(task_id, facts, retry):
        raise RetryRefused(*why_not)
    expires_at = expires_anew(facts, retry)
    overruled = [name for name in ("even_if_old", "even_if_held") if getattr(retry, name)]
    detail: dict[str, Any] = {"previous": facts.client_order_id, **dict.fromkeys(overruled, True)}
    if not retry.changes:
        if expires_at is not None and expires_at != facts.expires_at:
            detail["expires_at"] = expires_at.isoformat()
        entry = LogEntry(task_id, facts.version, Status.PENDING, "OPERATOR_RETRY", said, detail=detail, run_in_s=0.0)
        await _append(conn, actor, entry)
        return task_id
    payload, before = edited(facts, retry.changes)
    detail |= {"changes": dict(retry.changes), "before": before}
    await _append(
        conn, actor, LogEntry(task_id, facts.version, Status.CANCELLED, "OPERATOR_REPLACE", said, detail=detail)
    )
    values = {"task_id": task_id, "payload": json.dumps(payload), "expires_at": expires_at}
    row = await (await conn.execute(query("enqueue_retry"), values)).fetchone()
    assert row is not None
    made = await task(conn, row[0]) or {}
    if made["mode"] != facts.mode:  # a dry backlog never goes out live
        message = (
            f"Task {task_id} is of {facts.mode} mode, and its account runs in {made['mode']} mode now. Discard it."
        )
        raise RetryRefused("MODE_CHANGED", message)
    return int(row[0])


async def _resolve(conn: Conn, task_id: int, version: int, actor: str, said: str, asked: Resolve) -> None:
    """Ends a task as somebody saw it at the broker; of one that was ACCEPTED the row says what the broker had shown."""
    facts = await _locked_facts(conn, task_id)
    if facts.version != version:
        raise _moved_on(task_id)
    if why_not := why_not_resolved(task_id, facts, asked):
        raise RetryRefused(*why_not)
    accepted = facts.status is Status.ACCEPTED
    detail = {"executed": asked.executed, "orders": facts.orders, "filled": facts.filled} if accepted else {}
    status = resolved(asked)
    await _append(conn, actor, LogEntry(task_id, version, status, "OPERATOR_RESOLVE", said, detail=detail))


async def _locked_facts(conn: Conn, task_id: int) -> RetryFacts:
    """What stands in the way, read under the account's lock: no fill comes between this and the retry's commit."""
    first = await _facts(conn, task_id)
    await lock_books(conn, [first.account], first.mode)
    return await _facts(conn, task_id)


async def _facts(conn: Conn, task_id: int) -> RetryFacts:
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query("retry_facts"), {"task_id": task_id})
        row: Mapping[str, Any] | None = await cursor.fetchone()
    assert row is not None
    return RetryFacts(**{**row, "status": Status(row["status"])})


async def _append(conn: Conn, actor: str, entry: LogEntry) -> None:
    if not await append(conn, actor, [entry], wake=True):
        raise _moved_on(entry.task_id)


def _moved_on(task_id: int) -> MovedOn:
    return MovedOn(f"Task {task_id} changed at this very moment. Look again.")
