"""The risk gate fails closed, says its numbers, and keeps every limit whatever it is given."""

from dataclasses import fields, replace
from datetime import date, timedelta
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventrouter.domain import risk
from eventrouter.domain.balances import Balances, Drawdown, Trail
from eventrouter.domain.instruments import family_of
from eventrouter.domain.risk import Decision, breaches, judge
from eventrouter.domain.risk_inputs import AccountState, Automation, Exposure, Proposal, RiskLimits, Standing
from tests.domain.funded_account import (
    BALANCES,
    LIMITS,
    NO_DAILY,
    NOW,
    ORDER,
    STATE,
    ago,
    judged,
    money,
    other,
    own,
)

D = Decimal


def test_without_configuration_nothing_leaves() -> None:
    """The defaults of an account are closed ones."""
    found = [finding.code for finding in judge(ORDER, STATE, RiskLimits(days=LIMITS.days), NOW).findings]
    assert found == ["NOT_LIVE", "AUTOMATION_PROHIBITED"]


def test_everything_that_stands_against_an_order_is_found() -> None:
    """In the order of the checks; what only waits for a person comes last."""
    verdict = judged(
        {"quantity": D(6), "root": "CL"},
        {"standing": Standing.HALTED, **money(balance="49000")},
        {"automation": Automation.APPROVE_EACH},
        {},
    )
    assert [finding.code for finding in verdict.findings] == [
        "HALTED",
        "INSTRUMENT_NOT_ALLOWED",
        "MAX_CONTRACTS",
        "DAILY_LOSS",
        "DRAWDOWN",
        "APPROVAL_NEEDED",
    ]


@pytest.mark.parametrize(
    ("state", "limits", "message", "detail"),
    [
        (
            money(balance="50060", open_pnl="-15.5"),
            {},
            "The trading day 2026-11-20 has lost 955.5; the limit is 1000, and with the buffer of 100 entries stop at 900.",
            {"day": "2026-11-20", "loss": "955.5", "daily_loss": "1000", "buffer": "100", "allowed": "900"},
        ),
        (
            money(balance="49600"),
            NO_DAILY,
            "Equity is 49600; the end_of_day drawdown floor is 49500, and with the buffer of 100 entries stop at 49600.",
            {"trail": "end_of_day", "equity": "49600", "floor": "49500", "buffer": "100", "stopped_at": "49600"},
        ),
        (
            own(("LONG", "4", "NQ"), ("LONG", "5", "MNQ")),
            {},
            "4.5 contracts are held or working and this order adds 1; the account may have 5.",
            {"held_and_working": "4.5", "this": "1", "max_contracts": "5"},
        ),
        (
            other(("SHORT", "2", "MNQ")),
            {},
            "other of the same owner is SHORT 2 MNQ; LONG NQ would be its opposite.",
            {"account": "other", "side": "SHORT", "root": "MNQ", "quantity": "2", "family": "NQ"},
        ),
        (
            {"intents_at": ago(1, 2, 3, 4)},
            {},
            "4 entries were sent within the last minute; the account may send 3.",
            {"last_minute": "4", "max_orders_per_minute": "3"},
        ),
        (
            {"last_price": D(19500)},
            {},
            "The entry price 20000 is 2.56 % off the last known price 19500; the limit is 1 %.",
            {"price": "20000", "last_price": "19500", "age_s": "10.000", "off_percent": "2.56", "max_price_off": "1"},
        ),
    ],
)
def test_a_denial_says_the_numbers(state: Any, limits: Any, message: str, detail: dict[str, str]) -> None:
    """In a sentence and as texts for the log row."""
    reason = judged({}, state, limits, {}).reason
    assert reason is not None
    assert (reason.message, dict(reason.detail)) == (message, detail)


NEEDED = [field.name for field in fields(AccountState) if field.name != "ordered"]  # only words


@pytest.mark.parametrize("name", NEEDED)
def test_what_is_not_known_denies(name: str) -> None:
    """Each thing that is known of an account, when it is not."""
    verdict = judged({}, {name: None}, {}, {})
    assert verdict.decision == Decision.DENIED
    assert {finding.code for finding in verdict.findings} <= {"STATE_UNKNOWN", "NUMBER_MISSING", "HALTED"}


BAD: list[Any] = [D("NaN"), D("sNaN"), D("Infinity"), D("-Infinity"), float("nan"), float("inf"), 1.0, "1"]


