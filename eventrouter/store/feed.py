"""The feed: every log row once, as it commits, from any position on.

A position is a snapshot of Postgres, not a number: a lower id can commit later than a higher one, and waiting for it would
let one open transaction hold up everybody.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from eventrouter.errors import EventrouterError
from eventrouter.store.connect import Pool, session
from eventrouter.store.files import query

PAGE = 500
_SNAPSHOT = r"\d{1,18}:\d{1,18}:(?:\d{1,18}(?:,\d{1,18})*)?"
_POSITION = re.compile(
    rf"(?P<origin>\d{{1,20}}\.\d{{1,10}})_(?P<prev>{_SNAPSHOT})_(?P<next>(?:{_SNAPSHOT})?)_(?P<after>\d{{1,18}})_(?P<replay_to>\d{{1,18}})",
    re.ASCII,
)
_COLUMNS = [
    "id",
    "task_id",
    "seq",
    "prev_status",
    "status",
    "attempt",
    "actor",
    "reason",
    "message",
    "response_code",
    "response_body",
    "detail",
    "created_at",
    "trade_id",
    "event_type",
    "account",
    "signal_id",
]


class PositionError(EventrouterError):
    """A feed position that cannot be read. Leave it out to start now, or use `from=start`."""


@dataclass(frozen=True, slots=True)
class Position:
    """Everything up to snapshot `prev` has been seen, and of the delta from there to `next` (if any) the ids up to `after`.

    `replay_to`: reading history by id up to there first; `origin` names the cluster and database that it belongs to.
    """

    origin: str
    prev: str
    next: str = ""
    after: int = 0
    replay_to: int = 0

    def __str__(self) -> str:
        return f"{self.origin}_{self.prev}_{self.next}_{self.after}_{self.replay_to}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """The position that str() wrote. Raises PositionError."""
        parts = _POSITION.fullmatch(text)
        if parts is None or not all(is_snapshot(parts[name]) for name in ("prev", "next") if parts[name]):
            raise PositionError("This is no position of the feed. Leave it out to start now, or use from=start.")
        return cls(parts["origin"], parts["prev"], parts["next"], int(parts["after"]), int(parts["replay_to"]))

    @property
    def xmax(self) -> int:
        """The first transaction id that none of its snapshots knows."""
        return max(int(snapshot.split(":")[1]) for snapshot in (self.prev, self.next) if snapshot)


def is_snapshot(text: str) -> bool:
    """Whether Postgres would take the text, three numbers with colons, as a snapshot."""
    if re.fullmatch(_SNAPSHOT, text, re.ASCII) is None:
        return False
    xmin, xmax, running = text.split(":")
    ids = [int(xid) for xid in running.split(",") if xid]
    return 0 < int(xmin) <= int(xmax) and all(int(xmin) <= xid < int(xmax) for xid in ids) and ids == sorted(set(ids))


@dataclass(frozen=True, slots=True)
class FeedRow:
    """A log row with its task's trade, and the position after it."""

    position: Position
    row: dict[str, Any]


async def start(pool: Pool, position: str | None, *, from_start: bool = False) -> Position:
    """Where to read from: a given position, the beginning, or now. One of another database is replayed by id."""
    given = Position.parse(position) if position else None
    async with session(pool, "feed") as conn:
        row = await (await conn.execute(query("feed_origin"))).fetchone()
    origin, snapshot, last = row if row else ("", "", 0)
    if given is not None and given.origin == origin and given.xmax <= Position(origin, snapshot).xmax:
        return given  # otherwise it is of another database, or of this one before it was restored
    if given is not None or from_start:
        return Position(origin, snapshot, "", given.after if given else 0, replay_to=last)
    return Position(origin, snapshot, "", last)


async def read(pool: Pool, position: Position) -> tuple[list[FeedRow], Position]:
    """The next rows (at most a page, none when there is nothing new) and the position after them."""
    name = "feed_replay" if position.replay_to else "feed_page" if position.next else "feed_fresh"
    values = {
        "prev": position.prev,
        "next": position.next,
        "after": position.after,
        "last": position.replay_to,
        "limit": PAGE,
    }
    async with session(pool, "feed") as conn:
        rows = await (await conn.execute(query(name), values)).fetchall()
    return _page(position, rows)


def _page(position: Position, rows: Sequence[Sequence[Any]]) -> tuple[list[FeedRow], Position]:
    found = [dict(zip(_COLUMNS, row[1:], strict=True)) for row in rows if row[1] is not None]
    if position.replay_to:
        done = replace(position, replay_to=0)
    elif position.next:
        done = replace(position, prev=position.next, next="")
    else:
        position = replace(position, next=rows[0][0])
        done = replace(position, prev=position.next, next="")
    after = found[-1]["id"] if found else position.after
    more = len(found) == PAGE
    feed = [FeedRow(replace(position, after=row["id"]), row) for row in found]
    return feed, replace(position if more else done, after=after)
