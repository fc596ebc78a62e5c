"""Family 4, CrossTrade: command=PLACE|CLOSEPOSITION|FLATTEN|…; for one account and instrument, in NinjaTrader's words.

FLATTEN and CLOSEPOSITION of an instrument are an exit of it; FLATTENEVERYTHING is FLATTEN. flatten_first closes whatever
is held before the order, so a PLACE with it is a REVERSE. Prices may be prices, `25 ticks` or `1.5%`. A condition that is
not checked here (require_market_position, max_positions, FLATPLACE) refuses the alert, and so does an ATM strategy: its
stops stay in NinjaTrader. `account` and `destination` are kept: which accounts trade is configured here.
"""

from eventrouter.domain.parsers.actions import Intent, plain, read_intent
from eventrouter.domain.parsers.amounts import Amount, amount_of
from eventrouter.domain.parsers.fields import Fields
from eventrouter.domain.parsers.generic import SYMBOLS, complete
from eventrouter.domain.parsers.levels import directed_level
from eventrouter.domain.parsers.orders import Draft
from eventrouter.domain.parsers.positions import FLAT, Positions, positions_of
from eventrouter.domain.parsers.values import decimal_of, text_of
from eventrouter.domain.signals import Event, Level, QuantityKind, Side, Signal
from eventrouter.errors import SignalRefused

_COMMANDS = {
    "place": None,
    "reverseposition": Event.REVERSE,
    "reverse": Event.REVERSE,
    "closeposition": Event.EXIT,
    "close": Event.EXIT,
    "flatten": Event.EXIT,
    "flatteneverything": Event.FLATTEN,
    "cancel": Event.CANCEL,
    "cancelorder": Event.CANCEL,
    "cancelorders": Event.CANCEL,
    "cancelallorders": Event.CANCEL,
}
_ELSEWHERE = {
    "flatplace": "places an order only while flat, which is not checked here",
    "closestrategy": "closes an ATM strategy, which lives in NinjaTrader",
    "change": "changes a working order; cancel it and send a new one",
    "cancelreplace": "replaces a working order; cancel it and send a new one",
    "cancelandbracket": "places a bracket around an open position; send an alert that moves the stop",
}
_SYNC = ("syncstrategy", "outofsync", "strategyexitblock")


def is_crosstrade(fields: Fields) -> bool:
    """Whether the alert has CrossTrade's form."""
    command = fields.peek("command")
    if not isinstance(command, str):
        return False
    return plain(command) in (*_COMMANDS, *_ELSEWHERE) or fields.has("instrument")


def read_crosstrade(fields: Fields) -> Signal:
    """The signal. Raises SignalRefused."""
    positions = positions_of(fields)
    intent = _intent(fields, positions)
    _refuse_atm(fields)
    draft = Draft(family="crosstrade", intent=intent, positions=positions, amount=_amount(fields, intent))
    draft.notes += [
        f"{fields.name_of(key)} has no effect: this router does not compare positions."
        for key in _SYNC
        if fields.has(key)
    ]
    if fields.has("tif", "timeinforce"):
        draft.notes.append("tif has no effect.")
    draft.notes += [
        f"{fields.name_of(key)} has no effect: routing decides which accounts trade."
        for key in ("account", "destination")
        if fields.has(key)
    ]
    if action := fields.take("action"):
        draft.notes += [] if intent.direction else [f"{action.name} has no effect beside this command."]
    if fields.has("flattenfirst"):
        draft.notes.append(
            "flatten_first is done by the order itself: it closes what is held and leads to the side named."
        )
    draft.names = ("stop_loss", "take_profit")
    draft.protection = lambda side, price: (
        _level(fields, "stoploss", side, stop=True),
        _level(fields, "takeprofit", side, stop=False),
    )
    return complete(draft, fields, own=False)


def _intent(fields: Fields, positions: Positions) -> Intent:
    event = _event(fields.text("command") or "")
    action = fields.take("action")
    ordered = Intent() if action is None else read_intent(action.name, text_of(action.name, action.value))
    if event is None and ordered.direction is None:
        raise SignalRefused(
            "FIELD_MISSING", "The command is PLACE, but the alert has no action; send BUY or SELL.", "action"
        )
    if fields.flag("flattenfirst") and event is None:
        if positions.before is not None and positions.before == positions.after:
            raise SignalRefused(
                "CONTRADICTION", "flatten_first closes a position that the alert's positions keep.", "flatten_first"
            )
        event = Event.REVERSE if positions.before is None and positions.after != FLAT else None
    if event is None:
        return ordered
    if event is Event.EXIT and not fields.has(*SYMBOLS):
        return Intent(Event.FLATTEN)
    return Intent(event, order=ordered.direction if event is Event.REVERSE else None)


def _amount(fields: Fields, intent: Intent) -> Amount | None:
    """qty, or the fraction of the position, above 0 and at most 1, that CLOSEPOSITION closes."""
    quantity = fields.one("qty", "quantity")
    if quantity is not None:
        return amount_of(quantity)
    part = fields.take("percent") if intent.event in (Event.EXIT, Event.FLATTEN) else None
    if part is None:
        return None
    fraction = decimal_of(part.name, part.value)
    if not 0 < fraction <= 1:
        raise SignalRefused(
            "QUANTITY_WRONG",
            f"percent is {fraction}; it must be a fraction above 0, at most 1: 0.5 is half.",
            part.name,
        )
    if intent.event is Event.FLATTEN:
        raise SignalRefused("FIELD_MISSING", "A part of a position is closed by its instrument; send it.", "instrument")
    return Amount(part.name, fraction * 100, QuantityKind.PERCENT_OF_POSITION)


def _refuse_atm(fields: Fields) -> None:
    if fields.has("strategy"):
        raise SignalRefused(
            "UNSUPPORTED",
            "strategy names an ATM strategy, whose stops stay in NinjaTrader; send stop_loss and take_profit instead.",
            "strategy",
        )


def _event(command: str) -> Event | None:
    word = plain(command)
    if word in _ELSEWHERE:
        raise SignalRefused("UNSUPPORTED", f"The command {command[:40]} {_ELSEWHERE[word]}.", "command")
    if word not in _COMMANDS:
        raise SignalRefused(
            "ACTION_UNKNOWN",
            f"command is {command[:40]!r}; PLACE, CLOSEPOSITION, FLATTEN, FLATTENEVERYTHING, REVERSEPOSITION and the CANCEL "
            "commands are understood.",
            "command",
        )
    return _COMMANDS[word]


def _level(fields: Fields, name: str, side: Side | None, *, stop: bool) -> Level | None:
    field = fields.take(name)
    return None if field is None else directed_level(field, side, stop=stop)
