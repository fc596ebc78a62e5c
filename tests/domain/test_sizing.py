"""Sizes worked out by hand. What a tick is worth: NQ 5, MNQ 0.50 (a quarter point), ES 12.50, MES 1.25, CL 10 (a cent)."""

from dataclasses import replace
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventrouter.domain.denials import Denial
from eventrouter.domain.instruments import PRODUCTS, Product
from eventrouter.domain.sizing import Contract, Size, SizeBy, SizingRequest, SizingRule, size

D = Decimal


def rule(by: str, value: str, contract: Contract = Contract.NAMED, step: str = "1") -> SizingRule:
    """A rule written short."""
    return SizingRule(SizeBy(by), D(value), contract, D(step))


def ask(root: str, direction: str = "LONG", **figures: str) -> SizingRequest:
    """A request written short; figures are decimal texts."""
    numbers: dict[str, Any] = {name: D(text) for name, text in figures.items()}
    return SizingRequest(PRODUCTS[root], direction, **numbers)


LONG_10 = {"entry": "20000", "stop": "19990"}  # 10 points = 40 ticks: 200 for an NQ, 20 for an MNQ

WORKED = [
    # fixed: so many of the contract that is traded
    (rule("fixed", "2"), ask("NQ"), "2 NQ"),
    (rule("fixed", "2.9"), ask("NQ"), "2 NQ"),  # down, never to the nearest
    (rule("fixed", "0.9"), ask("NQ"), "SIZE_ZERO"),
    (rule("fixed", "0"), ask("NQ"), "SIZE_ZERO"),
    (rule("fixed", "2"), ask("NQ", quantity="7"), "2 NQ"),  # what the alert asks for does not count
    (rule("fixed", "2"), ask("NQ", multiplier="1.5"), "3 NQ"),  # the route's multiplier: 2 x 1.5
    (rule("fixed", "2"), ask("NQ", multiplier="0"), "SIZE_ZERO"),
    (rule("fixed", "3", Contract.MICRO), ask("NQ"), "3 MNQ"),
    (rule("fixed", "3", Contract.MINI), ask("MNQ"), "3 NQ"),
    (rule("fixed", "2.57", step="0.1"), ask("NQ"), "2.5 NQ"),  # tenths can be traded
    (rule("fixed", "7", step="5"), ask("NQ"), "5 NQ"),  # only fives can
    (rule("fixed", "4", step="5"), ask("NQ"), "SIZE_ZERO"),
    # multiplier: times what the alert asks for, exchanged by exposure before it is rounded
    (rule("multiplier", "2"), ask("NQ", quantity="3"), "6 NQ"),
    (rule("multiplier", "0.5"), ask("NQ", quantity="3"), "1 NQ"),  # 1.5
    (rule("multiplier", "0.25"), ask("NQ", quantity="3"), "SIZE_ZERO"),  # 0.75
    (rule("multiplier", "1"), ask("NQ", quantity="3", multiplier="0.7"), "2 NQ"),  # 2.1
    (rule("multiplier", "1", Contract.MICRO), ask("NQ", quantity="1"), "10 MNQ"),
    (
        rule("multiplier", "0.5", Contract.MICRO),
        ask("NQ", quantity="1"),
        "5 MNQ",
    ),  # half a mini is five micros, not none
    (rule("multiplier", "0.33", Contract.MICRO), ask("NQ", quantity="1"), "3 MNQ"),  # 3.3
    (rule("multiplier", "1", Contract.MINI), ask("MNQ", quantity="25"), "2 NQ"),  # 2.5
    (rule("multiplier", "1", Contract.MINI), ask("MNQ", quantity="9"), "SIZE_ZERO"),  # 0.9
    (rule("multiplier", "1", Contract.MINI_OR_MICRO), ask("MNQ", quantity="9"), "9 MNQ"),
    (rule("multiplier", "1", Contract.MINI_OR_MICRO), ask("MNQ", quantity="25"), "2 NQ"),
    (rule("multiplier", "1", Contract.MICRO), ask("SI", quantity="1"), "5 SIL"),  # 5,000 ounces are five times 1,000
    (rule("multiplier", "1", Contract.MICRO), ask("6E", quantity="2"), "20 M6E"),
    (rule("multiplier", "1", Contract.MINI_OR_MICRO), ask("NKD", quantity="1"), "1 NKD"),  # there is only one size
    # risk amount: allowed loss / (ticks to the stop x tick value)
    (rule("risk_amount", "1000"), ask("NQ", **LONG_10), "5 NQ"),  # 1000 / 200
    (rule("risk_amount", "999.99"), ask("NQ", **LONG_10), "4 NQ"),
    (rule("risk_amount", "199.99"), ask("NQ", **LONG_10), "SIZE_ZERO"),
    (rule("risk_amount", "199.99", Contract.MINI_OR_MICRO), ask("NQ", **LONG_10), "9 MNQ"),  # 199.99 / 20
    (rule("risk_amount", "500", Contract.MICRO), ask("NQ", **LONG_10), "25 MNQ"),
    (rule("risk_amount", "500"), ask("MNQ", **LONG_10), "25 MNQ"),
    (rule("risk_amount", "500", Contract.MINI), ask("MNQ", **LONG_10), "2 NQ"),
    (rule("risk_amount", "1000"), ask("NQ", "SHORT", entry="20000", stop="20010"), "5 NQ"),
    (rule("risk_amount", "1000"), ask("NQ", entry="20000", stop="19989.90"), "4 NQ"),  # 40.4 count as 41 ticks: 205
    (rule("risk_amount", "1000"), ask("NQ", entry="20000", stop="19999.75"), "200 NQ"),  # one tick: 5
    (rule("risk_amount", "2000"), ask("ES", entry="6800", stop="6788.25"), "3 ES"),  # 47 ticks x 12.50 = 587.50
    (rule("risk_amount", "2000"), ask("MES", entry="6800", stop="6788.25"), "34 MES"),  # 58.75
    (rule("risk_amount", "1000"), ask("CL", entry="70", stop="69.55"), "2 CL"),  # 45 ticks x 10 = 450
    (rule("risk_amount", "1000"), ask("MCL", entry="70", stop="69.55"), "22 MCL"),  # 45
    (rule("risk_amount", "1000"), ask("ZN", entry="110.50", stop="110.25"), "4 ZN"),  # 16 ticks x 15.625 = 250
    (rule("risk_amount", "500"), ask("6E", entry="1.08500", stop="1.08335"), "2 6E"),  # 33 ticks x 6.25 = 206.25
    (rule("risk_amount", "500"), ask("M6E", entry="1.08500", stop="1.08335"), "23 M6E"),  # 16.5 → 17 x 1.25 = 21.25
    (rule("risk_amount", "1000"), ask("NQ", **LONG_10, multiplier="0.5"), "2 NQ"),  # 500 / 200
    (rule("risk_amount", "0"), ask("NQ", **LONG_10), "SIZE_ZERO"),
    # risk percent of equity
    (rule("risk_percent", "1"), ask("NQ", **LONG_10, equity="50000"), "2 NQ"),  # 500 / 200
    (rule("risk_percent", "0.25"), ask("NQ", **LONG_10, equity="50000"), "SIZE_ZERO"),  # 125
    (rule("risk_percent", "0.25", Contract.MICRO), ask("NQ", **LONG_10, equity="50000"), "6 MNQ"),  # 125 / 20
    (rule("risk_percent", "0.5"), ask("NQ", **LONG_10, equity="149999.99"), "3 NQ"),  # 749.99995
    (rule("risk_percent", "0.5"), ask("NQ", **LONG_10, equity="160000"), "4 NQ"),
    (rule("risk_percent", "100"), ask("NQ", **LONG_10, equity="1000"), "5 NQ"),
    # percent of what is held
    (rule("position_percent", "50"), ask("NQ", held="3"), "1 NQ"),  # 1.5
    (rule("position_percent", "100"), ask("NQ", held="3"), "3 NQ"),
    (rule("position_percent", "50"), ask("NQ", held="1"), "SIZE_ZERO"),
    (rule("position_percent", "33.3333"), ask("NQ", held="3"), "SIZE_ZERO"),  # 0.999999
    (rule("position_percent", "33.3334"), ask("NQ", held="3"), "1 NQ"),
    (rule("position_percent", "50"), ask("NQ", held="0"), "SIZE_ZERO"),
    (rule("position_percent", "50"), ask("NQ", held="4", multiplier="3"), "2 NQ"),  # the route has no say in it
    (rule("position_percent", "50", Contract.MICRO), ask("NQ", held="4"), "2 NQ"),  # what is held is what is closed
    # cash and percent of equity: price x point value each
    (rule("cash", "100000"), ask("MES", entry="6800"), "2 MES"),  # 34000 each: 2.94
    (rule("cash", "39999.99"), ask("MNQ", entry="20000"), "SIZE_ZERO"),  # 40000 each
    (rule("cash", "40000"), ask("MNQ", entry="20000"), "1 MNQ"),
    (rule("cash", "100000", Contract.MICRO), ask("ES", entry="6800"), "2 MES"),
    (rule("cash", "100000", step="0.01"), ask("MES", entry="6800"), "2.94 MES"),  # 2.9411
    (rule("equity_percent", "100"), ask("MNQ", entry="20000", equity="50000"), "1 MNQ"),
    (rule("equity_percent", "200"), ask("MNQ", entry="20000", equity="50000"), "2 MNQ"),  # 100000 / 40000
    (rule("equity_percent", "10"), ask("MNQ", entry="20000", equity="50000"), "SIZE_ZERO"),
]


