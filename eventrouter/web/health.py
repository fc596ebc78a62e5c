"""/healthz: this process is alive. /readyz: it can do its work."""

import asyncio
from typing import Any

from aiohttp import web

from eventrouter.errors import StoreError
from eventrouter.store.connect import guard_level, missing_migrations
from eventrouter.web.answers import Health, Readiness
from eventrouter.web.context import CONTEXT, WebContext
from eventrouter.web.described import described
from eventrouter.web.jsons import respond
from eventrouter.web.viewer import for_everybody, viewer_of, without_login

_ANSWER_WITHIN_S = 3.0


@for_everybody
@described(Health)
async def healthz(request: web.Request) -> web.Response:
    """Always 200 while the process answers; `listener` says whether notifications arrive (the poll works without them)."""
    context = request.app[CONTEXT]
    return respond({"status": "ok", "listener": _listener(context), "spool": _spool(context)})


@without_login
@described(Readiness, more={503: Readiness})
async def readyz(request: web.Request) -> web.Response:
    """200 when the database answers with this version's schema and an account's broker can be used, else 503.

    `guard` says how far the service is held back, `connections` for each login and its accounts whether the broker takes
    them, or why not. An account that cannot trade takes nothing from the others: only where none can, nothing is ready.
    `alerts`: how the last message to each receiver ended. Who is not signed in learns only `status`.
    """
    context = request.app[CONTEXT]
    state: dict[str, Any] = {
        "status": "ready",
        "database": "ok",
        "listener": _listener(context),
        "spool": _spool(context),
        "connections": "not here" if context.connections is None else dict(context.connections()),
        "alerts": {"state": "off"} if context.alerts is None else dict(context.alerts()),
    }
    try:
        async with asyncio.timeout(_ANSWER_WITHIN_S), context.desk() as conn:
            state["guard"] = await guard_level(conn)
            missing = await missing_migrations(conn)
    except (StoreError, TimeoutError):
        state |= {"status": "not ready", "database": "cannot be reached"}
        return _answer(state, known=viewer_of(request).is_known)
    if missing:
        state |= {"status": "not ready", "database": f"lacks {', '.join(missing)}: run eventrouter migrate"}
    if _cut_off(context):
        state["status"] = "not ready"
    if context.stopping.is_set():
        state["status"] = "stopping"
    return _answer(state, known=viewer_of(request).is_known)


def _listener(context: WebContext) -> str:
    if context.listener_healthy is None:
        return "not here"
    return "up" if context.listener_healthy() else "down"


def _cut_off(context: WebContext) -> bool:
    """Whether a router runs here and none of its accounts' brokers can be used."""
    connections = [] if context.connections is None else list(context.connections().values())
    return bool(connections) and not any(each["state"] in ("open", "partly") for each in connections)


def _spool(context: WebContext) -> dict[str, object]:
    return context.ingest.spool_state if context.ingest is not None else {"state": "not here", "alerts": 0}


def _answer(state: dict[str, Any], *, known: bool) -> web.Response:
    ready = state["status"] == "ready"
    response = respond(state if known else {"status": state["status"]}, status=200 if ready else 503)
    if not ready:
        response.headers["Retry-After"] = "5"
    return response
