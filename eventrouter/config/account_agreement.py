"""The rules that hold between the keys of an account, and between accounts that share a login, a firm or an owner."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from eventrouter.config.accounts import KNOWN_CONNECTORS
from eventrouter.config.values import did_you_mean, number_in, parse_clock, parse_window, shown
from eventrouter.domain.instruments import FAMILIES, PRODUCTS
from eventrouter.domain.symbols import root_of

Fault = tuple[str, str]
Table = Mapping[str, Any]

_DAY = 24 * 60
_SHORTEST = 60  # minutes of a trading day that flat_by must leave
_CONNECTION = ("url", "hub_url")
_NEAR = 0.85  # MNQQ and MNQ; not BTCUSDT and BTC
_LONG = 4  # letters: a short name is near too many


def account_disagreements(accounts: Sequence[Table]) -> Iterator[Fault]:
    """Faults between the keys of each account."""
    for index, account in enumerate(accounts):
        for check in (_policy, _sizing, _money, _drawdown, _hours, _useless, _roots):
            for key, sentence in check(account):
                yield f"accounts[{index}].{key}", sentence


def login_disagreements(accounts: Sequence[Table]) -> Iterator[Fault]:
    """Faults between accounts: logins that lead nowhere, one broker account twice, owners that differ by a capital."""
    named = {str(account.get("name")): account for account in accounts}
    seen: dict[tuple[str, ...], object] = {}
    owners: dict[str, str] = {}
    for index, account in enumerate(accounts):
        key = f"accounts[{index}]"
        for below, sentence in _login(account, named):
            yield f"{key}.{below}", sentence
        owner = account.get("owner")
        if isinstance(owner, str) and owners.setdefault(owner.casefold(), owner) != owner:
            first = shown(owners[owner.casefold()])
            yield f"{key}.owner", f"is written {first} before; owners are one only when they are written alike"
        if not _real(account):
            continue
        traded = tuple(str(account.get(each) or account.get("name")).casefold() for each in ("login", "broker_account"))
        first_name = seen.setdefault(traded, account.get("name"))
        if first_name != account.get("name"):
            yield (
                f"{key}.broker_account",
                f"is traded as {shown(first_name)} already; each would have limits of its own on the same money",
            )


def _login(account: Table, named: Mapping[str, Table]) -> Iterator[Fault]:
    login, name = account.get("login"), account.get("name")
    if not isinstance(login, str) or not login:
        given = [key for key in _CONNECTION if account.get(key)]
        if len(given) == 1:
            missing = next(key for key in _CONNECTION if key not in given)
            yield missing, f"is required with {given[0]}: keys for one broker must not reach another one"
        return
    other = named.get(login)
    if other is None or login == name:
        said = "must be another account" if login == name else f"there is no account {shown(login) or 'of this name'}"
        yield "login", said + ("" if login == name else did_you_mean(login, [each for each in named if each != name]))
    elif _simulated(account):
        yield "login", "is of no use with the connector dryrun; leave it out"
    elif account.get("connector") != other.get("connector", "dryrun"):
        yield (
            "login",
            f"must be an account of the same connector; {login} has {shown(other.get('connector', 'dryrun'))}",
        )
    elif other.get("login"):
        yield "login", f"must be an account with credentials of its own; {login} itself uses those of another one"
    else:
        for key in _CONNECTION:
            if account.get(key) and account.get(key) != other.get(key):
                yield key, f"is that of {login}, whose connection is used; leave it out"


def _simulated(account: Table) -> bool:
    return str(account.get("connector", "dryrun")) == "dryrun"


def _real(account: Table) -> bool:
    """Whether a broker is behind it; a connector that nobody knows is a fault of its own."""
    return str(account.get("connector")) in KNOWN_CONNECTORS and not _simulated(account)


def _policy(account: Table) -> Iterator[Fault]:
    if account.get("automation") is None and _real(account):
        yield (
            "automation",
            'is required: does the firm allow orders by programs? "allowed", "approve_each" or "prohibited"',
        )


def _sizing(account: Table) -> Iterator[Fault]:
    sizing = _table(account.get("sizing"))
    by, value = sizing.get("by", "multiplier"), sizing.get("value")
    if value is None and by != "multiplier":
        yield "sizing.value", f"is required with by = {shown(by)}"
    amount = number_in(value)
    if by == "risk_percent" and amount is not None and amount > 100:
        yield "sizing.value", f"must be at most 100 percent, it is {shown(amount)}"
    if by in ("risk_percent", "equity_percent") and _simulated(account) and account.get("balance") is None:
        yield "balance", f"is required with sizing by {by}: a simulated account has no broker that knows its equity"


def _money(account: Table) -> Iterator[Fault]:
    limit, buffer = number_in(account.get("daily_loss")), number_in(account.get("buffer", 0))
    if limit is not None and _simulated(account) and account.get("balance") is None:
        yield "balance", "is required with daily_loss: a simulated account has no broker that knows its equity"
    if not buffer:
        return
    amount = number_in(_table(account.get("drawdown")).get("amount"))
    if account.get("daily_loss") is None and account.get("drawdown") is None:
        yield "buffer", "is of no use without daily_loss or drawdown"
    for key, most in (("daily_loss", limit), ("drawdown.amount", amount)):
        if most is not None and buffer >= most:
            yield "buffer", f"must be less than {key} = {shown(most)}, or there is nothing left to lose"


def _drawdown(account: Table) -> Iterator[Fault]:
    drawdown = _table(account.get("drawdown"))
    if not drawdown:
        return
    balance, amount, stops_at = (
        number_in(each) for each in (account.get("balance"), drawdown.get("amount"), drawdown.get("stops_at"))
    )
    if account.get("balance") is None:
        yield "balance", "is required with drawdown: the floor is counted from what the account began with"
    if stops_at is not None and drawdown.get("trail") == "static":
        yield "drawdown.stops_at", "is of no use with trail = static, whose floor never moves"
    if balance is None or amount is None:
        return
    if amount >= balance:
        yield "drawdown.amount", f"must be less than balance = {shown(balance)}; it is how far the floor lies below"
    elif stops_at is not None and stops_at < balance - amount:
        yield "drawdown.stops_at", f"must be at least {shown(balance - amount)}, where the floor begins"


def _hours(account: Table) -> Iterator[Fault]:
    """Minutes are counted from the start of the trading day, so that a day over midnight is one stretch."""
    start = _minutes(account.get("day_starts", "17:00"))
    early = _table(account.get("early_closes"))
    if early and account.get("flat_by") is None:
        yield "early_closes", "is of no use without flat_by"
    if start is None:
        return
    ends = {"flat_by": account.get("flat_by")} | {f"early_closes.{day}": at for day, at in early.items()}
    for key, text in ends.items():
        minutes = _minutes(text)
        if minutes is not None and 0 < (minutes - start) % _DAY < _SHORTEST:
            yield (
                key,
                f"is less than an hour after the trading day starts (day_starts = {start // 60:02}:{start % 60:02}); "
                "it must be a time before the next day starts",
            )
    flat_by = _minutes(account.get("flat_by"))
    if flat_by is None:
        return
    left = (flat_by - start) % _DAY or _DAY
    windows = account.get("windows")
    for index, text in enumerate(windows if isinstance(windows, list | tuple) else ()):
        window = parse_window(text)
        if window is None:
            continue
        opens, closes = ((each.hour * 60 + each.minute - start) % _DAY for each in (window.opens, window.closes))
        if opens >= left and (closes > opens or closes == 0):
            yield f"windows[{index}]", f"never opens: the account must be flat by {account['flat_by']}"


def _useless(account: Table) -> Iterator[Fault]:
    """Keys that do nothing without another one, so that nobody trusts in them."""
    if account.get("approve_within") is not None and account.get("automation") != "approve_each":
        yield "approve_within", 'is of no use without automation = "approve_each"'
    micros = number_in(account.get("micros_per_contract", 1))
    if micros is not None and micros != Decimal(1) and account.get("max_contracts") is None:
        yield "micros_per_contract", "is of no use without max_contracts"


def _roots(account: Table) -> Iterator[Fault]:
    listed = account.get("instruments")
    for index, text in enumerate(listed if isinstance(listed, list | tuple) else ()):
        if fault := root_fault(text, sized=_real(account)):
            yield f"instruments[{index}]", fault


def root_fault(text: object, *, sized: bool) -> str | None:
    """What is wrong with an instrument's name. `sized`: a broker's account gets orders only for products whose ticks are
    known; a simulated one trades anything, so there only what is nearly one of them is taken for a typing error.
    """
    root = root_of(text) if isinstance(text, str) else ""
    if not root or root in PRODUCTS or (root in FAMILIES and not sized):
        return None
    if sized:
        known = "its tick is not known here" if root in FAMILIES else "it is not known here"
        return f"no order for {shown(root) or 'it'} could be sized: {known}{did_you_mean(root, PRODUCTS)}"
    near = difflib.get_close_matches(root, PRODUCTS, n=1, cutoff=_NEAR) if len(root) >= _LONG else []
    return f"there is no product {shown(root)} known here; did you mean {near[0]}?" if near else None


def _minutes(text: object) -> int | None:
    clock = parse_clock(text)
    return None if clock is None else clock.hour * 60 + clock.minute


def _table(value: object) -> Table:
    return value if isinstance(value, Mapping) else {}
