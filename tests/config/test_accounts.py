"""Accounts, groups and routes in the file: what they become, and every fault that a trader can make in them."""

from datetime import date, time, timedelta
from decimal import Decimal

import pytest

from eventrouter.config import AccountConfig, load_config
from eventrouter.config.rules import account_of
from eventrouter.domain.accounts import Account
from eventrouter.domain.balances import Drawdown, Trail
from eventrouter.domain.risk_inputs import Automation, RiskLimits
from eventrouter.domain.rolls import RollPolicy
from eventrouter.domain.sizing import Contract, SizeBy, SizingRule
from eventrouter.domain.trading_day import TradingDays, Window
from tests.config.files import faults_of, loaded, written

EVERYTHING = """
[[accounts]]
name = "combine"
connector = "projectx"
enabled = false
live = true
broker_account = "50KTC-V2-1234"
url = "https://api.example.com/"
hub_url = "https://rtc.example.com/hubs/user"
firm = "Topstep"
owner = "me"
currency = "EUR"
balance = 50_000.10
timezone = "America/New_York"
day_starts = "18:00"
sizing = { by = "risk_percent", value = 0.50, contract = "mini_or_micro" }
instruments = ["MNQ1!", "CME_MINI:NQZ2026", "mes"]
automation = "approve_each"
approve_within = 600
windows = ["09:30-15:00", "mon-wed,FRI 20:00-02:00", "sun 18:00-18:30", "fri-mon 01:00-02:00"]
flat_by = "16:08"
early_closes = { 2026-12-24 = "13:10", 2026-11-27 = "13:00" }
max_contracts = 5
micros_per_contract = 10
max_orders_per_minute = 6
daily_loss = 1000.05
drawdown = { trail = "end_of_day", amount = 2000.00, stops_at = 50000.10 }
buffer = 100
no_opposite_side = false
max_price_off = 0.25
max_price_age = 30.5
roll = "broker"
"""

BROKER = "[[accounts]]\nname = 'a'\nconnector = 'projectx'\nautomation = 'allowed'\n"
PAPER = "[[accounts]]\nname = 'a'\n"


def test_everything_that_is_configured_reaches_the_account() -> None:
    """Each key of the file has its place in the account, and its number is the one that was written."""
    (account,) = loaded(EVERYTHING).accounts
    assert account_of(account) == Account(
        name="combine",
        connector="projectx",
        enabled=False,
        broker_account="50KTC-V2-1234",
        url="https://api.example.com",
        hub_url="https://rtc.example.com/hubs/user",
        firm="Topstep",
        owner="me",
        currency="EUR",
        balance=Decimal("50000.10"),
        sizing=SizingRule(SizeBy.RISK_PERCENT, Decimal("0.50"), Contract.MINI_OR_MICRO),
        limits=RiskLimits(
            days=TradingDays("America/New_York", time(18)),
            live=True,
            automation=Automation.APPROVE_EACH,
            approve_within=timedelta(minutes=10),
            instruments=frozenset({"MNQ", "NQ", "MES"}),
            windows=(
                Window(time(9, 30), time(15)),
                Window(time(20), time(2), frozenset({0, 1, 2, 4})),
                Window(time(18), time(18, 30), frozenset({6})),
                Window(time(1), time(2), frozenset({4, 5, 6, 0})),
            ),
            flat_by=time(16, 8),
            early_closes=((date(2026, 11, 27), time(13)), (date(2026, 12, 24), time(13, 10))),
            max_contracts=Decimal(5),
            micros_per_contract=Decimal(10),
            max_orders_per_minute=6,
            daily_loss=Decimal("1000.05"),
            drawdown=Drawdown(Trail.END_OF_DAY, Decimal(2000), Decimal("50000.10")),
            buffer=Decimal(100),
            no_opposite_side=False,
            max_price_off=Decimal("0.25"),
            max_price_age=timedelta(seconds=30.5),
        ),
        roll=RollPolicy.BROKER,
    )
    assert account.model_fields_set == set(AccountConfig.model_fields) - {"login"}


def account_of_paper() -> Account:
    """The account of a file that says nothing."""
    return account_of(loaded("").accounts[0])


