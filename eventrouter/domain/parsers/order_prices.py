"""An order's type, the prices that it needs, and the sender's reference price.

A type or a price that could make another order of it is read where it has one meaning; else the alert is refused, so that
what should wait for a price never goes to the market.
"""

from decimal import Decimal

from eventrouter.domain.parsers.fields import Fields
from eventrouter.domain.parsers.levels import level_of
from eventrouter.domain.parsers.orders import Draft, is_order_type, order_type_of
from eventrouter.domain.parsers.values import odd_reason, text_of
from eventrouter.domain.signals import Level, LevelKind, OrderType
from eventrouter.errors import SignalRefused

_TYPE_WORDS = ("type", "order", "entrytype", "entryordertype", "execution", "executiontype", "entry/type")


def read_order_type(draft: Draft, fields: Fields) -> None:
    """The order's type, by whatever field names it. Raises SignalRefused."""
    said = [fields.take("ordertype", "pricetype", "ordtype")]
    words = ((name, fields.peek(name)) for name in _TYPE_WORDS)
    said += [fields.take(name) for name, word in words if isinstance(word, str) and is_order_type(word)]
    types = [(field.name, order_type_of(field.name, text_of(field.name, field.value))) for field in said if field]
    if not types:
        draft.order_type = draft.intent.order_type or draft.order_type
        _refuse_untyped(draft, fields)
        return
    (name, draft.order_type), *others = types
    if any(other is not draft.order_type for _, other in others):
        raise SignalRefused(
            "CONTRADICTION", f"{name} and {others[0][0]} name different types of order; send one.", others[0][0]
        )
    if draft.order_type is OrderType.MARKET and (limit := fields.take("limitprice", "limit")):
        draft.notes.append(f"{limit.name} has no effect on a market order.")
    if draft.order_type is OrderType.TRAILING_STOP:
        draft.trail = draft.trail or _trail(fields)


def _trail(fields: Fields) -> Level | None:
    for names, kind in (
        (("trailamount", "trailoffset", "trailprice"), LevelKind.OFFSET),
        (("trailpercent",), LevelKind.PERCENT),
    ):
        field = fields.one(*names)
        if field is not None and (level := level_of(field, kind, trailing=True)) is not None:
            return level
    return None


def _refuse_untyped(draft: Draft, fields: Fields) -> None:
    """A limit or stop price without an order type: whether it is an order's price cannot be known."""
    for name, types in (
        ("limitprice", (OrderType.LIMIT, OrderType.STOP_LIMIT)),
        ("stopprice", (OrderType.STOP, OrderType.STOP_LIMIT)),
    ):
        if draft.order_type not in types and fields.price(name) is not None:
            called = fields.name_of(name)
            raise SignalRefused(
                "AMBIGUOUS",
                f"The alert has {called} but no orderType; send orderType, or a stop loss as stop_loss.",
                called,
            )


def read_prices(draft: Draft, fields: Fields, references: tuple[str, ...], *, leaves: bool) -> None:
    """The reference price, and the prices that the order's type needs. `leaves`: it is an exit. Raises SignalRefused."""
    kind = draft.order_type
    if kind is not OrderType.MARKET:
        if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT):
            fields.one("limitprice", "limit")  # two of them must agree
            draft.limit_price = draft.limit_price or fields.price("limitprice", "limit")
        if kind is not OrderType.LIMIT:
            fields.one("stopprice", "triggerprice")
            draft.stop_price = draft.stop_price or fields.price("stopprice", "triggerprice")
    elif leaves:
        name = next((name for name in references if fields.has(name)), "price")
        if odd_reason(fields.peek(name)) is not None:
            return
    draft.price = _reference(fields, references)


def own_prices(draft: Draft, fields: Fields) -> None:
    """The order's own price, where it stands in `price`."""
    kind, price = draft.order_type, draft.price if fields.has("price", "orderprice", "entryprice") else None
    needed = {OrderType.LIMIT: draft.limit_price, OrderType.STOP: draft.stop_price}.get(kind, price)
    if draft.family == "comma" and price is not None and needed is None:
        raise SignalRefused(
            "AMBIGUOUS", f"price={price} may be pips or a price; send limit_price, or stop_price for a stop.", "price"
        )
    if draft.limit_price is None and (kind is OrderType.LIMIT or (kind is OrderType.STOP_LIMIT and draft.stop_price)):
        draft.limit_price = price
    elif draft.stop_price is None and kind is OrderType.STOP:
        draft.stop_price = price


def _reference(fields: Fields, references: tuple[str, ...]) -> Decimal | None:
    """The first reference price that is not zero; the others are the bar's, and have no effect."""
    for name in references:
        if (price := fields.price(name)) is not None:
            return price
    return None
