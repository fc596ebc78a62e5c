"""Strict reading of JSON: numbers are int or Decimal, never float; what is not as documented is Unreadable."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

_MOST_EXPONENT = 15


class Unreadable(ValueError):
    """A value that is missing or not of the kind it must be; the text says which."""


def parse_object(text: str) -> dict[str, Any]:
    """The object that the text is. Raises Unreadable."""
    try:
        value = json.loads(text, parse_float=Decimal, parse_constant=_no_number, object_pairs_hook=_once_each)
    except Unreadable:
        raise
    except (ValueError, RecursionError, ArithmeticError):
        raise Unreadable("it is not JSON") from None
    if not isinstance(value, dict):
        raise Unreadable("it is not a JSON object")
    return value


def objects(body: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """A list of objects that must be there."""
    value = body.get(name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Unreadable(f"{name} is not a list of objects")
    return value


def whole_number(body: Mapping[str, Any], name: str) -> int:
    """A whole number that must be there; 1.0 is one too."""
    number = _number(body.get(name), name)
    if number != number.to_integral_value():
        raise Unreadable(f"{name} is not a whole number")
    return int(number)


def optional_id(body: Mapping[str, Any], name: str) -> str | None:
    """An id, or None when it is missing, null or zero."""
    if body.get(name) is None:
        return None
    return str(whole_number(body, name)) if whole_number(body, name) else None


def money(body: Mapping[str, Any], name: str) -> Decimal:
    """A number that must be there."""
    return _number(body.get(name), name)


def optional_money(body: Mapping[str, Any], name: str) -> Decimal | None:
    """A number, or None when it is missing or null."""
    return None if body.get(name) is None else money(body, name)


def truth(body: Mapping[str, Any], name: str) -> bool:
    """True or false; it must be there."""
    value = body.get(name)
    if not isinstance(value, bool):
        raise Unreadable(f"{name} is not true or false")
    return value


def words(body: Mapping[str, Any], name: str) -> str:
    """A text that must be there and say something."""
    value = body.get(name)
    if not isinstance(value, str) or not value.strip():
        raise Unreadable(f"{name} is no text")
    return value


def optional_words(body: Mapping[str, Any], name: str) -> str | None:
    """A text, or None when it is missing, null or empty."""
    return words(body, name) if body.get(name) not in (None, "") else None


def moment(body: Mapping[str, Any], name: str) -> datetime:
    """A time with its zone, in UTC; without one it could be hours off."""
    try:
        at = datetime.fromisoformat(words(body, name))
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Unreadable(f"{name} is no time with a zone")


def optional_moment(body: Mapping[str, Any], name: str) -> datetime | None:
    """A time, or None when it is missing or null."""
    return None if body.get(name) is None else moment(body, name)


def _number(value: object, name: str) -> Decimal:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
        if number.is_finite() and -_MOST_EXPONENT <= number.adjusted() <= _MOST_EXPONENT:
            return number
    raise Unreadable(f"{name} is no number")


def _no_number(_text: str) -> NoReturn:
    raise Unreadable("it holds a number that is none")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) != len(pairs):
        raise Unreadable("a name stands in it twice")
    return body
