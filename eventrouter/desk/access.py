"""Signing in and out: by password, by a one-time link; and errors as pages for who looks with a browser."""

import json
import math
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from eventrouter.desk.render import page
from eventrouter.logs import get_logger
from eventrouter.store import access
from eventrouter.web.access import (
    DOOR,
    csrf_of,
    drop_session,
    is_local,
    session_token,
    set_session,
    wants_page,
)
from eventrouter.web.context import CONTEXT
from eventrouter.web.guard import error
from eventrouter.web.reading import json_object
from eventrouter.web.viewer import BASE, Viewer, set_viewer, viewer_of, without_login

_log = get_logger("eventrouter.desk")
_FORM_TOKEN = web.RequestKey("form_token", str)
routes = web.RouteTableDef()
_HEADINGS = {401: "Sign in first", 403: "Refused", 404: "There is nothing here", 421: "Unknown name", 503: "Not now"}


@routes.get("/login")
@without_login
async def login(request: web.Request) -> web.Response:
    """The form; who is signed in already goes on."""
    if viewer_of(request).how in ("session", "proxy"):
        return _see(_next(request.query.get("next"), request))
    return await _form(request)


@routes.post("/login")
@without_login
async def sign_in(request: web.Request) -> web.Response:
    """name, password, next: a new session and its cookie, or the form again: 401, or 429 after too many wrong ones."""
    context = request.app[CONTEXT]
    given = await _given(request)
    name, password = given.get("name", "").strip(), given.get("password", "")
    source = context.sources.origin(request.remote, request.headers.getall("X-Forwarded-For", []))
    wait = context.guesses.wait_s(source, name)
    if wait:
        minutes = max(1, math.ceil(wait / 60))
        _log.warning("sign_in_limited", source=source)
        said = f"Too many wrong passwords. Try again in {minutes} minute{'s' if minutes > 1 else ''}."
        answer = await _form(request, said, name=name, status=429)
        answer.headers["Retry-After"] = str(math.ceil(wait))
        return answer
    token = await _proven(request, name, password)
    if token is None:
        _log.warning("sign_in_refused", name=await _known(request, name), source=source)
        return await _form(request, "The name or the password is wrong.", name=name, status=401)
    context.guesses.forgive(source, name)
    _log.info("signed_in", name=name, source=source)
    return await _enter(request, token, given.get("next"))


@routes.get("/login/once")
@without_login
async def link(request: web.Request) -> web.Response:
    """What a one-time link opens: a button, so that a program that looks at links does not use it up."""
    answer = page(_with_token(request), "once.html", link=request.query.get("token", ""))
    return _keep_token(request, answer)


@routes.post("/login/once")
@without_login
async def use_link(request: web.Request) -> web.Response:
    """token: a new session and its cookie; 401 when the link is used or has ended."""
    context, given = request.app[CONTEXT], await _given(request)
    async with context.desk() as conn:
        found = await access.open_link(conn, given.get("token", ""), context.config.access.session_lasts)
    if found is None:
        said = "This link was used already, or is older than ten minutes. For a new one: eventrouter user link NAME"
        return await _form(request, said, status=401)
    _log.info("signed_in", name=found[0], source=request.remote, by="link")
    return await _enter(request, found[1], None)


@routes.post("/logout")
@without_login
async def sign_out(request: web.Request) -> web.Response:
    """Ends the session, here and in the database."""
    token = session_token(request)
    if token and viewer_of(request).how == "session":
        async with request.app[CONTEXT].desk() as conn:
            await access.end_session(conn, token)
        _log.info("signed_out", name=viewer_of(request).name)
    answer = _see(f"{request.app[BASE]}/login")
    drop_session(answer)
    return answer


@web.middleware
async def as_page(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Shows an error as a page to somebody who looks with a browser; scripts get its JSON."""
    response = await handler(request)
    if response.status < 400 or response.content_type != "application/json" or not wants_page(request):
        return response
    if not isinstance(response, web.Response) or "fragment" in request.query:
        return response
    try:
        said = json.loads(response.text or "")["message"]
    except (ValueError, KeyError, TypeError):
        return response
    heading = _HEADINGS.get(response.status, "That did not work")
    shown = page(request, "message.html", status=response.status, heading=heading, text=said)
    for name in ("Retry-After", "Allow", "WWW-Authenticate"):
        if name in response.headers:
            shown.headers[name] = response.headers[name]
    return shown


async def _proven(request: web.Request, name: str, password: str) -> str | None:
    """A new session's token for the right password, else None; a wrong name takes as long as a wrong password."""
    context = request.app[CONTEXT]
    async with context.desk() as conn:
        known = await access.password_of(conn, name) if access.is_name(name) else None
    if not await context.passwords.matches(known[1] if known else None, password) or known is None:
        return None
    who, stored = known
    newer = await context.passwords.renewed(stored, password)
    async with context.desk() as conn:
        if newer:
            await access.rehash(conn, who, stored, newer)
        return await access.open_session(conn, who, newer or stored, context.config.access.session_lasts)


async def _known(request: web.Request, name: str) -> str | None:
    """The name where somebody has it: what else is typed there may be a password, and belongs into no log."""
    async with request.app[CONTEXT].desk() as conn:
        known = await access.password_of(conn, name) if access.is_name(name) else None
    return known[0] if known else None


async def _enter(request: web.Request, token: str, target: str | None) -> web.Response:
    """Goes on with a new session; one that the browser had before ends."""
    before = session_token(request)
    if before and viewer_of(request).how == "session":
        async with request.app[CONTEXT].desk() as conn:
            await access.end_session(conn, before)
    answer = _see(_next(target, request))
    set_session(request, answer, token)
    return answer


async def _form(request: web.Request, fault: str = "", *, name: str = "", status: int = 200) -> web.Response:
    if fault and request.content_type == "application/json":
        return error(status, "TOO_MANY_GUESSES" if status == 429 else "LOGIN_WRONG", fault)
    asked = request.query.get("next") if request.method == "GET" else (await _given(request)).get("next")
    needed = await request.app[DOOR].login_needed(request.app[CONTEXT])
    values: dict[str, Any] = {
        "fault": fault,
        "name": name[:64],
        "next": asked or "",
        "needed": needed,
        "local": is_local(request),
    }
    return _keep_token(request, page(_with_token(request), "login.html", status=status, **values))


def _with_token(request: web.Request) -> web.Request:
    """The form of somebody who is not known needs a token too: it belongs to a cookie that is no session yet."""
    viewer = viewer_of(request)
    if not viewer.csrf:
        token = request[_FORM_TOKEN] = access.new_token()
        set_viewer(request, Viewer(viewer.name, viewer.role, csrf_of(token), viewer.how))
    return request


def _keep_token(request: web.Request, answer: web.Response) -> web.Response:
    if token := request.get(_FORM_TOKEN):
        set_session(request, answer, token)
    return answer


async def _given(request: web.Request) -> dict[str, str]:
    """The fields of a form, or of a JSON object, that are texts."""
    if request.content_type != "application/json":
        return {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    return {name: value for name, value in (await json_object(request)).items() if isinstance(value, str)}


def _next(asked: str | None, request: web.Request) -> str:
    """Where to go after signing in: an address of this desk, never one of another host."""
    home = f"{request.app[BASE]}/"
    if (
        not asked
        or not asked.startswith(home)
        or asked.startswith("//")
        or not asked.isascii()
        or not asked.isprintable()
    ):
        return home
    parts = urlsplit(asked)
    return home if parts.netloc or parts.scheme or "\\" in asked else asked


def _see(address: str) -> web.Response:
    return web.Response(status=303, headers={"Location": address})
