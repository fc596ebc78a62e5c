"""A running service as its senders and its operator see it: over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession, ClientTimeout, TCPConnector

from eventrouter.app import Listeners, Service, listen
from eventrouter.config import Address, Config
from eventrouter.store.tokens import add_token
from tests.web import documented

ENTRY = {
    "kind": "ENTRY",
    "trade_id": "T-100",
    "symbol": "MNQ1!",
    "direction": "SHORT",
    "entry_price": 21040.75,
    "stop_loss": 21061.25,
    "session": "LONDON",
    "bias": "Bearish",
}
EXIT = {"kind": "EXIT", "trade_id": "T-100", "exit_type": "BE", "exit_price": 21040.75, "final_be_mfe": 2.25}


def configuration(dsn: str, **sections: Any) -> Config:
    """The defaults on this database, on free ports and without a spool, changed where a section says so."""
    server = {"public": "127.0.0.1:0", "operator": "127.0.0.1:0", "spool": False, **sections.pop("server", {})}
    database = {"dsn": dsn, **sections.pop("database", {})}
    return Config.model_validate({"server": server, "database": database, **sections})


@dataclass
class Site:
    """A service that runs and listens."""

    service: Service
    listeners: Listeners
    session: ClientSession

    @property
    def public_address(self) -> Address:
        """Where alerts go."""
        assert self.listeners.public is not None
        return self.listeners.public

    def public(self, path: str) -> str:
        """A URL of the public listener."""
        return f"http://{self.public_address}{path}"

    def operator(self, path: str) -> str:
        """A URL of the operator listener."""
        return f"http://{self.listeners.operator}{path}"

    async def token(self, strategy: str = "orb") -> str:
        """A new webhook token."""
        assert self.service.opened is not None
        async with await self.service.opened.database.connect("test") as conn:
            return await add_token(conn, strategy)

    async def alert(self, token: str, body: Mapping[str, Any] | bytes, **more: Any) -> tuple[int, dict[str, Any]]:
        """Posts an alert; the answer's status and JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.post(self.public(f"/webhook/{token}"), data=raw, **more) as answer:
            await documented.check(answer)
            return answer.status, await answer.json()

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Status and JSON of a page of the operator's."""
        async with self.session.get(self.operator(path), headers=headers) as answer:
            await documented.check(answer)
            return answer.status, await answer.json()

    async def act(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON of an operator's POST."""
        async with self.session.post(self.operator(path), json=body or {}, headers=headers) as answer:
            await documented.check(answer)
            return answer.status, await answer.json()

    async def stop(self) -> None:
        """Stops as the command line does it."""
        self.service.context.stopping.set()
        await self.listeners.close()
        await self.service.stop()


@asynccontextmanager
async def running(config: Config, *, with_router: bool = True) -> AsyncIterator[Site]:
    """A service with this configuration, for as long as the block lasts."""
    service = Service(config, with_router=with_router)
    await service.start()
    try:
        listeners = await listen(service)
        connector = TCPConnector(limit=0)
        async with ClientSession(connector=connector, timeout=ClientTimeout(total=60)) as session:
            site = Site(service, listeners, session)
            try:
                yield site
            finally:
                await site.stop()
    finally:
        await service.stop()


async def exchange(address: Address, request: bytes) -> tuple[int, bytes]:
    """Sends bytes as they are; the answer's status, and everything that came until the server closed the connection."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        writer.write(request)
        await writer.drain()
        answer = await reader.read()
        return int(answer.split(b" ", 2)[1]), answer
    finally:
        writer.close()
        await writer.wait_closed()


def request(path: str, body: bytes = b"", **headers: bytes) -> bytes:
    """A POST as bytes, with header values that no client library would send; `_` in a name stands for `-`."""
    length = {"Content_Length": str(len(body)).encode()}
    lines = [f"{name.replace('_', '-')}: ".encode() + value for name, value in {**length, **headers}.items()]
    head = [f"POST {path} HTTP/1.1".encode(), b"Host: localhost", b"Connection: close", *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body
