"""Every log row as it commits: GET /api/events (SSE) and GET /ws (WebSocket), both resuming from a position."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp_sse import sse_response

from eventrouter.ending import ended
from eventrouter.errors import StoreError
from eventrouter.store import feed
from eventrouter.store.feed import FeedRow, Position
from eventrouter.web.access import lapsed
from eventrouter.web.asked import FeedAsked
from eventrouter.web.context import CONTEXT, WebContext
from eventrouter.web.described import described
from eventrouter.web.guard import error
from eventrouter.web.jsons import dumps
from eventrouter.web.reading import parameters

routes = web.RouteTableDef()
_LOOK_EVERY_S = 0.2
_PATIENCE_S = 10.0
_QUIET_S = 15.0
_MOST_CLIENTS = 64
_REFUSED = {400: ("BAD_REQUEST", "POSITION_WRONG")}


@routes.get("/api/events", allow_head=False)
@described(None, query=FeedAsked, refused=_REFUSED, media="text/event-stream")
async def events(request: web.Request) -> web.StreamResponse:
    """Every log row as it commits, as server-sent events: each one's id is the position after it; Last-Event-ID resumes too."""
    context = request.app[CONTEXT]
    if len(context.feed_clients) >= _MOST_CLIENTS:
        return error(503, "TOO_MANY", f"{_MOST_CLIENTS} clients follow the feed already.")
    position = await _start(request, request.headers.get("Last-Event-ID"))
    async with _client(context), sse_response(request, ping_interval=_QUIET_S, send_timeout=_PATIENCE_S) as response:
        await response.send("{}", id=str(position), event="position")
        with suppress(ConnectionError, TimeoutError):
            async for rows in _follow(context, position):
                for found in rows:
                    await response.send(dumps(found.row), id=str(found.position), event="log")
                if await lapsed(request):
                    break
                if request.transport is None or request.transport.is_closing():
                    break
    return response


@routes.get("/ws", allow_head=False)
@described(None, query=FeedAsked, refused=_REFUSED, status=101)
async def websocket(request: web.Request) -> web.StreamResponse:
    """The same as a WebSocket: {"type": "position" | "log", "position", "row"}."""
    context = request.app[CONTEXT]
    if len(context.feed_clients) >= _MOST_CLIENTS:
        return error(503, "TOO_MANY", f"{_MOST_CLIENTS} clients follow the feed already.")
    position = await _start(request, None)
    socket = web.WebSocketResponse(heartbeat=_QUIET_S, max_msg_size=4096)
    await socket.prepare(request)
    async with _client(context):
        await socket.send_str(dumps({"type": "position", "position": str(position)}))
        pushing = asyncio.create_task(_push(request, socket, context, position))
        try:
            async for message in socket:  # clients have nothing to say; reading notices that they went away
                if message.type in (WSMsgType.ERROR, WSMsgType.CLOSE):
                    break
        finally:
            await ended([pushing])
    return socket


async def _push(request: web.Request, socket: web.WebSocketResponse, context: WebContext, position: Position) -> None:
    try:
        async for rows in _follow(context, position):
            if await lapsed(request):
                break
            for found in rows:
                async with asyncio.timeout(_PATIENCE_S):
                    await socket.send_str(dumps({"type": "log", "position": str(found.position), "row": found.row}))
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()  # it reads nothing, so it would not read a farewell either
    except ConnectionError:
        pass
    else:
        await socket.close(code=WSCloseCode.GOING_AWAY)


async def _start(request: web.Request, last_event_id: str | None) -> Position:
    asked = parameters(request, FeedAsked)
    given = asked.position or last_event_id
    return await feed.start(request.app[CONTEXT].pool(), given, from_start=asked.from_ == "start")


async def _follow(context: WebContext, position: Position) -> AsyncIterator[list[FeedRow]]:
    """Pages of new rows until the service stops; empty ones now and then, so that the caller can look at its client."""
    while not context.stopping.is_set():
        try:
            rows, position = await feed.read(context.pool(), position)
        except StoreError:
            rows = []  # Postgres is away; the position stays, so nothing is missed
        yield rows
        if len(rows) < feed.PAGE:
            with suppress(TimeoutError):
                await asyncio.wait_for(context.stopping.wait(), _LOOK_EVERY_S)


@asynccontextmanager
async def _client(context: WebContext) -> AsyncIterator[None]:
    me = object()
    context.feed_clients.add(me)
    context.metrics.feed_clients.set(len(context.feed_clients))
    try:
        yield
    finally:
        context.feed_clients.discard(me)
        context.metrics.feed_clients.set(len(context.feed_clients))