def shown(found: Size | Denial) -> str:
    """ "2 NQ", or a denial's code."""
    return found.code if isinstance(found, Denial) else f"{found.quantity.normalize():f} {found.product.root}"


@pytest.mark.parametrize(("sizing", "request_", "expected"), WORKED)
def test_worked_sizes(sizing: SizingRule, request_: SizingRequest, expected: str) -> None:
    """Each row's arithmetic stands beside it."""
    assert shown(size(sizing, request_)) == expected


def test_there_are_enough_examples() -> None:
    """Forty at least, and every way of sizing among them."""
    assert len(WORKED) >= 40
    assert {row[0].by for row in WORKED} == set(SizeBy)


@pytest.mark.parametrize(
    ("sizing", "request_", "code"),
    [
        (rule("risk_amount", "100"), ask("NQ", entry="20000"), "STOP_MISSING"),
        (rule("risk_amount", "100"), ask("NQ", stop="20000"), "NUMBER_MISSING"),
        (rule("risk_amount", "100"), ask("NQ", entry="20000", stop="20000"), "STOP_ON_WRONG_SIDE"),
        (rule("risk_amount", "100"), ask("NQ", entry="20000", stop="20010"), "STOP_ON_WRONG_SIDE"),
        (rule("risk_amount", "100"), ask("NQ", "SHORT", entry="20000", stop="19990"), "STOP_ON_WRONG_SIDE"),
        (rule("risk_amount", "100"), ask("NQ", "FLAT", **LONG_10), "SIDE_WRONG"),
        (rule("risk_percent", "1"), ask("NQ", **LONG_10), "NUMBER_MISSING"),
        (rule("risk_percent", "100.01"), ask("NQ", **LONG_10, equity="1000"), "NUMBER_WRONG"),
        (rule("risk_percent", "1"), ask("NQ", **LONG_10, equity="0"), "NUMBER_WRONG"),
        (rule("position_percent", "101"), ask("NQ", held="3"), "NUMBER_WRONG"),
        (rule("position_percent", "50"), ask("NQ"), "NUMBER_MISSING"),
        (rule("multiplier", "1"), ask("NQ"), "NUMBER_MISSING"),
        (rule("cash", "1000"), ask("NQ"), "NUMBER_MISSING"),
        (rule("cash", "1000"), ask("NQ", entry="0"), "NUMBER_WRONG"),
        (rule("equity_percent", "10"), ask("NQ", entry="20000"), "NUMBER_MISSING"),
        (rule("fixed", "1", step="0"), ask("NQ"), "NUMBER_WRONG"),
        (rule("fixed", "1", Contract.MICRO), ask("NKD"), "NOT_CONVERTIBLE"),
        (rule("fixed", "1", Contract.MINI), ask("MBT"), "NOT_CONVERTIBLE"),
        (rule("risk_amount", "100"), replace(ask("NQ", **LONG_10), currency="EUR"), "CURRENCY_MISMATCH"),
        (rule("cash", "100"), replace(ask("NQ", **LONG_10), currency="EUR"), "CURRENCY_MISMATCH"),
    ],
)
def test_what_cannot_be_sized_is_denied(sizing: SizingRule, request_: SizingRequest, code: str) -> None:
    """With a code and a sentence; nothing is assumed for what is missing."""
    found = size(sizing, request_)
    assert isinstance(found, Denial)
    assert found.code == code
    assert found.message.endswith(".")


