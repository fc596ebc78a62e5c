"""A signal, and how an alert's bytes become one. What is not understood is refused with a code, never guessed."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from eventrouter.errors import SignalRefused

MOST_BYTES = 64 * 1024
MOST_DEPTH = 16
MOST_DIGITS = 15  # what survives JSON number → double → JSON number unchanged

_TRADE_ID = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
_EXIT_TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,19}")
_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.:!/&=+-]{0,39}")
_PLAIN_NUMBER = re.compile(
    r"[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE
)  # Decimal takes more
_LONG = frozenset({"LONG", "BUY", "BULLISH"})
_SHORT = frozenset({"SHORT", "SELL", "BEARISH"})


@dataclass(frozen=True, slots=True)
class Signal:
    """One understood alert. Prices and quantity are Decimal or None where the alert named none.

    `event_type` is ENTRY or EXIT_<exit_type> (EXIT_SL, EXIT_BE, …); `direction` LONG, SHORT or None.
    """

    event_type: str
    trade_id: str
    strategy: str | None = None
    source_id: str | None = None
    symbol: str | None = None
    direction: str | None = None
    quantity: Decimal | None = None
    entry_price: Decimal | None = None
    stop_loss: Decimal | None = None
    session: str | None = None
    bias: str | None = None
    exit_type: str | None = None
    exit_price: Decimal | None = None
    final_be_mfe: Decimal | None = None
    final_no_be_mfe: Decimal | None = None

    @property
    def opening(self) -> bool:
        """True for an entry."""
        return self.event_type == "ENTRY"

    def payload(self) -> dict[str, Any]:
        """The task's payload: `kind` and the fields of its format, absent ones left out, numbers as JSON numbers."""
        names = _ENTRY_FIELDS if self.opening else _EXIT_FIELDS
        values = {"kind": "ENTRY" if self.opening else "EXIT"} | {name: getattr(self, name) for name in names}
        return {name: float(v) if isinstance(v, Decimal) else v for name, v in values.items() if v is not None}


_ENTRY_FIELDS = ("direction", "entry_price", "stop_loss", "session", "bias", "symbol", "quantity", "strategy")
_EXIT_FIELDS = ("exit_type", "exit_price", "final_be_mfe", "final_no_be_mfe", "symbol", "quantity", "strategy")


_WRITTEN = {name.replace("_", ""): name for name in ("kind", "trade_id", "signal_id", *_ENTRY_FIELDS, *_EXIT_FIELDS)}


def parse_alert(raw: bytes) -> Signal:
    """The signal behind an alert's body: stage 13B's ENTRY and EXIT, as JSON. Raises SignalRefused."""
    body = _object(raw)
    _refuse_misspelt(body)
    kind = _text(body, "kind", required=True).upper()
    if kind == "ENTRY":
        return _entry(body)
    if kind == "EXIT":
        return _exit(body)
    raise SignalRefused("KIND_UNKNOWN", f"kind is {kind[:40]!r}; it must be ENTRY or EXIT.", "kind")


def _refuse_misspelt(body: Mapping[str, Any]) -> None:
    """A stop that is written stopLoss must not be left out of the order in silence."""
    for name in body:
        meant = _WRITTEN.get(name.replace("_", "").replace("-", "").replace(" ", "").casefold())
        if meant is not None and name != meant:
            raise SignalRefused("FIELD_MISSPELT", f"{name[:40]!r} must be written {meant}.", meant)


def _entry(body: Mapping[str, Any]) -> Signal:
    signal = Signal(
        event_type="ENTRY",
        direction=_direction(body),
        entry_price=_price(body, "entry_price"),
        stop_loss=_price(body, "stop_loss"),
        session=_optional(body, "session"),
        bias=_optional(body, "bias"),
        **_shared(body),
    )
    if signal.entry_price is not None and signal.stop_loss is not None:
        distance = signal.entry_price - signal.stop_loss
        if distance <= 0 if signal.direction == "LONG" else distance >= 0:
            side = "below" if signal.direction == "LONG" else "above"
            raise SignalRefused(
                "STOP_ON_WRONG_SIDE",
                f"The stop_loss of a {signal.direction} entry must be {side} its entry_price.",
                "stop_loss",
            )
    return signal


def _exit(body: Mapping[str, Any]) -> Signal:
    exit_type = (_optional(body, "exit_type") or "EXIT").upper().removeprefix("EXIT_")
    if not _EXIT_TYPE.fullmatch(exit_type):
        raise SignalRefused("EXIT_TYPE_WRONG", "exit_type must be a short word such as SL, BE or TP.", "exit_type")
    return Signal(
        event_type="EXIT" if exit_type == "EXIT" else f"EXIT_{exit_type}",
        exit_type=exit_type,
        exit_price=_price(body, "exit_price"),
        final_be_mfe=_decimal(body, "final_be_mfe"),
        final_no_be_mfe=_decimal(body, "final_no_be_mfe"),
        **_shared(body),
    )


