"""The live feed: every log row once, whatever the client, its network and other sessions do."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import psycopg
import pytest

from eventrouter.store.feed import PAGE
from eventrouter.web import feed
from tests.history import enqueue, walk
from tests.processes import until_async
from tests.web.feed_reader import READERS, Follower
from tests.web.live_site import Site

Sql = psycopg.Connection[Any]
both = pytest.mark.parametrize("kind", READERS)
PATHS = {"sse": "/api/events", "websocket": "/ws"}


def log_ids(sql: Sql) -> list[int]:
    """The ids of all log rows."""
    return [row_id for (row_id,) in sql.execute("SELECT id FROM execution_logs ORDER BY id")]


async def read(
    site: Site, kind: str, count: int, position: str | None = None, *, query: str = ""
) -> tuple[str, list[dict[str, Any]]]:
    """The first rows of a fresh connection, and the position after them."""
    rows: list[dict[str, Any]] = []
    async with asyncio.timeout(30), aclosing(READERS[kind](site, position, query=query)) as events:
        async for at, row in events:
            rows += [row] if row is not None else []
            if len(rows) >= count:
                return at, rows
    raise AssertionError("the feed ended")


@asynccontextmanager
async def following(followers: list[Follower]) -> AsyncIterator[None]:
    """Lets them follow, connected, for as long as the block lasts."""
    tasks = [asyncio.create_task(follower.follow()) for follower in followers]

    async def connected() -> bool:
        for task in tasks:
            if task.done():
                task.result()
        return all(follower.position for follower in followers)

    try:
        await until_async(connected)
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def open_tasks(sql: Sql) -> int:
    """How many tasks are not done."""
    row = sql.execute("SELECT count(*) FROM execution_tasks WHERE status <> 'SUCCESS'").fetchone()
    assert row is not None
    return int(row[0])


async def test_every_row_once_under_load(routed: Site, dsn: str, sql: Sql) -> None:
    """Clients that reconnect at random miss and repeat nothing, while one session never ends its transaction and another commits a row late."""
    followers = [Follower(routed, kind, seed) for seed, kind in enumerate([*READERS, *READERS])]
    with psycopg.connect(dsn) as idle, psycopg.connect(dsn) as late:
        idle.execute("SELECT pg_current_xact_id()")
        async with following(followers):
            enqueue(sql, "first")  # makes the lane, which an open transaction would keep from the others
            enqueue(late, "late")
            for number in range(150):
                enqueue(sql, f"T-{number}")
                await asyncio.sleep(0)

            async def caught_up() -> bool:
                return not await open_tasks(sql) and all(set(log_ids(sql)) <= set(f.seen) for f in followers)

            await until_async(caught_up, what="seeing all rows while a transaction is open")
            late.commit()
            await until_async(caught_up, what="seeing the late rows")
            enqueue(sql, "last")
            await until_async(caught_up, what="seeing the last rows")
    assert len(log_ids(sql)) == 3 * 153
    for follower in followers:
        assert sorted(follower.seen) == log_ids(sql)
        assert follower.connections > 5


@both
async def test_from_the_start(site: Site, sql: Sql, kind: str) -> None:
    """?from=start replays all history in order, over several pages, and goes on with what comes."""
    with sql.transaction():
        for number in range(PAGE + 5):
            enqueue(sql, f"T-{number}")
    position, rows = await read(site, kind, PAGE + 5, query="?from=start")
    assert [row["id"] for row in rows] == log_ids(sql)
    task_id = enqueue(sql, "new")
    _, more = await read(site, kind, 1, position)
    assert (more[0]["task_id"], more[0]["trade_id"], more[0]["status"]) == (task_id, "new", "PENDING")


@both
async def test_a_commit_during_the_replay(site: Site, dsn: str, sql: Sql, kind: str) -> None:
    """A row that commits between the start of a replay and its reading is told once."""
    enqueue(sql, "first")
    with psycopg.connect(dsn) as late:
        enqueue(late, "late")
        enqueue(sql, "second")
        position, _ = await read(site, kind, 0, query="?from=start")
        late.commit()
    position, rows = await read(site, kind, 3, position)
    enqueue(sql, "last")
    _, more = await read(site, kind, 1, position)
    assert sorted(row["trade_id"] for row in [*rows, *more]) == ["first", "last", "late", "second"]


@both
async def test_a_position_of_another_database(site: Site, sql: Sql, kind: str) -> None:
    """It is answered with the rows after its id: better known rows twice than one never."""
    enqueue(sql, "T-1")
    _, rows = await read(site, kind, 1, "7306.5_1:9:_2:9:_0_0")
    assert rows[0]["trade_id"] == "T-1"


BAD = {
    "garbage": (r".+", "nonsense"),
    "half a snapshot": (r"_\d+:\d+:.*?_", "_1:2_"),
    "backwards": (r"_\d+:\d+:.*?_", "_9:3:_"),
    "too large": (r"_\d+:\d+:.*?_", "_99999999999999999999:99999999999999999999:_"),
    "no list": (r"_\d+:\d+:.*?_", "_1:9:x_"),
    "no such id": (r"_\d+_\d+$", "_9999999999999999999_0"),
    "no number": (r"_\d+_\d+$", "_-1_x"),
}


@both
@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
async def test_a_bad_position(site: Site, sql: Sql, kind: str, change: tuple[str, str]) -> None:
    """400, before anything is streamed: a client must not wait for ever for rows that cannot come."""
    position, _ = await read(site, kind, 0)
    bad = re.sub(*change, position, count=1)
    assert bad != position
    async with asyncio.timeout(5), site.session.get(site.operator(PATHS[kind]), params={"position": bad}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "POSITION_WRONG")


@both
async def test_a_client_that_stops_reading(site: Site, sql: Sql, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """It is disconnected after a while, and the others are told everything meanwhile."""
    monkeypatch.setattr(feed, "_PATIENCE_S", 0.5)
    monkeypatch.setattr(feed, "_QUIET_S", 0.5)
    for number in range(100):
        sql.execute(
            "SELECT enqueue_execution_task(%s, 'ENTRY', jsonb_build_object('note', repeat('x', 100000)), 'paper')",
            (f"T-{number}",),
        )
    address = site.listeners.operator
    with socket.create_connection((address.host, address.port)) as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: YWJjZGVmZ2hpamtsbW5vcA==\r\n"
        head = (
            f"GET {PATHS[kind]}?from=start HTTP/1.1\r\nHost: localhost\r\n{upgrade if kind == 'websocket' else ''}\r\n"
        )
        stalled.sendall(head.encode())
        _, rows = await read(site, kind, 100, query="?from=start")
        assert [row["id"] for row in rows] == log_ids(sql)

        async def alone() -> bool:
            return not site.service.context.feed_clients

        await until_async(alone, within_s=20, what="the end of the stalled client's stream")
        stalled.settimeout(20)
        received = await asyncio.to_thread(_read_to_the_end, stalled)
    assert received < 100 * 100_000


def _read_to_the_end(stalled: socket.socket) -> int:
    received = 0
    with suppress(ConnectionResetError):
        while chunk := stalled.recv(1 << 20):
            received += len(chunk)
    return received


@both
async def test_the_stream_ends_with_the_service(routed: Site, kind: str) -> None:
    """A stop ends open streams at once, so that it need not wait for their clients."""
    async with asyncio.timeout(20), aclosing(READERS[kind](routed)) as events:
        await anext(events)
        routed.service.context.stopping.set()
        assert [event async for event in events] == []
        await routed.stop()


async def test_the_feed_has_its_limit(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """One client more than may be is told to come back later; the place of one that left is free without waiting for a ping."""
    monkeypatch.setattr(feed, "_MOST_CLIENTS", 1)
    monkeypatch.setattr(feed, "_QUIET_S", 3600.0)

    async def free() -> bool:
        return not site.service.context.feed_clients

    for first in READERS.values():
        async with aclosing(first(site)) as events:
            await anext(events)
            for path in PATHS.values():
                async with site.session.get(site.operator(path)) as answer:
                    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        await until_async(free, within_s=10, what="a free place")


async def test_a_row_says_everything(site: Site, sql: Sql) -> None:
    """A row of the feed is the log row with its task's trade."""
    position, _ = await read(site, "sse", 0)
    task_id = enqueue(sql, "T-1")
    walk(sql, task_id, "SENDING", "FAILED")
    _, rows = await read(site, "sse", 3, position)
    expected = {
        "task_id": task_id,
        "seq": 3,
        "prev_status": "SENDING",
        "status": "FAILED",
        "attempt": 1,
        "actor": "test",
    }
    about = {
        "reason": "TEST",
        "message": "FAILED by a test",
        "trade_id": "T-1",
        "event_type": "ENTRY",
        "account": "paper",
    }
    assert (expected | about).items() <= rows[2].items()
