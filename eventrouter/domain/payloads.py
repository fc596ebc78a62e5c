"""A task's payload: the part of a signal that an order is made of, as JSON with plain numbers."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from eventrouter.domain.signals import Event, Level, LevelKind, OrderType, QuantityKind, Signal

Payload = dict[str, Any]
_KEPT_EXTRAS = ("session", "bias", "final_be_mfe", "final_no_be_mfe")
_OF_ANY_EXIT = ("symbol", "strategy")


def payload_of(signal: Signal) -> Payload:
    """{"kind": the event, direction, symbol, quantity, entry_price or exit_price, stop_loss, …}; what was not said is left out.

    A stop loss or take profit is a number where it is a price, else {"value", "kind"} and "trailing": true if it trails.
    """
    leaves = signal.event in (Event.EXIT, Event.REDUCE)
    values = {
        "kind": str(signal.event),
        "direction": signal.side and str(signal.side),
        "exit_type": signal.exit_type or ("EXIT" if signal.event is Event.EXIT else None),
        "symbol": signal.symbol,
        "quantity": signal.quantity,
        "quantity_kind": None
        if signal.quantity is None or signal.quantity_kind is QuantityKind.FIXED
        else str(signal.quantity_kind),
        "order_type": None if signal.order_type is OrderType.MARKET else str(signal.order_type),
        "exit_price" if leaves else "entry_price": signal.price,
        "limit_price": signal.limit_price,
        "stop_price": signal.stop_price,
        "trail": _level(signal.trail),
        "stop_loss": _level(signal.stop_loss),
        "take_profit": _level(signal.take_profit),
        "strategy": signal.strategy,
    }
    if signal.family == "stage13b":
        values |= {name: signal.extras.get(name) for name in _KEPT_EXTRAS}
    return {name: _plain(value) for name, value in values.items() if value is not None}


def exit_payload(payload: Mapping[str, Any], exit_type: str) -> Payload:
    """The payload of an exit that another event brings with it: of a reversal, of a flatten."""
    return {"kind": "EXIT", "exit_type": exit_type} | {name: payload[name] for name in _OF_ANY_EXIT if name in payload}


def record_of(signal: Signal) -> Payload:
    """What is stored of a signal beside its bytes: the payload and what says where and when it came from."""
    values = payload_of(signal) | {
        "family": signal.family,
        "source_id": signal.source_id,
        "order_id": signal.order_id,
        "exchange": signal.exchange,
        "position": signal.position,
        "position_size": signal.position_size,
        "fire_time": signal.fire_time and signal.fire_time.isoformat(),
        "bar_time": signal.bar_time and signal.bar_time.isoformat(),
        "repairs": list(signal.repairs) or None,
        "notes": list(signal.notes) or None,
    }
    return {name: _plain(value) for name, value in values.items() if value is not None}


def _level(level: Level | None) -> Any:
    if level is None:
        return None
    if level.kind is LevelKind.PRICE and not level.trailing:
        return level.value
    return {"value": _plain(level.value), "kind": str(level.kind)} | ({"trailing": True} if level.trailing else {})


def plain_number(value: Decimal) -> int | float:
    """The number as JSON has it: exact for up to 15 digits, since the shortest text of the float is the same number."""
    return int(value) if value == value.to_integral_value() else float(value)


def _plain(value: Any) -> Any:
    return plain_number(value) if isinstance(value, Decimal) else value
