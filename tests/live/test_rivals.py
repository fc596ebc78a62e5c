"""Two routers with the same accounts work against each other: the books are still the broker's, and no limit is passed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from eventrouter.app import Service
from tests.live.conftest import Start
from tests.live.market import FIRST
from tests.live.rig import Rig
from tests.live.walk import Walk

STEPS = 60
MOST = {"one": 4, "two": 2, "three": 6}


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
@pytest.mark.parametrize("seed", range(11, 15))
async def test_two_routers_do_what_one_does(start: Start, seed: int) -> None:
    """Position = sum of fills on both sides, nobody over its contracts, no exit too large, nothing executed twice."""
    rig = await start(
        {"unique_tags": seed % 2 == 1},
        one={"max_contracts": MOST["one"]},
        two={"max_contracts": MOST["two"], "sizing": {"by": "fixed", "value": 1}},
        three={"max_contracts": MOST["three"], "sizing": {"by": "multiplier", "value": 2}},
        sections={"router": {"lease": 2.0}},
    )
    walk = Walk(rig, Random(seed))
    async with rival(rig):
        await walk.steps(STEPS)
        await walk.check({FIRST + place: MOST[name] for place, name in enumerate(MOST)})
        await walk.leave_all()
        await rig.both_sides()
    actors = await rig.rows("SELECT actor, count(*) FROM execution_logs WHERE reason = 'INTENT' GROUP BY 1")
    print(actors)
