"""What every connector does, whatever its broker. A new one is added to RIGS and passes."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from eventrouter.connectors.base import Connector
from eventrouter.domain.broker import BrokerEvent, BrokerOrder, Change, Fill, Gap, OrderSide, OrderState, Position
from eventrouter.domain.orders import Absent, Accepted, Rejected, Unknown
from tests.connectors.brokers import MONDAY, Rig, projectx_rig
from tests.simulator.client import until_stalled

ONE, TWO = Decimal(1), Decimal(2)


@dataclass
class Heard:
    """What a connector reports, and the task that reads it."""

    queue: "asyncio.Queue[BrokerEvent]"
    reader: asyncio.Task[None]

    async def next(self) -> BrokerEvent:
        """The next event."""
        return await self.queue.get()


async def listen(connector: Connector) -> Heard:
    """A reader of the events, once the first Gap has come."""
    queue: asyncio.Queue[BrokerEvent] = asyncio.Queue()

    async def read() -> None:
        async for event in connector.events():
            queue.put_nowait(event)

    heard = Heard(queue, asyncio.create_task(read()))
    assert isinstance(await heard.next(), Gap)
    return heard


async def open_position(rig: Rig, quantity: int = 1, **more: str) -> Position:
    """What is held after a market order."""
    assert isinstance(await rig.connector.send(rig.order(quantity=str(quantity), **more)), Accepted)
    (held,) = await rig.connector.positions(rig.account)
    return held


# every connector


async def test_opening_and_closing_twice_does_no_harm(rig: Rig) -> None:
    """open and close are idempotent."""
    await rig.connector.open()
    await rig.connector.close()
    await rig.connector.close()


async def test_an_order_is_accepted(rig: Rig) -> None:
    """A market order of one contract."""
    assert isinstance(await rig.connector.send(rig.order()), Accepted)


async def test_a_closing_order_is_accepted(rig: Rig) -> None:
    """So is the one that closes it."""
    await rig.connector.send(rig.order())
    assert isinstance(await rig.connector.send(rig.order("CLOSE")), Accepted)


async def test_an_id_that_was_never_used_is_absent(rig: Rig) -> None:
    """With and without a time."""
    for since in (None, MONDAY):
        assert isinstance(await rig.connector.look_up(rig.account, "never", since), Absent)


async def test_nothing_is_held_at_first(rig: Rig) -> None:
    """No positions, orders or fills."""
    assert list(await rig.connector.positions(rig.account)) == []
    assert list(await rig.connector.orders(rig.account)) == []
    assert list(await rig.connector.orders(rig.account, MONDAY)) == []
    assert list(await rig.connector.fills(rig.account, MONDAY)) == []


async def test_a_symbol_that_is_none_is_no_contract(rig: Rig) -> None:
    """None instead of an error."""
    assert await rig.connector.contract("NOTHING-LIKE-IT") is None


async def test_events_begin_with_a_gap_and_end_with_close(rig: Rig) -> None:
    """The reader reads everything first, and is not left waiting; opened again, it begins again."""
    for _ in range(2):
        heard = await listen(rig.connector)
        await rig.connector.close()
        await heard.reader
        await rig.connector.open()


async def test_asking_for_more_than_can_be_is_an_answer(rig: Rig) -> None:
    """Closing nothing, cancelling nothing, changing nothing: no exception."""
    outcomes = [
        await rig.connector.close_position(rig.account, "CON.F.US.MNQ.Z26"),
        await rig.connector.close_position(rig.account, "CON.F.US.MNQ.Z26", ONE),
        await rig.connector.cancel(rig.account, "123456"),
        await rig.connector.modify(rig.account, "123456", Change(stop_price=Decimal(24000))),
    ]
    assert all(isinstance(outcome, Accepted | Rejected) for outcome in outcomes), outcomes


async def test_a_position_that_is_not_there_counts_as_closed(rig: Rig) -> None:
    """What was wanted is so already."""
    outcome = await rig.connector.close_position(rig.account, "CON.F.US.MNQ.Z26")
    assert isinstance(outcome, Accepted)
    assert outcome.done


async def test_a_contract_that_is_none_has_no_price(rig: Rig) -> None:
    """None instead of an error."""
    assert await rig.connector.price("CON.F.US.NOTHING.Z26") is None


# every connector with a broker behind it


async def test_the_last_price_of_a_contract(traded: Rig) -> None:
    """What was posted last, with a time that is not later than now."""
    await traded.control.price("24011.25")
    contract = await traded.connector.contract(traded.symbol)
    assert contract is not None
    price = await traded.connector.price(contract.id)
    assert price is not None
    assert (price.contract, price.value) == (contract.id, Decimal("24011.25"))
    assert MONDAY - timedelta(minutes=1) < price.at <= MONDAY


async def test_what_is_looked_up_can_be_compared(traded: Rig) -> None:
    """Account, contract, side, quantity, time, state, filled quantity and average price are the order's."""
    order = traded.order(quantity="2", direction="SHORT")
    sent = await traded.connector.send(order)
    found = await traded.connector.look_up(traded.account, order.client_order_id, MONDAY)
    assert isinstance(sent, Accepted)
    assert isinstance(found, Accepted)
    assert found.done
    shown = found.order
    assert shown is not None
    assert found.order_id == sent.order_id == shown.id
    assert (shown.account, shown.client_order_id) == (traded.account, order.client_order_id)
    contract = await traded.connector.contract(traded.symbol)
    assert contract is not None
    assert (shown.contract, shown.side, shown.quantity) == (contract.id, OrderSide.SELL, TWO)
    assert (shown.state, shown.filled, shown.average_price) == (OrderState.FILLED, TWO, Decimal(24000))
    assert shown.created_at == MONDAY