USED = {
    SizeBy.FIXED: ("multiplier",),
    SizeBy.MULTIPLIER: ("quantity", "multiplier"),
    SizeBy.RISK_AMOUNT: ("entry", "stop", "multiplier"),
    SizeBy.RISK_PERCENT: ("entry", "stop", "equity", "multiplier"),
    SizeBy.POSITION_PERCENT: ("held",),
    SizeBy.CASH: ("entry", "multiplier"),
    SizeBy.EQUITY_PERCENT: ("entry", "equity", "multiplier"),
}
EVERYTHING = ask("NQ", quantity="3", entry="20000", stop="19990", equity="900000", held="4")
BAD: list[Any] = [D("NaN"), D("sNaN"), D("-NaN"), D("Infinity"), D("-Infinity"), D(-1), D("-0.0001")]
BAD += [D("1E+16"), D("1E-16"), D("1." + "1" * 30), 2.0, float("nan"), 2, "2", True]


@pytest.mark.parametrize("bad", BAD, ids=repr)
@pytest.mark.parametrize("by", SizeBy)
def test_what_is_no_number_never_passes(by: SizeBy, bad: Any) -> None:
    """NaN, infinity, negative, absurdly large or small, floats and texts, in every figure that a rule uses."""
    good = SizingRule(by, D(500_000 if by in (SizeBy.RISK_AMOUNT, SizeBy.CASH) else 50))
    assert isinstance(size(good, EVERYTHING), Size)
    for name in USED[by]:
        found = size(good, replace(EVERYTHING, **{name: bad}))
        assert isinstance(found, Denial), name
        assert found.code == "NUMBER_WRONG", name
    for changed in (replace(good, value=bad), replace(good, step=bad)):
        found = size(changed, EVERYTHING)
        assert isinstance(found, Denial)
        assert found.code == "NUMBER_WRONG"


