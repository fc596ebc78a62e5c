"""The body of Order/place for an order, or why there is none. Pure."""

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from eventrouter.domain.broker import Contract
from eventrouter.domain.orders import Order
from eventrouter.domain.signals import LevelKind, OrderType, QuantityKind, Side

LIMIT, MARKET, STOP, TRAILING_STOP = 1, 2, 4, 5
BUY, SELL = 0, 1
MOST_TRAIL_TICKS = 1000  # the broker's own limit
_MOST_SIZE = 2**31 - 1
_ORDERS = ("OPEN", "CLOSE", "REDUCE")
_ALREADY = (None, str(QuantityKind.FIXED))


class BracketSigns(StrEnum):
    """How a bracket's ticks count. The broker documents neither; see an order's answer on a practice account."""

    SIGNED = "signed"  # from the entry's price: below it negative
    UNSIGNED = "unsigned"  # a distance


class Unplaceable(ValueError):
    """Why the order cannot be asked of this broker, as a sentence."""


@dataclass(frozen=True, slots=True)
class _Level:
    value: Decimal
    kind: LevelKind
    trailing: bool


def place_body(order: Order, contract: Contract, account_id: int, signs: BracketSigns) -> dict[str, Any]:
    """The request. Opening orders carry their brackets; closing ones none. Raises Unplaceable."""
    if order.action not in _ORDERS:
        raise Unplaceable(f"{order.action} is no order: cancel and modify are asked separately.")
    if order.direction not in (Side.LONG, Side.SHORT):
        raise Unplaceable("The order names no direction.")
    opening = order.action == "OPEN"
    buys = (order.direction == Side.LONG) == opening
    size = _size(order)
    kind, prices = _prices(order, contract, buys=buys)
    body: dict[str, Any] = {
        "accountId": account_id,
        "contractId": contract.id,
        "type": kind,
        "side": BUY if buys else SELL,
        "size": size,
        **prices,
        "customTag": order.client_order_id,
    }
    if opening:
        body |= _brackets(order, contract, size, signs, buys=buys)
    return body


def on_grid(price: Decimal, contract: Contract) -> bool:
    """Whether an order may have this price."""
    return price > 0 and price % contract.tick_size == 0


def json_number(price: Decimal) -> float:
    """A price as JSON writes it; a float's shortest text is that of the price up to 15 digits."""
    return float(price)


def _size(order: Order) -> int:
    if order.quantity_kind not in _ALREADY:
        raise Unplaceable(f"The quantity is {order.quantity_kind}; it must be sized to contracts first.")
    if order.quantity is None:
        raise Unplaceable("The order names no quantity.")
    size = _number(order.quantity, "quantity")
    if size != size.to_integral_value() or not 1 <= size <= _MOST_SIZE:
        raise Unplaceable(f"The quantity {order.quantity} is not a whole number of contracts.")
    return int(size)


def _prices(order: Order, contract: Contract, *, buys: bool) -> tuple[int, dict[str, float]]:
    """The broker's order type, and the prices that it needs."""
    match order.order_type:
        case None | OrderType.MARKET:
            return MARKET, {}
        case OrderType.LIMIT:
            return LIMIT, {"limitPrice": _price(order.limit_price, "limit_price", contract)}
        case OrderType.STOP:
            return STOP, {"stopPrice": _price(order.stop_price, "stop_price", contract)}
        case OrderType.TRAILING_STOP:
            return TRAILING_STOP, {"trailPrice": _trail(order, contract, buys=buys)}
        case other:
            raise Unplaceable(f"ProjectX documents no {other} orders.")


def _price(text: str | None, name: str, contract: Contract) -> float:
    price = _number(text, name)
    if not on_grid(price, contract):
        raise Unplaceable(f"{name} {text} is no price of {contract.name}: its tick is {contract.tick_size}.")
    return json_number(price)


def _trail(order: Order, contract: Contract, *, buys: bool) -> float:
    """The level at which a trailing stop starts: the broker takes a level, the alert may name a distance."""
    if order.trail is None:
        raise Unplaceable("A trailing stop needs a trail.")
    level = _level(order.trail, "trail")
    reference = _number(order.price, "price")
    if level.kind is LevelKind.PRICE:
        price = level.value
        ticks = abs(price - reference) / contract.tick_size
    else:
        ticks = _distance_ticks(level, contract, reference, _size(order))
        # from a reference that is off the grid, the level nearest to the price
        base = (reference / contract.tick_size).to_integral_value()
        price = (base + ticks if buys else base - ticks) * contract.tick_size
    if ticks > MOST_TRAIL_TICKS:
        raise Unplaceable(f"The trail is {ticks:f} ticks long; {MOST_TRAIL_TICKS} are the broker's limit.")
    if not on_grid(price, contract) or (price > reference) != buys:
        raise Unplaceable(f"A trail at {price:f} is on the wrong side of {reference:f} or off the grid of ticks.")
    return json_number(price)


