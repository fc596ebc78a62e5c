"""The page of controls in a browser: it says what it will do, does it only when confirmed, and follows it to the proof."""

import json
import re
from typing import Any

import psycopg
import pytest
from playwright.async_api import expect

from eventrouter.desk.control_effects import lines, together
from eventrouter.store import access
from eventrouter.store.connect import Database
from eventrouter.store.desk_controls import Met, met
from eventrouter.web.logins import hashed
from tests.desk.conftest import PHONE, Desk
from tests.processes import until_async
from tests.web.live_site import ENTRY, Site, configuration, running

Sql = psycopg.Connection[Any]
HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>{{ 7*7 }}'
PASSWORD = "a horse that reads"


async def test_a_halt_stands_and_is_resumed(desk: Desk, sql: Sql) -> None:
    """The preview changes nothing; confirmed it stands, an entry is denied by it, and a resume ends it."""
    page, token = desk.page, await desk.site.token()
    await desk.open("/controls")
    await expect(page.locator("main")).to_contain_text("Nothing is halted")
    await page.get_by_role("combobox").select_option("account:alpha")
    await page.get_by_label("Reason, for the record").fill("news at two")
    await page.get_by_role("button", name="See what it will do").click()
    await expect(page.locator("h1")).to_have_text("Halt account alpha?")
    row = page.locator("tbody tr", has_text="alpha")
    await expect(row.locator('[data-name="Control now"]')).to_have_text("active")
    await expect(row.locator('[data-name="Afterwards"]')).to_have_text("halted")
    assert sql.execute("SELECT count(*) FROM controls").fetchone() == (0,)
    await page.get_by_role("button", name="Halt account alpha").click()
    await expect(page.locator("h1")).to_have_text("Halt: account alpha")
    assert sql.execute("SELECT scope, action, actor, reason FROM controls").fetchall() == [
        ("account:alpha", "halt", "operator", "news at two")
    ]
    _, answer = await desk.site.alert(token, ENTRY)
    await desk.open(f"/signals/{answer['signal_id']}")
    await expect(page.locator("tbody tr", has_text="alpha")).to_contain_text("HALTED")
    await desk.open("/controls")
    stands = page.locator("ul.standing")
    await expect(stands).to_contain_text(re.compile("halted.*account alpha.*news at two", re.DOTALL))
    await stands.get_by_role("link").click()
    await expect(page.locator("section.will")).to_contain_text("That ends.")
    await expect(page.locator('[data-name="Afterwards"]')).to_contain_text("active")
    await page.get_by_role("button", name="Resume account alpha").click()
    await expect(page.get_by_role("status").last).to_contain_text("Nothing stands for this scope.")
    await desk.open("/controls")
    await expect(page.locator("main")).to_contain_text("Nothing is halted")
    await expect(page.locator('td[data-name="What"]')).to_have_text(["resume", "halt"])


async def test_a_flattening_is_typed_and_followed_to_its_proof(desk: Desk, sql: Sql) -> None:
    """It shows what would be closed, with its open P&L; a wrong word does nothing; then each account is proven flat."""
    page, token = desk.page, await desk.site.token()
    await desk.site.alert(token, ENTRY)
    await _held(sql, 2)
    sql.execute("UPDATE last_prices SET price = 21030 WHERE root = 'MNQ'")
    await desk.open("/controls/set?action=flatten&scope=all&reason=end+of+day")
    await expect(page.locator("section.will")).to_contain_text("2 positions by trade will be closed at the market")
    await expect(page.locator("section.will")).to_contain_text(
        "open P&L together 43.00"
    )  # 10.75 points x 2 dollars x 2
    button = page.get_by_role("button", name="Flatten everything")
    await button.click()
    assert await page.locator("#confirm").evaluate("field => field.validity.valueMissing")
    await page.locator("#confirm").fill("ALL")
    await button.click()
    await expect(page.get_by_role("alert")).to_contain_text("Nothing was done: type all")
    await desk.live()
    desk.faults.clear()  # the browser calls the 422 of the page itself an error
    assert sql.execute("SELECT count(*) FROM controls").fetchone() == (0,)
    await page.locator("#confirm").fill("all")
    await page.get_by_role("button", name="Flatten everything").click()
    await page.wait_for_url("**/controls/1")
    await expect(page.get_by_role("status").last).to_contain_text("Every account of the scope is proven flat.")
    await expect(page.locator('td[data-name="State"]')).to_have_text(["FLAT", "FLAT"])
    await expect(page.locator('td[data-name="Closing orders"]').first).to_contain_text("by task")
    assert sql.execute("SELECT count(*) FROM holdings WHERE quantity <> 0").fetchone() == (0,)
    await desk.open("/controls")
    await expect(page.locator('td[data-name="Accounts flat"]')).to_have_text("2 of 2")
    await expect(page.locator("ul.standing")).to_contain_text("reducing")


