"""/metrics: what this process counted, and figures of the database that are read once for all who ask within a few seconds."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from eventrouter.errors import StoreError
from eventrouter.logs import get_logger
from eventrouter.metrics import CONTENT_TYPE, Metrics
from eventrouter.store.metrics_facts import figures
from eventrouter.web.context import CONTEXT, WebContext
from eventrouter.web.described import described

_READ_WITHIN_S = 3.0
_FRESH_S = 5.0
_STOP_WITHIN_S = 1.0
_log = get_logger("eventrouter.web")


class Reading:
    """Reads the figures for any number of scrapes at once: one transaction, on one connection, at most every `fresh_s` seconds.

    A reading that hangs is left to itself, because a driver that waits for a frozen server cannot be cancelled; until it ends
    there is no second one, and the database counts as away.
    """

    def __init__(self, *, fresh_s: float = _FRESH_S) -> None:
        self._fresh_s = fresh_s
        self._began_at = self._read_at = float("-inf")
        self._running: asyncio.Task[None] | None = None

    async def refresh(self, context: WebContext) -> None:
        """Brings context.metrics up to date. A database that is away costs a scrape at most three seconds, and is shown as away."""
        now = time.monotonic()
        if self._running is None:
            if now - self._read_at < self._fresh_s:
                return
            self._began_at = now
            self._running = asyncio.create_task(self._read(context), name="metrics")
        await asyncio.wait([self._running], timeout=max(0.0, self._began_at + _READ_WITHIN_S - now))
        if self._running is not None:
            context.metrics.show(None)

    async def stop(self, _: web.Application) -> None:
        """Ends a reading that runs; one that hangs ends with its connection."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running], timeout=_STOP_WITHIN_S)

    async def _read(self, context: WebContext) -> None:
        try:
            async with context.desk() as conn:
                found = await figures(conn, [account.name for account in context.config.accounts])
        except StoreError as error:
            _log.warning("metrics_not_read", error=str(error))
            context.metrics.store_errors.labels("metrics").inc()
            context.metrics.show(None)
        else:
            context.metrics.show(found)
        finally:
            self._read_at = time.monotonic()
            context.metrics.figures_read_seconds.set(self._read_at - self._began_at)
            self._running = None


READING = web.AppKey("reading", Reading)


@described(None, media="text/plain")
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
