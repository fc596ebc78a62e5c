"""Signals: the batch that stores alerts with their tasks in one commit, and the tokens that say who may send."""

import hashlib
import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from eventrouter.domain.duplicates import DuplicateKey
from eventrouter.domain.plan import Intent, follow_trade, opens
from eventrouter.errors import TokensInUse
from eventrouter.store.connect import Conn, Pool, session, translated
from eventrouter.store.files import query
from eventrouter.store.tasks import trade_accounts

_TOGETHER = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert as it goes to the database: accepted (trade_id, event_type, payload, intents) or refused (code, message)."""

    uid: UUID
    strategy: str
    received_at: datetime
    raw: bytes
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    source_ip: str | None = None
    trade_id: str | None = None
    event_type: str | None = None
    payload: Mapping[str, Any] | None = None
    intents: tuple[Intent, ...] = ()
    code: str | None = None
    message: str | None = None
    field_name: str | None = None
    fired_at: datetime | None = None
    key: DuplicateKey | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """Where an alert now stands: its signal and tasks, or those of the alert that it is a duplicate of.

    `repeated`: an earlier commit had stored it already.
    """

    signal_id: int
    task_ids: tuple[int, ...]
    duplicate: bool
    repeated: bool = field(default=False, compare=False)


async def store_alerts(conn: Conn, alerts: Sequence[StoredAlert]) -> list[Stored]:
    """Stores alerts and their tasks in the transaction of `conn`; an alert whose uid is stored already is left as it is."""
    return [stored for run in _runs(alerts) for stored in await _store_run(conn, run)]


def _runs(alerts: Sequence[StoredAlert]) -> list[list[StoredAlert]]:
    """Cuts before an alert that repeats one received a while earlier: a statement looks at each window only once.

    What waited through an outage comes together though it was received minutes apart, and a window may have ended between.
    """
    runs: list[list[StoredAlert]] = [[]]
    firsts: dict[tuple[str, bytes], datetime] = {}
    for alert in alerts:
        if alert.key is not None:
            first = firsts.setdefault((alert.strategy, alert.key.key), alert.received_at)
            if alert.received_at - first >= _TOGETHER:
                runs.append([])
                firsts = {(alert.strategy, alert.key.key): alert.received_at}
        runs[-1].append(alert)
    return runs


async def _store_run(conn: Conn, alerts: Sequence[StoredAlert]) -> list[Stored]:
    asked, alerts = alerts, list({alert.uid: alert for alert in alerts}.values())
    alerts = await _follow_trades(conn, alerts)
    payloads = [None if a.payload is None else json.dumps(dict(a.payload), allow_nan=False) for a in alerts]
    tasks = [
        (alert.uid, intent.account, payload, intent.max_age_s)
        for alert, payload in zip(alerts, payloads, strict=True)
        for intent in alert.intents
    ]
    cursor = await conn.execute(
        query("ingest_signals"),
        {
            "uids": [a.uid for a in alerts],
            "strategies": [a.strategy for a in alerts],
            "trade_ids": [a.trade_id for a in alerts],
            "event_types": [a.event_type for a in alerts],
            "codes": [a.code for a in alerts],
            "messages": [a.message for a in alerts],
            "fields": [a.field_name for a in alerts],
            "raws": [a.raw for a in alerts],
            "content_types": [a.content_type for a in alerts],
            "headers": [json.dumps(dict(a.headers)) for a in alerts],
            "source_ips": [a.source_ip for a in alerts],
            "parsed": payloads,
            "received": [a.received_at for a in alerts],
            "fired": [a.fired_at for a in alerts],
            "keys": [a.key.key if a.key else None for a in alerts],
            "windows": [a.key.window_s if a.key else None for a in alerts],
            "task_uids": [task[0] for task in tasks],
            "task_accounts": [task[1] for task in tasks],
            "task_payloads": [task[2] for task in tasks],
            "task_max_ages": [task[3] for task in tasks],
        },
    )
    rows = {row[0]: row for row in await cursor.fetchall()}
    missing = {a.uid for a in alerts} - rows.keys()  # stored by an earlier commit whose answer was lost
    rows |= await _stored_before(conn, missing)
    firsts = {row[3] for row in rows.values() if row[3] is not None}
    rows = await _stored_before(conn, firsts - rows.keys()) | rows
    return [_stored(rows, alert.uid, repeated=alert.uid in missing) for alert in asked]


async def _stored_before(conn: Conn, uids: Collection[UUID]) -> dict[UUID, Sequence[Any]]:
    if not uids:
        return {}
    cursor = await conn.execute(query("signals_by_uid"), {"uids": list(uids)})
    return {row[0]: row for row in await cursor.fetchall()}


def _stored(rows: Mapping[UUID, Sequence[Any]], uid: UUID, *, repeated: bool) -> Stored:
    duplicate_of = rows[uid][3]
    _, signal_id, task_ids, _ = rows[duplicate_of or uid]
    return Stored(signal_id, tuple(task_ids), duplicate=duplicate_of is not None, repeated=repeated)


async def purge_windows(pool: Pool) -> int:
    """Forgets windows that have ended (at most a thousand at once); returns how many."""
    async with session(pool, "purge") as conn:
        row = await (await conn.execute(query("purge_alert_windows"))).fetchone()
        return row[0] if row else 0


async def _follow_trades(conn: Conn, alerts: Sequence[StoredAlert]) -> list[StoredAlert]:
    """Exits with what their trade says: its accounts, and its symbol where the alert names none.

    Entries of the same batch count as well; they are not in the database yet.
    """
    exits = {str(alert.trade_id) for alert in alerts if alert.payload is not None and not opens(str(alert.event_type))}
    held = await trade_accounts(conn, exits)
    followed: list[StoredAlert] = []
    for alert in alerts:
        if alert.payload is None or alert.event_type is None:
            followed.append(alert)
            continue
        trade = held.setdefault(str(alert.trade_id), {})
        if opens(alert.event_type):
            trade.update(dict.fromkeys((intent.account for intent in alert.intents), alert.payload.get("symbol")))
            followed.append(alert)
            continue
        symbol = alert.payload.get("symbol") or next((symbol for symbol in trade.values() if symbol), None)
        payload = {**alert.payload, **({"symbol": symbol} if symbol else {})}
        followed.append(replace(alert, payload=payload, intents=follow_trade(alert.intents, alert.event_type, trade)))
    return followed


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


async def last_heard(pool: Pool, strategies: Sequence[str]) -> dict[str, datetime | None]:
    """When an alert of each strategy was last received, refused ones included; None: never."""
    async with session(pool, "silence") as conn:
        return dict(await (await conn.execute(query("last_heard"), {"strategies": list(strategies)})).fetchall())


async def valid_tokens(pool: Pool) -> dict[bytes, str]:
    """Token hash → strategy, for every token that is not revoked."""
    async with session(pool, "tokens") as conn:
        cursor = await conn.execute(query("valid_tokens"))
        return {bytes(digest): strategy for digest, strategy in await cursor.fetchall()}