async def test_the_progress_is_live(desk: Desk, sql: Sql) -> None:
    """A flattening that waits for an order in flight shows it, and shows the proof without reload once that is decided."""
    task = _sending(sql, "alpha")
    await desk.site.act("/api/flatten", {"scope": "account:alpha"})
    page = desk.page
    await desk.open("/controls/1")
    await page.evaluate("window.stayed = true")
    await expect(page.get_by_role("status").last).to_contain_text("Not everything is flat yet")
    await expect(page.locator("main")).to_contain_text("Still in flight in this scope")
    _append(sql, task, 2, "FAILED", "OF_A_TEST")
    await expect(page.get_by_role("status").last).to_contain_text("Every account of the scope is proven flat.")
    assert await page.evaluate("window.stayed") is True


async def test_the_preview_says_what_waits_and_what_flies(site: Site, sql: Sql) -> None:
    """Entries that wait are named as denied, exits as going out, and what is in flight as not called back; of a strategy its own."""
    _sending(sql, "alpha")
    await site.act("/api/halt", {"scope": "account:beta"})
    async with site.session.get(site.operator("/controls/set?action=halt&scope=account:alpha")) as answer:
        text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", await answer.text()))
    assert re.search(r"1 +task is in flight: the orders may be at the broker", text)
    async with site.session.get(site.operator("/controls/set?action=resume&scope=all")) as answer:
        text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", await answer.text()))
    assert "Nothing stands for exactly this scope" in text
    assert "Elsewhere stands, and stays: account beta (halted, by api)" in text


async def test_what_is_open_belongs_to_its_scope(dsn: str, site: Site, sql: Sql) -> None:
    """Tasks and trades of another account or strategy are not counted, and a strategy is one in any letter case."""
    orb, trend = await site.token("orb"), await site.token("trend")
    await site.alert(orb, ENTRY)
    await site.alert(trend, {**ENTRY, "trade_id": "T-2", "symbol": "ES1!"})
    modes = {"alpha": "dry", "beta": "dry"}
    await _held(sql, 4)
    async with await Database(dsn).connect("test") as conn:
        found = {scope: await met(conn, scope, modes) for scope in ("all", "account:alpha", "strategy:ORB")}
    kept = {scope: sorted((row["account"], row["trade_id"]) for row in each.trades) for scope, each in found.items()}
    assert kept["account:alpha"] == [("alpha", "T-100"), ("alpha", "T-2")]
    assert kept["strategy:ORB"] == [("alpha", "T-100"), ("beta", "T-100")]
    assert len(kept["all"]) == 4


def test_how_an_account_stands_afterwards_is_decided_by_the_gate_s_rule() -> None:
    """A resume of everything leaves what was halted by name; a flattening of a halted account leaves it halted."""
    halt = {"id": 1, "scope": "account:a", "action": "halt", "actor": "x", "reason": None, "created_at": None}
    everything = {**halt, "id": 2, "scope": "all"}
    fleet = [{"name": name, "mode": "dry", "state": "active"} for name in "ab"]
    nothing = Met([], [], [])

    def after(action: str) -> list[tuple[str, str]]:
        made = lines(fleet, [], "all", action, [halt, everything], nothing)
        return [(each["before"], each["after"]) for each in made]

    assert after("resume") == [("halted", "halted"), ("halted", "active")]
    assert after("flatten") == [("halted", "halted"), ("halted", "reducing")]
    assert together([{"open_pnl": None}, {"open_pnl": 1}]) is None, "a sum of what is not known is not known"


