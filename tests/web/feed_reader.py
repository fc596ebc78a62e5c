"""Clients of the live feed, SSE and WebSocket alike: they yield (position, row), the first with the row None."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from random import Random
from typing import Any

from aiohttp import ClientConnectionError, ClientPayloadError

from tests.web.live_site import Site

Event = tuple[str, dict[str, Any] | None]


async def sse(site: Site, position: str | None = None, *, query: str = "") -> AsyncGenerator[Event, None]:
    """GET /api/events, resumed with Last-Event-ID; ends when the server ends it."""
    headers = {"Last-Event-ID": position} if position else {}
    event: dict[str, str] = {}
    async with site.session.get(site.operator(f"/api/events{query}"), headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        with suppress(ClientPayloadError):
            async for line in answer.content:
                name, _, value = line.decode().rstrip("\r\n").partition(": ")
                if name:
                    event[name] = value
                elif "data" in event:
                    yield event["id"], json.loads(event["data"]) if event["event"] == "log" else None
                    event = {}


async def websocket(site: Site, position: str | None = None, *, query: str = "") -> AsyncGenerator[Event, None]:
    """GET /ws, resumed with ?position; ends when the server ends it."""
    params = {"position": position} if position else None
    async with site.session.ws_connect(site.operator(f"/ws{query}"), params=params) as socket:
        with suppress(ClientConnectionError):
            async for message in socket:
                told = message.json()
                yield told["position"], told.get("row")


READERS: dict[str, Callable[..., AsyncGenerator[Event, None]]] = {"sse": sse, "websocket": websocket}


class Follower:
    """A client that loses its connection again and again, and notes the id of every row that it was told."""

    def __init__(self, site: Site, kind: str, seed: int) -> None:
        self.seen: list[int] = []
        self.position: str | None = None
        self.connections = 0
        self._site = site
        self._kind = kind
        self._chance = Random(seed)

    async def follow(self) -> None:
        """Reads until cancelled."""
        while True:
            self.connections += 1
            async with aclosing(READERS[self._kind](self._site, self.position)) as events:
                async for position, row in events:
                    self.position = position
                    if row is not None:
                        self.seen.append(row["id"])
                    if self._chance.random() < 0.05:
                        break
