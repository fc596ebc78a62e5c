"""Chromium as this machine has it, and the screens that the desk is looked at with."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from playwright.async_api import Browser, Page, ViewportSize, async_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SCREENS = {
    360: ViewportSize(width=360, height=740),
    390: ViewportSize(width=390, height=844),
    768: ViewportSize(width=768, height=1024),
    1440: ViewportSize(width=1440, height=900),
    2560: ViewportSize(width=2560, height=1300),
}
"""By their width in pixels: two phones, a tablet, a desk, a wall."""

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium, which must be installed."""
    assert CHROMIUM is not None
    # as root it cannot make its sandbox
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield opened
        finally:
            await opened.close()


async def sign_in(page: Page, address: str, name: str, password: str) -> None:
    """Opens an address, which leads to the form, fills it in, and returns once the address is shown and live."""
    await page.goto(address)
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(address)
    await page.wait_for_selector('#live[data-state="on"]')
