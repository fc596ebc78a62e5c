"""What happens to an order after its acceptance, with the real connector, the simulated broker and a real database."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from eventrouter.bookkeeper import Bookkeeper, Timing
from eventrouter.domain import book as events
from eventrouter.domain.accounts import Account
from eventrouter.domain.book import Book, BookEvent
from eventrouter.domain.orders import Accepted, Order
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.errors import NothingToAdopt
from eventrouter.metrics import Metrics
from eventrouter.store import accounts as account_reports
from eventrouter.store import adopting
from eventrouter.store.acceptances import Acceptance, lock_acceptances, record_acceptances
from eventrouter.store.books import append_event, read_books
from eventrouter.store.connect import Conn, Database, Pool
from eventrouter.store.tasks import append
from tests.connectors.brokers import Rig, projectx_rig
from tests.processes import until_async
from tests.router.book import enqueue, is_sound, row_of, status_of, value, way

ACCOUNT = Account("one", "projectx", broker_account="101", balance=Decimal(150_000))
MNQ = "CON.F.US.MNQ.Z26"
SOON = Timing(look_every_s=3600.0, again_s=0.0, retry_s=0.01, look_back=timedelta(days=36_500))


@dataclass
class Desk:
    """A broker, our books, and somebody who sends orders as the router would."""

    db: Conn
    pool: Pool
    rig: Rig
    keepers: list[tuple[Bookkeeper, asyncio.Task[None]]] = field(default_factory=list)
    changes: int = 0

    def keep(self) -> Bookkeeper:
        """A new bookkeeper, running."""
        keeper = Bookkeeper(
            self.rig.connector,
            [ACCOUNT],
            self.pool,
            actor="keeper",
            metrics=Metrics(),
            on_change=self._changed,
            timing=SOON,
        )
        self.keepers.append((keeper, asyncio.create_task(keeper.run())))
        return keeper

    def _changed(self) -> None:
        self.changes += 1

    async def kill(self) -> None:
        """Ends the bookkeeper without a word."""
        _, running = self.keepers.pop()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def task(self, event: str = "ENTRY", *, trade: str = "T1", symbol: str = "MNQZ6") -> int:
        """A new live task in SENDING: its intent is committed."""
        task_id = await enqueue(self.db, trade, event, account="one", symbol=symbol, mode="live")
        entry = LogEntry(task_id, 1, Status.SENDING, "INTENT", lease_s=3600.0, detail={"quantity": "9"})
        assert await append(self.db, "router", [entry])
        return task_id

    async def order(self, task_id: int, **said: Any) -> Order:
        """The order of a task."""
        client_order_id = await value(self.db, "SELECT client_order_id FROM execution_tasks WHERE id = %s", task_id)
        return self.rig.order(client_order_id=client_order_id, **said)

    async def accept(self, task_id: int, outcome: Accepted) -> None:
        """What the executor commits when the broker has taken an order."""
        trade = await value(self.db, "SELECT trade_id FROM execution_tasks WHERE id = %s", task_id)
        async with self.db.transaction():
            acceptance = Acceptance(task_id, "one", trade, True, outcome.order, ())
            books = await lock_acceptances(self.db, "live", [acceptance])
            version = await value(self.db, "SELECT version FROM execution_tasks WHERE id = %s", task_id)
            entry = LogEntry(task_id, version, Status.ACCEPTED, "ACCEPTED", detail={"order_id": outcome.order_id})
            assert await append(self.db, "router", [entry])
            await record_acceptances(self.db, "router", "live", books, [acceptance])

    async def sent(self, event: str = "ENTRY", *, trade: str = "T1", **said: Any) -> tuple[int, str]:
        """A task whose order the broker has taken; the broker's id of it."""
        task_id = await self.task(event, trade=trade)
        outcome = await self.rig.connector.send(await self.order(task_id, **said))
        assert isinstance(outcome, Accepted)
        assert outcome.order_id is not None
        await self.accept(task_id, outcome)
        return task_id, outcome.order_id

    async def becomes(self, task_id: int, status: Status) -> None:
        """Returns once the task stands there."""

        async def stands() -> bool:
            return await status_of(self.db, task_id) == status

        await until_async(stands, within_s=20, what=f"task {task_id} {status}")

    async def held(self) -> dict[tuple[str, str], Decimal]:
        """(trade, contract) → what it holds."""
        rows = await self.db.execute("SELECT trade_id, contract, quantity FROM holdings WHERE quantity <> 0")
        return {(trade, contract): quantity for trade, contract, quantity in await rows.fetchall()}

    async def holds(self, **trades: int) -> None:
        """Returns once the trades hold so much, and no other trade anything."""
        wanted = {(trade, MNQ): Decimal(quantity) for trade, quantity in trades.items()}

        async def so() -> bool:
            return await self.held() == wanted

        await until_async(so, within_s=20, what=f"holdings {wanted}")

    async def book(self) -> Book:
        """The account's book."""
        return (await read_books(self.db, ["one"], "live"))["one"]

    async def opened(self) -> None:
        """Returns once the account's balance is known."""

        async def known() -> bool:
            return (await self.book()).balances is not None

        await until_async(known, within_s=20, what="an opened book")

    async def reasons(self, task_id: int) -> list[str]:
        """Reasons of a task's log rows."""
        rows = await self.db.execute("SELECT reason FROM execution_logs WHERE task_id = %s ORDER BY seq", (task_id,))
        return [row[0] for row in await rows.fetchall()]

    async def told(self, task_id: int, reason: str, times: int = 1) -> bool:
        """Whether a task's log has so many rows of this reason."""
        return (await self.reasons(task_id)).count(reason) >= times

    async def works(self, *sizes: int) -> bool:
        """Whether just these orders work at the broker."""
        return [order["size"] for order in await self.rig.control.working()] == list(sizes)

    async def in_agreement(self) -> None:
        """Returns once balance and positions are the broker's; then everything adds up."""

        async def agrees() -> bool:
            (theirs,) = [each for each in await self.rig.control.control("accounts") if each["id"] == 101]
            book = await self.book()
            return book.balances is not None and book.balances.balance == Decimal(theirs["balance"])

        await until_async(agrees, within_s=20, what="the broker's balance")
        assert await is_sound(self.db)

    async def count(self, table: str = "fills") -> int:
        """Rows of a table."""
        queries = {
            "fills": "SELECT count(*) FROM fills",
            "account_log": "SELECT count(*) FROM account_log",
            "execution_logs": "SELECT count(*) FROM execution_logs",
        }
        return int(await value(self.db, queries[table]))


