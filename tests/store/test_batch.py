"""Natural batching: what comes while a commit is in flight goes together, and what is refused is refused alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import psycopg
import pytest

from eventrouter.errors import RowRefused, StoreBusy, StoreUnavailable
from eventrouter.metrics import Metrics
from eventrouter.store.batch import Batcher
from eventrouter.store.connect import Conn, Database, Pool

GOOD = "good"


class Book:
    """A table of notes and the write that a Batcher calls: it counts batches, and waits where a test says so."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.writing = asyncio.Event()
        self.fails: list[Callable[[Conn], Awaitable[None]]] = []

    async def write(self, conn: Conn, items: Sequence[Any]) -> list[str]:
        """Stores the items; the results are the items, marked."""
        self.batches.append(list(items))
        self.writing.set()
        await self.open.wait()
        if self.fails:
            await self.fails.pop()(conn)
        await conn.execute("INSERT INTO notes (note) SELECT * FROM unnest(%s::text[])", (list(items),))
        return [f"{item}!" for item in items]


@pytest.fixture
async def notes(dsn: str) -> AsyncIterator[Pool]:
    """A pool on a database with a table of short, unique notes."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("CREATE TABLE notes (note varchar(20) UNIQUE CHECK (note <> 'bad'))")
        conn.execute("GRANT SELECT, INSERT ON notes TO eventrouter_app")
    async with Database(dsn).pool("notes") as opened:
        yield opened


@pytest.fixture
def book() -> Book:
    """What was written."""
    return Book()


@pytest.fixture
async def batcher(notes: Pool, book: Book) -> AsyncIterator[Batcher[Any, str]]:
    """A started batcher of at most 200 items a batch, with room for 300."""
    made: Batcher[Any, str] = Batcher("notes", notes, book.write, Metrics(), most=200, waiting=300)
    made.start()
    yield made
    book.open.set()
    await made.stop()


async def stored(pool: Pool) -> set[str]:
    """What the table holds."""
    async with pool.connection() as conn:
        return {row[0] for row in await (await conn.execute("SELECT note FROM notes")).fetchall()}


async def answers(futures: Sequence[asyncio.Future[str]]) -> list[Any]:
    """Results and errors, in order."""
    return await asyncio.gather(*futures, return_exceptions=True)


async def test_one_item_goes_at_once(batcher: Batcher[Any, str], book: Book, notes: Pool) -> None:
    """An item that comes alone is committed alone, and its caller then has its result."""
    assert await batcher.put("a") == "a!"
    assert await stored(notes) == {"a"}
    assert book.batches == [["a"]]


async def test_batching_is_natural(batcher: Batcher[Any, str], book: Book, notes: Pool) -> None:
    """What comes while a commit is in flight goes in the next one, together; each caller gets its own result."""
    book.open.clear()
    first = batcher.add("a")
    await book.writing.wait()
    rest = [batcher.add(f"n{number}") for number in range(50)]
    assert not first.done()
    book.open.set()
    assert await answers([first, *rest]) == ["a!", *(f"n{number}!" for number in range(50))]
    assert [len(batch) for batch in book.batches] == [1, 50]
    assert len(await stored(notes)) == 51


async def test_a_batch_has_a_limit(batcher: Batcher[Any, str], book: Book) -> None:
    """No batch is larger than it may be; the rest goes in the next, in order."""
    futures = [batcher.add(f"n{number}") for number in range(250)]
    assert await answers(futures) == [f"n{number}!" for number in range(250)]
    assert [len(batch) for batch in book.batches] == [200, 50]


POISON: dict[str, str] = {
    "class 22": "far too long for its column",
    "class 23": "bad",
    "repeated": GOOD + "7",
    "nul": "nul\0",
    "surrogate": "half \ud800",
}


@pytest.mark.parametrize("place", [0, 120, 199])
@pytest.mark.parametrize("poison", POISON)
async def test_a_poisoned_row_fails_alone(
    batcher: Batcher[Any, str], book: Book, notes: Pool, poison: str, place: int
) -> None:
    """Of 200 items of a batch the one that cannot be stored fails with RowRefused, and the 199 others are stored."""
    items: list[Any] = [f"{GOOD}{number}" for number in range(199)]
    items.insert(place if poison != "repeated" else 199, POISON[poison])
    found = await answers([batcher.add(item) for item in items])
    refused = [(item, answer) for item, answer in zip(items, found, strict=True) if isinstance(answer, Exception)]
    assert [(item, type(answer)) for item, answer in refused] == [(POISON[poison], RowRefused)]
    assert "notes" in str(refused[0][1])
    assert [answer for answer in found if isinstance(answer, str)] == [f"{GOOD}{n}!" for n in range(199)]
    assert await stored(notes) == {f"{GOOD}{number}" for number in range(199)}


@pytest.mark.parametrize("code", ["40001", "40P01"])
async def test_giving_way_is_repeated(batcher: Batcher[Any, str], book: Book, notes: Pool, code: str) -> None:
    """A batch that gave way to another transaction is written again, and nobody notices."""

    async def give_way(conn: Conn) -> None:
        await conn.execute(f"DO $$ BEGIN RAISE 'give way' USING ERRCODE = '{code}'; END $$")

    book.fails = [give_way, give_way]
    assert await batcher.put("a") == "a!"
    assert len(book.batches) == 3
    assert await stored(notes) == {"a"}
    book.fails = [give_way] * 50
    with pytest.raises(StoreUnavailable):
        await batcher.put("b")
    book.fails = []
    assert await batcher.put("c") == "c!"


async def test_a_lost_connection_fails_the_batch_only(batcher: Batcher[Any, str], book: Book, notes: Pool) -> None:
    """When the connection is lost the batch's callers are told so, nothing is stored, and the next batch goes."""

    async def hang_up(conn: Conn) -> None:
        async with await psycopg.AsyncConnection.connect(conn.info.dsn, autocommit=True) as owner:
            await owner.execute("SELECT pg_terminate_backend(%s, 5000)", (conn.info.backend_pid,))

    book.fails = [hang_up]
    found = await answers([batcher.add("a"), batcher.add("b")])
    assert [type(answer) for answer in found] == [StoreUnavailable] * 2
    assert await batcher.put("c") == "c!"
    assert await stored(notes) == {"c"}


