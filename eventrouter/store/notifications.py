"""Notifications: the events behind them, read once each, and what became of telling them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import repeat
from typing import Any

from eventrouter.domain.notices import Event, Kind, Notice, Severity
from eventrouter.store.connect import Conn, Pool, session
from eventrouter.store.feed import is_snapshot
from eventrouter.store.files import query

MOST_EVENTS = 1000
"""Of each source, in one reading."""

_LISTED = (
    "id",
    "kind",
    "severity",
    "title",
    "body",
    "account",
    "task_id",
    "created_at",
    "due_at",
    "attempts",
    "reached",
    "sent_at",
    "last_error",
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What happened since the last reading. `before` and `after`: the positions around it, for `note`.

    `restored`: the position was of another database, so what happened before now is not told.
    """

    before: str | None
    after: str
    now: datetime
    events: list[Event]
    restored: bool = False

    @property
    def distance(self) -> int:
        """How many transactions lie between the two positions; reading them again costs that much."""
        return _xmax(self.after) - _xmax(self.before) if self.before and not self.restored else MOST_EVENTS


@dataclass(frozen=True, slots=True)
class Claimed:
    """A notification that is ours to send. `waiting`: how many wait in all."""

    id: int
    notice: Notice
    attempts: int
    reached: tuple[str, ...]
    waiting: int


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one: who took it now, what went wrong, and in how many seconds it is tried again (None: never)."""

    id: int
    reached: list[str]
    error: str | None
    again_in_s: float | None
    sent: bool


async def read_events(conn: Conn) -> Reading:
    """What happened since the position that is stored; the very first reading begins now."""
    row = await (await conn.execute(query("notification_position"))).fetchone()
    before, origin, snapshot = row if row else (None, "", "")
    prev = _since(before, origin, snapshot)
    cursor = await conn.execute(query("notable_events"), {"prev": prev or snapshot, "limit": MOST_EVENTS})
    rows = await cursor.fetchall()
    events = [Event(*each[2:]) for each in rows if each[2] is not None]
    return Reading(before, f"{origin} {rows[0][0]}", rows[0][1], events, restored=before is not None and prev is None)


async def note(
    conn: Conn,
    notices: Sequence[Notice],
    *,
    wait_s: float,
    reading: Reading | None = None,
    reached: Sequence[Sequence[str]] = (),
) -> int | None:
    """Writes notices, due after `wait_s` seconds; returns how many were new. `reached`: who was told already, for each.

    With a `reading` its position moves in the same commit; None where another process has moved it meanwhile.
    """
    rows = [
        {**asdict(each), "at": None if each.at is None else each.at.isoformat(), "reached": list(told)}
        for each, told in zip(notices, reached or repeat(()), strict=False)
    ]
    values = {
        "notices": json.dumps(rows),
        "wait_s": wait_s,
        "before": None if reading is None else reading.before,
        "after": None if reading is None else reading.after,
    }
    row = await (await conn.execute(query("note_notifications"), values)).fetchone()
    return None if row is None or row[0] < 0 else int(row[0])


async def claim(pool: Pool, worker: str, *, lease_s: float, per_minute: int, most: int) -> list[Claimed]:
    """What is to be sent now, in order; nothing while another worker is sending or too much was sent."""
    values = {"worker": worker, "lease_s": lease_s, "per_minute": per_minute, "most": most}
    async with session(pool, "alerts") as conn:
        rows = await (await conn.execute(query("claim_notifications"), values)).fetchall()
    return [
        Claimed(
            row[0],
            Notice(Kind(row[1]), Severity(row[2]), row[3], row[4], row[5], row[6], at=row[7]),
            row[8],
            tuple(row[9]),
            row[10],
        )
        for row in rows
    ]


async def settle(pool: Pool, worker: str, results: Sequence[Settled]) -> int:
    """Writes what became of them; returns how many wait still."""
    values = {"worker": worker, "results": json.dumps([asdict(each) for each in results])}
    async with session(pool, "alerts") as conn:
        row = await (await conn.execute(query("settle_notifications"), values)).fetchone()
    return int(row[0]) if row else 0


async def last_notifications(conn: Conn, limit: int) -> list[Mapping[str, Any]]:
    """The last ones, newest first."""
    cursor = await conn.execute(query("list_notifications"), {"limit": limit})
    return [dict(zip(_LISTED, row, strict=True)) for row in await cursor.fetchall()]


def _since(position: str | None, origin: str, snapshot: str) -> str | None:
    """The snapshot to read from; None where there is none of this database: stored transaction ids would compare wrongly."""
    if position is None:
        return None
    its_origin, _, prev = position.partition(" ")
    if its_origin != origin or not is_snapshot(prev) or _xmax(position) > _xmax(snapshot):
        return None
    return prev


def _xmax(position: str) -> int:
    return int(position.split(":")[1])
