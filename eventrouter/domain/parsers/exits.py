"""What besides its action makes an order leave a position: flags, hedge mode's sides, the words of a remark.

sell that closes and sell that opens are one word. A flag with one meaning (reduce_only, isExit, position_effect CLOSE,
hedge mode's posSide against the order) makes a bare order an EXIT; what only sounds like an exit refuses it.
"""

import re
from dataclasses import replace

from eventrouter.domain.parsers.actions import Intent, intent_of, plain
from eventrouter.domain.parsers.fields import ANYWHERE, Field, Fields
from eventrouter.domain.parsers.positions import Positions, position_in
from eventrouter.domain.parsers.unsupported import says_nothing
from eventrouter.domain.parsers.values import Odd, Value, text_of, word_set
from eventrouter.domain.signals import Event, Side
from eventrouter.errors import SignalRefused

_FLAGS = ("reduceonly", "closeposition", "closeonly", "exitonly", "isexit", "isclose", "isclosing", "isreduceonly")
_SHORT_FLAGS = ("exit", "close", "reduce", "flat", "flatten")  # a number in them may be a price or a size
_EFFECTS = ("offset", "positioneffect", "openclose", "orderoffset")
_CLOSING = re.compile(r"(?:to)?clos(?:e|ing).*|exit|reduce|c")
_OPENING = word_set("open toopen opening o auto automatic none")
_HEDGE_SIDES = ("positionside", "posside", "holdside")
_OPENS = (Event.ENTRY, Event.ADD, Event.REVERSE)
_NOW = ("currentposition", "positionnow", "positionstate")
_LEAVING_NAME = re.compile(
    r"exit.*|is(?:exit|clos|reduc|flat).*|closing.*|reduc(?:e|ing)|flat|flatten|(?:close|reduce)(?:only|position|trade|order)|"
    r"offset|positioneffect|openclose|orderoffset"
)
_REMARK_NAME = re.compile(
    r".*(?:comment|reason|remark|message|signal|type|action|intent|purpose|alert)|(?:.*(?:order|alert|signal|trade|entry|event))?(?:name|id)|strategy|"
    r"tag|label|note|notes|title|text|description"
)
_ORDER_TYPE_NAMES = word_set("ordertype pricetype ordtype timeinforcetype")
_LEAVES = re.compile(
    r"(?:(?:clos(?:e|ed|es|ing)|exit(?:s|ed|ing)?)"
    r"(?:[ _-]?(?:\(s\)|entry|order|long|short|position|all|trade|buy|sell|#|\d).*)?"
    r"|(?:tp|sl|take[ _-]?profit|stop[ _-]?loss|target|trail|trailing[ _-]?stop|stopped)(?:[ _-]?\d+)?(?:[ _-].*)?"
    r"|(?:stop|profit|limit)[ _-]?\d*[ _-]?(?:hit|out|reached|triggered|filled)(?:[ _-].*)?"
    r"|margin[ _-]?call.*|liquidat\w*(?:[ _-].*)?|(?:buy[ _-]?to[ _-]?)?cover(?:[ _-].*)?|flat(?:ten)?(?:[ _-].*)?"
    r"|eod|end[ _-]?of[ _-]?(?:day|session).*|x[ls]|[ls]x|sell[ _-]?to[ _-]?close.*"
    r"|\w*break[ _-]?even.*|\w*exit\d*|(?:long|short|buy|sell)closed?|.{1,40}[ _-](?:exit|closed?|tp|sl)(?:[ _-]?\d+)?)",
    re.IGNORECASE,
)
_NESTED = re.compile(r"(?!(?:stoploss|takeprofit|sl|tp)/)[^/]+/")  # the parts of levels are not the order's own
_ACTIONS = word_set("action side direction orderaction orderside positiondirection signal data command operation")


def leaving(intent: Intent, fields: Fields) -> Intent:
    """The intent with what flags and hedge mode add to it. Raises SignalRefused: FIELD_WRONG, CONTRADICTION."""
    closing = _closing(fields)
    hedge = fields.take(*_HEDGE_SIDES)
    word = None if hedge is None else intent_of(text_of(hedge.name, hedge.value))
    side = None if word is None else word.side
    if intent.event in (Event.CANCEL, Event.FLATTEN, Event.MOVE_STOP):
        return intent
    if side is not None and intent.side not in (None, side):
        raise SignalRefused("CONTRADICTION", f"{hedge and hedge.name} says {side}, the action {intent.side}.", None)
    if intent.event in (Event.EXIT, Event.REDUCE):
        return replace(intent, side=side or intent.side)
    if side is not None and intent.order not in (None, side):
        closing = closing or hedge
    if closing is None:
        return replace(intent, side=side or intent.side)
    if intent.event is not None:
        raise SignalRefused(
            "CONTRADICTION", f"The alert asks for {intent.event}, but {closing.name} closes a position.", closing.name
        )
    if side is None and intent.order is None and intent.side is not None and "educe" in closing.name:
        raise SignalRefused(
            "AMBIGUOUS",
            f"{intent.side} with {closing.name} may leave that position or the other one; send buy, sell or exit.",
            closing.name,
        )
    side = side or (intent.side if intent.order is None else None)
    return Intent(Event.EXIT, order=None if side else intent.order, side=side, order_type=intent.order_type)


