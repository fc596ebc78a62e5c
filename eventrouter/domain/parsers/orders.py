"""From what one format says to a Signal: the rules that all formats share.

A reader of a format fills a Draft. `settled` decides the event, refuses contradictions and what this router cannot do,
and keeps the fields without effect. An EXIT that leaves the sender flat closes everything: its quantity has no effect.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

from eventrouter.domain.parsers.actions import Intent, plain
from eventrouter.domain.parsers.amounts import Amount
from eventrouter.domain.parsers.exits import refuse_hidden_exit
from eventrouter.domain.parsers.fields import Fields
from eventrouter.domain.parsers.guard import refuse_unread, unread_names, unread_note
from eventrouter.domain.parsers.levels import refuse_wrong_side
from eventrouter.domain.parsers.positions import FLAT, Positions, decide
from eventrouter.domain.parsers.symbols import refuse_options
from eventrouter.domain.parsers.unsupported import refuse_unsupported
from eventrouter.domain.signals import Event, Level, OrderType, QuantityKind, Side, Signal
from eventrouter.errors import SignalRefused

_ORDER_TYPES = {
    OrderType.MARKET: "market mkt ordertypemarket",
    OrderType.LIMIT: "limit lmt",
    OrderType.STOP: "stop stp stopmarket stpmkt slm stoploss",
    OrderType.STOP_LIMIT: "stoplimit stplmt stplimit sl",
    OrderType.TRAILING_STOP: "trailingstop trailstop trail trailingstopmarket",
}
_ORDER_TYPE_OF = {word: kind for kind, words in _ORDER_TYPES.items() for word in words.split()}
_OPENS = (Event.ENTRY, Event.ADD, Event.REVERSE)
_PROTECTED = (*_OPENS, Event.MOVE_STOP)

Protection: TypeAlias = Callable[[Side | None, Decimal | None], tuple[Level | None, Level | None]]


@dataclass(slots=True, kw_only=True)
class Draft:
    """What a format said, not yet checked against itself.

    `protection` reads stop loss and take profit for a side and an entry price; it is asked only where they have an
    effect. `names` are the sender's names of the two. `target`: the amount is the size of the position wanted.
    """

    family: str
    intent: Intent
    positions: Positions = field(default_factory=Positions)
    amount: Amount | None = None
    symbol: str | None = None
    strategy: str | None = None
    trade_id: str | None = None
    order_type: OrderType = OrderType.MARKET
    price: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail: Level | None = None
    protection: Protection | None = None
    fire_time: datetime | None = None
    bar_time: datetime | None = None
    source_id: str | None = None
    order_id: str | None = None
    exchange: str | None = None
    max_age_s: Decimal | None = None
    target: bool = False
    names: tuple[str, str] = ("stop loss", "take profit")
    notes: list[str] = field(default_factory=list)
    extras: dict[str, Any] = field(default_factory=dict)


def order_type_of(name: str, word: str) -> OrderType:
    """The order type that a word names. Raises SignalRefused ORDER_TYPE_UNKNOWN."""
    kind = _ORDER_TYPE_OF.get(plain(word).removesuffix("order"))
    if kind is None:
        raise SignalRefused(
            "ORDER_TYPE_UNKNOWN",
            f"{name} is {word[:40]!r}; market, limit, stop, stop_limit and trailing_stop are understood.",
            name,
        )
    return kind


def is_order_type(word: str) -> bool:
    """Whether the word names an order type."""
    return plain(word).removesuffix("order") in _ORDER_TYPE_OF


def event_of(draft: Draft) -> tuple[Event, Side | None]:
    """The event and side that the words and the position fields decide. Raises SignalRefused."""
    return decide(draft.intent, draft.positions, sized=draft.amount is not None)


def refuse_order_id(draft: Draft, event: Event, fields: Fields) -> None:
    """Refuse to cancel one order of the sender's: its ids are not known here, and all would be cancelled instead."""
    if event is Event.CANCEL and (draft.order_id is not None or fields.has("exchangeorderids", "orderids", "ordersid")):
        name = fields.name_of("orderid", "clientorderid", "orderref", "exchangeorderids", "orderids", "ordersid")
        raise SignalRefused(
            "UNSUPPORTED",
            "The alert cancels one order by an id that is not known here; send cancel without it to cancel all of the trade's.",
            name,
        )