async def test_a_working_order_is_found_working(traded: Rig) -> None:
    """Not done, and listed among the orders that work."""
    order = traded.order(order_type="limit", limit_price="23000")
    assert isinstance(await traded.connector.send(order), Accepted)
    found = await traded.connector.look_up(traded.account, order.client_order_id, MONDAY)
    assert isinstance(found, Accepted)
    assert not found.done
    assert list(await traded.connector.orders(traded.account)) == [found.order]


async def test_an_order_older_than_the_window_is_not_found(traded: Rig) -> None:
    """`since` bounds the search."""
    order = traded.order()
    await traded.connector.send(order)
    later = MONDAY + timedelta(hours=1)
    assert isinstance(await traded.connector.look_up(traded.account, order.client_order_id, later), Absent)


async def test_another_accounts_order_is_not_found(traded: Rig) -> None:
    """A look-up is about one account."""
    order = traded.order()
    await traded.connector.send(order)
    assert isinstance(await traded.connector.look_up("two", order.client_order_id, MONDAY), Absent)


async def test_a_cancelled_order_is_found_as_ended(traded: Rig) -> None:
    """Without a fill it is Rejected, with its state; cancelling it again is refused."""
    order = traded.order(order_type="limit", limit_price="23000")
    sent = await traded.connector.send(order)
    assert isinstance(sent, Accepted)
    assert sent.order_id is not None
    assert isinstance(await traded.connector.cancel(traded.account, sent.order_id), Accepted)
    found = await traded.connector.look_up(traded.account, order.client_order_id, MONDAY)
    assert isinstance(found, Rejected)
    assert found.order is not None
    assert found.order.state is OrderState.CANCELLED
    assert isinstance(await traded.connector.cancel(traded.account, sent.order_id), Rejected)


async def test_an_order_cancelled_with_a_part_filled_is_done(traded: Rig) -> None:
    """It was executed in part, so it is no refusal."""
    await traded.control.arm("partial", contracts=1, rest="cancel")
    order = traded.order(quantity="3")
    await traded.connector.send(order)
    found = await traded.connector.look_up(traded.account, order.client_order_id, MONDAY)
    assert isinstance(found, Accepted)
    assert found.done
    assert found.order is not None
    assert (found.order.state, found.order.filled, found.order.quantity) == (OrderState.CANCELLED, ONE, Decimal(3))


