"""The operator's switches: halt, resume and flatten a scope, and what stands."""

import json
from dataclasses import asdict
from typing import Any

from aiohttp import web

from eventrouter.domain.controls import ALL
from eventrouter.errors import ScopeWrong, SignalRefused
from eventrouter.store import controls
from eventrouter.store.connect import Conn
from eventrouter.web.context import CONTEXT, WebContext
from eventrouter.web.guard import error
from eventrouter.web.jsons import respond
from eventrouter.web.viewer import viewer_of

routes = web.RouteTableDef()
LONGEST_REASON = 1000


@routes.get("/api/controls")
async def standing(request: web.Request) -> web.Response:
    """{"standing": the latest row of each scope, "history": the latest rows of all, newest first}."""
    async with request.app[CONTEXT].desk() as conn:
        return respond({"standing": await controls.standings(conn), "history": await controls.history(conn)})


@routes.get("/api/controls/{control:[0-9]{1,18}}")
async def one(request: web.Request) -> web.Response:
    """One row; of a flattening also how far each account is, under `accounts`."""
    number = int(request.match_info["control"])
    context = request.app[CONTEXT]
    async with context.desk() as conn:
        row = await control_of(context, conn, number)
    if row is None:
        return error(404, "CONTROL_UNKNOWN", f"There is no control {number}.")
    return respond(row)


async def control_of(context: WebContext, conn: Conn, number: int) -> controls.Row | None:
    """One row of controls, or None; of a flattening also how far each account is, under `accounts`."""
    found = await controls.history(conn, before=number + 1, limit=1)
    if not found or found[0]["id"] != number:
        return None
    row = found[0]
    if row["action"] == "flatten":
        names = [each.name for each in context.config.accounts]
        row["accounts"] = await controls.flattening(conn, number, row["scope"], names)
    return row


@routes.post("/api/halt")
async def halt(request: web.Request) -> web.Response:
    """{"scope", "reason", "reduce"}: denies what opens from now on; answers with what is in flight and what works."""
    body = await _body(request)
    if not isinstance(body.get("reduce", False), bool):
        return error(422, "FIELD_WRONG", "reduce must be true or false.", field="reduce")
    return await _set(request, body, "reduce" if body.get("reduce") else "halt")


@routes.post("/api/resume")
async def resume(request: web.Request) -> web.Response:
    """{"scope", "reason"}: ends a halt of exactly this scope, and withdraws a flattening of it that is not done."""
    return await _set(request, await _body(request), "resume")


@routes.post("/api/flatten")
async def flatten(request: web.Request) -> web.Response:
    """{"scope", "reason"}: asks the routers to flatten; its progress and proof are at /api/controls/{id}."""
    return await _set(request, await _body(request), "flatten")


async def _set(request: web.Request, body: dict[str, Any], action: str) -> web.Response:
    scope, reason = body.get("scope", ALL), body.get("reason")
    control = await set_by(request, action, scope, reason, actor=viewer_of(request).actor("api"))
    return respond(asdict(control))


async def set_by(request: web.Request, action: str, scope: object, reason: object, *, actor: str) -> controls.Control:
    """Carries out what a request asks for: halt, reduce, resume or flatten. Raises SignalRefused, which names the field."""
    if reason is not None and not (isinstance(reason, str) and _storable(reason, LONGEST_REASON)):
        raise SignalRefused("FIELD_WRONG", f"reason must be a text of at most {LONGEST_REASON} characters.", "reason")
    context = request.app[CONTEXT]
    async with context.desk() as conn:
        known = await scope_known(context, conn, scope, action)
        return await controls.set_control(conn, known, action, actor, reason)


async def scope_known(context: WebContext, conn: Conn, scope: object, action: str) -> str:
    """The scope as it is known for this action. Raises SignalRefused SCOPE_WRONG, which says what there is instead."""
    if not isinstance(scope, str) or not _storable(scope, 200):
        raise SignalRefused("SCOPE_WRONG", "scope must be all, account:NAME or strategy:NAME.", "scope")
    config = context.config
    accounts, strategies = [each.name for each in config.accounts], [each.name for each in config.strategies]
    try:
        return await controls.known_scope(conn, scope, action, accounts=accounts, strategies=strategies)
    except ScopeWrong as wrong:
        raise SignalRefused("SCOPE_WRONG", str(wrong), "scope") from None


def _storable(text: str, most: int) -> bool:
    return len(text) <= most and "\0" not in text and text.encode("utf-8", "replace").decode() == text


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read() or b"{}")
    except (ValueError, RecursionError):
        raise web.HTTPBadRequest(reason="The body is not JSON") from None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(reason="The body must be a JSON object")
    return body
