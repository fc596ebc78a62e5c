"""The user hub: negotiate, connect, shake hands, subscribe, listen; when it breaks, again.

Whatever happened while it was away is lost, so every connection begins with `on_gap`: the caller asks over REST.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

from eventrouter.connectors.projectx import signalr
from eventrouter.connectors.projectx.answers import failure
from eventrouter.connectors.projectx.json_values import Unreadable, optional_words, parse_object
from eventrouter.errors import BrokerError
from eventrouter.logs import get_logger

_log = get_logger("eventrouter.connectors.projectx")

_TOPICS = ("SubscribeOrders", "SubscribePositions", "SubscribeTrades")
_NO_NEGOTIATION = (404, 405)
_MOST_NEGOTIATION_BYTES = 65_536
_CLOSE_WITHIN_S = 1.0
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 30.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: how often we ping, how long the server may be silent (its ping comes every 15), and for every step of connecting."""

    ping_every_s: float = 10.0
    silent_for_s: float = 30.0
    step_within_s: float = 10.0
    delay_s: Callable[[int], float] = field(default_factory=lambda: backoff_s)


def backoff_s(failures: int) -> float:
    """Before the next attempt: doubling from half a second to half a minute, half of it by chance."""
    longest = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0 ** min(failures, 10))
    return longest * (0.5 + random.random() / 2)  # noqa: S311 - spreads attempts, guards nothing


class HubLost(Exception):
    """The connection is gone or was never made; the text says why and holds no secret."""


@dataclass(slots=True)
class _Connection:
    socket: aiohttp.ClientWebSocketResponse
    records: signalr.Records
    waiting: list[dict[str, Any]]


