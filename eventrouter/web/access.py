"""Who may reach the operator's listener: a Host that is ours, no other site's page, somebody who is known, and who may change things."""

import asyncio
import hashlib
import hmac
import ipaddress
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from eventrouter.errors import StoreError, StoreUnavailable
from eventrouter.store import access
from eventrouter.web.context import CONTEXT, WebContext
from eventrouter.web.guard import error
from eventrouter.web.viewer import (
    BASE,
    NOBODY,
    Viewer,
    is_for_everybody,
    needs_login,
    needs_operate,
    set_viewer,
    viewer_of,
)

COOKIE, SECURE_COOKIE = "eventrouter", "__Host-eventrouter"
FORM = "application/x-www-form-urlencoded"
_SAFE = ("GET", "HEAD", "OPTIONS")
_FORWARDED = (
    "Forwarded",
    "Via",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "CF-Connecting-IP",
)
_TOKEN = re.compile(r"[\w-]{20,64}", re.ASCII)
_NAME_OF_PROXY = re.compile(r"[\w.@+ -]{1,100}")
_ANSWER_WITHIN_S = 2.0
_CHECK_EVERY_S = 5.0
_LAST_CHECK = web.RequestKey("checked_at", float)


@dataclass(slots=True)
class Door:
    """What is known of who may sign in, and a secret for the tokens of those who have no session here."""

    secret: str = field(default_factory=secrets.token_hex)
    needed: bool | None = None

    async def login_needed(self, context: WebContext) -> bool:
        """Whether somebody could sign in, and so has to. While Postgres is away that is what it was before.

        Raises StoreUnavailable when it was never known.
        """
        if context.config.access.sso_header:
            return True
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S), context.desk() as conn:
                self.needed = await access.login_needed(conn)
        except (StoreError, TimeoutError):
            if self.needed is None:
                raise StoreUnavailable("access: Postgres cannot be reached.") from None
        return self.needed


DOOR = web.AppKey("door", Door)


async def look_first(app: web.Application) -> None:
    """Finds out before the first request whether a login is needed: it may come when Postgres is away."""
    with suppress(StoreError):
        await app[DOOR].login_needed(app[CONTEXT])


@web.middleware
async def admitted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lets a request through to its handler, or says why not. What follows finds out who it is with viewer_of(request)."""
    if refused := _out_of_place(request) or _coded(request):
        return refused
    called = request.match_info.handler
    if is_for_everybody(called):
        return await handler(request)
    found = await _identified(request, called)
    if isinstance(found, web.StreamResponse):
        return found
    set_viewer(request, found)
    if request.match_info.http_exception is not None:  # no such address or method: nothing can be changed there
        return await handler(request)
    if request.method not in _SAFE and (refused := await _not_changed(request, found, called)):
        return refused
    return await handler(request)


def _out_of_place(request: web.Request) -> web.Response | None:
    """Keeps other sites' pages out: the Host must be ours (DNS rebinding), and a request from a page must come from us."""
    host = _host_of(f"//{request.host}") if "@" not in request.host else ""
    if not (host == "localhost" or _is_loopback(host) or host.lower() in request.app[CONTEXT].operator_hosts):
        return error(
            421, "HOST_UNKNOWN", f"{host[:100]!r} is no name of this service: add it to [server] operator_hosts."
        )
    origin = request.headers.get("Origin")
    if origin is not None and _netloc_of(origin) != request.host.lower():
        return error(403, "ORIGIN_FOREIGN", "This request comes from another site's page.")
    if request.method not in _SAFE and request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        return error(403, "ORIGIN_FOREIGN", "This request comes from another site's page.")
    return None


def _coded(request: web.Request) -> web.Response | None:
    """Refuses a compressed body before it is read: nobody who is not known yet may have it unpacked."""
    coding = request.headers.get("Content-Encoding", "").strip().lower()
    if coding in ("", "identity"):
        return None
    answer = error(400, "BODY_CODED", "Send the body as it is, without Content-Encoding.")
    answer.force_close()
    return answer


async def _identified(request: web.Request, called: Handler) -> Viewer | web.Response:
    """Who it is; an answer where that is not enough for this handler."""
    context = request.app[CONTEXT]
    if context.config.access.metrics_from_loopback and _is_metrics(request) and is_local(request):
        return Viewer("local", "view")
    try:
        viewer = await who(request)
        if viewer is None:
            return error(401, "KEY_WRONG", "This key is not valid (any more). Make one: eventrouter apikey add NAME")
        if viewer.is_known or not needs_login(called):
            return viewer
        needed = await request.app[DOOR].login_needed(context)
    except StoreError:
        if needs_login(called):
            raise
        return NOBODY
    if not needed:
        return error(
            403,
            "OPERATOR_ONLY",
            "Nobody can sign in yet. On the machine itself: eventrouter user add NAME --role operate",
        )
    if request.method == "GET" and wants_page(request) and "fragment" not in request.query:
        target = f"{request.app[BASE]}/login?next={quote(request.path_qs, safe='/')}"
        return web.Response(status=303, headers={"Location": target})
    answer = error(
        401, "LOGIN_NEEDED", "Sign in at /login, or send Authorization: Bearer with a key (eventrouter apikey add)."
    )
    answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


