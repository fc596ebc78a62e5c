"""Explain in a browser, and every template that its form can make, read by the parser that reads alerts."""

import asyncio
import itertools
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from playwright.async_api import Route, expect

from eventrouter.desk.alert_templates import ACTIONS, LEVELS, ORDER_TYPES, SIZES, Template, make
from eventrouter.domain.parsers import read_alert
from eventrouter.domain.signals import Event, LevelKind, OrderType, QuantityKind, Side, Signal
from tests.desk.conftest import Desk
from tests.web.live_site import ENTRY, Site

Sql = psycopg.Connection[Any]
HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>{{ 7*7 }}'
EVENTS = {
    "enter": Event.ENTRY,
    "exit": Event.EXIT,
    "add": Event.ADD,
    "reduce": Event.REDUCE,
    "reverse": Event.REVERSE,
    "move": Event.MOVE_STOP,
    "cancel": Event.CANCEL,
    "flatten": Event.FLATTEN,
}
KINDS = {
    "account": None,
    "fixed": QuantityKind.FIXED,
    "cash": QuantityKind.CASH,
    "risk_amount": QuantityKind.RISK_AMOUNT,
    "risk_percent": QuantityKind.RISK_PERCENT,
    "percent_of_equity": QuantityKind.PERCENT_OF_EQUITY,
    "percent_of_position": QuantityKind.PERCENT_OF_POSITION,
}
LEVEL_KINDS = {
    "price": LevelKind.PRICE,
    "points": LevelKind.OFFSET,
    "ticks": LevelKind.TICKS,
    "percent": LevelKind.PERCENT,
    "usd": LevelKind.CASH,
}
CHANGES = [
    # order, before, its size, after, its size, contracts → event
    ("buy", "flat", 0, "long", 2, 2, Event.ENTRY, Side.LONG),
    ("sell", "flat", 0, "short", 2, 2, Event.ENTRY, Side.SHORT),
    ("buy", "long", 2, "long", 3, 1, Event.ADD, Side.LONG),
    ("sell", "long", 3, "long", 1, 2, Event.REDUCE, Side.LONG),
    ("sell", "long", 2, "flat", 0, 2, Event.EXIT, Side.LONG),
    ("buy", "short", 2, "flat", 0, 2, Event.EXIT, Side.SHORT),
    ("sell", "long", 2, "short", 2, 4, Event.REVERSE, Side.SHORT),
    ("buy", "short", 1, "long", 2, 3, Event.REVERSE, Side.LONG),
]


def filled(message: str, **values: object) -> bytes:
    """The message as TradingView sends it: each placeholder replaced by its value, as text. Nothing may be left."""
    known = {"ticker": "MNQ1!", "timenow": "2026-11-23T14:31:05Z", "close": "21000.25", **values}
    for name, value in known.items():
        message = message.replace("{{" + name + "}}", str(value))
    assert "{{" not in message
    return message.encode()


def understood(raw: bytes) -> Signal:
    """What the parser makes of it."""
    reading = read_alert(raw)
    assert reading.refusal is None, (reading.refusal, raw.decode())
    assert reading.signal is not None
    return reading.signal


def templates() -> Iterator[tuple[str, Template]]:
    """Every combination of choices that the form can send."""
    for name, action in ACTIONS.items():
        types = ORDER_TYPES if action.opens and name != "follow" else ("market",)
        levels = LEVELS if action.protects else ("none",)
        for order_type, size, stop, target in itertools.product(types, action.sizes or ("account",), levels, levels):
            asked = {"action": name, "order_type": order_type, "size": size}
            asked |= {"stop_loss_kind": stop, "take_profit_kind": target}
            yield name, make(asked, "orb")


