"""Who may look and act at the desk: users, their sessions and one-time links, and scripts' keys. Only hashes are stored."""

import re
import secrets
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row

from eventrouter.errors import NotKnown
from eventrouter.store.connect import Conn, translated
from eventrouter.store.files import query
from eventrouter.store.tokens import token_hash

VIEW, OPERATE = "view", "operate"
ROLES = (VIEW, OPERATE)
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}"
LINK_LASTS_S = 600.0
_KEY_MARK = "erk_"  # so that a key is recognised where it does not belong


class UnknownUser(NotKnown):
    """There is no user of this name."""

    code = "USER_UNKNOWN"


@dataclass(frozen=True, slots=True)
class Identity:
    """A user or a key, and what it may do."""

    name: str
    role: str


def new_token() -> str:
    """A secret of 256 random bits, as text for a cookie or an address."""
    return secrets.token_urlsafe(32)


def is_name(text: str) -> bool:
    """Whether a user or a key may be called so."""
    return re.fullmatch(_NAME, text) is not None


async def login_needed(conn: Conn) -> bool:
    """Whether there is a user who could sign in."""
    return bool(await _value(conn, "desk_login_needed"))


async def users(conn: Conn) -> list[dict[str, Any]]:
    """name, role, created_at, has_password, and seen_at of their latest session."""
    return await _rows(conn, "desk_users")


async def add_user(conn: Conn, name: str, password_hash: str | None, role: str) -> bool:
    """Adds a user; False when there is one of that name, whatever its case. Without a password only a link lets them in."""
    return bool(await _value(conn, "add_desk_user", name=name, password=password_hash, role=role))


async def set_password(conn: Conn, name: str, password_hash: str) -> None:
    """Gives a user another password and ends their sessions. Raises UnknownUser."""
    if not await _value(conn, "change_desk_user", name=name, password=password_hash, remove=False):
        raise UnknownUser(f"There is no user {name!r}. See: eventrouter user list")


async def remove_user(conn: Conn, name: str) -> None:
    """Removes a user and ends their sessions. Raises UnknownUser."""
    if not await _value(conn, "change_desk_user", name=name, password=None, remove=True):
        raise UnknownUser(f"There is no user {name!r}. See: eventrouter user list")


async def password_of(conn: Conn, name: str) -> tuple[str, str] | None:
    """(name as it is written, Argon2id hash) of a user who has a password, or None."""
    async with translated("access"):
        row = await (await conn.execute(query("desk_password"), {"name": name})).fetchone()
    return (row[0], row[1]) if row and row[1] else None


async def rehash(conn: Conn, name: str, old: str, new: str) -> None:
    """Stores the same password hashed anew, unless it was changed meanwhile."""
    await _value(conn, "rehash_desk_password", name=name, old=old, new=new)


async def open_session(conn: Conn, name: str, password_hash: str, lasts_s: float) -> str | None:
    """A new session's token, the only copy of it; None when the password that was compared is not theirs any more."""
    token = new_token()
    values = {"name": name, "password": password_hash, "sha256": token_hash(token), "lasts_s": lasts_s}
    return token if await _value(conn, "open_desk_session", **values) else None


async def open_link(conn: Conn, link: str, lasts_s: float) -> tuple[str, str] | None:
    """(name, a new session's token) for a one-time link, which is used up; None when it cannot be used (any more)."""
    token = new_token()
    values = {"link": token_hash(link), "sha256": token_hash(token), "lasts_s": lasts_s}
    name = await _value(conn, "open_desk_link", **values)
    return (name, token) if name else None


async def add_link(conn: Conn, name: str) -> str:
    """The secret part of a link that signs this user in once, within ten minutes. Raises UnknownUser."""
    link = new_token()
    if not await _value(conn, "add_desk_link", name=name, sha256=token_hash(link), lasts_s=LINK_LASTS_S):
        raise UnknownUser(f"There is no user {name!r}. See: eventrouter user list")
    return link


async def user_of_session(conn: Conn, token: str, idle_s: float) -> Identity | None:
    """Whose session this is; None when it ended, or was not used for `idle_s` seconds. Its use is noted once a minute."""
    async with translated("access"):
        cursor = await conn.execute(query("desk_session"), {"sha256": token_hash(token), "idle_s": idle_s})
        row = await cursor.fetchone()
    if row is None:
        return None
    if row[2]:
        await _value(conn, "touch_desk_session", sha256=token_hash(token))
    return Identity(row[0], row[1])


async def end_session(conn: Conn, token: str) -> None:
    """Ends a session."""
    await _value(conn, "end_desk_session", sha256=token_hash(token))


async def add_key(conn: Conn, name: str, role: str) -> str | None:
    """A new key for a script, the only copy of it; None when there is a valid one of that name."""
    key = _KEY_MARK + new_token()
    return key if await _value(conn, "add_api_key", name=name, sha256=token_hash(key), role=role) else None


async def revoke_key(conn: Conn, name: str) -> bool:
    """Ends a script's key; False when there is no valid one of that name."""
    return bool(await _value(conn, "revoke_api_key", name=name))


async def keys(conn: Conn) -> list[dict[str, Any]]:
    """name, role, created_at and revoked_at of every key that there is or was."""
    return await _rows(conn, "api_keys")


async def owner_of_key(conn: Conn, key: str) -> Identity | None:
    """Whose key this is, or None."""
    async with translated("access"):
        row = await (await conn.execute(query("api_key"), {"sha256": token_hash(key)})).fetchone()
    return Identity(*row) if row else None


async def _value(conn: Conn, name: str, /, **values: object) -> Any:
    async with translated("access"):
        row = await (await conn.execute(query(name), values)).fetchone()
    return row[0] if row else None


async def _rows(conn: Conn, name: str) -> list[dict[str, Any]]:
    async with translated("access"), conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query(name))
        return await cursor.fetchall()
