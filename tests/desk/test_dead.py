"""Dead letters on the desk: found, understood, sent again, changed, settled; and nothing that moves money by accident."""

import re
from typing import Any

import psycopg
import pytest
from playwright.async_api import Page, expect

from eventrouter.store import access
from eventrouter.store.connect import Database
from eventrouter.store.desk_dead import MOST_LOOKED_THROUGH, PAGE_ROWS, LetterFilter, letter_page
from eventrouter.web.logins import hashed
from tests.desk.conftest import PHONE, Desk
from tests.desk.letters import made, status_of
from tests.web.live_site import Site

Sql = psycopg.Connection[Any]
HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>{{ 7*7 }}'


async def submit(desk: Desk, form: str) -> None:
    """Presses a form's button; the browser calls a 4xx of the page itself an error of the console."""
    await desk.page.get_by_role("form", name=form, exact=True).get_by_role("button").click()
    await desk.page.wait_for_load_state()
    desk.faults[:] = [fault for fault in desk.faults if "Failed to load resource" not in fault]


async def test_a_dead_letter_is_sent_again(desk: Desk, sql: Sql) -> None:
    """It appears on the list without reload, opens to its evidence, and goes: done by the router a moment later."""
    page = desk.page
    await desk.open("/dead")
    await expect(page.locator("main")).to_contain_text("No dead letters.")
    await page.evaluate("window.stayed = true")
    task = made(sql, "FAILED", message="Insufficient margin")
    row = page.locator("tbody tr", has=page.get_by_role("link", name=str(task)))
    await expect(row).to_contain_text(re.compile(r"FAILED.*REJECTED.*Insufficient margin", re.DOTALL))
    await expect(page.locator(".advice")).to_contain_text("Read the broker's answer")
    assert await page.evaluate("window.stayed") is True
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/dead/{task}")
    await expect(page.locator(".panel.notice")).to_contain_text("Insufficient margin")
    form = page.get_by_role("form", name="Send again", exact=True)
    await form.get_by_label("Reason, for the log").fill("margin is there")
    await form.get_by_role("button").click()
    await page.wait_for_url(f"**/tasks/{task}")
    await expect(page.locator("h1")).to_contain_text("SUCCESS")
    step = page.locator("ol.timeline > li", has_text="OPERATOR_RETRY")
    await expect(step).to_contain_text("margin is there")
    await expect(step).to_contain_text("by operator")
    await desk.open(f"/dead/{task}")
    await expect(page.locator("main")).to_contain_text("OPERATOR_RETRY")
    assert await page.get_by_role("form", name="Send again").count() == 0


async def test_after_review_the_id_is_typed(desk: Desk, sql: Sql) -> None:
    """Without it the browser sends nothing, with another one the page says why not; with it the order goes."""
    page, task = desk.page, made(sql, "REVIEW")
    await desk.open(f"/dead/{task}")
    await submit(desk, "Send again")
    assert status_of(sql, task) == "REVIEW"
    await page.locator("#confirm-retry").fill("999999")
    await submit(desk, "Send again")
    await expect(page.get_by_role("alert")).to_contain_text(f"--confirm {task}")
    assert status_of(sql, task) == "REVIEW"
    await page.locator("#confirm-retry").fill(str(task))
    await submit(desk, "Send again")
    await page.wait_for_url(f"**/tasks/{task}")
    await expect(page.locator("ol.timeline")).to_contain_text("OPERATOR_RETRY")


@pytest.mark.parametrize("status", ["FAILED", "REVIEW"])
async def test_what_is_resolved_as_executed_is_typed(desk: Desk, sql: Sql, status: str) -> None:
    """On the letter's page as on the task's: another id changes nothing; the right one ends it as SUCCESS, and nothing is sent."""
    page, task = desk.page, made(sql, status)
    for place, form in ((f"/dead/{task}", "Resolve as executed"), (f"/tasks/{task}", "Resolve as done")):
        await desk.open(place)
        await page.locator("#confirm-resolve").fill("7777")
        await submit(desk, form)
        await expect(page.get_by_role("alert")).to_contain_text(f"type {task}")
        assert status_of(sql, task) == status
    await desk.open(f"/dead/{task}")
    await page.locator("#confirm-resolve").fill(str(task))
    await submit(desk, "Resolve as executed")
    await expect(page.locator("h1")).to_contain_text("SUCCESS")
    await expect(page.locator("main")).to_contain_text("OPERATOR_RESOLVE")


