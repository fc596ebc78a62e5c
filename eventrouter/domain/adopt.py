"""Whether an order that was found at the broker is the one that an intent asked for. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from eventrouter.domain.broker import BrokerOrder, OrderSide
from eventrouter.domain.plan import opens

CLOCKS_APART = timedelta(seconds=60)
"""How far the broker's clock may be behind ours."""


def agrees(
    order: BrokerOrder, intent: Mapping[str, Any], *, account: str, event_type: str, first_sent_at: datetime
) -> str | None:
    """Why the order is not what the intent says; None when it is.

    `intent` is the detail of the intent's log row: `contract` (the broker's id), `quantity`, `side` or `direction` of what
    is held. What the row does not say is not compared; account and time always are.
    """
    differences = [
        _differs("account", order.account, account),
        _differs("contract", order.contract, contract_of(intent)),
        _differs("side", str(order.side), side_of(intent, event_type)),
        quantity_differs(order.quantity, intent.get("quantity")),
    ]
    if order.created_at < first_sent_at - CLOCKS_APART:
        differences.append(f"it was created at {order.created_at:%Y-%m-%d %H:%M:%S} UTC, before the first intent")
    found = "; ".join(difference for difference in differences if difference)
    return f"Order {order.id} bears this id, but {found}." if found else None


def _differs(name: str, found: str, wanted: str | None) -> str | None:
    return f"its {name} is {found} instead of {wanted}" if wanted is not None and found != wanted else None


def contract_of(intent: Mapping[str, Any]) -> str | None:
    """The broker's id of the contract that an intent is about, where it names one."""
    contract = intent.get("contract")
    if isinstance(contract, Mapping):
        contract = contract.get("id")
    return None if contract is None else str(contract)


def side_of(intent: Mapping[str, Any], event_type: str) -> str | None:
    """BUY or SELL, where an intent says which."""
    if intent.get("side") is not None:
        return str(intent["side"])
    if intent.get("direction") not in ("LONG", "SHORT"):
        return None
    return str(OrderSide.of(intent["direction"], opening=opens(event_type)))


def quantity_differs(found: Decimal, wanted: object) -> str | None:
    """What is wrong with a quantity; None where it is the wanted one, or none is named."""
    if wanted is None:
        return None
    try:
        same = Decimal(str(wanted)) == found
    except InvalidOperation:
        same = False
    return None if same else f"its quantity is {found:f} instead of {wanted}"
