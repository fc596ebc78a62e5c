"""One POST: one HTTP session, a fresh connection for every request, time-outs, and answers of bounded length."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from eventrouter import failpoints
from eventrouter.connectors.projectx.answers import NotOpen, Reply

TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 5.0
_MOST_BYTES = 8 * 1024 * 1024
_LONGEST_RETRY_AFTER_S = 3600.0
_POINTS = {"Order/place": "order", "Order/cancel": "cancel"}


class Rest:
    """Posts JSON below `base_url`/api. Nothing is ever sent twice, and no redirect is followed."""

    def __init__(
        self, base_url: str, *, timeout_s: float = TIMEOUT_S, connect_timeout_s: float = CONNECT_TIMEOUT_S
    ) -> None:
        self._api = URL(base_url.rstrip("/")) / "api"
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=connect_timeout_s)
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"Rest({str(self._api.origin())!r})"

    async def open(self) -> None:
        """Makes the session; nothing is sent. Idempotent."""
        if self._session is None:
            # a kept connection that the peer has just closed would turn an order's outcome into an unknown one
            connector = aiohttp.TCPConnector(force_close=True, limit=0)
            traces = [_sent_failpoint()] if failpoints.ARMED else None
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout, trace_configs=traces)

    async def close(self) -> None:
        """Closes the session and all that goes on in it. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def session(self) -> aiohttp.ClientSession | None:
        """The session while it is open; the hub uses it too."""
        return self._session

    async def post(
        self, endpoint: str, body: Mapping[str, Any] | None, *, token: str | None, secrets: Sequence[str] = ()
    ) -> Reply:
        """Posts once. Raises what aiohttp raises, TimeoutError, or NotOpen.

        The reply knows the texts in `secrets` and the token, and shows none of them.
        """
        if self._session is None:
            raise NotOpen
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        point = _POINTS.get(endpoint, "")
        failpoints.hit(f"{point}.connect")
        async with self._session.post(
            self._api / endpoint, data=data, headers=headers, allow_redirects=False
        ) as answer:
            failpoints.hit(f"{point}.accepted")
            raw = await _read(answer)
            return Reply(
                answer.status,
                raw[:_MOST_BYTES].decode(errors="replace"),
                _retry_after_s(answer.headers.get("Retry-After")),
                whole=len(raw) <= _MOST_BYTES,
                secrets=(*secrets, token or ""),
            )


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """The body, or a little more of it than may be read."""
    parts: list[bytes] = []
    length = 0
    async for part in answer.content.iter_chunked(65_536):
        parts.append(part)
        length += len(part)
        if length > _MOST_BYTES:
            break
    return b"".join(parts)


def _retry_after_s(value: str | None) -> float | None:
    """Seconds, where the header names them; a date is not worth the trust in two clocks."""
    if value is None or not value.strip().isdecimal():
        return None
    return min(float(value), _LONGEST_RETRY_AFTER_S)


def _sent_failpoint() -> aiohttp.TraceConfig:
    """Hits order.sent once an order's bytes are with the operating system, which is when the loop comes round again."""

    async def sent(_session: object, _context: object, chunk: aiohttp.TraceRequestChunkSentParams) -> None:
        if chunk.url.path.endswith("/Order/place"):
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, failpoints.hit, "order.sent")

    trace = aiohttp.TraceConfig()
    trace.on_request_chunk_sent.append(sent)
    return trace
