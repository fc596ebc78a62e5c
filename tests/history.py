"""A task's history, written as a router would write it."""

from typing import Any

import psycopg

_APPEND = """
SELECT append_log('test', false, ARRAY[t.id], ARRAY[t.version], ARRAY[%(status)s], ARRAY[%(reason)s], ARRAY[%(message)s],
                  ARRAY[NULL::INTEGER], ARRAY[NULL::TEXT], ARRAY[NULL::BYTEA], ARRAY[NULL::TEXT], ARRAY[NULL::FLOAT8],
                  ARRAY[%(lease)s::FLOAT8])
FROM execution_tasks t WHERE t.id = %(task)s
"""


def enqueue(conn: psycopg.Connection[Any], trade_id: str, *, account: str = "paper", event_type: str = "ENTRY") -> int:
    """A new task's id."""
    row = conn.execute(
        'SELECT enqueue_execution_task(%s, %s, \'{"symbol": "MNQ1!"}\', %s)', (trade_id, event_type, account)
    ).fetchone()
    assert row is not None
    return int(row[0])


def walk(conn: psycopg.Connection[Any], task_id: int, *statuses: str) -> None:
    """Appends one log row for each status."""
    for status in statuses:
        lease = 30.0 if status == "SENDING" else None
        message = f"{status} by a test"
        values = {"task": task_id, "status": status, "reason": "TEST", "message": message, "lease": lease}
        assert conn.execute(_APPEND, values).rowcount == 1


def statuses(conn: psycopg.Connection[Any], task_id: int) -> list[str]:
    """The statuses of a task's log rows, in order."""
    rows = conn.execute("SELECT status FROM execution_logs WHERE task_id = %s ORDER BY seq", (task_id,))
    return [status for (status,) in rows]
