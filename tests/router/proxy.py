"""A man in the middle of a PostgreSQL connection, who can keep what the server says to himself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_NOTIFICATION = b"A"


class Proxy:
    """Stands before a server's socket; `dsn` leads through it. Later connections come after earlier ones."""

    def __init__(self, dsn: str, server: str) -> None:
        self.dsn = dsn
        self._server = server
        self.connections: list[Connection] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        to_client = Connection(writer)
        self.connections.append(to_client)
        upstream_reader, upstream = await asyncio.open_unix_connection(self._server)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_forward(reader, upstream))
                group.create_task(to_client.forward(upstream_reader))
        finally:
            upstream.close()
            writer.close()


class Connection:
    """What the server says on one connection. `deaf`: notifications are lost, all else passes; `mute`: nothing passes."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self._client = client
        self.deaf = False
        self.mute = False
        self.swallowed = 0

    async def forward(self, server: asyncio.StreamReader) -> None:
        """Message by message, as far as it may pass."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await server.readexactly(5)
                body = await server.readexactly(int.from_bytes(head[1:], "big") - 4)
                if self.mute or (self.deaf and head[:1] == _NOTIFICATION):
                    self.swallowed += 1
                    continue
                self._client.write(head + body)
                await self._client.drain()
        self.cut()

    def cut(self) -> None:
        """Ends the connection."""
        self._client.close()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def proxied(dsn: str, directory: Path) -> AsyncIterator[Proxy]:
    """A way to the same database through a proxy."""
    known = conninfo_to_dict(dsn)
    socket = f".s.PGSQL.{known.get('port') or 5432}"
    proxy = Proxy(make_conninfo(dsn, host=str(directory)), f"{known['host']}/{socket}")
    async with await asyncio.start_unix_server(proxy.serve, directory / socket):
        yield proxy