def settled(draft: Draft, fields: Fields) -> Signal:
    """The signal. Raises SignalRefused for what contradicts itself, lacks a part or cannot be done here."""
    event, side = event_of(draft)
    refuse_options(fields)
    quantity, kind = _quantity(draft, event)
    order = _order_terms(draft, event)
    stop_loss, take_profit = _protected(draft, event, side, order)
    refuse_unsupported(fields, protected=event in _PROTECTED)
    refuse_unread(
        fields,
        event,
        side,
        whole=draft.positions.after == FLAT,
        counted=quantity is not None and kind is QuantityKind.FIXED,
    )
    refuse_hidden_exit(fields, draft.intent, draft.positions, event, side)
    extras, odd = fields.extras()
    unread = [name for name in unread_names(fields) if not any(note.startswith(f"{name} ") for note in draft.notes)]
    odd += [unread_note(unread)] if unread else []
    return Signal(
        family=draft.family,
        event=event,
        symbol=draft.symbol,
        side=side,
        strategy=draft.strategy,
        trade_id=draft.trade_id,
        quantity=quantity,
        quantity_kind=kind,
        target=draft.target or _is_target(draft, event, quantity),
        price=draft.price,
        stop_loss=stop_loss,
        take_profit=take_profit,
        fire_time=draft.fire_time,
        bar_time=draft.bar_time,
        source_id=draft.source_id,
        order_id=draft.order_id,
        exchange=draft.exchange,
        position=draft.positions.after,
        position_size=draft.positions.after_size,
        bare=_is_bare(draft, event) and stop_loss is None and take_profit is None,
        max_age_s=draft.max_age_s,
        notes=(*draft.notes, *odd),
        extras=draft.extras | extras,
        **order,
    )


def _is_bare(draft: Draft, event: Event) -> bool:
    """Whether only the word buy or sell makes this an entry."""
    intent, positions = draft.intent, draft.positions
    said = intent.event is not None or intent.side is not None
    return event is Event.ENTRY and not said and positions.before is None and positions.after is None


def _quantity(draft: Draft, event: Event) -> tuple[Decimal | None, QuantityKind]:
    amount, before, after = draft.amount, draft.positions.before_size, draft.positions.after_size
    if event in (Event.FLATTEN, Event.CANCEL, Event.MOVE_STOP) or (
        event is Event.EXIT and draft.positions.after == FLAT
    ):
        if amount is not None:
            flat = (
                ": the position afterwards is flat, so all of it is closed" if event is Event.EXIT else f" on {event}"
            )
            draft.notes.append(f"{amount.name} has no effect{flat}.")
        return None, QuantityKind.FIXED
    if event is Event.REVERSE:
        return _reversed_quantity(draft)
    if amount is not None:
        _refuse_more_than_held(draft, amount, event)
        return amount.value, _percent_kind(amount, event)
    if after is None or event is Event.EXIT:
        value = None
    elif before is not None and event in (Event.ADD, Event.REDUCE):
        value = abs(after - before)
    else:
        value = after if event is Event.ENTRY else None
    if value is None and event is Event.REDUCE:
        raise SignalRefused("FIELD_MISSING", "The alert reduces a position without saying by how much.", "quantity")
    return value, QuantityKind.FIXED


def _is_target(draft: Draft, event: Event, quantity: Decimal | None) -> bool:
    """Whether the only size is that of the position afterwards, and how much of it is held already is not said."""
    return draft.amount is None and quantity is not None and event is Event.ENTRY and draft.positions.before is None


