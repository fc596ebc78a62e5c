"""Accounts, contracts, orders, fills and positions as a gateway lists them: what is taken, and what is no answer."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from eventrouter.connectors.projectx import ProjectXConnector
from eventrouter.domain.broker import OrderState
from eventrouter.domain.orders import Absent, Accepted, Order, Rejected
from eventrouter.errors import BrokerError, BrokerRefused, BrokerUnavailable
from tests.connectors.conftest import Clock, Connect
from tests.connectors.wire import ACCOUNT, LISTED, MNQ, MNQ_ID, Wire, refuses, says, status

TAG = "abcdefghij0123456789"
INTENT = datetime(2026, 11, 23, 15, tzinfo=UTC)
SHOWN: dict[str, Any] = {
    "id": 1,
    "accountId": 7,
    "contractId": MNQ_ID,
    "creationTimestamp": "2026-11-23T15:00:00.1234567+00:00",
    "status": 2,
    "type": 2,
    "side": 0,
    "size": 2,
    "fillVolume": 2,
    "filledPrice": 24000.25,
    "customTag": TAG,
}
HELD = {
    "id": 1,
    "accountId": 7,
    "contractId": MNQ_ID,
    "creationTimestamp": "2026-11-23T15:00:00Z",
    "type": 1,
    "size": 2,
    "averagePrice": 24000.25,
}


def order(action: str = "OPEN", **more: str) -> Order:
    """One contract, long, at the market."""
    said: dict[str, Any] = {"account": ACCOUNT, "symbol": "MNQZ6", "direction": "LONG", "quantity": "1", **more}
    return Order(client_order_id=TAG, trade_id="T1", action=action, **said)


@pytest.fixture
async def connector(wire: Wire, connect: Connect, clock: Clock) -> ProjectXConnector:
    """A connector whose clock stands, at a gateway that takes every order."""
    wire.on("Order/place", says(orderId=5))
    return await connect(wire.url, timing={"clock": clock})


# accounts and contracts


async def test_an_account_that_may_not_trade_enters_nothing_and_still_exits(
    wire: Wire, connector: ProjectXConnector, clock: Clock
) -> None:
    """canTrade is about new positions; it is asked again after a minute."""
    wire.on("Account/search", says(accounts=[{**LISTED, "canTrade": False}]), says(accounts=[LISTED]))
    assert isinstance(await connector.send(order()), Rejected)
    assert wire.seen("Order/place") == []
    assert isinstance(await connector.send(order("CLOSE")), Accepted)
    clock.now += 61
    assert isinstance(await connector.send(order()), Accepted)


async def test_an_exit_needs_no_new_list_of_accounts(wire: Wire, connector: ProjectXConnector, clock: Clock) -> None:
    """What was known when the position was opened is enough to close it, however long ago, and while nothing can be read."""
    wire.on("Contract/searchById", says(contract=MNQ))
    assert isinstance(await connector.send(order(symbol=MNQ_ID)), Accepted)
    clock.now += 10_000
    for endpoint in ("Account/search", "Contract/searchById"):
        wire.on(endpoint, status(500))
    assert isinstance(await connector.send(order("CLOSE", symbol=MNQ_ID)), Accepted)


async def test_an_account_that_is_shown_no_more_can_still_be_closed(
    wire: Wire, connector: ProjectXConnector, clock: Clock
) -> None:
    """A firm that disables an account may leave a position in it; nothing new is opened there."""
    wire.on("Account/search", says(accounts=[LISTED]), says(accounts=[]))
    assert isinstance(await connector.send(order()), Accepted)
    clock.now += 61
    assert isinstance(await connector.send(order()), Rejected)
    assert isinstance(await connector.send(order("CLOSE")), Accepted)


@pytest.mark.parametrize("accounts", [[], [{**LISTED, "id": 8}], [LISTED, {**LISTED, "id": 8, "name": "7"}]])
async def test_an_account_of_nobody_is_refused(accounts: list[Any], wire: Wire, connector: ProjectXConnector) -> None:
    """One that the broker does not show, or two that could be meant: nothing goes to another by accident."""
    wire.on("Account/search", says(accounts=accounts))
    assert isinstance(await connector.send(order()), Rejected)
    assert isinstance(await connector.cancel(ACCOUNT, "5"), Rejected)
    with pytest.raises(BrokerError, match="no account, or several"):
        await connector.positions(ACCOUNT)
    assert [request.path for request in wire.requests if "Order" in request.path] == []


async def test_an_account_that_is_not_configured(wire: Wire, connector: ProjectXConnector) -> None:
    """It is not even asked for."""
    assert isinstance(await connector.send(order(account="other")), Rejected)
    assert isinstance(await connector.close_position("other", MNQ_ID), Rejected)
    assert wire.requests == []


async def test_the_current_contract_changes(wire: Wire, connector: ProjectXConnector, clock: Clock) -> None:
    """It is remembered for ten minutes, then asked for again."""
    march = {**MNQ, "id": "CON.F.US.MNQ.H27", "name": "MNQH7"}
    wire.on(
        "Contract/search",
        says(contracts=[MNQ, {**march, "activeContract": False}]),
        says(contracts=[{**MNQ, "activeContract": False}, march]),
    )
    names = []
    for seconds in (0, 599, 2):
        clock.now += seconds
        contract = await connector.contract("MNQ1!")
        names.append(contract.name if contract else None)
    assert names == ["MNQZ6", "MNQZ6", "MNQH7"]


async def test_what_the_search_does_not_show_is_in_the_list_of_all(wire: Wire, connector: ProjectXConnector) -> None:
    """The search shows at most twenty."""
    wire.on("Contract/search", says(contracts=[]))
    wire.on("Contract/available", says(contracts=[MNQ]))
    assert await connector.contract("MNQ1!") is not None
    assert wire.seen("Contract/search")[0].body == {"searchText": "MNQ", "live": False}


@pytest.mark.parametrize(
    "wrong", [{"tickSize": 0}, {"tickValue": -1}, {"tickSize": "0.25"}, {"activeContract": 1}, {"id": None}]
)
async def test_a_contract_that_makes_no_sense(
    wrong: dict[str, object], wire: Wire, connector: ProjectXConnector
) -> None:
    """Nothing is computed with it."""
    wire.on("Contract/search", says(contracts=[{**MNQ, **wrong}]))
    with pytest.raises(BrokerUnavailable):
        await connector.contract("MNQ1!")


async def test_an_id_that_is_answered_with_another_contract(wire: Wire, connector: ProjectXConnector) -> None:
    """Is not that contract; and one that is refused is none."""
    wire.on("Contract/searchById", says(contract={**MNQ, "id": "CON.F.US.ENQ.Z26"}), refuses(1), status(401))
    assert await connector.contract(MNQ_ID) is None
    assert await connector.contract(MNQ_ID) is None
    with pytest.raises(BrokerRefused):
        await connector.contract(MNQ_ID)


# look-ups


async def test_the_window_begins_before_the_intent(wire: Wire, connector: ProjectXConnector) -> None:
    """The broker's clock may be a minute behind ours; without a time it is the last day."""
    wire.on("Order/search", says(orders=[]))
    wire.on("Order/v2/query", says(orders=[]))
    await connector.look_up(ACCOUNT, TAG, INTENT)
    asked = wire.seen("Order/search")[0].body["startTimestamp"]
    assert datetime.fromisoformat(asked) == INTENT - timedelta(minutes=1)
    filtered = wire.seen("Order/v2/query")[0].body["filter"]
    assert filtered["accountId"] == 7
    assert datetime.fromisoformat(filtered["createdAfter"]) == INTENT - timedelta(minutes=1)
    await connector.look_up(ACCOUNT, TAG)
    day_ago = datetime.now(UTC) - timedelta(days=1)
    since = datetime.fromisoformat(wire.seen("Order/search")[1].body["startTimestamp"])
    assert day_ago - timedelta(minutes=10) < since < day_ago