async def test_a_changed_order(desk: Desk, sql: Sql) -> None:
    """What is wrong is said beside what was filled in; what is right is another task, and the log has both values."""
    page, task = desk.page, made(sql, "FAILED", quantity=5)
    await desk.open(f"/dead/{task}")
    await page.get_by_text("Change it and send it").click()
    await submit(desk, "Change and send again")
    await expect(page.get_by_role("alert")).to_contain_text("Nothing is changed")
    await page.locator("#set-quantity").fill("2")
    await page.locator("#set-stop_loss").fill("-5 ticks and NaN")
    await submit(desk, "Change and send again")
    await expect(page.get_by_role("alert")).to_contain_text("stop_loss")
    assert await page.locator("#set-quantity").input_value() == "2"
    assert status_of(sql, task) == "FAILED"
    await page.locator("#set-stop_loss").fill("20 ticks")
    await page.locator("form.edit").get_by_label("Reason, for the log").fill("less of it")
    await submit(desk, "Change and send again")
    await page.wait_for_url(re.compile(rf"/tasks/(?!{task}$)\d+$"))
    await expect(page.locator("h1")).to_contain_text("SUCCESS")
    await expect(page.locator("main")).to_contain_text(f"task {task}")
    row = sql.execute(
        "SELECT l.actor, l.message, l.detail -> 'before', r.payload FROM execution_logs l"
        " JOIN execution_tasks r ON r.retry_of = l.task_id WHERE l.reason = 'OPERATOR_REPLACE'"
    ).fetchone()
    assert row is not None
    assert row[:3] == ("operator", "less of it", {"quantity": 5, "stop_loss": None})
    assert (row[3]["quantity"], row[3]["stop_loss"]) == ("2", {"value": "20", "kind": "ticks"})


async def test_the_quantity_that_is_set_is_the_one_that_was_sent(desk: Desk, sql: Sql) -> None:
    """Not the alert's, which the account's rule multiplied; what is set goes out as it is."""
    page, sent = desk.page, {"direction": "LONG", "quantity": "2", "contract": "CON.F.US.MNQ.Z26"}
    task, other = made(sql, "FAILED", sent=sent), made(sql, "FAILED", trade="T-2", quantity=3)
    for each, words in ((task, "2 MNQZ6 sent, 1 was asked for"), (other, "none sent, 3 was asked for")):
        await desk.open(f"/dead/{each}")
        await page.get_by_text("Change it and send it").click()
        await expect(page.locator("label", has=page.locator("#set-quantity"))).to_contain_text(words)
    await desk.open(f"/dead/{task}")
    await expect(page.locator("#sent + dl")).to_contain_text("LONG 2 MNQZ6")
    await page.get_by_text("Change it and send it").click()
    await page.locator("#set-quantity").fill("2")
    await submit(desk, "Change and send again")
    await page.wait_for_url("**/tasks/*")
    await expect(page.locator("main")).to_contain_text("A person set the quantity")


