"""Which contract month a symbol means on a trading day.

Nobody agrees on this by days: charts roll on volume, other routers two days before expiry. So there are two policies. For
equity index contracts the exchange itself has a rule since June 2022: the lead month changes on the Monday of expiry
week. For everything else no rule is stated anywhere that could be relied on; there only the broker's active contract is
right, and without it there is no order. What closes a position never comes here: it closes the contract that is held.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from eventrouter.domain.denials import Denial
from eventrouter.domain.instruments import Product, Roll
from eventrouter.domain.symbols import MONTH_LETTERS, ContractMonth, Symbol

FRIDAY = 4


class RollPolicy(StrEnum):
    """Who decides for a continuous symbol."""

    EXCHANGE = "exchange"  # the exchange's rule where it has one, else the broker
    BROKER = "broker"  # always the broker's active contract


@dataclass(frozen=True, slots=True)
class Resolution:
    """The contract to trade, and the sentence for the log that says why this one."""

    month: ContractMonth
    rule: str
    message: str


def index_expiry(month: ContractMonth) -> date:
    """The last day of an equity index contract: the third Friday, or the day before when that Friday is a holiday.

    Of the exchange's holidays only Juneteenth reaches a third Friday of these months (2026-06-19; 2027-06-18, when it is
    kept a day early); Good Friday does so next in 2160.
    """
    first = date(month.year, month.month, 1)
    third_friday = first + timedelta(days=(FRIDAY - first.weekday()) % 7 + 14)
    return third_friday - timedelta(days=1) if third_friday == _juneteenth(month.year) else third_friday


def index_roll(month: ContractMonth) -> date:
    """The first trading day on which this month leads no longer: the Monday of its expiry week."""
    expiry = index_expiry(month)
    return expiry - timedelta(days=expiry.weekday())


def listed_months(product: Product, start: ContractMonth, count: int) -> list[ContractMonth]:
    """The next `count` months that the product is listed in, `start` included if it is one. Empty without a month list."""
    found: list[ContractMonth] = []
    wanted = count if product.months else 0
    year, month = start.year, start.month
    while len(found) < wanted:
        if MONTH_LETTERS[month - 1] in product.months:
            found.append(ContractMonth(year, month))
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return found


def index_front(product: Product, trading_day: date) -> ContractMonth:
    """The lead month of an equity index product on a trading day (the exchange's: Sunday evening is Monday)."""
    first, following = listed_months(product, ContractMonth(trading_day.year, trading_day.month), 2)
    return first if trading_day < index_roll(first) else following


def resolve(
    symbol: Symbol, product: Product, trading_day: date, policy: RollPolicy, active: ContractMonth | None
) -> Resolution | Denial:
    """The contract month behind a symbol. `active`: the month of the contract that the broker calls active, if it is known.

    Denials: CONTRACT_EXPIRED, CONTRACT_UNRESOLVED.
    """
    if symbol.month is not None:
        return _named(symbol, product, symbol.month, trading_day)
    number = symbol.continuous or 1
    if policy == RollPolicy.EXCHANGE and product.roll == Roll.CME_INDEX:
        return _by_exchange(product, number, trading_day, active)
    if active is None:
        message = (
            f"{symbol.text[:40]} names no month, and which contract of {product.root} is active only the broker knows: "
            "it has not said so. Name the contract in the alert, or try again when the broker is connected."
        )
        return Denial("CONTRACT_UNRESOLVED", message, {"symbol": symbol.text, "trading_day": trading_day.isoformat()})
    months = listed_months(product, active, number)
    if not months or months[0] != active:
        message = (
            f"The broker calls {active.short_name(product.root)} active, which is not a listed month of {product.root}."
        )
        return Denial("CONTRACT_UNRESOLVED", message, {"symbol": symbol.text, "months": product.months})
    name = months[-1].short_name(product.root)
    sentence = f"The broker's active contract is {active.short_name(product.root)}; number {number} from it is {name}."
    return Resolution(months[-1], "broker", sentence)


def _named(symbol: Symbol, product: Product, month: ContractMonth, trading_day: date) -> Resolution | Denial:
    expired = trading_day > _last_day(product, month)
    name = month.short_name(product.root)
    if expired:
        message = f"{name} expired before {trading_day.isoformat()}; the alert must name a contract that is traded."
        return Denial("CONTRACT_EXPIRED", message, {"symbol": symbol.text, "trading_day": trading_day.isoformat()})
    return Resolution(month, "named", f"The alert names {name} itself.")


def _by_exchange(product: Product, number: int, trading_day: date, active: ContractMonth | None) -> Resolution:
    front = index_front(product, trading_day)
    month = listed_months(product, front, number)[-1]
    sentence = (
        f"On {trading_day.isoformat()} {front.short_name(product.root)} leads: it hands over on Monday "
        f"{index_roll(front).isoformat()} of its expiry week."
    )
    if number > 1:
        sentence += f" Number {number} is {month.short_name(product.root)}."
    if active is not None and active != front:
        sentence += f" The broker calls {active.short_name(product.root)} active."
    return Resolution(month, "exchange", sentence)


def _last_day(product: Product, month: ContractMonth) -> date:
    """The last day on which the contract can possibly trade; for others than equity indexes the end of its month."""
    if product.roll == Roll.CME_INDEX:
        return index_expiry(month)
    return date(month.year + month.month // 12, month.month % 12 + 1, 1) - timedelta(days=1)


def _juneteenth(year: int) -> date | None:
    """The day on which the exchange keeps Juneteenth, since 2022: the Friday before when it falls on a Saturday."""
    if year < 2022:
        return None
    day = date(year, 6, 19)
    return day - timedelta(days=1) if day.weekday() == 5 else day
