"""Whether an entry may be sent and as what: tables of alerts, accounts and facts."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from eventrouter.domain.account_facts import AccountFacts, Facts, Held, facts_of
from eventrouter.domain.accounts import UNLIMITED, Account
from eventrouter.domain.balances import Balances, Drawdown, Trail
from eventrouter.domain.book import Book
from eventrouter.domain.broker import Contract
from eventrouter.domain.contract_choice import Looked
from eventrouter.domain.controls import Control
from eventrouter.domain.decide import DueTask, Sized, decide
from eventrouter.domain.gate import Gate
from eventrouter.domain.instruments import PRODUCTS
from eventrouter.domain.links import down
from eventrouter.domain.risk_inputs import Automation, Exposure
from eventrouter.domain.rolls import RollPolicy
from eventrouter.domain.sizing import Contract as Which
from eventrouter.domain.sizing import SizeBy, SizingRule
from eventrouter.domain.symbols import root_of
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.domain.trade_facts import TradeFacts

NOW = datetime(2026, 11, 23, 15, tzinfo=UTC)  # a Monday; MNQZ6 leads until 14 December
DAY = date(2026, 11, 23)
BUY: dict[str, Any] = {"symbol": "MNQ1!", "direction": "LONG", "quantity": 2, "entry_price": 20000}
LIVE = replace(UNLIMITED, live=True)
KNOWN = AccountFacts()


def task(payload: Mapping[str, Any] | None = None, number: int = 1, **more: Any) -> DueTask:
    """A due entry of the account `one`."""
    values: dict[str, Any] = {
        "version": number + 100,
        "trade_id": f"T{number}",
        "event_type": "ENTRY",
        "opening": True,
        "attempts": 0,
        "account": "one",
        "lane": "one/NQ",
        "mode": "live",
        "client_order_id": f"order{number}",
        "expires_at": None,
        "created_at": NOW,
        "received_at": NOW,
        "trade": TradeFacts(),
    }
    return DueTask(id=number, payload=BUY if payload is None else payload, **{**values, **more})


def broker(symbol: str) -> Looked:
    """A broker that has every product; its current contract is of the first month that is listed in December or before."""
    root = root_of(symbol)
    product = PRODUCTS.get(root)
    if product is None or symbol == "MNQH2027":
        return Looked()
    name = (
        f"{root}{'Z' if 'Z' in product.months else product.months[-1]}6"
        if "!" in symbol
        else f"{symbol[:-4]}{symbol[-1]}"
    )
    return Looked(Contract(f"CON.{name}", name, product.tick_size, product.tick_value, active=True))


def gate(
    account: Account | None = None,
    facts: Facts | None = None,
    *others: Account,
    dry_run: bool = False,
    look_up: Any = broker,
    now: datetime = NOW,
) -> Gate:
    """A gate for one account at a broker, flat and known, unless said otherwise."""
    account = account or Account("one", "projectx", limits=LIVE)
    accounts = {each.name: each for each in (account, *others)}
    known = facts or Facts(accounts=dict.fromkeys(accounts, KNOWN))
    return Gate(accounts, known, now, dry_run, lambda _account, symbol: look_up(symbol))


def sent(found: Sized | LogEntry | None) -> Sized:
    """The order; says what stood in its way."""
    assert isinstance(found, Sized), found
    return found


def refused(found: Sized | LogEntry | None) -> LogEntry:
    """The row that says why not."""
    assert isinstance(found, LogEntry), found
    return found


def ruled(**limits: Any) -> Account:
    """An account at a broker with these limits, which began with 50,000."""
    return Account("one", "projectx", balance=Decimal(50_000), limits=replace(LIVE, **limits))


def booked(balance: int, *, start: int = 50_000, day: date = DAY, **more: Any) -> Mapping[str, Any]:
    """The state of an account that stands there after beginning the day with `start`."""
    money = Balances(*map(Decimal, (50_000, balance, 0, start, max(start, 50_000), max(start, balance, 50_000))))
    return Book(balances=money, day=day, **more).to_json()


def known(state: Mapping[str, Any] | None = None, *exposures: Exposure, **more: Any) -> Facts:
    """Facts of `one`."""
    return Facts(accounts={"one": AccountFacts(exposures=exposures, state=state)}, **more)


def exposed(quantity: int, root: str = "MNQ", side: str = "LONG", account: str = "one") -> Exposure:
    """A position or a working entry."""
    return Exposure(account, root, side, Decimal(quantity))


# what is sent


def test_an_order_is_complete_and_its_row_has_every_figure() -> None:
    """The broker's contract, whole contracts, prices on the tick, a bracket in ticks; and how all of that came about."""
    alert = BUY | {
        "order_type": "limit",
        "limit_price": 20000.13,
        "stop_loss": 19990,
        "take_profit": {"value": 30.3, "kind": "offset"},
    }
    found = sent(gate().admit(task(alert, plan={"multiplier": "2"})))
    order = found.order
    assert (order.symbol, order.direction, order.quantity, order.quantity_kind) == ("CON.MNQZ6", "LONG", "4", None)
    assert (order.limit_price, order.stop_loss, order.take_profit) == ("20000", "41 ticks", "121 ticks")
    assert (order.action, order.account, order.client_order_id, order.trade_id) == ("OPEN", "one", "order1", "T1")
    detail = found.detail
    assert (detail["contract"], detail["root"], detail["direction"], detail["quantity"]) == (
        "CON.MNQZ6",
        "MNQ",
        "LONG",
        "4",
    )
    assert "2 MNQ asked for x 1 x 2" in detail["sizing"]["calculation"]
    assert "MNQZ6 leads" in detail["resolution"]
    assert detail["risk"]["held_and_working"] == "0"