def test_a_simulated_account_is_free_and_a_brokers_is_not() -> None:
    """What follows from the connector where the file does not say it."""
    paper, broker = account_of_paper(), account_of(loaded(BROKER).accounts[0])
    assert (paper.limits.automation, paper.limits.no_opposite_side) == (Automation.ALLOWED, False)
    assert (broker.limits.live, broker.limits.no_opposite_side) == (False, True)
    assert account_of(AccountConfig(name="a", connector="projectx")).limits.automation == Automation.PROHIBITED
    assert (paper.sizing, paper.connection) == (SizingRule(SizeBy.MULTIPLIER, Decimal(1)), "dryrun")


@pytest.mark.parametrize(
    "text", ["0.1", "1.10", "1", "1e3", "1_000.25", "123456789012345.123456789012345", "100000000.00000001", "2.675"]
)
def test_amounts_are_what_was_written(text: str) -> None:
    """Neither the file nor the environment makes a binary fraction of them."""
    from_file = loaded(f"{PAPER}balance = {text}").accounts[0].balance
    json = f'[{{"name": "a", "balance": {text.replace("_", "")}}}]'
    from_environment = load_config(written(""), environ={"EVENTROUTER_ACCOUNTS": json}).accounts[0].balance
    assert str(from_file) == str(from_environment) == str(Decimal(text))


def test_a_shared_login_goes_to_the_same_machines() -> None:
    """The addresses come along, so that a process that has only this account still knows them."""
    config = loaded(
        f"{BROKER}url = 'http://127.0.0.1:1'\nhub_url = 'http://127.0.0.1:1/hub'\n"
        f"{BROKER.replace(chr(39) + 'a' + chr(39), chr(39) + 'b' + chr(39))}login = 'a'"
    )
    first, second = map(account_of, config.accounts)
    assert (
        (second.url, second.hub_url) == (first.url, first.hub_url) == ("http://127.0.0.1:1", "http://127.0.0.1:1/hub")
    )
    assert first.connection == second.connection == "projectx/a"


