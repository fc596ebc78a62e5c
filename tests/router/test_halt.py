"""A halt is effective for what waits in line already: once it has returned, no router commits an intent that it forbids."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest

from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.store import controls
from eventrouter.store.connect import Conn, Database
from eventrouter.store.tasks import Appended, Claim
from tests.processes import until_async
from tests.router.book import enqueue, is_sound, reaches, value
from tests.router.conftest import Start, asleep

INTENTS = "SELECT count(*) FROM execution_logs WHERE status = 'SENDING'"
SCOPES = [
    ("all", ["ES", "NQ"]),
    ("account:paper", ["ES", "NQ"]),
    ("account:other", []),
    ("strategy:ORB", ["ES"]),
]


@pytest.mark.parametrize("number", range(3))
async def test_no_intent_after_a_halt(db: Conn, dsn: str, start: Start, number: int) -> None:
    """Two routers are busy with a long line when the halt comes: the last entry that they commit is older than it."""
    for name in ("router-a", "router-b"):
        await start(name=name, batch_size=5)
    async with await Database(dsn).connect("halt") as conn:
        async with db.transaction():
            for each in range(300):
                await enqueue(db, f"t{each}", symbol=f"S{each}")
        await _sent(db, 20 * (number + 1))
        async with conn.transaction():  # the count is taken before a claim can go on, so that it is exact
            await controls.set_control(conn, "all", "halt", "cli:me", "news")
            before = await value(conn, INTENTS)
    await _no_pending(db)
    assert await value(db, INTENTS) == before
    denied = await value(db, "SELECT count(*) FROM execution_tasks WHERE status = 'DENIED'")
    assert denied == 300 - before > 0
    assert denied == await value(db, "SELECT count(*) FROM execution_logs WHERE reason = 'HALTED'")
    assert await is_sound(db)


async def test_a_halt_waits_for_who_is_deciding(
    db: Conn, dsn: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A router that has looked at the controls already commits its intent before the halt returns, and not after."""
    deciding, go = asyncio.Event(), asyncio.Event()
    record = Claim.record

    async def slow(
        self: Claim, actor: str, entries: Sequence[LogEntry], asked: Sequence[LogEntry] = ()
    ) -> dict[int, Appended]:
        deciding.set()
        await go.wait()
        return await record(self, actor, entries, asked)

    await start()
    monkeypatch.setattr(Claim, "record", slow)
    task = await enqueue(db, "t", symbol="ES")
    await deciding.wait()
    async with await Database(dsn).connect("halt") as conn:
        halting = asyncio.create_task(controls.set_control(conn, "all", "halt", "cli:me", None))

        async def waits() -> bool:
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            return halting.done() or bool(await value(db, waiting))

        await until_async(waits, what="the halt that waits")
        assert not halting.done()
        go.set()
        await halting
    assert await value(db, INTENTS) == 1
    await reaches(db, task, Status.SUCCESS)
    later = await enqueue(db, "later", symbol="ES")
    await reaches(db, later, Status.DENIED)


@pytest.mark.parametrize(("scope", "denied"), SCOPES, ids=[each[0] for each in SCOPES])
@pytest.mark.parametrize(("action", "reason"), [("halt", "HALTED"), ("reduce", "REDUCING"), ("flatten", "REDUCING")])
async def test_the_scope(
    db: Conn, dsn: str, start: Start, scope: str, denied: list[str], action: str, reason: str
) -> None:
    """Entries of the scope are denied with the reason, others go; what closes goes in any case; a resume ends it."""
    router = await start()
    held = await enqueue(db, "held", symbol="CL")
    await reaches(db, held, Status.SUCCESS)
    async with await Database(dsn).connect("halt") as conn:
        await controls.set_control(conn, scope, action, "cli:me", None)
        tasks = {symbol: await _entry(db, symbol, strategy) for symbol, strategy in (("ES", "orb"), ("NQ", "breakout"))}
        exit_ = await enqueue(db, "held", "EXIT_SL", symbol="CL")
        await reaches(db, exit_, Status.SUCCESS)
        for symbol, task in tasks.items():
            await reaches(db, task, Status.DENIED if symbol in denied else Status.SUCCESS)
        rows = await value(db, "SELECT count(*) FROM execution_logs WHERE reason = %s", reason)
        assert rows == len(denied)
        await controls.set_control(conn, scope, "resume", "cli:me", None)
    # what is being flattened opens nothing, whatever was resumed
    flattening = "SELECT COALESCE((SELECT state ->> 'flattening' FROM account_log ORDER BY seq DESC LIMIT 1), '') = ''"
    await until_async(partial(value, db, flattening), what="the flattening that ends")
    again = await _entry(db, "ES", "orb", trade="again")
    await reaches(db, again, Status.SUCCESS)
    await asleep(router)
    assert await is_sound(db)


async def _entry(db: Conn, symbol: str, strategy: str, trade: str | None = None) -> int:
    cursor = await db.execute(
        "SELECT enqueue_execution_task(%s, 'ENTRY', jsonb_build_object('symbol', %s::TEXT, 'strategy', %s::TEXT), 'paper')",
        (trade or symbol, symbol, strategy),
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def _sent(db: Conn, least: int) -> None:
    """Returns once so many entries were sent."""

    async def sent() -> bool:
        return bool(await value(db, INTENTS) >= least)

    await until_async(sent, what=f"{least} entries sent")


async def _no_pending(db: Conn) -> None:
    async def none() -> bool:
        return not await value(db, "SELECT count(*) FROM execution_tasks WHERE status IN ('PENDING', 'SENDING')")

    await until_async(none, what="the end of the line")