@pytest.fixture
async def desk(db: Conn, dsn: str) -> AsyncIterator[Desk]:
    """A desk with an open market; its bookkeepers are ended with it."""
    async with AsyncExitStack() as stack:
        rig = await stack.enter_async_context(projectx_rig())
        pool = await stack.enter_async_context(Database(dsn).pool("test"))
        made = Desk(db, pool, rig)
        yield made
        while made.keepers:
            await made.kill()


async def test_a_market_order_is_filled(desk: Desk) -> None:
    """ACCEPTED, its fill as evidence, SUCCESS; the trade holds it and the balance is the broker's."""
    desk.keep()
    await desk.opened()
    task_id, order_id = await desk.sent(quantity="2")
    await desk.becomes(task_id, Status.SUCCESS)
    assert await way(desk.db, task_id) == "PENDING SENDING ACCEPTED SUCCESS"
    row = await row_of(desk.db, task_id, "FILL")
    assert (row[8]["order_id"], row[8]["quantity"], row[8]["price"]) == (order_id, "2", "24000")
    assert await desk.held() == {("T1", MNQ): 2}
    await desk.in_agreement()
    assert desk.changes


async def test_a_fill_that_is_faster_than_the_answer(desk: Desk) -> None:
    """The order is known by its client order id before its acceptance is written; then one row ends the task."""
    desk.keep()
    task_id = await desk.task()
    outcome = await desk.rig.connector.send(await desk.order(task_id))
    assert isinstance(outcome, Accepted)
    await desk.holds(T1=1)
    assert await status_of(desk.db, task_id) == "SENDING"
    await desk.kill()
    await desk.accept(task_id, outcome)
    assert await way(desk.db, task_id) == "PENDING SENDING ACCEPTED SUCCESS"
    assert await is_sound(desk.db)


