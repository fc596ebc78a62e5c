"""The pages of signals and of one task, in a browser: live, safe, and the same for who comes by an address."""

import json
import re
from typing import Any

import psycopg
import pytest
from playwright.async_api import expect

from tests.desk.conftest import PHONE, Desk
from tests.web.live_site import ENTRY, Site

Sql = psycopg.Connection[Any]


async def test_an_alert_appears_without_reload_and_opens_to_all_its_accounts(desk: Desk) -> None:
    """Posted over HTTP while the list is open, it is there, done, and one key opens it; each account has its strip."""
    page, token = desk.page, await desk.site.token()
    await desk.open("/signals")
    await expect(page.locator("main")).to_contain_text("No alert has come yet.")
    await page.evaluate("window.stayed = true")
    status, answer = await desk.site.alert(token, ENTRY)
    assert status == 200
    row = page.locator(f"#s{answer['signal_id']}")
    await expect(row).to_contain_text("ENTRY SHORT MNQ1!")
    await expect(row).to_contain_text(re.compile(r"2\s*SUCCESS"))
    assert await page.evaluate("window.stayed") is True
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/signals/{answer['signal_id']}")
    await expect(page.locator("#understood + dl")).to_contain_text("eventrouter's own format")
    for name in ("alpha", "beta"):
        line = page.locator("tbody tr", has=page.get_by_role("link", name=name))
        await expect(line).to_contain_text("SUCCESS")
        strip = await line.locator("svg.strip").get_attribute("aria-label")
        assert strip is not None
        assert re.fullmatch(r"stored .*, claimed .*, sent .*, acknowledged .*, filled .*", strip)
    await page.get_by_role("link", name="alpha").click()
    await expect(page.locator("ol.timeline > li")).to_have_count(3)
    await expect(page.locator("ol.timeline")).to_contain_text("Simulated: nothing left this machine.")


async def test_a_task_follows_its_log_and_is_acted_upon(desk: Desk, sql: Sql) -> None:
    """A held task is approved by its button, with a reason that stands in the log beside who did it."""
    page, task = desk.page, _held(sql)
    await desk.open(f"/tasks/{task}")
    await expect(page.locator("h1")).to_contain_text("HELD")
    form = page.get_by_role("form", name="Approve")
    await form.get_by_label("Reason, for the log").fill("looked at it")
    await form.get_by_role("button").click()
    await expect(page.locator("h1")).to_contain_text("SUCCESS")
    step = page.locator("ol.timeline > li", has_text="OPERATOR_APPROVE")
    await expect(step).to_contain_text("looked at it")
    await expect(step).to_contain_text("by operator")


async def test_a_task_in_review_is_sent_again_only_by_its_typed_id(desk: Desk, sql: Sql) -> None:
    """Without the id the browser sends nothing, with another one the page says why not; with it the task goes."""
    page, task = desk.page, _in_review(sql)
    await desk.open(f"/tasks/{task}")
    form = page.get_by_role("form", name="Send again")
    await form.get_by_role("button").click()
    assert await page.locator("#confirm").evaluate("field => field.validity.valueMissing")
    await page.locator("#confirm").fill("999999")
    await form.get_by_role("button").click()
    await expect(page.get_by_role("alert")).to_contain_text(f"--confirm {task}")
    desk.faults.clear()  # the browser calls the 409 of the page itself an error
    await page.locator("#confirm").fill(str(task))
    await page.get_by_role("form", name="Send again").get_by_role("button").click()
    await expect(page.locator("h1")).not_to_contain_text("REVIEW")
    await expect(page.locator("ol.timeline")).to_contain_text("OPERATOR_RETRY")


async def test_what_waits_in_its_lane_says_for_which_task(desk: Desk, sql: Sql) -> None:
    """On the signal's page, on its own and in the API: an entry behind one that a person has to look at."""
    first = _in_review(sql)
    status, answer = await desk.site.alert(await desk.site.token(), ENTRY)
    assert status == 200
    await desk.open(f"/signals/{answer['signal_id']}")
    said = f"It waits in its lane behind task {first}, which is REVIEW."
    await expect(desk.page.locator("tbody tr", has_text="alpha")).to_contain_text(said)
    row = sql.execute("SELECT id FROM execution_tasks WHERE account = 'alpha' AND status = 'PENDING'").fetchone()
    assert row is not None
    await desk.open(f"/tasks/{row[0]}")
    await expect(desk.page.locator("main")).to_contain_text(f"task {first}")
    async with desk.site.session.get(desk.site.operator(f"/api/tasks/{row[0]}")) as answered:
        assert (await answered.json())["behind"] == {"task": first, "status": "REVIEW"}


