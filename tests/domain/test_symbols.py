"""Every way in which alerts write a symbol leads to the same root, family and month; what cannot be one has a code."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventrouter.domain.denials import Denial
from eventrouter.domain.instruments import PRODUCTS
from eventrouter.domain.symbols import MONTH_LETTERS, ContractMonth, Symbol, parse_symbol, product_of

TODAY = date(2026, 11, 22)
DECEMBER = ContractMonth(2026, 12)


@pytest.mark.parametrize(
    ("text", "root", "family", "month", "continuous"),
    [
        ("CME_MINI:MNQ1!", "MNQ", "NQ", None, 1),
        ("MNQ1!", "MNQ", "NQ", None, 1),
        ("MNQ2!", "MNQ", "NQ", None, 2),
        ("NQ1!", "NQ", "NQ", None, 1),
        ("6E1!", "6E", "6E", None, 1),
        ("CME:M6E1!", "M6E", "6E", None, 1),
        ("M2K1!", "M2K", "RTY", None, 1),
        ("MNQZ2026", "MNQ", "NQ", DECEMBER, None),
        ("MNQZ26", "MNQ", "NQ", DECEMBER, None),
        ("MNQZ6", "MNQ", "NQ", DECEMBER, None),
        ("CME_MINI:MNQZ2026", "MNQ", "NQ", DECEMBER, None),
        ("  mnqz6 ", "MNQ", "NQ", DECEMBER, None),
        ("MES 12-26", "MES", "ES", DECEMBER, None),
        ("M2K 12-26", "M2K", "RTY", DECEMBER, None),
        ("6EZ6", "6E", "6E", DECEMBER, None),
        ("M6EZ6", "M6E", "6E", DECEMBER, None),
        ("GCJ2025", "GC", "GC", ContractMonth(2025, 4), None),
        ("RTYH7", "RTY", "RTY", ContractMonth(2027, 3), None),
        ("ESZ5", "ES", "ES", ContractMonth(2025, 12), None),  # last year's, not that of 2035
        ("ESZ2", "ES", "ES", ContractMonth(2022, 12), None),
        ("ESH1", "ES", "ES", ContractMonth(2031, 3), None),
        ("BTCZ6", "BTC", "BTC", DECEMBER, None),  # not in the catalogue; read all the same
        ("MNQ", "MNQ", "NQ", None, None),
        ("AAPL", "AAPL", "AAPL", None, None),
        ("NASDAQ:AAPL", "AAPL", "AAPL", None, None),
        ("BTCUSDT", "BTCUSDT", "BTCUSDT", None, None),
        ("ETH-PERP", "ETHPERP", "ETHPERP", None, None),
        ("SPY 240510C68", "SPY 240510C68", "SPY 240510C68", None, None),
    ],
)
def test_a_symbol_is_taken_apart(
    text: str, root: str, family: str, month: ContractMonth | None, continuous: int | None
) -> None:
    """Root, family, month or number of the continuous contract; and the lane's idea of the product is the family."""
    found = parse_symbol(text, TODAY)
    assert isinstance(found, Symbol)
    assert (found.root, found.family, found.month, found.continuous) == (root, family, month, continuous)
    assert product_of(text) == family
    assert found.product is PRODUCTS.get(root)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "SYMBOL_WRONG"),
        ("   ", "SYMBOL_WRONG"),
        ("CME_MINI:", "SYMBOL_WRONG"),
        ("A" * 65, "SYMBOL_WRONG"),
        ("\uff2d\uff2e\uff311!", "SYMBOL_WRONG"),  # full-width letters
        ("MNQ\x00", "SYMBOL_WRONG"),
        ("MNQ1!\n", "SYMBOL_WRONG"),
        ("MNQ0!", "SYMBOL_WRONG"),
        ("MES 13-26", "SYMBOL_WRONG"),
        ("MES 00-26", "SYMBOL_WRONG"),
        ("MNQ1! 12-26", "SYMBOL_WRONG"),
        ("MNQF6", "MONTH_NOT_LISTED"),  # January; quarterly only
        ("MNQ 11-26", "MONTH_NOT_LISTED"),
        ("GCF2027", "MONTH_NOT_LISTED"),
        ("PLZ6", "MONTH_NOT_LISTED"),
    ],
)
def test_what_cannot_be_traded_is_denied(text: str, code: str) -> None:
    """With the text in the message, so that the trader sees what arrived."""
    found = parse_symbol(text, TODAY)
    assert isinstance(found, Denial)
    assert found.code == code


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("", None),
        ("   ", None),
        ("CME:", None),
        ("MNQZ202", "MNQZ202"),  # no year has three digits
        ("MNQZ1926", "MNQZ1926"),
        ("D1!", "D"),
        ("DZ6", "DZ6"),  # roots with a month have two letters or three
        ("ABCDEF1!", "ABCDEF1!"),
        ("MNQ1! 12-26", "NQ"),  # both endings go, in this order
        ("ES 99-99", "ES"),
        ("A:B:MNQ1!", "B:MNQ1!"),
        ("MNQ1!\n", "MNQ1!\n"),
        ("\tMNQ1!", "\tMNQ1!"),  # spaces are cut off, tabs are not
        ("X" * 70, "X" * 64),
    ],
)
def test_the_lane_has_a_product_for_every_text(text: str, family: str | None) -> None:
    """Also for texts that are refused as symbols: SQL can enqueue anything. Worked out by hand from product_of.sql."""
    assert product_of(text) == family


