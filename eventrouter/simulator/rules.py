"""What the broker refuses about an order itself: each check returns its sentence, or None. Pure.

The sentences about brackets and tags are the gateway's, as recorded by its users; the others are this simulator's.
Bracket ticks are signed, seen from the entry's price, and a stop is at least four ticks away: so recorded from the live
gateway, whose documents say neither. Assumed: a stop at or through the market is refused.
"""

from collections.abc import Mapping
from decimal import Decimal

from eventrouter.simulator.matching import is_through
from eventrouter.simulator.orders import Leg, Order, OrderType, Side, Ticket
from eventrouter.simulator.settings import BracketMode

MOST_TRAIL_TICKS = 1_000
LEAST_STOP_TICKS = 4
DUPLICATE_TAG = "Specified custom tag is already in use"
POSITION_BRACKETS = "Brackets cannot be used with Position Brackets. You must enable Auto OCO Brackets."
# The price that each type of order has; a market order has none.
_PRICED = {OrderType.LIMIT: "limit_price", OrderType.STOP: "stop_price", OrderType.TRAILING_STOP: "trail_price"}


def order_fault(ticket: Ticket, price: Decimal) -> str | None:
    """Type, size and prices. `price`: the last one."""
    if ticket.size < 1:
        return f"Invalid size ({ticket.size})."
    if ticket.type is not OrderType.MARKET and ticket.type not in _PRICED:
        return f"Order type {ticket.type.name} is not supported by this simulator."
    name = _PRICED.get(ticket.type)
    level = getattr(ticket, name) if name else None
    if name and level is None:
        return f"Invalid price. {name} is required."
    return price_fault(ticket, level) or stop_fault(ticket, level, price) or trail_fault(ticket, price)


def change_fault(order: Order, levels: Mapping[str, Decimal | None], price: Decimal) -> str | None:
    """The new prices of a working order, by name: only its own kind of price can be changed."""
    for name, level in levels.items():
        if level is None:
            continue
        if name != _PRICED.get(order.type):
            return f"Invalid price. An order of type {order.type.name} has no {name}."
        if fault := price_fault(order, level) or stop_fault(order, level, price):
            return fault
    return None


def price_fault(order: Ticket | Order, level: Decimal | None) -> str | None:
    """A price must be above zero and on the grid of ticks."""
    if level is None or (level > 0 and order.contract.on_grid(level)):
        return None
    return f"Invalid price ({level}). Not a multiple of the tick size {order.contract.tick_size}."


def stop_fault(order: Ticket | Order, level: Decimal | None, price: Decimal) -> str | None:
    """A stop must not be triggered already."""
    if level is None or order.type not in (OrderType.STOP, OrderType.TRAILING_STOP):
        return None
    if is_through(order.side, level, price):
        return f"Invalid stop price ({level}). The market is at {price}."
    return None


def trail_fault(ticket: Ticket, price: Decimal) -> str | None:
    """A trail is at most a thousand ticks long, when placed; the gateway does not look again when it is modified."""
    if ticket.type is not OrderType.TRAILING_STOP or ticket.trail_price is None:
        return None
    ticks = abs(price - ticket.trail_price) / ticket.contract.tick_size
    return f"Invalid trail price. {ticks} ticks are too many." if ticks > MOST_TRAIL_TICKS else None


def bracket_fault(ticket: Ticket, mode: BracketMode) -> str | None:
    """Brackets need an account in Auto OCO mode, the right type, and signed ticks."""
    if ticket.stop_loss is None and ticket.take_profit is None:
        return None
    if mode is BracketMode.POSITION:
        return POSITION_BRACKETS
    return _stop_loss_fault(ticket.side, ticket.stop_loss) or _take_profit_fault(ticket.side, ticket.take_profit)


def _stop_loss_fault(side: Side, leg: Leg | None) -> str | None:
    if leg is None:
        return None
    if leg.type not in (OrderType.STOP, OrderType.TRAILING_STOP):
        return f"Invalid stop loss type ({leg.type.name.title()})."
    if leg.ticks * side.sign >= 0:
        wanted = "less than zero when longing" if side is Side.BUY else "greater than zero when going short"
        return f"Invalid stop loss ticks ({leg.ticks}). Ticks should be {wanted}."
    if abs(leg.ticks) < LEAST_STOP_TICKS:
        return f"Invalid stop loss ticks ({leg.ticks}). Should be at least {LEAST_STOP_TICKS} ticks."
    return None


def _take_profit_fault(side: Side, leg: Leg | None) -> str | None:
    if leg is None:
        return None
    if leg.type is not OrderType.LIMIT:
        return f"Invalid take profit type ({leg.type.name.title()})."
    if leg.ticks * side.sign <= 0:
        wanted = "greater than zero when longing" if side is Side.BUY else "less than zero when going short"
        return f"Invalid take profit ticks ({leg.ticks}). Ticks should be {wanted}."
    return None
