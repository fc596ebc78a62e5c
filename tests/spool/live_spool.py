"""A service with a spool, as its senders and its operator see it, and what it stored."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg

from eventrouter.spool import Spool
from eventrouter.store.connect import Database, identity
from tests.processes import until_async
from tests.web.live_site import ENTRY, Site, configuration, running


@asynccontextmanager
async def spooling(
    dsn: str, place: Path, *, with_router: bool = False, **sections: Any
) -> AsyncIterator[tuple[Site, str]]:
    """A service with a spool below `place`, and a token of the strategy orb that it knows."""
    config = configuration(dsn, server={"spool": True, "spool_dir": str(place)}, **sections)
    async with running(config, with_router=with_router) as site:
        token = await site.token()
        assert (await site.alert(token, {**ENTRY, "trade_id": "first"}))[0] == 200
        yield site, token


def entry(trade_id: str) -> dict[str, Any]:
    """An entry of this trade."""
    return {**ENTRY, "trade_id": trade_id}


async def spool_of(site: Site) -> dict[str, Any]:
    """What /healthz says about the spool."""
    async with site.session.get(site.public("/healthz")) as answer:
        state: dict[str, Any] = (await answer.json())["spool"]
        return state


async def spool_for(dsn: str, place: Path) -> Spool:
    """The spool of this database below `place`, while no service has it."""
    async with await Database(dsn).connect("test") as conn:
        return Spool(place, f"{await identity(conn)}.public")


async def drained(site: Site) -> None:
    """Returns when nothing waits in the spool."""

    async def empty() -> bool:
        return await spool_of(site) == {"state": "empty", "alerts": 0}

    await until_async(empty, within_s=20, what="an empty spool")


def rows(dsn: str, columns: str, table: str = "automated_signals") -> list[tuple[Any, ...]]:
    """These columns of every row, in order of storing."""
    with psycopg.connect(dsn) as conn:
        return conn.execute(f"SELECT {columns} FROM {table} ORDER BY id").fetchall()  # type: ignore[arg-type, call-overload, no-any-return, unused-ignore]


def files(place: Path) -> list[str]:
    """The names of all files below a directory."""
    return sorted(path.name for path in place.rglob("*") if path.is_file())


def content_of(place: Path) -> str:
    """What stands in the segments below a directory."""
    return "".join(path.read_text() for path in place.rglob("*.spool"))


def figures(site: Site, *names: str) -> list[float]:
    """The values of metrics without labels."""
    values = dict(line.rsplit(" ", 1) for line in site.service.metrics.render().decode().splitlines())
    return [float(values[f"eventrouter_{name}"]) for name in names]