def test_every_template_is_read_as_what_was_chosen() -> None:
    """All of them, filled in with prices on their sides: event, side, order type, quantity, stop, target; nothing is without effect."""
    made = 0
    for name, template in templates():
        if name == "follow" or template.message is None:
            continue
        action, made = ACTIONS[name], made + 1
        away = 50 * (action.side or 1)
        signal = understood(filled(template.message, plot_0=21000 - away, plot_1=21000 + away))
        assert (signal.event, signal.strategy, signal.symbol) == (EVENTS[name.split("_")[0]], "orb", "MNQ1!")
        assert signal.side == {1: Side.LONG, -1: Side.SHORT, 0: None}[action.side]
        assert signal.order_type == OrderType(template.order_type)
        assert signal.bare is False
        if action.sizes and template.size != "account":
            value = Decimal(template.values["quantity"])
            assert (signal.quantity_kind, signal.quantity) == (KINDS[template.size], value)
        else:
            assert signal.quantity is None
        for level, kind in zip((signal.stop_loss, signal.take_profit), template.levels.values(), strict=True):
            assert (level and level.kind) == LEVEL_KINDS.get(kind)
        assert (signal.limit_price is not None) is ("limit_price" in template.values)
        assert (signal.stop_price is not None) is ("stop_price" in template.values)
        assert (signal.trail is not None) is ("trail_amount" in template.values)
        assert signal.fire_time is not None
        assert (signal.notes, signal.repairs) == ((), ()), template.message
    assert made > 6000


def test_only_what_moves_nothing_is_not_made() -> None:
    """Of all combinations those alone have no message that move a stop nowhere, and they say so."""
    unmade = {
        (name, *template.levels.values(), *template.faults) for name, template in templates() if not template.message
    }
    assert unmade == {(name, "none", "none", "stop_loss_kind") for name in ("move_stop_long", "move_stop_short")}


@pytest.mark.parametrize(("order", "before", "had", "after", "has", "contracts", "event", "side"), CHANGES)
def test_a_template_that_follows_a_strategy(
    order: str, before: str, had: int, after: str, has: int, contracts: int, event: Event, side: Side
) -> None:
    """Whatever the strategy's order does to its position, the alert means that."""
    message = make({"action": "follow"}).message
    assert message is not None
    values = {
        "strategy.order.action": order,
        "strategy.order.contracts": contracts,
        "strategy.order.price": "21000.25",
        "strategy.market_position": after,
        "strategy.market_position_size": has,
        "strategy.prev_market_position": before,
        "strategy.prev_market_position_size": had,
    }
    signal = understood(filled(message, **values))
    assert (signal.event, signal.side) == (event, side)


def test_samples_are_read_too() -> None:
    """What `Explain it as it could arrive` sends is accepted for every template."""
    for _, template in templates():
        if template.sample is not None:
            assert "{{" not in template.sample
            understood(template.sample.encode())


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"size": "fixed", "quantity": "0"}, "quantity"),
        ({"size": "fixed", "quantity": "-1"}, "quantity"),
        ({"size": "fixed", "quantity": '1, "action": "sell"'}, "quantity"),
        ({"size": "fixed", "quantity": "{{what}}"}, "quantity"),
        ({"size": "fixed", "quantity": "\u0661"}, "quantity"),
        ({"size": "risk_percent", "quantity": "101"}, "quantity"),
        ({"stop_loss_kind": "percent", "stop_loss": "100"}, "stop_loss"),
        ({"stop_loss_kind": "price", "stop_loss": '{{plot("x"), "y")}}'}, "stop_loss"),
        ({"order_type": "limit", "limit_price": "1e5"}, "limit_price"),
    ],
)
def test_what_makes_no_template(asked: dict[str, str], field: str) -> None:
    """A value that is no number and no placeholder is said, and no message is made."""
    made = make(asked)
    assert (list(made.faults), made.message, made.sample) == ([field], None, None)


def test_a_strategy_cannot_break_out_of_the_message() -> None:
    """Its name is a JSON text; one with braces would be filled in by TradingView."""
    assert json.loads(make({"action": "exit"}, 'a"b\\').message or "")["strategy"] == 'a"b\\'
    assert list(make({}, "{{close}}").faults) == ["strategy"]
    assert set(SIZES) == {"contracts", *KINDS}