@pytest.mark.parametrize("rule", [SizeBy.MULTIPLIER, SizeBy.FIXED, SizeBy.RISK_PERCENT])
def test_a_quantity_set_by_hand_is_the_quantity(rule: SizeBy) -> None:
    """Whoever sends a dead letter again with a quantity gets that many contracts, whatever the account's rule and the route say."""
    account = Account("one", "projectx", limits=LIVE, sizing=SizingRule(rule, Decimal(3)))
    by_hand = {**BUY, "quantity": "1", "quantity_by_hand": True}
    found = sent(gate(account).admit(task(by_hand, plan={"multiplier": "5"})))
    assert (found.order.quantity, found.detail["sizing"]["rule"]) == ("1", "A person set the quantity.")


@pytest.mark.parametrize(
    ("level", "name", "expected"),
    [
        ({"value": 20, "kind": "ticks"}, "stop_loss", "20 ticks"),
        ({"value": 20, "kind": "ticks", "trailing": True}, "stop_loss", "20 ticks trailing"),
        ({"value": 5, "kind": "offset"}, "stop_loss", "20 ticks"),
        ({"value": 5.1, "kind": "offset"}, "stop_loss", "21 ticks"),
        ({"value": 5.1, "kind": "offset"}, "take_profit", "20 ticks"),
        ({"value": 0.1, "kind": "percent"}, "stop_loss", "80 ticks"),
        ({"value": 25, "kind": "cash"}, "stop_loss", "25 ticks"),  # 2 contracts x 0.50 a tick
        ({"value": 25.9, "kind": "cash"}, "stop_loss", "25 ticks"),
        (19990, "stop_loss", "40 ticks"),
        ("19990.1", "stop_loss", "40 ticks"),
        (20010, "take_profit", "40 ticks"),
    ],
)
def test_levels_become_ticks(level: object, name: str, expected: str) -> None:
    """A price, points, ticks, percent of the entry or money for the whole position: the bracket counts ticks."""
    assert getattr(sent(gate().admit(task({**BUY, name: level}))).order, name) == expected


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"stop_loss": 20010}, "STOP_ON_WRONG_SIDE"),
        ({"take_profit": 19990}, "TARGET_ON_WRONG_SIDE"),
        ({"stop_loss": 19990, "entry_price": None}, "ENTRY_PRICE_MISSING"),
        ({"take_profit": {"value": 0.1, "kind": "offset"}}, "LEVEL_TOO_CLOSE"),
        ({"symbol": None}, "NO_SYMBOL"),
        ({"symbol": "AAPL"}, "INSTRUMENT_UNKNOWN"),
        ({"symbol": "QM1!"}, "INSTRUMENT_UNKNOWN"),
        ({"direction": None}, "SIDE_WRONG"),
        ({"symbol": "MNQZ2020"}, "CONTRACT_EXPIRED"),
        ({"symbol": "MNQH2027"}, "CONTRACT_UNKNOWN"),
        ({"quantity": 0.5}, "SIZE_ZERO"),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_what_makes_no_order_is_denied_with_a_code(payload: Mapping[str, Any], code: str, *, dry_run: bool) -> None:
    """At an account that has a broker, also in a dry run; only whether the broker knows a contract cannot be said there."""
    if dry_run and code == "CONTRACT_UNKNOWN":
        return
    row = refused(gate(dry_run=dry_run).admit(task({**BUY, **payload}, mode="dry" if dry_run else "live")))
    assert (row.status, row.reason) == (Status.DENIED, code)
    assert row.message


# how much


RISK = SizingRule(SizeBy.RISK_AMOUNT, Decimal(500))