# faults of one account


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("balance = -1", "balance: must be more than 0, it is -1"),
        ("balance = 0.0", "balance: must be more than 0, it is 0.0"),
        ("balance = nan", "balance: must be a finite number, it is nan"),
        ("balance = inf", "balance: must be a finite number, it is infinity"),
        ("balance = -inf", "balance: must be a finite number, it is -infinity"),
        ("balance = 1e99999999999999999999", "balance: must be a finite number, it is infinity"),
        ("balance = '1000'", 'balance: must be a number, it is "1000"'),
        ("balance = true", "balance: must be a number, it is true"),
        ("balance = 1e16", "balance: must have at most 30 digits and not go beyond 10^15, it is 1e+16"),
        ("buffer = -0.01\ndaily_loss = 5\nbalance = 9", "buffer: must be at least 0, it is -0.01"),
        ("max_contracts = 0", "max_contracts: must be more than 0, it is 0"),
        ("max_contracts = nan", "max_contracts: must be a finite number, it is nan"),
        ("max_orders_per_minute = 2.0", "max_orders_per_minute: must be a whole number, it is 2.0"),
        ("max_orders_per_minute = 0", "max_orders_per_minute: must be at least 1, it is 0"),
        ("max_price_off = 101", "max_price_off: must be at most 100, it is 101"),
        ("max_price_age = nan", "max_price_age: must be a finite number, it is nan"),
        ("micros_per_contract = 0.1\nmax_contracts = 1", "micros_per_contract: must be at least 1, it is 0.1"),
        ("live = 1", "live: must be true or false, it is 1"),
        ("currency = 'usd'", 'currency: must be three capitals, such as USD, it is "usd"'),
        (
            "timezone = 'America/Chicgo'",
            "timezone: must be a time zone that this machine knows; did you mean America/Chicago?",
        ),
        ("timezone = 'CT'", "timezone: must be a time zone that this machine knows"),
        ("day_starts = '17'", 'day_starts: must be a local time such as "17:00", it is "17"'),
        ("day_starts = '24:00'", 'day_starts: must be a local time such as "17:00", it is "24:00"'),
        ("day_starts = 17:00:00", "day_starts: must be text in quotes"),
        (
            "windows = ['8:30-15:00']",
            'windows[0]: must be like "08:30-15:00" or "mon-fri 08:30-15:00", it is "8:30-15:00"',
        ),
        ("windows = '08:30-15:00'", "windows: must be a list"),
        ("windows = ['mon 09:30-09:30']", "windows[0]: must close at another time than it opens"),
        (
            "windows = ['mo-fr 08:30-15:00']",
            'windows[0]: must be like "08:30-15:00" or "mon-fri 08:30-15:00", it is "mo-fr 08:30-15:00"',
        ),
        ("owner = ' me'", 'owner: must be at most 100 characters without spaces around, it is " me"'),
        ("url = 'http://api.example.com'\nhub_url = 'https://a.example.com'", "url: must begin with https://"),
        ("url = 'ftp://a'\nhub_url = 'https://a.b'", 'url: must be like "https://api.example.com"'),
        ("url = 'https://a.b'", "hub_url: is required with url: keys for one broker must not reach another one"),
        ("hub_url = 'https://a.b'", "url: is required with hub_url: keys for one broker must not reach another one"),
        ("automation = 'yes'", "automation: must be one of 'allowed', 'approve_each' or 'prohibited', it is \"yes\""),
        ("approve_within = 60", 'approve_within: is of no use without automation = "approve_each"'),
        ("micros_per_contract = 10", "micros_per_contract: is of no use without max_contracts"),
        ("buffer = 10", "buffer: is of no use without daily_loss or drawdown"),
        (
            "balance = 9\ndaily_loss = 5\nbuffer = 5",
            "buffer: must be less than daily_loss = 5, or there is nothing left",
        ),
        ("sizing = 3", "sizing: must be a table"),
        ("sizing = { bye = 'fixed' }", "sizing.bye: unknown key; did you mean by?"),
        ("sizing = { by = 'fixed' }", 'sizing.value: is required with by = "fixed"'),
        ("sizing = { value = 0 }", "sizing.value: must be more than 0, it is 0"),
        ("sizing = { value = -0.5 }", "sizing.value: must be more than 0, it is -0.5"),
        ("sizing = { value = nan }", "sizing.value: must be a finite number, it is nan"),
        ("sizing = { contract = 'mirco' }", "sizing.contract: must be one of 'named', 'mini', 'micro' or"),
        ("sizing = { by = 'position_percent', value = 50 }", "sizing.by: must be one of 'fixed', 'multiplier',"),
        (
            "sizing = { by = 'risk_percent', value = 101 }\nbalance = 1",
            "sizing.value: must be at most 100 percent, it is 101",
        ),
        ("sizing = { by = 'risk_percent', value = 1 }", "balance: is required with sizing by risk_percent:"),
        ("sizing = { by = 'equity_percent', value = 1 }", "balance: is required with sizing by equity_percent:"),
        ("daily_loss = 100", "balance: is required with daily_loss:"),
        ("drawdown = { trail = 'static', amount = 2 }", "balance: is required with drawdown:"),
        ("balance = 9\ndrawdown = { amount = 2 }", "drawdown.trail: is required"),
        (
            "balance = 9\ndrawdown = { trail = 'eod', amount = 2 }",
            "drawdown.trail: must be one of 'static', 'end_of_day' or",
        ),
        ("balance = 9\ndrawdown = { trail = 'static', amount = 9 }", "drawdown.amount: must be less than balance = 9;"),
        (
            "balance = 9\ndrawdown = { trail = 'static', amount = 2, stops_at = 9 }",
            "drawdown.stops_at: is of no use with trail = static",
        ),
        (
            "balance = 9\ndrawdown = { trail = 'intraday', amount = 2, stops_at = 6.99 }",
            "drawdown.stops_at: must be at least 7, where the floor begins",
        ),
        ("flat_by = '17:30'", "flat_by: is less than an hour after the trading day starts (day_starts = 17:00);"),
        ("early_closes = ['2026-11-27']\nflat_by = '15:10'", "early_closes: must be a table"),
        ("early_closes = { 2026-11-27 = '12:10' }", "early_closes: is of no use without flat_by"),
        (
            "flat_by = '15:10'\nearly_closes = { 2026-11-31 = '12:10' }",
            'early_closes.2026-11-31: must be a date such as 2026-11-27, it is "2026-11-31"',
        ),
        (
            "flat_by = '15:10'\nearly_closes = { 2026-11-27 = '12' }",
            'early_closes.2026-11-27: must be a local time such as "17:00", it is "12"',
        ),
        ("flat_by = '15:10'\nwindows = ['15:10-16:00']", "windows[0]: never opens: the account must be flat by 15:10"),
        ("instruments = ['MNQ', 'MNQQ']", 'instruments[1]: there is no product "MNQQ" known here; did you mean MNQ?'),
        ("broker = 'x'", "broker: unknown key; did you mean broker_account?"),
    ],
)
def test_a_fault_of_an_account_names_its_key_and_says_what_to_do(text: str, line: str) -> None:
    """One line for each fault, and no other line."""
    (fault,) = faults_of(PAPER + text)
    assert fault.startswith(f"accounts[0].{line}")


