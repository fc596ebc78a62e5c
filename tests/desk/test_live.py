"""A page that follows the log says so only while it is true: after a refused action, when a part cannot be had, and signed out."""

import re

import psycopg
import pytest
from playwright.async_api import Route, expect

from eventrouter.store import access
from eventrouter.web.logins import hashed
from tests.desk.browsing import sign_in
from tests.desk.conftest import PHONE, Desk
from tests.desk.letters import Sql, made, status_of
from tests.web.live_site import ENTRY, Site


async def press(desk: Desk, form: str) -> None:
    """Presses a form's button; the browser calls a 4xx of the page itself an error of the console."""
    await desk.page.get_by_role("form", name=form, exact=True).get_by_role("button").click()
    await expect(desk.page.get_by_role("alert")).to_be_visible()
    desk.faults[:] = [fault for fault in desk.faults if "Failed to load resource" not in fault]


@pytest.mark.parametrize(
    ("path", "form", "field"),
    [
        ("dead", "Resolve as executed", "#confirm-resolve"),
        ("dead", "Change and send again", "#set-stop_loss"),
        ("dead", "Send again", "#confirm-retry"),
        ("tasks", "Resolve as done", "#confirm-resolve"),
    ],
)
async def test_after_a_refused_action_the_page_goes_on(desk: Desk, sql: Sql, path: str, form: str, field: str) -> None:
    """It is at its own address again, follows the log, and can be loaded again."""
    page, task = desk.page, made(sql, "REVIEW")
    await desk.open(f"/{path}/{task}")
    if form == "Change and send again":
        await page.get_by_text("Change it and send it").click()
        await page.locator("#confirm-edit").fill("7777")
    await page.locator(field).fill("7777")
    await press(desk, form)
    await desk.live()
    assert page.url == desk.site.operator(f"/{path}/{task}")
    await page.locator("h1").click()
    await desk.site.act(f"/api/tasks/{task}/discard", {"reason": "meanwhile"})
    await expect(page.locator("h1")).to_contain_text("CANCELLED")
    await expect(page.locator("main")).to_contain_text("meanwhile")
    await page.reload()
    await desk.live()
    await expect(page.locator("h1")).to_contain_text("CANCELLED")


async def test_a_late_approval_leaves_the_queue_live(desk: Desk, sql: Sql) -> None:
    """Refused, for somebody decided first; what comes next appears all the same."""
    page, first = desk.page, made(sql, "HELD")
    await desk.open("/approvals")
    await page.route("**/approvals?*", lambda route: route.abort())  # the page does not notice the other's decision
    await desk.site.act(f"/api/tasks/{first}/refuse", {})
    await page.get_by_role("button", name=f"Approve task {first}").click()
    await expect(page.get_by_role("alert")).to_contain_text("CANCELLED")
    await page.unroute("**/approvals?*")
    assert page.url == desk.site.operator("/approvals")
    desk.faults.clear()
    second = made(sql, "HELD", trade="T-2")
    await expect(page.locator(f"#h{second}")).to_be_visible()


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/dead/7/resolve", "/dead/7"),
        ("/dead/7/edit", "/dead/7"),
        ("/dead/many", "/dead"),
        ("/tasks/7/retry", "/tasks/7"),
        ("/approvals/7/approve", "/approvals"),
        ("/dead/7/nonsense", None),
        ("/tasks/7/nonsense", None),
        ("/approvals/7/retry", None),
    ],
)
async def test_an_actions_address_opens_its_page(site: Site, sql: Sql, path: str, place: str | None) -> None:
    """With GET nothing is done; what is no action is not found."""
    task = made(sql, "FAILED")
    async with site.session.get(site.operator(path.replace("7", str(task))), allow_redirects=False) as answer:
        expected = (404, None) if place is None else (303, place.replace("7", str(task)))
        assert (answer.status, answer.headers.get("Location")) == expected
    assert status_of(sql, task) == "FAILED"


async def test_what_cannot_be_had_is_not_called_live(desk: Desk, sql: Sql) -> None:
    """The log is followed, and a part of the page is refused: it says that it is not up to date, until it is."""
    page, task = desk.page, made(sql, "FAILED")
    await desk.open(f"/tasks/{task}")

    async def refuse(route: Route) -> None:
        await route.fulfill(status=503, body="away")

    await page.route("**/tasks/*fragment*", refuse)
    await desk.site.act(f"/api/tasks/{task}/discard", {"reason": "meanwhile"})
    await expect(page.locator("#live")).to_contain_text("Not up to date, trying again; as of ")
    await page.unroute("**/tasks/*fragment*")
    await desk.live()
    await expect(page.locator("main")).to_contain_text("meanwhile")
    desk.faults.clear()


@pytest.mark.parametrize("path", ["/", "/explain"])
async def test_who_is_removed_is_told_so(dsn: str, desk: Desk, path: str) -> None:
    """No outage: the way to sign in leads back here, and nothing is asked any more."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        for name in ("vic", "ann"):
            assert await access.add_user(conn, name, hashed("a horse that reads"), "view")
        page = desk.page
        await page.clock.install()
        await sign_in(page, desk.site.operator(path), "vic", "a horse that reads")
        await access.remove_user(conn, "vic")
    await page.clock.fast_forward(16_000)
    await expect(page.locator("#live")).to_have_text(re.compile(r"^Signed out; as of \d\d:\d\d:\d\d: sign in$"))
    await page.set_viewport_size(PHONE)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    desk.faults.clear()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.clock.run_for(60_000)
    assert asked == []
    await page.get_by_role("link", name="sign in").click()
    await page.get_by_label("Name").fill("ann")
    await page.get_by_label("Password").fill("a horse that reads")
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(desk.site.operator(path))


async def test_an_outage_greys_what_was_known(desk: Desk) -> None:
    """It may not be so any more; the time says until when it was, and nothing of it is said once the service is back."""
    page = desk.page
    await desk.open("/")
    state = page.locator('[data-fragment="state"]')
    await expect(state).not_to_have_class("old")
    await page.route("**/api/events*", lambda route: route.abort())
    await desk.site.listeners.close()
    await expect(page.locator("#live")).to_have_text(
        re.compile(r"^Connection lost, trying again; as of \d\d:\d\d:\d\d$")
    )
    for part in ("state", "charts", "accounts"):
        await expect(page.locator(f'[data-fragment="{part}"]')).to_have_class("old")
    await page.set_viewport_size(PHONE)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    desk.faults.clear()


async def test_the_charts_follow_the_log(desk: Desk) -> None:
    """Not only by the clock, which stands still here."""
    page, token = desk.page, await desk.site.token()
    await page.add_init_script("window.setInterval = () => 0")
    await desk.open("/")
    for number in (1, 2):
        status, _ = await desk.site.alert(token, {**ENTRY, "trade_id": f"T-{number}"})
        assert status == 200
        counted = page.locator("section", has=page.locator("#coming"))
        await expect(counted).to_contain_text(f"{number} in the hour")
