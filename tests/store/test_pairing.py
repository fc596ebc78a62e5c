"""Alerts that name no trade are paired with their strategy's open trades: across batches, within one, and at once."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest

from eventrouter.domain.duplicates import duplicate_key
from eventrouter.domain.parsers import read_alert
from eventrouter.domain.symbols import root_of
from eventrouter.domain.trades import Trade
from eventrouter.domain.understand import StrategyRules, ask_of, understand
from eventrouter.store.connect import Conn, Database
from eventrouter.store.settings import TableCache
from eventrouter.store.signals import Stored, StoredAlert, fresh_trade_id, store_alerts
from tests.history import walk
from tests.processes import until_async
from tests.store.open_trades import open_trades
from tests.store.stored_task import value
from tests.store.tables import trading

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ONE = trading("a")
TWO = trading("a", "b")
BUY = "action=buy;side=long;symbol=MNQ1!;quantity=2"
SELL = "action=sell;side=short;symbol=MNQ1!;quantity=1"
EXIT = "action=exit;symbol=MNQ1!"
REVERSE = "action=reverse;side=short;symbol=MNQ1!;quantity=3"
BARE_SELL = "action=sell;symbol=MNQ1!;quantity=1"
FLATTEN = "action=flatten"

Owner = psycopg.Connection[Any]


def alert(
    body: str,
    after_s: float = 0.0,
    *,
    strategy: str = "orb",
    opposite: str = "refuse",
) -> StoredAlert:
    """An alert as ingest hands it on, received so many seconds after noon. Its uid tells the seconds."""
    received_at, rules = NOON + timedelta(seconds=after_s), StrategyRules(opposite=opposite)
    reading = read_alert(body.encode())
    understood = understand(reading, strategy, rules, received_at=received_at, in_time=True)
    return StoredAlert(
        uid=UUID(int=(round(after_s * 1000) + 1) << 96 | int.from_bytes(strategy.encode())),
        strategy=strategy,
        received_at=received_at,
        raw=reading.redacted,
        ask=ask_of(understood, rules),
        max_age_s=60.0,
        key=duplicate_key(reading.redacted, understood.signal),
    )


async def store(conn: Conn, *alerts: StoredAlert, tables: TableCache = ONE) -> list[Stored]:
    """Stores the alerts in one commit."""
    async with conn.transaction():
        return await store_alerts(conn, alerts, tables)


async def store_in(conn: Conn, batches: Sequence[Sequence[StoredAlert]], tables: TableCache = ONE) -> list[Stored]:
    """Stores batch by batch."""
    return [stored for batch in batches for stored in await store(conn, *batch, tables=tables)]


async def tasks(conn: Conn) -> list[tuple[Any, ...]]:
    """Account, event and trade of every task, in order."""
    rows = await conn.execute("SELECT account, event_type, trade_id FROM execution_tasks ORDER BY id")
    return [tuple(row) for row in await rows.fetchall()]


def split(alerts: Sequence[StoredAlert], *, together: bool) -> list[list[StoredAlert]]:
    """All alerts in one batch, or each in its own."""
    return [list(alerts)] if together else [[each] for each in alerts]


both = pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one batch"])


@both
async def test_an_exit_finds_its_entry(conn: Conn, together: bool) -> None:
    """Entry, addition and exit without a trade_id have one trade, which then is open no more."""
    alerts = [alert(BUY), alert("action=add;side=long;symbol=CME_MINI:MNQ1!;quantity=1", 1), alert(EXIT, 2)]
    trade = fresh_trade_id(alerts[0])
    assert trade.startswith("MNQ-20261120-120000-")
    stored = await store_in(conn, split(alerts, together=together))
    assert [(each.event_type, each.trade_id) for each in stored] == [("ENTRY", trade), ("ADD", trade), ("EXIT", trade)]
    assert await tasks(conn) == [("a", "ENTRY", trade), ("a", "ADD", trade), ("a", "EXIT", trade)]
    assert await open_trades(conn, "orb") == []


@both
async def test_the_size_is_counted(conn: Conn, together: bool) -> None:
    """What the alerts told is added up exactly: an exit of less reduces, and the exit of the rest closes."""
    alerts = [
        alert(BUY),
        alert("action=buy;side=long;symbol=MNQ1!;quantity=0.1", 1),
        alert("action=exit;symbol=MNQ1!;quantity=0.3", 2),
    ]
    trade = fresh_trade_id(alerts[0])
    stored = await store_in(conn, split(alerts, together=together))
    assert [each.event_type for each in stored] == ["ENTRY", "ENTRY", "REDUCE"]
    assert await open_trades(conn, "orb") == [Trade(trade, "MNQ", "LONG", Decimal("1.8"))]
    (rest,) = await store(conn, alert("action=exit;symbol=MNQ1!;quantity=1.8", 3))
    assert (rest.event_type, rest.trade_id) == ("EXIT", trade)
    assert await open_trades(conn, "orb") == []


@both
async def test_strategies_and_products_are_kept_apart(conn: Conn, together: bool) -> None:
    """An exit closes its own strategy's trade of its own product."""
    buy_other = alert("action=buy;side=long;symbol=MES1!;quantity=1", 2)
    alerts = [alert(BUY), alert(BUY, 1, strategy="vwap"), buy_other, alert(EXIT, 3)]
    stored = await store_in(conn, split(alerts, together=together))
    assert stored[3].trade_id == fresh_trade_id(alerts[0])
    assert [trade.trade_id for trade in await open_trades(conn, "orb")] == [fresh_trade_id(buy_other)]
    assert [trade.trade_id for trade in await open_trades(conn, "vwap")] == [fresh_trade_id(alerts[1])]