async def who(request: web.Request) -> Viewer | None:
    """Who sends this: by key, by the single sign-on in front, by session, or from this machine while nobody can sign in.

    None for a key that is not valid. Raises StoreUnavailable.
    """
    context, door = request.app[CONTEXT], request.app[DOOR]
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        async with context.desk() as conn:
            owner = await access.owner_of_key(conn, key.strip())
        return Viewer(f"key:{owner.name}", owner.role, how="key") if owner else None
    if name := _signed_on(request, context):
        return Viewer(name, _role_signed_on(request, context), csrf_of(f"{door.secret}:{name}"), "proxy")
    token = session_token(request)
    if token:
        async with context.desk() as conn:
            user = await access.user_of_session(conn, token, context.config.access.session_idle)
        if user:
            return Viewer(user.name, user.role, csrf_of(token), "session")
    if is_local(request) and not await door.login_needed(context):
        return Viewer("local", access.OPERATE, csrf_of(door.secret))
    return Viewer("nobody", access.VIEW, csrf_of(token) if token else "", "nobody")


async def lapsed(request: web.Request) -> bool:
    """Whether who follows a feed may not do so any more: the session, key or user has ended. Looks every five seconds."""
    now = time.monotonic()
    if now - request.get(_LAST_CHECK, 0.0) < _CHECK_EVERY_S:
        return False
    request[_LAST_CHECK] = now
    try:
        viewer = await who(request)
    except (StoreError, TimeoutError):
        return False
    return viewer is None or (viewer.name, viewer.how) != (viewer_of(request).name, viewer_of(request).how)


async def _not_changed(request: web.Request, viewer: Viewer, called: Handler) -> web.Response | None:
    """Why this request must change nothing, or None."""
    kind = request.content_type
    if is_api(request):
        if kind != "application/json":
            return error(415, "JSON_ONLY", "Send Content-Type: application/json.")
    elif kind not in ("application/json", FORM):
        return error(415, "FORM_ONLY", f"Send Content-Type: {FORM} or application/json.")
    by_script = viewer.how == "key" or (viewer.how == "local" and kind == "application/json")
    if not by_script and not await _brings_token(request, viewer.csrf):
        return error(403, "CSRF_WRONG", "This page was open for too long, or it is not ours. Load it again and repeat.")
    if not viewer.may_operate and needs_operate(called) and needs_login(called):
        return error(403, "ROLE_VIEW", f"{viewer.name} may look, and change nothing: that needs the role operate.")
    return None


async def _brings_token(request: web.Request, wanted: str) -> bool:
    given = request.headers.get("X-CSRF-Token")
    if given is None and request.content_type == FORM:
        try:
            given = str((await request.post()).get("csrf", ""))
        except (ValueError, LookupError):  # no text in the charset that it claims
            return False
    return bool(wanted) and hmac.compare_digest((given or "").encode("utf-8", "replace"), wanted.encode())


def csrf_of(token: str) -> str:
    """The CSRF token that belongs to a session's token, and does not tell it."""
    return hashlib.sha256(f"csrf:{token}".encode()).hexdigest()


def session_token(request: web.Request) -> str | None:
    """What the session's cookie says, whether it is valid or not."""
    names = (SECURE_COOKIE,) if _is_https(request) else (SECURE_COOKIE, COOKIE)
    token = next((request.cookies[name] for name in names if name in request.cookies), "")
    return token if _TOKEN.fullmatch(token) else None


def set_session(request: web.Request, response: web.Response, token: str) -> None:
    """Gives the browser the session's cookie; __Host- and Secure where TLS is in front.

    Lax, so that a shared address opens for somebody who is signed in: a GET changes nothing, and a change needs the token.
    """
    if _is_https(request) or request.headers.get("Origin", "").startswith("https://"):
        response.set_cookie(SECURE_COOKIE, token, httponly=True, secure=True, samesite="Lax", path="/")
        response.del_cookie(COOKIE, path="/")
    else:
        response.set_cookie(COOKIE, token, httponly=True, samesite="Lax", path="/")


def drop_session(response: web.Response) -> None:
    """Takes the session's cookie away."""
    response.del_cookie(SECURE_COOKIE, path="/", secure=True, httponly=True, samesite="Lax")
    response.del_cookie(COOKIE, path="/", httponly=True, samesite="Lax")


def wants_page(request: web.Request) -> bool:
    """Whether somebody looks at this with a browser: a page, not the API."""
    return not is_api(request) and "text/html" in request.headers.get("Accept", "")


def is_api(request: web.Request) -> bool:
    """Whether the address is one of the API's."""
    path = request.path.removeprefix(request.app[BASE])
    return path == "/api" or path.startswith("/api/")


def is_local(request: web.Request) -> bool:
    """Whether this comes from the machine itself and through no proxy."""
    return _is_loopback(request.remote or "") and not any(name in request.headers for name in _FORWARDED)


def _is_metrics(request: web.Request) -> bool:
    return request.path.removeprefix(request.app[BASE]) == "/metrics"


def _signed_on(request: web.Request, context: WebContext) -> str | None:
    """The name that the single sign-on proxy gives; nobody else's header counts, nor two of them."""
    header = context.config.access.sso_header
    if not header or not context.sources.is_proxy(request.remote):
        return None
    given = request.headers.getall(header, [])
    return given[0] if len(given) == 1 and _NAME_OF_PROXY.fullmatch(given[0]) else None


def _role_signed_on(request: web.Request, context: WebContext) -> str:
    settings = context.config.access
    if not settings.sso_role_header:
        return settings.sso_role
    words = {word.strip() for line in request.headers.getall(settings.sso_role_header, []) for word in line.split(",")}
    return access.OPERATE if access.OPERATE in words else access.VIEW


def _is_https(request: web.Request) -> bool:
    forwarded = request.headers.get("X-Forwarded-Proto", "").split(",")[-1].strip().lower()
    return request.secure or (forwarded == "https" and request.app[CONTEXT].sources.is_proxy(request.remote))


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _netloc_of(url: str) -> str | None:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
