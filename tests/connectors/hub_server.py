"""A SignalR hub that does what a test says; it has nothing of the simulated broker's."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

END = "\x1e"


@dataclass(eq=False)
class Peer:
    """One connection, after the handshake: what was called, and what was received besides."""

    socket: web.WebSocketResponse
    request: web.Request
    calls: list[dict[str, Any]] = field(default_factory=list)
    pings: asyncio.Queue[None] = field(default_factory=asyncio.Queue)

    async def say(self, *messages: Mapping[str, Any], binary: bool = False) -> None:
        """Several records in one frame."""
        text = "".join(json.dumps(message) + END for message in messages)
        await (self.socket.send_bytes(text.encode()) if binary else self.socket.send_str(text))

    async def report(self, target: str, *arguments: Any, binary: bool = False) -> None:
        """An event."""
        await self.say({"type": 1, "target": target, "arguments": arguments}, binary=binary)

    def subscribed(self) -> list[tuple[str, tuple[Any, ...]]]:
        """Methods and arguments that were called."""
        return [(call["target"], tuple(call["arguments"])) for call in self.calls]


@dataclass
class HubServer:
    """`peers` hands out connections whose subscriptions are complete. The other fields say what goes wrong."""

    expected: int
    url: str = ""
    negotiation: web.Response | None = None
    upgrade_status: list[int] = field(default_factory=list)
    handshake: Mapping[str, Any] = field(default_factory=dict)
    refused: str | None = None
    confirms: bool = True
    before_confirming: list[Mapping[str, Any]] = field(default_factory=list)
    binary: bool = False
    peers: asyncio.Queue[Peer] = field(default_factory=asyncio.Queue)
    negotiations: list[web.Request] = field(default_factory=list)
    upgrades: list[web.Request] = field(default_factory=list)

    async def negotiate(self, request: web.Request) -> web.Response:
        """POST negotiate."""
        self.negotiations.append(request)
        if self.negotiation is not None:
            made = self.negotiation
            return web.Response(status=made.status, body=made.body, headers=made.headers)
        return web.json_response({"negotiateVersion": 1, "connectionId": "c-1", "connectionToken": "t-1"})

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The WebSocket."""
        self.upgrades.append(request)
        if self.upgrade_status:
            # a redirect leads here again
            return web.Response(status=self.upgrade_status.pop(0), headers={"Location": str(request.rel_url)})
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        peer = Peer(socket, request)
        async for frame in socket:
            if frame.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                break
            for text in str(frame.data).split(END)[:-1]:
                await self._take(peer, json.loads(text))
        return socket

    async def _take(self, peer: Peer, message: dict[str, Any]) -> None:
        if "protocol" in message:
            await peer.say(self.handshake, binary=self.binary)
        elif message["type"] == 6:
            peer.pings.put_nowait(None)
        else:
            peer.calls.append(message)
            if len(peer.calls) == self.expected:
                await self._confirm(peer)

    async def _confirm(self, peer: Peer) -> None:
        for message in self.before_confirming:
            await peer.say(message)
        for call in peer.calls if self.confirms else []:
            error = {"error": "no"} if call["target"] == self.refused else {}
            await peer.say({"type": 3, "invocationId": call["invocationId"], **error}, binary=self.binary)
        self.peers.put_nowait(peer)


@asynccontextmanager
async def hub_server(expected: int) -> AsyncIterator[HubServer]:
    """Runs one; `expected`: how many subscriptions make a client complete."""
    server = HubServer(expected)
    app = web.Application()
    app.add_routes([web.post("/hubs/user/negotiate", server.negotiate), web.get("/hubs/user", server.serve)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hubs/user"
    try:
        yield server
    finally:
        await runner.cleanup()
