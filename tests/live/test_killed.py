"""SIGKILL in the middle of closing: whoever starts next ends it, and nothing opposite is opened."""

import asyncio
from typing import Any

import pytest

from tests.live.conftest import StartFleet
from tests.live.killed import Fleet, kill
from tests.processes import until_async

CANCEL, CLOSE = "Order/cancel", "Position/closeContract"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("endpoint", [CANCEL, CLOSE])
async def test_a_flattening_outlives_its_router(start_fleet: StartFleet, endpoint: str, when: str) -> None:
    """Killed while a cancel or a close of the flattening hangs, before the broker did it or after: the next one ends it."""
    fleet = await start_fleet(one={})
    rig = fleet.rig
    router = fleet.start()
    await fleet.opened("one")
    await rig.done(await rig.entry("T1", 3, stop_loss=23990, take_profit=24020))
    working = await rig.entry("T2", 1, order_type="limit", limit_price=23900)
    await rig.reached(working.task("one"), "ACCEPTED")
    hanging = await rig.market.arm("stall", when=when, endpoint=endpoint)
    flattening = asyncio.create_task(asyncio.to_thread(fleet.say, "flatten", "--yes"))
    await rig.market.stalled(hanging)
    leave = (await rig.exit("T1")).task("one")
    kill(router)
    fleet.start()
    await rig.market.disarm()
    assert "flat" in (await flattening).lower()
    end = await rig.ended(leave)
    assert end["reason"] == "NOTHING_TO_CLOSE", str(rig.watch)
    await _flat(fleet)
    assert sum(await rig.sold()) == 3
    fleet.say("verify")


@pytest.mark.parametrize("fault", [("stall", "before"), ("stall", "after"), ("drop", "before"), ("drop", "after")])
async def test_clearing_outlives_its_router(start_fleet: StartFleet, fault: tuple[str, str]) -> None:
    """Killed after the row CANCEL_REQUESTED, before the broker cancelled or after it, its answer never booked: closed once."""
    fleet = await start_fleet(one={})
    rig = fleet.rig
    router = fleet.start()
    await fleet.opened("one")
    entry = await rig.entry("T1", 3, stop_loss=23990, take_profit=24020)
    await rig.done(entry)
    name, when = fault
    hanging = await rig.market.arm(name, when=when, endpoint=CANCEL, times=2)
    posted = await rig.exit("T1")
    leave = posted.task("one")
    await rig.reached(entry.task("one"), None, "CANCEL_REQUESTED")
    if name == "stall":
        await rig.market.stalled(hanging)
    kill(router)
    fleet.start()
    await rig.market.disarm()
    await rig.done(posted)
    await _flat(fleet)
    assert await rig.sold() == [3]
    assert "INTENT" in [row["reason"] for row in rig.watch.rows[leave]]
    fleet.say("verify")


async def _flat(fleet: Fleet) -> None:
    """Nothing held, nothing working; and nothing happens either when the price moves through every level."""
    rig = fleet.rig

    async def idle() -> bool:
        accounts: list[Any] = list((await rig.market.accounts()).values())
        return not any(account["positions"] or account["working"] for account in accounts)

    await until_async(idle, within_s=30, what="a flat account without orders")
    for price in (23800, 24100, 24000):
        await rig.market.price("MNQ", price)
    assert set((await rig.holds()).values()) == {0}
