"""The short run of the suite: every point once, half of them with each kind of broker. `python -m tests.faults` runs all of both."""

import random

import pytest

from tests.faults.conftest import MakeWorld
from tests.faults.points import POINTS
from tests.faults.rounds import round_of


@pytest.mark.timeout(300)
@pytest.mark.parametrize("unique", [True, False], ids=["unique", "weak"])
def test_a_kill_at_every_point(make_world: MakeWorld, unique: bool) -> None:
    """Killed while entries and while exits are on their way: nothing lost, nothing twice, REVIEW only where nobody could know."""
    draw = random.Random(7)
    with make_world(unique=unique) as world:
        for point in POINTS[unique::2]:
            result = round_of(world, point, 1, draw)
            assert not result.faults, f"{point}: {result.faults}"
            assert result.runs > 0


@pytest.mark.parametrize(
    ("point", "executed"), [("order.before", 0), ("order.connect", 0), ("order.sent", 1), ("order.accepted", 1)]
)
def test_where_a_point_lies(make_world: MakeWorld, point: str, executed: int) -> None:
    """What the broker has at the moment of death is what the point's name says, and the intent stands in any case."""
    with make_world(accounts=1) as world:
        victim = world.start(point)
        world.enter("T1")
        while not victim.ended(0.05):
            world.post()
        assert victim.status == -9
        (task,) = world.rows("SELECT status, client_order_id, account FROM execution_tasks")
        assert task["status"] == "SENDING"
        found = world.settled_execution(task["client_order_id"])
        assert found == executed
