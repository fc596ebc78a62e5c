"""How the brokers of accounts stand, as the routers that claim them found it last."""

from collections.abc import Mapping
from typing import Any

from eventrouter.domain.links import Link
from eventrouter.store.connect import Conn, translated
from eventrouter.store.files import query


async def note_connections(conn: Conn, router: str, connection: str, mode: str, links: Mapping[str, Link]) -> None:
    """Writes down how a router's accounts of one connection stand. `links`: account → its link; nothing in it is secret."""
    values: dict[str, Any] = {
        "router": router,
        "connection": connection,
        "mode": mode,
        "accounts": list(links),
        "states": [str(link.state) for link in links.values()],
        "codes": [link.code for link in links.values()],
        "messages": [link.message for link in links.values()],
    }
    async with translated("connections"):
        await conn.execute(query("note_connections"), values)


async def forget_connections(conn: Conn, router: str) -> None:
    """Removes what a router said: it stops."""
    async with translated("connections"):
        await conn.execute(query("forget_connections"), {"router": router})
