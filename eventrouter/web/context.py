"""What the handlers need, put together by app.py and kept under one typed key."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from eventrouter.config import Config
from eventrouter.errors import StoreUnavailable
from eventrouter.ingest import SignalIngest
from eventrouter.metrics import Metrics
from eventrouter.store.connect import Conn, Pool, session
from eventrouter.web.logins import Guesses, Passwords
from eventrouter.web.sources import Sources
from eventrouter.web.tokens import TokenCache


@dataclass(slots=True)
class WebContext:
    """`listener_healthy` and `connections` (name → how its broker stands) are None where no router runs in this process, `alerts` (how
    telling people goes) where nobody is told.
    """

    config: Config
    metrics: Metrics
    desk_pool: Pool | None = None
    ingest: SignalIngest | None = None
    tokens: TokenCache | None = None
    listener_healthy: Callable[[], bool] | None = None
    connections: Callable[[], Mapping[str, Mapping[str, Any]]] | None = None
    alerts: Callable[[], Mapping[str, object]] | None = None
    operator_hosts: frozenset[str] = frozenset()
    guesses: Guesses = field(default_factory=Guesses)
    passwords: Passwords = field(default_factory=Passwords)
    sources: Sources = field(default_factory=Sources)
    feed_clients: set[object] = field(default_factory=set)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def pool(self) -> Pool:
        """The desk's pool. Raises StoreUnavailable while the service is still starting."""
        if self.desk_pool is None:
            raise StoreUnavailable("desk: the service is still starting.")
        return self.desk_pool

    @asynccontextmanager
    async def desk(self) -> AsyncIterator[Conn]:
        """A connection for reading, from a small pool of its own."""
        async with session(self.pool(), "desk") as conn:
            yield conn


CONTEXT = web.AppKey("context", WebContext)
