"""Which strategy a webhook token belongs to, remembered so that a token costs no query and works while Postgres is away."""

import asyncio
import time

from eventrouter.errors import StoreUnavailable
from eventrouter.store.connect import Pool
from eventrouter.store.signals import token_hash, valid_tokens

_FRESH_S = 5.0
_ASK_AGAIN_S = 1.0


class TokenCache:
    """Looks tokens up by their hash: what a comparison's time could tell is the hash of a guess, which helps nobody."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[bytes, str] | None = None
        self._read_at = 0.0
        self._lock = asyncio.Lock()

    async def strategy_of(self, token: str) -> str | None:
        """The token's strategy, or None. A new token works at once, a revoked one for at most five seconds.

        Raises StoreUnavailable when the tokens were never read, or the token is new and Postgres cannot be asked.
        """
        digest = token_hash(token)
        age_s = time.monotonic() - self._read_at
        strategy = self._known.get(digest) if self._known is not None else None
        if strategy is not None and age_s < _FRESH_S:
            return strategy
        if strategy is None and self._known is not None and age_s < _ASK_AGAIN_S:
            return None
        try:
            await self._read()
        except StoreUnavailable:
            if strategy is None:
                raise
            return strategy
        return (self._known or {}).get(digest)

    async def _read(self) -> None:
        before = self._read_at
        async with self._lock:
            if self._read_at == before:  # nobody else read them while we waited
                self._known = await valid_tokens(self._pool)
                self._read_at = time.monotonic()
