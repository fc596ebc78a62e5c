"""The words for what an alert wants, and what several of them say together.

buy and sell are orders; long and short are positions; both mean an entry unless the alert's own position fields say
otherwise. exit, close, closelong, exit_short, … leave a position; flatten and closeall leave all of them; cancel
withdraws orders. Beside a word that leaves, sell (an order) leaves a long position, short (a position) a short one.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from eventrouter.domain.parsers.values import word_set
from eventrouter.domain.signals import Event, OrderType, Side
from eventrouter.errors import SignalRefused

_NOT_ALNUM = re.compile(r"[^a-z0-9]")
_Said = TypeVar("_Said", Event, Side, OrderType)


@dataclass(frozen=True, slots=True)
class Intent:
    """What the words say. `order` is the direction of the order, `side` that of the position; both None when not said."""

    event: Event | None = None
    order: Side | None = None
    side: Side | None = None
    order_type: OrderType | None = None

    @property
    def direction(self) -> Side | None:
        """Where the words point, whatever the position is."""
        return self.order or self.side


def _vocabulary() -> dict[str, Intent]:
    words = {"buy": Intent(order=Side.LONG), "sell": Intent(order=Side.SHORT)}
    words |= {word: Intent(side=Side.LONG) for word in ("long", "bull", "bullish", "positiontypebuy", "golong")}
    words |= {word: Intent(side=Side.SHORT) for word in ("short", "bear", "bearish", "positiontypesell", "goshort")}
    for side, names in ((Side.LONG, ("long", "buy")), (Side.SHORT, ("short", "sell"))):
        for name in names:
            words |= {verb + name: Intent(Event.ENTRY, side=side) for verb in ("enter", "entry", "open")}
            words |= {name + verb: Intent(Event.ENTRY, side=side) for verb in ("entry", "open")}
            words |= {verb + name: Intent(Event.EXIT, side=side) for verb in ("exit", "close", "closeall")}
            words |= {name + verb: Intent(Event.EXIT, side=side) for verb in ("exit", "close")}
            words |= {verb + name: Intent(Event.ADD, side=side) for verb in ("add", "increase", "addto")}
            words |= {
                "reverse" + name: Intent(Event.REVERSE, side=side),
                name + "reverse": Intent(Event.REVERSE, side=side),
            }
            words |= {verb + name: Intent(Event.MOVE_STOP, side=side) for verb in ("newsltp", "modify", "movestop")}
    for order, name in ((Side.LONG, "buy"), (Side.SHORT, "sell")):
        for prefix in ("", "ordertype"):
            for suffix, order_type in (("limit", OrderType.LIMIT), ("stop", OrderType.STOP)):
                words[prefix + name + suffix] = Intent(order=order, order_type=order_type)
    words |= {"buytoopen": Intent(Event.ENTRY, order=Side.LONG), "selltoopen": Intent(Event.ENTRY, order=Side.SHORT)}
    words |= {"sellshort": Intent(Event.ENTRY, order=Side.SHORT), "selltoclose": Intent(Event.EXIT, order=Side.SHORT)}
    words |= {word: Intent(Event.EXIT, order=Side.LONG) for word in ("buytocover", "buytoclose", "cover")}
    words |= {word: Intent(Event.ENTRY) for word in ("enter", "entry", "open")}
    words |= {word: Intent(Event.EXIT) for word in ("exit", "close", "flat", "closeposition", "exitposition")}
    words |= {word: Intent(Event.ADD) for word in ("add", "increase", "addtoposition", "pyramid")}
    words |= {
        word: Intent(Event.REDUCE) for word in ("reduce", "decrease", "partialclose", "closepartial", "partialexit")
    }
    words |= {word: Intent(Event.REVERSE) for word in ("reverse", "reverseposition", "flip")}
    words |= {
        word: Intent(Event.MOVE_STOP) for word in ("movestop", "modify", "updatesl", "updatestop", "updatestoploss")
    }
    words |= {
        word: Intent(Event.CANCEL) for word in ("cancel", "cancelorder", "cancelorders", "cancelall", "cancelallorders")
    }
    for word in ("flatten", "flattenall", "flattenposition", "flatteneverything", "closeall", "exitall", "flatall"):
        words[word] = Intent(Event.FLATTEN)
    words |= {word: Intent(Event.FLATTEN) for word in ("closeallpositions", "closeeverything", "liquidate")}
    return words


_WORDS = _vocabulary()
_LONGEST = 60  # characters of a word for an action, signs and spaces included
_CONTROLS = word_set(
    "startbot stopbot startandopen stopandclose pausebot resumebot enable disable enablebot disablebot eaon eaoff start "
    "stop pause resume startdeal closeatmarketprice addfunds hold none wait neutral nothing noop test ping status "
    "balance positions account query watchlist heartbeat info"
)
_NOISE = word_set("alert signal order orderfilled orderfill fill filled webhook strategy trade tradingview")


def plain(word: str) -> str:
    """The word without case, spaces and signs: Exit-Long is exitlong."""
    return _NOT_ALNUM.sub("", word.lower())


def intent_of(word: str) -> Intent | None:
    """What one word wants; None if it is not a word for that. A sign or letter outside of ASCII may turn its meaning."""
    return _WORDS.get(plain(word)) if len(word) <= _LONGEST and word.strip().isascii() else None


def means_action(word: str) -> bool:
    """Whether this is a word for what an alert wants."""
    return intent_of(word) is not None


def is_control(word: str) -> bool:
    """Whether the word directs another vendor's bot, asks a question or wants nothing."""
    return any(plain(part) in _CONTROLS for part in word.split("|"))


def is_noise(word: str) -> bool:
    """Whether the word says only that this is an alert."""
    return plain(word) in _NOISE


def read_intent(name: str, word: str) -> Intent:
    """What the word in this field wants. Raises SignalRefused: ACTION_UNKNOWN, NOT_AN_ORDER."""
    intent = intent_of(word)
    if intent is not None:
        return intent
    if is_control(word):
        raise SignalRefused("NOT_AN_ORDER", f"{name} is {word[:40]!r}, which is not an order to an account.", name)
    raise SignalRefused(
        "ACTION_UNKNOWN",
        f"{name} is {word[:40]!r}; buy, sell, long, short, exit, add, reduce, reverse, cancel or flatten are understood.",
        name,
    )


def together(intents: Iterable[tuple[str, Intent]]) -> Intent:
    """What several fields want together. Raises SignalRefused CONTRADICTION when they want different things."""
    event: Event | None = None
    order: Side | None = None
    side: Side | None = None
    order_type: OrderType | None = None
    for name, intent in intents:
        event = _same(name, event, intent.event)
        order = _same(name, order, intent.order)
        side = _same(name, side, intent.side)
        order_type = _same(name, order_type, intent.order_type)
    leaves = event in (Event.EXIT, Event.REDUCE)
    if order is not None and side is not None and (order is side) is leaves:
        verb = "buys" if order is Side.LONG else "sells"
        raise SignalRefused(
            "CONTRADICTION",
            f"The alert {verb}, which does not {'leave' if leaves else 'lead to'} a {side} position.",
            None,
        )
    return Intent(event, order, side, order_type)


def _same(name: str, one: _Said | None, other: _Said | None) -> _Said | None:
    if one is not None and other is not None and one is not other:
        raise SignalRefused("CONTRADICTION", f"{name} says {other}, another field of the alert says {one}.", name)
    return other if one is None else one