@pytest.mark.parametrize(
    "text",
    [
        "flat_by = '17:00'",
        "flat_by = '17:00'\nwindows = ['08:30-15:00']",
        "flat_by = '18:00'",
        "day_starts = '00:00'\nflat_by = '23:00'",
        "flat_by = '15:10'\nwindows = ['14:00-16:00', '17:00-02:00']",
        "flat_by = '15:10'\nwindows = ['16:00-18:00']",
        "url = 'http://10.1.2.3:5'\nhub_url = 'http://simulator:5/hub'",
        "windows = ['00:00-00:00']",
        "instruments = ['BTCUSDT', 'AAPL', 'CLF', 'ES']",
    ],
)
def test_what_only_looks_strange_is_taken(text: str) -> None:
    """Days over midnight, windows that reach into the day, and brokers in a private network."""
    assert loaded(PAPER + text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "[[accounts]]\nname = 'a'\nconnector = 'projectx'",
            "accounts[0].automation: is required: does the firm allow",
        ),
        (
            BROKER + "instruments = ['NMQ']",
            'accounts[0].instruments[0]: no order for "NMQ" could be sized: it is not known here',
        ),
        (BROKER + "login = 'a'", "accounts[0].login: must be another account"),
        (
            BROKER + "login = 'papr'\n[[accounts]]\nname = 'paper'",
            'accounts[0].login: there is no account "papr"; did you mean paper?',
        ),
        (
            BROKER + "login = 'paper'\n[[accounts]]\nname = 'paper'",
            'accounts[0].login: must be an account of the same connector; paper has "dryrun"',
        ),
        (
            BROKER + "[[accounts]]\nname = 'paper'\nlogin = 'a'",
            "accounts[1].login: is of no use with the connector dryrun",
        ),
        (
            BROKER
            + "[[accounts]]\nname = 'b'\nconnector = 'projectx'\nautomation = 'allowed'\nlogin = 'a'\n"
            + "[[accounts]]\nname = 'c'\nconnector = 'projectx'\nautomation = 'allowed'\nlogin = 'b'",
            "accounts[2].login: must be an account with credentials of its own; b itself uses those of another one",
        ),
        (
            BROKER
            + "[[accounts]]\nname = 'b'\nconnector = 'projectx'\nautomation = 'allowed'\nlogin = 'a'\nurl = 'https://x.y'",
            "accounts[1].url: is that of a, whose connection is used; leave it out",
        ),
        (
            BROKER
            + "[[accounts]]\nname = 'b'\nconnector = 'projectx'\nautomation = 'allowed'\nlogin = 'a'\nbroker_account = 'A'",
            'accounts[1].broker_account: is traded as "a" already;',
        ),
        (
            "[[accounts]]\nname = 'a'\nowner = 'Me'\n[[accounts]]\nname = 'b'\nowner = 'me'",
            'accounts[1].owner: is written "Me" before; owners are one only when they are written alike',
        ),
    ],
)
def test_a_fault_between_accounts_says_what_to_do(text: str, line: str) -> None:
    """Logins that lead nowhere, and two accounts that are one."""
    (fault,) = faults_of(text)
    assert fault.startswith(line)