async def test_a_database_that_does_not_answer(notes: Pool, book: Book) -> None:
    """A batch that is not committed within its deadline fails, and the batcher goes on."""
    batcher: Batcher[str, str] = Batcher("notes", notes, book.write, Metrics(), deadline_s=0.05)
    batcher.start()
    book.open.clear()
    with pytest.raises(StoreUnavailable):
        await batcher.put("a")
    book.open.set()
    assert await batcher.put("b") == "b!"
    await batcher.stop()
    assert await stored(notes) == {"b"}


async def test_too_many_waiting(batcher: Batcher[Any, str], book: Book, notes: Pool) -> None:
    """When too many items wait the next is refused at once and not stored; the others are."""
    book.open.clear()
    futures = [batcher.add(f"n{number}") for number in range(300)]
    with pytest.raises(StoreBusy):
        await batcher.put("one too many")
    book.open.set()
    assert len({*await answers(futures)}) == 300
    assert await batcher.put("now") == "now!"
    assert "one too many" not in await stored(notes)


async def test_stop_writes_what_waits(batcher: Batcher[Any, str], book: Book, notes: Pool) -> None:
    """Stopping waits for the commit in flight and writes what has come since."""
    book.open.clear()
    first = batcher.add("a")
    await book.writing.wait()
    rest = [batcher.add(f"n{number}") for number in range(250)]
    stopping = asyncio.create_task(batcher.stop())
    book.open.set()
    await stopping
    assert all(future.done() for future in (first, *rest))
    assert len(await stored(notes)) == 251


async def test_put_after_stop(batcher: Batcher[Any, str], book: Book) -> None:
    """Nothing waits for ever for a batcher that has been stopped."""
    await batcher.put("a")
    await batcher.stop()
    with pytest.raises(StoreUnavailable):
        async with asyncio.timeout(5):
            await batcher.put("b")


async def test_a_caller_that_gave_up(batcher: Batcher[Any, str], book: Book, notes: Pool) -> None:
    """An item whose caller went away before its commit began is not written; the others are not disturbed."""
    book.open.clear()
    first = batcher.add("a")
    await book.writing.wait()
    gone, stays = batcher.add("gone"), batcher.add("stays")
    gone.cancel()
    book.open.set()
    assert await answers([first, stays]) == ["a!", "stays!"]
    assert await stored(notes) == {"a", "stays"}