async def test_an_alert_is_explained_and_nothing_is_stored(desk: Desk, sql: Sql) -> None:
    """Each account with what it comes to and why; the halted one says so. No signal and no task are there afterwards."""
    page = desk.page
    await desk.site.token("orb")
    await desk.site.act("/api/halt", {"scope": "account:beta"})
    await desk.open("/explain")
    await page.locator("#alert").fill('{\n "ticker": "MNQ1!", "action": "buy", "sentiment": "long", "quantity": 2\n}')
    form = page.get_by_role("form", name="Explain an alert")
    await form.get_by_role("combobox").select_option("orb")
    await form.get_by_role("button", name="Explain").click()
    await expect(page.locator("#answer")).to_contain_text("Enter LONG MNQ1!, quantity 2, at the market.")
    alpha = page.locator("#answer tbody tr", has_text="alpha")
    await expect(alpha).to_contain_text("WOULD SEND")
    await expect(alpha).to_contain_text("2 MNQ asked for x 1 = 2 MNQ, rounded down to 2.")
    beta = page.locator("#answer tbody tr", has_text="beta")
    await expect(beta).to_contain_text("WOULD DENY")
    await expect(beta).to_contain_text("HALTED")
    await desk.live()
    for table in ("automated_signals", "execution_tasks"):
        assert sql.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


@pytest.mark.parametrize(
    ("alert", "code", "mend"),
    [
        ('{"symbol": "MNQ1!" "action": "buy"}', "BODY_NOT_JSON", "mend it at the line and column"),
        ('{"symbol": "{{ticker}}", "action": "buy"}', "PLACEHOLDER", "use one that the sender knows"),
        ('{"symbol": "MNQ1!", "quantity": 1}', "FIELD_MISSING", "A field that this order needs"),
    ],
)
async def test_a_refusal_says_what_to_do(desk: Desk, alert: str, code: str, mend: str) -> None:
    """The parser's code and sentence, and how to mend it; the alert is still in the form."""
    page = desk.page
    await desk.open("/explain")
    await page.locator("#alert").fill(alert)
    await page.get_by_role("button", name="Explain", exact=True).click()
    said = page.locator("#answer").get_by_role("alert")
    await expect(said).to_contain_text(code)
    await expect(said).to_contain_text(mend)
    await expect(page.locator("#alert")).to_have_value(alert)


async def test_a_template_follows_its_choices_and_is_copied(desk: Desk) -> None:
    """Choosing changes the message without a reload and stands in the address; the button copies it; it can be explained."""
    page = desk.page
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await desk.site.token("orb")
    await desk.open("/explain")
    await page.evaluate("window.stayed = true")
    template = page.locator("#template")
    await template.locator("#t-strategy").select_option("orb")
    await template.locator("#t-action").select_option("enter_short")
    await template.locator("#t-size").select_option("fixed")
    await template.locator("#t-quantity").fill("3")
    await template.locator("#t-stop_loss-kind").select_option("ticks")
    message = page.locator("#message")
    await expect(message).to_contain_text('"stop_loss_ticks": 40')
    await expect(message).to_contain_text('"quantity": 3')
    await expect(message).to_contain_text('"action": "enter_short"')
    await page.get_by_role("button", name="Copy message").click()
    await expect(page.locator("#copied")).to_have_text("Copied.")
    assert await page.evaluate("navigator.clipboard.readText()") == await message.text_content()
    await expect(page.locator("#address")).to_have_text("https://YOUR-HOST/webhook/TOKEN")
    assert "action=enter_short" in page.url
    assert await page.evaluate("window.stayed") is True
    await page.get_by_role("button", name="Explain it as it could arrive").click()
    await expect(page.locator("#answer")).to_contain_text("Enter SHORT MNQ1!")
    await expect(message).to_contain_text('"stop_loss_ticks": 40')