def refuse_hidden_exit(fields: Fields, intent: Intent, positions: Positions, event: Event, side: Side | None) -> None:
    """Refuse what opens a position by its action and may close one by another field. Raises AMBIGUOUS, UNSUPPORTED."""
    if event not in _OPENS:
        return
    _refuse_other_orders(fields, side)
    if intent.event is not None or positions.after is not None:
        return
    for key, field in fields.rest():
        if _may_leave(fields, key, field, side):
            raise _sounds(field.name[:60])
    for key, field in fields.all():
        if not fields.is_free(key) and _remarks_exit(key, field.value):
            raise _sounds(field.name[:60])


def _refuse_other_orders(fields: Fields, side: Side | None) -> None:
    """Refuse what was not read and asks for another order than the one that was."""
    for key, field in fields.rest():
        name, called = key.rsplit("/", 1)[-1], field.name[:60]
        if name in ("positionidx", "positionindex") and not says_nothing(field.value):
            raise SignalRefused("UNSUPPORTED", f"{called} chooses a side of hedge mode; send exit to close.", called)
        if name in _ACTIONS and not fields.is_free(key) and _asks_otherwise(field.value, side):
            raise SignalRefused("CONTRADICTION", f"{called} asks for something else than the alert's action.", called)
        if _NESTED.match(key) and not fields.is_free(key) and _prices_order(name, field.value):
            raise SignalRefused("UNSUPPORTED", f"{called} is not read there; send it beside the action.", called)


def _closing(fields: Fields) -> Field | None:
    """The field that makes the order one that closes."""
    found = None
    for key in _FLAGS:
        field = fields.take(key)
        found = found or (field if fields.flag(key) else None)
    for key in _SHORT_FLAGS:
        value = fields.peek(key)
        if value is True or (isinstance(value, str) and value.strip().lower() in ("true", "yes")):
            found = found or fields.pop(key)  # so that close is no price as well
    for key in _EFFECTS:
        value = fields.peek(key)
        word = plain(value) if isinstance(value, str) else ""
        if _CLOSING.fullmatch(word):
            found = found or fields.take(key)
        elif word in _OPENING:
            fields.drop(key)
    return found


def _asks_otherwise(value: Value, side: Side | None) -> bool:
    """Whether an unread action, of another format or in a nest, leads elsewhere than to this position."""
    asked = intent_of(value) if isinstance(value, str) else None
    return asked is not None and (asked.event not in (None, Event.ENTRY) or asked.direction not in (None, side))


def _prices_order(name: str, value: Value) -> bool:
    """Whether an unread field in a nest would make the order one with a price of its own."""
    if name == "ordertype":
        return not says_nothing(value) and plain(str(value)) not in ("market", "mkt")
    return name in ("limitprice", "stopprice") and not says_nothing(value)


def _may_leave(fields: Fields, key: str, field: Field, side: Side | None) -> bool:
    """Whether an unread field's name is one for leaving, or a position that is not the order's."""
    name = key.rsplit("/", 1)[-1].removeprefix("strategy")
    if name in _NOW or (name in ANYWHERE and name.endswith(("position", "sentiment"))):
        found = position_in(field.value)
        return found is not None and found != side
    if isinstance(field.value, Odd) or says_nothing(field.value):
        return False
    return name in _FLAGS or (not fields.is_free(key) and _LEAVING_NAME.fullmatch(name) is not None)


def _remarks_exit(key: str, value: Value) -> bool:
    name = key.rsplit("/", 1)[-1]
    if "/" in key and not _NESTED.match(key):
        return False
    if not isinstance(value, str) or len(value) > 80 or not _REMARK_NAME.fullmatch(name):
        return False
    if name in _ORDER_TYPE_NAMES and plain(value) not in ("stoploss", "takeprofit"):
        return False
    return _LEAVES.fullmatch(value.strip()) is not None


def _sounds(name: str) -> SignalRefused:
    return SignalRefused(
        "AMBIGUOUS",
        f"{name} sounds like an exit, the action like an entry; send exit as the action, or add market_position.",
        name,
    )
