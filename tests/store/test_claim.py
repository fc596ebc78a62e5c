"""Claiming: each lane's work in order, one router at a time, and nothing held up by what does not concern it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from eventrouter.domain.decide import DueTask
from eventrouter.domain.plan import opens
from eventrouter.domain.routing import Candidate, Route, RoutingTable
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.domain.trade_facts import TradeFacts
from eventrouter.errors import StoreUnavailable
from eventrouter.store.connect import CHANNEL, Conn, Database, Pool, listen, notify
from eventrouter.store.routed import route
from eventrouter.store.settings import TableCache
from eventrouter.store.tasks import append, claim, is_appended, lease_ended, next_due, task_state, unknown
from tests.processes import until_async
from tests.store.stored_task import WAYS, bring, enqueue, ids_of, insert, log_of, move, statuses, value
from tests.store.tables import trading

WAITING = ["PENDING", "SENDING", "UNKNOWN", "REVIEW"]
"""What an entry behind it waits for (PENDING: when it is not due yet)."""


@pytest.fixture
async def other(any_dsn: str) -> AsyncIterator[Conn]:
    """A second connection of the service."""
    async with await Database(any_dsn).connect("other") as connection:
        yield connection


async def due(pool: Pool, *accounts: str, limit: int = 20, depth: int = 1) -> list[int]:
    """The ids that a claim gets; it records nothing."""
    async with claim(pool, accounts or ("a",), limit=limit, depth=depth) as claimed:
        return ids_of(claimed.due)


def intent(task: DueTask) -> LogEntry:
    """The row that says that a task is being sent."""
    return LogEntry(task.id, task.version, Status.SENDING, "INTENT", lease_s=60.0)


async def hold_up(conn: Conn, task_id: int, status: str) -> None:
    """Brings a task to a status; a PENDING one is due in an hour."""
    if status == "PENDING":
        await move(conn, task_id, "PENDING", run_in_s=3600)
    else:
        await bring(conn, task_id, status)


async def test_a_lane_goes_in_order(conn: Conn, pool: Pool) -> None:
    """A claim takes a lane's first tasks in order, as many as its depth."""
    ids = [
        await enqueue(conn, trade=f"T{n}", symbol=symbol) for n, symbol in enumerate(["NQ1!", "MNQ1!", "CME:NQZ2026"])
    ]
    assert [await due(pool, depth=depth) for depth in (1, 2, 9)] == [ids[:1], ids[:2], ids]


@pytest.mark.parametrize("status", WAYS)
async def test_what_waits_for_whom(conn: Conn, pool: Pool, status: str) -> None:
    """An entry waits for what is unfinished before it, and in any lane of its account for what is unknown; an exit only for
    what is being sent; another account for nothing."""
    await hold_up(conn, await enqueue(conn, trade="T1"), status)
    exit_, entry = await enqueue(conn, "EXIT_SL", trade="T2"), await enqueue(conn, trade="T3")
    elsewhere = [await enqueue(conn, trade="T4", symbol="CL"), await enqueue(conn, trade="T1", account="b")]
    in_lane = [] if status == "SENDING" else [exit_] if status in WAITING else [exit_, entry]
    assert await due(pool, "a", "b", depth=3) == in_lane + (elsewhere[1:] if status == "UNKNOWN" else elsewhere)


async def test_an_exit_that_is_not_due(conn: Conn, pool: Pool) -> None:
    """An exit waits for its own time, and holds up the entries behind it until then."""
    await move(conn, await enqueue(conn, "EXIT"), "PENDING", run_in_s=3600)
    await enqueue(conn, trade="T2")
    assert await due(pool, depth=3) == []
    wait_s, _now = await next_due(pool, ["a"], None)
    assert wait_s
    assert 3500 < wait_s <= 3600
    assert (await next_due(pool, ["b"], None))[0] is None


async def test_what_is_claimed_says_all_that_is_decided_about(conn: Conn, pool: Pool) -> None:
    """A claimed task carries its payload, its order's id and its trade's other tasks on the same account."""
    entry = await bring(conn, await enqueue(conn), "SUCCESS")
    await enqueue(conn, account="b")
    await enqueue(conn, trade="T2")
    exit_ = await enqueue(conn, "EXIT_SL", symbol=None)
    async with claim(pool, ["a"], limit=1, depth=1) as claimed:
        task = next(task for task in claimed.due if task.id == exit_)
        assert task.trade == TradeFacts(opened=(entry, "ES"), entries=((entry, "SUCCESS"),))
        assert (task.lane, task.event_type, task.opening, task.mode, task.attempts) == (
            "a/ES",
            "EXIT_SL",
            False,
            "dry",
            0,
        )
        assert len(task.client_order_id) == 20
        assert claimed.now
        assert claimed.now >= task.created_at == task.received_at


