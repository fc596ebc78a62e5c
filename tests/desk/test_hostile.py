"""What an attacker who can send an alert puts into it: on every page it is text, nothing of it runs, and no page breaks."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from eventrouter.domain.showing import showable
from tests.desk.browsing import SCREENS
from tests.web.live_site import ENTRY, Site, configuration, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
TEXTS = {
    "script": "<script>window.owned = 1</script>",
    "image": '"><img src=x onerror="window.owned=1">',
    "attribute": "' autofocus onfocus=window.owned=1 x='",
    "template": "{{7*7}} {% raw %} ${7*7}",
    "link": "javascript:window.owned=1",
    "turned": "\u202egnp.exe\u202c \u200fabc\u2067",
    "long": "W" * 90,
    "wide": "\U0001f4c8\U0001f469\u200d\U0001f680 \ufdfd Z\u0351\u036b\u0343\u036a\u0302\u036b",
    "closing": "</td></table></main><style>body{display:none}</style>",
}
FIELDS = ("kind", "trade_id", "symbol", "direction", "session", "bias", "comment", "quantity", "stop_loss")
LISTS = ("/", "/signals", "/dead", "/approvals", "/explain", "/controls")
"""Pages that show all of it at once."""

PAGES = (
    "/signals?q={text}",
    "/signals?strategy={text}&symbol={text}&account={text}",
    "/signals/{body}",
    "/signals/{comment}",
    "/tasks/{failed}",
    "/tasks/{review}",
    "/tasks/{held}",
)
"""Pages that show one text. `body`: the signal whose whole body it is (long words of it are taken for secrets); `comment`: one whose fields were fine but for this one."""


@dataclass
class Attacked:
    """A service that was sent every text in every field, and has tasks with each text at every stage."""

    site: Site
    page: Page
    faults: list[str]
    ids: dict[str, dict[str, int]] = field(default_factory=dict)

    async def look(self, path: str) -> str:
        """Opens a page, and gives what it shows once nothing is wrong with it, on a desk and on a phone."""
        await self.page.goto(self.site.operator(path))
        await self.page.wait_for_selector('#live[data-state="on"], #live[data-state="off"]')
        assert await self.page.evaluate(_STRANGE) == [], path
        for width in (1440, 390):
            await self.page.set_viewport_size(SCREENS[width])
            assert await self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (path, width)
        assert await self.page.evaluate("window.owned") is None
        assert self.faults == []
        shown: str = await self.page.evaluate(_SEEN)
        return shown


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def attacked(shared_dsn: str, shared_chromium: Browser) -> AsyncIterator[Attacked]:
    """One service and one page for all texts."""
    config = configuration(shared_dsn, accounts=[{"name": "alpha"}, {"name": "beta"}])
    async with running(config) as site, await shared_chromium.new_context() as context:
        context.set_default_timeout(20_000)
        page = await context.new_page()
        faults: list[str] = []
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        made = Attacked(site, page, faults)
        token = await site.token()
        with psycopg.connect(shared_dsn, autocommit=True) as sql:
            for word, text in TEXTS.items():
                ids = made.ids[word] = _tasks(sql, text)
                for name in FIELDS:
                    _, answer = await site.alert(token, _json({**ENTRY, "trade_id": f"{word}-{name}", name: text}))
                    ids[name] = answer.get("signal_id", 0)
                await site.alert(token, text.encode())
                row = sql.execute("SELECT max(id) FROM automated_signals").fetchone()
                assert row is not None
                ids["body"] = row[0]
        yield made


@pytest.mark.parametrize("word", TEXTS)
async def test_hostile_text_is_text(attacked: Attacked, word: str) -> None:
    """Seen as it was sent, but for marks that reorder it; no element is made of it, nothing runs, and the page is as wide as its screen."""
    text, ids = TEXTS[word], attacked.ids[word]
    seen_as = showable(text)
    assert ids["comment"], "the alert with a hostile comment was to be taken"
    address = "".join(f"%{byte:02x}" for byte in text[:60].encode())
    for place in PAGES:
        seen = await attacked.look(place.format(text=address, **ids))
        if "tasks" in place:
            assert seen_as in seen, (place, seen)
        elif "comment" in place:
            assert _json(seen_as).decode()[1:-1] in seen, (place, seen)


@pytest.mark.parametrize("path", LISTS)
async def test_lists_of_it_are_lists(attacked: Attacked, path: str) -> None:
    """The same where all texts come together; nobody's row is missing after another's."""
    seen = await attacked.look(path)
    for text in TEXTS.values():
        assert showable(text) in seen or path not in ("/dead", "/approvals"), (text, seen)


def _json(value: Any) -> bytes:
    """As a sender writes it who escapes nothing that need not be."""
    return json.dumps(value, ensure_ascii=False).encode()


# what a page shows, with what its fields hold
_SEEN = """() => document.querySelector("main").textContent
    + [...document.querySelectorAll("main input, main textarea")].map(field => field.value).join(" ")"""
# elements that no page has, and attributes that would run something
_STRANGE = """() => [...document.querySelectorAll("body *")].filter(each =>
    each.matches("img, script, style, iframe, object, [style], [src], a[href^='javascript']")
    || [...each.attributes].some(attribute => attribute.name.startsWith("on"))).map(each => each.outerHTML.slice(0, 200))"""


def _tasks(sql: psycopg.Connection[Any], text: str) -> dict[str, int]:
    """A task at every stage at which somebody looks at it, the text being its trade's id, its payload and what the broker said."""
    ways = {
        "failed": [("SENDING", "INTENT"), ("FAILED", "REJECTED")],
        "review": [("SENDING", "INTENT"), ("UNKNOWN", "UNKNOWN_OUTCOME"), ("REVIEW", "NOT_PROVEN")],
        "held": [("HELD", "APPROVAL_NEEDED")],
    }
    payload = {"symbol": "MNQ1!", "direction": "LONG", "quantity": 1, "comment": text, text: text}
    made = {}
    for stage, steps in ways.items():
        with sql.transaction():
            asked = "SELECT enqueue_execution_task(%s, 'ENTRY', %s, 'alpha')"
            row = sql.execute(asked, [f"{stage} {text}", json.dumps(payload)]).fetchone()
            assert row is not None
            for version, (status, reason) in enumerate(steps, 1):
                lease = 30.0 if status == "SENDING" else None
                answer = text if status in ("FAILED", "UNKNOWN") else None
                values = [
                    row[0],
                    version,
                    status,
                    reason,
                    text,
                    400 if answer else None,
                    answer,
                    json.dumps({"said": text}),
                    lease,
                ]
                sql.execute(_APPEND, values)
        made[stage] = int(row[0])
    return made


_APPEND = """SELECT append_log('test', FALSE, ARRAY[%s::BIGINT], ARRAY[%s::INTEGER], ARRAY[%s], ARRAY[%s], ARRAY[%s], ARRAY[%s::INTEGER],
    ARRAY[%s], ARRAY[NULL::BYTEA], ARRAY[%s], ARRAY[NULL::FLOAT8], ARRAY[%s::FLOAT8])"""
