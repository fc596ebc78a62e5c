"""Limits that a SIGKILL must not forget: the router is a process of its own, and so is the broker."""

import asyncio
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.live.keys import MASTER_KEY, MASTER_KEY_NAME, store_keys
from tests.live.market import FIRST, Market, market_process
from tests.live.rig import Rig, configured, rig
from tests.live.settings_text import account, text
from tests.processes import address_of, environment, service, until, until_async
from tests.simulator.client import Client

Router = subprocess.Popen[bytes]


@dataclass
class Crashing:
    """A rig whose router can be killed."""

    rig: Rig
    file: Path
    place: Path
    routers: int = 0

    @contextmanager
    def router(self) -> Iterator[Router]:
        """A router process that is up. It is killed when the block ends."""
        self.routers += 1
        log = self.place / f"router{self.routers}"
        env = environment(EVENTROUTER_CONFIG=str(self.file)) | {MASTER_KEY_NAME: MASTER_KEY}
        with service("router", env=env, log=log) as process:
            address_of(log)
            until(lambda: "listener_up" in log.read_text(), what=f"the listener of {log.name}")
            yield process


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
    with made.router() as router:
        await opened(desk, "strict", "loose")
        await desk.done(await desk.entry("T1", 10))
        await desk.market.price("MNQ", 23970)
        await left(desk, "T1", "strict", "loose")
        assert await desk.realised("strict") == -600
        await refused_for_loss(desk, "T2")
        before = await stands(desk, "strict")
        killed(router)
    assert before["day_start_balance"] == 50000
    assert before["balance"] <= 49400
    with made.router():
        await refused_for_loss(desk, "T3")
        assert await desk.holds() == {"strict": 0, "loose": 2}
        assert await stands(desk, "strict") == before


async def refused_for_loss(desk: Rig, trade: str) -> None:
    """An entry of one contract, taken by `loose` and denied by `strict`, with what was lost."""
    posted = await desk.entry(trade)
    await desk.done_on(posted, "loose")
    figures = await denied_for(desk, posted.task("strict"), "DAILY_LOSS")
    assert Decimal(figures["loss"]) >= 600
    assert figures["daily_loss"] == "500"


async def test_a_daily_loss_while_no_router_lived(crashing: Any) -> None:
    """Killed with ten contracts open, and 600 are lost before the next router starts: that one closes them by itself."""
    made: Crashing = await crashing(one={"daily_loss": 500, "balance": 50000})
    desk = made.rig
    with made.router() as router:
        await opened(desk, "one")
        await desk.done(await desk.entry("T1", 10))
        await desk.both_sides()
        killed(router)
    await desk.market.price("MNQ", 23970)
    with made.router():
        await flattened_for(desk, "one", "DAILY_LOSS")
        assert await desk.holds() == {"one": 0}
        assert await desk.realised("one") == -600
        await denied_for(desk, (await desk.entry("T2")).task("one"), "DAILY_LOSS")


async def test_the_drawdown_floor_survives_a_kill(crashing: Any) -> None:
    """Up 1,600 before the kill, back by 800 after it: 50,800 is under the floor of 51,600 - 700, far above 50,000 - 700."""
    made: Crashing = await crashing(one={"drawdown": {"trail": "intraday", "amount": 700}, "balance": 50000})
    desk = made.rig
    with made.router() as router:
        await opened(desk, "one")
        await desk.done(await desk.entry("T1", 10))
        await desk.market.price("MNQ", 24080)
        await desk.done(await desk.exit("T1"))
        assert await desk.realised("one") == 1600
        await desk.done(await desk.entry("T2", 10))
        await desk.both_sides()
        peak = (await stands(desk, "one"))["highest_equity"]
        killed(router)
    assert 51500 < peak <= 51600
    with made.router():
        await desk.market.price("MNQ", 24040)
        await flattened_for(desk, "one", "DRAWDOWN")
        assert await desk.holds() == {"one": 0}
        assert await desk.realised("one") == 800
        figures = await denied_for(desk, (await desk.entry("T3")).task("one"), "DRAWDOWN")
        assert Decimal(figures["floor"]) == peak - 700
        after = await stands(desk, "one")
        assert after["highest_equity"] == peak
        assert after["balance"] <= 50800


async def test_an_intent_that_outlives_its_router_is_executed_once(crashing: Any) -> None:
    """Killed while the broker has the order and its answer hangs: the next router finds it and sends nothing."""
    made: Crashing = await crashing(one={})
    desk = made.rig
    with made.router() as router:
        hanging = await desk.market.arm("stall")
        posted = await desk.entry("T1", 2)
        await desk.market.stalled(hanging)
        killed(router)
    await desk.market.disarm()
    with made.router():
        await desk.done(posted)
        assert await desk.holds() == {"one": 2}
        executed = (await desk.market.executions())[posted.tasks[0]["client_order_id"]]
        assert (executed["executed"], executed["filled"]) == (1, 2)