async def test_an_order_rejected_after_acceptance_is_found_rejected(traded: Rig) -> None:
    """A late reject."""
    await traded.control.arm("reject_later")
    order = traded.order()
    assert isinstance(await traded.connector.send(order), Accepted)
    await traded.control.control("clock", {"advance_s": 1})
    found = await traded.connector.look_up(traded.account, order.client_order_id, MONDAY)
    assert isinstance(found, Rejected)
    assert found.order is not None
    assert found.order.state is OrderState.REJECTED


async def test_a_repeated_id_is_executed_once(traded: Rig) -> None:
    """Where the broker refuses repeats, sending again does no harm; said to be a repeat, its refusal is Unknown."""
    assert traded.connector.capabilities.refuses_repeated_ids
    order = traded.order()
    assert isinstance(await traded.connector.send(order), Accepted)
    again = await traded.connector.send(order, repeated=True)
    assert isinstance(again, Unknown)
    assert await traded.executed(order) == 1
    found = await traded.connector.look_up(traded.account, order.client_order_id, MONDAY)
    assert isinstance(found, Accepted)


async def test_positions_orders_and_fills_agree(traded: Rig) -> None:
    """Two orders the same way are one position, at the average of their fills."""
    await open_position(traded, 2)
    await traded.control.price("24010")
    held = await open_position(traded, 2)
    fills = await traded.connector.fills(traded.account, MONDAY)
    assert (held.quantity, held.average_price) == (Decimal(4), Decimal(24005))
    assert sum(fill.quantity for fill in fills) == 4
    assert [fill.price for fill in fills] == [24000, 24010]
    assert {fill.profit_and_loss for fill in fills} == {None}
    orders = await traded.connector.orders(traded.account, MONDAY)
    assert [order.id for order in orders] == list(dict.fromkeys(fill.order_id for fill in fills))


async def test_a_short_position_is_below_zero(traded: Rig) -> None:
    """And closing it has a profit."""
    held = await open_position(traded, 2, direction="SHORT")
    assert held.quantity == -2
    await traded.control.price("23990")
    assert isinstance(await traded.connector.close_position(traded.account, held.contract), Accepted)
    assert list(await traded.connector.positions(traded.account)) == []
    last = (await traded.connector.fills(traded.account, MONDAY))[-1]
    assert (last.side, last.profit_and_loss) == (OrderSide.BUY, Decimal(40))


async def test_a_part_is_closed_and_never_more_than_is_held(traded: Rig) -> None:
    """A close cannot become an opposite position."""
    held = await open_position(traded, 3)
    assert isinstance(await traded.connector.close_position(traded.account, held.contract, ONE), Accepted)
    assert isinstance(await traded.connector.close_position(traded.account, held.contract, Decimal(5)), Rejected)
    (left,) = await traded.connector.positions(traded.account)
    assert left.quantity == 2


async def test_brackets_go_out_with_the_entry(traded: Rig) -> None:
    """Both sides, at the right distance from the entry, and they cancel each other."""
    assert traded.connector.capabilities.attaches_brackets
    for direction, stop, target in (("LONG", "23980", "24040"), ("SHORT", "24020", "23960")):
        order = traded.order(direction=direction, stop_loss=stop, take_profit=target)
        sent = await traded.connector.send(order)
        assert isinstance(sent, Accepted), sent
        working = {each.parent_id: each for each in await traded.connector.orders(traded.account)}
        assert set(working) == {sent.order_id}
        prices = [(each.stop_price, each.limit_price) for each in await traded.connector.orders(traded.account)]
        assert sorted(prices, key=str) == sorted([(Decimal(stop), None), (None, Decimal(target))], key=str)
        await traded.control.price(target)
        assert list(await traded.connector.orders(traded.account)) == []
        assert list(await traded.connector.positions(traded.account)) == []
        await traded.control.price("24000")


