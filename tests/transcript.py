"""`python -m tests.transcript`: one alert on twenty accounts of the simulated broker, told from its log.

Prints what became of each account, the logs of an accepted order, one denied by size and one by the daily loss limit, and a
flattening with its proof. Then how long it takes from the alert's receipt to the commit of the last intent for 1, 5 and 20
accounts, and how many requests the broker got: twenty accounts with a login each, and on one login. The broker is a process of
its own and so is the database, a PostgreSQL with fsync. Nothing leaves the machine.
"""

import asyncio
import os
import platform
import shutil
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
from aiohttp import ClientSession
from psycopg.conninfo import make_conninfo

from eventrouter.cli.log_text import log_lines, summary_lines
from eventrouter.cli.options import run_async
from eventrouter.connectors.projectx.budget import KEPT_FOR_EXITS, MOST_REQUESTS, Budget
from eventrouter.logs import configure_logging
from eventrouter.store import reports
from eventrouter.store.connect import Database
from eventrouter.store.embedded import open_server
from eventrouter.store.migrate import migrate
from tests.conftest import private_directory
from tests.live.keys import MASTER_KEY, MASTER_KEY_NAME, store_keys
from tests.live.market import FIRST, Market, market_process
from tests.live.rig import Posted, Rig, configured, rig
from tests.live.settings_text import account, text
from tests.processes import command, environment, until_async
from tests.simulator.client import Client

NAMES = [f"account{number:02}" for number in range(1, 21)]
ACCEPTED, SMALL, LOSER = NAMES[0], NAMES[6], NAMES[12]
FANS = (1, 5, 20)
REPEATS = 10
PLAIN: list[dict[str, Any]] = [{}] * len(NAMES)
SIZINGS: list[dict[str, Any]] = [
    {"by": "fixed", "value": 2},
    {"by": "multiplier", "value": 1},
    {"by": "risk_amount", "value": 300},
    {"by": "risk_percent", "value": 0.5},
]


def story() -> list[dict[str, Any]]:
    """Twenty accounts of four ways of sizing; one risks less than a contract costs, one has a daily loss limit."""
    rules: list[dict[str, Any]] = [{"sizing": SIZINGS[place % len(SIZINGS)]} for place in range(len(NAMES))]
    rules[NAMES.index(SMALL)] = {"sizing": {"by": "risk_amount", "value": 15}}
    rules[NAMES.index(LOSER)] = {"sizing": {"by": "multiplier", "value": 1}, "daily_loss": 400}
    return rules


def settings(dsn: str, url: str, keys_at: Path, rules: Sequence[dict[str, Any]], logins: int) -> str:
    """Twenty accounts with these rules and so many logins together, and a strategy for each fan."""
    tables = [
        account(name, FIRST + place, url, NAMES[place % logins], balance=50000, **rules[place])
        for place, name in enumerate(NAMES)
    ]
    routes = [{"name": "all", "strategy": "orb", "accounts": NAMES}]
    routes.append({"name": "loser", "strategy": "losing", "accounts": [LOSER]})
    routes += [{"name": f"fan{number}", "strategy": f"fan{number}", "accounts": NAMES[:number]} for number in FANS]
    return text(dsn, tables, keys_at, routes=routes)


@asynccontextmanager
async def opened(
    dsn: str, place: Path, rules: Sequence[dict[str, Any]], *, logins: int
) -> AsyncIterator[tuple[Rig, Path]]:
    """A broker, and a service whose accounts have so many logins there, each account's book read; and its configuration's file."""
    async with AsyncExitStack() as stack:
        said = stack.enter_context(market_process(place, "--accounts", str(len(NAMES))))
        client = Client(await stack.enter_async_context(ClientSession()), said["url"])
        await client.login()
        file = place / "config.toml"
        config = configured(file, settings(dsn, client.url, place / "credentials", rules, logins))
        store_keys(place / "credentials", NAMES[:logins])
        numbers = {name: FIRST + number for number, name in enumerate(NAMES)}
        desk = await stack.enter_async_context(rig(config, dsn, Market(client), numbers))

        async def read() -> bool:
            found = await desk.rows("SELECT DISTINCT account FROM account_log WHERE kind = 'OPENED'")
            return len(found) == len(NAMES)

        await until_async(read, what="every account's book")
        yield desk, file


