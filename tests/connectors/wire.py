"""A gateway that shows what was on the wire: it speaks HTTP by hand, counts every request, and answers what a test says."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

Action = Callable[[asyncio.StreamWriter], Awaitable[None]]

ACCOUNT, ACCOUNT_ID = "practice", 7
MNQ_ID = "CON.F.US.MNQ.Z26"
MNQ = {
    "id": MNQ_ID,
    "name": "MNQZ6",
    "description": "Micro E-mini Nasdaq-100: December 2026",
    "tickSize": 0.25,
    "tickValue": 0.5,
    "activeContract": True,
    "symbolId": "F.US.MNQ",
}
LISTED = {
    "id": ACCOUNT_ID,
    "name": "PRACTICE-7",
    "balance": 50_000.5,
    "canTrade": True,
    "isVisible": True,
    "simulated": True,
}
FINE = {"success": True, "errorCode": 0, "errorMessage": None}


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """Its JSON."""
        return json.loads(self.raw)


def status(number: int, body: object = "", **headers: str) -> Action:
    """An answer with this HTTP status; what is not bytes or text becomes JSON."""
    raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()

    async def act(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {number} Said", f"Content-Length: {len(raw)}", "Content-Type: application/json"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + raw)
        await writer.drain()

    return act


def says(**more: Any) -> Action:
    """Success, with more in it."""
    return status(200, {**FINE, **more})


def refuses(code: int, message: str | None = None, **more: Any) -> Action:
    """An errorCode."""
    return status(200, {"success": False, "errorCode": code, "errorMessage": message, **more})


async def drops(writer: asyncio.StreamWriter) -> None:
    """Closes without an answer."""
    writer.close()


async def resets(writer: asyncio.StreamWriter) -> None:
    """Breaks the connection."""
    writer.transport.abort()


async def cuts(writer: asyncio.StreamWriter) -> None:
    """Half an answer, then the end."""
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n{"success": true, "errorCode"')
    await writer.drain()
    writer.close()


async def stalls(writer: asyncio.StreamWriter) -> None:
    """Never answers."""
    await asyncio.Event().wait()


class Wire:
    """Answers by endpoint, such as Order/place: the actions in turn, and the last one for ever."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._actions: dict[str, list[Action]] = {}
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self.on("Auth/loginKey", says(token="token-1"))
        self.on("Account/search", says(accounts=[LISTED]))
        self.on("Contract/search", says(contracts=[MNQ]))

    def on(self, endpoint: str, *actions: Action) -> None:
        """What this endpoint does."""
        self._actions[endpoint] = list(actions)

    def seen(self, endpoint: str) -> list[Request]:
        """The requests that came to it."""
        return [request for request in self.requests if request.path == f"/api/{endpoint}"]

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def start(self) -> None:
        """Listens."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def stop(self) -> None:
        """Ends every connection."""
        assert self._server is not None
        self._server.close()
        for serving in list(self._serving):
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection that is kept, so that a client could use it again."""
        try:
            while not writer.is_closing():
                request = await _read(reader)
                self.requests.append(request)
                actions = self._actions.get(request.path.removeprefix("/api/"), [status(404)])
                await (actions.pop(0) if len(actions) > 1 else actions[0])(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))
