"""What an entry's alert asks for, as figures: its side, its size, its prices, and how far away its stop and target are."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any

from eventrouter.domain.denials import EXACT, Denial, Denied, figure, plain
from eventrouter.domain.instruments import Product, Rounding
from eventrouter.domain.signals import LevelKind, OrderType, QuantityKind
from eventrouter.domain.sizing import HUNDRED, stop_distance
from eventrouter.domain.symbols import Symbol, parse_symbol

_REFERENCES = {  # at which price each kind of order may fill at worst; others fill where the market is
    OrderType.LIMIT: "limit_price",
    OrderType.STOP: "stop_price",
    OrderType.STOP_LIMIT: "limit_price",
}


@dataclass(frozen=True, slots=True)
class Level:
    """A stop loss or take profit: a price, or a distance from the entry."""

    kind: LevelKind
    value: Decimal
    trailing: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """An alert's entry. None is what it does not say; `quantity` is 1 then. `entry` is the price at which it may fill.

    `fault` says why `symbol` is None.
    """

    symbol: Symbol | None
    fault: Denial | None
    direction: str | None
    quantity: Decimal
    kind: QuantityKind
    entry: Decimal | None
    stop: Level | None
    target: Level | None
    limit_price: Decimal | None
    stop_price: Decimal | None
    trail: Level | None

    @property
    def product(self) -> Product | None:
        """What is traded, if it is known here."""
        return self.symbol.product if self.symbol else None


def wish_of(payload: Mapping[str, Any], today: date) -> Wish:
    """From a payload that is known to make an order (payload_fault). `today` settles the decade of a contract's year."""
    symbol, fault = _symbol(payload.get("symbol"), today)
    reference = _REFERENCES.get(payload.get("order_type") or OrderType.MARKET, "entry_price")
    quantity = _number(payload, "quantity")
    return Wish(
        symbol=symbol,
        fault=fault,
        direction=payload.get("direction"),
        quantity=Decimal(1) if quantity is None else quantity,
        kind=QuantityKind(payload.get("quantity_kind") or QuantityKind.FIXED),
        entry=_number(payload, reference),
        stop=_level(payload, "stop_loss"),
        target=_level(payload, "take_profit"),
        limit_price=_number(payload, "limit_price"),
        stop_price=_number(payload, "stop_price"),
        trail=_level(payload, "trail"),
    )


def points_to_stop(wish: Wish, level: Level, direction: str, named: Product) -> Decimal | None:
    """Points from entry to stop loss, more than zero; None for money, whose distance depends on the size. Raises Denied.

    `named` is the product that the alert names: ticks are ticks of it.
    """
    if level.kind is LevelKind.PRICE:
        return stop_distance(direction, _entry(wish, "stop_loss"), figure("stop_loss", level.value, above=0))
    return _distance(wish, level, "stop_loss", named)


def points_to_target(wish: Wish, level: Level, direction: str, named: Product) -> Decimal | None:
    """Points from entry to take profit; otherwise as points_to_stop."""
    if level.kind is not LevelKind.PRICE:
        return _distance(wish, level, "take_profit", named)
    entry, price = _entry(wish, "take_profit"), figure("take_profit", level.value, above=0)
    with localcontext(EXACT):
        points = price - entry if direction == "LONG" else entry - price
    if points <= 0:
        side = "above" if direction == "LONG" else "below"
        message = f"The take profit {plain(price)} of a {direction} entry at {plain(entry)} must be {side} it."
        raise Denied(Denial("TARGET_ON_WRONG_SIDE", message, {"entry": plain(entry), "take_profit": plain(price)}))
    return points


def in_ticks(
    level: Level, points: Decimal | None, name: str, product: Product, quantity: Decimal, rounding: Rounding
) -> str:
    """A bracket as orders have it: "20 ticks". Raises Denied (LEVEL_TOO_CLOSE) when not a single tick is left.

    Money is shared out among the contracts and always rounded down: a stop never costs more than was said.
    """
    with localcontext(EXACT):
        if points is None:
            unit = figure("tick_value", product.tick_value, above=0) * figure("quantity", quantity, above=0)
            ticks = figure(name, level.value, above=0) // unit
        else:
            ticks = product.ticks(points, rounding)
    if ticks < 1:
        message = f"The {name} is less than a tick of {product.root} away from the entry."
        raise Denied(Denial("LEVEL_TOO_CLOSE", message, {name: plain(level.value), "kind": level.kind.value}))
    return f"{plain(ticks)} ticks" + (" trailing" if level.trailing else "")


def on_tick(price: Decimal | None, name: str, product: Product, direction: str) -> str | None:
    """An order's price on a tick, never worse than was asked: down for what buys. Raises Denied for one that comes to zero."""
    if price is None:
        return None
    rounding = Rounding.DOWN if direction == "LONG" else Rounding.UP
    return plain(figure(name, product.to_tick(figure(name, price, above=0), rounding), above=0))


def _distance(wish: Wish, level: Level, name: str, named: Product) -> Decimal | None:
    value = figure(name, level.value, above=0)
    with localcontext(EXACT):
        match level.kind:
            case LevelKind.TICKS:
                return value * named.tick_size
            case LevelKind.PERCENT:
                return _entry(wish, name) * value / HUNDRED
            case LevelKind.OFFSET:
                return value
            case _:
                return None


def _entry(wish: Wish, name: str) -> Decimal:
    if wish.entry is None:
        message = f"The {name} is a price or a percent of one, and the alert names no price of its entry: send both."
        raise Denied(Denial("ENTRY_PRICE_MISSING", message, {"name": name}))
    return figure("entry_price", wish.entry, above=0)


def _symbol(text: object, today: date) -> tuple[Symbol | None, Denial | None]:
    if text is None or text == "":
        return None, Denial("NO_SYMBOL", "Neither the alert nor its strategy names a symbol: say what is to be traded.")
    parsed = parse_symbol(str(text), today)
    return (None, parsed) if isinstance(parsed, Denial) else (parsed, None)


def _level(payload: Mapping[str, Any], name: str) -> Level | None:
    value = payload.get(name)
    if not isinstance(value, Mapping):
        price = _number(payload, name)
        return None if price is None else Level(LevelKind.PRICE, price)
    return Level(LevelKind(value["kind"]), _decimal(name, value["value"]), bool(value.get("trailing")))


def _number(payload: Mapping[str, Any], name: str) -> Decimal | None:
    value = payload.get(name)
    return None if value is None else _decimal(name, value)


def _decimal(name: str, value: object) -> Decimal:
    try:
        return figure(name, Decimal(str(value)))
    except InvalidOperation:
        raise Denied(
            Denial("NUMBER_WRONG", f"{name} is {str(value)[:40]}; it must be a number.", {"name": name})
        ) from None