async def test_choices_made_faster_than_answers_come(desk: Desk) -> None:
    """None is dropped, nor what is typed meanwhile; the pasted alert stays, and its answer comes with the choices kept."""
    page, waiting = desk.page, asyncio.Queue[Route]()
    await desk.open("/explain")
    await page.locator("#alert").fill(json.dumps(ENTRY))
    await page.locator("#t-size").select_option("fixed")
    await expect(page.locator("#t-quantity")).to_be_visible()
    await page.route("**/explain?*fragment=*", waiting.put)
    await page.locator("#t-action").select_option("enter_short")
    first = await waiting.get()
    await first.continue_()
    second = await waiting.get()
    assert "fragment=choices" in second.request.url
    await page.locator("#t-stop_loss-kind").select_option("ticks")
    third = await waiting.get()
    async with page.expect_response(second.request.url):
        await second.continue_()
    await expect(page.locator("#t-stop_loss-kind")).to_have_value("ticks")
    await third.continue_()
    fourth = await waiting.get()
    await page.locator("#t-quantity").press("End")
    await page.locator("#t-quantity").press_sequentially("7")
    async with page.expect_response(fourth.request.url):
        await fourth.continue_()
    await expect(page.locator("#t-quantity")).to_have_value("17")
    await page.unroute("**/explain?*fragment=*")
    await page.locator("#t-take_profit-kind").select_option("ticks")
    message = page.locator("#message")
    await expect(message).to_contain_text("take_profit_ticks")
    for words in ('"action": "enter_short"', '"stop_loss_ticks": 40', '"quantity": 17'):
        await expect(message).to_contain_text(words)
    assert await page.locator("#alert").input_value() == json.dumps(ENTRY)
    await page.get_by_role("button", name="Explain", exact=True).click()
    await expect(page.locator("#answer")).to_contain_text("WOULD SEND")
    await expect(message).to_contain_text('"quantity": 17')
    await page.locator("#t-size").select_option("account")
    await expect(message).not_to_contain_text('"quantity"')
    await expect(page.locator("#answer")).to_contain_text("WOULD SEND")


async def test_a_wrong_number_is_said_where_it_is(desk: Desk) -> None:
    """A quantity that is none takes the message away and says what it may be."""
    page = desk.page
    await desk.open("/explain?size=fixed&quantity=many")
    await expect(page.get_by_role("alert")).to_contain_text("Quantity: Give a number greater than zero")
    assert await page.locator("#message").count() == 0
    await expect(page.locator("#t-quantity")).to_have_attribute("aria-invalid", "true")


async def test_it_works_without_scripts_and_on_a_phone(desk: Desk) -> None:
    """Without scripts an alert is explained and a template made; at 390 pixels nothing is wider than the screen."""
    browser = desk.page.context.browser
    assert browser is not None
    context = await browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    plain = await context.new_page()
    await plain.goto(desk.site.operator("/explain"))
    await plain.locator("#t-action").select_option("flatten")
    await plain.get_by_role("button", name="Make").click()
    await expect(plain.locator("#message")).to_contain_text('"action": "flatten"')
    await plain.locator("#alert").fill(json.dumps(ENTRY))
    await plain.get_by_role("button", name="Explain", exact=True).click()
    await expect(plain.locator("#answer")).to_contain_text("WOULD SEND")
    await context.close()
    await desk.page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/explain", "/explain?action=enter_long&order_type=stop_limit&stop_loss_kind=price"):
        await desk.open(path)
        assert await desk.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


async def test_hostile_text_is_text(desk: Desk) -> None:
    """In an alert, a strategy's name and the address of a template no element is made of it, and nothing runs."""
    page = desk.page
    asked: list[str] = []
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    await desk.site.token(HOSTILE[:60])
    for alert in (
        HOSTILE,
        json.dumps({**ENTRY, "trade_id": HOSTILE[:50], "session": HOSTILE}),
        f"</textarea>{HOSTILE}",
    ):
        await desk.open(f"/explain?size=fixed&quantity={HOSTILE[:50]}&strategy={HOSTILE[:40]}".replace("#", ""))
        await page.locator("#alert").fill(alert)
        await page.get_by_role("button", name="Explain", exact=True).click()
        await page.wait_for_selector("#answer")
        assert await page.locator("#alert").input_value() == alert
        assert await page.locator("main img, main script").count() == 0
    assert asked == []


async def test_an_explanation_needs_the_page_s_token(site: Site) -> None:
    """A form from elsewhere is refused: what accounts hold is nobody's business."""
    own = f"http://{site.listeners.operator}"
    async with site.session.post(site.operator("/explain"), data={"alert": "{}"}, headers={"Origin": own}) as answer:
        assert answer.status == 403
