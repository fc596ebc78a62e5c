"""The risk gate, row by row: each changes one thing of an account that may trade, and says what comes of it."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from eventrouter.domain.risk import Decision, Verdict
from eventrouter.domain.risk_inputs import Automation, Standing
from tests.domain.funded_account import NO_DAILY, NO_WINDOW, ago, at, drawdown, judged, money, other, own

D = Decimal

# what it is; the code, or None for an order that passes; what differs: of the order, the account, its limits, the time
WORKED: list[tuple[str, str | None, dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("all is well", None, {}, {}, {}, {}),
    # halted, live, automation
    ("halted", "HALTED", {}, {"standing": Standing.HALTED}, {}, {}),
    ("reducing", "REDUCING", {}, {"standing": Standing.REDUCING}, {}, {}),
    ("a standing that nobody knows", "HALTED", {}, {"standing": "paused"}, {}, {}),
    ("not live", "NOT_LIVE", {}, {}, {"live": False}, {}),
    ("not live, but dry", None, {"mode": "dry"}, {}, {"live": False}, {}),
    ("a mode that nobody knows", "NOT_LIVE", {"mode": "paper"}, {}, {}, {}),
    ("prohibited", "AUTOMATION_PROHIBITED", {}, {}, {"automation": Automation.PROHIBITED}, {}),
    ("prohibited, dry too", "AUTOMATION_PROHIBITED", {"mode": "dry"}, {}, {"automation": Automation.PROHIBITED}, {}),
    (
        "prohibited, approved",
        "AUTOMATION_PROHIBITED",
        {"approved": True},
        {},
        {"automation": Automation.PROHIBITED},
        {},
    ),
    ("to be approved", "APPROVAL_NEEDED", {}, {}, {"automation": Automation.APPROVE_EACH}, {}),
    ("approved", None, {"approved": True}, {}, {"automation": Automation.APPROVE_EACH}, {}),
    (
        "to be approved, too large",
        "MAX_CONTRACTS",
        {"quantity": D(6)},
        {},
        {"automation": Automation.APPROVE_EACH},
        {},
    ),
    # instrument
    ("another instrument", "INSTRUMENT_NOT_ALLOWED", {"root": "CL"}, {}, {}, {}),
    (
        "the micro, where only the mini is allowed",
        "INSTRUMENT_NOT_ALLOWED",
        {"root": "MNQ"},
        {},
        {"instruments": {"NQ"}},
        {},
    ),
    ("any instrument", None, {"root": "CL"}, {}, {"instruments": frozenset()}, {}),
    # trade window and flat-by, on both sides of the changes of the clocks
    ("08:29", "OUTSIDE_WINDOW", {}, {}, {}, at("2026-11-20 14:29", "2026-11-20")),
    ("08:30", None, {}, {}, {}, at("2026-11-20 14:30", "2026-11-20")),
    ("15:09", None, {}, {}, {}, at("2026-11-20 21:09", "2026-11-20")),
    ("15:10 is too late to be flat by 15:10", "PAST_FLAT_BY", {}, {}, {}, at("2026-11-20 21:10", "2026-11-20")),
    ("16:00 is outside as well", "OUTSIDE_WINDOW", {}, {}, {}, at("2026-11-20 22:00", "2026-11-20")),
    ("17:00 is the next trading day", None, {}, {}, {"windows": ()}, at("2026-11-20 23:00", "2026-11-21")),
    ("Saturday", "OUTSIDE_WINDOW", {}, {}, {}, at("2026-11-21 16:00", "2026-11-21")),
    ("before an early close", None, {}, {}, {}, at("2026-11-27 17:59", "2026-11-27")),
    ("at an early close", "PAST_FLAT_BY", {}, {}, {}, at("2026-11-27 18:00", "2026-11-27")),
    ("08:30 before spring", None, {}, {}, {}, at("2026-03-06 14:30", "2026-03-06")),
    ("08:30 after spring is 13:30 UTC", None, {}, {}, {}, at("2026-03-09 13:30", "2026-03-09")),
    ("14:30 UTC is 14:10 before 15:10 in winter", None, {}, {}, {}, at("2026-03-06 21:09", "2026-03-06")),
    ("20:10 UTC is 15:10 in summer", "PAST_FLAT_BY", {}, {}, {}, at("2026-03-09 20:10", "2026-03-09")),
    ("20:10 UTC is 14:10 in winter again", None, {}, {}, {}, at("2026-11-02 20:10", "2026-11-02")),
    # age
    ("59.999 s old", None, {"received_at": ago(59.999)[0]}, {}, {}, {}),
    ("60 s old", "TOO_OLD", {"received_at": ago(60)[0]}, {}, {}, {}),
    ("a day old", "TOO_OLD", {"received_at": ago(86400)[0]}, {}, {}, {}),
    ("a day old, no limit", None, {"received_at": ago(86400)[0], "max_age": None}, {}, {}, {}),
    ("from the near future", None, {"received_at": ago(-4)[0]}, {}, {}, {}),
    ("from the future", "CLOCK_WRONG", {"received_at": ago(-6)[0]}, {}, {}, {}),
    (
        "approved after 9 minutes",
        None,
        {"approved": True, "received_at": ago(540)[0]},
        {},
        {"automation": Automation.APPROVE_EACH},
        {},
    ),
    (
        "approved after 10 minutes",
        "TOO_OLD",
        {"approved": True, "received_at": ago(600)[0]},
        {},
        {"automation": Automation.APPROVE_EACH},
        {},
    ),
    (
        "approved late, approval has no limit of its own",
        "TOO_OLD",
        {"approved": True, "received_at": ago(61)[0]},
        {},
        {"automation": Automation.APPROVE_EACH, "approve_within": None},
        {},
    ),
    # contracts: position + working + this
    ("5 of 5", None, {"quantity": D(5)}, {}, {}, {}),
    ("6 of 5", "MAX_CONTRACTS", {"quantity": D(6)}, {}, {}, {}),
    ("3 held, 1 working, 1 more", None, {}, own(("LONG", "3", "NQ"), ("LONG", "1", "NQ")), {}, {}),
    ("3 held, 2 working, 1 more", "MAX_CONTRACTS", {}, own(("LONG", "3", "NQ"), ("LONG", "2", "NQ")), {}, {}),
    ("45 micros and 5", None, {"root": "MNQ", "quantity": D(5)}, own(("LONG", "45", "MNQ")), {}, {}),
    ("45 micros and 6", "MAX_CONTRACTS", {"root": "MNQ", "quantity": D(6)}, own(("LONG", "45", "MNQ")), {}, {}),
    ("4 minis and 10 micros", None, {"root": "MNQ", "quantity": D(10)}, own(("LONG", "4", "NQ")), {}, {}),
    ("4 minis and 11 micros", "MAX_CONTRACTS", {"root": "MNQ", "quantity": D(11)}, own(("LONG", "4", "NQ")), {}, {}),
    ("another product counts too", "MAX_CONTRACTS", {}, own(("LONG", "5", "CL")), {}, {}),
    ("what has no known size counts as one", "MAX_CONTRACTS", {}, own(("LONG", "5", "QM")), {}, {}),
    (
        "each micro counts",
        "MAX_CONTRACTS",
        {"root": "MNQ"},
        own(("LONG", "5", "MNQ")),
        {"micros_per_contract": D(1)},
        {},
    ),
    (
        "the other side counts too",
        "MAX_CONTRACTS",
        {"quantity": D(3)},
        own(("SHORT", "3", "NQ")),
        {"no_opposite_side": False},
        {},
    ),
    ("no room at all", "MAX_CONTRACTS", {}, {}, {"max_contracts": D(0)}, {}),
    ("nothing to trade", "NUMBER_WRONG", {"quantity": D(0)}, {}, {}, {}),
    ("less than nothing", "NUMBER_WRONG", {"quantity": D(-1)}, {}, {}, {}),
    ("no number of contracts", "NUMBER_WRONG", {"quantity": D("NaN")}, {}, {"max_contracts": None}, {}),
    # orders per minute
    ("2 in the last minute", None, {}, {"intents_at": ago(1, 30, 60, 61)}, {}, {}),  # 60 s ago is over
    ("3 in the last minute", "ORDERS_PER_MINUTE", {}, {"intents_at": ago(1, 30, 59.9)}, {}, {}),
    ("what is dated ahead counts", "ORDERS_PER_MINUTE", {}, {"intents_at": ago(-30, -90, 0)}, {}, {}),
    ("a pace that is no number", "ORDERS_PER_MINUTE", {}, {}, {"max_orders_per_minute": float("nan")}, {}),
    ("none allowed", "ORDERS_PER_MINUTE", {}, {}, {"max_orders_per_minute": 0}, {}),
    # daily loss: 1,000 less the buffer of 100
    ("lost 899.99", None, {}, money(balance="50100.01"), {}, {}),
    ("lost 900", "DAILY_LOSS", {}, money(balance="50100"), {}, {}),
    ("900 open", "DAILY_LOSS", {}, money(open_pnl="-900"), {}, {}),
    ("lost 1,500, won back 700 open", None, {}, money(balance="49500", open_pnl="700"), {}, {}),
    ("won 500, 1,400 open", "DAILY_LOSS", {}, money(balance="51500", open_pnl="-1400"), {}, {}),
    ("lost 999.99, no buffer", None, {}, money(balance="50000.01"), {"buffer": D(0)}, {}),
    ("lost 1,000, no buffer", "DAILY_LOSS", {}, money(balance="50000"), {"buffer": D(0)}, {}),
    ("a buffer as large as the limit", "DAILY_LOSS", {}, {}, {"buffer": D(1000)}, {}),
    ("yesterday's loss is not today's", None, {}, money(balance="50000", day_start_balance="50000"), {}, {}),
    ("no such rule", None, {}, money(balance="50100"), NO_DAILY, {}),
    ("yesterday's figures", "OTHER_DAY", {}, {"day": date(2026, 11, 19)}, {}, {}),
    ("yesterday's figures, drawdown only", "OTHER_DAY", {}, {"day": date(2026, 11, 19)}, NO_DAILY, {}),
    ("16:59: still today", None, {}, {}, NO_WINDOW, at("2026-11-20 22:59", "2026-11-20")),
    ("17:00: figures of the day that is over", "OTHER_DAY", {}, {}, NO_WINDOW, at("2026-11-20 23:00", "2026-11-20")),
    ("spring: 22:00 UTC opens Monday", None, {}, {}, NO_WINDOW, at("2026-03-08 22:00", "2026-03-09")),
    ("autumn: 22:00 UTC is still Sunday's", "OTHER_DAY", {}, {}, NO_WINDOW, at("2026-11-01 22:00", "2026-11-02")),
    # drawdown: the best close 51,500 less 2,000 is 49,500, with the buffer 49,600
    ("49,600.01", None, {}, money(balance="49600.01"), NO_DAILY, {}),
    ("49,600", "DRAWDOWN", {}, money(balance="49600"), NO_DAILY, {}),
    ("50,500 less 900 open", "DRAWDOWN", {}, money(balance="50500", open_pnl="-900"), NO_DAILY, {}),
    ("an intraday peak is none at the day's end", None, {}, money(highest_equity="55000"), NO_DAILY, {}),
    ("the floor stops at 50,000", None, {}, money(highest_close="60000", balance="50100.01"), NO_DAILY, {}),
    ("just there", "DRAWDOWN", {}, money(highest_close="60000", balance="50100"), NO_DAILY, {}),
    ("intraday: 55,000 - 2,000", "DRAWDOWN", {}, money(highest_equity="55000"), drawdown("intraday", "2000"), {}),
    ("intraday: 52,000 - 2,000, room of 900", None, {}, {}, drawdown("intraday", "2000"), {}),
    ("intraday: equity now is the peak", None, {}, money(open_pnl="9000"), drawdown("intraday", "2000"), {}),
    ("intraday: 52,900 - 2,000 + 100", "DRAWDOWN", {}, money(highest_equity="52900"), drawdown("intraday", "2000"), {}),
    ("static: 45,000 + 100", "DRAWDOWN", {}, money(balance="45100"), drawdown("static", "5000"), {}),
    ("static: a cent above", None, {}, money(balance="45100.01"), drawdown("static", "5000"), {}),
    ("no such rule", None, {}, money(balance="100"), {"daily_loss": None, "drawdown": None}, {}),
    # the other side
    ("the other account is short the micro", "OPPOSITE_SIDE", {}, other(("SHORT", "1", "MNQ")), {}, {}),
    ("the other account is long the micro", None, {}, other(("LONG", "1", "MNQ")), {}, {}),
    ("the other account is short another product", None, {}, other(("SHORT", "1", "ES")), {}, {}),
    ("the other account was short", None, {}, other(("SHORT", "0", "NQ")), {}, {}),
    ("short against long", "OPPOSITE_SIDE", {"side": "SHORT"}, other(("LONG", "1", "NQ")), {}, {}),
    ("its own short", "OPPOSITE_SIDE", {}, own(("SHORT", "1", "NQ")), {}, {}),
    ("hedging is allowed", None, {}, other(("SHORT", "1", "NQ")), {"no_opposite_side": False}, {}),
    ("a side that nobody knows, elsewhere", "OPPOSITE_SIDE", {}, other(("long", "1", "NQ")), {}, {}),
    ("a side that nobody knows", "SIDE_WRONG", {"side": "BUY"}, {}, {"no_opposite_side": False}, {}),
    # price sanity: 1 % of 20,000 is 200
    ("200 off", None, {"price": D(20200)}, {}, {}, {}),
    ("a tick more", "PRICE_OFF", {"price": D("20200.25")}, {}, {}, {}),
    ("200 below", None, {"price": D(19800)}, {}, {}, {}),
    ("a tick less", "PRICE_OFF", {"price": D("19799.75")}, {}, {}, {}),
    ("a digit too many", "PRICE_OFF", {"price": D(200000)}, {}, {}, {}),
    ("no price", "NUMBER_MISSING", {"price": None}, {}, {}, {}),
    ("no price, no such rule", None, {"price": None}, {}, {"max_price_off": None}, {}),
    ("no number, no such rule", "NUMBER_WRONG", {"price": D("NaN")}, {}, {"max_price_off": None}, {}),
    ("seen 5 minutes ago", None, {}, {"last_price_at": ago(300)[0]}, {}, {}),
    ("seen longer ago", "PRICE_STALE", {}, {"last_price_at": ago(300.1)[0]}, {}, {}),
    ("seen in the future", "PRICE_STALE", {}, {"last_price_at": ago(-6)[0]}, {}, {}),
]


@pytest.mark.parametrize(
    ("code", "proposal", "state", "limits", "when"), [row[1:] for row in WORKED], ids=[row[0] for row in WORKED]
)
def test_worked_verdicts(code: str | None, proposal: Any, state: Any, limits: Any, when: Any) -> None:
    """An entry passes, is held, or is denied with this code first; the same order as an exit passes."""
    verdict = judged(proposal, state, limits, when)
    assert (verdict.reason.code if verdict.reason else None) == code
    wanted = {None: Decision.PASSED, "APPROVAL_NEEDED": Decision.HELD}.get(code, Decision.DENIED)
    assert verdict.decision == wanted
    assert judged({**proposal, "opening": False}, state, limits, when) == Verdict(Decision.PASSED)


def test_there_are_enough_examples() -> None:
    """Forty at least; and every check of the gate is what denies or holds in one of them."""
    assert len(WORKED) >= 40
    codes = {row[1] for row in WORKED}
    assert codes >= {
        *("HALTED", "REDUCING", "NOT_LIVE", "AUTOMATION_PROHIBITED", "APPROVAL_NEEDED", "INSTRUMENT_NOT_ALLOWED"),
        *("OUTSIDE_WINDOW", "PAST_FLAT_BY", "TOO_OLD", "MAX_CONTRACTS", "ORDERS_PER_MINUTE", "DAILY_LOSS", "DRAWDOWN"),
        *("OPPOSITE_SIDE", "PRICE_OFF"),
    }
