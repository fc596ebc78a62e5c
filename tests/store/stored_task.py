"""Tasks in a database: enqueue one, move it along its life, look at it."""

from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb

from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.store.connect import Conn
from eventrouter.store.tasks import append

WAYS: dict[str, str] = {
    "PENDING": "",
    "HELD": "HELD",
    "SENDING": "SENDING",
    "UNKNOWN": "SENDING UNKNOWN",
    "REVIEW": "SENDING UNKNOWN REVIEW",
    "ACCEPTED": "SENDING ACCEPTED",
    "SUCCESS": "SENDING SUCCESS",
    "FAILED": "SENDING FAILED",
    "DENIED": "DENIED",
    "EXPIRED": "EXPIRED",
    "CANCELLED": "CANCELLED",
}
"""A shortest way from PENDING to each status."""


async def value(conn: Conn, sql: str, *values: Any) -> Any:
    """The first column of the first row."""
    row = await (await conn.execute(sql, values)).fetchone()
    return None if row is None else row[0]


async def enqueue(
    conn: Conn, event_type: str = "ENTRY", *, trade: str = "T1", account: str | None = "a", symbol: str | None = "ES"
) -> int:
    """A new task's id."""
    payload = Jsonb({"symbol": symbol} if symbol else {})
    call = "SELECT enqueue_execution_task(%s, %s, %s, %s)"
    return int(await value(conn, call, trade, event_type, payload, account))


async def insert(conn: Conn, trade: str = "T1", event_type: str = "ENTRY") -> int:
    """A new task's id, by the plain INSERT of stage 13B."""
    await conn.execute("INSERT INTO execution_tasks (trade_id, event_type) VALUES (%s, %s)", (trade, event_type))
    return int(await value(conn, "SELECT max(id) FROM execution_tasks WHERE trade_id = %s", trade))


async def move(conn: Conn, task_id: int, *statuses: str, run_in_s: float | None = None) -> None:
    """Appends these statuses to the task's log, one by one."""
    for status in statuses:
        version = await value(conn, "SELECT version FROM execution_tasks WHERE id = %s", task_id)
        lease_s = 60.0 if status == "SENDING" else None
        entry = LogEntry(task_id, version, Status(status), "TEST", "a message", run_in_s=run_in_s, lease_s=lease_s)
        assert await append(conn, "test", [entry])


async def bring(conn: Conn, task_id: int, status: str) -> int:
    """The same task, brought from PENDING to this status."""
    await move(conn, task_id, *WAYS[status].split())
    return task_id


async def statuses(conn: Conn) -> list[str]:
    """The status of every task, in id order."""
    return [row[0] for row in await (await conn.execute("SELECT status FROM execution_tasks ORDER BY id")).fetchall()]


async def log_of(conn: Conn, task_id: int) -> list[str]:
    """The statuses of a task's log, in order."""
    rows = await conn.execute("SELECT status FROM execution_logs WHERE task_id = %s ORDER BY seq", (task_id,))
    return [row[0] for row in await rows.fetchall()]


def ids_of(tasks: Sequence[Any]) -> list[int]:
    """The ids of claimed tasks."""
    return [task.id for task in tasks]
