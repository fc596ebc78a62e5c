"""Takes every page of the desk, light and dark, from a phone to a wall: `python -m tests.desk.screenshots DIR [PAGE ...]`."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, StorageState, ViewportSize

from eventrouter.logs import configure_logging
from eventrouter.store.embedded import open_server
from eventrouter.store.migrate import migrate
from tests.conftest import private_directory
from tests.desk.browsing import CHROMIUM, SCHEMES, SCREENS, Scheme, browser, sign_in
from tests.desk.scene import OPERATOR, PASSWORD, Scene, scene, sign_in_is_needed


def main() -> int:
    """0 when all were taken, 2 without a directory or a Chromium."""
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print("Which directory? python -m tests.desk.screenshots DIR [PAGE ...]", file=sys.stderr)
        return 2
    if CHROMIUM is None:
        print("No Chromium is installed on this machine: install chromium or google-chrome", file=sys.stderr)
        return 2
    configure_logging("console", "error")
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    print(f"{asyncio.run(taken(directory, sys.argv[2:]))} screenshots in {directory}")
    return 0


async def taken(directory: Path, wanted: Sequence[str] = ()) -> int:
    """Plays the scene, takes the wanted pages (all when none is named) and says how many pictures that made."""
    async with _database() as (dsn, home), scene(dsn, home) as played, browser() as opened:
        await sign_in_is_needed(dsn)
        async with await opened.new_context() as context:
            page = await context.new_page()
            await sign_in(page, played.rig.site.operator("/signals"), OPERATOR, PASSWORD)
            known = await context.storage_state()
        count = 0
        for scheme in SCHEMES:
            for width in SCREENS:
                count += await _take(opened, played, known, scheme, width, directory, wanted)
        return count


async def _take(
    opened: Browser,
    played: Scene,
    known: StorageState,
    scheme: Scheme,
    width: int,
    directory: Path,
    wanted: Sequence[str],
) -> int:
    """One browser window of this width and scheme through all pages, the form to sign in first."""
    pages = {"login": "/login", **played.pages()}
    names = [name for name in pages if not wanted or name in wanted]
    for name in names:
        state = None if name == "login" else known
        async with await opened.new_context(
            viewport=SCREENS[width],
            color_scheme=scheme,
            storage_state=state,
            timezone_id="America/Chicago",
            locale="en-US",
        ) as context:
            page = await context.new_page()
            await page.goto(played.rig.site.operator(pages[name]))
            if name != "login":
                await page.wait_for_selector('#live:not([data-state="lost"])')
            # the whole page is the window, so that what sticks to an edge lies at the edge of the picture
            height = await page.evaluate("document.documentElement.scrollHeight")
            await page.set_viewport_size(ViewportSize(width=width, height=height))
            await page.screenshot(path=directory / f"{name}-{scheme}-{width}.png")
    return len(names)


@asynccontextmanager
async def _database() -> AsyncIterator[tuple[str, Path]]:
    """An empty, migrated database on a server of its own, and a directory."""
    home = private_directory()
    server = open_server(home / "db", settings={"fsync": "off", "max_connections": "200"})
    try:
        await asyncio.to_thread(migrate, server.admin_dsn)
        yield server.admin_dsn, home
    finally:
        await asyncio.to_thread(server.close)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
