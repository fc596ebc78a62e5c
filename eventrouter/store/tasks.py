"""Tasks: claim and record under lane locks, append to the log."""

import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from eventrouter.domain.decide import DueTask
from eventrouter.domain.lookups import UnknownTask
from eventrouter.domain.plan import Entered
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.domain.trade_facts import TradeFacts, trade_facts_of
from eventrouter.errors import StoreUnavailable
from eventrouter.store.connect import Conn, Pool, session
from eventrouter.store.files import query

_CUT = 8_000


@dataclass(frozen=True, slots=True)
class Appended:
    """A log row that was appended."""

    task_id: int
    seq: int
    prev_status: str
    attempt: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StuckTask:
    """A task that does not go on by itself, as recovery sees it.

    `targets`: of a CANCEL or MOVE_STOP the orders that it is about, as its intent names them: id → the prices asked for, None
    for one to withdraw.
    """

    id: int
    version: int
    trade_id: str
    account: str
    client_order_id: str
    worker: str | None
    received_at: datetime
    event_type: str = ""
    targets: Mapping[str, Mapping[str, str] | None] | None = None


@dataclass(frozen=True, slots=True)
class HeldUp:
    """A task that waits for another one of its lane: `worker` sends that, and may until `lease_until`."""

    id: int
    version: int
    trade_id: str
    account: str
    received_at: datetime
    sending: int
    worker: str | None
    lease_until: datetime


@dataclass(frozen=True, slots=True)
class TaskState:
    """Where a task stands now."""

    id: int
    version: int
    status: Status
    attempts: int
    worker: str | None


