"""The same alert is one signal: by the sender's id, by what fired when, or by its very bytes for a while."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from eventrouter.domain.duplicates import duplicate_key
from eventrouter.domain.signals import Event, Side, Signal
from eventrouter.domain.understand import StrategyRules, Understood, ask_of
from eventrouter.store.connect import Conn, Database, Pool
from eventrouter.store.signals import Stored, StoredAlert, purge_windows, store_alerts
from tests.store.tables import trading

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
FIRED = NOON.replace(second=5)
PAPER = trading("paper")
BODY = b'{"kind": "ENTRY", "trade_id": "T1", "direction": "LONG"}'


def alert(
    after_s: float = 0.0, *, raw: bytes = BODY, strategy: str = "orb", window_s: float = 30.0, **said: Any
) -> StoredAlert:
    """An entry of trade T1, received so many seconds after noon; `said` are further fields of its signal."""
    values = {"event": Event.ENTRY, "trade_id": "T1", "side": Side.LONG, **said}
    signal = Signal(family="generic", **values)
    return StoredAlert(
        uid=uuid4(),
        strategy=strategy,
        received_at=NOON + timedelta(seconds=after_s),
        raw=raw,
        ask=ask_of(Understood(signal), StrategyRules()),
        key=duplicate_key(raw, signal, window_s=window_s),
    )


async def store(conn: Conn, *alerts: StoredAlert) -> list[Stored]:
    """Stores the alerts in one commit."""
    async with conn.transaction():
        return await store_alerts(conn, alerts, PAPER)


async def test_a_repeated_body_is_one_signal_for_its_window(conn: Conn) -> None:
    """Repeats at 5, 10 and 15 s point at the first and make no task; at 60 s the same body is a signal of its own."""
    answers = [(await store(conn, alert(after_s)))[0] for after_s in (0, 5, 10, 15, 60)]
    assert [answer.duplicate for answer in answers] == [False, True, True, True, False]
    assert {answer.signal_id for answer in answers[:4]} == {answers[0].signal_id}
    assert {answer.task_ids for answer in answers[:4]} == {answers[0].task_ids}
    assert answers[4].task_ids != answers[0].task_ids


async def test_the_window_does_not_slide(conn: Conn) -> None:
    """It is counted from the first receipt, however often the body comes meanwhile."""
    answers = [(await store(conn, alert(after_s)))[0].duplicate for after_s in (0, 20, 29, 31, 40)]
    assert answers == [False, True, True, False, True]


async def test_repeats_in_one_commit_are_one_signal(conn: Conn, owner: psycopg.Connection[Any]) -> None:
    """A batch that holds the same alert three times stores three rows, one of them with a task."""
    answers = await store(conn, alert(), alert(1), alert(2))
    assert [answer.duplicate for answer in answers] == [False, True, True]
    assert owner.execute("SELECT count(*), count(duplicate_of) FROM automated_signals").fetchone() == (3, 2)
    assert owner.execute("SELECT count(*) FROM execution_tasks").fetchone() == (1,)


async def test_the_window_counts_within_one_commit_too(conn: Conn, owner: psycopg.Connection[Any]) -> None:
    """A batch of what was received over a minute, as after an outage, has the duplicates that single commits would have."""
    answers = await store(conn, *(alert(after_s) for after_s in (0, 20, 31, 60, 61)))
    assert [answer.duplicate for answer in answers] == [False, True, False, True, False]
    assert owner.execute("SELECT count(*) FROM execution_tasks").fetchone() == (3,)
    later = await store(conn, *(alert(after_s) for after_s in (90, 92)))
    assert [answer.duplicate for answer in later] == [True, False]


async def test_a_hundred_sessions_at_once_store_it_once(any_dsn: str, owner: psycopg.Connection[Any]) -> None:
    """Whoever commits first is the signal; everybody else is told so."""
    async with Database(any_dsn).pool("test", size=20) as pool:

        async def one() -> Stored:
            async with pool.connection() as conn:
                return (await store(conn, alert()))[0]

        answers = await asyncio.gather(*(one() for _ in range(100)))
    assert sum(not answer.duplicate for answer in answers) == 1
    assert len({answer.signal_id for answer in answers}) == 1
    assert owner.execute("SELECT count(*) FROM execution_tasks").fetchone() == (1,)


async def test_a_repeated_commit_is_no_duplicate(conn: Conn) -> None:
    """An alert with the same uid, given again because the commit's answer was lost, is the first itself."""
    first = alert()
    before, after = (await store(conn, first))[0], (await store(conn, first))[0]
    assert (before, after.duplicate, after.repeated) == (after, False, True)


