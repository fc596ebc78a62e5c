"""Fills in the database: each once, holdings are their sum, books follow, and verify sees what was changed by hand."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from eventrouter.domain import book as events
from eventrouter.domain.accounts import Account
from eventrouter.domain.broker import BrokerOrder, Fill, OrderSide, OrderState
from eventrouter.domain.holdings import Execution, Owner, moved
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.domain.trading_day import TradingDays
from eventrouter.errors import StoreUnavailable
from eventrouter.store.books import append_event, lock_books, mark, note_prices, read_books, read_holdings
from eventrouter.store.connect import Conn, Pool
from eventrouter.store.fills import Executed, lost_orders, note_orders, protect, record_broker_fills, record_simulated
from eventrouter.store.history import verify
from eventrouter.store.tasks import append, only_evidence_since
from tests.store.stored_task import log_of, move, value

Owner_ = psycopg.Connection[Any]
NOW = datetime(2026, 11, 23, 15, tzinfo=UTC)
MNQ = "CON.F.US.MNQ.Z26"
BUY, SELL = OrderSide.BUY, OrderSide.SELL


def fill(number: int, side: OrderSide = BUY, quantity: int = 1, price: str = "24000", **more: Any) -> Fill:
    """A fill of the order o<number> on the account a."""
    said: dict[str, Any] = {"fee": "0.5", "profit_and_loss": None, "order_id": f"o{number}", "account": "a", **more}
    return Fill(
        id=str(number),
        contract=MNQ,
        side=side,
        quantity=Decimal(quantity),
        price=Decimal(price),
        at=NOW + timedelta(seconds=number),
        **{**said, "fee": Decimal(said["fee"])},
    )


def order(number: int, state: OrderState = OrderState.FILLED, **more: Any) -> BrokerOrder:
    """The order o<number> of one contract on the account a."""
    said: dict[str, Any] = {
        "side": BUY,
        "quantity": Decimal(1),
        "filled": Decimal(state is OrderState.FILLED),
        "client_order_id": None,
        "average_price": None,
        "created_at": NOW,
        "updated_at": NOW,
        **more,
    }
    return BrokerOrder(id=f"o{number}", account="a", contract=MNQ, state=state, **said)


async def live_task(owner: Owner_, conn: Conn, trade: str = "T1", event: str = "ENTRY") -> tuple[int, str]:
    """A live task in ACCEPTED, and its client order id."""
    owner.execute(
        "INSERT INTO execution_tasks (trade_id, event_type, payload, account, mode) VALUES (%s, %s, %s, 'a', 'live')",
        (trade, event, Jsonb({"symbol": "MNQZ6"})),
    )
    task_id = await value(conn, "SELECT max(id) FROM execution_tasks")
    await move(conn, task_id, "SENDING", "ACCEPTED")
    return task_id, await value(conn, "SELECT client_order_id FROM execution_tasks WHERE id = %s", task_id)


async def recorded(conn: Conn, *fills: Fill) -> int:
    """Records fills, whosever orders they are; how many parts were new."""
    async with conn.transaction():
        done = await record_broker_fills(conn, "test", fills, foreign={(each.account, each.id) for each in fills})
    return len(done.parts)


async def noted(conn: Conn, *orders: BrokerOrder) -> None:
    """Notes orders."""
    async with conn.transaction():
        await note_orders(conn, "test", orders)


async def rules(conn: Conn) -> set[str]:
    """The rules that verify finds broken."""
    return {violation.rule for violation in (await verify(conn)).violations}


async def test_a_fill_is_recorded_once(conn: Conn) -> None:
    """However often it comes, also twice at once."""
    assert await recorded(conn, fill(1), fill(1)) == 1
    assert await recorded(conn, fill(1), fill(2, SELL, 3)) == 2
    assert await value(conn, "SELECT sum(CASE side WHEN 'BUY' THEN quantity ELSE -quantity END) FROM fills") == -2
    assert (await read_holdings(conn, ["a"], "live"))["a"].net() == {MNQ: Decimal(-2)}
    assert await rules(conn) == set()


async def test_two_who_record_the_same_at_once(pool: Pool) -> None:
    """The second waits for the first one's lock and finds it done."""

    async def one() -> int:
        async with pool.connection() as conn:
            return await recorded(conn, *(fill(number) for number in range(1, 6)))

    assert sorted(await asyncio.gather(one(), one(), one())) == [0, 0, 5]


