"""Signals: the batch that stores alerts with their tasks in one commit."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from eventrouter.domain.duplicates import DuplicateKey
from eventrouter.domain.trades import Ask, Resolved, Trade, begun_since, resolve
from eventrouter.errors import SignalRefused
from eventrouter.store.connect import Conn, Pool, session
from eventrouter.store.files import query
from eventrouter.store.planned import (
    AskedLeg,
    PlannedLeg,
    PlannedLegs,
    plan_legs,
    plan_record,
    task_columns,
    why_nobody,
)
from eventrouter.store.settings import TableCache

_TOGETHER = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert as it goes to the database: accepted (ask) or refused (code, message).

    `raw` is without secrets. `max_age_s` is the age limit of what it opens. Its accounts are planned when it is stored.
    """

    uid: UUID
    strategy: str
    received_at: datetime
    raw: bytes
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    source_ip: str | None = None
    ask: Ask | None = None
    max_age_s: float | None = None
    code: str | None = None
    message: str | None = None
    field_name: str | None = None
    fired_at: datetime | None = None
    key: DuplicateKey | None = None


@dataclass(frozen=True, slots=True)
class MadeTask:
    """A task that an alert made now."""

    id: int
    trade_id: str
    account: str


@dataclass(frozen=True, slots=True)
class Stored:
    """Where an alert now stands: its own signal, or that of the alert that it repeats.

    `trade_id` and `event_type` are those of an accepted alert, `refusal` is why it was refused. `made` are the tasks that
    this commit made; `repeated`: an earlier commit had stored the alert already.
    """

    signal_id: int
    task_ids: tuple[int, ...]
    duplicate: bool
    trade_id: str | None = None
    event_type: str | None = None
    refusal: SignalRefused | None = field(default=None, compare=False)
    notes: tuple[str, ...] = ()
    made: tuple[MadeTask, ...] = field(default=(), compare=False)
    repeated: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What the database knows of an alert before it is stored. `first_at`: when the alert that it repeats was received.

    `newest` is the highest id of settings.
    """

    stored: bool
    duplicate_of: UUID | None
    first_at: datetime | None
    trades: tuple[Trade, ...]
    newest: int | None


@dataclass(slots=True)
class _Batch:
    """What a batch comes to, alert by alert in order: `trades` are the strategies' as they stand after each, oldest first.

    `touched` are those that stand otherwise than before.
    """

    resolved: dict[UUID, Resolved] = field(default_factory=dict)
    refused: dict[UUID, SignalRefused] = field(default_factory=dict)
    duplicates: dict[UUID, UUID] = field(default_factory=dict)
    trades: defaultdict[str, dict[str, Trade]] = field(default_factory=lambda: defaultdict(dict))
    touched: set[tuple[str, str]] = field(default_factory=set)


async def store_alerts(conn: Conn, alerts: Sequence[StoredAlert], tables: TableCache) -> list[Stored]:
    """Stores alerts and their tasks in the transaction of `conn`; an alert whose uid is stored already is left as it is.

    The accounts come from the routing table as it is published now.
    """
    return [stored for run in _runs(alerts) for stored in await _store_run(conn, run, tables)]


def fresh_trade_id(alert: StoredAlert) -> str:
    """The name of a trade that this alert begins without naming it: MNQ-20261122-143105-1f9a02c4."""
    root = (alert.ask.root if alert.ask is not None else None) or alert.strategy[:64]
    return f"{root}-{alert.received_at:%Y%m%d-%H%M%S}-{alert.uid.hex[:8]}"


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


async def _store_run(conn: Conn, alerts: Sequence[StoredAlert], tables: TableCache) -> list[Stored]:
    asked, alerts = alerts, list({alert.uid: alert for alert in alerts}.values())
    prepared = await _prepare(conn, alerts)
    batch = _resolved(alerts, prepared)
    table = await tables.table(conn, next((known.newest for known in prepared.values()), None))
    asked_legs = [(a, leg) for a in alerts if a.uid in batch.resolved for leg in batch.resolved[a.uid].legs]
    legs = await plan_legs(conn, [AskedLeg(a.uid, a.strategy, a.max_age_s, leg) for a, leg in asked_legs], table)
    rows = await _insert(conn, [alert for alert in alerts if not prepared[alert.uid].stored], batch, legs)
    stored = {uid: _stored_now(row, batch, legs[uid]) for uid, row in rows.items() if uid not in batch.duplicates}
    stored |= await _stored_before(conn, {a.uid for a in alerts} - rows.keys())
    firsts = set(batch.duplicates.values())
    stored |= {
        uid: replace(one, repeated=False) for uid, one in (await _stored_before(conn, firsts - stored.keys())).items()
    }
    for uid, first in batch.duplicates.items():
        stored[uid] = replace(stored[first], duplicate=True, made=(), repeated=False)
    return [stored[alert.uid] for alert in asked]


async def _prepare(conn: Conn, alerts: Sequence[StoredAlert]) -> dict[UUID, _Prepared]:
    cursor = await conn.execute(
        query("prepare_signals"),
        {
            "uids": [a.uid for a in alerts],
            "strategies": [a.strategy for a in alerts],
            "keys": [a.key.key if a.key else None for a in alerts],
            "windows": [a.key.window_s if a.key else None for a in alerts],
            "received": [a.received_at for a in alerts],
            "asks": [a.ask is not None for a in alerts],
            "trade_ids": [a.ask.trade_id if a.ask else None for a in alerts],
            "roots": [a.ask.root if a.ask and a.ask.of_product else None for a in alerts],
        },
    )
    return {
        uid: _Prepared(stored, duplicate_of, first_at, tuple(_trade(*trade) for trade in trades or ()), newest)
        for uid, stored, duplicate_of, first_at, trades, newest in await cursor.fetchall()
    }


def _trade(
    trade_id: str,
    root: str | None,
    side: str | None,
    units: str | Decimal | None,
    opened_at: str | datetime,
    ended_at: str | datetime | None,
    exit_fired_at: str | datetime | None,
    exited: bool,  # noqa: FBT001 - a column of a row
) -> Trade:
    """A trade from a row, or from JSON, where its number and times are texts."""

    def moment(at: str | datetime | None) -> datetime | None:
        return datetime.fromisoformat(at) if isinstance(at, str) else at

    return Trade(
        trade_id,
        root,
        side,
        None if units is None else Decimal(units),
        opened_at=moment(opened_at),
        ended_at=moment(ended_at),
        exit_fired_at=moment(exit_fired_at),
        exited=exited,
    )


def _resolved(alerts: Sequence[StoredAlert], prepared: Mapping[UUID, _Prepared]) -> _Batch:
    """Decides in order which trade each alert is about: a later one sees what an earlier one of the batch has begun."""
    batch = _Batch()
    known_trades = {
        (trade.opened_at, a.strategy, trade.trade_id): trade for a in alerts for trade in prepared[a.uid].trades
    }
    for (_, strategy, trade_id), trade in sorted(known_trades.items(), key=lambda known: known[0]):
        batch.trades[strategy][trade_id] = trade
    for alert in alerts:
        known = prepared[alert.uid]
        if known.stored:
            continue
        if _repeats(alert, known, batch):
            assert known.duplicate_of is not None
            batch.duplicates[alert.uid] = known.duplicate_of
        elif alert.ask is not None:
            _resolve_one(alert, alert.ask, batch)
    return batch


def _repeats(alert: StoredAlert, known: _Prepared, batch: _Batch) -> bool:
    """Whether the alert is another one again. What closes is not, once a trade has begun that the first could not mean."""
    if known.duplicate_of is None or known.duplicate_of in batch.refused:
        return False
    trades = list(batch.trades[alert.strategy].values())
    return alert.ask is None or known.first_at is None or not begun_since(alert.ask, trades, known.first_at)


def _resolve_one(alert: StoredAlert, ask: Ask, batch: _Batch) -> None:
    trades = batch.trades[alert.strategy]
    own = trades.get(ask.trade_id or "")
    known = list(trades.values()) if ask.of_product else [own] if own is not None else []
    try:
        resolved = resolve(ask, known, fresh_trade_id(alert))
    except SignalRefused as refusal:
        batch.refused[alert.uid] = refusal
        return
    batch.resolved[alert.uid] = resolved
    for trade_id in resolved.ended:
        ended = trades.get(trade_id)
        if ended is not None or ask.fired_at is not None:  # what fired may overtake an entry that fired before it
            ended = ended or Trade(trade_id, ask.root, opened_at=alert.received_at)
            fired_at = None if ask.fired_at is None else min(ask.fired_at, alert.received_at)
            trades[trade_id] = replace(ended, ended_at=alert.received_at, exit_fired_at=fired_at)
            batch.touched.add((alert.strategy, trade_id))
    if (began := resolved.began) is not None:
        opened_at = began.opened_at or alert.received_at
        trades[began.trade_id] = replace(began, opened_at=opened_at, ended_at=None, exit_fired_at=None)
        batch.touched.add((alert.strategy, began.trade_id))


async def _insert(
    conn: Conn, alerts: Sequence[StoredAlert], batch: _Batch, legs: PlannedLegs
) -> dict[UUID, Sequence[Any]]:
    """Writes everything; returns (uid, signal id, task ids) of each alert that was not stored before."""
    cursor = await conn.execute(
        query("ingest_signals"),
        _signal_columns(alerts, batch, legs)
        | task_columns(legs)
        | _trade_columns(batch)
        | _window_columns(alerts, batch),
    )
    return {row[0]: row for row in await cursor.fetchall()}


def _signal_columns(alerts: Sequence[StoredAlert], batch: _Batch, legs: PlannedLegs) -> dict[str, Any]:
    # a repeat has the trade of its first, also where that is in this batch
    resolved = [batch.resolved.get(batch.duplicates.get(a.uid, a.uid)) for a in alerts]
    refusals = [batch.refused.get(a.uid) for a in alerts]
    return {
        "uids": [a.uid for a in alerts],
        "strategies": [a.strategy for a in alerts],
        "trade_ids": [r.trade_id if r else None for r in resolved],
        "trades": [json.dumps(r.trades) if r and len(r.trades) > 1 else None for r in resolved],
        "event_types": [r.event_type if r else None for r in resolved],
        "codes": [refusal.code if refusal else a.code for a, refusal in zip(alerts, refusals, strict=True)],
        "messages": [refusal.message if refusal else a.message for a, refusal in zip(alerts, refusals, strict=True)],
        "fields": [refusal.field if refusal else a.field_name for a, refusal in zip(alerts, refusals, strict=True)],
        "raws": [a.raw for a in alerts],
        "content_types": [a.content_type for a in alerts],
        "headers": [json.dumps(dict(a.headers)) for a in alerts],
        "source_ips": [a.source_ip for a in alerts],
        "parsed": [_record(a, batch) for a in alerts],
        "received": [a.received_at for a in alerts],
        "fired": [a.fired_at for a in alerts],
        "duplicates": [batch.duplicates.get(a.uid) for a in alerts],
        "plans": [plan_record(legs.get(a.uid)) for a in alerts],
    }


def _record(alert: StoredAlert, batch: _Batch) -> str | None:
    if alert.ask is None:
        return None
    resolved = batch.resolved.get(alert.uid)
    record = dict(alert.ask.record)
    if resolved is not None and resolved.notes:
        record["notes"] = [*record.get("notes", ()), *resolved.notes]
    return json.dumps(record, allow_nan=False)


def _trade_columns(batch: _Batch) -> dict[str, Any]:
    touched = [(strategy, batch.trades[strategy][trade_id]) for strategy, trade_id in batch.touched]
    return {
        "trade_strategies": [strategy for strategy, _ in touched],
        "trade_names": [trade.trade_id for _, trade in touched],
        "trade_roots": [trade.root for _, trade in touched],
        "trade_sides": [trade.side for _, trade in touched],
        "trade_units": [trade.units for _, trade in touched],
        "trade_opened": [trade.opened_at for _, trade in touched],
        "trade_ended": [trade.ended_at for _, trade in touched],
        "trade_exits_fired": [trade.exit_fired_at for _, trade in touched],
    }


def _window_columns(alerts: Sequence[StoredAlert], batch: _Batch) -> dict[str, Any]:
    refused = [(a.uid, a.strategy, a.key.key) for a in alerts if a.key is not None and a.uid in batch.refused]
    return {
        "refused_uids": [uid for uid, _, _ in refused],
        "refused_strategies": [strategy for _, strategy, _ in refused],
        "refused_keys": [key for _, _, key in refused],
    }


def _stored_now(row: Sequence[Any], batch: _Batch, legs: Sequence[PlannedLeg]) -> Stored:
    uid, signal_id, task_ids = row
    resolved = batch.resolved.get(uid)
    return Stored(
        signal_id,
        tuple(task_ids),
        duplicate=False,
        trade_id=resolved.trade_id if resolved else None,
        event_type=resolved.event_type if resolved else None,
        refusal=batch.refused.get(uid),
        notes=(*resolved.notes, *why_nobody(legs)) if resolved else (),
        made=tuple(
            MadeTask(task_id, task.leg.trade_id, task.intent.account)
            for task_id, task in zip(task_ids, (task for leg in legs for task in leg.tasks), strict=True)
        ),
    )


async def _stored_before(conn: Conn, uids: Collection[UUID]) -> dict[UUID, Stored]:
    """What earlier commits stored."""
    if not uids:
        return {}
    cursor = await conn.execute(query("stored_signals"), {"uids": list(uids)})
    rows = await cursor.fetchall()
    found = {
        uid: Stored(
            signal_id,
            tuple(task_ids),
            duplicate=duplicate_of is not None,
            trade_id=trade_id,
            event_type=event_type,
            refusal=None if code is None else SignalRefused(code, message, at_fault),
            repeated=True,
        )
        for uid, signal_id, trade_id, event_type, code, message, at_fault, duplicate_of, task_ids in rows
    }
    firsts = {row[0]: row[7] for row in rows if row[7] is not None}
    first_rows = await _stored_before(conn, set(firsts.values()) - found.keys())
    return found | {uid: replace((found | first_rows)[first], duplicate=True) for uid, first in firsts.items()}


async def trades_of(conn: Conn, strategy: str, root: str | None) -> list[Trade]:
    """A strategy's open trades and those of the instrument that ended lately, oldest first."""
    cursor = await conn.execute(query("strategy_trades"), {"strategy": strategy, "root": root})
    return [_trade(*row) for row in await cursor.fetchall()]


async def repeated_signal(conn: Conn, strategy: str, key: DuplicateKey) -> tuple[int, datetime] | None:
    """The signal that an alert with this key would repeat now, and when it was received."""
    row = await (await conn.execute(query("repeated_signal"), {"strategy": strategy, "key": key.key})).fetchone()
    return (row[0], row[1]) if row else None


async def purge_windows(pool: Pool) -> int:
    """Forgets windows that have ended (at most a thousand at once); returns how many."""
    async with session(pool, "purge") as conn:
        row = await (await conn.execute(query("purge_alert_windows"))).fetchone()
        return row[0] if row else 0


async def last_heard(pool: Pool, strategies: Sequence[str]) -> dict[str, datetime | None]:
    """When an alert of each strategy was last received, refused ones included; None: never."""
    async with session(pool, "silence") as conn:
        return dict(await (await conn.execute(query("last_heard"), {"strategies": list(strategies)})).fetchall())