async def test_partial_fills_end_with_the_right_size(desk: Desk) -> None:
    """Each part is recorded; the task is done with the last one."""
    desk.keep()
    await desk.rig.control.arm("partial", contracts=1)
    task_id, _ = await desk.sent(quantity="3")
    await desk.holds(T1=1)
    await desk.rig.control.price("24001")
    await desk.holds(T1=2)
    assert await status_of(desk.db, task_id) == "ACCEPTED"
    await desk.rig.control.price("24002")
    await desk.becomes(task_id, Status.SUCCESS)
    assert (await desk.reasons(task_id)).count("FILL") == 3
    assert "PARTIALLY_FILLED" in await desk.reasons(task_id)
    average = await value(desk.db, "SELECT average_price FROM holdings")
    assert average == 24001
    await desk.in_agreement()


async def test_an_order_that_ends_with_a_part_filled(desk: Desk) -> None:
    """SUCCESS with the reason PARTIAL: what is filled is held."""
    desk.keep()
    await desk.rig.control.arm("partial", contracts=1, rest="cancel")
    task_id, _ = await desk.sent(quantity="3")
    await desk.becomes(task_id, Status.SUCCESS)
    assert "1 of 3" in str((await row_of(desk.db, task_id, "PARTIAL"))[4])
    await desk.holds(T1=1)
    await desk.in_agreement()


async def test_a_late_reject(desk: Desk) -> None:
    """Accepted, then rejected: FAILED, and nothing is held."""
    desk.keep()
    await desk.rig.control.arm("reject_later")
    task_id, _ = await desk.sent()
    await desk.rig.control.control("clock", {"advance_s": 1})
    await desk.becomes(task_id, Status.FAILED)
    assert (await desk.reasons(task_id))[-1] == "REJECTED_LATE"
    assert await desk.held() == {}


@pytest.mark.parametrize(("asked", "status"), [(True, Status.CANCELLED), (False, Status.FAILED)])
async def test_a_cancel(desk: Desk, asked: bool, status: Status) -> None:
    """Ours makes the task CANCELLED; the broker's own makes it FAILED."""
    desk.keep()
    task_id, order_id = await desk.sent(order_type="limit", limit_price="23000")
    if asked:
        version = await value(desk.db, "SELECT version FROM execution_tasks WHERE id = %s", task_id)
        request = LogEntry(task_id, version, Status.ACCEPTED, "CANCEL_REQUESTED")
        assert await append(desk.db, "router", [request])
    assert isinstance(await desk.rig.connector.cancel("one", order_id), Accepted)
    await desk.becomes(task_id, status)
    assert await is_sound(desk.db)


async def test_a_bracket_stop_closes_its_entrys_trade(desk: Desk) -> None:
    """Its fill is logged on the entry's task, with the broker's loss."""
    desk.keep()
    await desk.opened()
    task_id, _ = await desk.sent(quantity="2", stop_loss="20 ticks", take_profit="40 ticks")
    await desk.becomes(task_id, Status.SUCCESS)
    await desk.rig.control.price("23995")
    await desk.holds()
    assert (await desk.reasons(task_id))[-1] == "STOP_FILLED"
    row = await row_of(desk.db, task_id, "STOP_FILLED")
    assert Decimal(row[8]["pnl"]) == -20
    await desk.in_agreement()
    roles = await desk.db.execute("SELECT role, state FROM broker_orders ORDER BY role")
    assert await roles.fetchall() == [("entry", "FILLED"), ("stop", "FILLED"), ("target", "CANCELLED")]
    assert (await desk.book()).realised_today == Decimal(-20) - await value(desk.db, "SELECT sum(fee) FROM fills")


