"""Simulated brokers and services of a test's own."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from eventrouter.connectors.projectx.budget import Budget
from tests.live.keys import MASTER_KEY, MASTER_KEY_NAME, store_keys
from tests.live.killed import Fleet, ended
from tests.live.market import FIRST, Market, market
from tests.live.pace import BUDGET, LOOK_AGAIN, LOOK_AGAIN_S, MOST_REQUESTS
from tests.live.rig import Rig, configured, rig
from tests.live.settings_text import account, text

Start = Callable[..., Awaitable[Rig]]
StartFleet = Callable[..., Awaitable[Fleet]]


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The master key; a rate budget that a test's pace does not use up; look-ups that follow each other sooner, though not
    before the simulated broker's longest delay has passed."""
    monkeypatch.setenv(MASTER_KEY_NAME, MASTER_KEY)
    monkeypatch.setattr(LOOK_AGAIN, LOOK_AGAIN_S)
    monkeypatch.setattr(BUDGET, partial(Budget, most=MOST_REQUESTS))


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What a test opens is closed when it ends, the latest first."""
    async with AsyncExitStack() as opened:
        yield opened


@pytest.fixture
def start(dsn: str, tmp_path: Path, stack: AsyncExitStack) -> Start:
    """Starts a service whose accounts, given with their keys of the configuration, share one login at one new broker.

    `broker` are the broker's settings, `dead` names accounts that are at another broker, under another login.
    """

    async def started(
        broker: Mapping[str, Any] | None = None,
        dead: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        sections: Mapping[str, Any] | None = None,
        with_router: bool = True,
        **accounts: Mapping[str, Any],
    ) -> Rig:
        accounts = accounts or {"one": {}}
        mine = await stack.enter_async_context(market(**{"accounts": len(accounts), **(broker or {})}))
        numbers = {name: FIRST + place for place, name in enumerate(accounts)}
        first = next(iter(accounts))
        tables = [account(name, numbers[name], mine.url, first, **keys) for name, keys in accounts.items()]
        others: dict[str, Market] = {}
        for name, keys in (dead or {}).items():
            others[name] = await stack.enter_async_context(market(accounts=1))
            tables.append(account(name, FIRST, others[name].url, name, **keys))
        keys_at = tmp_path / "credentials"
        store_keys(keys_at, [first, *others])
        config = configured(tmp_path / "config.toml", text(dsn, tables, keys_at, **(sections or {})))
        opened: Rig = await stack.enter_async_context(rig(config, dsn, mine, numbers, others, with_router=with_router))
        return opened

    return started


@pytest.fixture
def start_fleet(start: Start, tmp_path: Path, stack: AsyncExitStack) -> StartFleet:
    """Like `start`, but the routers are processes that the test starts and kills; leases are short."""

    async def started(broker: Mapping[str, Any] | None = None, **accounts: Mapping[str, Any]) -> Fleet:
        made = await start(broker, sections={"router": {"lease": 2.0}}, with_router=False, **accounts)
        return stack.enter_context(ended(Fleet(made, tmp_path / "config.toml", tmp_path)))

    return started