async def test_many_at_once(desk: Desk, sql: Sql) -> None:
    """Ticked together: what can go goes, what needs its id typed is left out and told so, and a page says so for each."""
    page = desk.page
    failed, other = made(sql, "FAILED"), made(sql, "FAILED", trade="T-2", account="beta")
    review, kept = made(sql, "REVIEW", trade="T-3"), made(sql, "FAILED", trade="T-4")
    await desk.open("/dead")
    await expect(page.get_by_role("button", name="Send ticked again")).to_be_disabled()
    for task in (failed, other, review):
        await page.get_by_label(f"Task {task}", exact=True).check()
    await expect(page.locator("#ticked")).to_contain_text("3 ticked")
    # while something is ticked the list stands still, also when more comes
    more = made(sql, "FAILED", trade="T-5")
    await page.get_by_label("Reason, for the log").fill("all of them")
    await page.get_by_role("button", name="Send ticked again").click()
    await expect(page.get_by_role("heading", name="What came of it")).to_be_visible()
    await expect(page.get_by_role("status").filter(has_text="done")).to_contain_text("2 of 3 done")
    row = page.locator("tbody tr", has=page.get_by_role("link", name=str(review), exact=True))
    await expect(row).to_contain_text("needs its id typed")
    assert [status_of(sql, task) for task in (review, kept, more)] == ["REVIEW", "FAILED", "FAILED"]
    reasons = sql.execute("SELECT task_id, message FROM execution_logs WHERE reason = 'OPERATOR_RETRY' ORDER BY 1")
    assert reasons.fetchall() == [(failed, "all of them"), (other, "all of them")]
    await desk.open("/dead")
    await page.get_by_label("Tick all of this page").check()
    await page.get_by_role("button", name="Discard ticked").click()
    await expect(page.get_by_role("status").filter(has_text="done")).to_contain_text("3 of 3 done")
    assert {status_of(sql, task) for task in (review, kept, more)} == {"CANCELLED"}


async def test_a_filter_stands_in_the_address(desk: Desk, sql: Sql) -> None:
    """Code, account, strategy, open or settled, and words; who comes by the address sees the same."""
    first = made(sql, "FAILED", strategy="orb", message="Insufficient margin")
    second = made(sql, "REVIEW", trade="T-22", account="beta", strategy="trend")
    third = made(sql, "FAILED", trade="T-3")
    await desk.site.act(f"/api/tasks/{third}/discard", {"reason": "no more"})
    page = desk.page
    for query, expected in (
        ("", [second, first]),
        ("status=settled", [third]),
        ("code=REJECTED", [first]),
        ("code=NOT_PROVEN&account=beta", [second]),
        ("account=alpha", [first]),
        ("strategy=trend", [second]),
        ("strategy=nobody", []),
        (f"q={second}", [second]),
        ("q=insufficient+MARGIN", [first]),
        ("q=T-22", [second]),
        ("q=nothing+of+this", []),
    ):
        await desk.open(f"/dead?{query}")
        shown = await page.locator("tbody tr td[data-name=Task] a").all_inner_texts()
        assert [int(re.sub(r"\D", "", each)) for each in shown] == expected, query
    await desk.open("/dead?status=settled")
    await expect(page.locator("tbody")).to_contain_text(re.compile(r"OPERATOR_DISCARD.*no more", re.DOTALL))
    assert await page.locator("input[name=task]").count() == 0


@pytest.mark.parametrize("place", ["trade", "message", "symbol", "strategy"])
async def test_hostile_text_shows_as_text(desk: Desk, sql: Sql, place: str) -> None:
    """On the list, on the letter and in what came of many: no element is made of it, and nothing runs."""
    page, asked = desk.page, []
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    more: dict[str, Any] = {place: HOSTILE}
    task = made(sql, "REVIEW", **more)
    shown = ""
    for path in ("/dead", f"/dead/{task}"):
        await desk.open(path)
        assert await page.locator("main img, main script").count() == 0
        shown += await page.locator("main").inner_text()
    assert "<img src=x onerror=alert(1)>" in shown
    await desk.open("/dead")
    await page.get_by_label(f"Task {task}", exact=True).check()
    await page.get_by_role("button", name="Send ticked again").click()
    await expect(page.get_by_role("heading", name="What came of it")).to_be_visible()
    assert await page.locator("main img, main script").count() == 0
    assert asked == []


