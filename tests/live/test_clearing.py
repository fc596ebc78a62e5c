"""What must be out of an exit's way at the broker: it is not waited for longer than it takes, and what a refusal left is mended."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from eventrouter.domain import clearing
from tests.live.conftest import Start
from tests.live.rig import Rig
from tests.processes import until_async

BRACKET: dict[str, Any] = {"stop_loss": 23990, "take_profit": 24020}


async def bracketed(rig: Rig, quantity: int) -> int:
    """An entry that has filled, whose stop and target work; its task."""
    posted = await rig.entry("T1", quantity, **BRACKET)
    await rig.done(posted)
    await until_async(partial(shown, rig, 2), what="the bracket in the books")
    return posted.task("one")


async def shown(rig: Rig, number: int, size: int | None = None) -> bool:
    """Whether the books show so many working orders, of this size."""
    query = "SELECT quantity FROM broker_orders WHERE state = 'WORKING'"
    sizes = [int(row["quantity"]) for row in await rig.rows(query)]
    return len(sizes) == number and (size is None or sizes == [size] * number)


@pytest.mark.parametrize("event", ["exit", "reduce"])
async def test_what_waits_for_its_bracket_is_woken(start: Start, monkeypatch: pytest.MonkeyPatch, event: str) -> None:
    """The timers are an hour away: what the broker tells of the orders wakes it."""
    for name in ("SOON_S", "LATEST_S"):
        monkeypatch.setattr(clearing, name, 3600.0)
    rig = await start()
    await bracketed(rig, 3)
    if event == "exit":
        await rig.done(await rig.exit("T1"))
        assert await rig.holds() == {"one": 0}
    else:
        await rig.done(await rig.post(trade_id="T1", action="reduce", quantity=1))
        assert await rig.holds() == {"one": 2}


async def test_brackets_grow_back_after_a_refused_reduction(start: Start) -> None:
    """Stop and target were made smaller for it; the broker refuses it, and they are for all three again."""
    rig = await start()
    entry = await bracketed(rig, 3)
    await rig.market.arm("refuse", code=2)
    reduction = (await rig.post(trade_id="T1", action="reduce", quantity=1)).task("one")
    assert (await rig.ended(reduction))["status"] == "FAILED"
    await until_async(partial(shown, rig, 2, 3), what="stop and target of three")
    assert [order["size"] for order in await rig.market.working(101)] == [3, 3]
    asked = await rig.rows(
        "SELECT message FROM execution_logs WHERE task_id = %s AND reason = 'RESIZE_REQUESTED' ORDER BY seq", entry
    )
    assert "made larger again, to 3" in asked[-1]["message"]
    await rig.done(await rig.exit("T1"))
    assert await rig.holds() == {"one": 0}


async def test_a_refused_cancel_is_asked_again(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit says what the broker answered, and goes on once the bracket is withdrawn at last."""
    monkeypatch.setattr(clearing, "_AGAIN", timedelta(hours=1))
    rig = await start()
    await bracketed(rig, 2)
    await rig.market.arm("refuse", endpoint="Order/cancel", code=3, times=2)
    posted = await rig.exit("T1")
    told = await rig.reached(posted.task("one"), "PENDING", "STILL_CLEARING")
    rows = await rig.rows("SELECT message FROM execution_logs WHERE id = %s", told["id"])
    assert "The broker refused that." in rows[0]["message"]
    await rig.done(posted)
    assert await rig.holds() == {"one": 0}
    assert await rig.market.working(101) == []
