"""Every page for everybody: no fault of WCAG 2 A or AA that axe-core can find, all of it by keyboard, and no page wider than its screen."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page

from tests.desk.browsing import SCHEMES, SCREENS, sign_in
from tests.desk.scene import OPERATOR, PASSWORD, Scene, scene, sign_in_is_needed

pytestmark = pytest.mark.asyncio(loop_scope="module")
PAGES = (
    "now",
    "signals",
    "signals-filtered",
    "signal",
    "signal-refused",
    "task",
    "task-partial",
    "task-review",
    "task-held",
    "dead",
    "letter",
    "approvals",
    "explain",
    "controls",
    "control",
    "control-preview",
    "nothing",
)
_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}
_STOPS = """([...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
    .filter(each => each.checkVisibility({visibilityProperty: true}) && !each.disabled && each.type !== "hidden"
        && !(each.type === "radio" && each.name && !each.checked && each.form?.querySelector(`[name="${each.name}"]:checked`)))
    )"""
_FOCUSED = f"""() => {{
    const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();
    const nav = document.querySelector(".bar nav"), under = getComputedStyle(nav).position === "fixed";
    const bottom = under && !nav.contains(at) ? nav.getBoundingClientRect().top : innerHeight;
    const bar = document.querySelector(".bar");
    const top = bar.contains(at) || at.matches(".skip") ? 0 : bar.getBoundingClientRect().bottom;
    return {{stop: {_STOPS}.indexOf(at), shown: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
            seen: box.bottom > top && box.top < bottom, html: at.outerHTML.slice(0, 120)}};
}}"""


@dataclass
class Stage:
    """The scene, and a browser in which ann has signed in."""

    scene: Scene
    context: BrowserContext

    async def open(self, name: str, width: int = 1440) -> Page:
        """A page of this name in a window of its own."""
        page = await self.context.new_page()
        await page.set_viewport_size(SCREENS[width])
        await page.goto(self.scene.rig.site.operator(self.scene.pages()[name]))
        await page.wait_for_selector('#live[data-state="on"], #live[data-state="off"]')
        return page


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    shared_dsn: str, shared_chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    """One service with its scene, and one browser, for all tests here."""
    directory: Path = tmp_path_factory.mktemp("scene")
    async with scene(shared_dsn, directory) as played, await shared_chromium.new_context() as context:
        assert set(PAGES) == set(played.pages())
        context.set_default_timeout(20_000)
        await sign_in_is_needed(shared_dsn)
        page = await context.new_page()
        await sign_in(page, played.rig.site.operator("/signals"), OPERATOR, PASSWORD)
        await page.close()
        yield Stage(played, context)


async def violations(page: Page) -> list[str]:
    """What axe-core finds, a line each."""
    found: list[dict[str, Any]] = (await Axe().run(page, options=_RULES)).response["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize("name", PAGES)
async def test_axe_finds_no_violation(stage: Stage, name: str) -> None:
    """Light and dark, on a desk and on a phone."""
    page = await stage.open(name)
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for width in (1440, 390):
            await page.set_viewport_size(SCREENS[width])
            assert (scheme, width, await violations(page)) == (scheme, width, [])
    await page.close()


async def test_axe_finds_no_violation_before_signing_in(stage: Stage, shared_chromium: Browser) -> None:
    """The form is a page too."""
    async with await shared_chromium.new_context() as context:
        page = await context.new_page()
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            await page.goto(stage.scene.rig.site.operator("/login"))
            assert (scheme, await violations(page)) == (scheme, [])


async def test_the_rules_can_fail(stage: Stage) -> None:
    """Grey on grey, and a picture without words, are found."""
    page = await stage.open("signals")
    await page.evaluate("""() => {
        const main = document.querySelector("main"), line = document.createElement("p");
        line.textContent = "hardly to be read"; line.style.color = "#bbb"; line.style.background = "#ccc";
        main.append(line, document.createElement("img"));
    }""")
    found = " ".join(await violations(page))
    assert "color-contrast" in found
    assert "image-alt" in found
    await page.close()


@pytest.mark.parametrize("name", PAGES)
async def test_no_page_is_wider_than_its_screen(stage: Stage, name: str) -> None:
    """From 360 to 2,560 pixels nothing scrolls sideways but what says that it does."""
    page = await stage.open(name)
    for width in SCREENS:
        await page.set_viewport_size(SCREENS[width])
        inner, outer = await page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert inner <= outer, (width, inner)
    await page.close()


@pytest.mark.parametrize(
    ("name", "width"),
    [
        *(
            (name, 1440)
            for name in ("now", "signals", "signal", "dead", "letter", "explain", "controls", "control-preview")
        ),
        *((name, 390) for name in ("signals", "task-review", "approvals", "controls")),
    ],
)
async def test_everything_is_reached_by_tab(stage: Stage, name: str, width: int) -> None:
    """Each link, button and field, in an order that ends; where the focus is, one sees it, and nothing lies over it."""
    page = await stage.open(name, width)
    stops: list[str] = await page.evaluate(f"{_STOPS}.map(each => each.outerHTML.slice(0, 120))")
    reached: set[int] = set()
    for _ in range(3 * len(stops) + 20):
        await page.keyboard.press("Tab")
        at = await page.evaluate(_FOCUSED)
        if at["stop"] < 0:
            break
        reached.add(at["stop"])
        assert at["shown"], at["html"]
        assert at["seen"], at["html"]
    assert [stop for number, stop in enumerate(stops) if number not in reached] == []
    await page.close()


async def test_the_skip_link_leads_to_the_content(stage: Stage) -> None:
    """It is the first stop, shows itself, and the next stop after it is in the content."""
    page = await stage.open("signals")
    await page.keyboard.press("Tab")
    link = page.get_by_role("link", name="To the content")
    box = await link.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.querySelector('main').contains(document.activeElement)")
    await page.close()


async def test_keys(stage: Stage) -> None:
    """`/` searches, a letter typed there is a letter, `j` and `k` walk the rows, Enter opens one, `?` tells the keys, `g` goes."""
    page = await stage.open("signals")
    await page.keyboard.press("/")
    await page.keyboard.type("jk?/")
    assert await page.locator("input[type=search]").input_value() == "jk?/"
    await page.locator("input[type=search]").fill("")
    await page.locator("h1").click()
    rows = await page.locator("main tbody tr").evaluate_all("rows => rows.map(row => row.id)")
    walked = []
    for key in "jjjk":
        await page.keyboard.press(key)
        walked.append(await page.evaluate("document.activeElement.closest('tr').id"))
    assert walked == [rows[0], rows[1], rows[2], rows[1]]
    await page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    await keys.wait_for()
    await page.keyboard.press("Escape")
    await keys.wait_for(state="hidden")
    await page.locator(f"#{rows[1]} a").focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/signals/{rows[1][1:]}")
    await page.keyboard.press("g")
    await page.keyboard.press("s")
    await page.wait_for_url("**/signals")
    await page.close()
