"""Tokens: two are valid during a change, revoked ones never again, and only hashes are stored."""

from typing import Any

import psycopg
import pytest

from eventrouter.errors import TokensInUse
from eventrouter.store.connect import Conn
from eventrouter.store.tokens import add_token, revoke_tokens, token_hash, tokens, valid_tokens


async def test_a_token_is_changed_without_a_gap(conn: Conn) -> None:
    """Old and new are valid together; a third is refused; revoking ends all but the newest."""
    old, new = await add_token(conn, "orb"), await add_token(conn, "orb")
    assert (await valid_tokens(conn)).keys() == {token_hash(old), token_hash(new)}
    with pytest.raises(TokensInUse):
        await add_token(conn, "orb")
    await add_token(conn, "vwap")
    assert len(await revoke_tokens(conn, "orb")) == 1
    assert token_hash(old) not in await valid_tokens(conn)
    assert token_hash(new) in await valid_tokens(conn)
    assert await revoke_tokens(conn, "orb") == []


async def test_one_token_is_revoked_by_its_id(conn: Conn) -> None:
    """`--id` ends that one, the newest too; another strategy's id ends nothing."""
    await add_token(conn, "orb")
    token_id = (await tokens(conn))[0]["id"]
    assert await revoke_tokens(conn, "vwap", token_id) == []
    assert await revoke_tokens(conn, "orb", token_id) == [token_id]
    assert await valid_tokens(conn) == {}


async def test_only_a_hash_is_stored(conn: Conn, owner: psycopg.Connection[Any]) -> None:
    """The token itself is nowhere in the database, and has at least 128 random bits."""
    token = await add_token(conn, "orb")
    assert len(token) >= 22
    assert token not in str(owner.execute("SELECT * FROM strategy_tokens").fetchall())
