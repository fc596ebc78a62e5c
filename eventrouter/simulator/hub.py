"""The user hub: SignalR's JSON protocol on a WebSocket, every message ended by the record separator 0x1e.

Events carry one argument. Assumed: subscribing sends no snapshot, a gap is not filled after a reconnect (the client has to
ask over REST), and a connection outlives its token.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from eventrouter.simulator import wire
from eventrouter.simulator.broker import Broker
from eventrouter.simulator.engine import Event
from eventrouter.simulator.gateway import token_of
from eventrouter.simulator.orders import Account, HalfTurn, Order
from eventrouter.simulator.sessions import Sessions

SEPARATOR = "\x1e"
PING_EVERY_S = 15.0
_SILENT_FOR_S = 60.0
_MOST_WAITING = 10_000
_INVOCATION, _COMPLETION, _PING, _CLOSE = 1, 3, 6, 7
_TOPICS = ("Accounts", "Orders", "Positions", "Trades")
# Numbers seen on the live hub: a position that ended comes as 2, trades as 0, all else as 1. Their meaning is not documented.
_ENDED, _TRADED, _CHANGED = 2, 0, 1


@dataclass(eq=False, slots=True)
class Connection:
    """One client: what it subscribed to, and the messages that wait for it."""

    socket: web.WebSocketResponse
    topics: set[tuple[str, int | None]] = field(default_factory=set)
    transport: asyncio.Transport | None = None
    waiting: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(_MOST_WAITING))

    def send(self, message: Mapping[str, Any]) -> None:
        """Queues a message; a client that reads too slowly is closed."""
        try:
            self.waiting.put_nowait(wire.dumps(message) + SEPARATOR)
        except asyncio.QueueFull:
            self.close()

    def close(self) -> None:
        """Closes the connection without a farewell; what waits is lost."""
        if self.transport is not None:
            self.transport.abort()

    async def write(self) -> None:
        """Sends what waits, and a ping when nothing does."""
        while True:
            try:
                async with asyncio.timeout(PING_EVERY_S):
                    text = await self.waiting.get()
            except TimeoutError:
                text = wire.dumps({"type": _PING}) + SEPARATOR
            await self.socket.send_str(text)


class Hub:
    """Its connections. `muted`: events are lost, as over a connection that broke unseen."""

    def __init__(self, broker: Broker, sessions: Sessions, *, wrapped: bool) -> None:
        self.muted = False
        self.connections: set[Connection] = set()
        self._broker = broker
        self._sessions = sessions
        self._wrapped = wrapped
        self._negotiated = 0
        broker.listeners.append(self._publish)

    async def negotiate(self, _request: web.Request) -> web.Response:
        """POST /hubs/user/negotiate. Clients may bring their token only later, when they open the socket."""
        self._negotiated += 1
        identity = f"sim-{self._negotiated}"
        body = {
            "negotiateVersion": 1,
            "connectionId": identity,
            "connectionToken": identity,
            "availableTransports": [{"transport": "WebSockets", "transferFormats": ["Text", "Binary"]}],
        }
        return web.json_response(body, dumps=wire.dumps)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """GET /hubs/user?access_token=… as a WebSocket; a client may also skip the negotiation."""
        if self._sessions.user_of(token_of(request)) is None:
            return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        records = _records(socket)
        if not await _shakes_hands(socket, await anext(records, None)):
            return socket
        connection = Connection(socket, transport=request.transport)
        writing = asyncio.create_task(connection.write())
        self.connections.add(connection)
        try:
            async for record in records:
                if record is None or record.get("type") == _CLOSE:
                    break
                if record.get("type") == _INVOCATION:
                    self._invoke(connection, record)
        finally:
            self.connections.discard(connection)
            writing.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await writing
            await socket.close()
        return socket

    def drop(self) -> int:
        """Closes every connection; how many there were."""
        dropped = len(self.connections)
        for connection in list(self.connections):
            connection.close()
        return dropped

    def _invoke(self, connection: Connection, record: Mapping[str, Any]) -> None:
        """Subscribe… and Unsubscribe…; a call that has an id is answered."""
        error = self._subscription_fault(connection, record.get("target"), record.get("arguments") or [])
        if (number := record.get("invocationId")) is not None:
            said = {"error": error} if error else {"result": None}
            connection.send({"type": _COMPLETION, "invocationId": number, **said})

    def _subscription_fault(self, connection: Connection, target: object, arguments: list[Any]) -> str | None:
        name = str(target)
        verb = next((each for each in ("Unsubscribe", "Subscribe") if name.startswith(each)), "")
        topic = name.removeprefix(verb)
        if not verb or topic not in _TOPICS:
            return f"Unknown hub method '{name[:60]}'"
        account = None if topic == "Accounts" else arguments[0] if len(arguments) == 1 else -1
        if account is not None and account not in self._broker.engine.accounts:
            return f"Failed to invoke '{name}' due to an error on the server."
        change: Callable[[tuple[str, int | None]], None]
        change = connection.topics.add if verb == "Subscribe" else connection.topics.discard
        change((topic, account))
        return None

    def _publish(self, event: Event) -> None:
        if self.muted:
            return
        topic, account, target, action, data = _described(event)
        argument = {"action": action, "data": data} if self._wrapped else data
        for connection in list(self.connections):
            if (topic, account) in connection.topics:
                connection.send({"type": _INVOCATION, "target": target, "arguments": [argument]})


def _described(event: Event) -> tuple[str, int | None, str, int, wire.Body]:
    """Topic, account, event name, action and payload."""
    if isinstance(event, Account):
        return "Accounts", None, "GatewayUserAccount", _CHANGED, wire.account_body(event)
    if isinstance(event, Order):
        return "Orders", event.account, "GatewayUserOrder", _CHANGED, wire.order_body(event)
    if isinstance(event, HalfTurn):
        return "Trades", event.account, "GatewayUserTrade", _TRADED, wire.trade_body(event)
    action = _CHANGED if event.size else _ENDED
    return "Positions", event.account, "GatewayUserPosition", action, wire.position_body(event)


async def _records(socket: web.WebSocketResponse) -> Any:
    """The client's messages, from text and binary frames; None for one that is no JSON object. Ends when it is silent."""
    while True:
        try:
            frame = await socket.receive(timeout=_SILENT_FOR_S)
        except TimeoutError:
            return
        if frame.type is WSMsgType.TEXT:
            text = frame.data
        elif frame.type is WSMsgType.BINARY:
            text = frame.data.decode("utf-8", "replace")
        else:
            return
        for part in filter(None, text.split(SEPARATOR)):
            try:
                record = json.loads(part)
            except ValueError:
                record = None
            yield record if isinstance(record, dict) else None


async def _shakes_hands(socket: web.WebSocketResponse, first: Mapping[str, Any] | None) -> bool:
    """Answers the handshake; only JSON is spoken."""
    if first == {"protocol": "json", "version": 1}:
        await socket.send_str("{}" + SEPARATOR)
        return True
    if not socket.closed:
        await socket.send_str(wire.dumps({"error": "Requested protocol is not available."}) + SEPARATOR)
        await socket.close()
    return False
