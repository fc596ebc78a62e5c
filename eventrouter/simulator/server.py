"""The broker as a server: what is served where, the feed, start and stop."""

import asyncio
import random
from contextlib import suppress
from types import TracebackType
from typing import Self

from aiohttp import web

from eventrouter.errors import EventrouterError
from eventrouter.simulator.broker import Broker
from eventrouter.simulator.clock import Clock
from eventrouter.simulator.control import Control
from eventrouter.simulator.gateway import Gateway
from eventrouter.simulator.hub import Hub
from eventrouter.simulator.sessions import RateLimit, Sessions
from eventrouter.simulator.settings import Settings
from eventrouter.simulator.walk import Walk

_CLOSE_WITHIN_S = 1.0


class Simulator:
    """One simulated broker on one address; `async with` starts and stops it. Port 0 takes a free one."""

    def __init__(
        self, settings: Settings, *, clock: Clock | None = None, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.settings = settings
        self.broker = Broker(settings, clock or Clock())
        draw = random.Random(settings.seed)  # noqa: S311 - tokens of a simulation must repeat, not resist
        self.sessions = Sessions(self.broker.now, settings.token_lifetime_s, draw)
        limit = RateLimit(self.broker.now, settings.requests_per_minute)
        self.gateway = Gateway(self.broker, self.sessions, limit)
        self.hub = Hub(self.broker, self.sessions, wrapped=settings.wrapped_events)
        self._control = Control(self.broker, self.gateway, self.hub)
        self._walk = Walk(settings.seed)
        self._host, self._port = host, port
        self._runner: web.AppRunner | None = None
        self._feed: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it answers, such as http://127.0.0.1:9001."""
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}"

    async def start(self) -> None:
        """Opens the socket and lets time pass."""
        app = web.Application()
        app.add_routes(self._control.routes())
        app.add_routes(
            [
                web.get("/api/Status/ping", self.gateway.ping),
                web.post("/api/{endpoint:.+}", self.gateway.serve),
                web.post("/hubs/user/negotiate", self.hub.negotiate),
                web.get("/hubs/user", self.hub.serve),
            ]
        )
        app.on_shutdown.append(self._release)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSE_WITHIN_S)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self.stop()
            raise EventrouterError(f"{self._host}:{self._port} cannot be listened on: {error.strerror}.") from error
        self._port = self._runner.addresses[0][1]
        self._feed = asyncio.create_task(self._pass_time())

    async def stop(self) -> None:
        """Closes connections and the ledger."""
        if self._feed is not None:
            self._feed.cancel()
            with suppress(asyncio.CancelledError):
                await self._feed
        if self._runner is not None:
            await self._runner.cleanup()
        self.broker.ledger.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _pass_time(self) -> None:
        """Every step: what waited for its time happens, and prices walk where they do."""
        while True:
            await asyncio.sleep(self.settings.step_s)
            self.broker.advance()
            if self.settings.walk and self.broker.is_open():
                for contract, price in self._walk.step(self.broker.listing().active(), self.broker.engine.price):
                    self.broker.post(contract, price)

    async def _release(self, _app: web.Application) -> None:
        """Ends what would keep the server from stopping: open hubs and stalled requests."""
        self.hub.drop()
        for armed in self.gateway.faults.armed.values():
            armed.released.set()
