"""Halting and flattening a service that is at work."""

import asyncio
from pathlib import Path
from typing import Any

from tests.live.conftest import Start
from tests.live.rig import Rig
from tests.processes import command, environment, until_async


async def say(rig: Rig, tmp_path: Path, *words: str) -> str:
    """Runs a command against the rig's database; what it printed."""
    env = environment(rig.dsn, EVENTROUTER_CONFIG=str(tmp_path / "config.toml"))
    done = await asyncio.to_thread(command, *words, env=env)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


async def test_a_halt_stops_entries_and_no_exits(start: Start, tmp_path: Path) -> None:
    """Halted: an entry is denied, the exit of what is held goes out; resumed: entries again. Who did it is recorded."""
    rig = await start()
    await rig.done(await rig.entry("T1", 2))
    await say(rig, tmp_path, "halt")
    denied = await rig.ended((await rig.entry("T2")).task("one"))
    assert (denied["status"], denied["reason"]) == ("DENIED", "HALTED")
    await rig.done(await rig.exit("T1"))
    assert await rig.holds() == {"one": 0}
    await say(rig, tmp_path, "resume")
    await rig.done(await rig.entry("T3"))
    actions = await rig.rows("SELECT scope, action, actor FROM controls ORDER BY id")
    assert [(row["scope"], row["action"]) for row in actions] == [("all", "halt"), ("all", "resume")]
    assert all(row["actor"] for row in actions)


async def test_a_halt_reaches_what_is_queued(start: Start, tmp_path: Path) -> None:
    """An entry that waits in its lane behind one that hangs was stored before the halt, and is denied by it."""
    rig = await start(one={}, two={})
    hanging = await rig.market.arm("stall", account=101)
    first = (await rig.entry("T1")).task("one")
    await rig.market.stalled(hanging)
    queued = (await rig.entry("T2")).task("one")
    await say(rig, tmp_path, "halt", "account:one")
    await rig.market.disarm()
    assert (await rig.ended(first))["status"] == "SUCCESS"
    assert (await rig.ended(queued))["reason"] == "HALTED"
    other = await rig.entry("T3")
    assert (await rig.ended(other.task("two")))["status"] == "SUCCESS"
    assert (await rig.ended(other.task("one")))["reason"] == "HALTED"


async def test_flatten_proves_that_it_is_flat(start: Start, tmp_path: Path) -> None:
    """Positions, brackets and a working entry on two accounts: all gone at the broker, and the account's log says FLAT."""
    rig = await start(one={}, two={})
    await rig.done(await rig.entry("T1", 2, stop_loss=23990, take_profit=24020))
    waiting = await rig.entry("T2", 1, order_type="limit", limit_price=23900)
    for name in ("one", "two"):
        await rig.reached(waiting.task(name), "ACCEPTED")
    printed = await say(rig, tmp_path, "flatten", "--yes")
    assert "flat" in printed.lower()
    assert await rig.holds() == {"one": 0, "two": 0}
    assert [await rig.market.working(number) for number in rig.numbers.values()] == [[], []]
    kinds = await rig.rows("SELECT account, kind FROM account_log WHERE kind = 'FLAT' ORDER BY account")
    assert [row["account"] for row in kinds] == ["one", "two"]
    refused = await rig.entry("T3")
    assert {(await rig.ended(row["id"]))["status"] for row in refused.tasks} == {"DENIED"}
    await rig.market.price("MNQ", 23800)
    assert await rig.holds() == {"one": 0, "two": 0}


async def test_an_account_is_flattened_alone(start: Start, tmp_path: Path) -> None:
    """Of two behind one login one is flattened while its close hangs: the other enters, keeps its bracket, and leaves."""
    rig = await start(one={}, two={})
    await rig.done(await rig.entry("T1", 2, stop_loss=23990, take_profit=24020))
    hanging = await rig.market.arm("stall", endpoint="Position/closeContract")
    flattening = asyncio.create_task(say(rig, tmp_path, "flatten", "account:one", "--yes"))
    await rig.market.stalled(hanging)
    assert len(await rig.market.working(rig.numbers["two"])) == 2
    more = await rig.entry("T2")
    await rig.done_on(more, "two")
    assert (await rig.ended(more.task("one")))["status"] == "DENIED"
    await rig.done_on(await rig.exit("T2"), "two")
    await rig.market.disarm()
    await flattening
    assert await rig.holds() == {"one": 0, "two": 2}
    await rig.done_on(await rig.exit("T1"), "two")
    assert await rig.holds() == {"one": 0, "two": 0}


async def test_an_exit_waits_while_everything_is_closed(start: Start, tmp_path: Path) -> None:
    """The close fills in parts: an exit of what is left waits, or both together would sell more than is held."""
    rig = await start()
    await rig.done(await rig.entry("T1", 2))
    await rig.market.arm("partial", contracts=1, endpoint="Position/closeContract")
    hanging = await rig.market.arm("stall", when="after", endpoint="Position/closeContract")
    flattening = asyncio.create_task(say(rig, tmp_path, "flatten", "--yes"))
    await rig.market.stalled(hanging)
    leave = (await rig.exit("T1")).task("one")
    await rig.reached(leave, "PENDING", "FLATTENING")
    await rig.market.client.control(f"faults/{hanging}/release", {})
    await flattening
    end = await rig.ended(leave)
    assert (end["status"], end["reason"]) == ("DENIED", "NOTHING_TO_CLOSE")
    await rig.market.price("MNQ", 23990)
    assert await rig.holds() == {"one": 0}
    assert sum(await rig.sold()) == 2


async def test_flatten_waits_for_what_hangs(start: Start, tmp_path: Path) -> None:
    """An entry was executed and its answer hangs: flatten sells what it bought and does not stop at the first look."""
    rig = await start()
    hanging = await rig.market.arm("stall", when="before")
    entry = (await rig.entry("T1", 2)).task("one")
    await rig.market.stalled(hanging)
    flattening = asyncio.create_task(say(rig, tmp_path, "flatten", "--yes"))
    await until_async(lambda: _flattening(rig), what="the flattening on record")
    await rig.market.client.control(f"faults/{hanging}/release", {})
    await flattening
    await rig.ended(entry)
    await until_async(lambda: _sold(rig, 2), what="the sale of what was executed meanwhile")
    assert await rig.holds() == {"one": 0}


async def test_a_strategy_is_halted_alone(start: Start, tmp_path: Path) -> None:
    """Another strategy's entries go on."""
    rig = await start()
    await say(rig, tmp_path, "halt", "strategy:orb")
    assert (await rig.ended((await rig.entry("T1")).task("one")))["reason"] == "HALTED"
    other = await rig.as_strategy("other")
    await other.done(await other.entry("T2"))
    assert await rig.holds() == {"one": 1}


async def _flattening(rig: Rig) -> list[dict[str, Any]]:
    return await rig.rows("SELECT id FROM controls WHERE action = 'flatten'")


async def _sold(rig: Rig, quantity: int) -> bool:
    return sum(await rig.sold()) == quantity