def _refuse_more_than_held(draft: Draft, amount: Amount, event: Event) -> None:
    """An entry cannot lead to a smaller position than it buys: it is a reversal, or one of the numbers is not the order's."""
    after = draft.positions.after_size
    if event is not Event.ENTRY or after is None or draft.positions.before is not None:
        return
    if amount.kind is QuantityKind.FIXED and not amount.percent and amount.value > after:
        raise SignalRefused(
            "CONTRADICTION",
            f"{amount.name} is {amount.value}, but the position afterwards is only {after}; add prev_market_position if "
            "the order reverses a position.",
            amount.name,
        )


def _percent_kind(amount: Amount, event: Event) -> QuantityKind:
    if not amount.percent:
        return amount.kind
    leaves = event in (Event.EXIT, Event.REDUCE)
    if amount.bare and not leaves:
        raise SignalRefused(
            "QUANTITY_KIND_UNKNOWN",
            f"{amount.name} may be percent of equity or the percent at risk; send quantity with quantityType.",
            amount.name,
        )
    return QuantityKind.PERCENT_OF_POSITION if leaves else QuantityKind.PERCENT_OF_EQUITY


def _reversed_quantity(draft: Draft) -> tuple[Decimal | None, QuantityKind]:
    """The size of the new position. TradingView's order of a reversal counts what it closes as well."""
    amount, before, after = draft.amount, draft.positions.before_size, draft.positions.after_size
    if amount is not None and (amount.percent or amount.kind is not QuantityKind.FIXED):
        return amount.value, _percent_kind(amount, Event.REVERSE)
    if amount is None or draft.positions.before is None:
        return (amount.value if amount is not None else after), QuantityKind.FIXED
    if after is not None:
        closes_some = before is None and amount.value > after  # what it closed beyond the new position is not said
        if amount.value not in (after, after + (before or 0)) and not closes_some:
            raise SignalRefused(
                "CONTRADICTION", f"{amount.name} is {amount.value}, but the new position is {after}.", amount.name
            )
        return after, QuantityKind.FIXED
    if before is not None and amount.value > before:
        return amount.value - before, QuantityKind.FIXED
    draft.notes.append(
        f"{amount.name} counts the closed position as well; without market_position_size the new one's size is not known "
        "and is left to the account."
    )
    return None, QuantityKind.FIXED


def _order_terms(draft: Draft, event: Event) -> Mapping[str, Any]:
    """Order type and the prices that it needs; a price that it does not use is left out."""
    kind = draft.order_type
    if event in (Event.FLATTEN, Event.CANCEL, Event.MOVE_STOP):
        return {"order_type": OrderType.MARKET}
    limits, stops = kind in (OrderType.LIMIT, OrderType.STOP_LIMIT), kind in (OrderType.STOP, OrderType.STOP_LIMIT)
    trails = kind is OrderType.TRAILING_STOP
    missing = [
        name
        for name, needed, value in (
            ("limit_price", limits, draft.limit_price),
            ("stop_price", stops, draft.stop_price),
            ("trail_amount", trails, draft.trail),
        )
        if needed and value is None
    ]
    if missing:
        raise SignalRefused(
            "FIELD_MISSING", f"The order is a {kind} order, but the alert has no {missing[0]}.", missing[0]
        )
    return {
        "order_type": kind,
        "limit_price": draft.limit_price if limits else None,
        "stop_price": draft.stop_price if stops or trails else None,
        "trail": draft.trail if trails else None,
    }


def _protected(
    draft: Draft, event: Event, side: Side | None, order: Mapping[str, Any]
) -> tuple[Level | None, Level | None]:
    """Stop loss and take profit, where the event can have them."""
    if event not in _PROTECTED:
        return None, None
    price = order.get("limit_price") or order.get("stop_price") or draft.price
    stop_loss, take_profit = draft.protection(side, price) if draft.protection is not None else (None, None)
    moves = event is Event.MOVE_STOP
    if moves and stop_loss is None and take_profit is None:
        raise SignalRefused("FIELD_MISSING", "The alert moves a stop without saying where to.", draft.names[0])
    refuse_wrong_side(side, None if moves else price, stop_loss, take_profit, names=draft.names)
    return stop_loss, take_profit
