"""The queue of orders that wait for a yes or no, as on a phone: what is asked is seen, and what came too late is said."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from playwright.async_api import Browser, ViewportSize, expect

from eventrouter.store.connect import Database
from eventrouter.store.desk_now import by_minute
from tests.desk.conftest import Desk
from tests.desk.letters import made, status_of
from tests.web.live_site import ENTRY, configuration, running

Sql = psycopg.Connection[Any]
PHONE = ViewportSize(width=390, height=844)
HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>'


@pytest.fixture
async def asked(dsn: str, chromium: Browser) -> AsyncIterator[Desk]:
    """A service with an account whose every entry a person approves, and a phone that looks at it."""
    careful = {"name": "careful", "automation": "approve_each", "approve_within": 600}
    async with running(configuration(dsn, accounts=[careful])) as site:
        context = await chromium.new_context(viewport=PHONE, has_touch=True, timezone_id="America/Chicago")
        context.set_default_timeout(20_000)
        desk = Desk(site, await context.new_page())
        desk.page.on("console", lambda said: desk.faults.append(said.text) if said.type == "error" else None)
        desk.page.on("pageerror", lambda error: desk.faults.append(str(error)))
        yield desk
        await context.close()
        assert desk.faults == []


async def test_an_order_is_approved_on_a_phone(asked: Desk, sql: Sql) -> None:
    """An alert comes while the queue is open: what, how much, price and until when; one tap sends it, and the page says so."""
    page, token = asked.page, await asked.site.token()
    sql.execute("INSERT INTO last_prices (root, price, source, at) VALUES ('MNQ', 21030.25, 'broker', now())")
    await asked.open("/approvals")
    await expect(page.locator("main")).to_contain_text("Nothing waits for approval.")
    _, answer = await asked.site.alert(token, ENTRY)
    (task,) = answer["tasks"]
    card = page.locator(f"#h{task}")
    await expect(card.locator("h2")).to_contain_text("SHORT 1 MNQ1!")
    await expect(card.locator(".price")).to_contain_text("market, alert at 21040.75, stop loss 21061.25")
    await expect(card).to_contain_text("careful")
    await expect(card.locator("dl")).to_contain_text(re.compile(r"Last price\s*21030\.25 .* old"))
    await expect(card.locator("[data-left]")).to_contain_text("min left")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    button = card.get_by_role("button", name=f"Approve task {task}")
    box = await button.bounding_box()
    assert box is not None
    assert (box["height"] >= 48, box["width"] >= 150) == (True, True)
    await button.tap()
    await page.wait_for_url(f"**/approvals?did=approved&task={task}")
    await expect(page.locator(".outcome")).to_contain_text("was approved")
    await expect(page.locator(".outcome")).to_contain_text("SUCCESS")
    row = sql.execute("SELECT actor FROM execution_logs WHERE reason = 'OPERATOR_APPROVE'").fetchone()
    assert row == ("operator",)


async def test_how_long_a_person_took_is_no_latency(dsn: str, asked: Desk, sql: Sql) -> None:
    """The approved order is counted among the orders of its minute, and not among the times from alert to intent."""
    since = datetime.now(UTC) - timedelta(minutes=5)
    _, answer = await asked.site.alert(await asked.site.token(), ENTRY)
    await expect_held(sql, answer["tasks"][0], asked)
    sql.execute("SET session_replication_role = replica")
    sql.execute("UPDATE automated_signals SET received_at = received_at - interval '9 s'")
    await asked.page.get_by_role("button", name="Approve").click()
    await expect(asked.page.locator(".outcome")).to_contain_text("SUCCESS")
    async with await Database(dsn).connect("test") as conn:
        (minute,) = (await by_minute(conn, since)).values()
    assert (minute["orders"], minute["p50"], minute["p99"]) == (1, None, None)


async def test_an_order_is_refused(asked: Desk, sql: Sql) -> None:
    """It ends, nothing is sent, and the next one stays; the others move up only after a moment in which nothing can be hit."""
    page, token = asked.page, await asked.site.token()
    tasks = [
        (await asked.site.alert(token, {**ENTRY, "trade_id": trade}))[1]["tasks"][0] for trade in ("T-1", "T-2", "T-3")
    ]
    await asked.open("/approvals")
    await expect(page.locator(".queue > li")).to_have_count(3)
    await page.get_by_role("button", name=f"Refuse task {tasks[0]}").tap()
    await expect(page.locator(".outcome")).to_contain_text("CANCELLED")
    assert status_of(sql, tasks[0]) == "CANCELLED"
    await expect(page.locator(".queue > li")).to_have_count(2)
    # somebody else decides about one: the page is out of reach while what is left moves
    await page.evaluate(
        "() => { const place = document.querySelector('[data-fragment]'); document.body.dataset.told = '';"
        " new MutationObserver(() => { document.body.dataset.told += `${place.inert} `; }).observe(place, {attributes: true}); }"
    )
    await asked.site.act(f"/api/tasks/{tasks[1]}/refuse", {})
    await expect(page.locator(".queue > li")).to_have_count(1)
    await expect(page.locator("body")).to_have_attribute("data-told", "true false ")


async def test_what_waits_no_more_is_said(asked: Desk, sql: Sql) -> None:
    """Approved after it ended, or after its time: nothing is sent, and the page says what became of it."""
    page, token = asked.page, await asked.site.token()
    _, answer = await asked.site.alert(token, ENTRY)
    (task,) = answer["tasks"]
    context = await page.context.browser.new_context(java_script_enabled=False, viewport=PHONE)  # type: ignore[union-attr]
    plain = await context.new_page()
    await expect_held(sql, task, asked)
    await plain.goto(asked.site.operator("/approvals"))
    button = plain.get_by_role("button", name=f"Approve task {task}")
    await expect(button).to_be_enabled()
    await asked.site.act(f"/api/tasks/{task}/refuse", {"reason": "not today"})
    await button.click()
    await expect(plain.get_by_role("alert")).to_contain_text(f"Task {task} waits no more: it is CANCELLED. not today")
    assert status_of(sql, task) == "CANCELLED"
    await context.close()


async def expect_held(sql: Sql, task: int, asked: Desk) -> None:
    """Waits until the queue shows it."""
    await asked.open("/approvals")
    await expect(asked.page.locator(f"#h{task}")).to_be_visible()
    assert status_of(sql, task) == "HELD"


async def test_too_late_is_too_late(desk: Desk, sql: Sql) -> None:
    """No router would end it here, and still it is not approved: its time is over, the button says so, and so does the answer."""
    page = desk.page
    task = made(sql, "HELD")
    sql.execute("SET session_replication_role = replica")
    sql.execute("UPDATE execution_tasks SET expires_at = now() - interval '1 s' WHERE id = %s", (task,))
    await desk.open("/approvals")
    card = page.locator(f"#h{task}")
    await expect(card.locator("[data-left]")).to_have_text("too late")
    await expect(card.get_by_role("button", name=f"Approve task {task}")).to_be_disabled()
    await card.locator("form", has_text="Approve").evaluate("form => form.submit()")
    await expect(page.get_by_role("alert")).to_contain_text("too late, and nothing is sent")
    desk.faults.clear()  # the browser calls the 409 of the page itself an error
    assert status_of(sql, task) == "HELD"
    await card.get_by_role("button", name=f"Refuse task {task}").click()
    await expect(page.locator(".outcome")).to_contain_text("CANCELLED")


async def test_hostile_text_shows_as_text(desk: Desk, sql: Sql) -> None:
    """Whatever field it is in, no element is made of it."""
    page, said = desk.page, []
    page.on("dialog", lambda dialog: said.append(dialog.message))
    task = made(sql, "HELD", trade=HOSTILE[:90], message=HOSTILE, symbol=HOSTILE, direction=HOSTILE, stop_loss=HOSTILE,
                take_profit={"value": HOSTILE, "kind": HOSTILE}, limit_price=HOSTILE, strategy=HOSTILE)  # fmt: skip
    await desk.open("/approvals")
    await expect(page.locator(f"#h{task}")).to_contain_text("<img src=x onerror=alert(1)>")
    assert await page.locator("main img, main script").count() == 0
    await page.set_viewport_size(PHONE)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert said == []


async def test_a_long_queue_comes_in_pages(desk: Desk, sql: Sql) -> None:
    """Fifty at a time, the oldest first, by the place of the last one."""
    tasks = [made(sql, "HELD", trade=f"T-{n}") for n in range(53)]
    page = desk.page
    await page.set_viewport_size(PHONE)
    await desk.open("/approvals")
    ids = await page.locator(".queue > li").evaluate_all("cards => cards.map(card => Number(card.id.slice(1)))")
    assert ids == tasks[:50]
    assert await page.get_by_role("link", name="to the newest").count() == 0
    await page.get_by_role("link", name="Newer").click()
    await expect(page.locator(".queue > li")).to_have_count(3)
    await page.get_by_role("link", name="to the newest").click()
    await expect(page.locator(f"#h{tasks[-1]}")).to_be_in_viewport()
    await page.get_by_role("link", name="Oldest").click()
    await expect(page.locator(".queue > li")).to_have_count(50)
