"""At which price an order fills, if it does. There is one price per contract: no spread, no depth."""

from decimal import Decimal

from eventrouter.simulator.orders import Order, OrderType, Side

_STOPS = (OrderType.STOP, OrderType.TRAILING_STOP)


def fill_price(order: Order, price: Decimal) -> Decimal | None:
    """A market order fills at the price, a limit that rests at its limit, a stop at the price that triggered it (slippage)."""
    if order.type is OrderType.MARKET:
        return price
    if order.type is OrderType.LIMIT:
        assert order.limit_price is not None
        if not reaches(order.side, price, order.limit_price):
            return None
        return order.limit_price if order.resting else price
    return price if order.triggered or triggers(order, price) else None


def reaches(side: Side, price: Decimal, limit: Decimal) -> bool:
    """Whether the price is as good as the limit, or better."""
    return price <= limit if side is Side.BUY else price >= limit


def triggers(order: Order, price: Decimal) -> bool:
    """Whether a stop is touched."""
    if order.type not in _STOPS or order.stop_price is None:
        return False
    return is_through(order.side, order.stop_price, price)


def is_through(side: Side, stop: Decimal, price: Decimal) -> bool:
    """Whether the price already is at a stop of this side, or beyond it."""
    return price >= stop if side is Side.BUY else price <= stop


def trailed(order: Order, price: Decimal) -> Decimal | None:
    """Where a trailing stop stands after this price: it follows, and never goes back."""
    if order.trail is None or order.stop_price is None:
        return order.stop_price
    level = price + order.trail * order.side.sign
    return min(level, order.stop_price) if order.side is Side.BUY else max(level, order.stop_price)
