"""A trader's day in one walk: sign in, see an alert come, open it, send a dead letter again, halt, flatten, sign out."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from eventrouter.store import access
from eventrouter.store.connect import Database
from eventrouter.web.logins import hashed
from tests.desk.browsing import SCREENS, sign_in
from tests.web.live_site import ENTRY, Site, configuration, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
OPERATOR, PASSWORD = "ann", "a horse that reads"
# a page says so itself where the browser kept something from running
WATCH = """addEventListener("securitypolicyviolation", event => console.error(`Blocked: ${event.violatedDirective} ${event.blockedURI}`))"""
LOST = ("net::ERR_", "Failed to fetch")
"""What the browser says by itself while the connection is lost."""


class Line:
    """A line to the operator's listener that can be cut: nobody gets through until it is mended."""

    def __init__(self, site: Site) -> None:
        self._target = site.listeners.operator
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self.port = 0

    def address(self, path: str) -> str:
        """A URL through the line."""
        return f"http://127.0.0.1:{self.port}{path}"

    def cut(self) -> None:
        """Ends all connections, and refuses new ones."""
        self._is_cut = True
        for writer in self._writers:
            writer.close()

    def mend(self) -> None:
        """Lets connections through again."""
        self._is_cut = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Line"]:
        """Listens for as long as the block lasts."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.cut()
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.close()
            return
        there, onward = await asyncio.open_connection(self._target.host, self._target.port)
        self._writers |= {writer, onward}
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_carry(reader, onward))
                both.create_task(_carry(there, writer))
        finally:
            self._writers -= {writer, onward}


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    sink.close()


@dataclass
class Day:
    """A service that asks for a login, the line to it, and the database's owner."""

    site: Site
    line: Line
    browser: Browser
    sql: psycopg.Connection[Any]
    token: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def day(shared_dsn: str, shared_chromium: Browser) -> AsyncIterator[Day]:
    """One service for all walks."""
    config = configuration(shared_dsn, accounts=[{"name": "alpha"}, {"name": "beta"}])
    async with running(config) as site, Line(site).open() as line:
        async with await Database(shared_dsn).connect("test") as conn:
            await access.add_user(conn, OPERATOR, hashed(PASSWORD), "operate")
        with psycopg.connect(shared_dsn, autocommit=True) as sql:
            yield Day(site, line, shared_chromium, sql, await site.token())


@pytest.mark.parametrize(
    ("width", "lossy"), [(1440, False), (390, False), (1440, True)], ids=["desk", "phone", "lossy"]
)
async def test_a_day(day: Day, width: int, lossy: bool) -> None:
    """Nothing is reloaded, no script fails, nothing is blocked; where the connection was lost, the page said so and missed nothing."""
    _resume(day)
    async with await day.browser.new_context(viewport=SCREENS[width]) as context:
        context.set_default_timeout(20_000)
        page, faults = await context.new_page(), []
        await page.add_init_script(WATCH)
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        await sign_in(page, day.line.address("/signals"), OPERATOR, PASSWORD)
        await _sees_an_alert(day, page, f"T-{width}-{lossy}", lossy=lossy)
        await _sends_again(day, page, f"F-{width}-{lossy}")
        await _halts(day, page)
        await _flattens(day, page)
        await page.get_by_role("button", name="Sign out").click()
        await page.wait_for_url("**/login")
        await page.goto(day.line.address("/signals"))
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert [fault for fault in faults if not (lossy and any(word in fault for word in LOST))] == []


async def _sees_an_alert(day: Day, page: Page, trade: str, *, lossy: bool) -> None:
    """It comes while the list is open, or while nobody could see it; it opens to its accounts."""
    await page.evaluate("window.stayed = true")
    if lossy:
        day.line.cut()
        await expect(page.locator("#live")).to_contain_text("Connection lost, trying again")
    status, answer = await day.site.alert(day.token, {**ENTRY, "trade_id": trade})
    assert status == 200, answer
    if lossy:
        day.line.mend()
        await expect(page.locator("#live")).to_have_text("Live")
    row = page.locator(f"#s{answer['signal_id']}")
    await expect(row).to_contain_text("ENTRY SHORT MNQ1!")
    await expect(row).to_contain_text(re.compile(r"2\s*SUCCESS"))
    assert await page.evaluate("window.stayed") is True
    await row.get_by_role("link").click()
    await page.wait_for_url(f"**/signals/{answer['signal_id']}")
    for name in ("alpha", "beta"):
        line = page.locator("tbody tr", has=page.get_by_role("link", name=name))
        await expect(line).to_contain_text("SUCCESS")


