"""The price that a new stop loss or take profit of an open position means. Pure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from eventrouter.domain.denials import plain
from eventrouter.domain.instruments import PRODUCTS, Product, Rounding, StopRounding
from eventrouter.domain.signals import LevelKind
from eventrouter.domain.trade_facts import Held
from eventrouter.errors import EventrouterError


class LevelUnclear(EventrouterError):
    """Why a stop or target cannot be moved to a level. `code` is the denial's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def level_price(name: str, level: Any, held: Held | None) -> Decimal:
    """The price of a payload's `stop_loss` or `take_profit`, on a tick: a stop's on the side that risks less.

    A distance counts from what the position was opened at, as in an entry. Raises LevelUnclear (LEVEL_UNCLEAR).
    """
    product = None if held is None else PRODUCTS.get(held.root)
    if not isinstance(level, Mapping):
        price = Decimal(str(level))
    elif level.get("trailing"):
        raise LevelUnclear("LEVEL_UNCLEAR", f"{name} trails; a working order can be given a fixed price only.")
    elif level["kind"] == LevelKind.PRICE:
        price = Decimal(str(level["value"]))
    else:
        price = _from_entry(name, level, held, product)
    if held is None or product is None:
        return price
    if name == "stop_loss":
        return product.stop_to_tick(price, held.direction, StopRounding.TIGHTER)
    return product.to_tick(price, Rounding.NEAREST)


def _from_entry(name: str, level: Mapping[str, Any], held: Held | None, product: Product | None) -> Decimal:
    if held is None or held.average_price is None:
        raise _unclear(name, "what the position was opened at is not known")
    distance = _distance(name, level, held, held.average_price, product)
    above = (held.direction == "LONG") == (name == "take_profit")
    price = held.average_price + (distance if above else -distance)
    if price <= 0:
        raise _unclear(name, f"it would be at {plain(price)}")
    return price


def _distance(name: str, level: Mapping[str, Any], held: Held, average: Decimal, product: Product | None) -> Decimal:
    value, kind = Decimal(str(level["value"])), level["kind"]
    if kind == LevelKind.OFFSET:
        return value
    if kind == LevelKind.PERCENT:
        return average * value / 100
    if product is None:
        raise _unclear(name, f"the tick of {held.root} is not known")
    if kind == LevelKind.TICKS:
        return value * product.tick_size
    return value / (product.point_value * abs(held.quantity))


def _unclear(name: str, why: str) -> LevelUnclear:
    return LevelUnclear("LEVEL_UNCLEAR", f"{name} is a distance, and {why}: send a price.")