# groups, strategies, routes


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("[[groups]]\nname = 'g'\naccounts = []", ["groups[0].accounts: must name at least one account"]),
        ("[[groups]]\nname = 'g'", ["groups[0].accounts: is required"]),
        (
            "[[groups]]\nname = 'g'\naccounts = ['ppaer']",
            ['groups[0].accounts[0]: there is no account "ppaer"; did you mean paper?'],
        ),
        (
            "[[groups]]\nname = 'Paper'\naccounts = ['paper']",
            ["groups[0].name: is an account's name too; give the group another one"],
        ),
        (
            "[[groups]]\nname = 'g'\naccounts = ['paper']\n[[groups]]\nname = 'G'\naccounts = ['paper']",
            ["groups[1].name: is used twice; upper and lower case count as the same"],
        ),
        ("[[routes]]\nname = 'r'", ["routes[0].accounts: must name at least one account, or groups one group"]),
        ("[[routes]]\naccounts = ['paper']", ["routes[0].name: is required"]),
        (
            "[[groups]]\nname = 'all'\naccounts = ['paper']\n"
            "[[routes]]\nname = 'r'\naccounts = ['all', 'papre']\ngroups = ['paper', 'al']",
            [
                'routes[0].accounts[0]: there is no account "all"; all belongs into groups',
                'routes[0].accounts[1]: there is no account "papre"; did you mean paper?',
                'routes[0].groups[0]: there is no group "paper"; paper belongs into accounts',
                'routes[0].groups[1]: there is no group "al"; did you mean all?',
            ],
        ),
        (
            "[[strategies]]\nname = 'orb'\n[[routes]]\nname = 'r'\naccounts = ['paper']\nstrategy = 'orbb'",
            ['routes[0].strategy: there is no strategy "orbb"; did you mean orb?'],
        ),
        (
            "[[routes]]\nname = 'r'\naccounts = ['paper']\nstrategy = 'orb'",
            ['routes[0].strategy: there is no strategy "orb"; add a block [[strategies]] for it'],
        ),
        (
            "[[routes]]\nname = 'r'\naccounts = ['paper']\nmultiplier = 0",
            ["routes[0].multiplier: must be more than 0, it is 0"],
        ),
        (
            "[[routes]]\nname = 'r'\naccounts = ['paper']\nmultiplier = nan",
            ["routes[0].multiplier: must be a finite number, it is nan"],
        ),
        (
            "[[routes]]\nname = 'r'\naccounts = ['paper']\nevents = ['EXIT_SL']",
            [
                "routes[0].events[0]: must be one of 'ENTRY', 'ADD', 'REVERSE', 'EXIT', 'REDUCE', 'CANCEL', 'MOVE_STOP'"
                " or 'FLATTEN', it is \"EXIT_SL\""
            ],
        ),
        ("[[strategies]]\nname = 'orb'\nquantity = -1", ["strategies[0].quantity: must be more than 0, it is -1"]),
        (
            "[[strategies]]\nname = 'orb'\nquantity = 2.5\nmax_quantity = 2",
            ["strategies[0].quantity: is more than max_quantity = 2; every alert without one would be refused"],
        ),
    ],
)
def test_faults_of_groups_strategies_and_routes(text: str, lines: list[str]) -> None:
    """Each names its key and says what to do."""
    assert faults_of(text) == lines


def test_all_faults_of_accounts_and_routes_come_at_once() -> None:
    """A file is mended in one go: types, unknown names, and keys that contradict each other."""
    lines = faults_of(
        "[[accounts]]\nname = 'a'\nconnector = 'projectx'\nlogin = 'b'\nflat_by = '17:10'\nbalance = nan\n"
        "sizing = { by = 'fixed' }\ndrawdown = { trail = 'static', amount = -1 }\n"
        "[[groups]]\nname = 'a'\naccounts = ['x']\n[[routes]]\nname = 'r'\nstrategy = 's'\ngroups = ['y']"
    )
    assert sorted(line.partition(":")[0] for line in lines) == [
        "accounts[0].automation",
        "accounts[0].balance",
        "accounts[0].drawdown.amount",
        "accounts[0].flat_by",
        "accounts[0].login",
        "accounts[0].sizing.value",
        "groups[0].accounts[0]",
        "groups[0].name",
        "routes[0].groups[0]",
        "routes[0].strategy",
    ]