@pytest.mark.parametrize(
    ("sizing", "request_", "words"),
    [
        (
            rule("risk_percent", "1"),
            ask("NQ", **LONG_10, equity="50000"),
            "1 % of 50000 = 500 at risk / (10 points = 40 ticks x 5 = 200 a contract) = 2.5 NQ, rounded down to 2.",
        ),
        (
            rule("multiplier", "0.33", Contract.MICRO),
            ask("NQ", quantity="1", multiplier="2"),
            "1 NQ asked for x 0.33 x 2 x 10 MNQ each = 6.6 MNQ, rounded down to 6.",
        ),
        (
            rule("cash", "100000"),
            ask("MES", entry="6800"),
            "100000 of cash / (6800 x 5 = 34000 a contract) = 2.9411 MES, rounded down to 2.",
        ),
        (rule("position_percent", "50"), ask("NQ", held="3"), "50 % of 3 held = 1.5 NQ, rounded down to 1."),
    ],
)
def test_the_calculation_is_a_sentence(sizing: SizingRule, request_: SizingRequest, words: str) -> None:
    """Which a trader can check with a pencil."""
    found = size(sizing, request_)
    assert isinstance(found, Size)
    assert found.calculation == words


def test_the_calculation_is_figures_too() -> None:
    """Texts, so that a log row's JSON keeps every digit; and the ticks to put into a bracket."""
    found = size(rule("risk_amount", "1000"), ask("NQ", entry="20000", stop="19989.90"))
    assert isinstance(found, Size)
    assert found.stop_ticks == 41
    assert dict(found.detail) == {
        "by": "risk_amount",
        "value": "1000",
        "contract": "NQ",
        "multiplier": "1",
        "entry": "20000",
        "stop": "19989.9",
        "stop_ticks": "41",
        "tick_value": "5",
        "risk_per_contract": "205",
        "risk_allowed": "1000",
        "exact": "4.878048",
        "step": "1",
        "quantity": "4",
    }


def test_a_denial_has_the_numbers() -> None:
    """Why there was nothing to trade, with what one contract would have risked."""
    found = size(rule("risk_amount", "150"), ask("NQ", **LONG_10))
    assert isinstance(found, Denial)
    assert (found.detail["risk_per_contract"], found.detail["exact"], found.detail["quantity"]) == ("200", "0.75", "0")
    assert "150 at risk / (10 points = 40 ticks x 5 = 200 a contract) = 0.75 NQ" in found.message


def test_a_caller_cannot_change_the_arithmetic() -> None:
    """With two digits of precision 1580 would be 1600, and 1600 / 200 a whole contract more."""
    with localcontext(prec=2):
        assert shown(size(rule("risk_percent", "1"), ask("NQ", **LONG_10, equity="158000"))) == "7 NQ"


def test_a_share_is_sized_by_what_its_broker_says() -> None:
    """Not in the catalogue: a cent a tick, a dollar a point; 1000 at risk over 2.50 is 400 shares."""
    share = Product("AAPL", D("0.01"), D("0.01"), D(1), "AAPL")
    request = SizingRequest(share, "LONG", entry=D("190.00"), stop=D("187.50"))
    assert shown(size(rule("risk_amount", "1000"), request)) == "400 AAPL"