async def test_a_stop_is_moved(traded: Rig) -> None:
    """modify changes the working order and nothing else."""
    sent = await traded.connector.send(traded.order(stop_loss="20 ticks"))
    assert isinstance(sent, Accepted)
    (stop,) = await traded.connector.orders(traded.account)
    assert stop.stop_price == Decimal(23995)
    assert isinstance(
        await traded.connector.modify(traded.account, stop.id, Change(stop_price=Decimal("23998.25"))), Accepted
    )
    (moved,) = await traded.connector.orders(traded.account)
    assert (moved.id, moved.stop_price, moved.quantity) == (stop.id, Decimal("23998.25"), stop.quantity)


async def test_the_broker_reports_order_fill_and_position(traded: Rig) -> None:
    """Without being asked, for our accounts, in our names."""
    heard = await listen(traded.connector)
    order = traded.order()
    await traded.connector.send(order)
    seen: dict[type, BrokerEvent] = {}
    while not {BrokerOrder, Fill, Position} <= set(seen):
        event = await heard.next()
        seen[type(event)] = event
    shown, fill, held = seen[BrokerOrder], seen[Fill], seen[Position]
    assert isinstance(shown, BrokerOrder)
    assert isinstance(fill, Fill)
    assert isinstance(held, Position)
    assert (shown.client_order_id, shown.account) == (order.client_order_id, traded.account)
    assert (fill.order_id, fill.quantity, fill.price) == (shown.id, ONE, Decimal(24000))
    assert (held.account, held.quantity) == (traded.account, ONE)
    await traded.connector.close_position(traded.account, held.contract)
    while not (isinstance(event := await heard.next(), Position) and event.quantity == 0):
        pass


async def test_a_lost_hub_comes_back_with_a_gap(traded: Rig) -> None:
    """What happened meanwhile is not reported, so the gap tells that it must be read."""
    heard = await listen(traded.connector)
    await traded.control.control("hub", {"muted": True})
    order = traded.order()
    await traded.connector.send(order)
    await traded.control.control("hub", {"muted": False, "drop": True})
    assert isinstance(await heard.next(), Gap)
    assert [each.client_order_id for each in await traded.connector.orders(traded.account, MONDAY)] == [
        order.client_order_id
    ]


async def test_what_is_executed_and_not_answered_is_unknown_and_found(traded: Rig) -> None:
    """Each way of losing an answer: executed once, Unknown, found by its id."""
    faults: tuple[tuple[str, dict[str, object]], ...] = (
        ("drop", {"when": "after"}),
        ("drop", {"when": "midway"}),
        ("http", {"when": "after", "status": 500}),
        ("http", {"when": "after", "status": 429}),
        ("cut", {}),
        ("refuse", {"when": "after", "code": 6}),
        ("refuse", {"when": "after", "code": 7}),
    )
    for fault, how in faults:
        number = await traded.control.arm(fault, **how)
        order = traded.order()
        outcome = await traded.connector.send(order)
        assert isinstance(outcome, Unknown), (fault, how, outcome)
        assert await traded.executed(order) == 1, (fault, how)
        found = await traded.connector.look_up(traded.account, order.client_order_id, MONDAY)
        assert isinstance(found, Accepted), (fault, how, found)
        await traded.control.control(f"faults/{number}", method="DELETE")


async def test_what_was_not_executed_and_not_answered_is_unknown_and_absent(traded: Rig) -> None:
    """From here it looks the same; only the look-up tells, and proves nothing."""
    for fault, how in (("drop", {"when": "before"}), ("http", {"when": "before", "status": 503})):
        await traded.control.arm(fault, **how)
        order = traded.order()
        assert isinstance(await traded.connector.send(order), Unknown)
        assert await traded.executed(order) == 0
        found = await traded.connector.look_up(traded.account, order.client_order_id, MONDAY)
        assert isinstance(found, Absent)
        assert not found.proven


