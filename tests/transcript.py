"""`python -m tests.transcript`: one alert on twenty accounts of the simulated broker, told from its log.

Prints an accepted order, one denied by size, one by the daily loss limit, a flattening with its proof, and how long it
takes from the alert to the last intent committed for 1, 5 and 20 accounts. The connector's rate budget is lifted for the
repetitions; the broker, the database (a PostgreSQL of its own, with fsync) and the way of every order are the real ones.
"""

import asyncio
import os
import shutil
import statistics
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from eventrouter.cli.look import print_log
from eventrouter.connectors.projectx.budget import Budget
from eventrouter.logs import configure_logging
from eventrouter.store import reports
from eventrouter.store.connect import Database
from eventrouter.store.embedded import open_server
from eventrouter.store.migrate import migrate
from tests.conftest import private_directory
from tests.live.keys import MASTER_KEY, MASTER_KEY_NAME, store_keys
from tests.live.market import FIRST, market
from tests.live.rig import Posted, Rig, configured, rig
from tests.live.settings_text import account, text
from tests.processes import command, environment

NAMES = [f"account{number:02}" for number in range(1, 21)]
ACCEPTED, SMALL, LOSER = NAMES[0], NAMES[6], NAMES[12]
REPEATS = 7
SIZINGS: list[dict[str, Any]] = [
    {"by": "fixed", "value": 2},
    {"by": "multiplier", "value": 1},
    {"by": "risk_amount", "value": 300},
    {"by": "risk_percent", "value": 0.5},
]


def settings(dsn: str, url: str, keys_at: Path) -> str:
    """Twenty accounts of four ways of sizing; one risks less than a contract costs, one has a daily loss limit."""
    tables = []
    for place, name in enumerate(NAMES):
        keys: dict[str, Any] = {"balance": 50000, "sizing": SIZINGS[place % len(SIZINGS)]}
        if name == SMALL:
            keys["sizing"] = {"by": "risk_amount", "value": 15}
        if name == LOSER:
            keys |= {"daily_loss": 400, "sizing": {"by": "multiplier", "value": 1}}
        tables.append(account(name, FIRST + place, url, NAMES[place - place % 5], **keys))
    routes = [{"name": "all", "strategy": "orb", "accounts": NAMES}]
    routes.append({"name": "loser", "strategy": "losing", "accounts": [LOSER]})
    plain = [name for name in NAMES if name not in (SMALL, LOSER)]
    routes += [{"name": f"fan{number}", "strategy": f"fan{number}", "accounts": plain[:number]} for number in (1, 5)]
    return text(dsn, tables, keys_at, routes=routes)


async def lose(desk: Rig) -> None:
    """Ten contracts fall by 25 points on one account: 500 lost."""
    losing = await desk.as_strategy("losing")
    await losing.done(await losing.entry("L1", 10))
    await desk.market.price("MNQ", 23975)
    await losing.done(await losing.exit("L1"))
    await desk.market.price("MNQ", 24000)
    await desk.both_sides()


async def show(desk: Rig, posted: Posted, name: str, title: str) -> None:
    """Prints the log of one account's task."""
    print(f"\n{title}")
    async with await Database(desk.dsn).connect("transcript") as conn:
        task = await reports.task(conn, posted.task(name))
        assert task is not None
        print_log(task, await reports.task_log(conn, posted.task(name)))
    for row in desk.watch.rows[posted.task(name)]:
        if sizing := (row["detail"] or {}).get("sizing"):
            print(f"      sized: {sizing['calculation']}")


async def one_alert(desk: Rig) -> None:
    """The alert, its plan, and three logs."""
    posted = await desk.entry("T1", 1, stop_loss=23990, take_profit=24020)
    ends = {row["account"]: await desk.ended(row["id"]) for row in posted.tasks}
    held = await desk.holds()
    print(f"One alert, {len(posted.tasks)} accounts: {posted.answer}")
    for name in NAMES:
        end = ends[name]
        print(f"  {name}  {end['status']:<8} {end['reason'] or '':<12} holds {held[name]:>3}  {end['message'] or ''}")
    await show(desk, posted, ACCEPTED, "Accepted:")
    await show(desk, posted, SMALL, "Denied by size:")
    await show(desk, posted, LOSER, "Denied by the daily loss limit:")


