"""Two routers with the same accounts work against each other: the books are still the broker's, and no limit is passed."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from eventrouter.app import Service
from tests.live.conftest import Start, StartFleet
from tests.live.killed import Fleet, kill
from tests.live.market import FIRST
from tests.live.rig import Rig
from tests.live.walk import WEIGHTS, Walk

STEPS = 60
MOST = {"one": 4, "two": 2, "three": 6}
LIMITS = {FIRST + place: MOST[name] for place, name in enumerate(MOST)}
ACCOUNTS: Mapping[str, Mapping[str, Any]] = {
    "one": {"max_contracts": MOST["one"]},
    "two": {"max_contracts": MOST["two"], "sizing": {"by": "fixed", "value": 1}},
    "three": {"max_contracts": MOST["three"], "sizing": {"by": "multiplier", "value": 2}},
}


@asynccontextmanager
async def rival(rig: Rig) -> AsyncIterator[None]:
    """A second router with the same accounts, for as long as the block lasts."""
    service = Service(rig.site.service.config, with_web=False, name="rival")
    await service.start()
    try:
        yield
    finally:
        await service.stop()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(11, 14))
async def test_two_routers_do_what_one_does(start: Start, seed: int) -> None:
    """Position = sum of fills on both sides, nobody over its contracts, no exit too large, nothing executed twice."""
    rig = await start({"unique_tags": seed % 2 == 1}, sections={"router": {"lease": 2.0}}, **ACCOUNTS)
    walk = Walk(rig, Random(seed), weights=WEIGHTS | {"flatten": 2})
    async with rival(rig):
        await walk.steps(STEPS)
        await walk.check(LIMITS)
        await walk.leave_all()
        await rig.both_sides()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [31, 38])
async def test_opposing_trades_end_flat(start: Start, seed: int) -> None:
    """Long and short trades on one account, flattened in between: the same rules, no lane waits for ever, all is closed."""
    accounts = {name: {**keys, "no_opposite_side": False} for name, keys in ACCOUNTS.items()}
    rig = await start({"unique_tags": seed % 2 == 1}, sections={"router": {"lease": 2.0}}, **accounts)
    walk = Walk(rig, Random(seed), weights=WEIGHTS | {"flatten": 2})
    await walk.steps(STEPS)
    await walk.check(LIMITS)
    await walk.leave_all()
    await rig.both_sides()


@dataclass
class Killing(Walk):
    """A walk on which routers are killed, and others take their place."""

    fleet: Fleet | None = field(default=None)

    async def _kill(self) -> None:
        """Kills one of the two that live; another starts."""
        assert self.fleet is not None
        alive = [each for each in self.fleet.routers if each.poll() is None]
        kill(self.draw.choice(alive))
        await asyncio.to_thread(self.fleet.start)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", range(21, 23))
async def test_kills_change_nothing(start_fleet: StartFleet, seed: int) -> None:
    """The same with two router processes, of which one is killed again and again; the log can be folded at the end."""
    fleet = await start_fleet({"unique_tags": seed % 2 == 1}, **ACCOUNTS)
    for _ in range(2):
        fleet.start()
    await fleet.opened(*ACCOUNTS)
    walk = Killing(fleet.rig, Random(seed), weights=WEIGHTS | {"flatten": 2, "kill": 4}, fleet=fleet)
    await walk.steps(STEPS)
    await walk.check(LIMITS)
    await walk.leave_all()
    await fleet.rig.both_sides()
    fleet.say("verify")
