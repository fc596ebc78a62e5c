"""The whole of it: a service that tells people, and the commands that look at it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from eventrouter.app import Service
from eventrouter.config import load_config
from eventrouter.errors import ConfigError
from tests.alerts.inbox import SECRET, Inbox
from tests.processes import command, environment, until_async
from tests.web.live_site import configuration, running


async def run(*arguments: str, dsn: str, urls: list[str]) -> tuple[int, str]:
    """Exit status and everything printed of a command."""
    env = environment(dsn, EVENTROUTER_ALERTS__URLS=json.dumps(urls), EVENTROUTER_LOGS__LEVEL="debug")
    done = await asyncio.to_thread(command, *arguments, env=env)
    return done.returncode, (done.stdout + done.stderr).decode()


async def test_a_halt_at_the_desk_reaches_a_person(dsn: str, box: Inbox) -> None:
    """The service tells it, /readyz says how that went, and `alerts list` shows it."""
    config = configuration(dsn, alerts={"urls": [box.url()], "group": 0.0})
    async with running(config) as site:
        assert (await site.get("/readyz"))[1]["alerts"] == {"state": "ok", "waiting": 0, "receivers": {}}

        async def begun() -> bool:
            async with await psycopg.AsyncConnection.connect(dsn) as conn:
                return await (await conn.execute("SELECT FROM notification_state")).fetchone() is not None

        await until_async(begun, what="the first look at history")
        await site.act("/api/halt", {"scope": "all", "actor": "me", "reason": "lunch"})
        await asyncio.wait_for(box.came.wait(), 30)

        async def told() -> bool:
            return list((await site.get("/readyz"))[1]["alerts"]["receivers"].values()) == ["taken"]

        await until_async(told, what="the answer in /readyz")
    assert box.titles == ["eventrouter: Halted: all"]
    status, printed = await run("alerts", "list", "--json", dsn=dsn, urls=[])
    (row,) = json.loads(printed)
    assert (status, row["kind"], row["title"], len(row["reached"])) == (0, "halt", "Halted: all", 1)
    assert SECRET not in printed
    assert "Halted: all" in (await run("alerts", "list", dsn=dsn, urls=[]))[1]


async def test_a_strategy_that_is_silent_at_the_start_is_told(dsn: str, box: Inbox) -> None:
    """The first look at the strategies may find it before anything else has begun."""
    strategies = [{"name": "orb", "expect_every": 0.001}]
    config = configuration(dsn, alerts={"urls": [box.url()], "group": 0.0}, strategies=strategies)
    async with running(config, with_router=False):
        await asyncio.wait_for(box.came.wait(), 30)
    assert box.titles == ["eventrouter: Strategy orb is silent"]


async def test_without_a_url_nothing_is_read(dsn: str) -> None:
    """Alerts are off, and say so."""
    async with running(configuration(dsn)) as site:
        assert (await site.get("/readyz"))[1]["alerts"] == {"state": "off"}


async def test_a_wrong_url_is_told_before_anything_runs(dsn: str) -> None:
    """As a fault of the configuration, not as a message that never comes."""
    service = Service(configuration(dsn, alerts={"urls": [f"nosuch://{SECRET}"]}))
    with pytest.raises(ConfigError, match="apprise knows no such URL"):
        await service.start()
    assert service.router is None


async def test_the_test_tells_every_url_and_prints_what_each_said(dsn: str, box: Inbox, other: Inbox) -> None:
    """One message each; status 1 when one did not take it; no part of a URL in the output."""
    other.status = 401
    status, printed = await run("alerts", "test", dsn=dsn, urls=[box.url(), other.url(secret=f"{SECRET}2")])
    assert status == 1
    assert box.titles == other.titles == ["eventrouter: a test"]
    taken, refused = printed.splitlines()
    assert taken.endswith(": taken")
    assert "401" in refused
    assert SECRET not in printed
    assert (await run("alerts", "test", dsn=dsn, urls=[box.url()]))[0] == 0
    status, printed = await run("alerts", "test", dsn=dsn, urls=[])
    assert (status, "Nobody is told" in printed) == (2, True)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"urls": ["no-url-hunter2"]}, 'alerts.urls[0]: must be an apprise URL such as "tgram://TOKEN/CHAT"'),
        ({"off": ["reviews"]}, "alerts.off[0]: must be one of dead_letter, review"),
        ({"limit_near": 1.5}, "alerts.limit_near: must be at most 1"),
    ],
)
def test_wrong_settings_are_told_without_secrets(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    """One line for each, with its key."""
    (tmp_path / "none.toml").write_text("")
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "none.toml", environ={}, overrides={"alerts": settings})
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)
