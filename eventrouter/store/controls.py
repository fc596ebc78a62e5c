"""Halts, resumes and flattenings: set one, read what stands, and how far each flattening got."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from psycopg.rows import dict_row

from eventrouter.domain.book import Book
from eventrouter.domain.flattening import progress
from eventrouter.domain.guarding import ControlRow
from eventrouter.domain.scopes import scope_of
from eventrouter.errors import MovedOn
from eventrouter.store.connect import STATEMENT_TIMEOUT_S, Conn, translated
from eventrouter.store.files import query

Row = dict[str, Any]
UNDECIDED = ("SENDING", "UNKNOWN")


@dataclass(frozen=True, slots=True)
class Control:
    """A row of controls that was just set.

    `in_flight`: tasks of the scope in SENDING or UNKNOWN, whose orders may be at the broker. `working`: those in ACCEPTED, whose
    orders may still fill.
    """

    id: int
    scope: str
    action: str
    actor: str
    reason: str | None
    created_at: datetime
    in_flight: tuple[Row, ...]
    working: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class FlattenRequest:
    """A flattening that nobody has withdrawn, for one account. `kind`, `detail` and `age_s` are of the latest row about it.

    Since the account was flat: `resolved`, an outcome that was not known then is known now; `holds`, a trade of ours holds
    something, or has a working entry.
    """

    account: str
    control: int
    scope: str
    actor: str
    reason: str | None
    asked_at: datetime
    kind: str | None
    detail: Mapping[str, Any]
    age_s: float
    resolved: bool
    holds: bool

    @property
    def strategy(self) -> str | None:
        """The strategy whose trades it is for; None: everything that the account has."""
        kind, _, name = self.scope.partition(":")
        return name if kind == "strategy" else None


@dataclass(frozen=True, slots=True)
class UndecidedTask:
    """A task whose order may or may not be at the broker.

    In SENDING, `lease_s`: seconds until its lease ends, at `lease_until`; `worker`: who sends it; `shown`: the broker has its order.
    """

    id: int
    status: str
    trade_id: str
    event_type: str
    opening: bool
    lease_s: float | None
    shown: bool
    worker: str | None
    lease_until: datetime | None


@dataclass(frozen=True, slots=True)
class HeldTrade:
    """A trade to be closed by its exit; `contract` is None where only an entry of it works. `task` is its latest exit."""

    trade_id: str
    contract: str | None
    quantity: Decimal
    task: int | None
    status: str | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Guarded:
    """An account as its guardian sees it. `held`: contracts with their roots; `controls`: the rows of its own scope, newest first.

    `busy`: something is held, works, or may be at the broker. `flattening`: a flattening of the account is not done yet.
    """

    account: str
    book: Book
    held: tuple[tuple[str, str], ...]
    busy: bool
    flattening: bool
    controls: tuple[ControlRow, ...]
    now: datetime


async def set_control(
    conn: Conn, scope: str, action: str, actor: str, reason: str | None, *, seen: int | None = None
) -> Control:
    """Halts, reduces, resumes or flattens; when this returns, no intent can follow that it forbids.

    `seen`: the id of the scope's latest row that was looked at, 0 for none; raises MovedOn where there is a later one, and sets nothing.
    `conn` must not be inside a transaction of the caller: until that ended, every claim would wait.
    """
    values = {"scope": scope, "action": action, "actor": actor, "reason": reason}
    if seen is None:
        rows = await _rows(conn, "set_control", values)
    else:
        async with conn.transaction():
            await wait_for_claims(conn)  # whoever sets a control holds the same lock
            latest = await _rows(conn, "controls_of_scope", {"scope": scope, "limit": 1})
            if latest and latest[0]["id"] != seen:
                now = latest[0]
                raise MovedOn(
                    f"{now['action']} of {scope} by {now['actor']} came since you looked. Look again, then decide."
                )
            rows = await _rows(conn, "set_control", values)
    tasks = tuple({k: v for k, v in row.items() if k not in ("control", "set_at")} for row in rows if row["task_id"])
    return Control(
        rows[0]["control"],
        scope,
        action,
        actor,
        reason,
        rows[0]["set_at"],
        tuple(task for task in tasks if task["status"] in UNDECIDED),
        tuple(task for task in tasks if task["status"] not in UNDECIDED),
    )


async def known_scope(
    conn: Conn, text: str, action: str, *, accounts: Sequence[str] = (), strategies: Sequence[str] = ()
) -> str:
    """The scope behind a text, among what the database knows and what the caller's configuration names. Raises ScopeWrong.

    An account that is configured nowhere any more and has nothing open can be resumed, and nothing else.
    """
    known_accounts = [row["name"] for row in await _rows(conn, "known_accounts", {"halted": action == "resume"})]
    known_strategies = [row["strategy"] for row in await _rows(conn, "known_strategies", {})]
    return scope_of(text, {*accounts, *known_accounts}, {*strategies, *known_strategies})


async def standings(conn: Conn) -> list[Row]:
    """The latest row of each scope."""
    return await _rows(conn, "standings", {})


async def without_router(conn: Conn, accounts: Sequence[str]) -> list[str]:
    """Those of these accounts of which no router has said anything within the last minute."""
    return [row["name"] for row in await _rows(conn, "without_router", {"accounts": list(accounts)})]


async def history(conn: Conn, *, before: int | None = None, limit: int = 100) -> list[Row]:
    """All rows, newest first; `before` is the last id of the page before."""
    return await _rows(conn, "controls_history", {"before": before, "limit": limit})


async def accounts_to_flatten(conn: Conn) -> list[str]:
    """The accounts that a flattening of everything is for, as far as the database knows."""
    return [row["name"] for row in await _rows(conn, "accounts_to_flatten", {})]


async def flatten_requests(conn: Conn, accounts: Sequence[str], mode: str) -> list[FlattenRequest]:
    """For each account the latest flattening of each scope that concerns it, done or not, unless it was withdrawn."""
    async with translated("flatten requests"):
        cursor = await conn.execute(query("flatten_requests"), {"accounts": list(accounts), "mode": mode})
        return [_request(row) for row in await cursor.fetchall()]


def _request(row: Sequence[Any]) -> FlattenRequest:
    values = [*row[:7], row[7] or {}, row[8] or 0.0, bool(row[9]), bool(row[10])]
    return FlattenRequest(*values)


async def flattening(conn: Conn, control: int, scope: str, configured: Sequence[str] = ()) -> list[Row]:
    """How far each account of a flattening's scope is; see domain/flattening.py.

    Of all accounts and of a strategy's those count that are published or hold something; where none is published,
    those that the caller's configuration names.
    """
    kind, _, name = scope.partition(":")
    accounts = [name] if kind == "account" else await accounts_to_flatten(conn) or sorted(configured)
    rows = await _rows(conn, "flatten_progress", {"control": control, "scope": scope, "accounts": accounts})
    return [progress(account, [row for row in rows if row["account"] == account]) for account in accounts]


async def undecided(conn: Conn, account: str, mode: str, strategy: str | None = None) -> list[UndecidedTask]:
    """Tasks in SENDING, UNKNOWN or REVIEW."""
    values = {"account": account, "mode": mode, "strategy": strategy}
    async with translated("undecided tasks"):
        cursor = await conn.execute(query("undecided_tasks"), values)
        return [UndecidedTask(*row) for row in await cursor.fetchall()]


async def exits_of_held(
    conn: Conn, account: str, mode: str, strategy: str | None, *, control: int, enqueue: bool
) -> list[HeldTrade]:
    """What is held by trade or works as an entry; with `enqueue` each such trade gets an EXIT_FLATTEN unless an exit is open."""
    values = {"account": account, "mode": mode, "strategy": strategy, "control": control, "enqueue": enqueue}
    async with translated("flattening"):
        cursor = await conn.execute(query("enqueue_flattening"), values)
        return [HeldTrade(*row) for row in await cursor.fetchall()]


async def guarded(conn: Conn, accounts: Sequence[str], mode: str) -> list[Guarded]:
    """What the guardian of these accounts looks at."""
    async with translated("guardian"):
        cursor = await conn.execute(query("guarded_accounts"), {"accounts": list(accounts), "mode": mode})
        return [_guarded(row) for row in await cursor.fetchall()]


def _guarded(row: Sequence[Any]) -> Guarded:
    account, state, held, busy, flattening, rows, now = row
    controls = (ControlRow(action, actor, reason, datetime.fromisoformat(at)) for action, actor, reason, at in rows)
    contracts = tuple((contract, root) for contract, root in held)
    return Guarded(account, Book.from_json(state), contracts, busy, flattening, tuple(controls), now)


async def lock_guard(conn: Conn, account: str) -> list[ControlRow]:
    """Waits for other guardians of the account until this transaction ends; the latest rows of its scope, newest first."""
    async with translated("guardian"):
        await conn.execute(query("guard_lock"), {"account": account})
    rows = await _rows(conn, "controls_of_scope", {"scope": f"account:{account}", "limit": 20})
    return [ControlRow(row["action"], row["actor"], row["reason"], row["created_at"]) for row in rows]


@asynccontextmanager
async def flatten_lock(conn: Conn, account: str) -> AsyncIterator[bool]:
    """Whether this session alone flattens the account until the block ends. The connection is in autocommit, and no row is locked."""
    async with translated("flatten lock"):
        row = await (await conn.execute(query("flatten_lock"), {"account": account})).fetchone()
    taken = bool(row and row[0])
    try:
        yield taken
    finally:
        if taken and not conn.closed:
            async with translated("flatten unlock"):
                await conn.execute(query("flatten_unlock"), {"account": account})


async def wait_for_claims(conn: Conn) -> None:
    """Lets claims that have begun commit, and no other begin until this transaction ends: those see what it wrote. Take it first."""
    async with translated("claims"):
        await conn.execute(query("wait_for_claims"))


async def check_lock(conn: Conn) -> None:
    """Raises StoreUnavailable when the connection that holds a lock is gone, and the lock with it."""
    async with translated("flatten lock"), asyncio.timeout(STATEMENT_TIMEOUT_S):
        await conn.execute(query("probe"))


async def _rows(conn: Conn, name: str, values: Mapping[str, Any]) -> list[Row]:
    async with translated(name), conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query(name), values)
        return await cursor.fetchall()
