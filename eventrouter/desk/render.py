"""Pages: templates filled in with what a handler found, and the files that they refer to."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from eventrouter.desk import charts
from eventrouter.domain.holdings import contract_name
from eventrouter.domain.parsers import format_name
from eventrouter.domain.showing import showable
from eventrouter.web.viewer import BASE, for_everybody, viewer_of

_STATIC = files("eventrouter.desk") / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
}
PAGES = (
    ("now", "/", "Now"),
    ("signals", "/signals", "Signals"),
    ("dead", "/dead", "Dead letters"),
    ("approvals", "/approvals", "Approvals"),
    ("explain", "/explain", "Explain"),
    ("controls", "/controls", "Controls"),
)
"""What the top bar leads to: key, address, word."""


def page(
    request: web.Request, template: str, *, here: str = "", at: str = "", status: int = 200, **values: Any
) -> web.Response:
    """A template as a page, or with ?fragment=NAME its block of that name alone, for scripts that look again.

    `at`: the page's own address, where a form was posted to another one; the browser then goes on from there.
    Every template knows `here` (the page in the top bar), `at`, `viewer`, `base` (the address that the desk is mounted at), `pages`,
    `query` (name → value) and `now`. Raises HTTPNotFound for a fragment that the template does not have.
    """
    known = {
        "here": here,
        "at": "" if request.method == "GET" else at,
        "viewer": viewer_of(request),
        "base": base_of(request),
        "pages": PAGES,
        "query": dict(request.query),
        "now": datetime.now(UTC),
        **values,
    }
    loaded = environment().get_template(template)
    fragment = request.query.get("fragment")
    if fragment is None:
        text = loaded.render(known)
    elif fragment in loaded.blocks:
        context = loaded.new_context(known)
        text = "".join(loaded.blocks[fragment](context))
    else:
        raise web.HTTPNotFound(reason="This page has no such part")
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")


def to(request: web.Request, address: str) -> web.Response:
    """Sends the browser on to an address of the desk, which it asks for with GET."""
    return web.Response(status=303, headers={"Location": f"{base_of(request)}{address}"})


def base_of(request: web.Request) -> str:
    """The prefix under which the desk is mounted: "" or, in somebody's own application, "/eventrouter"."""
    return request.app[BASE]


@for_everybody
async def static(request: web.Request) -> web.Response:
    """A file of the desk; its address carries its hash, so it may be kept for ever."""
    name = request.match_info["name"]
    found = _files().get(name)
    if found is None:
        raise web.HTTPNotFound(reason="There is no such file")
    body, digest, kind = found
    fresh = request.query.get("v") == digest
    headers = {
        "Content-Type": kind,
        "Cache-Control": "public, max-age=31536000, immutable" if fresh else "no-cache",
        "ETag": f'"{digest}"',
    }
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, headers=headers)


@cache
def _files() -> Mapping[str, tuple[bytes, str, str]]:
    found = {}
    for each in _STATIC.iterdir():
        suffix = "." + each.name.rpartition(".")[2]
        if suffix in _TYPES:
            body = each.read_bytes()
            found[each.name] = (body, hashlib.sha256(body).hexdigest()[:12], _TYPES[suffix])
    return found


@cache
def environment() -> Environment:
    """The templates: every value is escaped, and a name that nobody gave is an error."""
    made = Environment(
        loader=PackageLoader("eventrouter.desk"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"time": time_tag, "money": money, "number": number, "age": age, "query": query_text}
    made.filters |= {"duration": charts.duration, "contract": contract, "format_name": format_name}
    made.globals |= {"asset": asset, "strip": charts.strip, "gauge": charts.gauge, "sparkline": charts.sparkline}
    return made


def _shown(value: Any) -> Any:
    """A value as a template writes it. What our own filters made is markup, and none of their texts comes from elsewhere unescaped."""
    return showable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def asset(name: str) -> str:
    """The address of a file of the desk, below its base. Raises KeyError when there is none.

    A script has no hash there: modules import each other by name, and one with two addresses would run twice.
    """
    digest = _files()[name][1]
    return f"/static/{name}" if name.endswith(".js") else f"/static/{name}?v={digest}"


def time_tag(value: datetime | None, style: str = "time") -> Markup:
    """A moment as <time>: in UTC, until the page's script writes it in the viewer's zone. `style`: time, day or both."""
    if value is None:
        return Markup('<span class="none">\u2013</span>')
    at = value.astimezone(UTC)
    shown = {"time": "%H:%M:%S", "day": "%Y-%m-%d", "both": "%Y-%m-%d %H:%M:%S"}[style]
    return Markup('<time datetime="{}" data-style="{}">{} UTC</time>').format(
        at.isoformat(timespec="milliseconds"), style, at.strftime(shown)
    )


def money(value: Decimal | str | float | None) -> str:
    """An amount with two places and thin spaces between thousands; a dash where nobody knows it."""
    if value is None or value == "":
        return "\u2013"
    amount = Decimal(str(value))
    return f"{amount:,.2f}".replace(",", "\u2009").replace("-", "\u2212")


def number(value: Decimal | str | float | None) -> str:
    """A quantity or price as it is, without trailing zeros or an exponent."""
    if value is None or value == "":
        return "\u2013"
    text = f"{Decimal(str(value)):f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "\u2212")


def contract(value: str | None) -> str | Markup:
    """A contract as people write it, with the broker's own id as its title where that is another."""
    if not value:
        return "\u2013"
    name = contract_name(value)
    return value if name == value else Markup('<span title="{}">{}</span>').format(value, name)


def age(value: datetime | timedelta | float | None, now: datetime | None = None) -> str:
    """How long ago, or how long: 350 ms, 12 s, 4 min, 3 h, 2 d."""
    if value is None:
        return "\u2013"
    if isinstance(value, datetime):
        value = (now or datetime.now(UTC)) - value
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 1:
        return f"{max(0, seconds) * 1000:.0f} ms"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (unit != "min" and seconds >= size):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def query_text(query: Mapping[str, Any], **changes: Any) -> str:
    """?name=value of a page's filter with some of it changed; what is empty or None is left out."""
    merged = {
        key: value for key, value in {**query, **changes}.items() if value not in (None, "") and key != "fragment"
    }
    return f"?{urlencode(merged)}" if merged else "?"
