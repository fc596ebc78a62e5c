"""Accounts that leave the configuration or move to another broker while something is held, and positions that no fill explains."""

from collections.abc import Callable
from contextlib import AsyncExitStack

from eventrouter.simulator import Simulator
from tests.live.conftest import Start, StartFleet
from tests.live.killed import Fleet, kill
from tests.live.market import market
from tests.live.rig import Rig
from tests.processes import until, until_async


def rewrite(fleet: Fleet, change: Callable[[str], str]) -> str:
    """Changes the configuration file, which the next router reads; what it was before."""
    before = fleet.file.read_text()
    after = change(before)
    assert after != before
    fleet.file.write_text(after)
    return before


async def test_an_account_does_not_move_with_what_it_holds(start_fleet: StartFleet, stack: AsyncExitStack) -> None:
    """Another broker's address for the login of two accounts that are long: no router starts, and nothing is sold there."""
    fleet = await start_fleet(one={}, two={})
    rig = fleet.rig
    other = await stack.enter_async_context(market(accounts=2))
    router = fleet.start()
    await fleet.opened("one", "two")
    await rig.done(await rig.entry("T1", 2))
    await rig.both_sides()
    kill(router)
    before = rewrite(fleet, lambda text: text.replace(rig.market.url, other.url))
    posted = await rig.exit("T1")
    said = fleet.refused()
    for name in ("one", "two"):
        assert f"Account {name} holds 2 CON.F.US.MNQ.Z26" in said
    assert await other.ledger() == []
    fleet.file.write_text(before)
    fleet.start()
    await rig.done(posted)
    assert await rig.holds() == {"one": 0, "two": 0}
    fleet.say("verify")


async def test_an_account_that_is_removed_is_told_with_what_it_holds(start_fleet: StartFleet) -> None:
    """Its exit waits, which its log says after a while; put back, it is closed."""
    fleet = await start_fleet(one={}, two={})
    rig = fleet.rig
    router = fleet.start()
    await fleet.opened("one", "two")
    await rig.done(await rig.entry("T1", 2))
    await rig.both_sides()
    kill(router)
    before = rewrite(fleet, lambda text: text[: text.index('[[accounts]]\nname = "two"')])
    router = fleet.start()
    until(lambda: "account_left_alone" in fleet.logs(), what="the news of what account two holds")
    posted = await rig.exit("T1")
    await rig.done_on(posted, "one")
    await rig.reached(posted.task("two"), "PENDING", "NO_ROUTER")
    kill(router)
    fleet.file.write_text(before)
    fleet.start()
    await rig.done(posted)
    assert await rig.holds() == {"one": 0, "two": 0}
    fleet.say("verify")


async def test_nothing_is_sold_that_the_broker_does_not_hold(start: Start) -> None:
    """A position vanishes without a fill: the exit waits, and says why; it comes back, and is closed."""
    rig = await start()
    await rig.done(await rig.entry("T1", 2))
    await rig.both_sides()
    broker = simulator_of(rig)
    positions = dict(broker.broker.engine.positions)
    broker.broker.engine.positions.clear()
    await looked(rig, "OUT_OF_SYNC")
    leave = (await rig.exit("T1")).task("one")
    waits = await rig.reached(leave, "PENDING", "OUT_OF_SYNC")
    assert "holds 0 CON.F.US.MNQ.Z26" in (waits["message"] or "")
    assert await rig.sold() == []
    broker.broker.engine.positions.update(positions)
    await looked(rig, "IN_SYNC")
    assert (await rig.ended(leave))["status"] == "SUCCESS"
    assert await rig.sold() == [2]
    assert await rig.holds() == {"one": 0}


async def looked(rig: Rig, kind: str) -> None:
    """Returns once the latest look at the broker says so; a hub that breaks makes the router look now."""
    await rig.market.client.control("hub", {"drop": True})

    async def told() -> bool:
        rows = await rig.rows("SELECT kind FROM account_log WHERE kind IN ('OUT_OF_SYNC', 'IN_SYNC') ORDER BY seq DESC")
        return bool(rows) and rows[0]["kind"] == kind

    await until_async(told, within_s=30, what=kind)


def simulator_of(rig: Rig) -> Simulator:
    """The broker itself, which is in this process."""
    assert rig.market.simulator is not None
    return rig.market.simulator
