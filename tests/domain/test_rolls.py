"""A continuous symbol means one contract on every trading day, by a rule that the log can name."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventrouter.domain.denials import Denial
from eventrouter.domain.instruments import PRODUCTS
from eventrouter.domain.rolls import (
    Resolution,
    RollPolicy,
    index_expiry,
    index_front,
    index_roll,
    listed_months,
    resolve,
)
from eventrouter.domain.symbols import ContractMonth, Symbol, parse_symbol

INDEX = ["ES", "MES", "NQ", "MNQ", "RTY", "M2K", "YM", "MYM", "EMD"]


def symbol(text: str) -> Symbol:
    """A symbol that can be read."""
    found = parse_symbol(text, date(2026, 6, 1))
    assert isinstance(found, Symbol)
    return found


@pytest.mark.parametrize(
    ("year", "month", "expiry", "roll"),
    [
        (2026, 3, date(2026, 3, 20), date(2026, 3, 16)),  # March 1st is a Sunday: Fridays 6, 13, 20
        (2026, 6, date(2026, 6, 18), date(2026, 6, 15)),  # the third Friday, the 19th, is Juneteenth: Thursday
        (2026, 9, date(2026, 9, 18), date(2026, 9, 14)),  # September 1st is a Tuesday: Fridays 4, 11, 18
        (2026, 12, date(2026, 12, 18), date(2026, 12, 14)),  # as in brokers.md
        (2027, 3, date(2027, 3, 19), date(2027, 3, 15)),
        (
            2027,
            6,
            date(2027, 6, 17),
            date(2027, 6, 14),
        ),  # Juneteenth, a Saturday, is kept on the third Friday, the 18th
        (2025, 6, date(2025, 6, 20), date(2025, 6, 16)),  # Juneteenth is the day before expiry and moves nothing
        (2020, 6, date(2020, 6, 19), date(2020, 6, 15)),  # not yet a holiday of the exchange
    ],
)
def test_index_contracts_expire_and_roll(year: int, month: int, expiry: date, roll: date) -> None:
    """Third Friday or the day before it; the Monday of that week."""
    contract = ContractMonth(year, month)
    assert (index_expiry(contract), index_roll(contract)) == (expiry, roll)


@pytest.mark.parametrize(
    ("day", "lead"),
    [
        (date(2026, 1, 2), "H6"),
        (date(2026, 3, 13), "H6"),  # the Friday before expiry week
        (date(2026, 3, 16), "M6"),  # Monday of expiry week
        (date(2026, 3, 20), "M6"),
        (date(2026, 6, 12), "M6"),
        (date(2026, 6, 15), "U6"),  # Monday of the week that Juneteenth shortens
        (date(2026, 6, 19), "U6"),
        (date(2026, 9, 13), "U6"),  # a Sunday by date; Sunday evening is the trading day of Monday
        (date(2026, 9, 14), "Z6"),
        (date(2026, 12, 11), "Z6"),
        (date(2026, 12, 14), "H7"),
        (date(2026, 12, 31), "H7"),
    ],
)
@pytest.mark.parametrize("root", INDEX)
def test_the_lead_month_changes_on_the_monday_of_expiry_week(root: str, day: date, lead: str) -> None:
    """All four quarter-ends of 2026, for every equity index product, mini or micro."""
    assert index_front(PRODUCTS[root], day).short_name("") == lead
    found = resolve(symbol(f"{root}1!"), PRODUCTS[root], day, RollPolicy.EXCHANGE, None)
    assert isinstance(found, Resolution)
    assert (found.month.short_name(""), found.rule) == (lead, "exchange")


@given(st.dates(date(2022, 6, 1), date(2040, 12, 31)))
def test_the_lead_month_never_goes_back_and_is_never_expired(day: date) -> None:
    """Tomorrow's is today's or a later one."""
    product = PRODUCTS["ES"]
    lead = index_front(product, day)
    assert day < index_expiry(lead)
    assert lead <= index_front(product, day + timedelta(days=1))


@pytest.mark.parametrize(
    ("text", "policy", "active", "name", "rule"),
    [
        ("MNQ1!", RollPolicy.EXCHANGE, None, "MNQZ6", "exchange"),
        ("MNQ", RollPolicy.EXCHANGE, None, "MNQZ6", "exchange"),  # a bare root means the front month
        ("MNQ2!", RollPolicy.EXCHANGE, None, "MNQH7", "exchange"),
        ("MNQ3!", RollPolicy.EXCHANGE, None, "MNQM7", "exchange"),
        ("MNQ1!", RollPolicy.EXCHANGE, "MNQH7", "MNQZ6", "exchange"),  # the broker is ahead: the stated policy counts
        ("MNQ1!", RollPolicy.BROKER, "MNQH7", "MNQH7", "broker"),
        ("MNQ2!", RollPolicy.BROKER, "MNQZ6", "MNQH7", "broker"),
        ("CL1!", RollPolicy.EXCHANGE, "CLF7", "CLF7", "broker"),  # no rule of the exchange that could be relied on
        ("CL2!", RollPolicy.BROKER, "CLZ6", "CLF7", "broker"),
        ("GC1!", RollPolicy.EXCHANGE, "GCG7", "GCG7", "broker"),
        ("ZS1!", RollPolicy.BROKER, "ZSX6", "ZSX6", "broker"),
        ("6E1!", RollPolicy.EXCHANGE, "6EZ6", "6EZ6", "broker"),
        ("NKD1!", RollPolicy.EXCHANGE, "NKDZ6", "NKDZ6", "broker"),  # an index, but not one with the index rule
        ("MNQZ2026", RollPolicy.BROKER, "MNQH7", "MNQZ6", "named"),  # what is named needs nobody
        ("MES 12-26", RollPolicy.EXCHANGE, None, "MESZ6", "named"),
        ("CLX6", RollPolicy.EXCHANGE, None, "CLX6", "named"),  # its month is not over; the broker knows its last day
    ],
)
def test_a_symbol_becomes_a_contract(text: str, policy: RollPolicy, active: str | None, name: str, rule: str) -> None:
    """On Friday 2026-11-20; the sentence for the log names the contract."""
    wanted = symbol(text)
    product = PRODUCTS[wanted.root]
    month = symbol(active).month if active else None
    found = resolve(wanted, product, date(2026, 11, 20), policy, month)
    assert isinstance(found, Resolution)
    assert (found.month.short_name(wanted.root), found.rule) == (name, rule)
    assert name in found.message
    assert active is None or rule == "named" or active in found.message


@pytest.mark.parametrize(
    ("text", "day", "policy", "active", "code"),
    [
        ("MNQ1!", date(2026, 11, 20), RollPolicy.BROKER, None, "CONTRACT_UNRESOLVED"),
        ("CL1!", date(2026, 11, 20), RollPolicy.EXCHANGE, None, "CONTRACT_UNRESOLVED"),
        ("6E1!", date(2026, 11, 20), RollPolicy.EXCHANGE, None, "CONTRACT_UNRESOLVED"),
        ("GC1!", date(2026, 11, 20), RollPolicy.EXCHANGE, ContractMonth(2027, 1), "CONTRACT_UNRESOLVED"),
        ("MNQU6", date(2026, 11, 20), RollPolicy.EXCHANGE, None, "CONTRACT_EXPIRED"),
        ("MNQM6", date(2026, 6, 19), RollPolicy.EXCHANGE, None, "CONTRACT_EXPIRED"),  # it ended on Thursday the 18th
        ("MNQZ5", date(2026, 11, 20), RollPolicy.EXCHANGE, None, "CONTRACT_EXPIRED"),
        ("CLV6", date(2026, 11, 1), RollPolicy.EXCHANGE, None, "CONTRACT_EXPIRED"),
        ("CLZ6", date(2027, 1, 1), RollPolicy.EXCHANGE, None, "CONTRACT_EXPIRED"),
    ],
)
def test_a_contract_that_nobody_can_name_is_denied(
    text: str, day: date, policy: RollPolicy, active: ContractMonth | None, code: str
) -> None:
    """Nothing is guessed where only the broker knows, and an expired contract is never exchanged for another."""
    wanted = symbol(text)
    found = resolve(wanted, PRODUCTS[wanted.root], day, policy, active)
    assert isinstance(found, Denial)
    assert found.code == code


def test_the_last_day_is_still_a_day() -> None:
    """An expiring contract that is named can be traded until it is over."""
    for text, day in (("MNQM6", date(2026, 6, 18)), ("CLZ6", date(2026, 12, 31)), ("CLX6", date(2026, 11, 30))):
        wanted = symbol(text)
        assert isinstance(resolve(wanted, PRODUCTS[wanted.root], day, RollPolicy.EXCHANGE, None), Resolution)


def test_months_are_listed_across_the_year() -> None:
    """Four of gold from September 2026, and none of what has no months."""
    names = [month.short_name("GC") for month in listed_months(PRODUCTS["GC"], ContractMonth(2026, 9), 4)]
    assert names == ["GCV6", "GCZ6", "GCG7", "GCJ7"]
