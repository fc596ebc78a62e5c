"""The one signal model: what any alert, of whatever format, is understood as. Prices and quantities are Decimal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any


class Event(StrEnum):
    """What an alert asks for."""

    ENTRY = "ENTRY"  # open a position
    EXIT = "EXIT"  # close the position, or the part that the quantity names
    ADD = "ADD"  # make an open position larger
    REDUCE = "REDUCE"  # make it smaller, and stay in it
    REVERSE = "REVERSE"  # close it and open the opposite one
    CANCEL = "CANCEL"  # withdraw working orders
    MOVE_STOP = "MOVE_STOP"  # new stop loss or take profit for an open position
    FLATTEN = "FLATTEN"  # close everything the strategy holds, whatever the symbol


class Side(StrEnum):
    """The direction of the position meant: that an ENTRY, ADD or REVERSE leads to, or that an EXIT or REDUCE leaves."""

    LONG = "LONG"
    SHORT = "SHORT"


class QuantityKind(StrEnum):
    """What the number means."""

    FIXED = "fixed"  # contracts, shares, lots: units of the instrument
    CASH = "cash"  # account currency worth of it
    RISK_AMOUNT = "risk_amount"  # account currency lost at the stop
    RISK_PERCENT = "risk_percent"  # percent of equity lost at the stop
    PERCENT_OF_EQUITY = "percent_of_equity"
    PERCENT_OF_POSITION = "percent_of_position"


class OrderType(StrEnum):
    """How to execute."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"


class LevelKind(StrEnum):
    """How far away a stop loss or take profit is."""

    PRICE = "price"  # an absolute price
    OFFSET = "offset"  # points of price from the entry
    TICKS = "ticks"  # ticks from the entry
    CASH = "cash"  # account currency from the entry, for the whole position
    PERCENT = "percent"  # percent of the entry price


@dataclass(frozen=True, slots=True)
class Level:
    """A stop loss or take profit. `trailing`: it follows the price at that distance (a trailing stop)."""

    kind: LevelKind
    value: Decimal
    trailing: bool = False


@dataclass(frozen=True, slots=True)
class Signal:
    """One understood alert. What the alert did not say is None.

    `symbol` is as sent. `price` is the sender's reference price (the close or fill that it saw), never an order price.
    `position` is the sender's own position after the alert: LONG, SHORT or FLAT, and `position_size` its size, at least
    zero. `bare`: the alert only says buy or sell, so against an open position it may as well mean that one's exit. Times are aware, UTC: `fire_time` when
    the alert fired, `bar_time` of its bar. `source_id` is the sender's own id of the alert, `order_id` of its order.
    `target`: the quantity is the size of the position afterwards, not of the order. `trail` is how far a trailing stop order stays behind the price.
    `exit_type` is SL, BE, TP, … where an exit says why. `repairs` are sentences that say what was mended in a body that
    was nearly right; `notes` are sentences about fields that were understood and have no effect here.
    """

    family: str
    event: Event
    symbol: str | None = None
    side: Side | None = None
    strategy: str | None = None
    trade_id: str | None = None
    quantity: Decimal | None = None
    quantity_kind: QuantityKind = QuantityKind.FIXED
    target: bool = False
    order_type: OrderType = OrderType.MARKET
    price: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail: Level | None = None
    stop_loss: Level | None = None
    take_profit: Level | None = None
    fire_time: datetime | None = None
    bar_time: datetime | None = None
    source_id: str | None = None
    order_id: str | None = None
    exchange: str | None = None
    position: str | None = None
    position_size: Decimal | None = None
    bare: bool = False
    exit_type: str | None = None
    max_age_s: Decimal | None = None
    repairs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def opening(self) -> bool:
        """Whether it adds exposure: such alerts have limits and grow too old, and what closes never does."""
        return self.event in (Event.ENTRY, Event.ADD, Event.REVERSE)

    @property
    def event_type(self) -> str:
        """The event as tasks name it: ENTRY, EXIT, EXIT_SL, REDUCE, …"""
        named = self.event is Event.EXIT and self.exit_type is not None
        return f"EXIT_{self.exit_type}" if named else str(self.event)