@pytest.mark.parametrize(
    ("rule", "payload", "quantity", "root"),
    [
        (SizingRule(SizeBy.FIXED, Decimal(3)), {}, "3", "MNQ"),
        (SizingRule(SizeBy.MULTIPLIER, Decimal("1.5")), {}, "3", "MNQ"),
        (SizingRule(SizeBy.MULTIPLIER, Decimal(1)), {"quantity": None}, "1", "MNQ"),
        (SizingRule(SizeBy.MULTIPLIER, Decimal(1), Which.MICRO), {"symbol": "NQ1!", "quantity": 1}, "10", "MNQ"),
        (SizingRule(SizeBy.MULTIPLIER, Decimal(1), Which.MINI), {"quantity": 25}, "2", "NQ"),
        (SizingRule(SizeBy.MULTIPLIER, Decimal(1), Which.MINI_OR_MICRO), {"quantity": 4}, "4", "MNQ"),
        (RISK, {"stop_loss": 19990}, "25", "MNQ"),
        (RISK, {"stop_loss": {"value": 40, "kind": "ticks"}}, "25", "MNQ"),
        (RISK, {"stop_loss": {"value": 40, "kind": "ticks"}, "entry_price": None}, "25", "MNQ"),
        (SizingRule(SizeBy.RISK_PERCENT, Decimal(1)), {"stop_loss": 19990}, "25", "MNQ"),
        # the alert names its size in money or percent, and the account's rule is a multiplier
        (
            SizingRule(SizeBy.MULTIPLIER, Decimal(2)),
            {"quantity": 100, "quantity_kind": "risk_amount", "stop_loss": 19990},
            "10",
            "MNQ",
        ),
        (
            SizingRule(SizeBy.MULTIPLIER, Decimal(1)),
            {"quantity": 1, "quantity_kind": "risk_percent", "stop_loss": 19990},
            "25",
            "MNQ",
        ),
        (SizingRule(SizeBy.MULTIPLIER, Decimal(1)), {"quantity": 90000, "quantity_kind": "cash"}, "2", "MNQ"),
        (
            SizingRule(SizeBy.MULTIPLIER, Decimal(1)),
            {"quantity": 160, "quantity_kind": "percent_of_equity"},
            "2",
            "MNQ",
        ),
        (SizingRule(SizeBy.FIXED, Decimal(3)), {"quantity": 90000, "quantity_kind": "cash"}, "3", "MNQ"),
    ],
)
def test_sizes(rule: SizingRule, payload: Mapping[str, Any], quantity: str, root: str) -> None:
    """The account's rule, or the alert's own kind of size where that rule only multiplies it; minis and micros."""
    account = replace(ruled(), sizing=rule)
    found = sent(gate(account, known(booked(50_000))).admit(task({**BUY, **payload})))
    assert (found.detail["quantity"], found.detail["root"], found.order.symbol) == (quantity, root, f"CON.{root}Z6")
    assert found.detail["sizing"]["rule"]
    if "stop_ticks" in found.detail["sizing"]:
        assert found.order.stop_loss == f"{found.detail['sizing']['stop_ticks']} ticks"


@pytest.mark.parametrize(
    ("rule", "payload", "code"),
    [
        (RISK, {}, "STOP_MISSING"),
        (RISK, {"stop_loss": {"value": 100, "kind": "cash"}}, "STOP_NOT_A_DISTANCE"),
        (RISK, {"stop_loss": 19700}, "SIZE_ZERO"),
        (SizingRule(SizeBy.RISK_PERCENT, Decimal(1)), {"stop_loss": 19990}, "NUMBER_MISSING"),
        (
            SizingRule(SizeBy.MULTIPLIER, Decimal(1)),
            {"quantity": 10, "quantity_kind": "percent_of_position"},
            "SIZE_ZERO",
        ),
    ],
)
def test_what_cannot_be_sized_is_denied(rule: SizingRule, payload: Mapping[str, Any], code: str) -> None:
    """Nothing is guessed: no stop, no size by risk; no equity, no percentage of it."""
    row = refused(gate(replace(ruled(), sizing=rule)).admit(task({**BUY, **payload})))
    assert (row.status, row.reason) == (Status.DENIED, code)
    assert row.detail


def test_a_multiplier_that_is_no_number_denies() -> None:
    """The route's multiplier comes from a JSON column."""
    assert refused(gate().admit(task(plan={"multiplier": "many"}))).reason == "NUMBER_WRONG"


def test_equity_in_a_dry_run_is_the_configured_balance_until_a_book_is_there() -> None:
    """Then the book counts."""
    account = replace(ruled(), sizing=SizingRule(SizeBy.RISK_PERCENT, Decimal(1)))
    alert = task(BUY | {"stop_loss": 19990}, mode="dry")
    assert sent(gate(account, dry_run=True).admit(alert)).detail["quantity"] == "25"
    assert sent(gate(account, known(booked(40_000)), dry_run=True).admit(alert)).detail["quantity"] == "20"


# which contract


def test_a_contract_that_is_not_known_yet_is_asked_for_and_the_task_left() -> None:
    """No row: the next claim decides."""
    asking = gate(look_up=lambda _symbol: None)
    assert asking.admit(task()) is None
    assert asking.asked == {("one", "MNQZ2026")}