async def lose(desk: Rig) -> None:
    """Ten contracts fall by 25 points on one account: 500 lost."""
    losing = await desk.as_strategy("losing")
    await losing.done(await losing.entry("L1", 10))
    await desk.market.price("MNQ", 23975)
    await losing.done(await losing.exit("L1"))
    await desk.market.price("MNQ", 24000)
    await desk.both_sides()


async def logs_of(desk: Rig, posted: Posted, names: Sequence[str]) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The tasks of these accounts with their logs."""
    async with await Database(desk.dsn).connect("transcript") as conn:
        found = []
        for name in names:
            task = await reports.task(conn, posted.task(name))
            assert task is not None
            found.append((task, await reports.task_log(conn, task["id"])))
        return found


async def one_alert(desk: Rig) -> None:
    """The alert, what became of it on every account, and three logs."""
    posted = await desk.entry("T1", 1, stop_loss=23990, take_profit=24020)
    for row in posted.tasks:
        await desk.ended(row["id"])
    held = await desk.holds()
    print(f"One alert, LONG 1 MNQ at 24000, stop 23990, target 24020, on {len(posted.tasks)} accounts:")
    for line in summary_lines(await logs_of(desk, posted, NAMES)):
        print(line)
    at_broker = ", ".join(str(held[name]) for name in NAMES)
    print(f"The broker holds, account by account: {at_broker}.")
    titles = {ACCEPTED: "Accepted", SMALL: "Denied by size", LOSER: "Denied by the daily loss limit"}
    for name, title in titles.items():
        print(f"\n{title}:")
        for told in await logs_of(desk, posted, [name]):
            for line in log_lines(*told):
                print(line)


async def flatten(desk: Rig, file: Path) -> None:
    """The command, and what the broker and an account's log say afterwards."""
    print(f"\nBefore flatten the broker has {await at_broker(desk)}.")
    env = environment(EVENTROUTER_CONFIG=str(file)) | {MASTER_KEY_NAME: MASTER_KEY}
    done = await asyncio.to_thread(command, "flatten", "--yes", env=env)
    said = (done.stdout + done.stderr).decode().splitlines()
    cut = next(number for number, line in enumerate(said) if line.startswith(f"{NAMES[2]}:"))
    flat = sum(": flat at " in line for line in said)
    print("\n".join(["$ eventrouter flatten --yes", *said[:cut]]))
    print(f"… and so on: {flat} of {len(NAMES)} accounts flat (status {done.returncode})")
    await desk.both_sides()
    print(f"Now the broker has {await at_broker(desk)}.")
    rows = await desk.rows(
        "SELECT kind, actor, message, created_at FROM account_log WHERE account = %s ORDER BY seq", ACCEPTED
    )
    print(f"\nThe log of {ACCEPTED} itself:")
    for row in rows:
        print(f"  {row['created_at']:%H:%M:%S.%f}  {row['kind']:<16} {row['message'] or ''}".rstrip())
    assert (await asyncio.to_thread(command, "resume", env=env)).returncode == 0


async def at_broker(desk: Rig) -> str:
    """Positions and working orders, as the broker's own side counts them."""
    working = sum(len(row["working"]) for row in (await desk.market.accounts()).values())
    return f"{len(await desk.market.positions())} positions and {working} working orders"


async def requests(desk: Rig) -> int:
    """How many requests the broker has got, logins included."""
    return sum((await desk.market.client.control("requests")).values())


async def fan_out(desk: Rig, number: int) -> str:
    """Each time from flat: how long it takes, and what it costs in requests."""
    fan = await desk.as_strategy(f"fan{number}")
    times: list[float] = []
    asked: list[int] = []
    for repeat in range(REPEATS):
        trade, before = f"F{number}-{repeat}", await requests(fan)
        posted = await fan.entry(trade, 1, stop_loss=23990)
        await fan.done(posted)
        asked.append(await requests(fan) - before)
        times.append(await to_last_intent(fan, posted))
        await fan.done(await fan.exit(trade))
    spread = f"median {statistics.median(times):5.0f} ms, best {min(times):4.0f} ms, worst {max(times):5.0f} ms"
    return f"{spread} of {len(times)}; requests for the entries: median {statistics.median(asked):g}, most {max(asked)}"


