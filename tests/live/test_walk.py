"""Whatever is asked and whatever breaks: the books are those of the broker, and no limit is passed."""

from random import Random

import pytest

from tests.live.conftest import Start
from tests.live.market import FIRST
from tests.live.walk import Walk, beyond, once

STEPS = 60
MOST = {"one": 4, "two": 2, "three": 6}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(1, 5))
async def test_random_sequences_keep_the_books(start: Start, seed: int) -> None:
    """Position = sum of fills on both sides, nobody over its contracts, no exit too large, nothing executed twice.

    Even seeds have a broker of the weaker kind, which would execute a repeated order.
    """
    rig = await start(
        {"unique_tags": seed % 2 == 1},
        one={"max_contracts": MOST["one"]},
        two={"max_contracts": MOST["two"], "sizing": {"by": "fixed", "value": 1}},
        three={"max_contracts": MOST["three"], "sizing": {"by": "multiplier", "value": 2}},
        sections={"router": {"lease": 2.0}},
    )
    walk = Walk(rig, Random(seed))
    await walk.steps(STEPS)
    await walk.check({FIRST + place: MOST[name] for place, name in enumerate(MOST)})
    await walk.leave_all()
    await rig.both_sides()


def row(side: str, size: int, tag: str | None = "in", parent: int | None = None) -> dict[str, object]:
    """A fill of the ledger."""
    return {"what": "filled", "account": 1, "side": side, "size": size, "tag": tag, "parent": parent}


def test_the_rules_can_fail() -> None:
    """An exit that turns the position round, a bracket that opens one, one contract too many, one order twice."""
    assert beyond([row("BUY", 2), row("SELL", 2, "out")], {"out"}, {1: 2}) == []
    assert len(beyond([row("BUY", 2), row("SELL", 3, "out")], {"out"}, {1: 2})) == 1
    assert len(beyond([row("SELL", 1, "in-SL", parent=7)], set(), {1: 2})) == 1
    assert len(beyond([row("SELL", 1, None)], set(), {1: 2})) == 1
    assert len(beyond([row("BUY", 2), row("BUY", 1)], set(), {1: 2})) == 1
    assert once({"a": {"executed": 1}, "b": {"executed": 2}}) == [{"executed": 2}]