async def test_a_bracket_is_withdrawn_with_what_it_protects(desk: Desk) -> None:
    """Closed by hand, a position leaves its stop and target working at the broker: they are made smaller, then they go."""
    desk.keep()
    await desk.opened()
    task_id, _ = await desk.sent(quantity="2", stop_loss="20 ticks", take_profit="40 ticks")
    await desk.becomes(task_id, Status.SUCCESS)
    assert [order["size"] for order in await desk.rig.control.working()] == [2, 2]
    await desk.rig.control.placed(1, 1)
    await desk.holds(T1=1)
    await until_async(lambda: desk.works(1, 1), within_s=20, what="smaller orders")
    await desk.rig.control.placed(1, 1)
    await until_async(lambda: desk.works(), within_s=20, what="no order")
    await until_async(
        lambda: desk.told(task_id, "CANCEL_ANSWERED", 2), within_s=20, what="the broker's answers in the log"
    )
    assert {"RESIZE_REQUESTED", "RESIZE_ANSWERED", "CANCEL_REQUESTED"} <= set(await desk.reasons(task_id))
    row = await row_of(desk.db, task_id, "CANCEL_REQUESTED")
    assert (sorted(row[8]["orders"].values()), row[8]["by"]) == (["0", "0"], None)
    await desk.rig.control.price("23990")
    await desk.rig.control.price("24020")
    await desk.in_agreement()
    assert await desk.rig.control.positions() == []


async def test_a_bracket_that_the_broker_does_not_withdraw_is_asked_for_again(desk: Desk) -> None:
    """The first cancel breaks off: the order is found working, and withdrawn."""
    desk.keep()
    await desk.opened()
    task_id, _ = await desk.sent(stop_loss="20 ticks")
    await desk.becomes(task_id, Status.SUCCESS)
    await desk.rig.control.arm("drop", endpoint="Order/cancel", when="before")
    await desk.rig.control.placed(1, 1)
    await until_async(lambda: desk.works(), within_s=20, what="no order")
    assert (await desk.reasons(task_id)).count("CANCEL_REQUESTED") == 2


async def test_the_broker_may_tidy_up_by_itself(desk: Desk) -> None:
    """The other order of a bracket goes with the first one's fill: nothing is asked for."""
    desk.keep()
    await desk.opened()
    task_id, _ = await desk.sent(stop_loss="20 ticks", take_profit="40 ticks")
    await desk.becomes(task_id, Status.SUCCESS)
    await desk.rig.control.price("23995")
    await desk.holds()
    await desk.in_agreement()
    assert "CANCEL_REQUESTED" not in await desk.reasons(task_id)
    assert "Order/cancel" not in await desk.rig.control.control("requests")


async def test_what_happened_while_nobody_listened_is_found_once(desk: Desk) -> None:
    """The hub loses events and drops: the look after the gap finds them, and hearing them again changes nothing."""
    desk.keep()
    await desk.opened()
    await desk.rig.control.control("hub", {"muted": True})
    task_id, _ = await desk.sent(quantity="2")
    await desk.rig.control.control("hub", {"muted": False, "drop": True})
    await desk.becomes(task_id, Status.SUCCESS)
    assert await desk.count() == 1
    desk.keepers[0][0].look_soon("one")
    await desk.in_agreement()
    assert await desk.count() == 1