@pytest.mark.parametrize(
    ("digit", "year"), [("2", 2022), ("5", 2025), ("6", 2026), ("7", 2027), ("0", 2030), ("1", 2031)]
)
def test_one_digit_is_the_nearest_year(digit: str, year: int) -> None:
    """From four years back to five ahead of November 2026."""
    found = parse_symbol(f"MNQZ{digit}", TODAY)
    assert isinstance(found, Symbol)
    assert found.month == ContractMonth(year, 12)


@given(st.sampled_from(list(PRODUCTS.values())), st.integers(2022, 2031), st.data())
def test_every_name_of_a_contract_leads_back_to_it(product: object, year: int, data: st.DataObject) -> None:
    """TradingView's, Tradovate's and NinjaTrader's."""
    found = next(known for known in PRODUCTS.values() if known is product)
    letter = data.draw(st.sampled_from(found.months))
    month = ContractMonth(year, MONTH_LETTERS.index(letter) + 1)
    names = (month.short_name(found.root), month.tradingview_name(found.root), month.ninjatrader_name(found.root))
    for name in names:
        symbol = parse_symbol(f"{found.tradingview}:{name}", TODAY)
        assert isinstance(symbol, Symbol), name
        assert (symbol.root, symbol.month, symbol.product) == (found.root, month, found)


@given(st.text(max_size=80))
def test_no_text_breaks_the_parser(text: str) -> None:
    """A symbol or a denial; and a symbol's family is its lane's product."""
    found = parse_symbol(text, TODAY)
    lane = product_of(text)
    if isinstance(found, Symbol):
        assert lane == found.family
    else:
        assert found.code in ("SYMBOL_WRONG", "MONTH_NOT_LISTED")


@given(st.text(alphabet="MNQESZ16!: -20HFG", max_size=14))
def test_symbol_like_text_has_the_same_product_in_the_lane(text: str) -> None:
    """Letters of which real symbols are made, in every order."""
    found = parse_symbol(text, TODAY)
    if isinstance(found, Symbol):
        assert product_of(text) == found.family


def test_months_are_ordered_by_time() -> None:
    """March 2027 comes after December 2026."""
    assert ContractMonth(2027, 3) > DECEMBER > ContractMonth(2026, 9)
    assert [ContractMonth(2026, number).letter for number in range(1, 13)] == list("FGHJKMNQUVXZ")