def _shared(body: Mapping[str, Any]) -> dict[str, Any]:
    trade_id = _text(body, "trade_id", required=True)
    if not _TRADE_ID.fullmatch(trade_id):
        raise SignalRefused("TRADE_ID_WRONG", "trade_id must have 1 to 100 printable characters.", "trade_id")
    symbol = _optional(body, "symbol")
    if symbol is not None and not _SYMBOL.fullmatch(symbol):
        raise SignalRefused("SYMBOL_WRONG", "symbol must look like MNQ1!, CME_MINI:ES1! or MNQZ2026.", "symbol")
    quantity = _decimal(body, "quantity")
    if quantity is not None and quantity <= 0:
        raise SignalRefused("QUANTITY_WRONG", "quantity must be greater than zero.", "quantity")
    return {
        "trade_id": trade_id,
        "strategy": _optional(body, "strategy"),
        "source_id": _optional(body, "signal_id"),
        "symbol": symbol,
        "quantity": quantity,
    }


def _direction(body: Mapping[str, Any]) -> str:
    word = _text(body, "direction", required=True).upper()
    if word in _LONG:
        return "LONG"
    if word in _SHORT:
        return "SHORT"
    raise SignalRefused("DIRECTION_WRONG", f"direction is {word[:40]!r}; it must be LONG or SHORT.", "direction")


def _text(body: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    value = body.get(name)
    if value is None or value == "":
        if required:
            raise SignalRefused("FIELD_MISSING", f"The alert has no {name}.", name)
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise SignalRefused("FIELD_WRONG", f"{name} must be a text.", name)
    text = str(value).strip()
    if "{{" in text:
        raise SignalRefused(
            "PLACEHOLDER", f"{name} is the placeholder {text[:60]}, which the sender did not fill in.", name
        )
    if len(text) > 200:
        raise SignalRefused("FIELD_WRONG", f"{name} has {len(text)} characters; at most 200 are read.", name)
    if required and not text:
        raise SignalRefused("FIELD_MISSING", f"The alert has no {name}.", name)
    return text


def _optional(body: Mapping[str, Any], name: str) -> str | None:
    return _text(body, name) or None


def _price(body: Mapping[str, Any], name: str) -> Decimal | None:
    value = _decimal(body, name)
    if value is not None and value <= 0:
        raise SignalRefused("PRICE_WRONG", f"{name} must be greater than zero.", name)
    return value


def _decimal(body: Mapping[str, Any], name: str) -> Decimal | None:
    text = _text(body, name)
    if not text:
        return None
    try:
        value = Decimal(text if _PLAIN_NUMBER.fullmatch(text) else "")
    except InvalidOperation:
        raise SignalRefused("NUMBER_WRONG", f"{name} is {text[:40]!r}; it must be a number.", name) from None
    if not value.is_finite():
        raise SignalRefused("NUMBER_WRONG", f"{name} is {text[:40]}; it must be a finite number.", name)
    digits, exponent = value.as_tuple().digits, int(value.as_tuple().exponent)
    if len(digits) > MOST_DIGITS or abs(exponent) > MOST_DIGITS:
        raise SignalRefused("NUMBER_WRONG", f"{name} has more than {MOST_DIGITS} digits.", name)
    return value


def _object(raw: bytes) -> dict[str, Any]:
    """Strict JSON: one object, UTF-8, no NaN or infinities, no repeated keys, no NUL or lone surrogates, bounded depth."""
    if not raw.strip():
        raise SignalRefused("BODY_EMPTY", "The alert has no body. Put the JSON into the alert's message field.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SignalRefused("BODY_NOT_UTF8", "The alert is not UTF-8 text.") from None
    if _depth(text) > MOST_DEPTH:
        raise SignalRefused("BODY_NOT_JSON", f"The alert is nested deeper than {MOST_DEPTH} levels.")
    try:
        value = json.loads(
            text, parse_float=Decimal, parse_int=_parse_int, parse_constant=_refuse_constant, object_pairs_hook=_unique
        )
    except json.JSONDecodeError as error:
        raise SignalRefused(
            "BODY_NOT_JSON", f"The alert is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except (RecursionError, InvalidOperation, ValueError):
        raise SignalRefused("BODY_NOT_JSON", "The alert is not JSON that can be read.") from None
    if not isinstance(value, dict):
        raise SignalRefused("BODY_NOT_OBJECT", "The alert must be a JSON object: { … }.")
    _refuse_unstorable(value)
    return value


def _depth(text: str) -> int:
    """The deepest nesting of brackets outside of strings."""
    depth = deepest = 0
    for bracket in re.sub(r'"(?:[^"\\]|\\.)*"?', "", text):
        if bracket in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif bracket in "]}":
            depth -= 1
    return deepest


def _parse_int(digits: str) -> Decimal:
    return Decimal(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise SignalRefused("NUMBER_WRONG", f"The alert contains {name}, which is not a number (a plot without a value?).")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for name, value in pairs:
        if name in seen:
            _refuse_twice(name)
        seen[name] = value
    return seen


def _refuse_twice(twice: str) -> NoReturn:
    raise SignalRefused("KEY_REPEATED", f"The alert names {twice[:40]!r} twice; which one counts cannot be known.")


def _refuse_unstorable(value: Any) -> None:
    if isinstance(value, str):
        if "\0" in value or any(0xD800 <= ord(character) <= 0xDFFF for character in value):
            raise SignalRefused("TEXT_WRONG", "The alert contains a NUL character or half a surrogate pair.")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_unstorable(key)
            _refuse_unstorable(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_unstorable(item)
