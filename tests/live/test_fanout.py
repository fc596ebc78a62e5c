"""One alert, many accounts: each gets its own size, or the reason why not; what is filled is booked on both sides."""

from tests.live.conftest import Start


async def test_one_alert_is_sized_for_each_account(start: Start) -> None:
    """Two fixed, three times what is asked, and 500 at risk over 40 ticks of 0.50; 10 at risk are less than one contract."""
    rig = await start(
        fixed={"sizing": {"by": "fixed", "value": 2}},
        tripled={"sizing": {"by": "multiplier", "value": 3}},
        risked={"sizing": {"by": "risk_amount", "value": 500}},
        small={"sizing": {"by": "risk_amount", "value": 10}},
    )
    posted = await rig.entry("T1", 1, stop_loss=23990)
    for name in ("fixed", "tripled", "risked"):
        end = await rig.ended(posted.task(name))
        assert (end["status"], rig.statuses(posted.task(name))) == (
            "SUCCESS",
            ["PENDING", "SENDING", "ACCEPTED", "SUCCESS"],
        )
    denied = await rig.ended(posted.task("small"))
    assert (denied["status"], denied["reason"]) == ("DENIED", "SIZE_ZERO")
    assert "10 at risk / (10 points = 40 ticks x 0.5 = 20 a contract) = 0.5 MNQ" in denied["message"]
    assert await rig.holds() == {"fixed": 2, "tripled": 3, "risked": 25, "small": 0}
    intent = await rig.reached(posted.task("risked"), "SENDING", "INTENT")
    assert intent["detail"]["sizing"]["calculation"] == (
        "500 at risk / (10 points = 40 ticks x 0.5 = 20 a contract) = 25 MNQ, rounded down to 25."
    )
    assert str(intent["detail"]["quantity"]) == "25"
    assert intent["detail"]["contract"]


async def test_the_plan_says_why_an_account_got_nothing(start: Start) -> None:
    """Each account stands in the signal's plan: with what was enqueued, or with a code and a sentence."""
    rig = await start(
        sections={"routes": [{"name": "micros", "strategy": "orb", "instruments": ["M*"], "accounts": ["one", "off"]}]},
        one={},
        off={"enabled": False},
        unrouted={},
    )
    posted = await rig.entry("T1")
    assert [row["account"] for row in posted.tasks] == ["one"]
    codes = {row["account"]: row.get("code") for row in posted.plan}
    assert codes["off"] == "ACCOUNT_DISABLED"
    assert codes["unrouted"] == "NO_ROUTE"
    assert not codes["one"]
    await rig.done(posted)


async def test_a_route_multiplies(start: Start) -> None:
    """The same account's rule, times the route's multiplier; the task carries both."""
    routes = [{"name": "double", "strategy": "orb", "accounts": ["one"], "multiplier": 2}]
    rig = await start(sections={"routes": routes}, one={"sizing": {"by": "fixed", "value": 2}})
    posted = await rig.entry("T1")
    await rig.done(posted)
    assert await rig.holds() == {"one": 4}
    plan = (await rig.rows("SELECT plan FROM execution_tasks"))[0]["plan"]
    assert (plan["route"], plan["multiplier"]) == ("double", "2")


async def test_no_account_is_above_its_contracts(start: Start) -> None:
    """Held 3 of 4: one more fits, two are denied with the numbers, and the exit of all four is not."""
    rig = await start(one={"max_contracts": 4})
    await rig.done(await rig.entry("T1", 3))
    denied = await rig.ended((await rig.entry("T2", 2)).task("one"))
    assert (denied["status"], denied["reason"]) == ("DENIED", "MAX_CONTRACTS")
    await rig.done(await rig.entry("T3", 1))
    assert await rig.holds() == {"one": 4}
    for trade in ("T1", "T3"):
        await rig.done(await rig.exit(trade))
    assert await rig.holds() == {"one": 0}


async def test_accounts_of_one_owner_are_never_on_both_sides(start: Start) -> None:
    """The second account's short is denied while the first is long."""
    routes = [
        {"name": "long", "strategy": "orb", "instruments": ["MNQ"], "accounts": ["one"]},
        {"name": "short", "strategy": "orb", "instruments": ["NQ"], "accounts": ["two"]},
    ]
    rig = await start(sections={"routes": routes}, one={"owner": "me"}, two={"owner": "me"})
    await rig.done(await rig.entry("T1", 1))
    denied = await rig.ended((await rig.entry("T2", 1, "short", symbol="NQ1!")).task("two"))
    assert (denied["status"], denied["reason"]) == ("DENIED", "OPPOSITE_SIDE")
    assert await rig.holds() == {"one": 1, "two": 0}
