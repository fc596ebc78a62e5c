"""What an order does to a position: ENTRY, ADD, REDUCE, EXIT or REVERSE, by the alert's words and its position fields.

The position after the order says most: flat is an EXIT, whatever the order is called. Before and after together decide
everything. buy or sell alone is an ENTRY. An order that cannot lead to the position that the alert names is refused.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from eventrouter.domain.parsers.actions import Intent, plain
from eventrouter.domain.parsers.fields import Field, Fields
from eventrouter.domain.parsers.values import Number, Value, decimal_of, text_of
from eventrouter.domain.signals import Event, Side
from eventrouter.errors import SignalRefused

FLAT = "FLAT"
_AFTER = ("marketposition", "newposition", "positionafter")
_AFTER_SIGNED = ("positionsize", "positionnewsize", "newpositionsize", "position")
_BEFORE = ("prevmarketposition", "previousmarketposition", "prevposition", "previousposition")
_WORDS = {"long": "LONG", "bullish": "LONG", "short": "SHORT", "bearish": "SHORT", "flat": FLAT}


@dataclass(frozen=True, slots=True)
class Positions:
    """The sender's own position before and after the order: LONG, SHORT, FLAT or None, with sizes of at least zero."""

    before: str | None = None
    after: str | None = None
    before_size: Decimal | None = None
    after_size: Decimal | None = None
    partial_by_word: bool = False  # sell with a position that stays long is a partial exit, as TradersPost documents it


def positions_of(fields: Fields) -> Positions:
    """The position fields of the alert. Raises SignalRefused: FIELD_WRONG, CONTRADICTION."""
    after, after_name = None, ""
    for field in (fields.take(*_AFTER), fields.take("sentiment")):
        said = _word(field)
        if field is not None and after not in (None, said):
            raise SignalRefused(
                "CONTRADICTION", f"{after_name} is {after}, but {field.name} is {said}; send one of them.", field.name
            )
        after, after_name = (said, field.name) if field is not None else (after, after_name)
    after_size = fields.number("marketpositionsize")
    signed_field = _signed(fields)
    if signed_field is not None:
        signed = decimal_of(signed_field.name, signed_field.value)
        by_size = FLAT if signed == 0 else "LONG" if signed > 0 else "SHORT"
        if after not in (None, by_size):
            raise SignalRefused(
                "CONTRADICTION",
                f"{after_name} is {after}, but {signed_field.name} is {signed}, which is {by_size}.",
                signed_field.name,
            )
        after, after_size = by_size, abs(signed) if after_size is None else after_size
    before = _word(fields.take(*_BEFORE))
    before_size = fields.number("prevmarketpositionsize", "previousmarketpositionsize")
    for name, word, size in (("prev_market_position", before, before_size), ("market_position", after, after_size)):
        if size is not None and word is not None and (size == 0) is not (word == FLAT):
            raise SignalRefused("CONTRADICTION", f"{name} is {word}, but its size is {size}.", name)
    return Positions(before, after, _absolute(before_size), _absolute(after_size))


def decide(intent: Intent, positions: Positions, *, sized: bool) -> tuple[Event, Side | None]:
    """The event and the side that the model wants. `sized`: the alert names a quantity. Raises SignalRefused."""
    if intent.event in (Event.CANCEL, Event.FLATTEN, Event.MOVE_STOP):
        return intent.event, intent.side or intent.order
    if intent.event in (Event.EXIT, Event.REDUCE):
        return _leaving(intent, positions)
    if intent.event is None:
        return _ordered(intent, positions, sized=sized)
    return _joining(intent.event, intent, positions)


def _ordered(intent: Intent, positions: Positions, *, sized: bool) -> tuple[Event, Side | None]:
    """A bare buy, sell, long or short."""
    side, before, after = intent.direction, positions.before, positions.after
    if after == FLAT:
        return Event.EXIT, _left(intent, before)
    if side is None:
        raise SignalRefused("SIDE_MISSING", "The alert does not say whether to buy or to sell.", "action")
    if after is None:
        return _toward(side, positions)
    if after == side:
        return _grown(side, positions)
    if before == after or (before is None and positions.partial_by_word and sized):
        return _shrunk(Side(after), positions)
    verb = "buys" if side is Side.LONG else "sells"
    raise _contradiction(
        f"The alert {verb}, but its position afterwards is {after}; add prev_market_position if it only reduces it."
    )


