"""Family 1, stage 13B's own alerts: {kind: ENTRY, direction, entry_price, stop_loss, session, bias} and
{kind: EXIT, exit_type, exit_price, final_be_mfe, final_no_be_mfe}, with trade_id, symbol, strategy, signal_id, quantity.

entry_price and exit_price are reference prices; session, bias and the final_… numbers (Decimal) are kept in extras. Other
fields are named in a note, unless they are one of these in another spelling or look like a size, a stop or a target: those
refuse the alert.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from eventrouter.domain.parsers.actions import plain
from eventrouter.domain.parsers.guard import refuse_look_alikes, unread_note
from eventrouter.domain.parsers.symbols import check_symbol
from eventrouter.domain.parsers.values import Value, check_trade_id, decimal_of, given, text_of
from eventrouter.domain.signals import Event, Level, LevelKind, Side, Signal
from eventrouter.errors import SignalRefused

_EXIT_TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,19}")
_LONG = frozenset({"LONG", "BUY", "BULLISH"})
_SHORT = frozenset({"SHORT", "SELL", "BEARISH"})
_OTHERS = frozenset({"action", "side", "ticker", "data", "command"})
_FIELDS = (
    *(
        "kind",
        "trade_id",
        "direction",
        "entry_price",
        "stop_loss",
        "session",
        "bias",
        "symbol",
        "strategy",
        "signal_id",
    ),
    *("quantity", "exit_type", "exit_price", "final_be_mfe", "final_no_be_mfe"),
)
_WRITTEN = {name.replace("_", ""): name for name in _FIELDS}
_MEANT = dict.fromkeys(("qty", "contracts", "size", "lots", "units"), "quantity") | dict.fromkeys(
    ("sl", "stop"), "stop_loss"
)


def is_stage13b(body: Mapping[str, Value]) -> bool:
    """Whether the alert has stage 13B's form: a kind, and no other format's action."""
    if "kind" not in body:
        return False
    return "trade_id" in body or not {plain(name) for name in body} & _OTHERS


def read_stage13b(body: Mapping[str, Value]) -> Signal:
    """The signal. Raises SignalRefused."""
    _refuse_misspelt(body)
    kind = _required(body, "kind").upper()
    if kind in ("ENTRY", "EXIT"):
        for name, value in body.items():
            if name not in _FIELDS:
                refuse_look_alikes(name, value, _MEANT, opens=kind == "ENTRY")
        return _entry(body) if kind == "ENTRY" else _exit(body)
    raise SignalRefused("KIND_UNKNOWN", f"kind is {kind[:40]!r}; it must be ENTRY or EXIT.", "kind")


def _refuse_misspelt(body: Mapping[str, Value]) -> None:
    """A stop that is written stopLoss must not be left out of the order in silence."""
    for name in body:
        meant = _WRITTEN.get(name.replace("_", "").replace("-", "").replace(" ", "").casefold())
        if meant is not None and name != meant:
            raise SignalRefused("FIELD_MISSPELT", f"{name[:40]!r} must be written {meant}.", meant)


def _entry(body: Mapping[str, Value]) -> Signal:
    side = _direction(body)
    price, stop = _price(body, "entry_price"), _price(body, "stop_loss")
    extras = {"session": _optional(body, "session"), "bias": _optional(body, "bias")}
    shared = _shared(body)
    if price is not None and stop is not None and (price == stop or (stop < price) is not (side is Side.LONG)):
        where = "below" if side is Side.LONG else "above"
        raise SignalRefused(
            "STOP_ON_WRONG_SIDE", f"The stop_loss of a {side} entry must be {where} its entry_price.", "stop_loss"
        )
    return Signal(
        family="stage13b",
        event=Event.ENTRY,
        side=side,
        price=price,
        stop_loss=None if stop is None else Level(LevelKind.PRICE, stop),
        extras={name: value for name, value in extras.items() if value is not None},
        **shared,
    )


def _exit(body: Mapping[str, Value]) -> Signal:
    exit_type = (_optional(body, "exit_type") or "EXIT").upper().removeprefix("EXIT_")
    if not _EXIT_TYPE.fullmatch(exit_type):
        raise SignalRefused("EXIT_TYPE_WRONG", "exit_type must be a short word such as SL, BE or TP.", "exit_type")
    extras = {name: _decimal(body, name) for name in ("final_be_mfe", "final_no_be_mfe")}
    return Signal(
        family="stage13b",
        event=Event.EXIT,
        price=_price(body, "exit_price"),
        exit_type=None if exit_type == "EXIT" else exit_type,
        extras={name: value for name, value in extras.items() if value is not None},
        **_shared(body),
    )


def _shared(body: Mapping[str, Value]) -> dict[str, Any]:
    trade_id = check_trade_id(_required(body, "trade_id"), "trade_id")
    symbol = _optional(body, "symbol")
    if symbol is not None:
        check_symbol(symbol, "symbol")
    quantity = _decimal(body, "quantity")
    if quantity is not None and quantity <= 0:
        raise SignalRefused("QUANTITY_WRONG", "quantity must be greater than zero.", "quantity")
    unread = [name for name, value in body.items() if name not in _FIELDS and given(value)]
    return {
        "notes": (unread_note(unread),) if unread else (),
        "trade_id": trade_id,
        "strategy": _optional(body, "strategy"),
        "source_id": _optional(body, "signal_id"),
        "symbol": symbol,
        "quantity": quantity,
    }


def _direction(body: Mapping[str, Value]) -> Side:
    word = _required(body, "direction").upper()
    if word in _LONG:
        return Side.LONG
    if word in _SHORT:
        return Side.SHORT
    raise SignalRefused("DIRECTION_WRONG", f"direction is {word[:40]!r}; it must be LONG or SHORT.", "direction")


def _required(body: Mapping[str, Value], name: str) -> str:
    text = _optional(body, name)
    if text is None:
        raise SignalRefused("FIELD_MISSING", f"The alert has no {name}.", name)
    return text


def _optional(body: Mapping[str, Value], name: str) -> str | None:
    value = body.get(name)
    if value is None or value == "":
        return None
    return text_of(name, value) or None


def _price(body: Mapping[str, Value], name: str) -> Decimal | None:
    value = _decimal(body, name)
    if value is not None and value <= 0:
        raise SignalRefused("PRICE_WRONG", f"{name} must be greater than zero.", name)
    return value


def _decimal(body: Mapping[str, Value], name: str) -> Decimal | None:
    text = _optional(body, name)
    return None if text is None else decimal_of(name, text)
