"""The operator's switches: halt, resume and flatten a scope, and what stands."""

from dataclasses import asdict

from aiohttp import web

from eventrouter.errors import ScopeWrong, SignalRefused
from eventrouter.store import controls
from eventrouter.store.connect import Conn
from eventrouter.web.answers import Standings, StandingSet, StandingWithProgress
from eventrouter.web.asked import HaltAsked, ScopeAsked
from eventrouter.web.context import CONTEXT, WebContext
from eventrouter.web.described import described
from eventrouter.web.guard import error
from eventrouter.web.jsons import respond
from eventrouter.web.reading import body
from eventrouter.web.viewer import viewer_of

routes = web.RouteTableDef()
_REFUSED = {422: ("SCOPE_WRONG",)}
LONGEST_REASON = 1000


@routes.get("/api/controls")
@described(Standings)
async def standing(request: web.Request) -> web.Response:
    """What is halted, reduced or being flattened, and what was before."""
    async with request.app[CONTEXT].desk() as conn:
        return respond({"standing": await controls.standings(conn), "history": await controls.history(conn)})


@routes.get("/api/controls/{control:[0-9]{1,18}}")
@described(StandingWithProgress, refused={404: ("CONTROL_UNKNOWN",)})
async def control(request: web.Request) -> web.Response:
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
@described(StandingSet, body=HaltAsked, refused=_REFUSED)
async def halt(request: web.Request) -> web.Response:
    """Denies what opens from now on; answers with what is in flight and what works."""
    asked = await body(request, HaltAsked)
    return await _set(request, asked, "reduce" if asked.reduce else "halt")


@routes.post("/api/resume")
@described(StandingSet, body=ScopeAsked, refused=_REFUSED)
async def resume(request: web.Request) -> web.Response:
    """Ends a halt of exactly this scope, and withdraws a flattening of it that is not done."""
    return await _set(request, await body(request, ScopeAsked), "resume")


@routes.post("/api/flatten")
@described(StandingSet, body=ScopeAsked, refused=_REFUSED)
async def flatten(request: web.Request) -> web.Response:
    """Asks the routers to flatten; its progress and proof are at /api/controls/{control}."""
    return await _set(request, await body(request, ScopeAsked), "flatten")


async def _set(request: web.Request, asked: ScopeAsked, action: str) -> web.Response:
    actor = viewer_of(request).actor(asked.actor)
    return respond(asdict(await set_by(request, action, asked.scope, asked.reason, actor=actor)))


async def set_by(
    request: web.Request, action: str, scope: object, reason: object, *, actor: str, seen: int | None = None
) -> controls.Control:
    """Carries out what a request asks for: halt, reduce, resume or flatten. Raises SignalRefused, which names the field.

    `seen`: the latest control of the scope that was looked at, 0 for none; raises MovedOn where there is a later one by now.
    """
    if reason is not None and not (isinstance(reason, str) and _storable(reason, LONGEST_REASON)):
        raise SignalRefused("FIELD_WRONG", f"reason must be a text of at most {LONGEST_REASON} characters.", "reason")
    context = request.app[CONTEXT]
    async with context.desk() as conn:
        known = await scope_known(context, conn, scope, action)
        return await controls.set_control(conn, known, action, actor, reason, seen=seen)


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
