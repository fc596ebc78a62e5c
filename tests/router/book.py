"""The order book of a test: enqueue tasks, move them by hand, read what their logs say."""

import json
from typing import Any

from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.store.connect import Conn
from eventrouter.store.history import verify
from eventrouter.store.tasks import Appended, append, task_state
from tests.processes import until_async

HOUR_S = 3600.0
LANES = [
    "NQ",
    "ES",
    "CL",
    "GC",
    "RTY",
    "YM",
    "6E",
    "ZB",
    "NG",
    "SI",
    "HG",
    "PL",
    "6B",
    "6J",
    "6A",
    "6C",
    "6S",
    "ZN",
    "ZC",
    "ZS",
]
"""Twenty products that hedge none of the others: each has a lane of its own."""


async def enqueue(
    db: Conn,
    trade: str,
    event: str = "ENTRY",
    *,
    account: str | None = "paper",
    symbol: str | None = "NQ",
    mode: str = "dry",
) -> int:
    """A new task, inserted by the owner, who may say its mode; LONG where it names a symbol."""
    payload = None if symbol is None else json.dumps({"symbol": symbol, "direction": "LONG"})
    cursor = await db.execute(
        "INSERT INTO execution_tasks (trade_id, event_type, payload, account, mode) VALUES (%s, %s, %s, %s, %s)"
        " RETURNING id",
        (trade, event, payload, account, mode),
    )
    return int((await only(cursor.fetchall()))[0])


async def only(rows: Any) -> tuple[Any, ...]:
    """The one row of an answer."""
    (row,) = await rows
    return tuple(row)


async def value(db: Conn, query: str, *values: Any) -> Any:
    """The one value that a query answers."""
    return (await only((await db.execute(query, values)).fetchall()))[0]


async def move(
    db: Conn,
    task_id: int,
    *statuses: Status,
    run_in_s: float | None = None,
    lease_s: float = HOUR_S,
    actor: str = "by-hand",
) -> None:
    """Appends these statuses to the task's log; `run_in_s` belongs to every PENDING, `lease_s` to every SENDING."""
    for status in statuses:
        state = await task_state(db, task_id)
        assert state is not None
        entry = LogEntry(
            task_id,
            state.version,
            status,
            "BY_HAND",
            "moved by the test",
            run_in_s=run_in_s if status == Status.PENDING else None,
            lease_s=lease_s if status == Status.SENDING else None,
        )
        appended: dict[int, Appended] = await append(db, actor, [entry], wake=True)
        assert task_id in appended, f"{status} was not appended"


async def status_of(db: Conn, task_id: int) -> str:
    """Where a task stands."""
    return str(await value(db, "SELECT status FROM execution_tasks WHERE id = %s", task_id))


async def reaches(db: Conn, task_id: int, status: Status) -> None:
    """Returns once the task stands there."""

    async def stands() -> bool:
        return await status_of(db, task_id) == status

    await until_async(stands, within_s=30, what=f"task {task_id} {status}")


async def way(db: Conn, task_id: int) -> str:
    """The statuses that a task went through, without rows that changed none: `PENDING SENDING SUCCESS`."""
    return str(
        await value(
            db,
            "SELECT string_agg(status, ' ' ORDER BY seq) FROM execution_logs"
            " WHERE task_id = %s AND status IS DISTINCT FROM prev_status",
            task_id,
        )
    )


async def row_of(db: Conn, task_id: int, reason: str) -> tuple[Any, ...]:
    """The one log row of this reason: prev_status, status, attempt, actor, message, code, body, raw, detail."""
    cursor = await db.execute(
        "SELECT prev_status, status, attempt, actor, message, response_code, response_body, response_raw, detail"
        " FROM execution_logs WHERE task_id = %s AND reason = %s",
        (task_id, reason),
    )
    return await only(cursor.fetchall())


async def order_id(db: Conn, task_id: int) -> str:
    """The task's client order id."""
    return str(await value(db, "SELECT client_order_id FROM execution_tasks WHERE id = %s", task_id))


async def attempts(db: Conn, task_id: int) -> int:
    """How often the task was sent."""
    return int(await value(db, "SELECT attempts FROM execution_tasks WHERE id = %s", task_id))


async def is_sound(db: Conn) -> bool:
    """Whether every log adds up to its task; says what does not."""
    found = await verify(db)
    assert found.violations == ()
    return True