@both
async def test_a_reversal(conn: Conn, owner: Owner, together: bool) -> None:
    """An exit and an entry on every account, in this order; the entry waits for the exit's trade."""
    alerts = [alert(BUY), alert(REVERSE, 1)]
    old, new = map(fresh_trade_id, alerts)
    _, stored = await store_in(conn, split(alerts, together=together), TWO)
    assert (stored.event_type, stored.trade_id, len(stored.task_ids)) == ("REVERSE", new, 4)
    assert (await tasks(conn))[2:] == [
        ("a", "EXIT_REVERSE", old),
        ("b", "EXIT_REVERSE", old),
        ("a", "ENTRY", new),
        ("b", "ENTRY", new),
    ]
    rows = owner.execute(
        "SELECT payload ->> 'quantity', payload -> 'after', expires_at IS NULL, opening, lane FROM execution_tasks ORDER BY id"
    ).fetchall()
    assert rows[2:] == [(None, None, True, False, f"{a}/NQ") for a in "ab"] + [
        ("3", [old], False, True, f"{a}/NQ") for a in "ab"
    ]
    assert owner.execute("SELECT trade_id, trades FROM automated_signals ORDER BY id").fetchall() == [
        (old, None),
        (new, [old, new]),
    ]
    assert await open_trades(conn, "orb") == [Trade(new, "MNQ", "SHORT", Decimal(3))]


async def test_what_closes_follows_its_trade(conn: Conn) -> None:
    """To an account that trades the strategy no more, and with no entry there."""
    buy = alert(BUY)
    await store(conn, buy, tables=TWO)
    await store(conn, alert(REVERSE, 1))
    old, new = fresh_trade_id(buy), fresh_trade_id(alert(REVERSE, 1))
    assert (await tasks(conn))[2:] == [("a", "EXIT_REVERSE", old), ("b", "EXIT_REVERSE", old), ("a", "ENTRY", new)]


@both
async def test_flatten_closes_every_trade(conn: Conn, together: bool) -> None:
    """Of any product, named or not, and only of its strategy; the signal's tasks are listed for all of them."""
    opened = [
        alert(BUY),
        alert("action=buy;side=long;symbol=MES1!;quantity=1", 1),
        alert('{"kind": "ENTRY", "trade_id": "T7", "direction": "SHORT"}', 2),
        alert(BUY, 3, strategy="vwap"),
    ]
    stored = (await store_in(conn, split([*opened, alert(FLATTEN, 4)], together=together)))[-1]
    names = [fresh_trade_id(opened[0]), fresh_trade_id(opened[1]), "T7"]
    assert (await tasks(conn))[4:] == [("a", "EXIT_FLATTEN", name) for name in names]
    assert (stored.event_type, len(stored.task_ids)) == ("EXIT_FLATTEN", 3)
    assert await open_trades(conn, "orb") == []
    assert len(await open_trades(conn, "vwap")) == 1
    again, repeat = await store(conn, alert(FLATTEN, 4), alert(FLATTEN, 4.5))
    assert (again.task_ids, again.repeated) == (stored.task_ids, True)
    assert (repeat.task_ids, repeat.duplicate, repeat.signal_id) == (stored.task_ids, True, stored.signal_id)


