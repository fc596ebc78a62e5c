"""What people and programs look at: lists paged by id, one task with its log, counts."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.rows import dict_row

from eventrouter.domain.telling import waits_behind
from eventrouter.errors import UnknownSignal
from eventrouter.store.connect import Conn, translated
from eventrouter.store.files import query

Row = dict[str, Any]
MOST_ROWS = 500
_ORDERED = ("quantity", "contract", "filled", "average_price")


async def rows_of(conn: Conn, name: str, values: Mapping[str, Any]) -> list[Row]:
    """The rows of a named query."""
    async with translated(name), conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query(name), values)
        return await cursor.fetchall()


async def tasks(
    conn: Conn,
    *,
    status: str | None = None,
    account: str | None = None,
    trade_id: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Row]:
    """Tasks, newest first, with the columns of execution_tasks; `before` is the last id of the page before."""
    values = {
        "status": status,
        "account": account,
        "trade_id": trade_id,
        "before": before,
        "limit": min(limit, MOST_ROWS),
    }
    return await rows_of(conn, "list_tasks", values)


async def task(conn: Conn, task_id: int) -> Row | None:
    """One task with its signal's strategy and time of receipt, and `behind`: {task, status}, the first of its lane while that keeps it
    waiting, else None. None where there is no such task.
    """
    found = await rows_of(conn, "one_task", {"task_id": task_id})
    return {**found[0], "behind": (await _behind(conn, [task_id])).get(task_id)} if found else None


async def _behind(conn: Conn, ids: Sequence[int]) -> dict[int, Row]:
    """Task → {task, status} that keeps it waiting in its lane; those that wait for none are missing."""
    found = await rows_of(conn, "waiting_behind", {"ids": list(ids)})
    return {row["id"]: {"task": row["task"], "status": row["status"]} for row in found}


async def task_log(conn: Conn, task_id: int) -> list[Row]:
    """A task's log, in order."""
    return await rows_of(conn, "task_log", {"task_id": task_id})


async def signals(conn: Conn, *, strategy: str | None = None, before: int | None = None, limit: int = 100) -> list[Row]:
    """Signals, newest first, refused ones included; `tasks` are the ids they made."""
    found = await rows_of(
        conn, "list_signals", {"strategy": strategy, "before": before, "limit": min(limit, MOST_ROWS)}
    )
    for row in found:
        row["raw"] = row["raw"].decode("utf-8", "replace")
    return found


async def signal(conn: Conn, signal_id: int) -> Row:
    """One signal with everything that became of it: `accounts` has a row for each account and each thing it was to do.

    {account, trade_id, event_type, decision: "task" | "nothing", task, status, mode, reason, message, detail, at, route,
    multiplier, quantity, contract, filled, average_price}: what was ordered and filled of it by its own order, and how its task stands by the last row of its log, or the code and the sentence why there is none. A repeat
    (`first_signal`) and a refused alert (`code`) have no rows. Raises UnknownSignal.
    """
    found = await rows_of(conn, "one_signal", {"signal_id": signal_id})
    if not found:
        raise UnknownSignal(f"There is no signal {signal_id}. See: eventrouter signals")
    row = found[0]
    row["raw"] = row["raw"].decode("utf-8", "replace")
    tasks_made = await rows_of(conn, "signal_tasks", {"signal_id": signal_id})
    behind = await _behind(conn, [each["id"] for each in tasks_made])
    for each in tasks_made:
        if each["id"] in behind:
            each["message"] = waits_behind(behind[each["id"]])
    made = {(task["account"], task["trade_id"], task["event_type"]): task for task in tasks_made}
    planned = row.pop("plan") or []
    keys = [(each["account"], each["trade_id"], each["event_type"]) for each in planned]
    row["accounts"] = [
        *(_outcome(each, made.get(key)) for each, key in zip(planned, keys, strict=True)),
        *(_outcome(task, task) for key, task in made.items() if key not in keys),
    ]
    return row


def _outcome(planned: Mapping[str, Any], task: Mapping[str, Any] | None) -> Row:
    """What became of one planned row."""
    known = {key: planned[key] for key in ("account", "trade_id", "event_type")}
    if task is None:
        why: Row = {"reason": planned.get("code"), "message": planned.get("message"), "detail": {}, "at": None}
        none = dict.fromkeys(("task", "status", "mode", *_ORDERED))
        return {**known, "decision": "nothing", **none, **why}
    plan = task["plan"] or {}
    return {
        **known,
        "decision": "task",
        "task": task["id"],
        **{key: task[key] for key in ("status", "mode", "reason", "message", "detail", *_ORDERED)},
        "at": task["created_at"],
        "route": plan.get("route"),
        "multiplier": plan.get("multiplier"),
    }


async def open_counts(conn: Conn) -> list[Row]:
    """Open tasks: account (None: not routed yet), status, count, and when the oldest was created."""
    async with translated("counts"):
        cursor = await conn.execute(query("open_counts"))
        return [
            dict(zip(("account", "status", "count", "oldest"), row, strict=True)) for row in await cursor.fetchall()
        ]
