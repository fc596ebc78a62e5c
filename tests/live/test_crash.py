"""Limits that a SIGKILL must not forget: the router is a process of its own, and so is the broker."""

import os
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.live.keys import MASTER_KEY, MASTER_KEY_NAME, store_keys
from tests.live.market import FIRST, Market, market_process
from tests.live.rig import Rig, configured, rig
from tests.live.settings_text import account, text
from tests.processes import address_of, environment, service, until
from tests.simulator.client import Client


@dataclass
class Crashing:
    """A rig whose router can be killed."""

    rig: Rig
    file: Path
    place: Path
    routers: int = 0

    @contextmanager
    def router(self) -> Iterator[int]:
        """A router process that is up; its pid. It is killed when the block ends."""
        self.routers += 1
        log = self.place / f"router{self.routers}"
        env = environment(EVENTROUTER_CONFIG=str(self.file)) | {MASTER_KEY_NAME: MASTER_KEY}
        with service("router", env=env, log=log) as process:
            address_of(log)
            until(lambda: "listener_up" in log.read_text(), what=f"the listener of {log.name}")
            yield process.pid


@pytest.fixture
async def crashing(dsn: str, tmp_path: Path) -> Any:
    """Starts a broker process with accounts of these keys."""
    async with AsyncExitStack() as stack:

        async def started(**accounts: Mapping[str, Any]) -> Crashing:
            said = stack.enter_context(market_process(tmp_path, "--accounts", str(len(accounts))))
            client = Client(await stack.enter_async_context(ClientSession()), said["url"])
            await client.login()
            numbers = {name: FIRST + place for place, name in enumerate(accounts)}
            first = next(iter(accounts))
            tables = [account(name, numbers[name], client.url, first, **keys) for name, keys in accounts.items()]
            file = tmp_path / "config.toml"
            keys_at = tmp_path / "credentials"
            store_keys(keys_at, [first])
            config = configured(file, text(dsn, tables, keys_at, router={"lease": 2.0}))
            opened = await stack.enter_async_context(rig(config, dsn, Market(client), numbers, with_router=False))
            return Crashing(opened, file, tmp_path)

        yield started


async def test_the_daily_loss_survives_a_kill(crashing: Any) -> None:
    """Lost 600 of 500: no entry today, before the kill and after it; the account beside it, with 1,000, may."""
    made: Crashing = await crashing(
        strict={"daily_loss": 500, "balance": 50000}, loose={"daily_loss": 1000, "balance": 50000}
    )
    desk = made.rig
    with made.router() as pid:
        await desk.done(await desk.entry("T1", 10))
        await desk.market.price("MNQ", 23970)
        await desk.done(await desk.exit("T1"))
        assert await desk.realised("strict") == -600
        assert await refused(desk, "T2") == {"strict": "DENIED"}
        os.kill(pid, 9)
    with made.router():
        assert await refused(desk, "T3") == {"strict": "DENIED"}
        assert await desk.holds() == {"strict": 0, "loose": 2}


async def test_the_drawdown_floor_survives_a_kill(crashing: Any) -> None:
    """Up 1,600 before the kill, back by 800 after it: 50,800 is under the floor of 51,600 - 700, far above 50,000 - 700."""
    made: Crashing = await crashing(one={"drawdown": {"trail": "intraday", "amount": 700}, "balance": 50000})
    desk = made.rig
    with made.router() as pid:
        await desk.done(await desk.entry("T1", 10))
        await desk.market.price("MNQ", 24080)
        await desk.done(await desk.exit("T1"))
        assert await desk.realised("one") == 1600
        await desk.done(await desk.entry("T2", 10))
        await desk.both_sides()
        os.kill(pid, 9)
    with made.router():
        await desk.market.price("MNQ", 24040)
        await desk.done(await desk.exit("T2"))
        assert await desk.realised("one") == 800
        denied = await desk.ended((await desk.entry("T3")).task("one"))
        assert denied["status"] == "DENIED"
        assert denied["reason"] == "DRAWDOWN"


async def test_an_intent_that_outlives_its_router_is_executed_once(crashing: Any) -> None:
    """Killed while the broker has the order and its answer hangs: the next router finds it and sends nothing."""
    made: Crashing = await crashing(one={})
    desk = made.rig
    with made.router() as pid:
        hanging = await desk.market.arm("stall")
        posted = await desk.entry("T1", 2)
        await desk.market.stalled(hanging)
        os.kill(pid, 9)
    await desk.market.disarm()
    with made.router():
        await desk.done(posted)
        assert await desk.holds() == {"one": 2}
        executed = (await desk.market.executions())[posted.tasks[0]["client_order_id"]]
        assert (executed["executed"], executed["filled"]) == (1, 2)


async def refused(desk: Rig, trade: str) -> dict[str, str]:
    """An entry of one contract: the accounts that denied it; the others took it."""
    posted = await desk.entry(trade)
    ends = {row["account"]: await desk.ended(row["id"]) for row in posted.tasks}
    return {name: end["status"] for name, end in ends.items() if end["status"] != "SUCCESS"}