async def flatten(desk: Rig, file: Path) -> None:
    """The command, and what the broker and the accounts' logs say afterwards."""
    before = await desk.market.positions()
    working = sum(len(row["working"]) for row in (await desk.market.accounts()).values())
    print(f"\nBefore flatten the broker has {len(before)} positions and {working} working orders.")
    env = environment(EVENTROUTER_CONFIG=str(file)) | {MASTER_KEY_NAME: MASTER_KEY}
    done = await asyncio.to_thread(command, "flatten", "--yes", env=env)
    print(f"$ eventrouter flatten --yes\n{done.stdout.decode()}{done.stderr.decode()}(status {done.returncode})")
    working = sum(len(row["working"]) for row in (await desk.market.accounts()).values())
    print(f"Now the broker has {len(await desk.both_sides())} positions and {working} working orders.")
    rows = await desk.rows("SELECT account, seq, kind, actor, message FROM account_log WHERE account = %s", ACCEPTED)
    print(f"The log of {ACCEPTED}:")
    for row in rows:
        print(f"  {row['seq']:>3}  {row['kind']:<16} by {row['actor']}  {row['message'] or ''}")
    assert (await asyncio.to_thread(command, "resume", env=env)).returncode == 0


async def fan_out(desk: Rig, strategy: str, number: int) -> str:
    """Milliseconds from the alert's receipt to the commit of the last intent, each time from flat."""
    fan = await desk.as_strategy(strategy)
    times: list[float] = []
    for repeat in range(REPEATS):
        trade = f"{strategy}-{repeat}"
        posted = await fan.entry(trade, 1, stop_loss=23990)
        for row in posted.tasks:
            await fan.ended(row["id"])
        found = await fan.rows(
            "SELECT extract(epoch FROM max(l.created_at) - min(s.received_at)) * 1000 AS ms, count(*) AS intents"
            " FROM automated_signals s JOIN execution_tasks t ON t.signal_id = s.id"
            " JOIN execution_logs l ON l.task_id = t.id AND l.reason = 'INTENT' WHERE s.id = %s",
            posted.answer["signal_id"],
        )
        assert found[0]["intents"] == number
        times.append(float(found[0]["ms"]))
        await fan.done(await fan.exit(trade))
    return f"median {statistics.median(times):.1f} ms, best {min(times):.1f} ms, worst {max(times):.1f} ms of {REPEATS}"


async def transcript(dsn: str, place: Path) -> None:
    """All of it."""
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(market(accounts=len(NAMES)))
        file = place / "config.toml"
        config = configured(file, settings(dsn, broker.url, place / "credentials"))
        store_keys(place / "credentials", NAMES[::5])
        numbers = {name: FIRST + place for place, name in enumerate(NAMES)}
        desk = await stack.enter_async_context(rig(config, dsn, broker, numbers))
        await lose(desk)
        await one_alert(desk)
        await flatten(desk, file)
        print("\nFrom the alert to the last intent committed:")
        for strategy, number in (("fan1", 1), ("fan5", 5)):
            print(f"  {number:>2} accounts: {await fan_out(desk, strategy, number)}")


def main() -> None:
    """Runs it on a PostgreSQL of its own."""
    configure_logging("console", "error")
    os.environ[MASTER_KEY_NAME] = MASTER_KEY
    home = private_directory()
    server = open_server(home / "db")
    try:
        migrate(server.admin_dsn)
        lifted = partial(Budget, most=100_000)
        with patch("eventrouter.connectors.projectx.connector.Budget", lifted):
            asyncio.run(transcript(server.admin_dsn, home))
    finally:
        server.close()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