@pytest.mark.parametrize("code", ["NO_SUCH_ACCOUNT", "ACCOUNT_AMBIGUOUS", "CANNOT_TRADE"])
def test_an_account_that_its_broker_does_not_take_is_denied_before_anything_is_sent(code: str) -> None:
    """The broker would refuse the order; what is wrong with the line or the login may pass, and is not denied here."""
    account = Account("one", "projectx", limits=LIVE)
    barred = replace(KNOWN, link=down(code, "The login has no account 'A'. It has: B."))
    found = refused(gate(account, Facts(accounts={"one": barred})).admit(task()))
    assert (found.status, found.reason) == (Status.DENIED, code)
    assert found.message == "The login has no account 'A'. It has: B."
    away = replace(KNOWN, link=down("BROKER_UNREACHABLE", "It did not answer."))
    sent(gate(account, Facts(accounts={"one": away})).admit(task()))


def test_a_broker_that_cannot_say_makes_the_entry_wait_longer_and_longer() -> None:
    """Without being asked again at once."""
    waiting = gate(look_up=lambda _symbol: Looked(fault="gone"))
    row = refused(waiting.admit(task()))
    assert (row.status, row.reason, row.run_in_s) == (Status.PENDING, "CONTRACT_WAITS", 1.0)
    assert refused(waiting.admit(task(created_at=NOW - timedelta(seconds=60)))).run_in_s == 20.0
    assert refused(waiting.admit(task(created_at=NOW - timedelta(days=1)))).run_in_s == 60.0
    assert waiting.asked == set()


@pytest.mark.parametrize(("tick_size", "tick_value"), [("0.5", "0.50"), ("0.25", "5"), ("0", "0.50"), ("NaN", "0.50")])
def test_nothing_is_sent_while_the_brokers_tick_is_another(tick_size: str, tick_value: str) -> None:
    """The size would be wrong."""
    other = Looked(Contract("CON.MNQZ6", "MNQZ6", Decimal(tick_size), Decimal(tick_value), active=True))
    row = refused(gate(look_up=lambda _symbol: other).admit(task()))
    assert row.status == Status.DENIED
    assert row.reason in ("CONTRACT_MISMATCH", "NUMBER_WRONG")


@pytest.mark.parametrize("name", ["NQZ6", "MNQH7", "?"])
def test_another_contract_than_the_one_asked_for_is_refused(name: str) -> None:
    """A broker's search may find something near."""
    other = Looked(Contract("X", name, Decimal("0.25"), Decimal("0.50"), active=True))
    assert refused(gate(look_up=lambda _symbol: other).admit(task())).reason == "CONTRACT_MISMATCH"


@pytest.mark.parametrize(
    ("symbol", "roll", "now", "asked", "contract"),
    [
        ("MNQ1!", RollPolicy.EXCHANGE, NOW, ["MNQZ2026"], "CON.MNQZ6"),
        ("CME_MINI:MNQ1!", RollPolicy.EXCHANGE, datetime(2026, 12, 13, 22, 59, tzinfo=UTC), ["MNQZ2026"], "CON.MNQZ6"),
        # Sunday 17:00 in Chicago is the exchange's Monday
        ("MNQ1!", RollPolicy.EXCHANGE, datetime(2026, 12, 13, 23, 0, tzinfo=UTC), ["MNQH2027"], None),
        ("MNQ2!", RollPolicy.EXCHANGE, NOW, ["MNQH2027"], None),
        ("MNQZ2026", RollPolicy.BROKER, NOW, ["MNQZ2026"], "CON.MNQZ6"),
        ("MNQ1!", RollPolicy.BROKER, NOW, ["MNQ1!"], "CON.MNQZ6"),
        ("CL1!", RollPolicy.EXCHANGE, NOW, ["CL1!"], "CON.CLZ6"),
        ("CL2!", RollPolicy.EXCHANGE, NOW, ["CL1!", "CLF2027"], "CON.CLF7"),
    ],
)
def test_the_brokers_contract(
    symbol: str, roll: RollPolicy, now: datetime, asked: list[str], contract: str | None
) -> None:
    """By the exchange's rule where it has one, else the broker's active one; always asked of the broker by name."""
    names: list[str] = []

    def look_up(name: str) -> Looked:
        names.append(name)
        return broker(name)

    account = replace(ruled(), roll=roll)
    alert = task(BUY | {"symbol": symbol, "entry_price": None}, received_at=now)
    found = gate(account, look_up=look_up, now=now).admit(alert)
    assert names == asked
    if contract is None:
        assert refused(found).reason == "CONTRACT_UNKNOWN"
    else:
        assert sent(found).order.symbol == contract