async def test_a_repeated_commit_opens_no_window(conn: Conn, owner: psycopg.Connection[Any]) -> None:
    """Given again after its window has ended, or passed to the next, it still answers what it was, and makes nothing."""
    first, repeat, later = alert(), alert(5), alert(40)
    before = [(await store(conn, each))[0] for each in (first, repeat, later)]
    after = [(await store(conn, each))[0] for each in (first, repeat, later)]
    assert [replace(each, repeated=False) for each in after] == before
    assert [each.duplicate for each in after] == [False, True, False]
    owner.execute("DELETE FROM alert_windows")
    assert [replace(each, repeated=False) for each in await store(conn, first, repeat, later)] == before
    assert owner.execute("SELECT count(*) FROM alert_windows").fetchone() == (0,)
    assert owner.execute("SELECT count(*) FROM execution_tasks").fetchone() == (2,)


@pytest.mark.parametrize(
    ("key", "again", "duplicate"),
    [
        pytest.param({"source_id": "a1"}, {"source_id": "a1"}, True, id="same id, an hour later"),
        pytest.param({"source_id": "a1"}, {"source_id": "a2"}, False, id="other id, same body"),
        pytest.param({"fire_time": FIRED}, {"fire_time": FIRED}, True, id="same fire time and action, an hour later"),
        pytest.param(
            {"fire_time": FIRED, "symbol": "MNQ1!", "order_id": "1"},
            {"fire_time": FIRED, "symbol": "MNQ1!", "order_id": "2"},
            False,
            id="two orders in one second",
        ),
        pytest.param(
            {"fire_time": FIRED, "event": Event.EXIT, "side": Side.SHORT},
            {"fire_time": FIRED, "event": Event.ENTRY, "side": Side.LONG},
            False,
            id="two legs of a reversal in one second",
        ),
        pytest.param(
            {"fire_time": FIRED, "position": "LONG", "position_size": Decimal(1)},
            {"fire_time": FIRED, "position": "LONG", "position_size": Decimal(2)},
            False,
            id="two positions in one second",
        ),
        pytest.param(
            {"fire_time": FIRED, "position": "LONG", "position_size": Decimal("1.0")},
            {"fire_time": FIRED, "position": "LONG", "position_size": Decimal(1)},
            True,
            id="one position, written in two ways",
        ),
        pytest.param({"fire_time": NOON}, {"fire_time": NOON}, False, id="a whole minute may be a bar's"),
        pytest.param({"window_s": 0.0}, {"window_s": 0.0}, False, id="window switched off"),
    ],
)
async def test_what_makes_an_alert_the_same(
    conn: Conn, key: dict[str, Any], again: dict[str, Any], duplicate: bool
) -> None:
    """The sender's id counts most, then what fired when, then the body."""
    first, second = (await store(conn, alert(**key)))[0], (await store(conn, alert(3600, **again)))[0]
    assert (first.duplicate, second.duplicate) == (False, duplicate)


async def test_strategies_do_not_share_windows(conn: Conn) -> None:
    """The same body for two strategies is two signals."""
    answers = [(await store(conn, alert(strategy=name)))[0].duplicate for name in ("orb", "vwap")]
    assert answers == [False, False]


async def test_an_old_window_is_forgotten(conn: Conn, pool: Pool, owner: psycopg.Connection[Any]) -> None:
    """Purging removes windows that have ended and keeps open ones."""
    await store(conn, alert())
    await store(conn, replace(alert(raw=b"now"), received_at=datetime.now(UTC)))
    assert await purge_windows(pool) == 1
    assert owner.execute("SELECT count(*) FROM alert_windows").fetchone() == (1,)
