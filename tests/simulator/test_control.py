"""The control API: prices, clock, accounts and counters, and errors that change nothing."""

from decimal import Decimal
from typing import Any

import pytest

from eventrouter.simulator import Clock
from tests.processes import until_async
from tests.simulator.client import MNQ, NQ, Client, bracket
from tests.simulator.conftest import MONDAY, Start


async def test_prices(client: Client) -> None:
    """Posted by id or by name, as text or number, exactly; all or none."""
    assert (await client.control("prices"))[MNQ] == "24000"
    posted = await client.control("prices", {"MNQZ6": 24_000.25, NQ: "24001.50", "6JZ6": "0.0065005"})
    assert posted == {MNQ: "24000.25", NQ: "24001.50", "CON.F.US.JY6.Z26": "0.0065005"}
    prices: list[Any] = ["24000.1", "0", "-1", "NaN", "Infinity", "x", None, True, []]
    for wrong in prices:
        assert (await client.control("prices", {MNQ: 24_005, NQ: wrong}, status=400))["error"]
    assert "CON.X" in (await client.control("prices", {MNQ: 24_005, "CON.X": 1}, status=400))["error"]
    assert (await client.control("prices"))[MNQ] == "24000.25"


async def test_the_clock(client: Client) -> None:
    """It stands, jumps and runs."""
    assert await client.control("clock") == {"now": MONDAY.isoformat(), "frozen": True}
    moved = await client.control("clock", {"set": "2026-11-24T00:00:00", "advance_s": 1.5})
    assert moved == {"now": "2026-11-24T00:00:01.500000+00:00", "frozen": True}
    assert (await client.control("clock", {"frozen": False}))["frozen"] is False

    async def runs() -> bool:
        return str((await client.control("clock"))["now"]) > str(moved["now"])

    await until_async(runs, what="a clock that runs")
    assert "set" in (await client.control("clock", {"set": "soon"}, status=400))["error"]


async def test_accounts(client: Client) -> None:
    """With what they hold and what works for them, suspended brackets too; fields are changed one by one."""
    await client.arm("delay", seconds=9)
    await client.placed(1)
    await client.placed(2, customTag="t", **bracket(-40, 80))
    account = (await client.control("accounts"))[0]
    assert (account["id"], account["positions"][0]["size"], len(account["working"])) == (101, 2, 3)
    changed = await client.control("accounts/101", {"balance": "1000.50", "most": 3, "brackets": "position"}, "PATCH")
    assert (changed["balance"], changed["most"], changed["brackets"]) == ("1000.50", 3, "position")
    refused: tuple[tuple[str, Any], ...] = (
        ("accounts/7", {"most": 1}),
        ("accounts/101", {"nonsense": 1}),
        ("accounts/101", {"margin": -1}),
    )
    for address, body in refused:
        await client.control(address, body, "PATCH", status=400)


async def test_requests_are_counted_whatever_became_of_them(client: Client) -> None:
    """Also those that were refused or dropped: what a client sent, and how often."""
    await client.arm("http", when="before", status=503)
    await client.raw("Order/place", {})
    await client.raw("Order/place", data=b"{")
    token, client.token = client.token, ""
    await client.raw("Order/place", {})
    client.token = token
    assert (await client.control("requests"))["Order/place"] == 3


async def test_the_same_seed_is_the_same_broker(start: Start) -> None:
    """Tokens and prices repeat, and differ with another seed."""
    runs = []
    for seed in (7, 7, 8):
        client = await start(seed=seed, walk=True, clock=Clock(MONDAY, frozen=True))
        moved: list[str] = []

        async def walked(client: Client = client, moved: list[str] = moved) -> bool:
            now = (await client.control("prices"))[MNQ]
            if now != "24000" and not moved:
                moved.append(now)
            return bool(moved)

        await until_async(walked, what="a price that moved")
        assert Decimal(moved[0]) % Decimal("0.25") == 0
        runs.append(client.token)
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize(("market_hours", "moves"), [(True, False), (False, True)])
async def test_prices_stand_while_the_market_is_closed(start: Start, *, market_hours: bool, moves: bool) -> None:
    """They walk only while it is open."""
    clock = Clock(MONDAY, frozen=True)
    clock.set(MONDAY.replace(day=28))
    client = await start(market_hours=market_hours, walk=True, clock=clock)
    await client.control("prices", {NQ: 24_100})

    async def stepped() -> bool:
        return bool((await client.control("prices"))[NQ] != "24100")

    if moves:
        await until_async(stepped, what="a price that moved")
    else:
        assert not any([await stepped() for _ in range(50)])
