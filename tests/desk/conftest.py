"""The desk of a running service, and a browser that looks at it; what its console calls an error fails the test."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, ViewportSize, expect

from tests.conftest import Server, _template
from tests.desk.browsing import CHROMIUM, browser
from tests.web.live_site import Site, configuration, running

ACCOUNTS = ("alpha", "beta")
WIDE, PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=375, height=760)


expect.set_options(timeout=20_000)  # a loaded machine is slow; nothing is measured here


@dataclass
class Desk:
    """A service in dry run on two accounts, and a page of a browser."""

    site: Site
    page: Page
    faults: list[str] = field(default_factory=list)

    async def open(self, path: str) -> None:
        """Goes there and waits until it is live."""
        await self.page.goto(self.site.operator(path))
        await self.live()

    async def live(self) -> None:
        """Waits until the page follows the log."""
        await self.page.wait_for_selector('#live[data-state="on"]')


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """A headless Chromium of this machine."""
    _needed()
    async with browser() as opened:
        yield opened


def _needed() -> None:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed on this machine: install chromium or google-chrome")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_chromium() -> AsyncIterator[Browser]:
    """The same for all tests of a module."""
    _needed()
    async with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def shared_dsn(embedded_server: Server) -> Iterator[str]:
    """A migrated database for all tests of a module, as its owner."""
    with embedded_server.database(_template(embedded_server)) as janitor:
        yield embedded_server.dsn(janitor.dbname)


@pytest.fixture
async def site(dsn: str) -> AsyncIterator[Site]:
    """A whole service in dry run, without a browser."""
    async with running(configuration(dsn, accounts=[{"name": name} for name in ACCOUNTS])) as opened:
        yield opened


@pytest.fixture
async def desk(site: Site, chromium: Browser) -> AsyncIterator[Desk]:
    """The service and a page; the test fails where the console told an error."""
    context = await chromium.new_context(viewport=WIDE, timezone_id="America/Chicago", locale="en-GB")
    context.set_default_timeout(20_000)
    opened = Desk(site, await context.new_page())
    opened.page.on("console", lambda said: opened.faults.append(said.text) if said.type == "error" else None)
    opened.page.on("pageerror", lambda error: opened.faults.append(str(error)))
    yield opened
    await context.close()
    assert opened.faults == []


@pytest.fixture
def sql(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """The owner's connection to the service's database, in autocommit."""
    with psycopg.connect(dsn, autocommit=True, options="-c lock_timeout=10s") as conn:
        yield conn