money = st.decimals("0", "1000000", places=2)
prices = st.decimals("0.01", "50000", places=5)
products = st.sampled_from(list(PRODUCTS.values()))
contracts = st.sampled_from(Contract)
steps = st.sampled_from([D(1), D("0.1"), D(5)])


@given(products, prices, prices, money, contracts, steps)
def test_the_risk_is_never_more_than_allowed(
    product: Product, entry: Decimal, stop: Decimal, allowed: Decimal, contract: Contract, step: Decimal
) -> None:
    """And one step more would be too much, so nothing is given away; nothing is traded that is not a whole step."""
    direction = "LONG" if stop < entry else "SHORT"
    request = SizingRequest(product, direction, entry=entry, stop=stop)
    found = size(SizingRule(SizeBy.RISK_AMOUNT, allowed, contract, step), request)
    if isinstance(found, Denial):
        assert found.code in ("SIZE_ZERO", "STOP_ON_WRONG_SIDE", "NOT_CONVERTIBLE")
        return
    with localcontext(prec=100):
        each = abs(entry - stop) * found.product.point_value
        assert found.stop_ticks is not None
        counted = found.stop_ticks * found.product.tick_value
        assert found.quantity * each <= found.quantity * counted <= allowed < (found.quantity + step) * counted
        assert counted - each < found.product.tick_value
        assert found.quantity > 0
        assert found.quantity % step == 0


def quantity(found: Size | Denial) -> Decimal:
    """Contracts; none where there was too little for one."""
    if isinstance(found, Size):
        return found.quantity
    assert found.code == "SIZE_ZERO"
    return D(0)


@given(products, st.decimals("100", "50000", places=2), money, money, st.integers(1, 99), st.integers(1, 99))
def test_more_risk_or_a_nearer_stop_is_never_a_smaller_size(
    product: Product, entry: Decimal, one: Decimal, two: Decimal, near: int, far: int
) -> None:
    """The two ways in which a size grows."""
    low, high = sorted((one, two))
    near, far = sorted((near, far))
    wide = replace(ask("NQ"), product=product, entry=entry, stop=entry - far)
    close = replace(wide, stop=entry - near)
    by_risk = [quantity(size(SizingRule(SizeBy.RISK_AMOUNT, value), wide)) for value in (low, high)]
    by_stop = [quantity(size(SizingRule(SizeBy.RISK_AMOUNT, low), request)) for request in (wide, close)]
    assert by_risk == sorted(by_risk)
    assert by_stop == sorted(by_stop)


@given(money, st.decimals("0", "100", places=3), st.sampled_from(SizeBy))
def test_more_of_anything_is_never_a_smaller_size(equity: Decimal, value: Decimal, by: SizeBy) -> None:
    """For every way of sizing: a higher value, equity, quantity or holding."""
    less = replace(EVERYTHING, equity=equity + 1, quantity=D(3), held=D(3))
    more = replace(EVERYTHING, equity=equity + 1000, quantity=D(4), held=D(4))
    higher = min(value + 1, D(100))
    assert quantity(size(SizingRule(by, value), less)) <= quantity(size(SizingRule(by, value), more))
    assert quantity(size(SizingRule(by, value), less)) <= quantity(size(SizingRule(by, higher), less))


@given(money, st.decimals("0", "100", places=3))
def test_a_part_of_a_position_is_never_more_than_it(held: Decimal, value: Decimal) -> None:
    """Whatever the percentage."""
    found = size(SizingRule(SizeBy.POSITION_PERCENT, value), replace(ask("NQ"), held=held))
    assert quantity(found) <= held


@given(
    st.sampled_from(SizeBy),
    st.decimals(allow_nan=True, allow_infinity=True),
    st.lists(st.decimals(allow_nan=True, allow_infinity=True) | st.none(), min_size=5, max_size=5),
    st.decimals(allow_nan=True, allow_infinity=True),
)
def test_no_figures_break_it(by: SizeBy, value: Decimal, figures: list[Decimal | None], step: Decimal) -> None:
    """Any decimals at all: a size above zero and finite, or a denial."""
    names = ("quantity", "entry", "stop", "equity", "held")
    request = replace(ask("NQ"), **dict(zip(names, figures, strict=True)))  # type: ignore[arg-type]
    found = size(SizingRule(by, value, step=step), request)
    if isinstance(found, Size):
        assert found.quantity.is_finite()
        assert found.quantity > 0
