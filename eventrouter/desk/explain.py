"""Explain: what a pasted alert would do on each account, and a template of an alert for TradingView. Nothing is stored or sent."""

from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web

from eventrouter.desk import alert_templates as templates
from eventrouter.desk.render import page
from eventrouter.domain.parsers import MOST_BYTES
from eventrouter.errors import SignalRefused
from eventrouter.explain import explain
from eventrouter.store.connect import Conn
from eventrouter.store.desk_controls import known_names
from eventrouter.web.context import CONTEXT, WebContext
from eventrouter.web.viewer import changes_nothing

routes = web.RouteTableDef()
_MOST_FIGURES = 40
_DEEPEST = 3
_SHAPES = {
    "send": "done",
    "wait": "waiting",
    "hold": "held",
    "deny": "denied",
    "expire": "expired",
    "cancel": "cancelled",
    "nothing": "cancelled",
    "unknown": "unknown",
}
_WORDS = {
    "send": "WOULD SEND",
    "wait": "WOULD WAIT",
    "hold": "WOULD ASK",
    "deny": "WOULD DENY",
    "expire": "WOULD EXPIRE",
    "cancel": "WOULD CANCEL",
    "nothing": "NO ORDER",
    "unknown": "NOT KNOWN",
}
_SHOWN_ELSEWHERE = ("calculation", "resolution")


@routes.get("/explain")
async def form(request: web.Request) -> web.Response:
    """The form, and the template that the address asks for."""
    async with request.app[CONTEXT].desk() as conn:
        return await _page(request, conn)


@routes.post("/explain")
@changes_nothing
async def explained(request: web.Request) -> web.Response:
    """alert, strategy: what it would do, below the form; an alert that is refused gets its code and what to do."""
    given = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    # a browser sends a text field's lines with CR LF; TradingView sends what was typed
    alert = given.get("alert", "").replace("\r\n", "\n")
    strategy = given.get("strategy", "").strip() or None
    if strategy is not None and (len(strategy) > 64 or not strategy.isprintable()):
        raise SignalRefused("FIELD_WRONG", "strategy must be a text of at most 64 characters.", "strategy")
    context = request.app[CONTEXT]
    raw = alert.encode("utf-8", "surrogatepass")
    async with context.desk() as conn:
        answer = await explain(context.config, conn, raw, strategy=strategy)
        return await _page(request, conn, alert=alert, strategy=strategy, answer=answer)


async def _page(
    request: web.Request,
    conn: Conn,
    *,
    alert: str = "",
    strategy: str | None = None,
    answer: Mapping[str, Any] | None = None,
) -> web.Response:
    context = request.app[CONTEXT]
    known = (await known_names(conn))["strategy"]
    names = sorted({*known, *(each.name for each in context.config.strategies)})
    asked = request.query
    made = templates.make(asked, asked.get("strategy") or None)
    return page(
        request,
        "explain.html",
        here="explain",
        alert=alert.encode("utf-8", "replace").decode(),
        strategy=strategy,
        strategies=names,
        answer=answer,
        accounts=[_account(row) for row in answer["accounts"]] if answer else [],
        asks_for=dict(_plain(answer["signal"] or {})) if answer else {},
        most_kib=MOST_BYTES // 1024,
        shapes=_SHAPES,
        words=_WORDS,
        made=made,
        prices=templates.ORDER_TYPES[made.order_type][1],
        actions=templates.ACTIONS,
        order_types=templates.ORDER_TYPES,
        sizes={each: templates.SIZES[each][0] for each in templates.sizes_for(made.action)},
        levels=templates.LEVELS,
        placeholders=templates.PLACEHOLDERS,
        address=_address(context),
    )


def _account(row: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the answer, with the numbers behind it as texts."""
    numbers = [
        (name, text)
        for name, text in _plain(row.get("figures", {}))
        if name.rpartition(", ")[2] not in _SHOWN_ELSEWHERE
    ]
    return {**row, "numbers": dict(numbers[:_MOST_FIGURES])}


def _plain(values: Mapping[str, Any], before: str = "", depth: int = 1) -> Iterator[tuple[str, str]]:
    """The plain values of a nested object, each under the names that lead to it."""
    for key, value in values.items():
        name = f"{before}{key.replace('_', ' ')}"
        if isinstance(value, Mapping) and depth < _DEEPEST:
            yield from _plain(value, f"{name}, ", depth + 1)
        elif isinstance(value, bool):
            yield name, "yes" if value else "no"
        elif value is not None and value != "" and not isinstance(value, Mapping | list | tuple):
            yield name, str(value)


def _address(context: WebContext) -> str:
    """Where the alerts go, the token left out: nobody but its maker knows it."""
    server = context.config.server
    base = server.public_url or "https://YOUR-HOST"
    return f"{base.rstrip('/')}/webhook/TOKEN"
