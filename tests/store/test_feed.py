"""The feed: every log row once, as it commits, from any position on."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace

import psycopg
import pytest

from eventrouter.store import feed
from eventrouter.store.connect import Conn, Database, Pool
from eventrouter.store.feed import FeedRow, Position, PositionError
from tests.store.stored_task import enqueue, insert, move, value


async def drain(pool: Pool, position: Position) -> tuple[list[FeedRow], Position]:
    """Everything there is from a position on, and the position after it."""
    found: list[FeedRow] = []
    while True:
        rows, after = await feed.read(pool, position)
        found += rows
        if not rows and not position.next and not position.replay_to:
            return found, after
        position = after


def seen(rows: list[FeedRow]) -> list[int]:
    """The ids of log rows, as delivered."""
    return [found.row["id"] for found in rows]


async def all_ids(conn: Conn) -> list[int]:
    """The ids of all log rows."""
    return [row[0] for row in await (await conn.execute("SELECT id FROM execution_logs ORDER BY id")).fetchall()]


@pytest.fixture
async def writers(any_dsn: str) -> AsyncIterator[list[Conn]]:
    """Connections of the service for transactions that overlap."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(await Database(any_dsn).connect(f"writer{n}")) for n in range(4)]


async def test_a_row_says_all_that_a_client_needs(conn: Conn, pool: Pool) -> None:
    """The feed starts now or at the beginning, and a row carries its task's trade."""
    task_id = await enqueue(conn)
    now, start = await feed.start(pool, None), await feed.start(pool, None, from_start=True)
    await move(conn, task_id, "HELD")
    (held,), _ = await drain(pool, now)
    assert {name: held.row[name] for name in ("task_id", "seq", "prev_status", "status", "trade_id", "account")} == {
        "task_id": task_id,
        "seq": 2,
        "prev_status": "PENDING",
        "status": "HELD",
        "trade_id": "T1",
        "account": "a",
    }
    assert [found.row["status"] for found in (await drain(pool, start))[0]] == ["PENDING", "HELD"]


async def test_nothing_waits_for_an_open_transaction(conn: Conn, pool: Pool, writers: list[Conn]) -> None:
    """Rows are delivered as they commit, while lower ids are still to come; those are delivered when they commit."""
    position = await feed.start(pool, None)
    delivered: list[list[int]] = []
    first, second, *_ = writers
    await first.execute("BEGIN")
    await insert(first, "T1")
    await second.execute("BEGIN")
    await insert(second, "T2")
    await insert(conn, "T3")
    for ending in ("", "second", "first"):
        if ending:
            await (second if ending == "second" else first).execute("COMMIT")
        rows, position = await drain(pool, position)
        delivered.append(seen(rows))
    assert delivered == [[3], [2], [1]]
    assert await drain(pool, position) == ([], position)


