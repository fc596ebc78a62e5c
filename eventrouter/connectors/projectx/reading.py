"""What ProjectX shows, as our own words for it. Raises Unreadable where a value is not as documented."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from eventrouter.connectors.projectx.json_values import (
    Unreadable,
    moment,
    money,
    optional_id,
    optional_moment,
    optional_money,
    optional_words,
    truth,
    whole_number,
    words,
)
from eventrouter.domain.broker import (
    BrokerAccount,
    BrokerOrder,
    Contract,
    Fill,
    OrderSide,
    OrderState,
    Position,
)

SIDES = {0: OrderSide.BUY, 1: OrderSide.SELL}
_WORKING, _UNCLEAR = OrderState.WORKING, OrderState.UNCLEAR
STATES = {
    0: _UNCLEAR,  # None
    1: _WORKING,  # Open
    2: OrderState.FILLED,
    3: OrderState.CANCELLED,
    4: OrderState.EXPIRED,
    5: OrderState.REJECTED,
    6: _WORKING,  # Pending
    7: _WORKING,  # PendingCancellation: may still fill
    8: _WORKING,  # Suspended: a bracket's order that waits for its entry
}
STATUSES_WORKING = tuple(status for status, state in STATES.items() if state is _WORKING)
_FLAT, _LONG, _SHORT = 0, 1, 2


def account_of(item: Mapping[str, Any], name: str | None) -> BrokerAccount:
    """An account; `name` is ours of it."""
    simulated = truth(item, "simulated") if item.get("simulated") is not None else None
    return BrokerAccount(
        id=str(whole_number(item, "id")),
        name=words(item, "name"),
        account=name,
        balance=money(item, "balance"),
        can_trade=truth(item, "canTrade"),
        simulated=simulated,
    )


def contract_of(item: Mapping[str, Any]) -> Contract:
    """A contract; its tick must have a size and a value."""
    tick_size, tick_value = money(item, "tickSize"), money(item, "tickValue")
    if tick_size <= 0 or tick_value <= 0:
        raise Unreadable("a tick is not above zero")
    return Contract(words(item, "id"), words(item, "name"), tick_size, tick_value, truth(item, "activeContract"))


def order_of(item: Mapping[str, Any], account: str) -> BrokerOrder:
    """An order; a status that is new to us is UNCLEAR."""
    price = optional_money(item, "filledPrice")
    filled = whole_number(item, "fillVolume")
    return BrokerOrder(
        id=str(whole_number(item, "id")),
        account=account,
        contract=words(item, "contractId"),
        client_order_id=optional_words(item, "customTag"),
        side=_side(item),
        quantity=Decimal(whole_number(item, "size")),
        state=STATES.get(whole_number(item, "status"), _UNCLEAR),
        filled=Decimal(filled),
        average_price=price if filled else None,
        created_at=moment(item, "creationTimestamp"),
        updated_at=optional_moment(item, "updateTimestamp"),
        limit_price=optional_money(item, "limitPrice"),
        stop_price=optional_money(item, "stopPrice"),
        parent_id=optional_id(item, "parentOrderId"),
        linked_id=optional_id(item, "linkedOrderId"),
    )


def fill_of(item: Mapping[str, Any], account: str) -> Fill:
    """A half turn; its profit is null where it opened a position."""
    return Fill(
        id=str(whole_number(item, "id")),
        order_id=str(whole_number(item, "orderId")),
        account=account,
        contract=words(item, "contractId"),
        side=_side(item),
        quantity=Decimal(whole_number(item, "size")),
        price=money(item, "price"),
        fee=money(item, "fees"),
        profit_and_loss=optional_money(item, "profitAndLoss"),
        at=moment(item, "creationTimestamp"),
        voided=truth(item, "voided"),
    )


def position_of(item: Mapping[str, Any], account: str) -> Position:
    """A position; without a direction, or of size zero, it is flat."""
    kind, size = whole_number(item, "type"), whole_number(item, "size")
    if kind not in (_FLAT, _LONG, _SHORT) or size < 0 or (kind == _FLAT and size > 0):
        raise Unreadable("type and size of the position do not agree")
    return Position(
        account=account,
        contract=words(item, "contractId"),
        quantity=Decimal(-size if kind == _SHORT else size),
        average_price=optional_money(item, "averagePrice") if size else None,
        opened_at=optional_moment(item, "creationTimestamp"),
    )


def _side(item: Mapping[str, Any]) -> OrderSide:
    side = SIDES.get(whole_number(item, "side"))
    if side is None:
        raise Unreadable("side is neither 0 nor 1")
    return side