@pytest.mark.parametrize(
    ("number", "filled", "kind", "done", "state"),
    [
        (0, 0, Accepted, False, OrderState.UNCLEAR),
        (1, 0, Accepted, False, OrderState.WORKING),
        (1, 1, Accepted, False, OrderState.WORKING),
        (2, 2, Accepted, True, OrderState.FILLED),
        (3, 0, Rejected, True, OrderState.CANCELLED),
        (3, 1, Accepted, True, OrderState.CANCELLED),
        (4, 0, Rejected, True, OrderState.EXPIRED),
        (4, 1, Accepted, True, OrderState.EXPIRED),
        (5, 0, Rejected, True, OrderState.REJECTED),
        (6, 0, Accepted, False, OrderState.WORKING),
        (7, 0, Accepted, False, OrderState.WORKING),
        (8, 0, Accepted, False, OrderState.WORKING),
        (99, 0, Accepted, False, OrderState.UNCLEAR),
    ],
)
async def test_every_status_of_an_order(
    number: int, filled: int, kind: type[Any], done: bool, state: OrderState, wire: Wire, connector: ProjectXConnector
) -> None:
    """A part that filled makes it executed; an unknown status makes it neither done nor refused."""
    price = {"filledPrice": 24000.25} if filled else {"filledPrice": 0}
    wire.on("Order/search", says(orders=[{**SHOWN, "status": number, "fillVolume": filled, **price}]))
    found = await connector.look_up(ACCOUNT, TAG)
    assert type(found) is kind
    assert isinstance(found, Accepted | Rejected)
    assert not isinstance(found, Accepted) or found.done is done
    assert found.order is not None
    assert found.order.state is state
    assert found.order.average_price == (Decimal("24000.25") if filled else None)