async def test_a_restart_changes_nothing(desk: Desk) -> None:
    """A new bookkeeper on the same database, killed at any time, records nothing twice and opens nothing again."""
    desk.keep()
    await desk.opened()
    first, _ = await desk.sent(quantity="2")
    await desk.becomes(first, Status.SUCCESS)
    await desk.in_agreement()
    await desk.kill()
    before = [await desk.count(table) for table in ("fills", "account_log", "execution_logs")]
    book = await desk.book()
    await desk.rig.connector.close()
    await desk.rig.connector.open()
    keeper = desk.keep()
    assert await keeper.resync("one")
    assert [await desk.count(table) for table in ("fills", "account_log", "execution_logs")] == before
    assert await desk.book() == book


async def test_what_filled_while_no_router_ran(desk: Desk) -> None:
    """The first look of a new bookkeeper ends the task and books the loss."""
    desk.keep()
    await desk.opened()
    entry, _ = await desk.sent(quantity="2", stop_loss="20 ticks")
    await desk.becomes(entry, Status.SUCCESS)
    await desk.in_agreement()
    await desk.kill()
    await desk.rig.connector.close()
    await desk.rig.control.price("23990")
    await desk.rig.connector.open()
    desk.keep()
    await desk.holds()
    await desk.in_agreement()
    book = await desk.book()
    assert book.balances is not None
    assert book.balances.day_loss() > 0


async def test_a_position_closed_by_hand_closes_the_trade(desk: Desk) -> None:
    """Somebody else's fill closes held trades, the oldest first; what is left of it is nobody's trade."""
    desk.keep()
    await desk.opened()
    for trade in ("T1", "T2"):
        await desk.sent(quantity="2", trade=trade)
        await desk.holds(**({"T1": 2} if trade == "T1" else {"T1": 2, "T2": 2}))
    await desk.rig.control.placed(3, 1)
    await desk.holds(T2=1)
    await desk.rig.control.placed(3, 1)
    await desk.holds(**{"(foreign)": -2})
    await desk.in_agreement()


async def test_a_position_that_no_fill_explains(desk: Desk) -> None:
    """Out of sync after a second look, in sync when it is gone."""
    keeper = desk.keep()
    await desk.opened()
    await desk.rig.control.control("hub", {"muted": True})
    await desk.rig.control.arm("hide")
    await desk.rig.control.placed(2)
    keeper.look_soon("one")

    async def told() -> bool:
        return (await desk.book()).out_of_sync is not None

    await until_async(told, within_s=20, what="OUT_OF_SYNC")
    assert (await desk.book()).out_of_sync == f"The broker holds 2 {MNQ} and our fills add up to 0."
    await desk.rig.control.control("faults", method="DELETE")
    keeper.look_soon("one")

    async def agreed() -> bool:
        return (await desk.book()).out_of_sync is None

    await until_async(agreed, within_s=20, what="IN_SYNC")
    await desk.holds(**{"(foreign)": 2})


async def test_an_operator_adopts_the_brokers_position(desk: Desk) -> None:
    """What differs is told with what to do; a look is asked for and answered; adopted, it stands as fills with the actor."""
    keeper = desk.keep()
    await desk.opened()
    await desk.rig.control.control("hub", {"muted": True})
    await desk.rig.control.arm("hide")
    await desk.rig.control.placed(2)
    number = await adopting.ask(desk.db, "one", "cli:tester")
    keeper.look_soon("one")

    async def answered() -> list[adopting.Difference] | None:
        return await adopting.answer(desk.db, "one", number)

    (found,) = await until_async(answered, within_s=20, what="an answer")
    assert found == adopting.Difference(MNQ, Decimal(2), Decimal(0), found.price)
    differs = await adopting.out_of_sync(desk.db, "one")
    assert differs is not None
    assert differs["differences"] == [{"contract": MNQ, "ours": "0", "broker": "2"}]
    assert differs["since"] is not None
    assert "accounts adopt one" in differs["what_to_do"]
    assert await adopting.adopt(desk.db, "one", "cli:tester", "a test") == [found]
    assert (await desk.book()).out_of_sync is None
    await desk.holds(**{"(foreign)": 2})
    row = await (await desk.db.execute("SELECT actor, detail FROM account_log WHERE kind = 'ADOPTED'")).fetchone()
    assert row is not None
    assert (row[0], row[1]["reason"], len(row[1]["differences"])) == ("cli:tester", "a test", 1)
    with pytest.raises(NothingToAdopt):
        await adopting.adopt(desk.db, "one", "cli:tester", "again")
    again = await adopting.ask(desk.db, "one", "cli:tester")

    async def agree() -> bool:
        return await adopting.answer(desk.db, "one", again) == []

    await until_async(agree, within_s=20, what="agreement")
    assert await is_sound(desk.db)