async def test_limit_and_depth(conn: Conn, pool: Pool) -> None:
    """A claim takes no more lanes than its limit, the longest waiting first, and shares the limit out among them."""
    ids = [await enqueue(conn, trade=f"T{n}", symbol=symbol) for n, symbol in enumerate(["ES", "CL", "GC"] * 3)]
    assert await due(pool, limit=2, depth=5) == ids[:2]
    assert await due(pool, limit=3, depth=5) == ids[:3]
    assert await due(pool, limit=6, depth=5) == ids[:6]
    assert await due(pool, limit=6, depth=1) == ids[:3]
    assert await due(pool, limit=99, depth=9) == ids


async def test_only_known_accounts_are_claimed(conn: Conn, pool: Pool) -> None:
    """A router takes nothing of accounts that it was not given, nor what no account has been found for."""
    await enqueue(conn, account="b")
    await insert(conn)
    assert await due(pool, "a", "c") == []
    mine = await enqueue(conn, account="c")
    assert await due(pool, "a", "c", limit=1) == [mine]


async def test_a_claimed_lane_is_skipped(conn: Conn, pool: Pool) -> None:
    """A second router does not wait for a lane that the first is deciding about: it takes another one, or nothing."""
    first, second = await enqueue(conn), await enqueue(conn, trade="T2", symbol="CL")
    async with claim(pool, ["a"], limit=1, depth=1) as mine:
        assert ids_of(mine.due) == [first]
        assert await due(pool) == [second]
        async with claim(pool, ["a"], limit=9, depth=9) as theirs:
            assert ids_of(theirs.due) == [second]
            assert await due(pool) == []
    assert await due(pool) == [first, second]


async def test_a_lane_that_moves_during_the_claim(conn: Conn, pool: Pool) -> None:
    """A claim that decided about a task's past records nothing at all, not even what it could."""
    moved, other_lane = await enqueue(conn), await enqueue(conn, trade="T2", symbol="CL")

    async def overtaken() -> None:
        async with claim(pool, ["a"], limit=9, depth=1) as claimed:
            await move(conn, moved, "CANCELLED")
            await claimed.record("test", [intent(task) for task in claimed.due])

    with pytest.raises(StoreUnavailable, match="moved on"):
        await overtaken()
    assert await log_of(conn, moved) == ["PENDING", "CANCELLED"]
    assert await log_of(conn, other_lane) == ["PENDING"]


async def test_racing_claims_keep_the_order(conn: Conn, pool: Pool) -> None:
    """Routers that race for the same lanes never send a task before the one in front of it is done, nor one twice."""
    ids = [await enqueue(conn, trade=f"T{n}", symbol="ES" if n % 2 else "CL") for n in range(40)]

    async def work() -> None:
        while "PENDING" in await statuses(conn):
            async with claim(pool, ["a"], limit=1, depth=1) as claimed:
                await claimed.record("test", [intent(task) for task in claimed.due])
            async with pool.connection() as mine:
                done = [LogEntry(task.id, task.version + 1, Status.SUCCESS, "DONE") for task in claimed.due]
                await append(mine, "test", done)

    await asyncio.gather(*[work() for _ in range(4)])
    assert [await log_of(conn, task_id) for task_id in ids] == [["PENDING", "SENDING", "SUCCESS"]] * len(ids)
    overtaken = (
        "SELECT count(*) FROM execution_tasks t JOIN execution_tasks before ON before.lane = t.lane AND before.id < t.id"
        " JOIN execution_logs sent ON sent.task_id = t.id AND sent.status = 'SENDING'"
        " JOIN execution_logs done ON done.task_id = before.id AND done.status = 'SUCCESS' WHERE done.created_at > sent.created_at"
    )
    assert await value(conn, overtaken) == 0


@pytest.mark.parametrize("ends", ["commit", "rollback"])
async def test_append_compares_and_sets(conn: Conn, other: Conn, ends: str) -> None:
    """Of two appends to one version the second waits for the first, and stands only when that was rolled back."""
    task_id = await enqueue(conn)
    watcher = await psycopg.AsyncConnection.connect(conn.info.dsn, autocommit=True)
    await conn.execute("BEGIN")
    assert task_id in await append(conn, "first", [LogEntry(task_id, 1, Status.CANCELLED, "FIRST")])
    second = asyncio.create_task(append(other, "second", [LogEntry(task_id, 1, Status.HELD, "SECOND")]))
    blocked = "SELECT cardinality(pg_blocking_pids(%s)) > 0"
    async with watcher:
        await until_async(lambda: value(watcher, blocked, other.info.backend_pid), what="the second append waits")
    await conn.execute(ends)
    assert set(await second) == ({task_id} if ends == "rollback" else set())
    assert await log_of(conn, task_id) == ["PENDING", "HELD" if ends == "rollback" else "CANCELLED"]


