"""The catalogue has the facts that it was made from; prices come onto ticks; minis and micros are exchanged by exposure."""

import csv
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventrouter.domain.denials import Denied
from eventrouter.domain.instruments import (
    FAMILIES,
    PRODUCTS,
    ContractSize,
    Product,
    Rounding,
    StopRounding,
    by_projectx,
    convert,
    differs,
    family_of,
    projectx_symbol_id,
    sibling,
)
from eventrouter.domain.symbols import ContractMonth

D = Decimal
CONTRACTS = Path(__file__).parents[3] / "shared" / "contracts.csv"


def test_the_catalogue_equals_the_facts_it_was_made_from() -> None:
    """Every row of contracts.csv, figure by figure and name by name, and no further product with figures."""
    if not CONTRACTS.is_file():
        pytest.skip("the table of facts is not beside the repository")
    with CONTRACTS.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["root"] for row in rows] == list(PRODUCTS)
    for row in rows:
        product = PRODUCTS[row["root"]]
        assert (product.tick_size, product.tick_value) == (D(row["tick_size"]), D(row["tick_value"]))
        assert (product.point_value, product.months) == (D(row["point_value"]), row["months"])
        assert (product.exchange, product.currency) == (row["exchange"], row["currency"])
        assert f"{product.tradingview}:{product.root}1!" == row["tradingview_continuous"]
        assert projectx_symbol_id(product) == row["projectx_symbolId"]
        month = "FGHJKMNQUVXZ".index(row["tradovate_example"][-2]) + 1
        assert ContractMonth(2026, month).short_name(product.root) == row["tradovate_example"]


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=list(PRODUCTS))
def test_a_products_figures_agree_with_each_other(product: Product) -> None:
    """A tick's value is its size times the point's value; months are letters; the broker's name leads back to it."""
    assert product.tick_size * product.point_value == product.tick_value
    assert product.months
    assert set(product.months) <= set("FGHJKMNQUVXZ")
    assert by_projectx(projectx_symbol_id(product)) is product
    assert family_of(product.root) == product.family


@pytest.mark.parametrize(
    ("micro", "mini", "ratio"),
    [
        ("MES", "ES", 10),
        ("MNQ", "NQ", 10),
        ("MYM", "YM", 10),
        ("M2K", "RTY", 10),
        ("MCL", "CL", 10),
        ("MGC", "GC", 10),
        ("SIL", "SI", 5),  # 1,000 ounces of 5,000
        ("M6E", "6E", 10),
    ],
)
def test_one_mini_is_so_many_micros(micro: str, mini: str, ratio: int) -> None:
    """In both directions, and each is the other's sibling."""
    small, large = PRODUCTS[micro], PRODUCTS[mini]
    assert convert(D(1), large, small) == ratio
    assert convert(D(ratio), small, large) == 1
    assert convert(D(25), small, large) == D(25) / ratio
    assert sibling(large, ContractSize.MICRO) is small
    assert sibling(small, ContractSize.MINI) is large
    assert sibling(small, ContractSize.MICRO) is small


def test_what_has_no_sibling_has_none() -> None:
    """The Nikkei has no micro here, and Micro Bitcoin no full contract."""
    assert sibling(PRODUCTS["NKD"], ContractSize.MICRO) is None
    assert sibling(PRODUCTS["MBT"], ContractSize.MINI) is None


@pytest.mark.parametrize(("source", "target"), [("NQ", "ES"), ("MNQ", "MES"), ("CL", "GC")])
def test_contracts_of_two_families_are_not_exchanged(source: str, target: str) -> None:
    """A micro Nasdaq is no part of an S&P contract."""
    with pytest.raises(Denied, match="NOT_CONVERTIBLE"):
        convert(D(1), PRODUCTS[source], PRODUCTS[target])


@pytest.mark.parametrize("quantity", ["NaN", "sNaN", "Infinity", "-1"])
def test_only_a_quantity_is_converted(quantity: str) -> None:
    """Also where there is nothing to convert."""
    for target in ("NQ", "MNQ"):
        with pytest.raises(Denied, match="NUMBER_WRONG"):
            convert(D(quantity), PRODUCTS["NQ"], PRODUCTS[target])


