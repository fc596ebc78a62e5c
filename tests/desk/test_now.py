"""The first page: it follows what comes in, says what stands in the way, and stays bounded."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from playwright.async_api import Browser, expect

from eventrouter.desk.now import gauges
from eventrouter.domain.balances import Drawdown, Trail
from eventrouter.domain.risk_inputs import RiskLimits
from eventrouter.domain.trading_day import TradingDays
from eventrouter.store.connect import Database
from eventrouter.store.desk_now import by_minute
from tests.desk.conftest import PHONE, WIDE, Desk
from tests.web.live_site import ENTRY, Site, configuration, running

Sql = psycopg.Connection[Any]
HOSTILE = '"><img src=x onerror=alert(1)>{{ 7*7 }}'
DAYS = TradingDays("America/Chicago", time(17))
NOTHING = {"to_daily_loss": None, "to_floor": None}


@pytest.fixture
async def limited(dsn: str, chromium: Browser) -> AsyncIterator[Desk]:
    """A service whose accounts have limits, one of them nearly used up and one halted."""
    accounts = [
        {"name": "calm", "balance": 50000, "daily_loss": 1000, "max_contracts": 5, "instruments": ["MES"]},
        {"name": "tight", "balance": 50000, "daily_loss": 1000, "drawdown": {"trail": "static", "amount": 2000}},
        {"name": "off", "firm": HOSTILE, "enabled": False},
    ]
    with psycopg.connect(dsn, autocommit=True) as conn:
        state = (
            '{"balances": {"initial_balance": "50000", "balance": "49100", "open_pnl": "0", "day_start_balance": "50000",'
            ' "highest_equity": "50000", "highest_close": "50000"}, "day": "%s", "realised_today": "-900"}'
        )
        day = DAYS.of(datetime.now(UTC)).isoformat()
        conn.execute(
            "INSERT INTO account_log (account, mode, seq, kind, actor, state) VALUES ('tight', 'dry', 1, 'OPENED', 'test', %s)",
            (state % day,),
        )
    async with running(configuration(dsn, accounts=accounts)) as site:
        context = await chromium.new_context(viewport=WIDE, timezone_id="America/Chicago", locale="en-GB")
        context.set_default_timeout(20_000)
        desk = Desk(site, await context.new_page())
        desk.page.on("console", lambda said: desk.faults.append(said.text) if said.type == "error" else None)
        desk.page.on("pageerror", lambda error: desk.faults.append(str(error)))
        yield desk
        await context.close()
        assert desk.faults == []


async def test_an_alert_moves_the_figures_without_reload(desk: Desk) -> None:
    """Signals and orders of this minute are counted, and the account stands flat in its position."""
    page, token = desk.page, await desk.site.token()
    await desk.open("/")
    await page.evaluate("window.stayed = true")
    await expect(page.locator("section", has=page.locator("#coming"))).to_contain_text("0 in the hour")
    status, _ = await desk.site.alert(token, ENTRY)
    assert status == 200
    row = page.locator("tbody tr", has=page.get_by_role("link", name="alpha"))
    await expect(row.locator('[data-name="Position"]')).to_contain_text(re.compile("\u2212\\d+\\s*MNQ"))
    await expect(page.locator("section", has=page.locator("#coming"))).to_contain_text("1 in the hour", timeout=25_000)
    await expect(page.locator("section", has=page.locator("#going"))).to_contain_text("2 in the hour", timeout=25_000)
    assert await page.evaluate("window.stayed") is True


async def test_an_account_that_did_not_trade_says_why(limited: Desk) -> None:
    """On the first page by the code of its last signal, which opens its task; among its signals by its own outcome."""
    page = limited.page
    await limited.site.alert(await limited.site.token(), ENTRY)
    await limited.open("/")
    row = page.locator("tbody tr", has=page.get_by_role("link", name="calm"))
    refused = re.compile("DENIED.*INSTRUMENT_NOT_ALLOWED", re.DOTALL)
    await expect(row.locator('[data-name="Last signal"]')).to_contain_text(refused)
    await row.locator('[data-name="Last signal"] a').click()
    await expect(page.locator("main")).to_contain_text("MES")
    await limited.open("/signals?account=calm")
    came = page.locator('tbody [data-name="Came to"]').first
    await expect(came).to_contain_text(refused)
    await expect(came).not_to_contain_text("SUCCESS")


async def test_a_halt_shows_without_reload(limited: Desk) -> None:
    """The account that is halted stands first, with the reason; the one that is near its limit before the calm one."""
    page = limited.page
    await limited.open("/")
    names = page.locator('tbody [data-name="Account"] a')
    await expect(names.first).to_have_text("tight")
    tight = page.locator("tbody tr", has=page.get_by_role("link", name="tight"))
    await expect(tight.locator("svg.gauge.near")).to_have_count(1)
    await expect(tight.locator('[data-name="Limits"]')).to_contain_text("100.00 left, limit 1")
    await expect(tight.locator('[data-name="Today"]')).to_contain_text("\u2212900.00")
    await expect(page.locator("tbody")).to_contain_text(HOSTILE)
    status, _ = await limited.site.act("/api/halt", {"scope": "account:calm", "reason": "lunch", "actor": "me"})
    assert status == 200
    await expect(names.first).to_have_text("calm", timeout=25_000)
    await expect(page.locator("tbody tr").first).to_contain_text(re.compile("halted.*lunch", re.DOTALL))


async def test_the_filter_and_a_phone(limited: Desk) -> None:
    """An address with words shows the accounts that fit; on a phone nothing is wider than the screen."""
    page = limited.page
    await limited.open("/?q=near-nobody")
    await expect(page.locator("main")).to_contain_text("No account fits.")
    await limited.open("/?q=tight")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.set_viewport_size(PHONE)
    await limited.open("/")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    parts = ("accounts", "charts")
    accounts, charts = [await page.locator(f'[data-fragment="{part}"]').bounding_box() for part in parts]
    assert accounts is not None
    assert charts is not None
    assert accounts["y"] < charts["y"]


async def test_an_account_that_only_a_task_names(site: Site, sql: Sql) -> None:
    """Never published, and no router has it: the page says so."""
    sql.execute("SELECT enqueue_execution_task('T-1', 'ENTRY', '{}', 'nobodys')")
    async with site.session.get(site.operator("/")) as answer:
        assert answer.status == 200
        assert "nobodys" in await answer.text()


async def test_what_is_not_known_is_a_dash(site: Site) -> None:
    """Accounts without a book have no balance, no result and no gauges, and the page says none."""
    async with site.session.get(site.operator("/")) as answer:
        text = await answer.text()
        assert answer.status == 200
    assert re.search(r'data-name="Balance" class="num">\u2013<', text)
    assert "Nothing waits and nothing is on its way." in text
    assert "dry run: nothing leaves" in text


def test_gauges_are_of_what_may_be_lost() -> None:
    """The buffer is taken off; what is not known is no zero; micros count as the account counts them."""
    limits = RiskLimits(
        DAYS,
        daily_loss=Decimal(1000),
        buffer=Decimal(100),
        drawdown=Drawdown(Trail.STATIC, Decimal(2000)),
        max_contracts=Decimal(5),
        micros_per_contract=Decimal(10),
    )
    held = [("MNQ", Decimal(20)), ("NQ", Decimal(1))]
    daily, drawdown, contracts = gauges({"to_daily_loss": Decimal(300), "to_floor": None}, limits, held)
    assert (daily.used, daily.limit, daily.left) == (Decimal(600), Decimal(900), Decimal(300))
    assert (drawdown.used, drawdown.left, drawdown.share) == (None, None, 0.0)
    assert (contracts.used, contracts.left, contracts.share) == (Decimal(3), Decimal(2), 0.6)
    over = next(iter(gauges({**NOTHING, "to_daily_loss": Decimal(-50)}, limits, held)))
    assert over.share > 1
    assert list(gauges(NOTHING, RiskLimits(DAYS), held)) == []


async def test_minutes_are_counted_from_their_beginning(dsn: str, sql: Sql) -> None:
    """A signal of 61 seconds after the first minute's beginning is of the second."""
    since = datetime(2026, 11, 20, 12, tzinfo=UTC)
    for after_s in (0, 59, 61):
        sql.execute(
            "INSERT INTO automated_signals (signal_uid, strategy, code, message, raw, received_at)"
            " VALUES (gen_random_uuid(), 's', 'NOT_JSON', 'It is no JSON.', '', %s)",
            (since + timedelta(seconds=after_s),),
        )
    async with await Database(dsn).connect("test") as conn:
        found = await by_minute(conn, since)
    assert {minute: row["signals"] for minute, row in found.items()} == {0: 2, 1: 1}