async def test_it_works_before_scripts_run_and_on_a_phone(desk: Desk, sql: Sql) -> None:
    """Without scripts letters are ticked, discarded and opened; on a phone nothing is wider than the screen."""
    task, other = made(sql, "FAILED"), made(sql, "REVIEW", trade="T-2", message="x" * 200)
    browser = desk.page.context.browser
    assert browser is not None
    context = await browser.new_context(java_script_enabled=False, viewport=PHONE)
    plain = await context.new_page()
    await plain.goto(desk.site.operator("/dead"))
    await plain.locator(f"input[name=task][value^='{task}:']").check()
    await plain.get_by_role("button", name="Discard ticked").click()
    await expect(plain.locator("main")).to_contain_text("1 of 1 done")
    assert status_of(sql, task) == "CANCELLED"
    await context.close()
    await desk.page.set_viewport_size(PHONE)
    for place in ("/dead", f"/dead/{other}", f"/dead/{task}", "/dead?status=settled"):
        await desk.open(place)
        assert await desk.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), place


async def sign_in(page: Page, site: Site, name: str, path: str) -> None:
    """Signs in on the way to a page."""
    await page.goto(site.operator(path))
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill("a horse that reads")
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_selector('#live[data-state="on"]')


async def test_who_may_only_look(dsn: str, site: Site, desk: Desk, sql: Sql) -> None:
    """vic sees everything and no form that changes anything; what she posts all the same is refused, and nothing happens."""
    dead, held = made(sql, "FAILED"), made(sql, "HELD", trade="T-2")
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        for name, role in (("vic", "view"), ("ann", "operate")):
            assert await access.add_user(conn, name, hashed("a horse that reads"), role)
    page = desk.page
    await sign_in(page, site, "vic", f"/dead/{dead}")
    await expect(page.locator("main")).to_contain_text("Somebody with the role operate can: retry, discard, resolve.")
    for path in (f"/dead/{dead}", "/dead", "/approvals"):
        await desk.open(path)
        assert await page.locator("main form[method=post]").count() == 0, path
    for path in (f"/dead/{dead}/retry", f"/dead/{dead}/edit", "/dead/many", f"/approvals/{held}/approve"):
        status = await page.evaluate(
            """async (path) => (await fetch(path, {method: "POST", headers: {"X-CSRF-Token": document.body.dataset.csrf,
            "Content-Type": "application/x-www-form-urlencoded"}, body: "action=retry&task=1&set_quantity=2"})).status""",
            path,
        )
        assert (path, status) == (path, 403)
    desk.faults.clear()  # of these 403
    assert (status_of(sql, dead), status_of(sql, held)) == ("FAILED", "HELD")


async def test_the_log_says_who_did_it(dsn: str, site: Site, desk: Desk, sql: Sql) -> None:
    """Where people sign in it is their name."""
    task = made(sql, "FAILED")
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        assert await access.add_user(conn, "ann", hashed("a horse that reads"), "operate")
    await sign_in(desk.page, site, "ann", f"/dead/{task}")
    await submit(desk, "Discard")
    await expect(desk.page.locator("main")).to_contain_text("Settled")
    row = sql.execute("SELECT actor FROM execution_logs WHERE reason = 'OPERATOR_DISCARD'").fetchone()
    assert row == ("ann",)


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/dead?status=nonsense", 400, "open or settled"),
        ("/dead?before=x", 400, "before must be"),
        ("/dead?q=%00", 400, "q must be a text"),
        ("/dead?q=%ED%A0%80", 200, "No dead letter fits"),
        ("/dead?q=99999999999999999", 200, "No dead letter fits"),
        ("/dead/999", 404, "no dead letter"),
        ("/approvals?after=x&task=99&did=approved", 200, "Nothing waits for approval"),
    ],
)
async def test_what_cannot_be_is_said(site: Site, path: str, status: int, text: str) -> None:
    """An address that asks for what cannot be gets a page that says so."""
    async with site.session.get(site.operator(path)) as answer:
        assert answer.status == status
        assert text in await answer.text()


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"action": "resolve", "task": "1"}, 422, "one at a time"),
        ({"action": "retry"}, 422, "Nothing is ticked"),
        ({"action": "retry", "task": ["9999", "x", "²"]}, 200, "There is no task 9999"),
        ({"action": "retry", "task": "1", "reason": "x" * 1001}, 422, "reason is too long"),
        ({"action": "discard", "task": [str(n) for n in range(1, 60)]}, 422, "At most 50"),
    ],
)
async def test_what_cannot_be_done_to_many(site: Site, body: dict[str, Any], status: int, text: str) -> None:
    """It is said, and nothing happens."""
    async with site.session.get(site.operator("/dead")) as shown:
        found = re.search(r'data-csrf="([^"]+)"', await shown.text())
    assert found
    async with site.session.post(site.operator("/dead/many"), data={**body, "csrf": found[1]}) as answer:
        assert (answer.status, text in await answer.text()) == (status, True)


