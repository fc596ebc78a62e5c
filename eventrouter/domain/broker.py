"""What a broker says it has: accounts, contracts, orders, fills, positions. Money, prices and quantities are Decimal."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class OrderSide(StrEnum):
    """What an order does; a SELL may open a short position or close a long one."""

    BUY = "BUY"
    SELL = "SELL"

    @classmethod
    def of(cls, direction: str, *, opening: bool) -> "OrderSide":
        """The side of an order that opens, or closes, a LONG or SHORT position."""
        return cls.BUY if (direction == "LONG") == opening else cls.SELL


class OrderState(StrEnum):
    """How an order stands at the broker."""

    WORKING = "WORKING"  # may still fill, also when its cancel is under way
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"  # a part of it may have filled before
    EXPIRED = "EXPIRED"  # the same
    REJECTED = "REJECTED"
    UNCLEAR = "UNCLEAR"  # the broker names no state that its documents explain


@dataclass(frozen=True, slots=True)
class BrokerAccount:
    """An account at the broker. `account` is its name in our configuration, None when we have none for it."""

    id: str
    name: str
    account: str | None
    balance: Decimal
    can_trade: bool
    simulated: bool | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """An instrument that can be ordered. `tick_value` is money per tick and contract; `active`: the broker calls it current."""

    id: str
    name: str
    tick_size: Decimal
    tick_value: Decimal
    active: bool

    @property
    def point_value(self) -> Decimal:
        """Money per whole point of price and contract."""
        return self.tick_value / self.tick_size


@dataclass(frozen=True, slots=True)
class Price:
    """What an instrument last cost: `contract` is the broker's id, `at` the time for which that is known."""

    contract: str
    value: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class BrokerOrder:
    """An order as the broker shows it, with all that must agree before it is taken for one of ours.

    `account` is our name of it, `contract` the broker's id. `created_at` is the broker's clock. `parent_id` is the entry
    that a bracket's order belongs to, `linked_id` the order that cancels it.
    """

    id: str
    account: str
    contract: str
    client_order_id: str | None
    side: OrderSide
    quantity: Decimal
    state: OrderState
    filled: Decimal
    average_price: Decimal | None
    created_at: datetime
    updated_at: datetime | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    parent_id: str | None = None
    linked_id: str | None = None


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution. `profit_and_loss` is None where it opened something; `voided`: the exchange took it back. `price` is
    None only where it was simulated and the order named none.
    """

    id: str
    order_id: str
    account: str
    contract: str
    side: OrderSide
    quantity: Decimal
    price: Decimal | None
    fee: Decimal
    profit_and_loss: Decimal | None
    at: datetime
    voided: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """What an account holds of one contract: above zero long, below zero short, zero flat."""

    account: str
    contract: str
    quantity: Decimal
    average_price: Decimal | None
    opened_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Events may be missing from here on back: read orders, fills and positions again before relying on what follows."""

    reason: str


BrokerEvent = BrokerOrder | Fill | Position | BrokerAccount | Gap
"""What a broker reports by itself: an order's new state, a fill, a position, an account's balance, or a gap."""


@dataclass(frozen=True, slots=True)
class Change:
    """New values for a working order; None leaves as it is."""

    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
