"""What is traded: the products that are known, their ticks, and how minis and micros of one family relate.

The facts stand in products.csv, which is a constant of the program as its code is; a broker's own facts win (see
`differs`).
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal, localcontext
from enum import StrEnum
from importlib.resources import files

from eventrouter.domain.denials import EXACT, Denial, Denied, figure, plain


class ContractSize(StrEnum):
    """Where a product stands in its family."""

    MINI = "mini"
    MICRO = "micro"
    OTHER = "other"


class Roll(StrEnum):
    """Who says which month a continuous symbol means."""

    CME_INDEX = "cme_index"
    BROKER = "broker"


class Rounding(StrEnum):
    """How a price comes onto a tick."""

    NEAREST = "nearest"
    DOWN = "down"
    UP = "up"


class StopRounding(StrEnum):
    """A stop that is off its tick: closer to the entry (less risk than asked for) or farther away (never hit early)."""

    TIGHTER = "tighter"
    WIDER = "wider"


@dataclass(frozen=True, slots=True)
class Product:
    """One product. `tick_value` and `point_value` are in `currency` for one contract; `months` are month letters.

    A product that is not in the catalogue (a share, a pair) is made from what its broker says of it.
    """

    root: str
    tick_size: Decimal
    tick_value: Decimal
    point_value: Decimal
    family: str
    currency: str = "USD"
    months: str = ""
    size: ContractSize = ContractSize.OTHER
    roll: Roll = Roll.BROKER
    exchange: str = ""
    tradingview: str = ""
    projectx: str = ""
    description: str = ""

    def ticks(self, price: Decimal, rounding: Rounding) -> Decimal:
        """How many whole ticks a price or a distance has. Raises Denied for a price that is no number."""
        with localcontext(EXACT):
            return (figure("price", price) / figure("tick_size", self.tick_size, above=0)).to_integral_value(
                _MODES[rounding]
            )

    def to_tick(self, price: Decimal, rounding: Rounding = Rounding.NEAREST) -> Decimal:
        """A price that the exchange takes. Halves go up."""
        with localcontext(EXACT):
            return self.ticks(price, rounding) * self.tick_size

    def stop_to_tick(self, price: Decimal, direction: str, rounding: StopRounding) -> Decimal:
        """The stop of a LONG or SHORT position on a tick, on the side that `rounding` asks for."""
        if direction not in ("LONG", "SHORT"):
            raise Denied(Denial("SIDE_WRONG", f"direction is {direction[:40]!r}; it must be LONG or SHORT."))
        up = (direction == "LONG") == (rounding == StopRounding.TIGHTER)
        return self.to_tick(price, Rounding.UP if up else Rounding.DOWN)


_MODES = {Rounding.NEAREST: ROUND_HALF_UP, Rounding.DOWN: ROUND_FLOOR, Rounding.UP: ROUND_CEILING}


def read_catalogue(lines: Iterable[str]) -> tuple[dict[str, Product], dict[str, str]]:
    """Products by root, and families by root, of a file in the format of products.csv."""
    products: dict[str, Product] = {}
    families: dict[str, str] = {}
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        families[row["root"]] = row["family"]
        if row["tick_size"]:
            products[row["root"]] = _product(row)
    return products, families


def _product(row: Mapping[str, str]) -> Product:
    return Product(
        root=row["root"],
        tick_size=Decimal(row["tick_size"]),
        tick_value=Decimal(row["tick_value"]),
        point_value=Decimal(row["point_value"]),
        family=row["family"],
        currency=row["currency"],
        months=row["months"],
        size=ContractSize(row["size"]),
        roll=Roll(row["roll"]),
        exchange=row["exchange"],
        tradingview=row["tradingview"],
        projectx=row["projectx"],
        description=row["description"],
    )


PRODUCTS, FAMILIES = read_catalogue((files("eventrouter.domain") / "products.csv").read_text("utf-8").splitlines())
_BY_PROJECTX = {product.projectx: product for product in PRODUCTS.values()}
_BY_SIZE = {(product.family, product.size): product for product in PRODUCTS.values()}


def family_of(root: str) -> str:
    """The family of a root: NQ for MNQ. A root that is not known is its own family."""
    return FAMILIES.get(root, root)


def by_projectx(symbol_id: str) -> Product | None:
    """The product behind ProjectX's symbolId: F.US.ENQ is NQ."""
    return _BY_PROJECTX.get(symbol_id.removeprefix("F.US."))


def projectx_symbol_id(product: Product) -> str:
    """ProjectX's symbolId: F.US.ENQ for NQ. Contract ids are never built: the broker is asked for them by name."""
    return f"F.US.{product.projectx}"


def sibling(product: Product, size: ContractSize) -> Product | None:
    """The mini or micro of a product's family; itself when it is of that size, None when the family has none here."""
    return product if product.size == size else _BY_SIZE.get((product.family, size))


def convert(quantity: Decimal, source: Product, target: Product) -> Decimal:
    """Contracts of `target` with the exposure of `quantity` of `source`, not rounded: 1 NQ is 10 MNQ, 25 MNQ are 2.5 NQ.

    Raises Denied (NOT_CONVERTIBLE) for products of two families or currencies.
    """
    if source.root == target.root:
        return figure("quantity", quantity, least=0)
    if source.family != target.family or source.currency != target.currency:
        message = (
            f"{source.root} and {target.root} are not of one family: contracts of one are no contracts of the other."
        )
        raise Denied(Denial("NOT_CONVERTIBLE", message, {"from": source.root, "to": target.root}))
    with localcontext(EXACT):
        exposure = figure("quantity", quantity, least=0) * figure("point_value", source.point_value, above=0)
        return exposure / figure("point_value", target.point_value, above=0)


def differs(product: Product, tick_size: object, tick_value: object) -> Denial | None:
    """CONTRACT_MISMATCH when the broker's tick is not the one that orders are sized with; None when they agree."""
    try:
        theirs = (figure("tick_size", tick_size, above=0), figure("tick_value", tick_value, above=0))
    except Denied as denied:
        return denied.denial
    if theirs == (product.tick_size, product.tick_value):
        return None
    ours = (plain(product.tick_size), plain(product.tick_value))
    message = (
        f"The broker says that a tick of {product.root} is {plain(theirs[0])} worth {plain(theirs[1])}; "
        f"here it is {ours[0]} worth {ours[1]}. Nothing is sent until they agree."
    )
    detail = {
        "root": product.root,
        "tick_size": ours[0],
        "tick_value": ours[1],
        "broker_tick_size": plain(theirs[0]),
        "broker_tick_value": plain(theirs[1]),
    }
    return Denial("CONTRACT_MISMATCH", message, detail)