async def test_symbols_of_what_flatten_closes(conn: Conn, owner: Owner) -> None:
    """It names no symbol: each exit has its trade's, and so its lane."""
    await store(conn, alert(BUY), alert("action=buy;side=long;symbol=MES1!;quantity=1", 1), alert(FLATTEN, 4))
    rows = owner.execute("SELECT payload ->> 'symbol', lane FROM execution_tasks ORDER BY id OFFSET 2").fetchall()
    assert rows == [("MNQ1!", "a/NQ"), ("MES1!", "a/ES")]


# refused by the pairing


@both
async def test_an_alert_with_two_meanings_is_stored_refused(conn: Conn, owner: Owner, together: bool) -> None:
    """With its code, without tasks; the open trade stays as it is."""
    alerts = [alert(BUY), alert(BARE_SELL, 1)]
    _, stored = await store_in(conn, split(alerts, together=together))
    assert stored.refusal is not None
    assert (stored.refusal.code, stored.refusal.field, stored.task_ids, stored.duplicate) == (
        "AMBIGUOUS",
        "action",
        (),
        False,
    )
    row = owner.execute(
        "SELECT code, field, trade_id, event_type, message FROM automated_signals ORDER BY id DESC"
    ).fetchone()
    assert row == ("AMBIGUOUS", "action", None, None, stored.refusal.message)
    assert await open_trades(conn, "orb") == [Trade(fresh_trade_id(alerts[0]), "MNQ", "LONG", Decimal(2))]


async def test_a_refused_alert_gives_its_window_back(conn: Conn, owner: Owner) -> None:
    """The same words a moment later, with the position gone, are no repeat of it: they are a signal."""
    stored = await store_in(conn, [[alert(BUY)], [alert(BARE_SELL, 1)], [alert(EXIT, 2)], [alert(BARE_SELL, 3)]])
    assert [each.refusal and each.refusal.code for each in stored] == [None, "AMBIGUOUS", None, None]
    assert (stored[3].event_type, stored[3].duplicate) == ("ENTRY", False)
    (repeat,) = await store(conn, alert(BARE_SELL, 5))
    assert (repeat.duplicate, repeat.signal_id) == (True, stored[3].signal_id)
    assert owner.execute("SELECT count(*) FROM alert_windows").fetchone() == (3,)


async def test_a_refused_alert_that_is_given_again(conn: Conn, owner: Owner) -> None:
    """After a commit whose answer was lost it says the same, and holds no window that makes others its repeats."""
    refused = alert(BARE_SELL, 1)
    _, before = await store_in(conn, [[alert(BUY)], [refused]])
    (after,) = await store(conn, refused)
    assert before.refusal is not None
    assert after.refusal is not None
    assert (after.signal_id, after.refusal.code, after.repeated) == (before.signal_id, "AMBIGUOUS", True)
    await store(conn, alert(EXIT, 2))
    (fresh,) = await store(conn, alert(BARE_SELL, 3))
    assert (fresh.duplicate, fresh.event_type) == (False, "ENTRY")
    assert owner.execute("SELECT count(*) FROM automated_signals WHERE code IS NOT NULL").fetchone() == (1,)


@pytest.mark.parametrize(("opposite", "events"), [("exit", ["REDUCE"]), ("reverse", ["EXIT_REVERSE", "ENTRY"])])
async def test_a_strategy_may_say_what_a_bare_word_means(conn: Conn, opposite: str, events: list[str]) -> None:
    """Its setting travels with the alert."""
    _, stored = await store(conn, alert(BUY), alert(BARE_SELL, 1, opposite=opposite))
    assert (stored.refusal, [event for _, event, _ in await tasks(conn)][1:]) == (None, events)
    assert len(stored.notes) == 1
    said = await value(conn, "SELECT parsed -> 'notes' FROM automated_signals ORDER BY id DESC LIMIT 1")
    assert said == list(stored.notes)


# given again


