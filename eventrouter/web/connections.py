"""An HTTP listener that slow clients cannot fill: a limit on its connections, and on how long one may do nothing.

A connection has a request in hand or is idle. aiohttp takes any number of idle ones and lets headers drip. Here the one that
has been idle longest is closed when a new one needs its room, and each when its time is up. A request in hand, be it an
alert or a feed, is never touched.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

from aiohttp import web
from aiohttp.typedefs import Handler

from eventrouter.config import Address
from eventrouter.logs import get_logger
from eventrouter.metrics import Metrics
from eventrouter.web.guard import PROTOCOL_LOG, RETRY_AFTER_S, error, http_error

_log = get_logger("eventrouter.web")
_HEADERS_WITHIN_S = 5.0  # from connecting to the end of the first headers
_KEEP_ALIVE_S = 15.0  # from an answer to the end of the next headers
_LINGER_S = 2.0  # for the rest of a body that was answered early, so that its sender reads the answer
_ANSWER_WITHIN_S = 60.0  # for taking an answer: aiohttp would wait for ever until it is read
_SWEEP_S = 0.5
_TELL_EVERY_S = 60.0
_OTHER_FILES = 600  # what else may be open: database, spool, the operator's connections, those accepted in one go

_SAID = json.dumps({"code": "TOO_MANY", "message": "Every connection is being worked on. Send it again."}).encode()
_FULL = (
    f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {len(_SAID)}\r\n"
    f"Retry-After: {RETRY_AFTER_S}\r\nConnection: close\r\n\r\n"
).encode() + _SAID


class _Http(web.RequestHandler):
    """aiohttp's protocol, whose own refusals have the shape of ours and repeat nothing of what came."""

    __slots__ = ()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        super().handle_error(request, status, exc, message)  # which logs, and raises where an answer has begun
        if 400 <= status < 500:
            answer = error(status, "NO_HTTP", "What came is no HTTP, or its headers are too large.")
        else:
            answer = error(503, "FAULT", "A fault of ours. Nothing is known to be stored; send it again.")
        answer.force_close()
        return answer


class _Connection(asyncio.Protocol):
    """Stands in front of aiohttp's protocol and passes everything on, to know when a connection begins and ends."""

    __slots__ = ("_among", "http", "idle_until", "transport")
    transport: asyncio.Transport

    def __init__(self, http: web.RequestHandler, among: "Connections") -> None:
        self.http = http
        self.idle_until = 0.0
        self._among = among

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self._among.enter(self):
            self.http.connection_made(transport)
            return
        self.transport.set_protocol(asyncio.Protocol())
        self.transport.write(_FULL)
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._among.leave(self)
        self.http.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.http.data_received(data)

    def eof_received(self) -> None:
        self.http.eof_received()

    def pause_writing(self) -> None:
        self.http.pause_writing()

    def resume_writing(self) -> None:
        self.http.resume_writing()


class Connections:
    """The open connections of the listener `name`, at most `most`. Those that it closes itself are counted by reason."""

    def __init__(self, name: str, most: int, metrics: Metrics) -> None:
        self._name = name
        self._most = most
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._open: dict[web.RequestHandler, _Connection] = {}
        self._idle: OrderedDict[_Connection, None] = OrderedDict()  # the longest idle first
        self._tell_at = 0.0

    def enter(self, connection: _Connection) -> bool:
        """Lets a connection in, if need be in place of the longest idle one; False: all have a request in hand."""
        if len(self._open) >= self._most:
            if not self._idle:
                self._count("refused")
                return False
            self._close(next(iter(self._idle)), "evicted")
        self._open[connection.http] = connection
        self._rest(connection, _HEADERS_WITHIN_S)
        return True

    def leave(self, connection: _Connection) -> None:
        """Forgets a connection."""
        self._open.pop(connection.http, None)
        self._idle.pop(connection, None)

    @web.middleware
    async def in_hand(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The outermost middleware: for as long as it waits, the request's connection is not idle."""
        connection = self._open.get(request.protocol)
        if connection is None:  # gone already, but what it has sent may still count
            return await handler(request)
        self._idle.pop(connection, None)
        try:
            return await handler(request)
        finally:
            if connection.http in self._open:
                self._rest(connection, _ANSWER_WITHIN_S)

    def sweep(self) -> None:
        """Closes idle connections whose time is up."""
        now = self._loop.time()
        for connection in [each for each in self._idle if each.idle_until <= now]:
            self._close(connection, "slow")

    def _rest(self, connection: _Connection, within_s: float) -> None:
        connection.idle_until = self._loop.time() + within_s
        self._idle[connection] = None

    def _close(self, connection: _Connection, reason: str) -> None:
        self.leave(connection)
        connection.transport.abort()  # close() would wait for a client that does not read
        self._count(reason)

    def _count(self, reason: str) -> None:
        self._metrics.connections_closed.labels(self._name, reason).inc()
        if reason != "slow" and self._loop.time() >= self._tell_at:
            self._tell_at = self._loop.time() + _TELL_EVERY_S
            _log.warning("connections_full", listener=self._name, most=self._most, closed=reason)


class Listener:
    """An application on an address of its own, with at most `most` connections; `name` is its key in [server]."""

    def __init__(self, app: web.Application, name: str, most: int, metrics: Metrics) -> None:
        self.name = name
        self.connections = Connections(name, most, metrics)
        app.middlewares.insert(0, self.connections.in_hand)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=5.0)
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.TimerHandle | None = None

    async def open(self, address: Address) -> Address:
        """Binds; the address with the port that it got. Raises OSError. Whether it does or not, close() it."""
        await self._runner.setup()
        http = self._runner.server
        assert http is not None
        http.request_handler = _shaped(http.request_handler)
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {"access_log": None, "logger": PROTOCOL_LOG}
        options |= {"keepalive_timeout": _KEEP_ALIVE_S, "lingering_time": _LINGER_S}
        made = partial(_Http, http, loop=loop, **options)
        self._server = await loop.create_server(
            lambda: _Connection(made(), self.connections), address.host, address.port
        )
        self._sweep()
        return Address(address.host, self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Takes no more requests and lets those in hand finish. Idempotent."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _sweep(self) -> None:
        self.connections.sweep()
        self._sweeping = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)


def _shaped(handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> Any:
    """What aiohttp refuses before any middleware runs, such as an Expect that it does not know, as an answer of ours."""

    async def answered(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as answer:
            return http_error(answer)

    return answered


def affordable(most: int) -> int:
    """How many of `most` connections this process may have files for; it raises its own limit as far as the system lets it."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return most
    wanted = most + _OTHER_FILES
    files, ceiling = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < wanted:
        raised = wanted if ceiling == resource.RLIM_INFINITY else min(wanted, ceiling)
        with suppress(ValueError, OSError):  # a system may allow less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, ceiling))
            files = raised
    if files == resource.RLIM_INFINITY or files >= wanted:
        return most
    fewer = min(most, max(files // 2, files - _OTHER_FILES))
    if fewer < most:
        _log.warning("fewer_connections", most=fewer, wanted=most, open_files=files, mend="raise ulimit -n")
    return fewer
