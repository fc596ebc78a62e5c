"""Tokens that say who may send alerts; only hashes of them are stored."""

import hashlib
import secrets
from typing import Any

from eventrouter.errors import TokensInUse
from eventrouter.store.connect import Conn, translated
from eventrouter.store.files import query


def token_hash(token: str) -> bytes:
    """What is stored of a token. A plain hash is enough: a token is 192 random bits, not a word somebody chose."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


async def add_token(conn: Conn, strategy: str) -> str:
    """Draws and stores a new webhook token of a strategy; the return value is the only copy of it."""
    token = secrets.token_urlsafe(24)
    async with translated("token"):
        row = await (
            await conn.execute(query("add_strategy_token"), {"strategy": strategy, "sha256": token_hash(token)})
        ).fetchone()
    if row is None or row[0] is None:
        raise TokensInUse(
            f"{strategy!r} has two valid tokens already, the most that a change of token needs. "
            f"End the old one first: eventrouter token revoke {strategy}"
        )
    return token


async def revoke_tokens(conn: Conn, strategy: str, token_id: int | None = None) -> list[int]:
    """Ends one token of a strategy, or all but the newest; returns the ids of those that were valid until now."""
    async with translated("token"):
        cursor = await conn.execute(query("revoke_strategy_tokens"), {"strategy": strategy, "token_id": token_id})
        return sorted(row[0] for row in await cursor.fetchall())


async def tokens(conn: Conn) -> list[dict[str, Any]]:
    """Every token's id, strategy, and when it was made and revoked."""
    async with translated("token"):
        rows = await (await conn.execute(query("list_tokens"))).fetchall()
    return [dict(zip(("id", "strategy", "created_at", "revoked_at"), row, strict=True)) for row in rows]


async def valid_tokens(conn: Conn) -> dict[bytes, str]:
    """Token hash → strategy, for every token that is not revoked."""
    cursor = await conn.execute(query("valid_tokens"))
    return {bytes(digest): strategy for digest, strategy in await cursor.fetchall()}
