"""The guardian: limits and cut-offs flatten by themselves, once, and the next trading day begins."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest

from eventrouter.domain import book as events
from eventrouter.domain.accounts import Account
from eventrouter.domain.risk_inputs import Automation, RiskLimits
from eventrouter.domain.tasks import Status
from eventrouter.domain.trading_day import TradingDays
from eventrouter.errors import BrokerUnavailable
from eventrouter.guardian import Guardian
from eventrouter.store import controls
from eventrouter.store.books import append_event, read_books
from eventrouter.store.connect import Database
from tests.flatten.conftest import Desk
from tests.router.book import enqueue, move
from tests.simulator.client import MNQ

LIMITS = RiskLimits(
    # rows of controls have the database's time: no trading day ends in the next hours, whenever this runs
    days=TradingDays("UTC", time((datetime.now(UTC).hour + 11) % 24)),
    live=True,
    automation=Automation.ALLOWED,
    daily_loss=Decimal(1000),
)
CHICAGO = replace(LIMITS, days=TradingDays("America/Chicago", time(17)), daily_loss=None, flat_by=time(15, 10))


class Clock:
    """What the guardian takes for now."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        """Now."""
        return self.now


async def guard(desk: Desk, clock: Clock, limits: RiskLimits = LIMITS, connector: Any = None) -> Guardian:
    """A guardian of the account `one`."""
    connection = desk.connection(connector)
    connection.accounts = (Account("one", "projectx", balance=Decimal(50_000), limits=limits),)
    pool = Database(desk.dsn).pool("guardian", size=2)
    await desk.stack.enter_async_context(pool)
    return Guardian(pool, connection, name="router-a", now=clock)


async def holds(desk: Desk, quantity: int = 2) -> None:
    """The account stands at 50,000 and is long MNQ at 24000, at the broker and in our books."""
    async with desk.db.transaction():
        await append_event(
            desk.db, "test", "one", "live", events.opened(Decimal(50_000), LIMITS.days.of(datetime.now(UTC)))
        )
    await desk.rig.control.placed(quantity)
    await desk.fill("t", quantity, contract=MNQ)


async def rows(desk: Desk) -> list[tuple[str, str, str]]:
    """Scope, action and code of every control, in order."""
    found = await controls.history(desk.db)
    return [(each["scope"], each["action"], (each["reason"] or "").partition(":")[0]) for each in reversed(found)]


FLATTENED = ("account:one", "flatten", "DAILY_LOSS")


@pytest.mark.parametrize(("price", "breached"), [(23_751, False), (23_750, True)])
async def test_a_breached_daily_loss_flattens_by_itself(desk: Desk, price: int, breached: bool) -> None:
    """At the limit, open losses at the broker's prices included, everything is closed: asked for once, with the numbers."""
    await holds(desk)
    guardian = await guard(desk, Clock())
    await desk.rig.control.price(price)  # 2 contracts at 2 dollars a point: 996 or 1,000 lost
    await guardian.look()
    await guardian.look()
    assert await rows(desk) == ([FLATTENED] if breached else [])
    if breached:
        said = (await controls.history(desk.db))[0]
        assert said["actor"] == "guardian"
        assert "lost 1000; the limit is 1000" in said["reason"]
        await desk.start()
        await desk.reaches("FLAT")
        assert await desk.is_flat()


async def test_two_guardians_ask_once(desk: Desk) -> None:
    """Routers that look at the same moment ask once between them."""
    await holds(desk)
    await desk.rig.control.price(23_000)
    guardians = [await guard(desk, Clock()) for _ in range(4)]
    await asyncio.gather(*(each.look() for each in guardians))
    assert await rows(desk) == [FLATTENED]


async def test_a_restart_and_a_new_day(desk: Desk) -> None:
    """The loss survives its guardian; when the price is back the account stays closed until its next trading day begins."""
    clock = Clock()
    await holds(desk)
    await desk.rig.control.price(23_000)
    await (await guard(desk, clock)).look()
    await desk.start()
    await desk.reaches("FLAT")
    await desk.fill("t", -2, contract=MNQ)
    await desk.rig.control.price(24_500)
    again = await guard(desk, clock)
    await again.look()
    assert await rows(desk) == [FLATTENED]
    clock.now += timedelta(days=1)
    await again.look()
    await again.look()
    tomorrow = LIMITS.days.of(clock.now)
    assert await rows(desk) == [FLATTENED, ("account:one", "resume", f"The trading day {tomorrow} has begun.")]
    assert (await read_books(desk.db, ["one"], "live"))["one"].day == tomorrow


@pytest.mark.parametrize(
    ("now", "asked"),
    [
        (datetime(2026, 11, 23, 21, 9, 59, tzinfo=UTC), False),
        (datetime(2026, 11, 23, 21, 10, tzinfo=UTC), True),  # 15:10 in Chicago
        (datetime(2026, 11, 23, 23, 0, tzinfo=UTC), False),  # the next trading day
    ],
)
async def test_the_cut_off(desk: Desk, now: datetime, asked: bool) -> None:
    """What is held at the cut-off is closed."""
    clock = Clock()
    clock.now = now
    await holds(desk)
    await (await guard(desk, clock, CHICAGO)).look()
    assert (await rows(desk) == [("account:one", "flatten", "FLAT_BY")]) is asked


async def test_nothing_to_close_asks_for_nothing(desk: Desk) -> None:
    """An account that is flat at its cut-off is left alone; an order that works is reason enough."""
    clock = Clock()
    clock.now = datetime(2026, 11, 23, 22, tzinfo=UTC)
    guardian = await guard(desk, clock, CHICAGO)
    await guardian.look()
    assert await rows(desk) == []
    task = await enqueue(desk.db, "t", account="one", symbol="MNQ", mode="live")
    await move(desk.db, task, Status.SENDING, Status.ACCEPTED)
    await guardian.look()
    assert await rows(desk) == [("account:one", "flatten", "FLAT_BY")]


async def test_a_price_that_cannot_be_had_is_in_nobodys_way(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cut-off counts also while the broker tells no price."""

    async def fails(contract: str) -> None:
        raise BrokerUnavailable("Away.")

    clock = Clock()
    clock.now = datetime(2026, 11, 23, 22, tzinfo=UTC)
    await holds(desk)
    monkeypatch.setattr(desk.rig.connector, "price", fails)
    await (await guard(desk, clock, CHICAGO)).look()
    assert await rows(desk) == [("account:one", "flatten", "FLAT_BY")]


async def test_a_holding_without_a_price_hides_no_loss(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """What is known of the loss is enough to flatten; what has no value is told once, with what to do."""
    await holds(desk)
    await desk.db.execute(
        "INSERT INTO fills (account, fill_id, mode, order_id, trade_id, contract, root, side, quantity, price, filled_at)"
        " VALUES ('one', 'x', 'live', 'o', 'u', 'CON.F.US.XYZ.Z26', 'XYZ', 'BUY', 1, 10, now())"
    )
    guardian = await guard(desk, Clock())
    await desk.rig.control.price(23_750)
    await guardian.look()
    await guardian.look()
    assert await rows(desk) == [FLATTENED]
    told = [record.getMessage() for record in caplog.records if "no_value" in record.getMessage()]
    assert len(told) == 1
    assert all(word in told[0] for word in ("CON.F.US.XYZ.Z26", "one", "eventrouter flatten"))