async def test_nothing_is_adopted_while_a_fill_may_be_late(desk: Desk) -> None:
    """An exit that filled unseen: its fill on top of an adjustment would have its trade closed to the other side."""
    keeper = desk.keep()
    await desk.opened()
    entry_id, _ = await desk.sent(quantity="2")
    await desk.holds(T1=2)
    await desk.becomes(entry_id, Status.SUCCESS)
    await desk.rig.control.control("hub", {"muted": True})
    await desk.rig.control.arm("hide")
    exit_id, _ = await desk.sent("EXIT", action="CLOSE", quantity="2")
    keeper.look_soon("one")

    async def told() -> bool:
        return (await desk.book()).out_of_sync is not None

    await until_async(told, within_s=20, what="OUT_OF_SYNC")
    with pytest.raises(NothingToAdopt, match=rf"task {exit_id} \(EXIT\) is ACCEPTED"):
        await adopting.adopt(desk.db, "one", "cli:tester", "a test")
    await desk.rig.control.control("faults", method="DELETE")
    keeper.look_soon("one")
    await desk.becomes(exit_id, Status.SUCCESS)
    await desk.in_agreement()
    assert await desk.held() == {}
    assert await value(desk.db, "SELECT count(*) FROM execution_tasks") == 2


async def test_nothing_is_adopted_while_the_account_is_flattened(desk: Desk) -> None:
    """What closes it at the broker comes as fills."""
    control = await value(
        desk.db, "INSERT INTO controls (scope, action, actor) VALUES ('account:one', 'flatten', 'cli:ann') RETURNING id"
    )
    said = BookEvent(
        "OUT_OF_SYNC", {"why": "The broker holds 2.", "differences": [[MNQ, "2", "0", None]]}, "The broker holds 2."
    )
    await append_event(desk.db, "keeper", "one", "live", said)
    await append_event(desk.db, "flatten", "one", "live", BookEvent("FLATTEN_STARTED", {"control": control}, None))
    with pytest.raises(NothingToAdopt, match=f"control {control}"):
        await adopting.adopt(desk.db, "one", "cli:tester", "a test")


async def test_a_difference_is_known_before_anything_is_opened(desk: Desk) -> None:
    """What changed while nobody listened is told before the claims begin, not after the first of them."""
    desk.keep()
    await desk.opened()
    await desk.kill()
    await desk.rig.control.control("hub", {"muted": True})
    await desk.rig.control.arm("hide")
    await desk.rig.control.placed(2)
    looked = asyncio.Event()
    keeper = Bookkeeper(
        desk.rig.connector,
        [ACCOUNT],
        desk.pool,
        actor="keeper",
        metrics=Metrics(),
        on_change=desk._changed,
        on_look=looked.set,
        timing=replace(SOON, again_s=0.3),
    )
    desk.keepers.append((keeper, asyncio.create_task(keeper.run())))
    await asyncio.wait_for(looked.wait(), 10)
    assert (await desk.book()).out_of_sync is not None