async def test_a_filter_stands_in_the_address(desk: Desk) -> None:
    """Chosen on the page it is in the address; who comes by the address sees the same, and an empty field is not in it."""
    page, token, other = desk.page, await desk.site.token("orb"), await desk.site.token("trend")
    await desk.site.alert(token, ENTRY)
    await desk.site.alert(other, {**ENTRY, "trade_id": "T-200", "symbol": "ES1!"})
    await desk.site.alert(other, b"what is this?")
    for query, found in (
        ("strategy=orb", [1]),
        ("symbol=mnqz2026", [1]),
        ("symbol=ES", [2]),
        ("account=beta", [2, 1]),
        ("account=nobody", []),
        ("status=refused", [3]),
        ("q=T-2", [2]),
        ("q=what+is", [3]),
        ("q=2", [2, 1]),
        ("from=2001-01-01T00:00&to=2002-01-01T00:00", []),
        ("from=2001-01-01T00:00&strategy=trend", [3, 2]),
    ):
        await desk.open(f"/signals?{query}")
        ids = await page.locator("main tbody tr").evaluate_all("rows => rows.map(row => Number(row.id.slice(1)))")
        assert ids == found, query
    await desk.open("/signals")
    await page.get_by_label("Status").select_option("REFUSED")
    await page.wait_for_url("**/signals?status=REFUSED")


async def test_it_works_before_scripts_run_and_on_a_phone(desk: Desk) -> None:
    """Without scripts the list, the signal and the task are there; on a phone nothing is wider than the screen."""
    token = await desk.site.token()
    await desk.site.alert(token, ENTRY)
    browser = desk.page.context.browser
    assert browser is not None
    context = await browser.new_context(java_script_enabled=False, viewport=PHONE)
    plain = await context.new_page()
    for place, text in (("/signals", "T-100"), ("/signals/1", "alpha"), ("/tasks/1", "ENQUEUED")):
        await plain.goto(desk.site.operator(place))
        await expect(plain.locator("main")).to_contain_text(text)
    await context.close()
    await desk.page.set_viewport_size(PHONE)
    for place in ("/signals", "/signals/1", "/tasks/1"):
        await desk.open(place)
        assert await desk.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), place


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/signals?status=NONSENSE", 400, "status must be one of"),
        ("/signals?from=yesterday", 400, "from must be a time"),
        ("/signals?from=9999-12-31T23:59-23:00", 400, "from must be a time"),
        ("/signals?before=x", 400, "before must be"),
        ("/signals?q=%00", 400, "q must be a text"),
        ("/signals?q=%ED%A0%80", 200, "Signals"),
        ("/signals/999", 404, "There is no signal 999"),
        ("/tasks/999", 404, "There is no task 999"),
        ("/tasks/999?before=99999999999", 404, "There is no task 999"),
    ],
)
async def test_what_cannot_be_is_said(site: Site, path: str, status: int, text: str) -> None:
    """An address that asks for what cannot be gets a page that says so."""
    async with site.session.get(site.operator(path)) as answer:
        assert answer.status == status
        assert text in await answer.text()


async def test_a_form_of_another_page_changes_nothing(site: Site, sql: Sql) -> None:
    """A form without the page's token, or from elsewhere, is refused; one of ours that is not possible says why."""
    task = _held(sql)
    async with site.session.get(site.operator(f"/tasks/{task}")) as shown:
        found = re.search(r'name="csrf" value="([^"]+)"', await shown.text())
    assert found
    own = f"http://{site.listeners.operator}"
    for origin, csrf, status in (
        (None, "", 403),
        (own, "", 403),
        ("http://evil.example", found[1], 403),
        (own, found[1], 409),
    ):
        headers = {"Origin": origin} if origin else {}
        async with site.session.post(
            site.operator(f"/tasks/{task}/retry"), data={"reason": "", "csrf": csrf}, headers=headers
        ) as answer:
            assert answer.status == status
    assert sql.execute("SELECT status FROM execution_tasks WHERE id = %s", [task]).fetchone() == ("HELD",)


def _held(sql: Sql) -> int:
    """A task that waits for approval: held in the transaction that enqueues it, before a router can see it."""
    return _moved(sql, [("HELD", "APPROVAL")])


def _in_review(sql: Sql) -> int:
    """A task whose order nobody could find."""
    return _moved(sql, [("SENDING", "INTENT"), ("UNKNOWN", "UNKNOWN_OUTCOME"), ("REVIEW", "NOT_PROVEN")])


def _moved(sql: Sql, steps: list[tuple[str, str]]) -> int:
    with sql.transaction():
        row = sql.execute(
            "SELECT enqueue_execution_task('T-1', 'ENTRY', %s, 'alpha')",
            [json.dumps({"symbol": "MNQ1!", "direction": "LONG", "quantity": 1})],
        ).fetchone()
        assert row is not None
        for version, (status, reason) in enumerate(steps, 1):
            lease = 30.0 if status == "SENDING" else None
            sql.execute(
                "SELECT append_log('test', FALSE, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    [row[0]],
                    [version],
                    [status],
                    [reason],
                    ["of a test"],
                    [None],
                    [None],
                    [None],
                    ["{}"],
                    [None],
                    [lease],
                ],
            )
    return int(row[0])