async def opened(desk: Rig, *accounts: str) -> None:
    """Returns once what these accounts have is known; an entry before that is denied, since no loss could be counted."""

    async def known() -> bool:
        rows = await desk.rows("SELECT account FROM account_log WHERE kind = 'OPENED'")
        return {row["account"] for row in rows} >= {*accounts}

    await until_async(known, what=f"the books of {accounts}")


async def left(desk: Rig, trade: str, *accounts: str) -> None:
    """Closes a trade. The guardian may be faster where a limit is reached: then the exit finds nothing."""
    posted = await desk.exit(trade)
    for name in accounts:
        end = await desk.ended(posted.task(name))
        assert end["status"] == "SUCCESS" or end["reason"] == "NOTHING_TO_CLOSE", str(desk.watch)
    assert set((await desk.holds()).values()) == {0}


async def stands(desk: Rig, account: str) -> dict[str, Decimal]:
    """The figures of an account's latest row of account_log."""
    rows = await desk.rows("SELECT state FROM account_log WHERE account = %s ORDER BY seq DESC LIMIT 1", account)
    return {name: Decimal(value) for name, value in rows[0]["state"]["balances"].items()}


async def denied_for(desk: Rig, task: int, code: str) -> dict[str, str]:
    """The figures with which an entry was denied; after the guardian's flattening REDUCING is named first."""
    end = await desk.ended(task)
    assert end["status"] == "DENIED", str(desk.watch)
    assert end["reason"] in (code, "REDUCING"), str(desk.watch)
    assert await desk.rows("SELECT id FROM execution_logs WHERE task_id = %s AND reason = 'INTENT'", task) == []
    rows = await desk.rows("SELECT reason, detail FROM execution_logs WHERE id = %s", end["id"])
    detail = rows[0]["detail"]
    found = [detail] if rows[0]["reason"] == code else [each for each in detail["also"] if each["code"] == code]
    assert len(found) == 1, detail
    figures: dict[str, str] = found[0]
    return figures


async def flattened_for(desk: Rig, account: str, code: str) -> None:
    """Returns once the guardian asked for a flattening for this reason, and the account's log has the proof of it."""

    async def proven() -> bool:
        asked = await desk.rows(
            "SELECT reason FROM controls c JOIN account_log l ON (l.detail ->> 'control')::BIGINT = c.id"
            " WHERE l.account = %s AND l.kind = 'FLAT' AND c.actor = 'guardian'",
            account,
        )
        return any(row["reason"].startswith(f"{code}: ") for row in asked)

    await until_async(proven, what=f"a flattening for {code}")


def killed(router: Router) -> None:
    """Kills it with SIGKILL, and waits until the system says that it is dead."""
    router.kill()
    assert router.wait(30) == -signal.SIGKILL


async def test_a_dry_run_does_not_say_what_became_of_a_live_order(crashing: Any) -> None:
    """Killed while the broker has the order; a dry run in between knows nothing of it, and the next live router finds it."""
    made: Crashing = await crashing(one={})
    desk = made.rig
    with made.router() as router:
        hanging = await desk.market.arm("stall")
        posted = await desk.entry("T1", 2)
        entry = posted.task("one")
        await desk.market.stalled(hanging)
        killed(router)
    await desk.market.disarm()
    live = made.file.read_text()
    made.file.write_text(live.replace("dry_run = false", "dry_run = true"))
    with made.router():
        await desk.reached(entry, "UNKNOWN", "MODE_CHANGED")
        await asyncio.sleep(2)  # another round of what looked it up
        assert desk.watch.rows[entry][-1]["reason"] == "MODE_CHANGED", str(desk.watch)
    made.file.write_text(live)
    with made.router():
        await desk.done(posted)
        assert await desk.holds() == {"one": 2}


async def test_an_exit_does_not_wait_for_the_lease_of_a_killed_router(crashing: Any) -> None:
    """Killed while the answer to its entry hangs, ten minutes before the lease ends: the next router sees the order, and closes it."""
    made: Crashing = await crashing(one={})
    made.file.write_text(made.file.read_text().replace("lease = 2.0", "lease = 600.0"))
    desk = made.rig
    with made.router() as router:
        hanging = await desk.market.arm("stall")
        entry = (await desk.entry("T1", 2)).task("one")
        await desk.market.stalled(hanging)
        killed(router)
    await desk.market.disarm()
    with made.router():
        await desk.done(await desk.exit("T1"))
        assert await desk.holds() == {"one": 0}
        assert await desk.sold() == [2]
        assert await desk.rows("SELECT status FROM execution_tasks WHERE id = %s", entry) == [{"status": "SENDING"}]
