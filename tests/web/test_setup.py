"""An application that exists already gains the router."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from aiohttp import ClientSession, ClientTimeout, web

from eventrouter import enqueue_execution_task, enqueue_execution_task_for_entry, setup
from eventrouter.app import Service
from eventrouter.domain.parsers import MOST_BYTES
from eventrouter.errors import ConfigError
from eventrouter.store.tokens import add_token
from tests.history import statuses
from tests.processes import until_async
from tests.web.live_site import ENTRY, EXIT, configuration

Sql = psycopg.Connection[Any]


class Shop:
    """Somebody's application with a table of its own, which enqueues in the transaction of its sale."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.app = web.Application(client_max_size=10 * MOST_BYTES)
        self.app.router.add_get("/", self.home)
        self.app.router.add_post("/sell", self.sell)

    async def home(self, _request: web.Request) -> web.Response:
        """Their page."""
        return web.Response(text="shop")

    async def sell(self, request: web.Request) -> web.Response:
        """A sale and its task; ?fail rolls both back, ?trade_id and ?price go into the task."""
        asked = request.query
        async with await psycopg.AsyncConnection.connect(self.dsn) as conn:
            price = float(asked.get("price", "1"))
            task_id = await enqueue_execution_task_for_entry(
                conn, asked.get("trade_id", "S-1"), direction="LONG", entry_price=price, symbol="MES1!"
            )
            await conn.execute("INSERT INTO sales DEFAULT VALUES")
            if "fail" in asked:
                await conn.rollback()
        return web.json_response({"task": task_id})


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[tuple[str, ClientSession]]:
    """The application on a free port, and a client."""
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with ClientSession(timeout=ClientTimeout(total=30)) as session:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}", session
    finally:
        await runner.cleanup()


@pytest.fixture
def shop(dsn: str, sql: Sql) -> Shop:
    """The application before it has heard of the router."""
    sql.execute("CREATE TABLE sales (id BIGINT GENERATED ALWAYS AS IDENTITY)")
    return Shop(dsn)


@pytest.fixture
def service(shop: Shop) -> Service:
    """The router, set up in the application."""
    return setup(shop.app, configuration(shop.dsn))


async def token_of(service: Service) -> str:
    """A new webhook token of the running service."""
    assert service.opened is not None
    async with await service.opened.database.connect("test") as conn:
        return await add_token(conn, "orb")


async def ended(sql: Sql, task_id: int) -> list[str]:
    """The statuses of a task's log once it is done."""

    async def done() -> bool:
        return statuses(sql, task_id)[-1] in ("SUCCESS", "DENIED")

    await until_async(done)
    return statuses(sql, task_id)


async def test_webhook_router_and_pages(shop: Shop, service: Service, sql: Sql) -> None:
    """Alerts run to their end beside the application's own routes, and the operator's pages are under /eventrouter."""
    async with serving(shop.app) as (url, session):
        token = await token_of(service)
        for alert in (ENTRY, EXIT):
            async with session.post(f"{url}/webhook/{token}", json=alert) as answer:
                assert answer.status == 200
                assert await ended(sql, (await answer.json())["tasks"][0]) == ["PENDING", "SENDING", "SUCCESS"]
        async with session.get(url) as answer:
            assert await answer.text() == "shop"
        async with session.get(f"{url}/eventrouter/api/tasks") as answer:
            assert [task["status"] for task in await answer.json()] == ["SUCCESS", "SUCCESS"]
    assert service.opened is None