async def test_a_rejected_repeat_does_not_hide_the_order(wire: Wire, connector: ProjectXConnector) -> None:
    """Where both bear the tag, the one that was executed counts; both are named."""
    repeat = {**SHOWN, "id": 0 + 3, "status": 5, "fillVolume": 0, "creationTimestamp": "2026-11-23T14:59:59Z"}
    wire.on("Order/search", says(orders=[repeat, SHOWN]))
    found = await connector.look_up(ACCOUNT, TAG)
    assert isinstance(found, Accepted)
    assert found.order_id == "1"
    assert found.answer.detail == {"orders": ["3", "1"], "state": "FILLED"}


async def test_orders_of_another_account_are_no_answer(wire: Wire, connector: ProjectXConnector) -> None:
    """A search that shows somebody else's orders cannot be relied on."""
    wire.on("Order/search", says(orders=[{**SHOWN, "accountId": 8}]))
    with pytest.raises(BrokerUnavailable, match="another account"):
        await connector.look_up(ACCOUNT, TAG)


async def test_orders_of_others_need_not_be_readable(wire: Wire, connector: ProjectXConnector) -> None:
    """What does not bear the tag is not in the way of what does."""
    wire.on("Order/search", says(orders=[{"id": 4}, {"customTag": 5}, SHOWN]))
    assert isinstance(await connector.look_up(ACCOUNT, TAG), Accepted)
    with pytest.raises(BrokerUnavailable):
        await connector.orders(ACCOUNT, INTENT)


async def test_a_brackets_order_is_not_taken_for_its_entry(wire: Wire, connector: ProjectXConnector) -> None:
    """Should the broker copy the tag to the children, the entry is the one without a parent."""
    stop = {**SHOWN, "id": 2, "status": 8, "side": 1, "fillVolume": 0, "parentOrderId": 1}
    wire.on("Order/search", says(orders=[stop, {**SHOWN, "parentOrderId": 0}]))
    found = await connector.look_up(ACCOUNT, TAG)
    assert isinstance(found, Accepted)
    assert found.answer.detail == {"orders": ["1"], "state": "FILLED"}


async def test_a_look_up_asks_the_second_search_too(wire: Wire, connector: ProjectXConnector) -> None:
    """Page by page; where the gateway has none, the first one's answer counts."""
    page = [{"id": number, "customTag": f"other-{number}"} for number in range(1_000, 1_200)]
    wire.on("Order/search", says(orders=[]))
    wire.on("Order/v2/query", says(orders=page, totalCount=201), says(orders=[SHOWN], totalCount=201))
    assert isinstance(await connector.look_up(ACCOUNT, TAG), Accepted)
    assert [request.body["pageOffset"] for request in wire.seen("Order/v2/query")] == [0, 1]
    wire.on("Order/v2/query", status(404))
    found = await connector.look_up(ACCOUNT, TAG)
    assert isinstance(found, Absent)
    assert not found.proven


