"""The batch that stores alerts: signal, tasks and first log rows in one commit, once for each uid."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from eventrouter.domain.symbols import root_of
from eventrouter.domain.trades import Ask
from eventrouter.store.connect import Conn
from eventrouter.store.reports import signals
from eventrouter.store.signals import StoredAlert, store_alerts
from tests.store.open_trades import open_trades
from tests.store.stored_task import value
from tests.store.tables import trading

A = trading("a")
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def alert(event_type: str = "ENTRY", *, trade: str = "T1", symbol: str | None = "ES", **more: Any) -> StoredAlert:
    """An understood alert that names its trade, of strategy orb."""
    event = "EXIT" if event_type.startswith("EXIT") else event_type
    payload = {"kind": event} | ({"symbol": symbol} if symbol else {})
    record = {**payload, "family": "generic"}
    ask = Ask(event, event_type, payload, record, trade_id=trade, root=symbol and root_of(symbol), side="LONG")
    values = {"ask": ask, "max_age_s": 60.0}
    return StoredAlert(uuid4(), "orb", NOW, b'{"raw"}\x00\xff', **{**values, **more})


def refused(**more: Any) -> StoredAlert:
    """An alert that was not understood."""
    return StoredAlert(uuid4(), "orb", NOW, b"?", code="BODY_NOT_JSON", message="No JSON.", **more)


async def test_all_at_once(conn: Conn) -> None:
    """A batch stores every alert with its tasks, in order, and each task with its first log row."""
    batch = [alert(), refused(field_name="kind"), alert("EXIT_SL", trade="T2")]
    first, bad, last = await store_alerts(conn, batch, trading("a", "b"))
    assert [len(stored.task_ids) for stored in (first, bad, last)] == [2, 0, 2]
    assert first.signal_id < bad.signal_id < last.signal_id
    assert not any(stored.duplicate for stored in (first, bad, last))
    rows = await conn.execute(
        "SELECT t.account, t.signal_id, extract(epoch FROM t.expires_at - s.received_at)::int, l.seq, l.status, s.raw"
        " FROM execution_tasks t JOIN automated_signals s ON s.id = t.signal_id JOIN execution_logs l ON l.task_id = t.id"
        " ORDER BY t.id"
    )
    raw = b'{"raw"}\x00\xff'
    assert await rows.fetchall() == [
        (account, signal_id, age, 1, "PENDING", raw)
        for signal_id, age in ((first.signal_id, 60), (last.signal_id, None))
        for account in "ab"
    ]
    listed = await signals(conn)
    assert [(row["code"], row["field"], row["tasks"]) for row in listed] == [
        (None, None, list(last.task_ids)),
        ("BODY_NOT_JSON", "kind", []),
        (None, None, list(first.task_ids)),
    ]


async def test_a_uid_is_stored_once(conn: Conn) -> None:
    """A batch that is given again, in whole or in part, answers with what stands and stores only what is new."""
    old, new = alert(), alert(trade="T2")
    (stored,) = await store_alerts(conn, [old], trading("a", "b"))
    changed = replace(alert(trade="T9"), uid=old.uid)
    fresh, again = await store_alerts(conn, [new, changed], trading("c"))
    assert (again, again.repeated, again.made) == (stored, True, ())
    assert not fresh.duplicate
    assert await value(conn, "SELECT count(*) FROM automated_signals") == 2
    assert await value(conn, "SELECT string_agg(trade_id, ',' ORDER BY id) FROM execution_tasks") == "T1,T1,T2"
    assert [trade.trade_id for trade in await open_trades(conn, "orb")] == ["T1", "T2"]


async def test_one_uid_twice_in_a_batch(conn: Conn) -> None:
    """An alert that stands twice in one batch is stored once, and both places are told the same."""
    twice = alert()
    first, second = await store_alerts(conn, [twice, twice], A)
    assert (first.signal_id, len(first.task_ids)) == (second.signal_id, 1)
    assert first.task_ids == second.task_ids
    assert await value(conn, "SELECT count(*) FROM execution_tasks") == 1


async def test_an_exit_follows_its_trade(conn: Conn) -> None:
    """An alert that names no symbol gets its trade's, from the same batch or from an earlier one."""
    await store_alerts(conn, [alert(trade="T1", symbol="CL")], A)
    batch = [
        alert("EXIT_SL", trade="T1", symbol=None),
        alert("ENTRY", trade="T2", symbol="GC"),
        alert("EXIT_SL", trade="T2", symbol=None),
        alert("EXIT_SL", trade="T3", symbol=None),
    ]
    await store_alerts(conn, batch, A)
    assert await value(conn, "SELECT array_agg(lane ORDER BY id) FROM execution_tasks WHERE id > 1") == [
        "a/CL",
        "a/GC",
        "a/GC",
        "a/-",
    ]
    symbols = "SELECT array_agg(payload ->> 'symbol' ORDER BY id) FROM execution_tasks WHERE id > 1"
    assert await value(conn, symbols) == ["CL", "GC", "GC", None]
    said = "SELECT array_agg(parsed ->> 'symbol' ORDER BY id) FROM automated_signals WHERE id > 1"
    assert await value(conn, said) == [None, "GC", None, None]
