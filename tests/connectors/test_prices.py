"""The last price of a contract: which bar counts, what is no answer, and how often the broker is asked."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from eventrouter.connectors.projectx.gateway import MOST_BARS
from eventrouter.connectors.projectx.prices import FRESH_S
from eventrouter.domain.broker import Price
from eventrouter.errors import BrokerUnavailable
from tests.connectors.conftest import Clock, Connect
from tests.connectors.wire import ACCOUNT, MNQ_ID, Wire, refuses, says, status

BARS = "History/retrieveBars"
THREE = datetime(2026, 11, 23, 15, tzinfo=UTC)


def bar(minute: int, close: float) -> dict[str, Any]:
    """A bar of this minute after three o'clock."""
    return {"t": f"2026-11-23T15:{minute:02}:00+00:00", "o": 1, "h": 1, "l": 1, "c": close, "v": 3}


@pytest.mark.parametrize("bars", [[bar(2, 24001.25), bar(1, 24000)], [bar(1, 24000), bar(2, 24001.25)]], ids=str)
async def test_the_newest_bar_counts_in_whatever_order_they_come(
    wire: Wire, connect: Connect, bars: list[dict[str, Any]]
) -> None:
    """Its close is the price."""
    wire.on(BARS, says(bars=bars))
    connector = await connect(wire.url)
    assert (await connector.price(MNQ_ID) or Price("", Decimal(0), THREE)).value == Decimal("24001.25")
    asked = wire.seen(BARS)[0].body
    assert (asked["contractId"], asked["unit"], asked["unitNumber"], asked["live"]) == (MNQ_ID, 2, 1, False)
    assert asked["includePartialBar"] is True


@pytest.mark.parametrize(("now_s", "at_s"), [(59, 60), (60, 60), (75, 75), (119, 119), (120, 120), (300, 120)])
async def test_a_price_is_as_young_as_it_is_known_to_be(wire: Wire, connect: Connect, now_s: int, at_s: int) -> None:
    """The first minute after three: under way its close stands now, later it stood at the minute's end. A fill within the
    minute must not hide the prices after it, and a clock that is slow makes none older than its bar.
    """
    wire.on(BARS, says(bars=[bar(1, 24000)]))
    connector = await connect(wire.url, timing={"now": lambda: THREE + timedelta(seconds=now_s)})
    assert await connector.price(MNQ_ID) == Price(MNQ_ID, Decimal(24000), THREE + timedelta(seconds=at_s))


@pytest.mark.parametrize("how", [says(bars=[]), refuses(1)], ids=["no-bars", "no-contract"])
async def test_no_price(wire: Wire, connect: Connect, how: Any) -> None:
    """A contract that nobody trades, or that the broker does not know."""
    wire.on(BARS, how)
    assert await (await connect(wire.url)).price(MNQ_ID) is None


@pytest.mark.parametrize(
    "how",
    [says(bars=[{"t": "now", "c": 1}]), says(bars=[{**bar(1, 1), "c": "1"}]), says(), status(500)],
    ids=["time", "price", "no-bars", "500"],
)
async def test_what_is_no_answer(wire: Wire, connect: Connect, how: Any) -> None:
    """Raises: a price that is not known is not a price."""
    wire.on(BARS, how)
    with pytest.raises(BrokerUnavailable):
        await (await connect(wire.url)).price(MNQ_ID)


async def test_many_that_ask_at_once_ask_the_broker_once(wire: Wire, connect: Connect, clock: Clock) -> None:
    """And again only when the price is no longer fresh."""
    wire.on(BARS, says(bars=[bar(1, 24000)]))
    connector = await connect(wire.url, timing={"clock": clock})
    await asyncio.gather(*(connector.price(MNQ_ID) for _ in range(20)))
    assert len(wire.seen(BARS)) == 1
    clock.now += FRESH_S
    await connector.price(MNQ_ID)
    assert len(wire.seen(BARS)) == 2


async def test_prices_have_a_budget_of_their_own(wire: Wire, connect: Connect, clock: Clock) -> None:
    """When it is spent prices must wait and everything else goes on."""
    wire.on(BARS, says(bars=[bar(1, 24000)]))
    connector = await connect(wire.url, timing={"clock": clock})
    for number in range(MOST_BARS):
        await connector.price(f"{MNQ_ID}{number}")
    with pytest.raises(BrokerUnavailable, match="limit of requests"):
        await connector.price(MNQ_ID)
    assert next(iter(await connector.accounts())).account == ACCOUNT
    clock.now += 31
    assert await connector.price(MNQ_ID) is not None
