"""How much: a number and what it counts.

A plain number counts units of the instrument unless the alert names another kind. `300$` is money. `5%` is a part of
the position where the alert leaves or reduces one, a part of the account's equity where it enters. An unknown kind is
refused: the same 50 can be contracts, money or percent.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from eventrouter.domain.parsers.actions import plain
from eventrouter.domain.parsers.fields import Field
from eventrouter.domain.parsers.values import decimal_of, text_of
from eventrouter.domain.signals import QuantityKind
from eventrouter.errors import SignalRefused

_KINDS = {
    QuantityKind.FIXED: "fixedquantity fixed quantity contracts contract units unit shares lots lot base qty",
    QuantityKind.CASH: "dollaramount dollars dollar usd cash quote notional amountperposition money value",
    QuantityKind.RISK_AMOUNT: "riskdollaramount riskamount riskperposition riskusd",
    QuantityKind.RISK_PERCENT: "riskpercent riskpercentage riskpct percentrisk",
    QuantityKind.PERCENT_OF_EQUITY: "percentofequity equitypercent percentequity marginpercent percentofbalance percentofaccount",
    QuantityKind.PERCENT_OF_POSITION: "percentofposition positionpercent percentposition",
}
_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words.split()}
_PERCENTS = (QuantityKind.RISK_PERCENT, QuantityKind.PERCENT_OF_EQUITY, QuantityKind.PERCENT_OF_POSITION)
_MONEY = re.compile(r"\$\s?([\d.]+)|([\d.]+)\s?(?:\$|usd)", re.IGNORECASE | re.ASCII)
_UNITS = re.compile(r"([\d.]+)\s?(?:@|contracts?|shares?|lots?|units?)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Amount:
    """A quantity, its kind and the name of the field that said it. `percent`: it was written as `5%`, of what is not said.
    `bare`: the field is called percent and nothing else, which says how much to close, but not how much to open."""

    name: str
    value: Decimal
    kind: QuantityKind = QuantityKind.FIXED
    percent: bool = False
    bare: bool = False


def kind_of(name: str, word: str) -> QuantityKind:
    """The kind that a word names. Raises SignalRefused QUANTITY_KIND_UNKNOWN."""
    kind = _KIND_OF.get(plain(word))
    if kind is None:
        raise SignalRefused(
            "QUANTITY_KIND_UNKNOWN",
            f"{name} is {word[:40]!r}; fixed_quantity, dollar_amount, risk_dollar_amount, risk_percent, percent_of_equity "
            "and percent_of_position are understood.",
            name,
        )
    return kind


def amount_of(field: Field, kind: QuantityKind | None = None, *, zero: bool = False) -> Amount | None:
    """The amount in a field; None for zero where `zero` means "not given". Raises SignalRefused."""
    text = text_of(field.name, field.value)
    percent = text.endswith("%")
    money = _MONEY.fullmatch(text)
    units = _UNITS.fullmatch(text)
    if percent:
        text = text[:-1].strip()
    elif money:
        text = money[1] or money[2]
    elif units:
        text = units[1]
    value = decimal_of(field.name, text)
    if value == 0 and zero:
        return None
    if value <= 0:
        raise SignalRefused("QUANTITY_WRONG", f"{field.name} must be greater than zero.", field.name)
    _refuse_clash(field.name, kind, percent=percent, money=bool(money), units=bool(units))
    if (percent or kind in _PERCENTS) and value > 100:
        raise SignalRefused("QUANTITY_WRONG", f"{field.name} is more than 100 percent.", field.name)
    if kind is None:
        kind = QuantityKind.CASH if money else QuantityKind.FIXED
    return Amount(field.name, value, kind, percent=percent and kind not in _PERCENTS)


def _refuse_clash(name: str, kind: QuantityKind | None, *, percent: bool, money: bool, units: bool) -> None:
    clash = (
        (percent and kind not in (None, *_PERCENTS))
        or (money and kind not in (None, QuantityKind.CASH, QuantityKind.RISK_AMOUNT))
        or (units and kind not in (None, QuantityKind.FIXED))
    )
    if clash:
        raise SignalRefused("CONTRADICTION", f"{name} is written in another unit than its kind {kind} says.", name)