async def test_what_is_stored_already_changes_no_trade(conn: Conn, owner: Owner) -> None:
    """A batch that is given again, in whole or with new alerts, pairs nothing twice."""
    buy, reverse, exit_ = alert(BUY), alert(REVERSE, 1), alert(EXIT, 2)
    before = [replace(each, notes=()) for each in await store(conn, buy, reverse)]
    trades = await open_trades(conn, "orb")
    again = await store(conn, buy, reverse)
    assert [(replace(each, repeated=False), each.made) for each in again] == [(each, ()) for each in before]
    assert await open_trades(conn, "orb") == trades
    *again, closed = await store(conn, reverse, buy, exit_)
    assert [each.repeated for each in again] == [True, True]
    assert closed.trade_id == fresh_trade_id(reverse)
    assert [each.event_type for each in await store(conn, exit_, buy)] == ["EXIT", "ENTRY"]
    assert await open_trades(conn, "orb") == []
    assert owner.execute("SELECT count(*) FROM execution_tasks").fetchone() == (4,)


async def test_a_repeat_changes_no_trade(conn: Conn) -> None:
    """A repeated entry does not make its trade larger, whether it comes with the first or later."""
    await store_in(conn, [[alert(BUY), alert(BUY, 0.5)], [alert(BUY, 5)]])
    assert [trade.units for trade in await open_trades(conn, "orb")] == [Decimal(2)]


@both
async def test_trades_are_known_oldest_first(conn: Conn, together: bool) -> None:
    """A trade is as old as its first entry, whatever is done to it later and whichever is named first."""
    first = alert('{"kind": "ENTRY", "trade_id": "T1", "direction": "LONG", "symbol": "MNQ1!"}')
    second = alert('{"kind": "ENTRY", "trade_id": "A2", "direction": "LONG", "symbol": "MNQ1!"}', 1)
    grown = alert("action=add;side=long;symbol=MNQ1!;quantity=1;trade_id=T1", 2)
    await store_in(conn, split([first, second, grown], together=together))
    assert [trade.trade_id for trade in await open_trades(conn, "orb")] == ["T1", "A2"]
    moved = alert("action=modify;symbol=MNQ1!;sl_price=4;trade_id=T1", 3)
    joins = alert(BUY, 4)
    last = alert("action=modify;symbol=MNQ1!;sl_price=4;trade_id=A2", 5)
    stored = await store_in(conn, split([last, joins, moved], together=together))
    assert stored[1].trade_id == "A2"
    flat = await store_in(
        conn,
        split([alert("action=modify;symbol=MNQ1!;sl_price=5;trade_id=A2", 6), alert(FLATTEN, 7)], together=together),
    )
    assert flat[1].task_ids == tuple(sorted(flat[1].task_ids))
    assert [trade for _, event, trade in await tasks(conn) if event == "EXIT_FLATTEN"] == ["T1", "A2"]


# at once


async def test_two_processes_pair_one_after_the_other(any_dsn: str, owner: Owner) -> None:
    """The second waits until the first has committed, and then sees its trade."""
    database = Database(any_dsn)
    async with await database.connect("first") as first, await database.connect("second") as second:
        async with first.transaction():
            (begun,) = await store_alerts(first, [alert(BUY)], ONE)
            later = asyncio.create_task(store(second, alert(EXIT, 1)))
            pid = second.info.backend_pid

            async def waits() -> bool:
                held = owner.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", (pid,)).fetchone()
                return held == (True,)

            await until_async(waits, within_s=30)
        (closed,) = await later
    assert (closed.event_type, closed.trade_id) == ("EXIT", begun.trade_id)
    assert owner.execute("SELECT count(*) FROM strategy_trades WHERE ended_at IS NULL").fetchone() == (0,)


async def test_another_strategy_waits_for_nobody(any_dsn: str) -> None:
    """Only alerts of one strategy are paired in turn, and a refused one waits for none."""
    database = Database(any_dsn)
    async with (
        await database.connect("first") as first,
        await database.connect("second") as second,
        first.transaction(),
        asyncio.timeout(30),
    ):
        await store_alerts(first, [alert(BUY)], ONE)
        await store(second, alert(BUY, strategy="vwap"))
        refused = StoredAlert(UUID(int=7), "orb", NOON, b"?", code="FORMAT_UNKNOWN", message="No.")
        assert (await store(second, refused))[0].task_ids == ()


