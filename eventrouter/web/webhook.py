"""POST /webhook/{token}: the one address that the world may reach. It answers 200 after the commit, 202 from the spool, and never 500."""

import asyncio
from itertools import islice
from urllib.parse import unquote_to_bytes

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from eventrouter.domain.parsers import MOST_BYTES, clean_text
from eventrouter.errors import StoreUnavailable
from eventrouter.ingest import Alert
from eventrouter.logs import get_logger
from eventrouter.spool import Spooled
from eventrouter.web import answers
from eventrouter.web.context import CONTEXT
from eventrouter.web.described import described
from eventrouter.web.guard import error
from eventrouter.web.tokens import TOKEN_FORM

_log = get_logger("eventrouter.web")
_BODY_WITHIN_S = 2.0
_MOST_CANDIDATES = 8
# aiohttp undoes these and takes what there is: q=10 that is cut off would be q=1. Of deflate it notices the missing end.
_WITHOUT_END = frozenset({"gzip", "br", "zstd"})
_REFUSED = {
    400: ("BODY_BROKEN", "BODY_CODED"),
    401: ("TOKEN_UNKNOWN",),
    403: ("SOURCE_NOT_ALLOWED",),
    408: ("BODY_SLOW",),
    413: ("BODY_TOO_LARGE",),
    503: ("STORE_UNAVAILABLE", "SPOOL_FULL", "TOO_MANY", "FAULT"),
}
_KEPT_HEADERS = ("User-Agent", "Content-Type", "Content-Length", "X-Forwarded-For", "X-Request-Id", "Date")


@described(answers.Taken, more={202: answers.Spooled}, refused=_REFUSED)
async def webhook(request: web.Request) -> web.Response:
    """An alert of the strategy that the token belongs to. The token is in the address, else in the body."""
    context = request.app[CONTEXT]
    if context.ingest is None or context.tokens is None:
        raise StoreUnavailable("This process takes no alerts yet.")
    origin = context.sources.origin(request.remote, request.headers.getall("X-Forwarded-For", []))
    if not context.sources.may_send(origin):
        return error(
            403, "SOURCE_NOT_ALLOWED", f"Alerts from {origin[:60]!r} are not taken: see [server] allowed_sources."
        )
    token = request.match_info.get("token")
    sender = await context.tokens.sender([token]) if token is not None else None
    if token is not None and sender is None:
        return _token_unknown(origin)
    raw = await _body(request)
    if isinstance(raw, web.Response):
        return raw
    if sender is None:
        sender = await context.tokens.sender(_candidates(raw))
        if sender is None:
            return _token_unknown(origin)
    secrets = (sender.token,)
    kept = {name: request.headers[name] for name in _KEPT_HEADERS if name in request.headers}
    headers = {name: clean_text(_text(value), secrets) for name, value in kept.items()}
    alert = Alert.now(
        raw,
        sender.strategy,
        secrets=secrets,
        content_type=headers.get("Content-Type"),
        headers=headers,
        source_ip=clean_text(_text(origin), secrets),
    )
    receipt = await context.ingest.accept(alert)
    if isinstance(receipt, Spooled):
        return web.json_response({"spooled": True, "signal_uid": str(receipt.uid)}, status=202)
    return web.json_response(
        {
            "signal_id": receipt.signal_id,
            "trade_id": receipt.trade_id,
            "event_type": receipt.event_type,
            "duplicate": receipt.duplicate,
            "tasks": list(receipt.tasks),
        }
        | ({"notes": list(receipt.notes)} if receipt.notes else {})
    )


def _token_unknown(origin: str) -> web.Response:
    _log.warning("token_unknown", peer=origin[:60])
    return error(401, "TOKEN_UNKNOWN", "No strategy has this token. Make one with: eventrouter token new STRATEGY")


def _candidates(raw: bytes) -> list[str]:
    """What in a body has the form of a token; the first few, since each costs a look. In a form, %22 may stand before it."""
    texts = (raw, unquote_to_bytes(raw)) if b"%" in raw else (raw,)
    found = (
        match.group().decode("ascii") for text in texts for match in islice(TOKEN_FORM.finditer(text), _MOST_CANDIDATES)
    )
    return list(dict.fromkeys(found))


async def _body(request: web.Request) -> bytes | web.Response:
    """The body, or the answer to one that is too large, too slow or broken. The limit holds inside any application."""
    too_large = _last(413, "BODY_TOO_LARGE", f"The body is larger than {MOST_BYTES // 1024} KiB.")
    if (request.content_length or 0) > MOST_BYTES:
        return too_large
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_WITHIN_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MOST_BYTES:
                    return too_large
    except TimeoutError:
        return _last(408, "BODY_SLOW", f"The body did not arrive within {_BODY_WITHIN_S:g} s.")
    except (HttpProcessingError, web.RequestPayloadError, ClientPayloadError, ConnectionError):
        return _last(400, "BODY_BROKEN", "The body does not arrive as its headers say (encoding or length).")
    if (coding := request.headers.get("Content-Encoding", "").strip().lower()) in _WITHOUT_END:
        return error(400, "BODY_CODED", f"Send the body as it is: coded with {coding}, it may lack its end unnoticed.")
    return bytes(body)


def _last(status: int, code: str, message: str) -> web.Response:
    """The answer to a body that was not read to its end: no other request can follow on the same connection."""
    answer = error(status, code, message)
    answer.force_close()
    return answer


def _text(header: str) -> str:
    """A header as text that can be stored; senders may put any bytes there."""
    return (
        header[:500]
        .encode("utf-8", "surrogateescape")
        .decode("utf-8", "replace")
        .replace("\0", "\N{REPLACEMENT CHARACTER}")
    )


ROUTES = (web.post("/{token}", webhook), web.post("", webhook), web.post("/", webhook))
"""Below /webhook: the token in the address, or in the body."""
