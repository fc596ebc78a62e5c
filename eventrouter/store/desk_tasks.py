"""What the desk shows of tasks beyond their rows: how far they came when, their orders, fills and retries."""

from collections.abc import Sequence

from eventrouter.store.connect import Conn
from eventrouter.store.reports import Row, rows_of

TIMELINE_ROWS = 200
_MOST_ORDERS = 200
_NO_SEQ = 2**31 - 1


async def milestones(conn: Conn, tasks: Sequence[int]) -> dict[int, Row]:
    """Task → {claimed, acknowledged, took_ms, done, decided, intent}: of its latest attempt, None where it did not come so far.

    `took_ms`: from the first byte of the request to the broker's answer. `decided`: when a task that was never sent ended.
    """
    found = await rows_of(conn, "milestones", {"tasks": list(tasks)}) if tasks else []
    return {row["id"]: row for row in found}


async def timeline(conn: Conn, task_id: int, before: int | None) -> tuple[list[Row], int | None]:
    """The latest TIMELINE_ROWS of a task's log in order, below the row `before`; and what `before` is for the rows before them."""
    values = {"task_id": task_id, "before": before or _NO_SEQ, "most": TIMELINE_ROWS}
    rows = await rows_of(conn, "timeline", values)
    rows.reverse()
    return rows, rows[0]["seq"] if rows and rows[0]["seq"] > 1 else None


async def orders(conn: Conn, task_id: int) -> list[Row]:
    """A task's orders at the broker and their brackets, the first placed first."""
    return await rows_of(conn, "task_orders", {"task_id": task_id, "most": _MOST_ORDERS})


async def fills(conn: Conn, task_id: int) -> list[Row]:
    """What was executed of them, the latest first."""
    return await rows_of(conn, "task_fills", {"task_id": task_id, "most": _MOST_ORDERS})


async def retries(conn: Conn, task_id: int) -> list[int]:
    """The tasks that were sent in the place of this one."""
    return [row["id"] for row in await rows_of(conn, "task_retries", {"task_id": task_id})]