async def test_many_at_once_leave_one_side(any_dsn: str, owner: Owner) -> None:
    """Entries of both sides from many sessions: every one reverses what the one before it began, and nothing is lost."""
    async with Database(any_dsn).pool("test", size=8) as pool:

        async def one(number: int) -> Stored:
            side = "action=buy;side=long" if number % 2 else "action=sell;side=short"
            # each its own quantity: sessions overtake each other, and an alert is a repeat also of a later one with its text
            body = f"{side};symbol=MNQ1!;quantity={number + 1}"
            async with pool.connection() as conn:
                return (await store(conn, alert(body, 60 * number)))[0]

        answers = await asyncio.gather(*(one(number) for number in range(40)))
    count = "count(*) FILTER (WHERE opening), count(DISTINCT trade_id) FILTER (WHERE opening)"
    count += ", count(*) FILTER (WHERE NOT opening), count(DISTINCT trade_id) FILTER (WHERE NOT opening)"
    ((entries, begun, exits, ended),) = owner.execute(f"SELECT {count} FROM execution_tasks").fetchall()
    assert (entries, exits) == (40, ended)
    assert begun == ended + 1
    assert owner.execute("SELECT count(*) FROM strategy_trades WHERE ended_at IS NULL").fetchone() == (1,)
    assert sum(len(answer.task_ids) for answer in answers) == entries + exits


async def test_opposite_orders_do_not_deadlock(any_dsn: str, owner: Owner) -> None:
    """Batches that name the same strategies and bodies in opposite orders wait in turn, and none is thrown out."""
    names = ["alpha", "Beta", "gamma", "delta"]
    async with Database(any_dsn).pool("test", size=6) as pool:

        async def one(number: int) -> list[Stored]:
            order = names if number % 2 else names[::-1]
            bodies = [BUY, EXIT] if number % 2 else [EXIT, BUY]
            alerts = [
                alert(body, 60 * number + 0.1 * place, strategy=name)
                for name in order
                for place, body in enumerate(bodies)
            ]
            async with pool.connection() as conn:
                return await store(conn, *alerts)

        answers = await asyncio.gather(*(one(number) for number in range(24)))
    assert sum(map(len, answers)) == 24 * 8
    assert owner.execute("SELECT count(*) FROM automated_signals").fetchone() == (24 * 8,)


# products


SYMBOLS = [
    *(
        "MNQ1!",
        "MNQ2!",
        "CME_MINI:MNQ1!",
        "cme_mini:mnq1!",
        " MNQ1! ",
        "MNQZ2026",
        "MNQZ6",
        "MNQZ26",
        "CME_MINI:MNQZ2026",
    ),
    *("MNQ 12-26", "MNQ 03-27", "NQ", "NQ1!", "NQH7", "MES1!", "ESU2026", "M2K1!", "M2KZ6", "RTY1!", "MYM1!", "YMZ26"),
    *(
        "MGC1!",
        "GCZ6",
        "CL1!",
        "MCLF27",
        "QM1!",
        "6E1!",
        "M6EZ6",
        "6EZ2026",
        "ZB1!",
        "ZN 12-26",
        "MBT1!",
        "BTC1!",
        "SI1!",
    ),
    *(
        "AAPL",
        "NASDAQ:AAPL",
        "BRK.B",
        "BRK-B",
        "EURUSD",
        "FX:EURUSD",
        "EUR/USD",
        "BTCUSDT",
        "BINANCE:BTCUSDT.P",
        "XAUUSD",
    ),
    *(
        "US30",
        "GER40",
        "CHN50",
        "UK100",
        "SPX500",
        "NIFTY1!",
        "M&M",
        "ES",
        "F1!",
        "ABCD1!",
        "ABCDE1!",
        "A",
        "1!",
        "MNQ!",
    ),
    *("ESZ", "ESZ20260", "ESZ1999", "ESZ126", "ABCDZ6", "CBOT:ZC1!", "NYMEX:NG1!", "COIN-USD", "X" * 80),
]


async def test_roots_are_the_same_everywhere(conn: Conn) -> None:
    """What pairs alerts in Python is what orders lanes in SQL, but for the families that SQL alone knows."""
    rows = await (await conn.execute("SELECT root, family FROM product_families")).fetchall()
    families = dict(rows)
    assert len(families) > 5
    for symbol in SYMBOLS:
        root = root_of(symbol)
        product = await value(conn, "SELECT product_of(%s)", symbol)
        assert (symbol, families.get(root, root)) == (symbol, product)


# what became of the tasks