async def test_an_order_that_becomes_visible_late_is_found_later(traded: Rig) -> None:
    """Absence from a search is no proof."""
    number = await traded.control.arm("hide")
    order = traded.order()
    await traded.connector.send(order)
    assert isinstance(await traded.connector.look_up(traded.account, order.client_order_id, MONDAY), Absent)
    await traded.control.control(f"faults/{number}/release", {})
    assert isinstance(await traded.connector.look_up(traded.account, order.client_order_id, MONDAY), Accepted)


async def test_a_slow_order_does_not_hold_up_others(traded: Rig) -> None:
    """While one waits for its answer, another account is served."""
    first = traded.order()
    number = await traded.control.arm("stall", when="before", tag=first.client_order_id)
    slow = asyncio.create_task(traded.connector.send(first))
    await until_stalled(traded.control, number)
    assert isinstance(await traded.connector.send(traded.order()), Accepted)
    assert list(await traded.connector.positions(traded.account)) != []
    assert not slow.done()
    await traded.control.control(f"faults/{number}/release", {})
    assert isinstance(await slow, Accepted)


async def test_definitive_refusals(traded: Rig) -> None:
    """Refused before executing is Rejected, and nothing was executed."""
    for code in (1, 2, 3, 4, 5, 8, 9, 10):
        await traded.control.arm("refuse", when="before", code=code)
        order = traded.order()
        assert isinstance(await traded.connector.send(order), Rejected), code
        assert await traded.executed(order) == 0


async def test_every_account_of_the_login_is_listed(traded: Rig) -> None:
    """With its balance, and our name where it has one."""
    accounts = {each.id: each for each in await traded.connector.accounts()}
    assert {each.account for each in accounts.values()} == {"one", "two", None}
    assert all(each.can_trade and each.balance == 50_000 for each in accounts.values())


async def test_symbols_lead_to_contracts(traded: Rig) -> None:
    """The many ways to write one, and the current one for a continuous symbol."""
    names = ("MNQZ6", "MNQZ2026", "CME_MINI:MNQ1!", "MNQ", "MNQ 12-26", "CON.F.US.MNQ.Z26")
    found = [await traded.connector.contract(name) for name in names]
    assert {each.id for each in found if each} == {"CON.F.US.MNQ.Z26"}
    assert None not in found
    contract = found[0]
    assert contract is not None
    assert (contract.tick_size, contract.tick_value, contract.point_value) == (Decimal("0.25"), Decimal("0.5"), TWO)
    assert contract.active
    euro = await traded.connector.contract("6E1!")
    yen = await traded.connector.contract("6J1!")
    assert euro is not None
    assert yen is not None
    assert (euro.tick_size, yen.tick_size) == (Decimal("0.00005"), Decimal("0.0000005"))
    assert await traded.connector.contract("MNQZ2036") is None
    assert await traded.connector.contract("MNQ2!") is None


async def test_a_token_that_ended_early_stops_no_reader_and_no_second_order() -> None:
    """Reads log in anew; an order that met the old token was not executed, is not repeated, and says that it may be."""
    async with projectx_rig() as rig:
        await rig.connector.send(rig.order())
        await rig.control.control("tokens/expire", {})
        order = rig.order()
        outcome = await rig.connector.send(order)
        assert isinstance(outcome, Rejected)
        assert outcome.repeatable
        assert await rig.executed(order) == 0
        assert isinstance(await rig.connector.send(order), Accepted)
        await rig.control.control("tokens/expire", {})
        assert len(await rig.connector.positions(rig.account)) == 1


async def test_a_broker_that_takes_repeats_is_said_to() -> None:
    """The weaker kind executes a repeat; the capability tells, and a look-up shows both."""
    async with projectx_rig(unique_tags=False) as rig:
        assert not rig.connector.capabilities.refuses_repeated_ids
        order = rig.order()
        assert isinstance(await rig.connector.send(order), Accepted)
        assert isinstance(await rig.connector.send(order), Accepted)
        found = await rig.connector.look_up(rig.account, order.client_order_id, MONDAY)
        assert isinstance(found, Accepted)
        assert found.answer.detail is not None
        assert len(found.answer.detail["orders"]) == 2