def _brackets(
    order: Order, contract: Contract, size: int, signs: BracketSigns, *, buys: bool
) -> dict[str, dict[str, int]]:
    legs: dict[str, dict[str, int]] = {}
    if order.stop_loss is not None:
        level = _level(order.stop_loss, "stop_loss")
        ticks = _bracket_ticks(level, "stop_loss", order, contract, size, above=not buys)
        kind = TRAILING_STOP if level.trailing else STOP
        legs["stopLossBracket"] = {"ticks": _signed(ticks, signs, above=not buys), "type": kind}
    if order.take_profit is not None:
        level = _level(order.take_profit, "take_profit")
        if level.trailing:
            raise Unplaceable("A take profit cannot trail.")
        ticks = _bracket_ticks(level, "take_profit", order, contract, size, above=buys)
        legs["takeProfitBracket"] = {"ticks": _signed(ticks, signs, above=buys), "type": LIMIT}
    return legs


def _signed(ticks: int, signs: BracketSigns, *, above: bool) -> int:
    return ticks if above or signs is BracketSigns.UNSIGNED else -ticks


def _bracket_ticks(level: _Level, name: str, order: Order, contract: Contract, size: int, *, above: bool) -> int:
    """Whole ticks between entry and level, rounded down: a stop never risks more than was asked."""
    reference = Decimal(0)
    if level.kind in (LevelKind.PRICE, LevelKind.PERCENT):
        reference = _entry_price(order, name)
    if level.kind is LevelKind.PRICE:
        if (level.value > reference) != above or level.value == reference:
            raise Unplaceable(f"{name} {level.value:f} is on the wrong side of the entry at {reference:f}.")
        ticks = abs(level.value - reference) / contract.tick_size
    else:
        ticks = _distance_ticks(level, contract, reference, size)
    whole = int(ticks.to_integral_value(ROUND_FLOOR))
    if not 1 <= whole <= _MOST_SIZE:
        raise Unplaceable(f"{name} is less than a tick of {contract.tick_size} away from the entry, or absurdly far.")
    return whole


def _distance_ticks(level: _Level, contract: Contract, reference: Decimal, size: int) -> Decimal:
    match level.kind:
        case LevelKind.TICKS:
            ticks = level.value
        case LevelKind.OFFSET:
            ticks = level.value / contract.tick_size
        case LevelKind.CASH:
            ticks = level.value / (contract.tick_value * size)
        case LevelKind.PERCENT:
            ticks = reference * level.value / 100 / contract.tick_size
        case LevelKind.PRICE:
            raise AssertionError("a price is no distance")
    return ticks.to_integral_value(ROUND_FLOOR)


def _entry_price(order: Order, name: str) -> Decimal:
    """Where the entry is expected to fill."""
    by_type = {OrderType.LIMIT: order.limit_price, OrderType.STOP: order.stop_price}
    text = by_type.get(OrderType(order.order_type), order.price) if order.order_type else order.price
    if text is None:
        raise Unplaceable(f"{name} is a price or a percent of one: without the entry's price it has no ticks.")
    return _number(text, "price")


def _level(text: str, name: str) -> _Level:
    """Such as `4150.25`, `20 ticks` or `20 ticks trailing`."""
    value, *rest = text.split() or [""]
    trailing = rest[-1:] == ["trailing"]
    kind = rest[0] if rest and rest != ["trailing"] else LevelKind.PRICE
    if len(rest) > 2 or kind not in tuple(LevelKind):
        raise Unplaceable(f"{name} is {text[:40]!r}, which is no level.")
    return _Level(_number(value, name), LevelKind(kind), trailing)


def _number(text: str | None, name: str) -> Decimal:
    try:
        number = Decimal(text or "")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number <= 0 or abs(number.adjusted()) > 12:
        raise Unplaceable(f"{name} is {text!r}; it must be a number above zero.")
    return number