async def test_a_trade_whose_exit_came_to_nothing_is_open(conn: Conn, owner: Owner) -> None:
    """An exit that an operator discarded closed nothing: the next one finds the trade, and so does a reversal."""
    (entry,) = await store(conn, alert(BUY))
    walk(owner, entry.task_ids[0], "SENDING", "SUCCESS")
    for number, body in enumerate((EXIT, EXIT, REVERSE)):
        (closing,) = await store(conn, alert(body, 60 * (number + 1)))
        assert entry.trade_id in {task.trade_id for task in closing.made}
        walk(owner, closing.task_ids[0], "CANCELLED")
    (last,) = await store(conn, alert(EXIT, 300))
    walk(owner, last.task_ids[0], "SENDING", "SUCCESS")
    (nothing,) = await store(conn, alert(EXIT, 400))
    assert nothing.notes == ("No open MNQ trade of this strategy is known.",)


async def test_a_trade_whose_entries_came_to_nothing_is_not_open(conn: Conn, owner: Owner) -> None:
    """After an entry that expired, a bare sell is an entry and has one meaning."""
    (entry,) = await store(conn, alert(BUY))
    walk(owner, entry.task_ids[0], "EXPIRED")
    (other,) = await store(conn, alert(BARE_SELL, 60))
    assert (other.refusal, other.event_type, other.trade_id != entry.trade_id) == (None, "ENTRY", True)


async def test_an_entry_joins_no_trade_that_had_an_exit(conn: Conn, owner: Owner) -> None:
    """Its exit failed on one account: a new entry closes it first, and begins a trade of its own."""
    (entry,) = await store(conn, alert(BUY), tables=TWO)
    for task in entry.task_ids:
        walk(owner, task, "SENDING", "SUCCESS")
    (closing,) = await store(conn, alert(EXIT, 60), tables=TWO)
    walk(owner, closing.task_ids[0], "SENDING", "SUCCESS")
    walk(owner, closing.task_ids[1], "SENDING", "FAILED")
    (again,) = await store(conn, alert(EXIT, 65), tables=TWO)
    assert (again.duplicate, again.trade_id) == (False, entry.trade_id)
    walk(owner, again.task_ids[1], "SENDING", "FAILED")
    (fresh,) = await store(conn, alert(BUY, 120), tables=TWO)
    assert (fresh.event_type, fresh.trade_id != entry.trade_id) == ("REVERSE", True)
    assert {task.trade_id for task in fresh.made} == {entry.trade_id, fresh.trade_id}


async def test_a_size_that_came_to_nothing_is_not_counted(conn: Conn, owner: Owner) -> None:
    """After an addition that expired nobody knows the size: a part reduces, whatever its number."""
    (entry,) = await store(conn, alert(BUY))
    walk(owner, entry.task_ids[0], "SENDING", "SUCCESS")
    (added,) = await store(conn, alert("action=add;side=long;symbol=MNQ1!;quantity=3", 10))
    walk(owner, added.task_ids[0], "EXPIRED")
    (part,) = await store(conn, alert("action=exit;symbol=MNQ1!;quantity=5", 20))
    assert (part.event_type, part.trade_id) == ("REDUCE", entry.trade_id)


async def test_an_exit_of_a_newer_trade_is_no_repeat(conn: Conn, owner: Owner) -> None:
    """The same bytes within their window: once something was opened since, they close that; and only once."""
    bodies = [BUY, EXIT, SELL, EXIT, EXIT]
    answers = [(await store(conn, alert(body, number)))[0] for number, body in enumerate(bodies)]
    assert [answer.duplicate for answer in answers] == [False, False, False, False, True]
    assert [answer.trade_id for answer in answers[2:4]] == [answers[2].trade_id] * 2


async def test_an_entry_that_an_exit_has_overtaken(conn: Conn, owner: Owner) -> None:
    """It fired first and came last: nobody would close it."""
    fired = "{};time=2026-11-20T12:00:{:02}Z"
    (early,) = await store(conn, alert(fired.format(EXIT, 9), 20))
    (late,) = await store(conn, alert(fired.format(BUY, 5), 21))
    (fresh,) = await store(conn, alert(fired.format(BUY, 11), 22))
    assert (early.refusal, late.refusal and late.refusal.code, fresh.refusal) == (None, "OVERTAKEN", None)


async def test_a_window_without_its_signal_repeats_nothing(conn: Conn, owner: Owner) -> None:
    """Somebody who may only call functions cannot swallow an alert that is to come."""
    asked = alert(EXIT)
    assert asked.key is not None
    owner.execute(
        "INSERT INTO alert_windows VALUES (%s, %s, gen_random_uuid(), '2026-01-01Z', '2027-01-01Z')",
        ("orb", asked.key.key),
    )
    (stored,) = await store(conn, asked)
    assert (stored.duplicate, stored.event_type) == (False, "EXIT")