async def append(conn: Conn, actor: str, entries: Sequence[LogEntry], *, wake: bool = False) -> dict[int, Appended]:
    """Appends one log row to each task that still stands at the entry's version; the others are missing in the answer.

    `wake` notifies the routers: for changes made from outside that give one of them something to do.
    """
    if not entries:
        return {}
    entries = sorted(entries, key=lambda entry: entry.task_id)
    cursor = await conn.execute(
        query("append_log"),
        {
            "actor": actor,
            "wake": wake,
            "task_ids": [e.task_id for e in entries],
            "versions": [e.version for e in entries],
            "statuses": [str(e.status) for e in entries],
            "reasons": [e.reason for e in entries],
            "messages": [_clean(e.message) for e in entries],
            "codes": [_code(e.response_code) for e in entries],
            "bodies": [_clean(e.response_body) for e in entries],
            "raws": [_raw(e) for e in entries],
            "details": [_details(e.detail) for e in entries],
            "run_ins": [e.run_in_s for e in entries],
            "leases": [e.lease_s for e in entries],
        },
    )
    return {row[0]: Appended(*row) for row in await cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class Claim:
    """Locked tasks inside an open transaction. `record` appends what was decided about them, all or nothing."""

    conn: Conn
    due: tuple[DueTask, ...]
    now: datetime | None

    async def record(
        self, actor: str, entries: Sequence[LogEntry], asked: Sequence[LogEntry] = ()
    ) -> dict[int, Appended]:
        """Appends the entries; raises StoreUnavailable when one of the tasks moved on meanwhile, to be claimed again.

        `asked` are rows of tasks that nobody has locked: one that moved on is missing in the answer.
        """
        appended = await append(self.conn, actor, [*entries, *asked])
        if any(entry.task_id not in appended for entry in entries):
            raise StoreUnavailable("A task moved on while it was being decided about.")
        return appended


@asynccontextmanager
async def claim(
    pool: Pool, accounts: Sequence[str], *, limit: int, depth: int, mode: str = "dry", entries: bool = True
) -> AsyncIterator[Claim]:
    """Opens the claim transaction; it commits when the block ends without an error. No I/O but the store's inside.

    `mode` is what the caller executes, dry or live: nothing of the other mode holds up a lane. Without `entries` those are left
    that are not too old yet.
    """
    async with session(pool, "claim") as conn, conn.transaction():
        values = {"accounts": list(accounts), "limit": limit, "depth": depth, "mode": mode, "entries": entries}
        cursor = await conn.execute(query("lock_due_tasks"), values)
        rows = await cursor.fetchall()
        yield Claim(conn, tuple(_due_task(row) for row in rows), rows[0][19] if rows else None)


async def trade_facts(conn: Conn, trade_id: str, account: str, mode: str) -> TradeFacts:
    """What is known of a trade on an account."""
    values = {"trade_id": trade_id, "account": account, "mode": mode}
    row = await (await conn.execute(query("trade_facts"), values)).fetchone()
    return trade_facts_of(row[0]) if row else TradeFacts()


async def next_due(pool: Pool, accounts: Sequence[str], since: datetime | None) -> tuple[float | None, datetime | None]:
    """Seconds until the next delayed task is due, by the database's clock (None when nothing is delayed), and the time now.

    `since` is the time that the last call gave back: what fell due after it counts, also when that is past by now.
    """
    async with session(pool, "next due") as conn:
        row = await (await conn.execute(query("next_due_in"), {"accounts": list(accounts), "since": since})).fetchone()
        return (row[0], row[1]) if row else (None, since)


async def lease_ended(conn: Conn, accounts: Sequence[str]) -> list[StuckTask]:
    """Tasks in SENDING whose lease has ended, by the database's clock."""
    cursor = await conn.execute(query("lease_ended"), {"accounts": list(accounts)})
    return [StuckTask(*row) for row in await cursor.fetchall()]


async def unknown(conn: Conn, accounts: Sequence[str], mode: str) -> list[UnknownTask]:
    """Tasks in UNKNOWN of this mode, with what their intents say."""
    cursor = await conn.execute(query("unknown_tasks"), {"accounts": list(accounts), "mode": mode})
    return [UnknownTask(*row) for row in await cursor.fetchall()]


async def unknown_in_other_mode(conn: Conn, accounts: Sequence[str], mode: str) -> list[StuckTask]:
    """Tasks in UNKNOWN of the other mode whose log does not say yet that nobody looks them up."""
    cursor = await conn.execute(query("unknown_in_other_mode"), {"accounts": list(accounts), "mode": mode})
    return [StuckTask(*row) for row in await cursor.fetchall()]


async def live_exits_in_dry_run(conn: Conn, accounts: Sequence[str]) -> list[StuckTask]:
    """Live tasks that open nothing and wait for a router that trades live, and whose log does not say so yet."""
    cursor = await conn.execute(query("live_exits_in_dry_run"), {"accounts": list(accounts)})
    return [StuckTask(*row) for row in await cursor.fetchall()]


async def exits_behind_sending(conn: Conn, accounts: Sequence[str], mode: str, name: str) -> list[HeldUp]:
    """What closes, waits for a send of its lane, and whose log does not say so yet. Locks their lanes; `name`: this router."""
    values = {"accounts": list(accounts), "mode": mode, "name": name}
    cursor = await conn.execute(query("exits_behind_sending"), values)
    return [HeldUp(*row) for row in await cursor.fetchall()]


async def entries_waiting(
    conn: Conn, accounts: Sequence[str], mode: str, circuit: str | None
) -> list[tuple[StuckTask, int | None]]:
    """Entries that claims leave and whose log does not say so yet, each with the task in UNKNOWN that it waits for.

    `circuit` names the opening of the connection's circuit that they wait for instead; None: it is closed. Locks their lanes.
    """
    values = {"accounts": list(accounts), "mode": mode, "circuit": circuit}
    cursor = await conn.execute(query("entries_waiting"), values)
    return [(StuckTask(*row[:7]), row[7]) for row in await cursor.fetchall()]


async def held(conn: Conn, account: str, within_s: float) -> list[StuckTask]:
    """Tasks of an account that wait for approval, and whose alerts came at least so long ago."""
    cursor = await conn.execute(query("held_tasks"), {"account": account, "within": within_s})
    return [StuckTask(*row) for row in await cursor.fetchall()]


async def unclaimed(conn: Conn, accounts: Sequence[str]) -> list[StuckTask]:
    """Tasks that wait for an account which is none of these, and whose log does not say so yet."""
    cursor = await conn.execute(query("unclaimed_tasks"), {"accounts": list(accounts)})
    return [StuckTask(*row) for row in await cursor.fetchall()]


async def task_state(conn: Conn, task_id: int) -> TaskState | None:
    """Where a task stands, or None when there is no such task."""
    row = await (await conn.execute(query("task_state"), {"task_id": task_id})).fetchone()
    return None if row is None else TaskState(row[0], row[1], Status(row[2]), row[3], row[4])


async def is_appended(conn: Conn, entry: LogEntry, actor: str) -> bool:
    """Whether the log already holds this very entry: the answer to a commit whose outcome was lost."""
    row = await (await conn.execute(query("log_row"), {"task_id": entry.task_id, "seq": entry.version + 1})).fetchone()
    return row is not None and (row[0], row[2], row[3]) == (entry.status, actor, entry.reason)


async def trade_accounts(conn: Conn, trade_ids: Collection[str]) -> dict[str, dict[str, Entered]]:
    """Trade → the accounts that have entries of it → how they came into it. An exit goes to them, whatever is configured."""
    found: dict[str, dict[str, Entered]] = {}
    if trade_ids:
        cursor = await conn.execute(query("trade_accounts"), {"trade_ids": sorted(trade_ids)})
        for trade_id, account, symbol, multiplier, route in await cursor.fetchall():
            entered = Entered(symbol, Decimal(multiplier or 1), route or "")
            found.setdefault(trade_id, {})[account] = entered
    return found


async def only_evidence_since(conn: Conn, entry: LogEntry) -> bool:
    """Whether nothing but evidence came after the version that this entry was written for: its task stands where it stood."""
    values = {"task_id": entry.task_id, "seq": entry.version}
    row = await (await conn.execute(query("only_evidence_since"), values)).fetchone()
    return bool(row and row[0])


def _due_task(row: Sequence[Any]) -> DueTask:
    payload = row[6] if isinstance(row[6], dict) else {} if row[6] is None else None
    values = [*row[:6], payload, *row[7:14], trade_facts_of(row[14]), row[20], *row[15:19]]
    return DueTask(*values)


def _clean(text: str | None) -> str | None:
    """Text that Postgres can store: no NUL, no lone surrogates, of a limited length."""
    if text is None:
        return None
    cleaned = text.replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()
    return cleaned if len(cleaned) <= _CUT else f"{cleaned[:_CUT]} … ({len(cleaned) - _CUT} more characters)"


def _code(code: int | None) -> int | None:
    """A status code as it fits its column; anything else a broker may send is in the answer's body."""
    return code if isinstance(code, int) and abs(code) < 2**31 else None


def _details(detail: Mapping[str, Any]) -> str | None:
    """Details as JSON. What JSON cannot hold must not keep an outcome from being recorded."""
    if not detail:
        return None
    try:
        return json.dumps(_clean_json(detail), default=str, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        return json.dumps({"not_storable": type(error).__name__})


def _clean_json(value: Any) -> Any:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, Mapping):
        return {str(_clean(str(key))): _clean_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean_json(item) for item in value]
    return value


def _raw(entry: LogEntry) -> bytes | None:
    """The answer's bytes, kept only where cleaning changed the text."""
    if (
        entry.response_raw is not None
        or entry.response_body is None
        or _clean(entry.response_body) == entry.response_body
    ):
        return entry.response_raw
    return entry.response_body.encode("utf-8", "surrogatepass")