async def test_a_long_list_comes_in_pages_by_few_looks(dsn: str, site: Site, sql: Sql) -> None:
    """Of 12,000 letters a page is fifty; a filter that fits few ends after so many looks and says where to go on; by an index."""
    assert site
    first = made(sql, "FAILED", strategy="rare")
    sql.execute("SET session_replication_role = replica")
    sql.execute(
        "INSERT INTO execution_tasks (id, trade_id, event_type, status, payload, account, lane, mode, client_order_id, place, opening)"
        " OVERRIDING SYSTEM VALUE SELECT %s + n, 'T' || n, 'ENTRY', 'FAILED', '{}', 'alpha', 'alpha/-', 'dry', 'c' || n, %s + n, TRUE"
        " FROM generate_series(1, 12000) n",
        (first, first),
    )
    sql.execute(
        "INSERT INTO execution_logs (task_id, seq, prev_status, status, attempt, actor, reason, created_at, hash)"
        " SELECT %s + n, 3, 'SENDING', 'FAILED', 1, 'test', 'OTHER', now(), decode(repeat('00', 32), 'hex') FROM generate_series(1, 12000) n",
        (first,),
    )
    sql.execute(
        "INSERT INTO dead_letters (task_id, opened_seq, status, code, client_order_id, opened_at)"
        " SELECT %s + n, 3, 'FAILED', 'OTHER', 'c' || n, now() FROM generate_series(1, 12000) n",
        (first,),
    )
    sql.execute("ANALYZE")
    async with await Database(dsn).connect("test") as conn:
        page = await letter_page(conn, LetterFilter())
        again = await letter_page(conn, LetterFilter(before=page.next))
        rare = await letter_page(conn, LetterFilter(strategy="rare"))
        rest = await letter_page(conn, LetterFilter(strategy="rare", before=rare.next))
    assert [len(each.rows) for each in (page, again)] == [PAGE_ROWS, PAGE_ROWS]
    assert page.rows[-1]["letter"] == again.rows[0]["letter"] + 1
    assert (list(rare.rows), rare.looked_through) == ([], MOST_LOOKED_THROUGH)
    assert ([row["task_id"] for row in rest.rows], rest.next) == ([first], None)
    plan = sql.execute(
        "EXPLAIN SELECT d.id FROM dead_letters d WHERE d.closed_seq IS NULL AND d.id < 9999999 ORDER BY d.id DESC LIMIT 51"
    ).fetchall()
    assert "Index Only Scan Backward" in str(plan)
    assert "dead_letters_waiting" in str(plan)


async def test_what_is_filled_in_stays(desk: Desk, sql: Sql) -> None:
    """What somebody typed is not taken away when the task's log goes on, also where the focus is elsewhere; emptied, it follows."""
    page, task = desk.page, made(sql, "REVIEW")
    await desk.open(f"/dead/{task}")
    await page.get_by_text("Change it and send it").click()
    field = page.locator("#set-quantity")
    await field.fill("3")
    await page.locator("h1").click()
    looked = "import(`${document.documentElement.dataset.base}/static/desk.js`).then((desk) => desk.inUse('state'))"
    assert await page.evaluate(looked) is True
    await desk.site.act(f"/api/tasks/{task}/discard", {"reason": "meanwhile"})
    await field.fill("")
    await page.locator("h1").click()
    await expect(page.locator("main")).to_contain_text("meanwhile")