class Hub:
    """One connection at a time, for the accounts that `accounts` names. `on_event` gets (target, argument)."""

    def __init__(
        self,
        url: str,
        *,
        session: Callable[[], aiohttp.ClientSession | None],
        token: Callable[[], Awaitable[str]],
        forget: Callable[[str], None],
        accounts: Callable[[], Awaitable[Sequence[int]]],
        on_event: Callable[[str, Any], None],
        on_gap: Callable[[str], None],
        pace: Pace | None = None,
    ) -> None:
        self._url = URL(url)
        self._session = session
        self._token = token
        self._forget = forget
        self._accounts = accounts
        self._on_event = on_event
        self._on_gap = on_gap
        self._pace = pace or Pace()
        self.connected = False

    def __repr__(self) -> str:
        return f"Hub({str(self._url.origin())!r})"

    async def run(self) -> None:
        """Listens until cancelled."""
        failures = 0
        while True:
            try:
                async with self._connect() as connection:
                    failures = 0
                    await self._listen(connection)
            except (HubLost, BrokerError) as lost:
                _log.warning("hub_lost", hub=str(self._url.origin()), reason=str(lost))
            except Exception as error:
                _log.error("hub_failed", hub=str(self._url.origin()), error=type(error).__name__)
            finally:
                self.connected = False
            await asyncio.sleep(self._pace.delay_s(failures))
            failures += 1

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[_Connection]:
        """A connection that is subscribed, and pings until it is left."""
        session = self._session()
        if session is None:
            raise HubLost("The connector is not open.")
        accounts = await self._accounts()
        token = await self._token()
        async with self._socket(session, token) as socket:
            connection = _Connection(socket, signalr.Records(), [])
            pinging = asyncio.create_task(self._ping(socket))
            try:
                await self._in_time("the handshake", self._shake_hands(connection))
                await self._in_time("the subscriptions", self._subscribe(connection, accounts))
                self.connected = True
                self._on_gap("The hub is connected; what happened before was not reported.")
                yield connection
            finally:
                pinging.cancel()
                await asyncio.gather(pinging, return_exceptions=True)

    @asynccontextmanager
    async def _socket(
        self, session: aiohttp.ClientSession, token: str
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        try:
            async with asyncio.timeout(self._pace.step_within_s):
                identity = await self._negotiate(session, token)
                query = {"access_token": token} | ({"id": identity} if identity else {})
                socket = await session.ws_connect(
                    self._url.with_query(query),
                    headers={"Authorization": f"Bearer {token}"},
                    max_msg_size=signalr.MOST_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_WITHIN_S),
                )
        except (aiohttp.ClientError, OSError) as error:
            # from None, and in words of our own: the client's error shows the address with the token
            raise self._not_made(error, token) from None
        try:
            yield socket
        finally:
            with suppress(aiohttp.ClientError, OSError):
                await socket.close()

    async def _negotiate(self, session: aiohttp.ClientSession, token: str) -> str | None:
        """The id for the connection; None where the hub wants no negotiation."""
        address = (self._url / "negotiate").with_query(negotiateVersion="1")
        headers = {"Authorization": f"Bearer {token}"}
        async with session.post(address, headers=headers, allow_redirects=False) as answer:
            if answer.status in _NO_NEGOTIATION:
                return None
            if answer.status != 200:
                raise self._refused(answer.status, token)
            text = (await answer.content.read(_MOST_NEGOTIATION_BYTES)).decode(errors="replace")
        try:
            body = parse_object(text)
            if body.get("url"):
                raise HubLost("The hub sends us to another address; a token goes to none but the configured one.")
            return optional_words(body, "connectionToken") or optional_words(body, "connectionId")
        except Unreadable as error:
            raise HubLost(f"The negotiation's answer cannot be read: {error}.") from None

    async def _shake_hands(self, connection: _Connection) -> None:
        await self._send(connection, signalr.HANDSHAKE)
        answer = await self._next(connection)
        if answer.get("error"):
            raise HubLost("The hub refuses the handshake.")

    async def _subscribe(self, connection: _Connection, accounts: Sequence[int]) -> None:
        """Subscribes, and waits until every subscription is confirmed; what is reported meanwhile is passed on."""
        calls = [("SubscribeAccounts", []), *((topic, [account]) for account in accounts for topic in _TOPICS)]
        open_calls = {str(number): target for number, (target, _) in enumerate(calls, start=1)}
        for number, (target, arguments) in enumerate(calls, start=1):
            call = {"type": signalr.INVOCATION, "invocationId": str(number), "target": target, "arguments": arguments}
            await self._send(connection, call)
        while open_calls:
            message = await self._next(connection)
            self._take(message)
            if message.get("type") == signalr.COMPLETION:
                target = open_calls.pop(str(message.get("invocationId")), "")
                if message.get("error"):
                    raise HubLost(f"The hub refuses {target or 'a subscription'}.")

    async def _listen(self, connection: _Connection) -> None:
        while True:
            self._take(await self._next(connection))

    async def _next(self, connection: _Connection) -> dict[str, Any]:
        """The next message. Raises HubLost when there is none any more, or none for too long."""
        while not connection.waiting:
            try:
                frame = await connection.socket.receive(timeout=self._pace.silent_for_s)
            except TimeoutError:
                raise HubLost(f"The hub was silent for {self._pace.silent_for_s:g} s.") from None
            if frame.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                raise HubLost("The hub closed the connection.")
            try:
                connection.waiting = connection.records.feed(frame.data)
            except Unreadable as error:
                raise HubLost(f"The hub sent what cannot be read: {error}.") from None
        return connection.waiting.pop(0)

    def _take(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == signalr.CLOSE:
            raise HubLost("The hub ends the connection.")
        if kind == signalr.INVOCATION:
            target, arguments = message.get("target"), message.get("arguments")
            for argument in arguments if isinstance(arguments, list) else []:
                self._on_event(str(target), argument)

    async def _ping(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Without our pings the server takes us for gone; where one cannot be sent, the reader learns of it by itself."""
        with suppress(aiohttp.ClientError, OSError):
            while True:
                await asyncio.sleep(self._pace.ping_every_s)
                await socket.send_str(signalr.record({"type": signalr.PING}))

    async def _send(self, connection: _Connection, message: dict[str, Any]) -> None:
        try:
            await connection.socket.send_str(signalr.record(message))
        except (aiohttp.ClientError, OSError):
            raise HubLost("The connection broke.") from None

    async def _in_time(self, what: str, step: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._pace.step_within_s):
                await step
        except TimeoutError:
            raise HubLost(f"The hub did not finish {what} in time.") from None

    def _not_made(self, error: BaseException, token: str) -> HubLost:
        if isinstance(error, aiohttp.WSServerHandshakeError):
            return self._refused(error.status, token)
        return HubLost(f"The hub cannot be reached: {failure(error).name}.")

    def _refused(self, status: int, token: str) -> HubLost:
        if status == 401:
            self._forget(token)
        return HubLost(f"The hub answers HTTP {status}.")
