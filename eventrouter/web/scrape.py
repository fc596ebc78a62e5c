"""/metrics: what this process counted, and figures of the database that are read once for all who ask within a few seconds."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from eventrouter.errors import StoreError
from eventrouter.metrics import CONTENT_TYPE, Metrics
from eventrouter.store.metrics_facts import figures
from eventrouter.web.context import CONTEXT, WebContext

_READ_WITHIN_S = 3.0
_FRESH_S = 5.0


class Reading:
    """Reads the figures for any number of scrapes at once: one transaction, on one connection, at most every `fresh_s` seconds."""

    def __init__(self, *, fresh_s: float = _FRESH_S) -> None:
        self._fresh_s = fresh_s
        self._read_at = float("-inf")
        self._running = asyncio.Lock()

    async def refresh(self, context: WebContext) -> None:
        """Brings context.metrics up to date. A database that is away costs a scrape at most three seconds, and is shown as away."""
        async with self._running:
            if time.monotonic() - self._read_at < self._fresh_s:
                return
            began = time.monotonic()
            try:
                async with asyncio.timeout(_READ_WITHIN_S), context.desk() as conn:
                    found = await figures(conn, [account.name for account in context.config.accounts])
            except (StoreError, TimeoutError):
                context.metrics.store_errors.labels("metrics").inc()
                context.metrics.show(None)
            else:
                context.metrics.show(found)
            self._read_at = time.monotonic()
            context.metrics.figures_read_seconds.set(self._read_at - began)


READING = web.AppKey("reading", Reading)


async def metrics(request: web.Request) -> web.Response:
    """Prometheus text. Answers also while Postgres is away: then `eventrouter_database_up` is 0 and its figures are missing."""
    context = request.app[CONTEXT]
    await request.app[READING].refresh(context)
    if context.connections is not None:
        _show_connections(context.metrics, context.connections())
    return web.Response(body=context.metrics.render(), headers={"Content-Type": CONTENT_TYPE})


def _show_connections(shown: Metrics, connections: Mapping[str, Mapping[str, Any]]) -> None:
    for name, standing in connections.items():
        shown.connection_up.labels(name).set(standing["state"] in ("open", "partly"))
        shown.circuit_open.labels(name).set(standing["circuit"] != "closed")
        for account, link in standing["accounts"].items():
            shown.account_up.labels(account).set(link["state"] == "open")