@pytest.mark.parametrize(
    ("symbol", "named"), [("MNQ1!", "MNQZ6"), ("MNQH2027", "MNQH7"), ("COMEX:GC1!", "GC1!"), ("GC2!", "GC2!")]
)
@pytest.mark.parametrize("connector", ["dryrun", "projectx"])
def test_a_dry_run_asks_no_broker(symbol: str, named: str, connector: str) -> None:
    """The exchange's rule where it can tell; else the continuous symbol, and the log says so."""

    def never(_symbol: str) -> Looked:
        raise AssertionError("asked")

    account = Account("one", connector, roll=RollPolicy.BROKER)
    found = sent(gate(account, dry_run=True, look_up=never).admit(task(BUY | {"symbol": symbol}, mode="dry")))
    assert (found.order.symbol, found.detail["contract"]) == (named, named)
    assert ("only a broker knows" in found.detail["resolution"]) == named.endswith("!")


def test_an_addition_goes_into_the_contract_that_its_trade_holds() -> None:
    """Also after the front month has moved on, and on the side that is held where the alert names none."""
    held = AccountFacts(holdings=(Held("T1", "MNQ", "CON.MNQU6", Decimal(-2)),))

    def look_up(symbol: str) -> Looked:
        return Looked(Contract(symbol, "MNQU6", Decimal("0.25"), Decimal("0.50"), active=False))

    adding = gate(facts=Facts(accounts={"one": held}), look_up=look_up)
    found = sent(
        adding.admit(
            task(BUY | {"direction": None, "quantity": 50, "quantity_kind": "percent_of_position"}, event_type="ADD")
        )
    )
    assert (found.order.symbol, found.order.direction, found.order.quantity) == ("CON.MNQU6", "SHORT", "1")


def test_what_is_sent_again_is_the_same_order() -> None:
    """Under the same id the first one may turn up after all: neither equity nor a roll changes it."""
    account = replace(ruled(), sizing=SizingRule(SizeBy.RISK_PERCENT, Decimal(1)))
    alert = task(BUY | {"stop_loss": 19990})
    first = sent(gate(account, known(booked(50_000))).admit(alert))
    later = replace(alert, attempts=1, intent=first.detail)
    again = sent(gate(account, known(booked(30_000)), look_up=lambda _symbol: None).admit(later))
    assert again.order == first.order
    assert again.order.request_hash() == first.order.request_hash()


# simulated accounts


