"""What changes an order and cannot be done here is refused, never dropped: a guard, a delay, a second target."""

import re
from decimal import Decimal, InvalidOperation

from eventrouter.domain.parsers.actions import plain
from eventrouter.domain.parsers.fields import FREE, Fields
from eventrouter.domain.parsers.values import Number, Value, is_placeholder, word_set
from eventrouter.errors import SignalRefused

_ORDERS = {
    r"delay|delayseconds|delays": "a delay; let the alert fire when the order is wanted",
    r"requiremarketposition|require.*position|maxpositions?|max|onlyif.*": (
        "a condition on the position that is not checked here; set the limit in the strategy's configuration"
    ),
    r"cancelordertype|paramside": "cancelling only some kinds of orders; cancel all of the symbol's, or one by its order id",
    r"conditionalorder|triggerorder|oco.*|grid.*|dca.*|safetyorders?": "a program of several orders; send one alert per order",
}
_PROTECTIONS = {
    r"(?:tp|takeprofit|takeprofitprice|target)(?:[2-9]|\d\d)[a-z]*|tp1mult|targets|takeprofits|advancetpsl": (
        "more than one take profit; send one, and take the others by alerts that reduce the position"
    ),
    r"trail.*|.*trailing.*": "a trailing stop that is not understood in this form; use stopLoss with type trailing_stop",
    r"breakeven.*|movetobreakeven|beoffset|betrigger": "moving the stop to break-even; send an alert that moves the stop",
    r"(?:sl|tp|stoploss|takeprofit)pips|pips(?:sl|tp)": (
        "a distance in pips, which are no unit of a future; send a price, ticks, points or percent"
    ),
}
_CONDITIONS = {
    r"if.*|conditions?|accfilter|spread|maxspread|samedirectionignore|killswitch|tradingwindows?|ratelimit|cooldown": (
        "a condition that is not checked here; check it in the strategy, or leave the field out"
    ),
    r"reverse|invert|inverted|reversesignals?": (
        "the opposite, of the order or of the position; send reverse, buy or sell as the action"
    ),
    r"closeopposite|flattenfirst|closefirst": "closing what is held first; send reverse as the action",
}
_ALWAYS = [(re.compile(pattern), sentence) for pattern, sentence in _ORDERS.items()]
_WHEN_PROTECTED = [(re.compile(pattern), sentence) for pattern, sentence in (_PROTECTIONS | _CONDITIONS).items()]
_TESTS = word_set(
    "test istest testnet istestnet testmode testing dryrun simulate simulated simulation paper papertrading papermode "
    "sandbox sandboxmode demo demomode"
)
_MODES = word_set("mode environment env tradingmode trademode accountmode")
_NOTHING = frozenset({"false", "no", "off", "none", "null", "0", ""})


def refuse_unsupported(fields: Fields, *, protected: bool) -> None:
    """Refuse a field that nobody understood and that would change the order. Raises SignalRefused UNSUPPORTED.

    `protected`: the order can have a stop loss and a take profit; for others those fields have no effect.
    """
    rules = [*_ALWAYS, *_WHEN_PROTECTED] if protected else _ALWAYS
    for key, field in fields.rest():
        if key.startswith(FREE):
            continue
        if _is_test(key, field.value):
            raise SignalRefused(
                "UNSUPPORTED",
                f"{field.name[:60]} says that this is a test, but it would be traded; send tests to a strategy in dry-run mode.",
                field.name[:60],
            )
        for rule, sentence in rules:
            if rule.fullmatch(key.rsplit("/", 1)[-1]) and not says_nothing(field.value):
                raise SignalRefused("UNSUPPORTED", f"{field.name[:60]} asks for {sentence}.", field.name[:60])


def _is_test(key: str, value: Value) -> bool:
    word = (value.raw if isinstance(value, Number) else str(value)).strip().lower()
    if key in _MODES:
        return plain(word) in _TESTS
    return key in _TESTS and word in ("true", "1", "yes", "on")


def says_nothing(value: Value) -> bool:
    """Whether the value switches nothing on: false, zero, none."""
    if isinstance(value, bool):
        return not value
    text = value.raw if isinstance(value, Number) else value if isinstance(value, str) else None
    if text is None:
        return value is None
    if text.strip().lower() in _NOTHING:
        return True
    if is_placeholder(text):
        return False
    try:
        return Decimal(text) == 0
    except InvalidOperation:
        return False
