"""The token of a login: got with the key, renewed before it ends, forgotten when the broker refuses it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eventrouter.connectors.projectx import answers
from eventrouter.connectors.projectx.answers import Reply
from eventrouter.connectors.projectx.credentials import Credentials
from eventrouter.connectors.projectx.json_values import Unreadable, words
from eventrouter.errors import BrokerError, BrokerRefused, BrokerUnavailable

TOKEN_LIFETIME_S = 24 * 3600.0
_RENEW_AT = 0.9  # of its lifetime
_REFUSED_FOR_S = 30.0  # a wrong key does not become right; many attempts may lock the user

Post = Callable[[str, Mapping[str, Any] | None, str | None, bool], Awaitable[Reply]]
"""Endpoint, body, token, whether it is urgent. Raises BrokerUnavailable."""


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    got_at: float


class Login:
    """Hands out the token; of callers at the same time one logs in, and the others wait for it."""

    def __init__(
        self,
        post: Post,
        credentials: Credentials,
        clock: Callable[[], float],
        *,
        lifetime_s: float = TOKEN_LIFETIME_S,
    ) -> None:
        self._post = post
        self._credentials = credentials
        self._clock = clock
        self._lifetime_s = lifetime_s
        self._lock = asyncio.Lock()
        self._token: _Token | None = None
        self._refusal: tuple[BrokerRefused, float] | None = None

    def __repr__(self) -> str:
        return "Login()"

    async def token(self, *, urgent: bool = False) -> str:
        """A token that is good as far as we know. Raises BrokerRefused, BrokerUnavailable."""
        known = self._token
        if known is not None and self._lock.locked() and self._clock() < known.got_at + self._lifetime_s:
            return known.value  # somebody renews it; it is good meanwhile, and an exit must not wait for that
        async with self._lock:
            token, now = self._token, self._clock()
            if token is None or now >= token.got_at + self._lifetime_s:
                token = self._token = _Token(await self._log_in(urgent=urgent), now)
            elif now >= token.got_at + self._lifetime_s * _RENEW_AT:
                token = self._token = await self._renewed(token, now, urgent=urgent)
            return token.value

    def forget(self, token: str) -> None:
        """The broker refused this token; the next caller logs in again, unless somebody has done so already."""
        if self._token is not None and self._token.value == token:
            self._token = None

    async def _log_in(self, *, urgent: bool) -> str:
        if self._refusal is not None and self._clock() < self._refusal[1]:
            raise BrokerRefused(str(self._refusal[0]), self._refusal[0].status)
        key = self._credentials.api_key.get_secret_value()
        body = {"userName": self._credentials.user_name, "apiKey": key}
        try:
            return _token_in(answers.LOGIN, await self._post(answers.LOGIN, body, None, urgent), "token")
        except BrokerRefused as error:
            self._refusal = (error, self._clock() + _REFUSED_FOR_S)
            raise

    async def _renewed(self, token: _Token, now: float, *, urgent: bool) -> _Token:
        """A new token for one that is still good; where that fails, by the key; where that fails too, the old one serves on."""
        try:
            reply = await self._post(answers.VALIDATE, None, token.value, urgent)
            return _Token(_token_in(answers.VALIDATE, reply, "newToken"), now)
        except BrokerError:
            try:
                return _Token(await self._log_in(urgent=urgent), now)
            except BrokerUnavailable:
                return token


def _token_in(endpoint: str, reply: Reply, name: str) -> str:
    body = answers.body_of(endpoint, reply)
    try:
        return words(body, name)
    except Unreadable as error:
        raise BrokerUnavailable(f"{endpoint}: the answer cannot be read: {error}.") from None
