"""A client below HTTP, which sends any bytes at any pace, and sees when it is closed."""

import asyncio
import json
import re
from contextlib import suppress

from tests.processes import PATIENCE_S
from tests.web.live_site import ENTRY, request

HALF = b"POST /webhook/x HTTP/1.1\r\nHost: localhost\r\nContent-"


def alert_to(token: str, trade_id: str = "T-1") -> bytes:
    """An alert after which the connection stays open."""
    body = json.dumps({**ENTRY, "trade_id": trade_id}).encode()
    return request(f"/webhook/{token}", body).replace(b"Connection: close\r\n", b"")


class RawClient:
    """A connection and what came over it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._dripping: asyncio.Task[None] | None = None

    @property
    def open(self) -> bool:
        """Whether the server has not closed it."""
        return not self._reader.at_eof() and self._reader.exception() is None

    async def send(self, data: bytes) -> None:
        """Sends."""
        self._writer.write(data)
        await self._writer.drain()

    def drip(self, byte: bytes) -> None:
        """Goes on sending this byte until the connection is closed."""

        async def dripping() -> None:
            with suppress(ConnectionError):
                while True:
                    await self.send(byte)
                    await asyncio.sleep(0.1)

        self._dripping = asyncio.create_task(dripping())

    async def answer(self) -> int:
        """The status of the next answer, which is read to its end."""
        async with asyncio.timeout(PATIENCE_S):
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            assert length is not None
            await self._reader.readexactly(int(length[1]))
        return int(head.split()[1])

    async def rest(self) -> bytes:
        """Everything until the server closes the connection."""
        with suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                return await self._reader.read()
        return b""

    def close(self) -> None:
        """Goes away without a word."""
        if self._dripping is not None:
            self._dripping.cancel()
        self._writer.transport.abort()