async def test_fills_that_never_come_do_not_hide_a_difference(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that counts its fills anew after a restart: the account is out of sync, though its order still lacks them."""
    monkeypatch.setattr(sys.modules[__name__], "SOON", replace(SOON, look_every_s=0.2, lost_after_s=0.5))
    desk.keep()
    await desk.opened()
    await desk.db.execute(
        "INSERT INTO fills (account, fill_id, mode, order_id, trade_id, contract, root, side, quantity, price, filled_at)"
        " SELECT 'one', n::TEXT, 'live', 'old', '(foreign)', 'OLD', 'MES', CASE WHEN n <= 5 THEN 'BUY' ELSE 'SELL' END, 1, 1, now()"
        " FROM generate_series(1, 10) n"
    )
    task_id, _ = await desk.sent(quantity="2")

    async def told() -> bool:
        return (await desk.book()).out_of_sync is not None

    await until_async(told, within_s=20, what="OUT_OF_SYNC")
    assert (await desk.book()).out_of_sync == f"The broker holds 2 {MNQ} and our fills add up to 0."
    assert await status_of(desk.db, task_id) == "ACCEPTED"


async def test_what_was_held_before_us_is_nobodys_trade(desk: Desk) -> None:
    """The first look takes positions and balance as they are."""
    await desk.rig.control.placed(2)
    desk.keep()
    await desk.opened()
    await desk.holds(**{"(foreign)": 2})
    await desk.in_agreement()
    assert (await desk.book()).out_of_sync is None


async def test_an_order_placed_by_hand_is_told_once_and_left_alone(desk: Desk) -> None:
    """It and one under an id like ours are told, ours are not; they count as exposure, and go on working."""
    limit = {"kind": 1, "limitPrice": 20_000}
    by_hand = await desk.rig.control.placed(3, **limit)
    like_ours = await desk.rig.control.placed(1, customTag="a" * 20, **limit)
    keeper = desk.keep()
    await desk.opened()
    await desk.sent(order_type="limit", limit_price="20000", trade="T1")
    told = "SELECT count(*) FROM account_log WHERE kind = 'EXTERNAL'"

    async def both() -> bool:
        return bool(await value(desk.db, told) == 2)

    await until_async(both, within_s=20, what="two EXTERNAL rows")
    for _ in range(2):
        await keeper.resync("one")
    assert await both()
    rows = await desk.db.execute(
        "SELECT detail, message FROM account_log WHERE kind = 'EXTERNAL' ORDER BY detail ->> 'order'"
    )
    found = {detail["order"]: (detail, message) for detail, message in await rows.fetchall()}
    detail, message = found[str(by_hand)]
    assert (detail["side"], detail["quantity"], Decimal(detail["limit_price"])) == ("BUY", "3", Decimal(20_000))
    assert "under no id of ours" in message
    assert f"under the id '{'a' * 20}', which no task here has" in found[str(like_ours)][1]
    report = await account_reports.account(desk.db, "one")
    assert [order["order_id"] for order in report["external"]] == [str(by_hand), str(like_ours)]
    facts = await value(desk.db, "SELECT read_account_facts('{one}', '{}', '{}', '{MNQ}', 'live')")
    assert sorted(order[3] for order in facts["accounts"]["one"]["orders"]) == ["1", "3"]
    assert {each["id"] for each in await desk.rig.control.working()} > {by_hand, like_ours}
    assert await is_sound(desk.db)


@pytest.mark.parametrize("ended", [Status.CANCELLED, Status.DENIED, Status.EXPIRED])
async def test_an_entry_that_works_after_its_task_was_over(desk: Desk, ended: Status) -> None:
    """An order that turns up late, or of before a retry: nobody wants it any more, so it is withdrawn before it fills."""
    task_id = await desk.task()
    sent = await desk.rig.connector.send(await desk.order(task_id, order_type="limit", limit_price="23000"))
    assert isinstance(sent, Accepted)
    ways = [Status.UNKNOWN, Status.REVIEW] if ended is Status.CANCELLED else [Status.UNKNOWN, Status.PENDING]
    for version, status in enumerate([*ways, ended], 2):
        assert await append(desk.db, "router", [LogEntry(task_id, version, status, "BY_HAND")])
    if ended is Status.DENIED:  # which says nothing of whether it is wanted
        said = BookEvent("OUT_OF_SYNC", {"why": "It is not known.", "differences": []}, "It is not known.")
        await append_event(desk.db, "keeper", "one", "live", said)
    desk.keep()

    async def withdrawn() -> bool:
        return await desk.works()

    await until_async(withdrawn, within_s=20, what="its withdrawal")
    await until_async(lambda: desk.told(task_id, "CANCEL_ANSWERED"), within_s=20, what="the answer")
    assert await status_of(desk.db, task_id) == ended
    assert await is_sound(desk.db)


async def test_an_entry_that_fills_after_its_trade_was_closed(desk: Desk) -> None:
    """It is closed at once, by a task of its own."""
    desk.keep()
    await desk.rig.control.arm("delay", seconds=60)
    await desk.sent(quantity="2")
    exit_id = await enqueue(desk.db, "T1", "EXIT", account="one", symbol="MNQZ6", mode="live")
    denied = LogEntry(exit_id, 1, Status.DENIED, "NOTHING_TO_CLOSE", "Nothing is held.")
    assert await append(desk.db, "router", [denied])
    await desk.rig.control.control("clock", {"advance_s": 61})
    await desk.holds(T1=2)
    late = await desk.db.execute(
        "SELECT event_type, account, mode, status, lane FROM execution_tasks ORDER BY id DESC LIMIT 1"
    )
    assert await late.fetchone() == ("EXIT_LATE", "one", "live", "PENDING", "one/NQ")


async def test_a_late_fill_that_somebody_adopted_meanwhile_is_not_closed(desk: Desk) -> None:
    """The broker's position was taken for true since the entry was sent: closing its fill now would sell what is not there."""
    desk.keep()
    await desk.rig.control.arm("delay", seconds=60)
    await desk.sent(quantity="2")
    exit_id = await enqueue(desk.db, "T1", "EXIT", account="one", symbol="MNQZ6", mode="live")
    denied = LogEntry(exit_id, 1, Status.DENIED, "NOTHING_TO_CLOSE", "Nothing is held.")
    assert await append(desk.db, "router", [denied])
    await append_event(
        desk.db, "cli:ann", "one", "live", events.adopted("it was sold by hand", [[MNQ, "0", "-2", None]])
    )
    await desk.rig.control.control("clock", {"advance_s": 61})
    await desk.holds(T1=2)
    assert await value(desk.db, "SELECT count(*) FROM execution_tasks WHERE event_type = 'EXIT_LATE'") == 0


async def test_a_fill_on_a_task_that_was_over(desk: Desk) -> None:
    """Evidence, and the account is out of sync: what it holds is not what anybody wanted."""
    task_id = await desk.task()
    outcome = await desk.rig.connector.send(await desk.order(task_id))
    assert isinstance(outcome, Accepted)
    assert await append(desk.db, "router", [LogEntry(task_id, 2, Status.FAILED, "REJECTED", "Refused.")])
    desk.keep()
    await desk.holds(T1=1)
    assert (await desk.reasons(task_id))[-1] == "LATE_FILL"
    assert await status_of(desk.db, task_id) == "FAILED"
    assert await value(desk.db, "SELECT count(*) FROM account_log WHERE kind = 'OUT_OF_SYNC'") == 1
    assert await is_sound(desk.db)


async def test_a_broker_that_is_away_is_told_once(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """And asked again until it answers."""
    await desk.rig.control.arm("http", endpoint="Position/searchOpen", status=503, when="before", times=3)
    desk.keep()
    await desk.opened()
    told = [record for record in caplog.records if "account_not_read" in record.getMessage()]
    assert len(told) == 1