@pytest.mark.parametrize(
    ("payload", "quantity", "root"),
    [
        ({"symbol": "AAPL", "direction": "LONG", "quantity": 7}, "7", "AAPL"),
        ({"symbol": "AAPL"}, "1", "AAPL"),
        ({"symbol": "NQ"}, "1", "NQ"),
        ({}, "1", "-"),
        ({"symbol": "BTC/USDT", "direction": "SHORT", "quantity": 100, "quantity_kind": "cash"}, "1", "BTCUSDT"),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_an_account_without_a_broker_simulates_what_cannot_be_sized(
    payload: Mapping[str, Any], quantity: str, root: str, *, dry_run: bool
) -> None:
    """As it was asked; the row says that it was not sized and why."""
    account = Account("one", "dryrun", limits=LIVE)
    found = sent(gate(account, dry_run=dry_run).admit(task(payload, mode="dry" if dry_run else "live")))
    assert (found.detail["quantity"], found.detail["root"]) == (quantity, root)
    assert "Not sized" in found.detail["sizing"]["calculation"]
    assert found.order.symbol == payload.get("symbol")
    assert found.order.quantity == str(payload.get("quantity", 1))


def test_a_halted_account_simulates_nothing() -> None:
    """What cannot be sized is held against every limit too."""
    halted = Facts((Control("all", "halt", 1),), {"one": KNOWN})
    row = refused(gate(Account("one", "dryrun"), halted, dry_run=True).admit(task({}, mode="dry")))
    assert (row.status, row.reason) == (Status.DENIED, "HALTED")


# limits


@pytest.mark.parametrize(
    ("limits", "facts", "code", "figures"),
    [
        (
            {"max_contracts": Decimal(3)},
            known(None, exposed(2)),
            "MAX_CONTRACTS",
            {"held_and_working": "2", "this": "2", "max_contracts": "3"},
        ),
        (
            {"max_contracts": Decimal(3)},
            known(None, exposed(1, "NQ"), exposed(1, "ES", "SHORT")),
            "MAX_CONTRACTS",
            {"held_and_working": "2"},
        ),
        (
            {"max_contracts": Decimal(1), "micros_per_contract": Decimal(10)},
            known(None, exposed(9)),
            "MAX_CONTRACTS",
            {"held_and_working": "0.9", "this": "0.2"},
        ),
        ({"daily_loss": Decimal(1000)}, known(booked(49_000)), "DAILY_LOSS", {"loss": "1000", "daily_loss": "1000"}),
        (
            {"daily_loss": Decimal(1000), "buffer": Decimal(200)},
            known(booked(49_200)),
            "DAILY_LOSS",
            {"allowed": "800"},
        ),
        (
            {"daily_loss": Decimal(1000)},
            known(booked(50_000, day=date(2026, 11, 20))),
            "OTHER_DAY",
            {"day": "2026-11-20"},
        ),
        ({"daily_loss": Decimal(1000)}, known(), "STATE_UNKNOWN", {"name": "day"}),
        ({"daily_loss": Decimal(1000)}, known({"balances": {"balance": "x"}}), "OUT_OF_SYNC", {}),
        (
            {"drawdown": Drawdown(Trail.END_OF_DAY, Decimal(2000))},
            known(booked(48_900, start=50_900)),
            "DRAWDOWN",
            {"floor": "48900", "equity": "48900"},
        ),
        (
            {"no_opposite_side": True},
            known(None, exposed(1, "NQ", "SHORT")),
            "OPPOSITE_SIDE",
            {"side": "SHORT", "root": "NQ"},
        ),
        ({"instruments": frozenset({"ES"})}, known(), "INSTRUMENT_NOT_ALLOWED", {"root": "MNQ"}),
        (
            {"max_orders_per_minute": 1},
            Facts(accounts={"one": AccountFacts(intents=((9, NOW),))}),
            "ORDERS_PER_MINUTE",
            {"last_minute": "1"},
        ),
        (
            {"max_price_off": Decimal(1)},
            known(prices={"MNQ": (Decimal(19_000), NOW)}),
            "PRICE_OFF",
            {"last_price": "19000"},
        ),
        (
            {"max_price_off": Decimal(1)},
            known(prices={"MNQ": (Decimal(20_000), NOW - timedelta(hours=1))}),
            "PRICE_STALE",
            {},
        ),
        ({"max_price_off": Decimal(1)}, known(), "NUMBER_MISSING", {}),
        ({"automation": Automation.PROHIBITED}, known(), "AUTOMATION_PROHIBITED", {}),
        ({"live": False}, known(), "NOT_LIVE", {"mode": "live"}),
        ({"max_contracts": Decimal(3)}, Facts(), "STATE_UNKNOWN", {"name": "exposures"}),
        ({}, known(booked(50_000, out_of_sync="The broker holds 1 MNQ more.")), "OUT_OF_SYNC", {}),
        ({}, known(booked(50_000, flattening=3)), "REDUCING", {}),
        ({}, known(controls=(Control("account:one", "halt", 1),)), "HALTED", {}),
        ({}, known(controls=(Control("strategy:TREND", "halt", 1),)), "HALTED", {}),
        ({}, known(controls=(Control("all", "flatten", 1),)), "REDUCING", {}),
    ],
)
def test_every_denial_has_its_numbers(
    limits: Mapping[str, Any], facts: Facts, code: str, figures: Mapping[str, str]
) -> None:
    """One limit each; the row says which, and with what figures, and what size the order would have had."""
    row = refused(gate(ruled(**limits), facts).admit(task(strategy="trend")))
    assert (row.status, row.reason) == (Status.DENIED, code)
    assert {name: row.detail[name] for name in figures} == figures
    assert row.detail["order"] == {"root": "MNQ", "direction": "LONG", "quantity": "2"}
    assert "asked for" in row.detail["sizing"]["calculation"]


@pytest.mark.parametrize(
    ("limits", "facts"),
    [
        ({"max_contracts": Decimal(4)}, known(None, exposed(2))),
        ({"max_contracts": Decimal(1), "micros_per_contract": Decimal(10)}, known(None, exposed(8))),
        ({"daily_loss": Decimal(1000)}, known(booked(49_001))),
        ({"no_opposite_side": True}, known(None, exposed(1, "NQ", "LONG"), exposed(1, "ES", "SHORT"))),
        # a retry is not held against its own first attempt
        ({"max_orders_per_minute": 1}, Facts(accounts={"one": AccountFacts(intents=((1, NOW),))})),
        # a mini and its micro have one price
        ({"max_price_off": Decimal(1)}, known(prices={"NQ": (Decimal(20_000), NOW)})),
        ({}, known(controls=(Control("all", "halt", 1), Control("all", "resume", 2)))),
        ({}, known(controls=(Control("strategy:other", "halt", 1), Control("account:two", "halt", 2)))),
    ],
)
def test_what_is_within_every_limit_passes(limits: Mapping[str, Any], facts: Facts) -> None:
    """The last one that fits."""
    sent(gate(ruled(**limits), facts).admit(task(strategy="trend")))


def test_everything_that_stood_against_it_is_in_the_row() -> None:
    """What forbids everything comes first, and counts; the rest is told too."""
    facts = known(booked(40_000), exposed(9), controls=(Control("all", "halt", 1),))
    row = refused(gate(ruled(max_contracts=Decimal(3), daily_loss=Decimal(1000)), facts).admit(task()))
    assert row.reason == "HALTED"
    assert [also["code"] for also in row.detail["also"]] == ["MAX_CONTRACTS", "DAILY_LOSS"]


def test_a_halt_comes_before_a_size_that_is_wrong() -> None:
    """The reason that a person can do something about now."""
    halted = known(controls=(Control("all", "halt", 1),))
    assert refused(gate(ruled(), halted).admit(task(BUY | {"quantity": 0.5}))).reason == "HALTED"


def test_entries_of_one_claim_see_each_other() -> None:
    """Each one that passes takes the room, the orders a minute and the side of those behind it."""
    room = gate(ruled(max_contracts=Decimal(3)), known())
    sent(room.admit(task(number=1)))
    assert refused(room.admit(task(number=2))).reason == "MAX_CONTRACTS"
    sent(room.admit(task(BUY | {"quantity": 1}, number=3)))
    pace = gate(ruled(max_orders_per_minute=1), known())
    sent(pace.admit(task(number=1)))
    assert refused(pace.admit(task(number=2))).reason == "ORDERS_PER_MINUTE"


def test_what_is_refused_takes_no_room() -> None:
    """Neither an order that was denied nor one whose contract is not known yet."""
    room = gate(ruled(max_contracts=Decimal(3)), known())
    assert refused(room.admit(task(BUY | {"symbol": "MNQH2027"}, number=1))).reason == "CONTRACT_UNKNOWN"
    sent(room.admit(task(number=2)))


@pytest.mark.parametrize("published", [True, False])
def test_accounts_of_one_owner_never_hold_opposite_sides(*, published: bool) -> None:
    """Whether the other one is of this router's configuration or of another process's; in one claim too."""
    one = replace(ruled(no_opposite_side=True), owner="me")
    two = replace(one, name="two")
    others = () if published else (two,)
    facts = Facts(
        accounts={"one": KNOWN, "two": AccountFacts(exposures=(exposed(1, "NQ", "SHORT", "two"),))},
        owners={"me": ("one", "two")} if published else {},
    )
    row = refused(gate(one, facts, *others).admit(task()))
    assert (row.reason, row.detail["account"]) == ("OPPOSITE_SIDE", "two")
    both = gate(one, Facts(accounts={"one": KNOWN, "two": KNOWN}), two)
    sent(both.admit(task(number=1)))
    assert refused(both.admit(task(BUY | {"direction": "SHORT"}, 2, account="two"))).reason == "OPPOSITE_SIDE"


def test_an_owners_account_that_nothing_is_known_of_denies() -> None:
    """It may hold anything."""
    one = replace(ruled(no_opposite_side=True), owner="me")
    found = gate(one, Facts(accounts={"one": KNOWN}, owners={"me": ("two",)})).admit(task())
    assert (refused(found).reason, refused(found).detail["name"]) == ("STATE_UNKNOWN", "owner_exposures")


# approval and age


def test_an_entry_that_a_person_must_see_is_held_and_then_sent() -> None:
    """With the size that it would have; an approval counts once, and limits are looked at again."""
    account = ruled(automation=Automation.APPROVE_EACH)
    row = refused(gate(account, known()).admit(task()))
    assert (row.status, row.reason, row.detail["order"]["quantity"]) == (Status.HELD, "APPROVAL_NEEDED", "2")
    sent(gate(account, known()).admit(task(approved=True)))
    halted = known(controls=(Control("all", "halt", 1),))
    assert refused(gate(account, halted).admit(task(approved=True))).reason == "HALTED"


@pytest.mark.parametrize(
    ("within", "age_s", "status"),
    [(None, 5, None), (None, 61, Status.EXPIRED), (3600, 61, None), (3600, 3600, Status.EXPIRED)],
)
def test_approve_within_replaces_the_age_limit(within: int | None, age_s: int, status: Status | None) -> None:
    """An approved entry is as old as its approval may take, if that is limited; else as its strategy allows."""
    rules = ruled(automation=Automation.APPROVE_EACH, approve_within=within and timedelta(seconds=within))
    received = NOW - timedelta(seconds=age_s)
    alert = task(approved=True, received_at=received, expires_at=received + timedelta(seconds=60))
    made = decide([alert], now=NOW, dry_run=False, lease_s=30, limit=5, gate=gate(rules, known()))
    if status is None:
        assert [send.task.id for send in made.sends] == [1]
    else:
        assert [(row.status, row.reason) for row in made.others] == [(status, "TOO_OLD")]


# the claim around it


def test_one_of_a_lane_at_a_time_takes_room_for_one() -> None:
    """Where a broker trades, what is left for the next claim is not counted in this one."""
    room = gate(ruled(max_contracts=Decimal(4)), known())
    alerts = [task(number=1), task(number=2), task(BUY | {"symbol": "MES1!"}, 3, lane="one/ES")]
    made = decide(alerts, now=NOW, dry_run=False, lease_s=30, limit=5, gate=room, one_of_a_lane=True)
    assert [send.task.id for send in made.sends] == [1, 3]
    assert made.others == ()


def test_the_intent_says_what_was_decided() -> None:
    """Its row holds the size, the limits, the contract and the hash of the whole order."""
    (send,) = decide([task()], now=NOW, dry_run=False, lease_s=30, limit=5, gate=gate()).sends
    assert send.entry.detail["request_hash"] == send.order.request_hash()
    assert {"sizing", "risk", "contract", "quantity", "root", "direction", "resolution"} <= set(send.entry.detail)


# what the database says


def read(**account: Any) -> AccountFacts:
    """The facts of `one` as account_facts() answers them."""
    empty: dict[str, Any] = {"holdings": [], "entries": [], "orders": [], "intents": [], "state": None}
    return facts_of({"controls": [], "owners": {}, "prices": {}, "accounts": {"one": {**empty, **account}}}).accounts[
        "one"
    ]


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        ({"holdings": [["T", "MNQ", "C", "2"]]}, [("MNQ", "LONG", "2")]),
        ({"holdings": [["T", "MNQ", "C", "-1.5"]]}, [("MNQ", "SHORT", "1.5")]),
        ({"entries": [[1, "MNQ", "LONG", "5", "2", "NQ1!", "SHORT", "9"]]}, [("MNQ", "LONG", "3")]),
        ({"entries": [[1, "MNQ", "LONG", "5", "5", None, None, None]]}, []),
        ({"entries": [[1, None, None, None, "0", "CME:NQ1!", "SHORT", "4"]]}, [("NQ", "SHORT", "4")]),
        ({"entries": [[1, None, None, None, "0", None, None, None]]}, [("-", "", "1")]),
        ({"orders": [["MNQ", "C", "SELL", "2"]]}, [("MNQ", "SHORT", "2")]),
        ({"orders": [["MNQ", "C", "SELL", "2"]], "holdings": [["T", "MNQ", "C", "2"]]}, [("MNQ", "LONG", "2")]),
        (
            {"orders": [["MNQ", "C", "SELL", "3"]], "holdings": [["T", "MNQ", "C", "2"]]},
            [("MNQ", "LONG", "2"), ("MNQ", "SHORT", "1")],
        ),
        (
            {"orders": [["MNQ", "D", "SELL", "2"]], "holdings": [["T", "MNQ", "C", "2"]]},
            [("MNQ", "LONG", "2"), ("MNQ", "SHORT", "2")],
        ),
    ],
)
def test_exposures(account: Mapping[str, Any], expected: list[tuple[str, str, str]]) -> None:
    """Positions, what entries may still fill, and other people's orders beyond what they close."""
    found = read(**account).exposures
    assert found is not None
    assert [(each.root, each.side, str(each.quantity)) for each in found] == expected