def _toward(side: Side, positions: Positions) -> tuple[Event, Side]:
    if positions.before in (None, FLAT):
        return Event.ENTRY, side
    if positions.before == side:
        return Event.ADD, side
    raise SignalRefused(
        "AMBIGUOUS",
        f"The alert trades against a {positions.before} position without saying what is left of it; add market_position.",
        "market_position",
    )


def _grown(side: Side, positions: Positions) -> tuple[Event, Side]:
    """The position afterwards is on the order's own side."""
    if positions.before in (None, FLAT):
        return Event.ENTRY, side
    if positions.before != side:
        return Event.REVERSE, side
    sizes = _sizes(positions)
    if sizes is not None and sizes[1] <= sizes[0]:
        raise _contradiction("The order makes the position larger, but its size afterwards is not larger than before.")
    return Event.ADD, side


def _shrunk(side: Side, positions: Positions) -> tuple[Event, Side]:
    """The position afterwards is on the other side than the order, and was so before."""
    sizes = _sizes(positions)
    if sizes is not None and sizes[1] >= sizes[0]:
        raise _contradiction(
            "The order makes the position smaller, but its size afterwards is not smaller than before."
        )
    return Event.REDUCE, side


def _leaving(intent: Intent, positions: Positions) -> tuple[Event, Side | None]:
    before, after = positions.before, positions.after
    side = _left(intent, before)
    if after in (None, FLAT):
        event = Event.EXIT if after == FLAT or intent.event is None else intent.event
        return event, side
    if before != after or (side is not None and side != after):
        raise _contradiction(f"The alert leaves a position, but its position afterwards is {after}.")
    return _shrunk(Side(after), positions)


def _joining(event: Event, intent: Intent, positions: Positions) -> tuple[Event, Side | None]:
    before, after, side = positions.before, positions.after, intent.direction
    if side is None and after in ("LONG", "SHORT"):
        side = Side(after)
    if after == FLAT or (after is not None and after != side):
        raise _contradiction(f"The alert asks for {event}, but its position afterwards is {after}.")
    if side is None and event is not Event.ADD:
        raise SignalRefused("SIDE_MISSING", f"The alert asks for {event} without saying LONG or SHORT.", "side")
    if side is None or before is None:
        return event, side
    found = Event.ENTRY if before == FLAT else Event.ADD if before == side else Event.REVERSE
    if event is not found and event is not Event.ENTRY:
        raise _contradiction(f"The alert asks for {event}, but the position before it is {before}.")
    return _grown(side, positions) if after is not None else (found, side)


def _left(intent: Intent, before: str | None) -> Side | None:
    """The side that is left: as said, or the opposite of the order that leaves it."""
    side = intent.side if intent.event is not None else None
    if side is None and intent.order is not None:
        side = Side.SHORT if intent.order is Side.LONG else Side.LONG
    if before in ("LONG", "SHORT"):
        if side is not None and side != before:
            raise _contradiction(f"The alert leaves a {side} position, but the position before it is {before}.")
        return Side(before)
    return side


def _sizes(positions: Positions) -> tuple[Decimal, Decimal] | None:
    if positions.before_size is None or positions.after_size is None:
        return None
    return positions.before_size, positions.after_size


def position_in(value: Value) -> str | None:
    """LONG, SHORT or FLAT, as a word or as a signed size; None for what says neither."""
    text = value.raw if isinstance(value, Number) else value if isinstance(value, str) else ""
    if word := _WORDS.get(plain(text)):
        return word
    if not re.fullmatch(r"\s*[+-]?\d{1,15}(?:\.\d{1,15})?\s*", text, re.ASCII):
        return None
    size = Decimal(text.strip())
    return FLAT if size == 0 else "LONG" if size > 0 else "SHORT"


def _signed(fields: Fields) -> Field | None:
    """The size with its sign; a field called position holds one only if it is a number."""
    words = isinstance(value := fields.peek("position"), str) and plain(value) in _WORDS
    numeric = position_in(value) is not None and not words
    return fields.take(*(_AFTER_SIGNED if numeric else _AFTER_SIGNED[:-1]))


def _word(field: Field | None) -> str | None:
    if field is None:
        return None
    word = text_of(field.name, field.value)
    position = _WORDS.get(plain(word))
    if position is None:
        raise SignalRefused(
            "FIELD_WRONG", f"{field.name} is {word[:40]!r}; it must be long, short or flat.", field.name
        )
    return position


def _absolute(size: Decimal | None) -> Decimal | None:
    return None if size is None else abs(size)


def _contradiction(sentence: str) -> SignalRefused:
    return SignalRefused("CONTRADICTION", sentence, "market_position")
