"""A signal in plain words, for a person who wonders what was understood."""

from dataclasses import replace
from decimal import Decimal

from eventrouter.domain.denials import plain
from eventrouter.domain.orders import MOST_DIGITS
from eventrouter.domain.signals import Event, Level, LevelKind, OrderType, QuantityKind, Signal

_VERBS = {
    Event.ENTRY: "Enter",
    Event.EXIT: "Exit",
    Event.ADD: "Add to",
    Event.REDUCE: "Reduce",
    Event.REVERSE: "Reverse to",
    Event.CANCEL: "Cancel the waiting orders of",
    Event.MOVE_STOP: "Move the stop of",
    Event.FLATTEN: "Close everything of",
}
_KINDS = {
    QuantityKind.CASH: "worth {} in the account's currency",
    QuantityKind.RISK_AMOUNT: "risking {} in the account's currency",
    QuantityKind.RISK_PERCENT: "risking {} percent of equity",
    QuantityKind.PERCENT_OF_EQUITY: "for {} percent of equity",
    QuantityKind.PERCENT_OF_POSITION: "by {} percent of the position",
}
_UNITS = {
    LevelKind.OFFSET: "points",
    LevelKind.TICKS: "ticks",
    LevelKind.CASH: "in money",
    LevelKind.PERCENT: "percent",
}


def in_words(signal: Signal) -> str:
    """One sentence: Enter LONG MNQ1!, quantity 2, at the market, stop loss 20 ticks away."""
    what = signal.symbol or ("the strategy" if signal.event is Event.FLATTEN else "its trade")
    parts = [" ".join(filter(None, (_VERBS[signal.event], signal.side and str(signal.side), what)))]
    if signal.trade_id is not None:
        parts.append(f"trade {signal.trade_id}")
    if signal.quantity is not None:
        number = _number(signal.quantity)
        parts.append(_KINDS.get(signal.quantity_kind, "quantity {}").format(number))
    if signal.event in (Event.ENTRY, Event.ADD, Event.REVERSE, Event.REDUCE, Event.EXIT):
        parts.append(_how(signal))
    parts += [
        f"{name} {_level(level)}"
        for name, level in (("stop loss", signal.stop_loss), ("take profit", signal.take_profit))
        if level is not None
    ]
    if signal.price is not None:
        parts.append(f"seen at {_number(signal.price)}")
    if signal.fire_time is not None:
        parts.append(f"fired at {signal.fire_time:%Y-%m-%d %H:%M:%S} UTC")
    return ", ".join(parts) + "."


def _number(number: Decimal) -> str:
    return plain(number, MOST_DIGITS)


def _how(signal: Signal) -> str:
    if signal.order_type is OrderType.MARKET:
        return "at the market"
    prices = [
        f"{name} {_number(price)}"
        for name, price in (("limit", signal.limit_price), ("stop", signal.stop_price))
        if price is not None
    ]
    if signal.trail is not None:
        prices.append(f"trailing {_level(replace(signal.trail, trailing=False))}")
    return f"by a {str(signal.order_type).replace('_', ' ')} order ({', '.join(prices)})"


def _level(level: Level) -> str:
    number = _number(level.value)
    text = number if level.kind is LevelKind.PRICE else f"{number} {_UNITS[level.kind]} away"
    return f"{text}, trailing" if level.trailing else text