def test_what_other_trades_of_the_account_offset_is_opposite_to_nothing() -> None:
    """The broker nets it: LONG 2 and SHORT 1 of one contract are LONG 1 there; LONG 1 and SHORT 1 are nothing. All of it counts as held."""
    found = read(
        holdings=[["T", "MNQ", "C", "2"], ["U", "MNQ", "C", "-1"], ["V", "MNQ", "D", "1"], ["W", "MNQ", "D", "-1"]]
    )
    assert found.exposures is not None
    assert [(each.side, each.offset) for each in found.exposures] == [
        ("LONG", False),
        ("SHORT", True),
        ("LONG", True),
        ("SHORT", True),
    ]


def test_an_entry_whose_size_cannot_be_read_makes_the_exposure_unknown() -> None:
    """Which denies wherever a limit needs it."""
    assert read(entries=[[1, "MNQ", "LONG", "many", "0", None, None, None]]).exposures is None


# what is held and cannot be valued


@pytest.mark.parametrize("limit", [{"daily_loss": Decimal(1000)}, {"drawdown": Drawdown(Trail.STATIC, Decimal(2000))}])
@pytest.mark.parametrize(
    ("mark", "passes"),
    [
        (("MNQ", NOW - timedelta(seconds=60)), True),
        (("MNQ", NOW - timedelta(seconds=301)), False),
        (("MNQ", None), False),
        (("6X", NOW), False),
    ],
    ids=["fresh", "stale", "no price", "no product"],
)
def test_a_loss_limit_needs_the_value_of_what_is_held(
    limit: dict[str, Any], mark: tuple[str, datetime | None], passes: bool
) -> None:
    """Else the open profit stays what it was, and the loss that is being made counts for nothing."""
    facts = Facts(accounts={"one": AccountFacts(state=booked(50_000), marks=(("MNQ", NOW), mark))})
    found = gate(ruled(**limit), facts).admit(task())
    if passes:
        sent(found)
        return
    row = refused(found)
    assert (row.reason, row.detail["root"]) == ("STATE_UNKNOWN", mark[0])
    sent(gate(ruled(), facts).admit(task()))