async def test_append_leaves_out_what_moved_on(conn: Conn) -> None:
    """An append at a version that is past, or still to come, is left out of the answer; the others stand."""
    ids = [await enqueue(conn) for _ in range(3)]
    await move(conn, ids[0], "HELD")
    entries = [
        LogEntry(task_id, version, Status.CANCELLED, "R") for task_id, version in zip(ids, (1, 2, 1), strict=True)
    ]
    appended = await append(conn, "me", [*entries[::-1], LogEntry(999, 1, Status.CANCELLED, "R")])
    assert [(row.task_id, row.seq, row.prev_status) for row in appended.values()] == [(ids[2], 2, "PENDING")]
    assert await statuses(conn) == ["HELD", "PENDING", "CANCELLED"]
    assert await is_appended(conn, entries[2], "me")
    assert not await is_appended(conn, entries[2], "somebody else")
    assert not await is_appended(conn, entries[1], "me")


async def test_broker_texts_are_stored_whatever_they_hold(conn: Conn) -> None:
    """A broker's answer is cleaned so that it can be stored and cut to a length, and kept as it came beside that."""
    task_id = await bring(conn, await enqueue(conn), "SENDING")
    body = "no\0pe \ud800" + "x" * 10_000
    detail = {"said\0": ["\ud800", {"n": "\0"}]}
    await append(conn, "me", [LogEntry(task_id, 2, Status.FAILED, "R", "m\0m", response_body=body, detail=detail)])
    row = await conn.execute(
        "SELECT message, length(response_body) < 9000, left(response_body, 7), response_raw, detail FROM execution_logs WHERE seq = 3"
    )
    assert await row.fetchone() == (
        "m␀m", True, "no␀pe ?", body.encode("utf-8", "surrogatepass"), {"said␀": ["?", {"n": "␀"}]}
    )  # fmt: skip


async def test_lanes(conn: Conn) -> None:
    """A symbol decides the lane; without one the task joins its trade's, and a trade without any has one of its own."""
    ids = [
        await enqueue(conn, symbol="MES1!"),
        await enqueue(conn, "EXIT", symbol=None),
        await enqueue(conn, "EXIT", trade="T2", symbol=None),
        await enqueue(conn, "EXIT", trade="T1", symbol=None, account="b"),
    ]
    lanes = [await value(conn, "SELECT lane FROM execution_tasks WHERE id = %s", task_id) for task_id in ids]
    assert lanes == ["a/ES", "a/ES", "a/-", "b/-"]


async def test_opening_is_the_same_everywhere(conn: Conn) -> None:
    """The database and the domain agree on which events add exposure and so wait in line."""
    events = ["ENTRY", "EXIT", "EXIT_SL", "CANCEL_ALL", "REDUCE", "MOVE_STOP", "FLATTEN", "ADD", "AN_EXIT", "HELLO"]
    for event in events:
        await insert(conn, event, event)
    rows = await (await conn.execute("SELECT event_type, opening FROM execution_tasks")).fetchall()
    assert rows == [(event, opens(event)) for event in events]


async def test_ended_leases_and_unknown_tasks(conn: Conn) -> None:
    """Recovery sees the tasks of its accounts whose lease ended by the database's clock, and the unknown ones."""
    ended, leased, elsewhere = await enqueue(conn), await enqueue(conn, symbol="CL"), await enqueue(conn, account="b")
    for task_id, lease_s in ((ended, 0.0), (leased, 60.0), (elsewhere, 0.0)):
        await append(conn, "router", [LogEntry(task_id, 1, Status.SENDING, "INTENT", lease_s=lease_s)])
    lost = await bring(conn, await enqueue(conn, symbol="GC"), "UNKNOWN")
    assert [(task.id, task.version, task.worker) for task in await lease_ended(conn, ["a"])] == [(ended, 2, "router")]
    mode = await value(conn, "SELECT mode FROM execution_tasks WHERE id = %s", lost)
    assert ids_of(await unknown(conn, ["a", "b"], mode)) == [lost]
    assert ids_of(await unknown(conn, ["a", "b"], "live" if mode == "dry" else "dry")) == []
    state = await task_state(conn, lost)
    assert state
    assert (state.status, state.version, state.attempts) == ("UNKNOWN", 3, 1)
    assert await task_state(conn, 999) is None


