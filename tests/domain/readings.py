"""Readings of alert bodies, and what the tests look at in them."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from eventrouter.domain.parsers import Reading, read_alert
from eventrouter.domain.signals import Level, LevelKind, OrderType, QuantityKind, Signal
from eventrouter.errors import SignalRefused

_PLAIN: Mapping[str, Any] = {"quantity_kind": QuantityKind.FIXED, "order_type": OrderType.MARKET, "target": False}
_PROSE = {"family", "notes", "repairs", "extras", "bare"}


def body_of(body: bytes | str | Mapping[str, Any] | list[Any]) -> bytes:
    """The bytes that arrive: JSON for anything but text and bytes."""
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode()


def signal_of(body: bytes | str | Mapping[str, Any] | list[Any]) -> Signal:
    """The signal of a body that must be understood."""
    reading = read_alert(body_of(body))
    assert reading.signal is not None, str(reading.refusal)
    assert reading.refusal is None
    return reading.signal


def refusal_of(body: bytes | str | Mapping[str, Any] | list[Any]) -> SignalRefused:
    """The refusal of a body that must not be understood."""
    reading = read_alert(body_of(body))
    assert reading.refusal is not None, str(reading.signal)
    assert reading.signal is None
    return reading.refusal


def code_of(body: bytes | str | Mapping[str, Any] | list[Any]) -> str:
    """The code that refuses a body."""
    return refusal_of(body).code


def meaning(body: bytes | str | Mapping[str, Any] | list[Any]) -> dict[str, Any]:
    """What the signal says about the order: every field that is not its default, levels as `price:18400`."""
    signal = signal_of(body)
    said = {name: getattr(signal, name) for name in signal.__dataclass_fields__ if name not in _PROSE}
    return {
        name: plainly(value)
        for name, value in said.items()
        if value is not None and value != _PLAIN.get(name, object())
    }


def plainly(value: Any) -> Any:
    """A value as the tests write it: levels and numbers as text, enumerations as their word."""
    if isinstance(value, Level):
        return f"{value.kind}:{value.value}{' trailing' if value.trailing else ''}"
    return str(value) if isinstance(value, Decimal | LevelKind | str) else value


def everything_in(reading: Reading) -> str:
    """All that a reading tells anybody, in one text."""
    return repr((reading.redacted, reading.signal, reading.refusal and (reading.refusal.args, reading.refusal.field)))