@pytest.mark.parametrize("bad", BAD, ids=repr)
def test_what_is_no_number_denies(bad: Any) -> None:
    """In the order, in every figure of the account, in every limit, in a position of anybody's."""
    cases: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
        ({name: bad}, {}, {}) for name in ("quantity", "price")
    ]
    cases += [
        ({}, {"balances": replace(BALANCES, **{name: bad})}, {})
        for name in ("balance", "open_pnl", "day_start_balance")
    ]
    cases += [({}, {"balances": replace(BALANCES, **{name: bad})}, {}) for name in ("initial_balance", "highest_close")]
    cases += [({}, {"last_price": bad}, {})]
    limits = ("max_contracts", "micros_per_contract", "daily_loss", "buffer", "max_price_off")
    cases += [({}, {}, {name: bad}) for name in limits]
    cases += [
        ({}, {}, {"drawdown": Drawdown(Trail.STATIC, bad)}),
        ({}, {}, {"drawdown": Drawdown(Trail.STATIC, D(1), bad)}),
    ]
    wrong = (Exposure("other", "NQ", "LONG", bad),)
    cases += [({}, {"exposures": wrong}, {}), ({}, {"owner_exposures": wrong}, {})]
    intraday = {"drawdown": Drawdown(Trail.INTRADAY, D(2000))}
    cases += [({}, {"balances": replace(BALANCES, highest_equity=bad)}, intraday)]
    for proposal, state, limit in cases:
        verdict = judged(proposal, state, limit, {})
        assert verdict.decision == Decision.DENIED, (proposal, state, limit)
        assert {finding.code for finding in verdict.findings} == {"NUMBER_WRONG"}
        assert judged({**proposal, "opening": False}, state, limit, {}).decision == Decision.PASSED


@pytest.mark.parametrize(
    "limits",
    [
        {"max_contracts": D(-1)},
        {"micros_per_contract": D(0)},
        {"daily_loss": D(0)},
        {"daily_loss": D(-1000)},
        {"buffer": D(-1)},
        {"drawdown": Drawdown(Trail.END_OF_DAY, D(-2000))},
        {"max_price_off": D(-1)},
    ],
)
def test_a_limit_that_makes_no_sense_denies(limits: dict[str, Any]) -> None:
    """A negative limit is a mistake of somebody's, not one that is easy to keep."""
    assert next(finding.code for finding in judged({}, {}, limits, {}).findings) == "NUMBER_WRONG"