@pytest.mark.parametrize(
    ("root", "price", "nearest", "down", "up"),
    [
        ("NQ", "20100.25", "20100.25", "20100.25", "20100.25"),  # on its tick already: nothing moves
        ("NQ", "20100.30", "20100.25", "20100.25", "20100.50"),
        ("NQ", "20100.375", "20100.50", "20100.25", "20100.50"),  # exactly between two ticks: up
        ("NQ", "20100.499999", "20100.50", "20100.25", "20100.50"),
        ("YM", "44123.4", "44123", "44123", "44124"),
        ("CL", "70.005", "70.01", "70.00", "70.01"),
        ("CL", "-37.635", "-37.64", "-37.64", "-37.63"),  # below zero, as in April 2020: away from zero, as the half is
        ("ZN", "110.51", "110.515625", "110.50", "110.515625"),
        ("ZF", "107.0078", "107.0078125", "107.00", "107.0078125"),
        ("6J", "0.0067001", "0.0067", "0.0067", "0.0067005"),
        ("NKD", "38502.5", "38505", "38500", "38505"),
    ],
)
def test_prices_come_onto_ticks(root: str, price: str, nearest: str, down: str, up: str) -> None:
    """Nearest, at most, and at least what was asked for."""
    product = PRODUCTS[root]
    found = [product.to_tick(D(price), mode) for mode in (Rounding.NEAREST, Rounding.DOWN, Rounding.UP)]
    assert found == [D(nearest), D(down), D(up)]


@pytest.mark.parametrize(
    ("direction", "rounding", "stop"),
    [
        ("LONG", StopRounding.TIGHTER, "20090.25"),  # below the entry: tighter is up
        ("LONG", StopRounding.WIDER, "20090.00"),
        ("SHORT", StopRounding.TIGHTER, "20090.00"),  # above the entry: tighter is down
        ("SHORT", StopRounding.WIDER, "20090.25"),
    ],
)
def test_a_stop_is_rounded_to_the_side_that_is_asked_for(direction: str, rounding: StopRounding, stop: str) -> None:
    """20090.10 lies between two ticks of a quarter point."""
    assert PRODUCTS["MNQ"].stop_to_tick(D("20090.10"), direction, rounding) == D(stop)


def test_a_stop_without_a_side_is_not_rounded() -> None:
    """Which way is tighter cannot be known."""
    with pytest.raises(Denied, match="SIDE_WRONG"):
        PRODUCTS["NQ"].stop_to_tick(D(1), "FLAT", StopRounding.WIDER)


@pytest.mark.parametrize("price", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_what_is_no_price_has_no_tick(price: str) -> None:
    """The words that Decimal takes for numbers."""
    with pytest.raises(Denied, match="NUMBER_WRONG"):
        PRODUCTS["NQ"].to_tick(D(price))


@given(st.sampled_from(list(PRODUCTS.values())), st.decimals("0.0001", "100000", places=7))
def test_rounding_moves_a_price_by_less_than_a_tick(product: Product, price: Decimal) -> None:
    """Down is never above, up never below, and the nearest is one of the two."""
    down, up = product.to_tick(price, Rounding.DOWN), product.to_tick(price, Rounding.UP)
    assert price - product.tick_size < down <= price <= up < price + product.tick_size
    assert product.to_tick(price) in (down, up)
    assert down % product.tick_size == up % product.tick_size == 0


@pytest.mark.parametrize(
    ("size", "value", "code"),
    [
        (D("0.25"), D("5.00"), None),
        (D("0.2500"), D(5), None),  # the same numbers written in another way
        (D("0.25"), D("0.50"), "CONTRACT_MISMATCH"),  # the broker found the micro
        (D("0.5"), D("5.00"), "CONTRACT_MISMATCH"),
        (None, D("5.00"), "NUMBER_MISSING"),
        (D("0.25"), D("NaN"), "NUMBER_WRONG"),
        (D(0), D("5.00"), "NUMBER_WRONG"),
        (0.25, 5.0, "NUMBER_WRONG"),  # floats are not what the broker wrote
    ],
)
def test_the_brokers_tick_must_be_ours(size: object, value: object, code: str | None) -> None:
    """A different or unknown tick is a denial before the first order."""
    found = differs(PRODUCTS["NQ"], size, value)
    assert (found.code if found else None) == code
    if code == "CONTRACT_MISMATCH":
        assert found is not None
        assert found.detail["broker_tick_value"] in found.message


def test_families_join_roots_that_have_no_figures_here() -> None:
    """E-mini crude oil is one position with crude oil, although its tick is not known."""
    assert (family_of("QM"), "QM" in PRODUCTS) == ("CL", False)
    assert family_of("AAPL") == "AAPL"
    assert set(PRODUCTS) <= set(FAMILIES)