@pytest.mark.parametrize("page", [1, 2, 500])
async def test_every_row_once(
    conn: Conn, pool: Pool, writers: list[Conn], monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """Overlapping transactions, rollbacks, savepoints and pages of any size: every row once, each task's in order."""
    monkeypatch.setattr(feed, "PAGE", page)
    chance = random.Random(page)
    position = await feed.start(pool, None, from_start=True)
    rows: list[FeedRow] = []
    open_: set[int] = set()
    ids = [await enqueue(conn, symbol=f"S{n}") for n in range(4)]
    for _ in range(60):
        number = chance.randrange(len(writers))
        if number not in open_:
            await writers[number].execute("BEGIN")
            open_.add(number)
        elif chance.random() < 0.4:
            await writers[number].execute(chance.choice(["COMMIT", "COMMIT", "ROLLBACK"]))
            open_.discard(number)
            continue
        async with writers[number].transaction(force_rollback=chance.random() < 0.2):
            await move(writers[number], ids[number], *["PENDING"] * chance.randint(1, 3))
        if chance.random() < 0.5:
            found, position = await feed.read(pool, position)
            rows += found
    for number in open_:
        await writers[number].execute("COMMIT")
    found, position = await drain(pool, position)
    rows += found
    assert sorted(seen(rows)) == await all_ids(conn)
    for task_id in ids:
        seqs = [found.row["seq"] for found in rows if found.row["task_id"] == task_id]
        assert seqs == list(range(1, len(seqs) + 1))


async def test_resuming_anywhere(conn: Conn, pool: Pool, writers: list[Conn], monkeypatch: pytest.MonkeyPatch) -> None:
    """From the position of every row, and of every page, reading goes on with exactly the rest."""
    monkeypatch.setattr(feed, "PAGE", 3)
    await insert(conn, "old")
    for from_start in (True, False):
        position = await feed.start(pool, None, from_start=from_start)
        await writers[0].execute("BEGIN")
        await insert(writers[0], "late")
        for n in range(7):
            await insert(conn, f"T{n}")
        rows: list[FeedRow] = []
        after: list[tuple[int, Position]] = [(0, position)]
        for step in range(9):
            if step == 4:
                await writers[0].execute("COMMIT")
                await insert(conn, "last")
            found, position = await feed.read(pool, position)
            rows += found
            after.append((len(rows), position))
        after += [(number, found.position) for number, found in enumerate(rows, start=1)]
        expected = seen(rows)
        assert len(expected) == len(set(expected)) >= 9
        for number, given in after:
            resumed = await feed.start(pool, str(given))
            assert resumed == given
            assert sorted(seen((await drain(pool, resumed))[0])) == sorted(expected[number:]), given


async def test_a_replay_and_what_commits_meanwhile(conn: Conn, pool: Pool, writers: list[Conn]) -> None:
    """A row that commits between the start of a replay and its first page is delivered once."""
    await writers[0].execute("BEGIN")
    await insert(writers[0], "T1")
    await insert(conn, "T2")
    position = await feed.start(pool, None, from_start=True)
    await writers[0].execute("COMMIT")
    rows, _ = await drain(pool, position)
    assert sorted(seen(rows)) == [1, 2]


@pytest.mark.parametrize(("origin", "prev"), [("7.7", "9000000:9000000:"), ("7.7", "3:3:"), (None, "9000000:9000000:")])
async def test_a_position_from_elsewhere(conn: Conn, pool: Pool, origin: str | None, prev: str) -> None:
    """A position of another database, or of this one before it was restored, goes on by id after the last row seen."""
    for n in range(4):
        await insert(conn, f"T{n}")
    rows, _ = await drain(pool, await feed.start(pool, None, from_start=True))
    known = rows[1].position
    elsewhere = replace(known, origin=origin or known.origin, prev=prev, next="")
    resumed = await feed.start(pool, str(elsewhere))
    assert resumed.origin == known.origin
    await insert(conn, "T9")
    found, position = await drain(pool, resumed)
    assert seen(found) == [3, 4, 5]
    assert seen((await drain(pool, await feed.start(pool, str(position))))[0]) == []


async def test_rows_from_a_restored_dump(any_dsn: str, pool: Pool, conn: Conn) -> None:
    """Rows with transaction ids of the future, as a restored dump has them, are replayed once and never again."""
    with psycopg.connect(any_dsn, autocommit=True) as owner:
        owner.execute("INSERT INTO execution_tasks (trade_id, event_type) VALUES ('T1', 'ENTRY')")
        owner.execute("SET session_replication_role = replica")
        owner.execute("UPDATE execution_logs SET xid = '99999999'")
    rows, position = await drain(pool, await feed.start(pool, None, from_start=True))
    assert seen(rows) == [1]
    await insert(conn, "T2")
    rows, position = await drain(pool, position)
    assert seen(rows) == [2]
    assert await drain(pool, position) == ([], position)


GARBAGE = [
    "now",
    "_____",
    "{origin}_{prev}_",
    "{origin}_{prev}__0_0_0",
    "{origin}_{prev}__x_0",
    "{origin}_{prev}__0_x",
    "{origin}_{prev}__0_1\0",
    "{origin}___0_0",
    "{origin}_5__0_0",
    "{origin}_0:0:__0_0",
    "{origin}_-5:9:__0_0",
    "{origin}_9:5:__0_0",
    "{origin}_5:9:x__0_0",
    "{origin}_5:9:4__0_0",
    "{origin}_5:9:8,7__0_0",
    "{origin}_5:9:\0__0_0",
    "{origin}_5:9:\ud800__0_0",
    "{origin}_{prev}_9:5:_0_0",
    "\ud800",
]


async def test_garbage_positions(pool: Pool) -> None:
    """A position that nobody gave out is refused when the feed starts, with a sentence that says what to do."""
    known = await feed.start(pool, None)
    accepted = []
    for garbage in GARBAGE:
        with suppress(PositionError):
            await feed.start(pool, garbage.format(origin=known.origin, prev=known.prev))
            accepted.append(garbage)
    assert not accepted
    with pytest.raises(PositionError, match="from=start"):
        Position.parse("now")


async def test_positions_are_texts(conn: Conn, pool: Pool, writers: list[Conn]) -> None:
    """A position survives as text, with transactions open and in the middle of a page, and fits into a header."""
    for writer in writers:
        await writer.execute("BEGIN")
        await insert(writer, "open")
    await insert(conn, "T1")
    rows, after = await feed.read(pool, await feed.start(pool, None, from_start=True))
    for position in (after, rows[0].position):
        assert Position.parse(str(position)) == position
        assert str(position).isascii()
        assert len(str(position)) < 1000
    assert await value(conn, "SELECT count(*) FROM execution_logs") == 1