async def test_a_fill_of_an_unknown_order_waits(conn: Conn) -> None:
    """Its order may become visible late; nothing is recorded until somebody says that nobody ordered it."""
    async with conn.transaction():
        done = await record_broker_fills(conn, "test", [fill(1)])
    assert (done.strays, done.parts) == ([fill(1)], [])
    assert await value(conn, "SELECT count(*) FROM fills") == 0


async def test_a_fill_that_the_exchange_takes_back(conn: Conn) -> None:
    """Is taken back once, money included; one that never was recorded is not."""
    await recorded(conn, fill(1), fill(2, SELL, 1, "24010", profit_and_loss=Decimal(20)))
    back = fill(2, SELL, 1, "24010", profit_and_loss=Decimal(20), voided=True)
    assert await recorded(conn, back, fill(9, voided=True)) == 1
    assert await recorded(conn, back) == 0
    row = await (await conn.execute("SELECT quantity, realised, fees FROM holdings")).fetchone()
    assert row == (1, 0, Decimal("0.5"))
    assert await rules(conn) == set()


async def test_the_money_of_a_commit_is_one_row(owner: Owner_, conn: Conn) -> None:
    """Profit less fees, and the open profit of what is left at the last price."""
    await append_event(conn, "test", "a", "live", events.opened(Decimal(50_000), NOW.date()))
    await recorded(conn, fill(1, quantity=3))
    await recorded(conn, fill(2, SELL, 2, "24010"))
    book = (await read_books(conn, ["a"], "live"))["a"]
    assert book.balances is not None
    assert (book.balances.balance, book.balances.open_pnl) == (Decimal("50039.0"), Decimal(20))
    assert book.realised_today == 39
    assert await value(conn, "SELECT count(*) FROM account_log WHERE kind = 'BOOKED'") == 2
    assert await value(conn, "SELECT price FROM last_prices WHERE root = 'MNQ'") == 24010
    assert await rules(conn) == set()


async def test_news_never_go_backwards(owner: Owner_, conn: Conn) -> None:
    """A final state stays, what is filled does not shrink, and what is dated earlier is left out."""
    await noted(conn, order(1, OrderState.WORKING, filled=Decimal(1), quantity=Decimal(2)))
    await noted(conn, order(1, OrderState.CANCELLED, filled=Decimal(0), updated_at=NOW - timedelta(seconds=1)))
    await noted(conn, order(1, OrderState.CANCELLED, filled=Decimal(0), quantity=Decimal(2)))
    await noted(conn, order(1, OrderState.WORKING, filled=Decimal(2), quantity=Decimal(2)))
    row = await (await conn.execute("SELECT state, filled, quantity FROM broker_orders")).fetchone()
    assert row == ("CANCELLED", 2, 2)


async def test_a_brackets_orders_belong_to_their_entry(owner: Owner_, conn: Conn) -> None:
    """Even when the broker lists them before it; their fills are logged on the entry's task."""
    task_id, client_order_id = await live_task(owner, conn)
    stop = order(2, OrderState.FILLED, side=SELL, parent_id="o1", stop_price=Decimal(23990), client_order_id="x-SL")
    target = order(3, OrderState.CANCELLED, side=SELL, parent_id="o1", limit_price=Decimal(24020), linked_id="o2")
    await noted(conn, stop, target, order(1, client_order_id=client_order_id))
    rows = await conn.execute("SELECT order_id, role, task_id, trade_id FROM broker_orders ORDER BY order_id")
    assert await rows.fetchall() == [
        ("o1", "entry", task_id, "T1"),
        ("o2", "stop", task_id, "T1"),
        ("o3", "target", task_id, "T1"),
    ]
    await recorded(conn, fill(1), fill(2, SELL, 1, "23990"))
    reasons = await conn.execute("SELECT reason FROM execution_logs WHERE task_id = %s ORDER BY seq", (task_id,))
    assert [row[0] for row in await reasons.fetchall()][3:] == ["FILL", "STOP_FILLED"]
    assert await value(conn, "SELECT quantity FROM holdings WHERE trade_id = 'T1'") == 0
    assert await rules(conn) == set()


