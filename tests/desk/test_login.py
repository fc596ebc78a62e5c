"""Signing in with a real browser, and what another page in it can do in somebody's name."""

from typing import Any

import psycopg
import pytest
from aiohttp import web
from playwright.async_api import Browser, Page

from eventrouter.store import access
from eventrouter.web.logins import hashed
from tests.desk.conftest import PHONE
from tests.web.live_site import Site

Sql = psycopg.Connection[Any]
PASSWORD = "a horse that reads"


@pytest.fixture
async def users(dsn: str, site: Site) -> None:
    """ann may operate, vic may look; demo comes by link only."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        for name, role, password in (
            ("ann", "operate", PASSWORD),
            ("vic", "view", PASSWORD),
            ("demo", "operate", None),
        ):
            assert await access.add_user(conn, name, password and hashed(password), role)


@pytest.fixture
async def page(chromium: Browser) -> Page:
    """A page of a phone whose owner has not signed in."""
    context = await chromium.new_context(viewport=PHONE)
    context.set_default_timeout(20_000)
    return await context.new_page()


async def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    """Fills in the form and sends it."""
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()


@pytest.mark.usefixtures("users")
async def test_a_login(site: Site, page: Page) -> None:
    """A shared address leads to the form, a wrong password is said, the right one leads to the address, and signing out ends it."""
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Content Security" in said.text else None)
    await page.goto(site.operator("/signals?symbol=MNQ"))
    await sign_in(page, "ann", "wrong")
    assert await page.get_by_role("alert").inner_text() == "The name or the password is wrong."
    assert await page.get_by_label("Name").input_value() == "ann"
    await sign_in(page, "ann")
    await page.wait_for_url(site.operator("/signals?symbol=MNQ"))
    await page.wait_for_selector('#live[data-state="on"]')
    assert await page.evaluate("document.cookie") == "", "a script can read the session"
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url(site.operator("/login"))
    await page.goto(site.operator("/signals"))
    assert await page.get_by_role("heading", name="Sign in").is_visible()
    assert faults == []


@pytest.mark.usefixtures("users")
async def test_a_script_of_ours(site: Site, page: Page, sql: Sql) -> None:
    """A page's own script changes something with the token in it, nothing without, and as a viewer nothing at all."""
    halt = """token => fetch("/api/halt", {method: "POST", body: "{}", headers: {
        "Content-Type": "application/json", ...(token && {"X-CSRF-Token": document.body.dataset.csrf})}}).then(said => said.status)"""
    for name, answers in (("vic", (403, 403)), ("ann", (403, 200))):
        await page.context.clear_cookies()
        await page.goto(site.operator("/signals"))
        await sign_in(page, name)
        await page.wait_for_url(site.operator("/signals"))
        assert (name, await page.evaluate(halt, False), await page.evaluate(halt, True)) == (name, *answers)
    assert sql.execute("SELECT actor FROM controls").fetchall() == [("ann",)]


@pytest.mark.usefixtures("users")
async def test_another_page(site: Site, page: Page, sql: Sql) -> None:
    """A page from elsewhere on this very machine, whose forms bring ann's cookie, ends no session and halts nothing."""
    await page.goto(site.operator("/signals"))
    await sign_in(page, "ann")
    await page.wait_for_url(site.operator("/signals"))

    async def evil(request: web.Request) -> web.Response:
        kind, path = request.query["kind"], request.query["path"]
        form = f'<form method="post" enctype="{kind}" action="{site.operator(path)}"><input name="scope" value="all"><button>'
        return web.Response(text=f"{form}Win</button></form>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", evil)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        for path in ("/logout", "/api/halt", "/api/flatten"):
            for kind in ("application/x-www-form-urlencoded", "text/plain"):
                await page.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/?path={path}&kind={kind}")
                async with page.expect_navigation() as gone:
                    await page.get_by_role("button").click()
                answer = await gone.value
                assert answer is not None
                assert "cookie" in await answer.request.all_headers()
                assert (path, kind, answer.status) == (path, kind, 403)
    finally:
        await runner.cleanup()
    assert sql.execute("SELECT count(*) FROM controls").fetchone() == (0,)
    await page.goto(site.operator("/signals"))
    await page.wait_for_selector('#live[data-state="on"]')


@pytest.mark.usefixtures("users")
async def test_a_link(site: Site, page: Page, dsn: str) -> None:
    """One press signs in; the same link says later that it was used."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        address = site.operator(f"/login/once?token={await access.add_link(conn, 'demo')}")
    await page.goto(address)
    await page.get_by_role("button", name="Open the desk").click()
    await page.get_by_role("button", name="Sign out").click()
    await page.goto(address)
    await page.get_by_role("button", name="Open the desk").click()
    assert "used already" in await page.get_by_role("alert").inner_text()