async def test_an_offset_may_count_orders(wire: Wire, connector: ProjectXConnector) -> None:
    """A second page that shows the first one's orders again: the next one begins after all that were seen."""
    others = [{"id": number, "customTag": f"other-{number}"} for number in range(1_000, 1_101)]
    wire.on("Order/search", says(orders=[]))
    pages = [others[:100], others[1:], [SHOWN]]
    wire.on("Order/v2/query", *(says(orders=page, totalCount=102) for page in pages))
    assert isinstance(await connector.look_up(ACCOUNT, TAG), Accepted)
    assert [request.body["pageOffset"] for request in wire.seen("Order/v2/query")] == [0, 1, 101]


@pytest.mark.parametrize("counted", [{"totalCount": 400}, {}])
async def test_pages_that_repeat_are_no_absence(
    counted: dict[str, int], wire: Wire, connector: ProjectXConnector
) -> None:
    """Where not all orders were seen nobody can say that one is missing; where none is announced, a repeat is the end."""
    page = [{"id": number, "customTag": f"other-{number}"} for number in range(200)]
    wire.on("Order/search", says(orders=[]))
    wire.on("Order/v2/query", says(orders=page, **counted))
    if counted:
        with pytest.raises(BrokerUnavailable, match="not all"):
            await connector.look_up(ACCOUNT, TAG)
    else:
        assert isinstance(await connector.look_up(ACCOUNT, TAG), Absent)
    assert len(wire.seen("Order/v2/query")) == 2


# positions and fills


async def test_a_position_of_nothing_is_not_held(wire: Wire, connector: ProjectXConnector) -> None:
    """Size zero or no direction is flat."""
    flat = {**HELD, "contractId": "CON.F.US.ENQ.Z26", "size": 0}
    wire.on("Position/searchOpen", says(positions=[flat, {**flat, "type": 0}, {**HELD, "type": 2}]))
    (held,) = await connector.positions(ACCOUNT)
    assert (held.contract, held.quantity, held.average_price) == (MNQ_ID, Decimal(-2), Decimal("24000.25"))


@pytest.mark.parametrize(
    "wrong",
    [{"type": 3}, {"size": -2}, {"size": 1.5}, {"type": 0}, {"accountId": 8}, {"contractId": " "}, {"size": True}],
)
async def test_positions_that_make_no_sense(wrong: dict[str, object], wire: Wire, connector: ProjectXConnector) -> None:
    """One of them makes the whole answer none: a missing position would look flat."""
    wire.on("Position/searchOpen", says(positions=[HELD, {**HELD, **wrong}]))
    with pytest.raises(BrokerUnavailable):
        await connector.positions(ACCOUNT)


@pytest.mark.parametrize("positions", [None, {}, [5], "none"])
async def test_a_list_that_is_none(positions: object, wire: Wire, connector: ProjectXConnector) -> None:
    """Nothing held is an empty list, and nothing else is."""
    wire.on("Position/searchOpen", says(positions=positions))
    with pytest.raises(BrokerUnavailable):
        await connector.positions(ACCOUNT)


async def test_fills_in_order_of_time(wire: Wire, connector: ProjectXConnector) -> None:
    """With profit where one was closed, and whether the exchange took it back."""
    first = {
        "id": 9,
        "accountId": 7,
        "contractId": MNQ_ID,
        "creationTimestamp": "2026-11-23T15:00:00Z",
        "price": 24000.25,
        "profitAndLoss": None,
        "fees": 0.37,
        "side": 0,
        "size": 1,
        "voided": False,
        "orderId": 5,
    }
    second = {**first, "id": 8, "creationTimestamp": "2026-11-23T15:00:01Z", "profitAndLoss": -12.5, "voided": True}
    wire.on("Trade/search", says(trades=[second, first]))
    fills = await connector.fills(ACCOUNT, INTENT)
    assert [(fill.id, fill.profit_and_loss, fill.voided) for fill in fills] == [
        ("9", None, False),
        ("8", Decimal("-12.5"), True),
    ]
    assert wire.seen("Trade/search")[0].body["startTimestamp"] == "2026-11-23T15:00:00.000+00:00"