async def test_a_repeat_that_was_rejected_does_not_end_the_task(owner: Owner_, conn: Conn) -> None:
    """Two orders bear one client order id; the one that was taken counts."""
    task_id, client_order_id = await live_task(owner, conn)
    await noted(conn, order(1, OrderState.WORKING, client_order_id=client_order_id))
    await noted(conn, order(2, OrderState.REJECTED, client_order_id=client_order_id))
    assert (await log_of(conn, task_id))[-1] == "ACCEPTED"


@pytest.mark.parametrize("status", ["UNKNOWN", "REVIEW", "PENDING"])
async def test_a_fill_proves_that_an_order_was_accepted(owner: Owner_, conn: Conn, status: str) -> None:
    """The task goes on as accepted, so that nobody sends it again."""
    owner.execute(
        "INSERT INTO execution_tasks (trade_id, event_type, payload, account, mode) VALUES ('T', 'ENTRY', '{}', 'a', 'live')"
    )
    task_id, client_order_id = await (
        await conn.execute("SELECT id, client_order_id FROM execution_tasks")
    ).fetchone() or (0, "")
    await move(conn, task_id, "SENDING", "UNKNOWN", *([status] if status != "UNKNOWN" else []))
    await noted(conn, order(1, client_order_id=client_order_id))
    await recorded(conn, fill(1))
    assert (await log_of(conn, task_id))[-2:] == ["ACCEPTED", "ACCEPTED"]


async def test_a_refused_stop_flattens_the_trade_once(owner: Owner_, conn: Conn) -> None:
    """Only where something is held, and never a second time."""
    _, client_order_id = await live_task(owner, conn)
    stop = order(2, OrderState.REJECTED, side=SELL, parent_id="o1")
    await noted(conn, order(1, client_order_id=client_order_id), stop)
    async with conn.transaction():
        assert await protect(conn, ["a"]) == []
    await recorded(conn, fill(1))
    async with conn.transaction():
        (exit_id,) = await protect(conn, ["a"])
    row = await conn.execute(
        "SELECT event_type, trade_id, mode, account, opening FROM execution_tasks WHERE id = %s", (exit_id,)
    )
    assert await row.fetchone() == ("EXIT_UNPROTECTED", "T1", "live", "a", False)
    await move(conn, exit_id, "DENIED")
    async with conn.transaction():
        assert await protect(conn, ["a"]) == []


async def test_a_failed_exit_is_asked_again_in_time(owner: Owner_, conn: Conn) -> None:
    """Its brackets were withdrawn for it, so nothing else would ever close what is held; each failure doubles the wait."""
    _, client_order_id = await live_task(owner, conn)
    await noted(conn, order(1, client_order_id=client_order_id))
    await recorded(conn, fill(1))
    for fails, since_s, expected in [(True, 14, False), (False, 16, True), (True, 29, False), (False, 31, True)]:
        if fails:
            row = owner.execute(
                "INSERT INTO execution_tasks (trade_id, event_type, payload, account, mode)"
                " VALUES ('T1', 'EXIT', '{}', 'a', 'live') RETURNING id"
            ).fetchone()
            assert row is not None
            await move(conn, row[0], "SENDING", "FAILED")
        owner.execute("SET session_replication_role = replica")
        owner.execute(
            "UPDATE execution_tasks SET updated_at = clock_timestamp() - make_interval(secs => %s) WHERE status = 'FAILED'",
            (since_s,),
        )
        owner.execute("SET session_replication_role = DEFAULT")
        async with conn.transaction():
            asked = await protect(conn, ["a"])
        assert bool(asked) is expected
        for task_id in asked:
            events = owner.execute("SELECT event_type FROM execution_tasks WHERE id = %s", (task_id,)).fetchone()
            assert events == ("EXIT_AGAIN",)
            async with conn.transaction():
                assert await protect(conn, ["a"]) == []  # one is on its way
            await move(conn, task_id, "CANCELLED")


