"""What must not keep a position from closing: a zero quantity, an unreadable time, a delayed feed's symbol.

A refused alert is read again without the field that it was refused for. Only if it then closes (EXIT, FLATTEN) does that
count; whatever opens, and what narrows the exit (its side, its symbol, a part of the position), stays refused.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from eventrouter.domain.parsers.actions import plain
from eventrouter.domain.parsers.guard import looks_like_size
from eventrouter.domain.parsers.values import Number, Odd, Value, is_nan, word_set
from eventrouter.domain.signals import Event, Signal
from eventrouter.errors import SignalRefused

_MOST_SET_ASIDE = 6
_CODES = word_set(
    "NUMBER_WRONG PRICE_WRONG QUANTITY_WRONG QUANTITY_KIND_UNKNOWN TIME_WRONG PLACEHOLDER FIELD_WRONG DELAYED_DATA"
)
_POSITIONS = re.compile(r".*(?:marketposition(?:size)?|positionsize|sentiment)")
_QUANTITY = re.compile(
    r".*(?:quantity|qty|contracts?|size|lots?|units?|shares?|amount|percent|percentage|pct|risk|vol|volume|usd|cash|dollars?|sz|q)"
    r"(?:type|kind)?"
)
_NARROWS = re.compile(
    r".*(?:action|side|direction|symbol|ticker|instrument|pair|contract|tradeid|positionid|orderid|type|limit|limitprice|"
    r"stopprice|triggerprice|kind|data|signal|command|cmd|event|operation|condition)"
)
_DELAY = re.compile(r"_DLY?(?=:|$)", re.IGNORECASE)
_ZERO = re.compile(r"[+-]?0{1,15}(?:\.0{0,15})?", re.ASCII)

Tree: TypeAlias = Mapping[str, Value]


@dataclass(slots=True)
class _Trifles:
    """What was set aside. `sent`: a symbol without its mark of delayed data → as it was sent.

    `only_flat`: a quantity was among it that may have named a part, which counts for nothing only where all is closed.
    """

    notes: list[str] = field(default_factory=list)
    sent: dict[str, str] = field(default_factory=dict)
    only_flat: bool = False

    def allow(self, signal: Signal) -> bool:
        return signal.event in (Event.EXIT, Event.FLATTEN) and (not self.only_flat or signal.position == "FLAT")

    def noted(self, signal: Signal) -> Signal:
        symbol = None if signal.symbol is None else self.sent.get(signal.symbol, signal.symbol)
        return replace(signal, symbol=symbol, notes=(*signal.notes, *self.notes))


def forgiving(tree: Tree, read: Callable[[Tree], Signal]) -> Signal:
    """The signal that `read` makes of the fields, also without trifles if it closes. Raises SignalRefused."""
    try:
        return read(tree)
    except SignalRefused as refusal:
        first = last = refusal
    trifles = _Trifles()
    for _ in range(_MOST_SET_ASIDE):
        without = _set_aside(tree, last, trifles)
        if without is None:
            break
        tree = without
        try:
            signal = read(tree)
        except SignalRefused as refusal:
            last = refusal
            continue
        if trifles.allow(signal):
            return trifles.noted(signal)
        break
    raise first


def _set_aside(tree: Tree, refusal: SignalRefused, trifles: _Trifles) -> Tree | None:
    """The fields without the one that was refused; None if it is no trifle."""
    path = _path(tree, refusal.field or "") if refusal.code in _CODES else None
    if path is None:
        return None
    value, name = _at(tree, path), plain(path[-1])
    if refusal.code == "DELAYED_DATA" and isinstance(value, str):
        mended = _DELAY.sub("", value.strip())
        trifles.sent[mended] = value.strip()
        trifles.notes.append(f"{refusal.field} names delayed data, which does not keep a position from closing.")
        return _changed(tree, path, mended)
    if not _POSITIONS.fullmatch(name):
        if _QUANTITY.fullmatch(name) or looks_like_size(path[-1]):
            trifles.only_flat = trifles.only_flat or not _is_nothing(value)
        elif _NARROWS.fullmatch(name):
            return None
    trifles.notes.append(f"{refusal.field} could not be used and has no effect: {refusal.message}")
    return _changed(tree, path, None)


def _is_nothing(value: Value) -> bool:
    """Whether a quantity is zero or NaN: the exit is of all that is held."""
    text = value.raw if isinstance(value, Number | Odd) else value if isinstance(value, str) else ""
    return bool(_ZERO.fullmatch(text.strip())) or is_nan(text.strip())


def _path(tree: Tree, name: str, before: str = "") -> tuple[str, ...] | None:
    """Where the field stands that a refusal names order.amount."""
    for key, value in tree.items():
        full = f"{before}{key}"
        if full == name:
            return (key,)
        inner = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(inner, Mapping) and (path := _path(inner, name, f"{full}.")) is not None:
            return (key, *path)
    return None


def _at(tree: Tree, path: tuple[str, ...]) -> Value:
    value: Value = tree
    for key in path:
        value = value[0] if isinstance(value, list) else value
        value = value[key] if isinstance(value, Mapping) else None
    return value


def _changed(tree: Tree, path: tuple[str, ...], value: Value) -> Tree:
    """The same fields with another value in one place; None is no value."""
    if len(path) == 1:
        return {**tree, path[0]: value}
    inner = tree[path[0]]
    inner = inner[0] if isinstance(inner, list) else inner
    assert isinstance(inner, Mapping)
    return {**tree, path[0]: _changed(inner, path[1:], value)}
