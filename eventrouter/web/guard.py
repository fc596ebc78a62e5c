"""Middlewares: one shape for every error, a limit on work in hand, and an access log without secrets."""

import logging
import time
from collections.abc import Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from eventrouter.errors import (
    IllegalTransition,
    NotKnown,
    RequestWrong,
    RowRefused,
    SignalRefused,
    SpoolFull,
    StoreError,
)
from eventrouter.logs import get_logger
from eventrouter.store.feed import PositionError

_log = get_logger("eventrouter.web")
RETRY_AFTER_S = 5
# aiohttp logs requests that are no HTTP with their bytes, which may hold a secret anywhere and come as often as somebody likes.
PROTOCOL_LOG = logging.getLogger("eventrouter.http")
_SENDERS_FAULTS = (HttpProcessingError, web.RequestPayloadError, ConnectionError)
PROTOCOL_LOG.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], _SENDERS_FAULTS)))


def error(status: int, code: str, message: str, *, field: str | None = None) -> web.Response:
    """An error answer: {"code", "message"}, with "field" where one is at fault."""
    body = {"code": code, "message": message} | ({"field": field} if field else {})
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {}
    return web.json_response(body, status=status, headers=headers)


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns every failure into an error answer; a fault of ours is logged and says 503, so that the sender tries again."""
    try:
        return await handler(request)
    except (SignalRefused, RequestWrong) as refused:
        return error(refused.status, refused.code, refused.message, field=refused.field)
    except RowRefused:
        return error(422, "NOT_STORABLE", "The database refused a value of this request.")
    except NotKnown as unknown:
        return error(404, unknown.code, str(unknown))
    except IllegalTransition as illegal:
        return error(409, illegal.code, str(illegal))
    except (PositionError, web.RequestPayloadError) as wrong:
        return _unreadable(wrong)
    except StoreError as unavailable:
        return _unavailable(request, unavailable)
    except web.HTTPRequestEntityTooLarge:
        most = request.client_max_size // 1024
        return error(413, "BODY_TOO_LARGE", f"The body is larger than {most} KiB, the most that is taken here.")
    except web.HTTPException as answer:
        return http_error(answer)
    except Exception:
        _log.exception("handler_fault", route=_route(request))
        return error(503, "FAULT", "A fault of ours. Nothing is known to be stored; send it again.")


def http_error(answer: web.HTTPException) -> web.Response:
    """An error of aiohttp in the shape of ours."""
    said = error(answer.status, answer.reason.upper().replace(" ", "_"), f"{answer.status} {answer.reason}.")
    if "Allow" in answer.headers:  # of a 405: the methods that there are
        said.headers["Allow"] = answer.headers["Allow"]
    return said


def _unreadable(wrong: PositionError | web.RequestPayloadError) -> web.Response:
    if isinstance(wrong, PositionError):
        return error(400, "POSITION_WRONG", str(wrong))
    return error(400, "BODY_BROKEN", "The body does not arrive as its headers say.")


def _unavailable(request: web.Request, why: StoreError) -> web.Response:
    code, said = "STORE_UNAVAILABLE", "Nothing is known to be stored: the database cannot be reached. Send it again."
    if isinstance(why, SpoolFull):
        code, said = "SPOOL_FULL", "Nothing was stored: the database is away and the spool is full. Send it again."
    _log.warning(code.lower(), route=_route(request), error=str(why))
    return error(503, code, said)


def _route(request: web.Request) -> str:
    """The pattern of the address, which holds no token."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else "unknown"


@web.middleware
async def access_log(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One line a request; the route's pattern stands for its path, so no token is in it."""
    started = time.monotonic()
    response = await handler(request)
    _log.debug(
        "request",
        method=request.method,
        route=_route(request),
        status=response.status,
        ms=round((time.monotonic() - started) * 1000, 1),
        peer=request.remote,
    )
    return response


def counted(answers: Callable[[int], None]) -> Middleware:
    """A middleware that tells the status of every answer."""

    @web.middleware
    async def counting(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        answers(response.status)
        return response

    return counting


def at_most(limit: int) -> Middleware:
    """A middleware that answers 503 while `limit` requests are being worked on already."""
    in_hand = 0

    @web.middleware
    async def limited(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal in_hand
        if in_hand >= limit:
            return error(503, "TOO_MANY", f"{limit} requests are being worked on already. Send it again.")
        in_hand += 1
        try:
            return await handler(request)
        finally:
            in_hand -= 1

    return limited
