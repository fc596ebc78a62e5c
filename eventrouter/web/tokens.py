"""Which strategy a webhook token belongs to, remembered so that a token costs no query and works while Postgres is away."""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from eventrouter.errors import StoreError, StoreUnavailable
from eventrouter.store.connect import Pool, session, translated
from eventrouter.store.tokens import token_hash, valid_tokens

TOKEN_FORM = re.compile(rb"(?<![\w-])[\w-]{32}(?![\w-])")
_FRESH_S = 5.0
_PATIENCE_S = 0.5  # with one reading, however many alerts come while it lasts
_READ_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Sender:
    """A strategy, and the token that speaks for it."""

    strategy: str
    token: str = field(repr=False)


class TokenCache:
    """Looks tokens up by their hash: what a comparison's time could tell is the hash of a guess, which helps nobody."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[bytes, str] | None = None
        self._read_at = 0.0
        self._reading: asyncio.Task[None] | None = None
        self._reading_since = 0.0

    async def load(self) -> None:
        """Remembers what is valid now, in case that Postgres goes away before the first alert. Raises StoreUnavailable."""
        async with session(self._pool, "tokens") as conn:
            self._known = await valid_tokens(conn)

    async def sender(self, tokens: Sequence[str]) -> Sender | None:
        """Whose the first valid one of these tokens is, or None. A new one works at once; a revoked one ends within five seconds.

        Raises StoreUnavailable when the tokens were never read, or none is known and Postgres does not answer.
        """
        if not tokens:
            return None
        found = self._find(tokens)
        if found is not None and time.monotonic() - self._read_at < _FRESH_S:
            return found
        for _ in range(2):  # a reading that was under way may have begun before a new token was made; the second cannot
            try:
                await self._read()
            except StoreError:
                if found is None:
                    raise
                return found  # known, and Postgres is away: the alert shall not wait for it
            if fresh := self._find(tokens):
                return fresh
        return None

    def _find(self, tokens: Sequence[str]) -> Sender | None:
        known = self._known or {}
        return next((Sender(known[digest], token) for token in tokens if (digest := token_hash(token)) in known), None)

    async def _read(self) -> None:
        """Reads the tokens; everybody who asks meanwhile waits for the same answer, and nobody for long."""
        now = time.monotonic()
        reading = self._reading
        if reading is None or reading.done():
            reading = self._reading = asyncio.create_task(self._read_now(), name="tokens")
            reading.add_done_callback(lambda read: read.cancelled() or read.exception())  # nobody may be waiting
            self._reading_since = now
        done, _ = await asyncio.wait({reading}, timeout=max(0.0, self._reading_since + _PATIENCE_S - now))
        if not done:
            raise StoreUnavailable("who sends: Postgres does not answer.")
        reading.result()

    async def _read_now(self) -> None:
        async with translated("who sends"), asyncio.timeout(_READ_WITHIN_S), session(self._pool, "tokens") as conn:
            self._known = await valid_tokens(conn)
        self._read_at = time.monotonic()
