"""Postgres goes away under a running service, and comes back: nothing acknowledged is lost, and nobody has to help."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psycopg
from aiohttp import ClientSession, ClientTimeout

from eventrouter.store.connect import Database
from eventrouter.store.tokens import add_token
from tests.processes import address_of, environment, service, until, until_async
from tests.router.conftest import OwnServer
from tests.router.fleet import number, violations


class Alerts:
    """Senders that post entries one after the other; what was acknowledged and what each answer was."""

    def __init__(self) -> None:
        self.acknowledged: set[str] = set()
        self.answers: Counter[int] = Counter()
        self.without_retry_after = 0

    async def post(self, session: ClientSession, url: str, trades: "itertools.count[int]") -> None:
        """One sender."""
        while True:
            place = next(trades)
            trade = f"t{place}"
            alert = {"kind": "ENTRY", "trade_id": trade, "symbol": f"S{place % 40}", "direction": "LONG"}
            async with session.post(url, json=alert) as answer:
                self.answers[answer.status] += 1
                if answer.status == 200:
                    self.acknowledged.add(trade)
                elif "Retry-After" not in answer.headers:
                    self.without_retry_after += 1
            await asyncio.sleep(0.02)

    def is_acknowledged(self, more: int) -> Callable[[], Awaitable[bool]]:
        """A condition: so many more alerts than now were acknowledged."""
        wanted = len(self.acknowledged) + more
        return lambda: _true(len(self.acknowledged) >= wanted)

    def is_refused(self, more: int) -> Callable[[], Awaitable[bool]]:
        """A condition: so many more alerts than now were answered 503."""
        wanted = self.answers[503] + more
        return lambda: _true(self.answers[503] >= wanted)


async def _true(condition: bool) -> bool:
    return condition


@asynccontextmanager
async def alerted(dsn: str, log: Path) -> AsyncIterator[Alerts]:
    """Alerts to the service that writes this log, for as long as the block runs."""
    address = address_of(log, "Alerts")
    async with await Database(dsn).connect("token") as conn:
        url = f"http://{address}/webhook/{await add_token(conn, 'orb')}"
    alerts, trades = Alerts(), itertools.count()
    async with ClientSession(timeout=ClientTimeout(total=30)) as session:
        senders = asyncio.gather(*(alerts.post(session, url, trades) for _ in range(4)))
        try:
            yield alerts
        finally:
            senders.cancel()
            with suppress(asyncio.CancelledError):
                await senders


async def ready(log: Path, status: int) -> None:
    """Returns once /readyz answers this."""
    url = f"http://{address_of(log)}/readyz"
    async with ClientSession(timeout=ClientTimeout(total=10)) as session:

        async def answers() -> bool:
            async with session.get(url) as answer:
                return answer.status == status

        await until_async(answers, what=f"{status} from /readyz")


def nothing_is_missing(dsn: str, alerts: Alerts) -> None:
    """Every task is executed, every acknowledged alert is stored once, and every refusal asked to come again."""
    with psycopg.connect(dsn, autocommit=True) as owner:
        left = "SELECT count(*) FROM execution_tasks WHERE status <> 'SUCCESS'"
        until(lambda: number(owner, left) == 0, what="SUCCESS of every task")
        stored = Counter(row[0] for row in owner.execute("SELECT trade_id FROM automated_signals"))
        made = Counter(row[0] for row in owner.execute("SELECT trade_id FROM execution_tasks"))
    assert alerts.acknowledged <= stored.keys()
    assert stored == made
    assert set(stored.values()) == {1}
    assert alerts.answers.keys() <= {200, 503}
    assert alerts.without_retry_after == 0
    assert violations(dsn) == []


async def test_postgres_stops_and_starts_again(own_server: OwnServer, tmp_path: Path) -> None:
    """While Postgres is away /readyz and webhooks say 503; after a stop and after a crash all goes on by itself."""
    log = tmp_path / "service.log"
    with service("run", env=environment(own_server.dsn, EVENTROUTER_ROUTER__LEASE="1"), log=log):
        async with alerted(own_server.dsn, log) as alerts:
            for end in (own_server.stop, own_server.crash):
                await until_async(alerts.is_acknowledged(20))
                await asyncio.to_thread(end)
                refused = alerts.is_refused(4)
                await ready(log, 503)
                await until_async(refused)
                await asyncio.to_thread(own_server.start)
                await ready(log, 200)
                await until_async(alerts.is_acknowledged(20))
        nothing_is_missing(own_server.dsn, alerts)


async def test_sessions_are_terminated_again_and_again(dsn: str, tmp_path: Path) -> None:
    """With every session of the service ended five times a second, what it acknowledged is stored and executed once."""
    log = tmp_path / "service.log"
    with (
        service("run", env=environment(dsn, EVENTROUTER_ROUTER__LEASE="1"), log=log),
        psycopg.connect(dsn, autocommit=True) as owner,
    ):
        async with alerted(dsn, log) as alerts:
            await until_async(alerts.is_acknowledged(20))
            for _ in range(15):
                owner.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name LIKE 'eventrouter-%' AND datname = current_database()"
                )
                await asyncio.sleep(0.2)
            await until_async(alerts.is_acknowledged(20))
        nothing_is_missing(dsn, alerts)