async def test_a_viewer_looks_and_changes_nothing(site: Site, sql: Sql, dsn: str) -> None:
    """The role view gets previews without a form, and 403 when it posts; nobody is believed without the page's token."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        assert await access.add_user(conn, "vic", hashed(PASSWORD), "view")
        assert await access.add_user(conn, "ann", hashed(PASSWORD), "operate")
    form = {"action": "flatten", "scope": "all", "confirm": "all"}
    path = site.operator("/controls/set")
    own = f"http://{site.listeners.operator}"
    for name, with_token, origin, status in (
        ("vic", True, own, 403),
        ("ann", False, own, 403),
        ("ann", True, "http://evil.example", 403),
        ("ann", True, own, 303),
    ):
        cookie, csrf = await _signed_in(site, name)
        async with site.session.get(site.operator("/controls/set?action=flatten&scope=all"), headers=cookie) as shown:
            assert ('name="confirm"' in await shown.text()) is (name == "ann")
        data = form | ({"csrf": csrf} if with_token else {})
        headers = cookie | {"Origin": origin}
        async with site.session.post(path, data=data, headers=headers, allow_redirects=False) as answer:
            assert (name, with_token, answer.status) == (name, with_token, status)
        done = sql.execute("SELECT actor FROM controls").fetchall()
        assert done == ([("ann",)] if status == 303 else [])


async def test_where_no_router_runs_it_is_said(dsn: str) -> None:
    """The preview of a flattening and its page say that nothing is closed until a router runs."""
    accounts = [{"name": "alpha"}]
    async with running(configuration(dsn, accounts=accounts), with_router=False) as site:
        await site.act("/api/flatten", {"scope": "account:alpha"})
        for path in ("/controls/set?action=flatten&scope=account:alpha", "/controls/1"):
            async with site.session.get(site.operator(path)) as answer:
                assert "No router has been heard of alpha" in await answer.text()


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("/controls/set?action=burn&scope=all", 422, "is none of"),
        ("/controls/set?action=halt&scope=account:alhpa", 422, "Did you mean account:alpha?"),
        ("/controls/set?action=halt&scope=account:%00", 422, "scope must be"),
        ("/controls?before=x", 422, "before must be"),
        ("/controls?before=1", 200, "There are no older ones."),
        ("/controls/7", 404, "There is no control 7"),
    ],
)
async def test_what_cannot_be_is_said(site: Site, query: str, status: int, text: str) -> None:
    """An address that asks for what there is not gets a page that says what there is."""
    async with site.session.get(site.operator(query), headers={"Accept": "text/html"}) as answer:
        assert (answer.status, answer.content_type) == (status, "text/html")
        assert text in await answer.text()


async def test_the_history_is_paged_by_key(desk: Desk, sql: Sql) -> None:
    """Fifty rows a page, each once, and older ones by the last id."""
    for number in range(60):
        sql.execute("SELECT set_control('all', 'halt', 'test', %s)", [f"number {number}"])
    page = desk.page
    await desk.open("/controls")
    first = await page.locator("#main tr[id^=c]").evaluate_all("rows => rows.map(row => row.id)")
    await page.get_by_role("link", name="Older").click()
    await desk.live()
    second = await page.locator("#main tr[id^=c]").evaluate_all("rows => rows.map(row => row.id)")
    assert [*first, *second] == [f"c{n}" for n in range(60, 0, -1)]
    assert len(first) == 50


async def test_hostile_text_shows_as_text_and_a_phone_holds_it(desk: Desk, sql: Sql) -> None:
    """A reason, a strategy and a trade that look like HTML are text on every page, and nothing is wider than the screen."""
    page = desk.page
    asked: list[str] = []
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    strategy = HOSTILE[:60]
    await desk.site.alert(await desk.site.token(strategy), {**ENTRY, "trade_id": HOSTILE[:55]})
    await _held(sql, 2)
    await desk.site.act("/api/halt", {"scope": f"strategy:{strategy}", "reason": HOSTILE})
    await desk.site.act("/api/halt", {"scope": "all", "reason": "x" * 900})
    await page.set_viewport_size({"width": 390, "height": PHONE["height"]})
    shown = ""
    for path in (
        "/controls",
        "/controls/1",
        "/controls/set?action=flatten&scope=all",
        "/controls/set?action=resume&scope=all",
    ):
        await desk.open(path)
        assert await page.locator("main img, main script").count() == 0
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        shown += await page.locator("main").inner_text()
    assert "<img src=x onerror=alert(1)>" in shown
    assert asked == []


async def _signed_in(site: Site, name: str) -> tuple[dict[str, str], str]:
    """Signs in: the header with the session's cookie, and its CSRF token. aiohttp keeps no cookies of a bare address."""
    own = {"Origin": f"http://{site.listeners.operator}"}
    async with site.session.get(site.operator("/login")) as shown:
        token = re.search(r'name="csrf" value="([^"]+)"', await shown.text())
        own["Cookie"] = "; ".join(f"{key}={each.value}" for key, each in shown.cookies.items())
    assert token
    data = {"name": name, "password": PASSWORD, "csrf": token[1]}
    async with site.session.post(site.operator("/login"), data=data, headers=own, allow_redirects=False) as answer:
        cookie = "; ".join(f"{key}={each.value}" for key, each in answer.cookies.items() if each.value)
    async with site.session.get(site.operator("/controls"), headers={"Cookie": cookie}) as shown:
        found = re.search(r'data-csrf="([^"]+)"', await shown.text())
    assert found
    return {"Cookie": cookie}, found[1]


async def _held(sql: Sql, trades: int) -> None:
    """Waits until so many trades are held."""

    async def held() -> bool:
        return sql.execute("SELECT count(*) FROM holdings WHERE quantity <> 0").fetchone() == (trades,)

    await until_async(held)


def _sending(sql: Sql, account: str) -> int:
    """A task that somebody else sends at the moment."""
    with sql.transaction():
        row = sql.execute(
            "SELECT enqueue_execution_task('T-9', 'ENTRY', %s, %s)",
            [json.dumps({"symbol": "MNQ1!", "direction": "LONG", "quantity": 1}), account],
        ).fetchone()
        assert row is not None
        _append(sql, row[0], 1, "SENDING", "INTENT")
    return int(row[0])


def _append(sql: Sql, task: int, version: int, status: str, reason: str) -> None:
    lease = 30.0 if status == "SENDING" else None
    none: list[Any] = [None]
    values = [[task], [version], [status], [reason], ["of a test"], none, none, none, ["{}"], none, [lease]]
    sql.execute("SELECT append_log('test', FALSE, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)", values)