async def test_what_an_exit_left_gets_an_exit_of_its_own(owner: Owner_, conn: Conn) -> None:
    """Two of three sold and the rest cancelled: one more exit, however often the broker shows the order."""
    _, client_order_id = await live_task(owner, conn)
    await noted(conn, order(1, quantity=Decimal(3), filled=Decimal(3), client_order_id=client_order_id))
    await recorded(conn, fill(1, quantity=3))
    exit_id, client_order_id = await live_task(owner, conn, event="EXIT")
    await recorded(conn, fill(2, SELL, 2))
    part = {"side": SELL, "quantity": Decimal(3), "filled": Decimal(2), "client_order_id": client_order_id}
    for _ in range(2):
        await noted(conn, order(2, OrderState.CANCELLED, **part))
    assert (await log_of(conn, exit_id))[-1] == "SUCCESS"
    rests = await conn.execute("SELECT trade_id, account, mode FROM execution_tasks WHERE event_type = 'EXIT_REST'")
    assert await rests.fetchall() == [("T1", "a", "live")]


async def test_one_exit_closes_every_contract_of_its_trade(owner: Owner_, conn: Conn) -> None:
    """After a roll a trade holds two: the exit closes one, and what it leaves gets an exit of its own, once, until all is closed."""
    old = "CON.F.US.MNQ.U26"
    for number, contract, quantity in ((1, MNQ, 2), (2, old, 1)):
        _, client_order_id = await live_task(owner, conn)
        size = Decimal(quantity)
        shown = order(number, quantity=size, filled=size, client_order_id=client_order_id)
        await noted(conn, replace(shown, contract=contract))
        await recorded(conn, replace(fill(number, quantity=quantity), contract=contract))
    count = "SELECT count(*) FROM execution_tasks WHERE event_type = 'EXIT_REST'"
    for number, contract, quantity, rests in ((3, MNQ, 2, 1), (4, old, 1, 1)):
        exit_id, client_order_id = await live_task(owner, conn, event="EXIT")
        sold = Decimal(quantity)
        shown = order(number, side=SELL, quantity=sold, filled=sold, client_order_id=client_order_id)
        await noted(conn, replace(shown, contract=contract, state=OrderState.WORKING, filled=Decimal(0)))
        await recorded(conn, replace(fill(number, SELL, quantity), contract=contract))
        await noted(conn, replace(shown, contract=contract))
        assert (await log_of(conn, exit_id))[-1] == "SUCCESS"
        assert await value(conn, count) == rests


async def test_an_order_that_is_gone_makes_its_task_unknown(owner: Owner_, conn: Conn) -> None:
    """And only while it is ACCEPTED."""
    task_id, client_order_id = await live_task(owner, conn)
    await noted(conn, order(1, OrderState.WORKING, client_order_id=client_order_id))
    for expected in (1, 0):
        async with conn.transaction():
            assert len(await lost_orders(conn, "test", [task_id])) == expected
    assert (await log_of(conn, task_id))[-1] == "UNKNOWN"