@pytest.mark.parametrize("check", risk.CHECKS, ids=lambda check: check.__name__)
def test_a_check_that_breaks_denies(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever it is, and whatever it raises; the others are made all the same, and an exit still passes."""

    def broken(*_: Any) -> None:
        raise RecursionError("too deep")

    broken.__name__ = check.__name__
    monkeypatch.setattr(risk, "CHECKS", tuple(broken if made is check else made for made in risk.CHECKS))
    verdict = judged({"quantity": D(6)}, {}, {}, {})
    codes = [finding.code for finding in verdict.findings]
    assert verdict.decision == Decision.DENIED
    assert "CHECK_FAILED" in codes
    assert ("MAX_CONTRACTS" in codes) == (check.__name__ != "_max_contracts")
    reason = next(finding for finding in verdict.findings if finding.code == "CHECK_FAILED")
    assert reason.detail == {"check": check.__name__.lstrip("_")}
    assert "RecursionError: too deep" in reason.message
    assert judged({"opening": False}, {}, {}, {}).decision == Decision.PASSED


@pytest.mark.parametrize("opening", [None, 0, "", "no"])
def test_only_a_certain_exit_passes_unseen(opening: Any) -> None:
    """What merely looks false is judged like an entry."""
    assert judged({"opening": opening}, {"standing": Standing.HALTED}, {}, {}).decision == Decision.DENIED


def test_a_time_without_a_zone_denies() -> None:
    """A clock that nobody can place proves no age and no day."""
    verdict = judge(ORDER, STATE, LIMITS, NOW.replace(tzinfo=None))
    assert verdict.decision == Decision.DENIED
    assert "CHECK_FAILED" in {finding.code for finding in verdict.findings}


def test_a_caller_cannot_change_the_arithmetic() -> None:
    """With two digits of precision the floor of 49,600 would be 50,000."""
    with localcontext(prec=2):
        assert judged({}, money(balance="49700"), NO_DAILY, {}).decision == Decision.PASSED


def test_nonsense_denies_and_an_exit_needs_nothing() -> None:
    """No state at all, no limits at all."""
    nothing: Any = None
    assert judge(ORDER, nothing, nothing, NOW).decision == Decision.DENIED
    assert judge(replace(ORDER, opening=False), nothing, nothing, nothing).decision == Decision.PASSED


@pytest.mark.parametrize(
    ("state", "codes"),
    [
        ({}, []),
        (money(balance="50100"), ["DAILY_LOSS"]),
        (money(balance="49600"), ["DAILY_LOSS", "DRAWDOWN"]),
        (money(balance="49600", day_start_balance="49600"), ["DRAWDOWN"]),
        ({**money(balance="50100"), "day": date(2026, 11, 19)}, []),  # yesterday's loss closes nothing today
        ({**money(balance="49600"), "day": date(2026, 11, 19)}, ["DRAWDOWN"]),  # but the floor has no day
        ({"balances": None}, []),
        (money(open_pnl="NaN"), []),
    ],
)
def test_a_breach_is_what_closes_positions(state: Any, codes: list[str]) -> None:
    """A limit that is reached for certain; a figure that is missing keeps entries out, but sells nothing."""
    assert [finding.code for finding in breaches(replace(STATE, **state), LIMITS, NOW)] == codes


contracts = st.decimals("0.1", "3", places=1)
held = st.lists(
    st.builds(
        Exposure,
        st.just("any"),
        st.sampled_from(["NQ", "MNQ", "ES", "CL"]),
        st.sampled_from(["LONG", "SHORT"]),
        contracts,
    ),
    max_size=3,
).map(tuple)
closes = st.decimals("50000", "52000", places=2)
balances = st.builds(
    Balances,
    initial_balance=st.just(D(50000)),
    balance=st.decimals("49500", "52000", places=2),
    open_pnl=st.decimals("-500", "500", places=2),
    day_start_balance=closes,
    highest_close=closes,
    highest_equity=closes,
)
states = st.builds(
    replace,
    st.just(STATE),
    exposures=held,
    owner_exposures=held,
    intents_at=st.lists(st.integers(-5, 120).map(lambda second: ago(second)[0]), max_size=4).map(tuple),
    balances=balances,
    last_price=st.decimals("19750", "20250", places=2),
)
orders = st.builds(
    replace,
    st.just(ORDER),
    root=st.sampled_from(["NQ", "MNQ"]),
    side=st.sampled_from(["LONG", "SHORT"]),
    quantity=contracts,
)


def weight(root: str) -> Decimal:
    """Contracts that one of a root counts for."""
    return D("0.1") if root == "MNQ" else D(1)


@given(orders, states)
def test_what_passes_keeps_every_limit(order: Proposal, state: AccountState) -> None:
    """Each limit is counted again here in another way, and an order passes exactly when all are kept."""
    assert state.exposures is not None
    assert state.owner_exposures is not None
    assert state.intents_at is not None
    assert state.balances is not None
    assert state.last_price is not None
    books = state.balances
    size = order.quantity * weight(order.root) + sum(one.quantity * weight(one.root) for one in state.exposures)
    equity = books.balance + books.open_pnl
    kept = [
        size <= 5,
        len([at for at in state.intents_at if at > NOW - timedelta(seconds=60)]) < 3,
        equity > books.day_start_balance - 900,
        equity > min(max(books.highest_close, D(50000)) - 1900, D(50100)),
        all(
            one.side == order.side or family_of(one.root) != "NQ" for one in (*state.exposures, *state.owner_exposures)
        ),
        state.last_price * D("0.99") <= D(20000) <= state.last_price * D("1.01"),
    ]
    assert (judge(order, state, LIMITS, NOW).decision == Decision.PASSED) == all(kept)


@given(orders, states, contracts, st.decimals("0", "500", places=2))
def test_what_is_denied_stays_denied_when_it_gets_worse(
    order: Proposal, state: AccountState, more: Decimal, lost: Decimal
) -> None:
    """A larger order, and less money on the account."""
    assert state.balances is not None
    if judge(order, state, LIMITS, NOW).decision == Decision.DENIED:
        larger = replace(order, quantity=order.quantity + more)
        poorer = replace(state, balances=replace(state.balances, open_pnl=state.balances.open_pnl - lost))
        assert judge(larger, state, LIMITS, NOW).decision == Decision.DENIED
        assert judge(order, poorer, LIMITS, NOW).decision == Decision.DENIED


wild = st.decimals(allow_nan=True, allow_infinity=True) | st.none() | st.floats()


@given(wild, wild, wild, wild, wild, wild)
def test_no_figures_pass_unless_all_are_numbers(
    quantity: Any, price: Any, balance: Any, open_pnl: Any, last: Any, limit: Any
) -> None:
    """Any values at all where numbers belong: never an exception, and never a pass with one that is none."""
    order = replace(ORDER, quantity=quantity, price=price)
    state = replace(STATE, balances=replace(BALANCES, balance=balance, open_pnl=open_pnl), last_price=last)
    verdict = judge(order, state, replace(LIMITS, daily_loss=limit), NOW)
    if verdict.decision == Decision.PASSED:
        values = (quantity, price, balance, open_pnl, last)
        assert all(isinstance(value, Decimal) and value.is_finite() for value in values)
        assert limit is None or limit.is_finite()
    assert judge(replace(order, opening=False), state, LIMITS, NOW).decision == Decision.PASSED