async def _sends_again(day: Day, page: Page, trade: str) -> None:
    """An order that failed stands among the dead letters; sent again, it succeeds."""
    task = _failed(day, trade)
    await page.get_by_role("navigation", name="Pages").get_by_role("link", name="Dead letters").click()
    link = page.locator(f'a[href$="/dead/{task}"]')
    await expect(page.locator("main tbody tr", has=link)).to_contain_text("FAILED")
    await link.click()
    form = page.get_by_role("form", name="Send again", exact=True)
    await form.get_by_label("Even if it is old").check()
    await form.get_by_label("Reason").fill("the broker is back")
    await form.get_by_role("button", name="Send again").click()
    await expect(page.locator("h1")).to_contain_text("SUCCESS")
    row_of = day.sql.execute("SELECT status FROM execution_tasks WHERE id = %s", [task]).fetchone()
    assert row_of == ("SUCCESS",)


async def _halts(day: Day, page: Page) -> None:
    """One account, after the page has said what it will do."""
    await _asks_for(page, "Halt", "account:alpha")
    form = page.get_by_role("form", name="Halt")
    await form.get_by_label("Reason").fill("lunch")
    await form.get_by_role("button", name="Halt account alpha").click()
    await expect(page.locator("main")).to_contain_text("What opens in this scope is denied")
    assert _standing(day) == {"account:alpha": ("halt", OPERATOR, "lunch")}


async def _flattens(day: Day, page: Page) -> None:
    """Everything, once what the page asks for was typed; the page says when it is flat."""
    await _asks_for(page, "Flatten", "all")
    form = page.get_by_role("form", name="Flatten")
    await form.get_by_label("Reason").fill("the day is over")
    await form.get_by_role("button", name="Flatten everything").click()
    assert await page.locator("#confirm").evaluate("field => field.validity.valueMissing")
    await page.locator("#confirm").fill(await form.locator("label b").inner_text())
    await form.get_by_role("button", name="Flatten everything").click()
    await expect(page.locator("main")).to_contain_text("Every account of the scope is proven flat.", timeout=40_000)
    assert _standing(day)["all"] == ("flatten", OPERATOR, "the day is over")
    held = day.sql.execute(
        "SELECT account FROM holdings GROUP BY account, contract HAVING sum(quantity) <> 0"
    ).fetchall()
    assert held == []


async def _asks_for(page: Page, verb: str, scope: str) -> None:
    """Asks what a control would do."""
    await page.get_by_role("link", name="Controls").first.click()
    await page.get_by_role("radio", name=re.compile(f"^{verb}")).check()
    await page.get_by_role("combobox", name="Scope").select_option(scope)
    await page.get_by_role("button", name="See what it will do").click()
    await expect(page.locator("main")).to_contain_text("What it will do, as it stands now")


def _standing(day: Day) -> dict[str, tuple[str, str, str | None]]:
    """What stands: scope → (action, who, why)."""
    rows = day.sql.execute(
        "SELECT DISTINCT ON (scope) scope, action, actor, reason FROM controls ORDER BY scope, id DESC"
    )
    return {scope: (action, actor, reason) for scope, action, actor, reason in rows if action != "resume"}


def _resume(day: Day) -> None:
    """Ends what the walk before left standing."""
    for scope in _standing(day):
        day.sql.execute("SELECT set_control(%s, 'resume', 'test', NULL)", [scope])


def _failed(day: Day, trade: str) -> int:
    """An order that the broker refused."""
    with day.sql.transaction():
        payload = json.dumps({"symbol": "MNQ1!", "direction": "SHORT", "quantity": 1})
        row = day.sql.execute("SELECT enqueue_execution_task(%s, 'ENTRY', %s, 'alpha')", [trade, payload]).fetchone()
        assert row is not None
        for version, (status, reason, lease) in enumerate(
            (("SENDING", "INTENT", 30.0), ("FAILED", "REJECTED", None)), 1
        ):
            day.sql.execute(_APPEND, [row[0], version, status, reason, "of a test", lease])
    return int(row[0])


_APPEND = """SELECT append_log('test', FALSE, ARRAY[%s::BIGINT], ARRAY[%s::INTEGER], ARRAY[%s], ARRAY[%s], ARRAY[%s], ARRAY[NULL::INTEGER],
    ARRAY[NULL], ARRAY[NULL::BYTEA], ARRAY['{}'], ARRAY[NULL::FLOAT8], ARRAY[%s::FLOAT8])"""