async def test_a_simulated_fill_leaves_no_log_row(conn: Conn) -> None:
    """It is part of its outcome; an exit is cut to what its trade holds."""
    task_id = await value(conn, "SELECT enqueue_execution_task('T1', 'ENTRY', '{}', 'a')")
    async with conn.transaction():
        books = await lock_books(conn, ["a"], "dry")
        done = [
            Executed(
                Execution("a", name, name, "-", "-", side, Decimal(n), None, Decimal(0), None, NOW),
                owner,
                simulated=True,
            )
            for name, side, n, owner in (
                ("one", BUY, 2, Owner(task_id, "T1", "entry")),
                ("two", BUY, 5, Owner(task_id, "T1", "exit")),
                ("three", SELL, 5, Owner(task_id, "T1", "exit")),
            )
        ]
        parts = await record_simulated(conn, "test", "dry", done, books)
    assert {part.execution.fill_id: int(part.signed) for part in parts} == {"one": 2, "two": -2}
    assert await log_of(conn, task_id) == ["PENDING"]


async def test_marks(conn: Conn) -> None:
    """A dry account opens by itself; days and peaks are rows, small moves are not, and the book is right all the same."""
    account = Account("a", "dryrun", balance=Decimal(50_000))

    async def marked(at: datetime) -> Decimal:
        async with conn.transaction():
            book, _ = await mark(conn, "test", account, "dry", at)
        assert book.balances is not None
        return book.balances.equity()

    assert await marked(NOW) == 50_000
    async with conn.transaction():
        books = await lock_books(conn, ["a"], "dry")
        bought = Execution("a", "f", "f", "MNQZ6", "MNQ", BUY, Decimal(1), Decimal(24000), Decimal(0), None, NOW)
        await record_simulated(conn, "test", "dry", [Executed(bought, Owner(None, "T1", "entry"))], books)
    for price, equity in (("24010", 50_020), ("24009", 50_018), ("23900", 49_800)):
        await note_prices(conn, "test", [("MNQ", Decimal(price), datetime.now(UTC) + timedelta(days=1))])
        assert await marked(NOW) == equity
    assert await marked(NOW + timedelta(days=1)) == 49_800
    kinds = await conn.execute("SELECT kind FROM account_log ORDER BY seq")
    assert [row[0] for row in await kinds.fetchall()] == ["OPENED", "MARKED", "MARKED", "NEW_DAY"]
    assert await rules(conn) == set()


async def test_a_writer_without_the_lock_is_noticed(conn: Conn, pool: Pool) -> None:
    """The log of an account is a compare-and-set: the second of two who saw the same row appends nothing."""
    async with pool.connection() as other:
        stale = await lock_books(other, ["a"], "live")
        await other.rollback()
        await append_event(conn, "test", "a", "live", events.opened(Decimal(1), NOW.date()))
        stale.add("a", events.opened(Decimal(2), NOW.date()))
        with pytest.raises(StoreUnavailable):
            await stale.write(other, "test")


TAMPERED = [
    ("UPDATE holdings SET quantity = quantity + 1", "holding_not_the_sum"),
    ("DELETE FROM holdings", "holding_not_the_sum"),
    ("UPDATE fills SET fee = fee + 1", "booked_not_the_fills"),
    ("DELETE FROM fills WHERE task_id IS NOT NULL", "log_not_the_fill"),
    ("UPDATE fills SET order_id = 'x' WHERE task_id IS NULL", None),
    ("DELETE FROM execution_logs WHERE reason = 'FILL'", "fill_not_in_log"),
    ("UPDATE account_log SET state = jsonb_set(state, '{realised_today}', '\"5\"')", "account_not_the_fold"),
    ("UPDATE account_log SET seq = seq + 1", "account_hole"),
    (
        "UPDATE execution_logs SET reason = 'INTENT', detail = detail || '{\"quantity\": \"0.5\"}' WHERE status = 'SENDING'",
        "filled_too_much",
    ),
]


