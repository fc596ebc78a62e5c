"""Brokers that fail: nothing is executed twice, and one dead broker delays nobody else."""

from typing import Any

import pytest

from tests.live.conftest import Start

AFTER: list[tuple[str, dict[str, Any]]] = [
    ("drop", {"when": "after"}),
    ("drop", {"when": "midway"}),
    ("cut", {}),
    ("http", {"when": "after", "status": 500}),
    ("refuse", {"when": "after", "code": 7}),
]


@pytest.mark.parametrize(("fault", "how"), AFTER, ids=[f"{fault}-{how.get('when', '')}" for fault, how in AFTER])
@pytest.mark.parametrize("unique_tags", [True, False], ids=["unique", "weak"])
async def test_an_executed_order_is_not_sent_twice(
    start: Start, fault: str, how: dict[str, Any], unique_tags: bool
) -> None:
    """The broker executed it and its answer was lost: the look-up finds it, whether or not repeated ids are refused."""
    rig = await start({"unique_tags": unique_tags})
    await rig.market.arm(fault, **how)
    posted = await rig.entry("T1", 2)
    assert (await rig.ended(posted.task("one")))["status"] == "SUCCESS"
    assert "UNKNOWN" in rig.statuses(posted.task("one"))
    assert await rig.holds() == {"one": 2}
    executed = (await rig.market.executions())[posted.tasks[0]["client_order_id"]]
    assert (executed["executed"], executed["filled"]) == (1, 2)


@pytest.mark.parametrize("unique_tags", [True, False], ids=["unique", "weak"])
async def test_a_working_order_whose_answer_was_lost_is_found(start: Start, unique_tags: bool) -> None:
    """Nothing tells that the broker has it, and searches show it late: looked up until it is found, and never sent again."""
    rig = await start({"unique_tags": unique_tags})
    await rig.market.client.control("hub", {"muted": True})
    await rig.market.arm("drop", when="after")
    hiding = await rig.market.arm("hide")
    posted = await rig.entry("T1", 2, order_type="limit", limit_price=23990)
    await rig.reached(posted.task("one"), "UNKNOWN", "NOT_FOUND")
    await rig.market.client.control(f"faults/{hiding}/release", {})
    await rig.reached(posted.task("one"), "ACCEPTED", "FOUND")
    await rig.market.client.control("hub", {"muted": False})
    reasons = [row["reason"] for row in rig.watch.rows[posted.task("one")]]
    assert reasons.count("INTENT") == 1
    assert [order["size"] for order in await rig.market.working(101)] == [2]
    await rig.market.price("MNQ", 23980)
    await rig.done(posted)
    assert await rig.holds() == {"one": 2}
    executed = (await rig.market.executions())[posted.tasks[0]["client_order_id"]]
    assert (executed["executed"], executed["filled"]) == (1, 2)


async def test_an_exit_whose_answer_was_lost_closes_once(start: Start) -> None:
    """The same for what closes: sold once, flat, never short."""
    rig = await start()
    await rig.done(await rig.entry("T1", 2))
    await rig.market.arm("drop", when="after")
    await rig.done(await rig.exit("T1"))
    assert await rig.holds() == {"one": 0}
    assert await rig.sold() == [2]


async def test_an_order_that_was_not_executed_is_sent_again(start: Start) -> None:
    """Refused ids make a resend safe: with the same id, and executed once."""
    rig = await start()
    await rig.market.arm("drop", when="before")
    posted = await rig.entry("T1", 2)
    await rig.done(posted)
    assert await rig.holds() == {"one": 2}
    assert (await rig.market.executions())[posted.tasks[0]["client_order_id"]]["executed"] == 1


async def test_a_dead_broker_delays_nobody(start: Start) -> None:
    """While every order of one broker hangs, the other broker's accounts enter and leave three times."""
    rig = await start(dead={"ill": {}}, one={}, two={})
    ill = rig.others["ill"]
    hanging = await ill.arm("stall", endpoint="*", times=1000)
    stuck = (await rig.entry("T0")).task("ill")
    for number in range(3):
        entry = await rig.entry(f"T{number + 1}")
        await rig.done_on(entry, "one", "two")
        await rig.done_on(await rig.exit(f"T{number + 1}"), "one", "two")
    assert rig.watch.rows[stuck][-1]["status"] in ("PENDING", "SENDING", "UNKNOWN")
    assert [each["stalled"] > 0 for each in await ill.client.control("faults") if each["id"] == hanging] == [True]
    await ill.disarm()
