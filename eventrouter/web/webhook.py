"""POST /webhook/{token}: the one address that the world may reach. It answers 200 after the commit, and never 500."""

import asyncio

from aiohttp import web

from eventrouter.domain.signals import MOST_BYTES
from eventrouter.errors import StoreUnavailable
from eventrouter.ingest import Alert
from eventrouter.web.context import CONTEXT
from eventrouter.web.guard import error

_BODY_WITHIN_S = 2.0
_KEPT_HEADERS = ("User-Agent", "Content-Type", "Content-Length", "X-Forwarded-For", "X-Request-Id", "Date")


async def webhook(request: web.Request) -> web.Response:
    """An alert of the strategy that the token belongs to."""
    context = request.app[CONTEXT]
    if context.ingest is None or context.tokens is None:
        raise StoreUnavailable("This process takes no alerts.")
    answer = await _receive(request)
    context.metrics.webhook_answers.labels(answer.status).inc()
    return answer


async def _receive(request: web.Request) -> web.Response:
    context = request.app[CONTEXT]
    assert context.tokens is not None
    assert context.ingest is not None
    origin = context.sources.origin(request.remote, request.headers.getall("X-Forwarded-For", []))
    if not context.sources.may_send(origin):
        return error(
            403, "SOURCE_NOT_ALLOWED", f"Alerts from {origin[:60]} are not taken: see [server] allowed_sources."
        )
    strategy = await context.tokens.strategy_of(request.match_info["token"])
    if strategy is None:
        return error(401, "TOKEN_UNKNOWN", "No strategy has this token. Make one with: eventrouter token new STRATEGY")
    if (request.content_length or 0) > MOST_BYTES:
        return error(413, "BODY_TOO_LARGE", "The body is larger than 64 KiB.")
    try:
        async with asyncio.timeout(_BODY_WITHIN_S):
            raw = await request.read()
    except TimeoutError:
        return error(408, "BODY_SLOW", f"The body did not arrive within {_BODY_WITHIN_S:g} s.")
    headers = {name: request.headers[name][:500] for name in _KEPT_HEADERS if name in request.headers}
    alert = Alert.now(
        raw, strategy, content_type=request.headers.get("Content-Type"), headers=headers, source_ip=origin
    )
    receipt = await context.ingest.accept(alert)
    return web.json_response(
        {
            "signal_id": receipt.signal_id,
            "trade_id": receipt.trade_id,
            "event_type": receipt.event_type,
            "duplicate": receipt.duplicate,
            "tasks": list(receipt.tasks),
        }
    )