@pytest.mark.parametrize(("tampering", "rule"), TAMPERED)
async def test_what_was_changed_by_hand_is_found(owner: Owner_, conn: Conn, tampering: str, rule: str | None) -> None:
    """By somebody who could switch the triggers off."""
    _, client_order_id = await live_task(owner, conn)
    await noted(conn, order(1, client_order_id=client_order_id))
    await recorded(conn, fill(1), fill(2, SELL, 2, "24001"))
    assert await rules(conn) == set()
    owner.execute("SET session_replication_role = replica")
    owner.execute(psycopg.sql.SQL(tampering))
    assert (rule in await rules(conn)) if rule else (await rules(conn) == set())


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from([1, -1]), st.integers(1, 4), st.sampled_from([None, 99, 100, 101])), max_size=12)
)
def test_the_database_moves_holdings_as_the_domain_does(owner: Owner_, done: list[tuple[int, int, int | None]]) -> None:
    """The same average price after every fill."""
    owner.execute("SET session_replication_role = replica")
    owner.execute("TRUNCATE fills, holdings")
    owner.execute("SET session_replication_role = origin")
    quantity, average = Decimal(0), None
    for number, (sign, size, price) in enumerate(done):
        owner.execute(
            "INSERT INTO fills (account, fill_id, mode, order_id, trade_id, contract, root, side, quantity, price, filled_at)"
            " VALUES ('a', %s, 'live', 'o', 'T', 'c', 'r', %s, %s, %s, now())",
            (str(number), "BUY" if sign > 0 else "SELL", size, price),
        )
        quantity, average = moved(quantity, average, Decimal(sign * size), None if price is None else Decimal(price))
        assert owner.execute("SELECT quantity, average_price FROM holdings").fetchone() == (quantity, average)


async def test_evidence_between_an_intent_and_its_outcome(conn: Conn) -> None:
    """A fill that was faster than the answer does not make the answer late."""
    task_id = await value(conn, "SELECT enqueue_execution_task('T1', 'ENTRY', '{}', 'a')")
    await move(conn, task_id, "SENDING")
    answer = LogEntry(task_id, 2, Status.ACCEPTED, "ACCEPTED")
    assert await append(conn, "keeper", [LogEntry(task_id, 2, Status.SENDING, "FILL")])
    assert await only_evidence_since(conn, answer)
    await move(conn, task_id, "UNKNOWN")
    assert not await only_evidence_since(conn, answer)


def test_sequences_of_fills(owner: Owner_) -> None:
    """Two fills of one statement both count."""
    rows: Sequence[Any] = owner.execute(
        "INSERT INTO fills (account, fill_id, mode, order_id, trade_id, contract, root, side, quantity, filled_at)"
        " SELECT 'a', n::TEXT, 'live', 'o', 'T', 'c', 'r', 'BUY', 1, now() FROM generate_series(1, 3) n RETURNING 1"
    ).fetchall()
    assert len(rows) == 3
    assert owner.execute("SELECT quantity FROM holdings").fetchone() == (3,)


async def test_what_executed_on_another_day_is_no_result_of_this_one(conn: Conn) -> None:
    """By the exchange's time: yesterday's fill that comes late, and today's that comes before the guardian began the day."""
    days, account = TradingDays("UTC", time(0)), Account("a", "projectx")
    account = replace(account, limits=replace(account.limits, days=days))
    await append_event(
        conn, "test", "a", "live", events.opened(Decimal(50_000), NOW.date(), bounds=days.bounds(NOW.date()))
    )
    tomorrow = NOW + timedelta(days=1)
    lost: dict[str, Any] = {"profit_and_loss": Decimal(-100), "fee": "1"}
    await recorded(conn, replace(fill(1, **lost), at=tomorrow))
    async with conn.transaction():
        book, _ = await mark(conn, "test", account, "live", tomorrow)
    assert book.balances is not None
    assert [book.realised_today, book.balances.day_loss(), book.balances.day_start_balance] == [-101, 101, 50_000]
    await recorded(conn, fill(2, SELL, **lost))
    book = (await read_books(conn, ["a"], "live"))["a"]
    assert book.balances is not None
    assert [book.realised_today, book.balances.balance, book.balances.day_start_balance] == [-101, 49_798, 49_899]
    assert await rules(conn) == set()