async def test_routed_siblings_keep_their_place(conn: Conn, pool: Pool) -> None:
    """A row that named no account becomes one task for each, all in its own place in line, however late it is routed."""
    early = await enqueue(conn, account=None)
    late = [await enqueue(conn, account="a", trade="T2"), await enqueue(conn, account="b", trade="T2")]
    assert await due(pool, "a", "b") == late
    assert await route(pool, "router", trading("a", "b"), max_age_s=60.0) == 1
    sibling = late[1] + 1
    assert await due(pool, "a", "b", depth=2) == [early, sibling, *late]
    rows = await conn.execute(
        "SELECT account, lane, place, payload ->> 'symbol', expires_at = min(created_at) OVER () + interval '1 minute'"
        " FROM execution_tasks WHERE trade_id = 'T1' ORDER BY id"
    )
    assert await rows.fetchall() == [("a", "a/ES", early, "ES", True), ("b", "b/ES", early, "ES", True)]
    assert await value(conn, "SELECT count(DISTINCT client_order_id) FROM execution_tasks") == 4


async def test_routing_takes_turns(conn: Conn, pool: Pool) -> None:
    """One router at a time routes, in id order; another one finds nothing to do meanwhile."""
    ids = [await insert(conn, f"T{n}") for n in range(3)]
    async with pool.connection() as holder, holder.transaction():
        rows = await (await holder.execute("SELECT id FROM lock_unrouted_tasks(9)")).fetchall()
        assert [task_id for (task_id,) in rows] == ids
        assert await route(pool, "second", trading()) == 0
    assert await route(pool, "second", trading(), limit=2) == 2
    assert await statuses(conn) == ["DENIED", "DENIED", "PENDING"]


@pytest.mark.parametrize(
    "payload",
    ["5", "null", '["ENTRY"]', '{"symbol": {"root": "ES"}}', '{"n": 1e5000}', '{"n": ' + "[" * 3000 + "]" * 3000 + "}"],
    ids=["number", "null", "list", "nested symbol", "huge number", "deep nesting"],
)
async def test_any_payload_can_be_routed_and_claimed(conn: Conn, pool: Pool, payload: str) -> None:
    """Whatever JSON somebody inserts, its task can be claimed, and so it never holds up the tasks behind it."""
    await conn.execute(
        "INSERT INTO execution_tasks (trade_id, event_type, payload) VALUES ('T1', 'ENTRY', %s)", (payload,)
    )
    behind = await enqueue(conn, account=None, trade="T2")
    assert await route(pool, "router", trading("a")) == 2
    assert behind in await due(pool, depth=5)


async def test_a_row_that_cannot_be_routed(conn: Conn, pool: Pool) -> None:
    """A row that the database refuses to route is denied by itself; the rows behind it are routed."""
    poisoned = await enqueue(conn, account=None)
    behind = await enqueue(conn, account=None, trade="T2", symbol="CL")
    long = "x" * 101
    routes = (Route("wrong", (long,), instruments=("ES",)), Route("right", ("a",), instruments=("CL",)))
    await route(pool, "router", TableCache(RoutingTable((Candidate(long), Candidate("a")), routes)))
    assert await log_of(conn, poisoned) == ["PENDING", "DENIED"]
    assert await due(pool) == [behind]


async def test_notifications(conn: Conn, other: Conn) -> None:
    """A transaction that inserts tasks, however many, notifies once when it commits; one that inserts none does not."""
    await listen(other, CHANNEL)
    task_id = await enqueue(conn)
    async with conn.transaction():
        for n in range(3):
            await insert(conn, f"T{n}")
            await enqueue(conn, trade=f"T{n}")
    async with conn.transaction():
        await insert(conn, "T9")
        raise psycopg.Rollback
    await move(conn, task_id, "HELD")
    await append(conn, "me", [LogEntry(task_id, 2, Status.PENDING, "APPROVED")], wake=True)
    await statuses(conn)
    await notify(conn, payload="end")
    heard: list[str] = []
    async for notification in other.notifies():
        heard.append(notification.payload)
        if notification.payload == "end":
            break
    assert heard == ["", "", "", "end"]


async def test_a_trade_is_found_by_its_index(any_dsn: str, owner: psycopg.Connection[Any]) -> None:
    """Storing and claiming a task reads a few rows of its own trade, however many the account has."""
    rows = "INSERT INTO execution_tasks (trade_id, event_type, account, payload) SELECT 'T' || g, 'ENTRY', 'a', '{}' FROM {} g"

    def read(statement: str) -> int:
        counted = "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'execution_tasks'"
        with owner.transaction():
            before = owner.execute(counted).fetchone()
            owner.execute(statement)  # type: ignore[arg-type, call-overload, unused-ignore]
            after = owner.execute(counted).fetchone()
        assert before is not None
        assert after is not None
        return int(after[0] - before[0])

    with owner.transaction():
        owner.execute(rows.replace("{} g", "generate_series(1, 2000) g"))  # type: ignore[call-overload, unused-ignore]
    assert read(rows.replace("{} g", "generate_series(5001, 5010) g")) < 100
    assert read("SELECT count(*) FROM lock_due_tasks(ARRAY['a'], 5, 5, 'dry')") < 500
