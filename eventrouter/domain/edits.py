"""What of a dead letter's order may be changed before it is sent again, read as strictly as an alert. Pure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from eventrouter.domain.dead_letters import CHANGEABLE, RetryFacts
from eventrouter.domain.denials import Denial
from eventrouter.domain.orders import payload_fault
from eventrouter.domain.parsers.amounts import amount_of
from eventrouter.domain.parsers.fields import Field
from eventrouter.domain.parsers.levels import directed_level, level_of, refuse_wrong_side
from eventrouter.domain.parsers.orders import order_type_of
from eventrouter.domain.parsers.symbols import check_symbol
from eventrouter.domain.parsers.values import decimal_of, refuse_unsafe
from eventrouter.domain.signals import Level, LevelKind, OrderType, QuantityKind, Side
from eventrouter.domain.symbols import parse_symbol, product_of, root_of
from eventrouter.errors import ChangeWrong, SignalRefused

LONGEST_VALUE = 40
_PRICES = ("limit_price", "stop_price", "stop_loss", "take_profit")
_NEEDED: Mapping[OrderType, tuple[str, ...]] = {
    OrderType.MARKET: (),
    OrderType.LIMIT: ("limit_price",),
    OrderType.STOP: ("stop_price",),
    OrderType.STOP_LIMIT: ("limit_price", "stop_price"),
    OrderType.TRAILING_STOP: ("trail",),
}
"""What an order of a type cannot do without."""

Payload = dict[str, Any]


def edited(facts: RetryFacts, changes: Mapping[str, str]) -> tuple[Payload, Payload]:
    """The payload with these changes, and what stood before in place of each value that is another one now (None: nothing).

    A quantity is then in contracts, whatever sizes else. Raises ChangeWrong, with what is wrong and what to give instead.
    """
    if not facts.opening:
        raise ChangeWrong("Only an entry can be changed: what closes is sized from what is held when it is sent.")
    old: Payload = dict(facts.payload) if isinstance(facts.payload, Mapping) else {}
    try:
        payload = {**old, **_read(facts, old, changes)}
        if "quantity" in changes:
            payload.pop("quantity_kind", None)
            payload["quantity_by_hand"] = True
        if fault := payload_fault(payload):
            raise ChangeWrong(fault)
        if "symbol" in changes:
            _refuse_foreign_figures(old, payload, changes)
        if {"order_type", *_PRICES} & changes.keys():
            _settle_prices(payload, changes)
    except SignalRefused as refused:
        raise ChangeWrong(refused.message) from None
    names = [name for name in {**old, **payload} if name != "quantity_by_hand" and old.get(name) != payload.get(name)]
    return payload, {name: old.get(name) for name in names}


def _read(facts: RetryFacts, old: Payload, changes: Mapping[str, str]) -> Payload:
    """Each change as a payload has it. Raises SignalRefused, ChangeWrong."""
    side = Side(old["direction"]) if old.get("direction") in tuple(Side) else None
    found: Payload = {}
    for name, value in changes.items():
        if name not in CHANGEABLE:
            raise ChangeWrong(f"{name[:LONGEST_VALUE]!r} cannot be changed; what can: {', '.join(CHANGEABLE)}.")
        if not 0 < len(value) <= LONGEST_VALUE:
            raise ChangeWrong(f"{name} must be 1 to {LONGEST_VALUE} characters.")
        refuse_unsafe(name, value)
        if name == "quantity":
            found[name] = _quantity(value)
        elif name == "symbol":
            found[name] = _symbol(facts, value)
        elif name == "order_type":
            found[name] = str(order_type_of(name, value))
        elif name in ("stop_loss", "take_profit"):
            found[name] = _level(directed_level(Field(name, value), side, stop=name == "stop_loss"), name)
        else:
            found[name] = _price(name, value)
    return found


def _quantity(value: str) -> str:
    if not (value.isascii() and value.isdigit()):
        raise ChangeWrong(f"quantity is {value!r}; it must be a whole number of contracts.")
    amount = amount_of(Field("quantity", value))
    assert amount is not None
    return str(amount.value)


def _symbol(facts: RetryFacts, value: str) -> str:
    if facts.event_type != "ENTRY":
        raise ChangeWrong("Only the symbol of an ENTRY can be changed: what adds to a trade is of what that holds.")
    check_symbol(value, "symbol")
    parsed = parse_symbol(value, facts.now.date())
    if isinstance(parsed, Denial):
        raise ChangeWrong(parsed.message)
    return value


def _price(name: str, value: str) -> str:
    price = decimal_of(name, value)
    if price <= 0:
        raise ChangeWrong(f"{name} must be greater than zero.")
    return f"{price:f}"


def _level(level: Level | None, name: str) -> Any:
    if level is None:
        raise ChangeWrong(f"{name} must be greater than zero.")
    text = f"{level.value:f}"
    return text if level.kind is LevelKind.PRICE else {"value": text, "kind": str(level.kind)}


def _refuse_foreign_figures(old: Payload, payload: Payload, changes: Mapping[str, str]) -> None:
    """Another product has other prices, and a contract of it is worth something else: what counts in them is given anew."""
    before, after = str(old.get("symbol") or ""), changes["symbol"]
    counted = old.get("quantity_kind") in (None, str(QuantityKind.FIXED)) and old.get("quantity") is not None
    if root_of(before) != root_of(after) and counted and "quantity" not in changes:
        raise ChangeWrong(
            f"{after} is another product than {before or 'none'}: give quantity as well, in contracts of what is traded."
        )
    if product_of(before) == product_of(after):
        return
    payload.pop("entry_price", None)
    for name in (*_PRICES, "trail"):
        stale = name not in changes and _price_in(old.get(name)) is not None
        if stale:
            raise ChangeWrong(f"{after} has other prices than {before or 'none'}: give {name} as well.")
    anchored = payload.get("limit_price") or payload.get("stop_price")
    for name in ("stop_loss", "take_profit"):
        if not anchored and _price_in(payload.get(name)) is not None:
            raise ChangeWrong(
                f"{name} is a price, and the order has none to compare it with: give a distance, such as 20 ticks."
            )


def _settle_prices(payload: Payload, changes: Mapping[str, str]) -> None:
    """The prices that the order's type needs, no others; and stop loss and take profit on their own sides of them."""
    kind = OrderType(payload.get("order_type") or OrderType.MARKET)
    needed = _NEEDED[kind]
    for name in needed:
        if payload.get(name) is None:
            raise ChangeWrong(f"The order is a {kind} order and has no {name}: give it as well.")
    for name in ("limit_price", "stop_price"):
        if name in needed or (name == "stop_price" and kind is OrderType.TRAILING_STOP):
            continue
        if name in changes:
            raise ChangeWrong(f"{name} has no effect on a {kind} order: give order_type as well.")
        payload.pop(name, None)
    entry = payload.get("limit_price") or payload.get("stop_price") or payload.get("entry_price")
    side = Side(payload["direction"]) if payload.get("direction") in tuple(Side) else None
    stop, target = (_as_level(payload.get(name)) for name in ("stop_loss", "take_profit"))
    refuse_wrong_side(side, _price_in(entry), stop, target, names=("stop_loss", "take_profit"))


def _as_level(value: Any) -> Level | None:
    price = _price_in(value)
    return None if price is None else Level(LevelKind.PRICE, price)


def _price_in(value: Any) -> Decimal | None:
    """A price of a payload; None for a distance, for nothing, and for what is no number."""
    if value is None or isinstance(value, Mapping | bool):
        return None
    level = level_of(Field("price", str(value)))
    return level.value if level is not None and level.kind is LevelKind.PRICE else None
