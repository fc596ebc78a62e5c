"""What a body's values are before anyone has asked what they mean, and how one becomes a text or an exact number.

A value is a str, a Number (its digits as sent), a bool, None, a list, a dict, or Odd: a NaN or an unresolved placeholder
that stood where a value belongs. An Odd value harms only whoever asks for it; a field without effect may be odd.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TypeAlias

from eventrouter.errors import SignalRefused

MOST_DIGITS = 15  # what survives JSON number → double → JSON number unchanged
MOST_CHARACTERS = 200  # of a text that is read

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\$\{|%[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+%")
_NOT_A_NUMBER = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_TRADE_ID = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
_FURTHER_FIELD = re.compile(
    r"[;&|\r\n]\s{0,8}(?:command|action|signal|side|account|instrument|symbol|ticker|qty|quantity|order_?type)\s{0,8}=",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Number:
    """A number as its sender wrote it: 1.50 stays 1.50."""

    raw: str


@dataclass(frozen=True, slots=True)
class Odd:
    """What stands where a value belongs and is none. `what` is "nan" or "placeholder"."""

    raw: str
    what: str


Value: TypeAlias = str | Number | bool | Odd | Sequence["Value"] | Mapping[str, "Value"] | None


def word_set(words: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(words.split())


def is_placeholder(text: str) -> bool:
    """Whether the text holds a placeholder that the sender did not fill in: {{close}}, ${close}, %last_price%."""
    return bool(_PLACEHOLDER.search(text))


def is_nan(text: str) -> bool:
    """Whether the word is NaN or an infinity."""
    return bool(_NOT_A_NUMBER.fullmatch(text))


def odd_reason(value: Value) -> str | None:
    """Why the value says nothing: "NaN" or "a placeholder"; None for a value that does."""
    if isinstance(value, Odd):
        return "NaN" if value.what == "nan" else "an unresolved placeholder"
    if isinstance(value, str):
        if is_placeholder(value):
            return "an unresolved placeholder"
        return "NaN" if is_nan(value.strip()) else None
    return None


def given(value: Value) -> bool:
    """Whether the alert says anything here: null, an empty text, an empty list are the same as no field."""
    return value is not None and value not in ("", [], {}) and not (isinstance(value, str) and not value.strip())


def text_of(name: str, value: Value) -> str:
    """The value as a trimmed text of at most 200 characters. Raises SignalRefused."""
    if isinstance(value, Odd):
        raise _odd(name, value.raw, value.what)
    if isinstance(value, bool) or not isinstance(value, str | Number):
        raise SignalRefused("FIELD_WRONG", f"{name} must be a text.", name)
    text = (value if isinstance(value, str) else value.raw).strip()
    if is_placeholder(text):
        raise _odd(name, text, "placeholder")
    if len(text) > MOST_CHARACTERS:
        raise SignalRefused(
            "FIELD_WRONG", f"{name} has {len(text)} characters; at most {MOST_CHARACTERS} are read.", name
        )
    return text


def decimal_of(name: str, value: Value) -> Decimal:
    """The value as an exact number of at most 15 digits, none more than 15 places from the point. Raises SignalRefused."""
    text = text_of(name, value)
    if not _DECIMAL.fullmatch(text):
        what = "a finite number" if is_nan(text) else "a number"
        raise SignalRefused("NUMBER_WRONG", f"{name} is {text[:40]!r}; it must be {what}.", name)
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise SignalRefused("NUMBER_WRONG", f"{name} is {text[:40]!r}; it must be a number.", name) from None
    digits, exponent = number.as_tuple().digits, int(number.as_tuple().exponent)
    if len(digits) > MOST_DIGITS or abs(exponent) > MOST_DIGITS or (number and abs(number.adjusted()) > MOST_DIGITS):
        raise SignalRefused("NUMBER_WRONG", f"{name} has more than {MOST_DIGITS} digits.", name)
    return number


def check_trade_id(trade_id: str, name: str) -> str:
    """The trade id, of 1 to 100 printable characters. Raises SignalRefused TRADE_ID_WRONG."""
    if not _TRADE_ID.fullmatch(trade_id):
        raise SignalRefused("TRADE_ID_WRONG", f"{name} must have 1 to 100 printable characters.", name)
    return trade_id


def refuse_unsafe(name: str, text: str) -> None:
    """Refuses what no field may hold: NUL, half a surrogate pair, a second order's fields inside of a value."""
    if _UNSTORABLE.search(text):
        raise SignalRefused("TEXT_WRONG", "The alert contains control characters or half a surrogate pair.", None)
    if "=" in text and _FURTHER_FIELD.search(text):
        raise SignalRefused(
            "INJECTION", f"{name} holds further fields inside of its value (…;field=…); send a plain value.", name
        )


def _odd(name: str, raw: str, what: str) -> SignalRefused:
    if what == "nan":
        return SignalRefused("NUMBER_WRONG", f"{name} is {raw[:40]}; it must be a finite number.", name)
    return SignalRefused(
        "PLACEHOLDER", f"{name} is the placeholder {raw[:60]}, which the sender did not fill in.", name
    )