async def to_last_intent(desk: Rig, posted: Posted) -> float:
    """Milliseconds from the alert's receipt to the commit of its last task's first intent."""
    found = await desk.rows(
        "SELECT extract(epoch FROM max(i.at) - min(s.received_at)) * 1000 AS ms, count(*) AS intents"
        " FROM automated_signals s JOIN execution_tasks t ON t.signal_id = s.id"
        " CROSS JOIN LATERAL (SELECT min(l.created_at) AS at FROM execution_logs l"
        "                     WHERE l.task_id = t.id AND l.reason = 'INTENT') i WHERE s.id = %s",
        posted.answer["signal_id"],
    )
    assert found[0]["intents"] == len(posted.tasks)
    return float(found[0]["ms"])


async def within_budget(desk: Rig) -> None:
    """With the connector's own rate budget: alerts for twenty accounts, one after the other, until one has to wait."""
    fan = await desk.as_strategy("fan20")
    print(f"  reading twenty accounts at the start took {await requests(desk)} requests")
    for repeat in range(REPEATS):
        before = await requests(fan)
        posted = await fan.entry(f"B{repeat}", 1)
        answered = {row["id"]: partial(_first_answer, fan, row["id"]) for row in posted.tasks}
        firsts = {task: await fan.watch.until(answer, f"an answer to task {task}") for task, answer in answered.items()}
        refused = [row for row in firsts.values() if row["status"] == "PENDING"]
        ms = await to_last_intent(fan, posted)
        print(
            f"  alert {repeat + 1}: last intent after {ms:.0f} ms, {await requests(fan) - before} requests, "
            f"{len(firsts) - len(refused)} orders at the broker at once, {len(refused)} wait"
        )
        if refused:
            print(f"  {refused[0]['account']}: {refused[0]['message']}")
            return


def _first_answer(desk: Rig, task: int) -> Any:
    """What came of a task's first sending."""
    rows = [row["status"] for row in desk.watch.rows[task]]
    sent = rows.index("SENDING") if "SENDING" in rows else len(rows)
    return next(iter(desk.watch.rows[task][sent + 1 :]), None)


async def measured(dsn: str, place: Path, *, logins: int, most: int = MOST_REQUESTS) -> None:
    """The fan-out's times with so many logins, and so many requests allowed for each in a minute."""
    with patch("eventrouter.connectors.projectx.connector.Budget", partial(Budget, most=most)):
        async with opened(dsn, place, PLAIN, logins=logins) as (desk, _):
            for number in FANS:
                print(f"  {number:>2} accounts: {await fan_out(desk, number)}")


async def transcript(dsns: Sequence[str], place: Path) -> None:
    """All of it, each part on a database of its own."""
    async with opened(dsns[0], place, story(), logins=len(NAMES)) as (desk, file):
        await lose(desk)
        await one_alert(desk)
        await flatten(desk, file)
    print("\nFrom the alert's receipt to the commit of the last intent, twenty accounts with a login each:")
    await measured(dsns[1], place, logins=len(NAMES))
    print("\nTwenty accounts on one login, the connector's rate budget lifted:")
    await measured(dsns[2], place, logins=1, most=100_000)
    print(
        f"\nTwenty accounts on one login, with its budget ({MOST_REQUESTS} requests a minute, {KEPT_FOR_EXITS} of them for exits):"
    )
    async with opened(dsns[3], place, PLAIN, logins=1) as (desk, _):
        await within_budget(desk)


def main() -> None:
    """Runs it on a PostgreSQL of its own."""
    configure_logging("console", "error")
    os.environ[MASTER_KEY_NAME] = MASTER_KEY
    home = private_directory()
    server = open_server(home / "db")
    try:
        dsns = []
        with psycopg.connect(server.admin_dsn, autocommit=True) as conn:
            for number in range(4):
                conn.execute(f"CREATE DATABASE part{number}".encode())
                dsns.append(make_conninfo(server.admin_dsn, dbname=f"part{number}"))
        for dsn in dsns:
            migrate(dsn)
        print(f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}\n")
        run_async(partial(transcript, dsns, home))
    finally:
        server.close()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
