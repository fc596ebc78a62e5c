"""A service that people are told through: an HTTP server which takes, refuses, or hangs, as a test wants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from eventrouter.alerts import receivers_of
from eventrouter.alerts.receivers import AppriseReceiver
from eventrouter.config import AlertsConfig

SECRET = "hunter2canarytoken"


class Inbox:
    """`messages`: what came, refused ones included. `status` answers; while `open` is clear nothing does."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.status = 200
        self.open = asyncio.Event()
        self.open.set()
        self.came = asyncio.Event()
        self.port = 0

    def url(self, scheme: str = "json", secret: str = SECRET) -> str:
        """Its apprise URL; the path and the password are secret."""
        return f"{scheme}://user:{secret}pass@127.0.0.1:{self.port}/{secret}/x"

    @property
    def titles(self) -> list[str]:
        """Of each message."""
        return [message["title"] for message in self.messages]

    async def _take(self, request: web.Request) -> web.Response:
        self.messages.append(await request.json())
        self.came.set()
        await self.open.wait()
        return web.Response(status=self.status, text=f"you said {request.path}", reason=f"No {SECRET}")


@asynccontextmanager
async def inbox() -> AsyncIterator[Inbox]:
    """A running one."""
    box = Inbox()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", box._take)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    box.port = runner.addresses[0][1]
    try:
        yield box
    finally:
        box.open.set()
        await runner.cleanup()


def settings(*boxes: Inbox, **more: Any) -> AlertsConfig:
    """Tells these at once."""
    return AlertsConfig.model_validate(
        {"urls": [box.url() for box in boxes], "group": 0.0, "messages_per_minute": 60, "timeout": 5.0, **more}
    )


def receivers(*boxes: Inbox) -> tuple[AppriseReceiver, ...]:
    """One for each of them."""
    return receivers_of(settings(*boxes))