async def test_the_webhook_keeps_its_own_limit(shop: Shop, service: Service) -> None:
    """64 KiB, however much the application itself takes."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield b" " * (MOST_BYTES // 8)

    async with serving(shop.app) as (url, session):
        answer = await session.post(f"{url}/webhook/{await token_of(service)}", data=chunks())
        assert answer.status == 413


async def test_it_stops_with_the_application(shop: Shop, service: Service, sql: Sql) -> None:
    """Open streams end, and no session of ours stays on the database."""
    async with serving(shop.app) as (url, session), session.get(f"{url}/eventrouter/api/events") as stream:
        assert stream.status == 200
        await shop.app.shutdown()
        await stream.read()
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

    async def gone() -> bool:
        return sql.execute(sessions).fetchone() == (0,)

    await until_async(gone)


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
async def test_the_pages_are_for_this_machine(shop: Shop, service: Service, header: str) -> None:
    """A request that came through a proxy is refused on every page; the webhook and the application's own are not."""
    async with serving(shop.app) as (url, session):
        for path in ("/", "/api/tasks", "/api/events", "/ws", "/metrics"):
            async with session.get(f"{url}/eventrouter{path}", headers={header: "127.0.0.1"}) as answer:
                assert (path, answer.status) == (path, 403)
        async with session.get(f"{url}/eventrouter/readyz", headers={header: "127.0.0.1"}) as answer:
            assert await answer.json() == {"status": "ready"}
        async with session.get(url, headers={header: "127.0.0.1"}) as answer:
            assert answer.status == 200
        async with session.post(f"{url}/webhook/x", headers={header: "127.0.0.1"}) as answer:
            assert answer.status == 401


async def test_no_pages_at_all(shop: Shop) -> None:
    """prefix=None leaves the operator's pages out."""
    setup(shop.app, configuration(shop.dsn), prefix=None, router=False)
    async with serving(shop.app) as (url, session), session.get(f"{url}/eventrouter/api/tasks") as answer:
        assert answer.status == 404


async def test_a_task_lives_and_dies_with_its_transaction(shop: Shop, service: Service, sql: Sql) -> None:
    """A rolled back sale leaves neither sale nor task; a committed one runs."""
    async with serving(shop.app) as (url, session):
        async with session.post(f"{url}/sell?fail") as answer:
            assert (await answer.json())["task"] is not None
        assert sql.execute("SELECT count(*) FROM execution_tasks").fetchone() == (0,)
        async with session.post(f"{url}/sell") as answer:
            task_id = (await answer.json())["task"]
        assert await ended(sql, task_id) == ["PENDING", "PENDING", "SENDING", "SUCCESS"]
    assert sql.execute("SELECT count(*) FROM sales").fetchone() == (1,)


@pytest.mark.parametrize("query", ["trade_id=", f"trade_id={'x' * 101}", "trade_id=%00", "price=nan"])
async def test_a_task_that_cannot_be_enqueued(shop: Shop, service: Service, sql: Sql, query: str) -> None:
    """The handler goes on and its own rows are committed."""
    async with serving(shop.app) as (url, session), session.post(f"{url}/sell?{query}") as answer:
        assert (answer.status, await answer.json()) == (200, {"task": None})
    assert sql.execute("SELECT count(*) FROM sales").fetchone() == (1,)
    assert sql.execute("SELECT count(*) FROM execution_tasks").fetchone() == (0,)


async def test_enqueue_where_eventrouter_is_not(empty_dsn: str) -> None:
    """A missing schema, an aborted transaction and a closed connection are answered with None too."""
    async with await psycopg.AsyncConnection.connect(empty_dsn) as conn:
        assert await enqueue_execution_task(conn, "T-1", "ENTRY") is None
        assert (await (await conn.execute("SELECT 1")).fetchone()) == (1,)
        with pytest.raises(psycopg.Error):
            await conn.execute("SELECT nonsense")
        assert await enqueue_execution_task(conn, "T-1", "ENTRY") is None
        await conn.close()
        assert await enqueue_execution_task(conn, "T-1", "ENTRY") is None


async def test_too_late(shop: Shop) -> None:
    """An application that has started is told so."""
    async with serving(shop.app):
        with pytest.raises(ConfigError, match="before the application starts"):
            setup(shop.app, configuration(shop.dsn))
