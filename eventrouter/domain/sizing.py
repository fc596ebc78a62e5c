"""How many contracts an account trades: pure Decimal, always rounded down, and the calculation in words.

Money is in the product's currency. Prices are the ones that will be sent. The stop's distance is counted in whole ticks,
rounded up, so a stop placed that many ticks from the fill never risks more than the rule allows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from enum import StrEnum

from eventrouter.domain.denials import EXACT, Denial, Denied, figure, plain
from eventrouter.domain.instruments import ContractSize, Product, Rounding, convert, sibling

HUNDRED = Decimal(100)


class SizeBy(StrEnum):
    """What a sizing rule's value means."""

    FIXED = "fixed"  # that many of the contract that is traded, whatever the alert asks for
    MULTIPLIER = "multiplier"  # times the alert's quantity, which counts the contract that the alert names
    RISK_AMOUNT = "risk_amount"  # money lost when the stop is hit
    RISK_PERCENT = "risk_percent"  # the same as a percentage of equity
    POSITION_PERCENT = "position_percent"  # of what the trade holds; for what reduces
    CASH = "cash"  # money's worth of contracts: price x point value each
    EQUITY_PERCENT = "equity_percent"  # the same as a percentage of equity; over 100 is leverage


class Contract(StrEnum):
    """Which contract of the family is traded when the alert names one of them."""

    NAMED = "named"  # the one that the alert names
    MINI = "mini"
    MICRO = "micro"
    MINI_OR_MICRO = "mini_or_micro"  # the micro when the mini comes out as zero


@dataclass(frozen=True, slots=True)
class SizingRule:
    """An account's rule. `step` is the least that can be traded: 1 for futures."""

    by: SizeBy
    value: Decimal
    contract: Contract = Contract.NAMED
    step: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class SizingRequest:
    """What there is to size. A figure that the rule does not need may be None.

    `quantity` is the alert's, in contracts of `product`; `distance` the points from entry to stop where the alert names them
    instead of a price; `held` what the trade still holds of `product`; `multiplier` the
    route's, on the rule's value, except for a percentage of the position; `equity` includes open profit and loss.
    """

    product: Product
    direction: str
    quantity: Decimal | None = None
    entry: Decimal | None = None
    stop: Decimal | None = None
    distance: Decimal | None = None
    equity: Decimal | None = None
    held: Decimal | None = None
    multiplier: Decimal = Decimal(1)
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class Size:
    """Contracts to trade, more than zero, of `product`; the calculation as a sentence and as figures for the log row.

    `stop_ticks`: the distance that was counted, or None where the rule needs no stop.
    """

    product: Product
    quantity: Decimal
    calculation: str
    detail: Mapping[str, str]
    stop_ticks: int | None = None


@dataclass(frozen=True, slots=True)
class _Worked:
    """A calculation before its rounding: `budget` shared out at `unit` for each contract."""

    budget: Decimal
    unit: Decimal
    words: str
    detail: Mapping[str, str]
    stop_ticks: int | None = None


def size(rule: SizingRule, request: SizingRequest) -> Size | Denial:
    """Whole steps to trade, rounded down. Zero is the denial SIZE_ZERO; a figure that is missing, not a number, infinite
    or negative is NUMBER_MISSING or NUMBER_WRONG. Others: STOP_MISSING, STOP_ON_WRONG_SIDE, SIDE_WRONG,
    NOT_CONVERTIBLE, CURRENCY_MISMATCH.
    """
    with localcontext(EXACT):
        try:
            *first, last = _candidates(rule, request.product)
            for product in first:
                found = _rounded(rule, product, _CALCULATIONS[rule.by](rule, request, product))
                if isinstance(found, Size):
                    return found
            return _rounded(rule, last, _CALCULATIONS[rule.by](rule, request, last))
        except Denied as denied:
            return denied.denial


def _candidates(rule: SizingRule, named: Product) -> tuple[Product, ...]:
    """The contracts to try, in this order; never none."""
    if rule.contract == Contract.NAMED or rule.by == SizeBy.POSITION_PERCENT:
        return (named,)
    wanted = {
        Contract.MINI: (ContractSize.MINI,),
        Contract.MICRO: (ContractSize.MICRO,),
        Contract.MINI_OR_MICRO: (ContractSize.MINI, ContractSize.MICRO),
    }[rule.contract]
    found = tuple(product for product in (sibling(named, which) for which in wanted) if product is not None)
    if not found:
        message = f"{named.family} has no {' or '.join(wanted)} contract that is known here; {named.root} was named."
        raise Denied(Denial("NOT_CONVERTIBLE", message, {"root": named.root, "contract": rule.contract}))
    return found


def _rounded(rule: SizingRule, product: Product, worked: _Worked) -> Size | Denial:
    step = figure("step", rule.step, above=0)
    quantity = worked.budget // (worked.unit * step) * step
    exact = worked.budget / worked.unit
    detail = {
        "by": rule.by.value,
        "value": plain(rule.value),
        "contract": product.root,
        **worked.detail,
        "exact": plain(exact, 6),
        "step": plain(step),
        "quantity": plain(quantity),
    }
    words = f"{worked.words} = {plain(exact, 4)} {product.root}, rounded down to {plain(quantity)}"
    if quantity == 0:
        return Denial(
            "SIZE_ZERO", f"There is nothing to trade: {words}, and less than {plain(step)} is no order.", detail
        )
    return Size(product, quantity, f"{words}.", detail, worked.stop_ticks)


def _fixed(rule: SizingRule, request: SizingRequest, product: Product) -> _Worked:
    value, multiplier = _value(rule), _multiplier(request)
    return _Worked(
        value * multiplier, Decimal(1), f"{plain(value)} fixed{_times(multiplier)}", {"multiplier": plain(multiplier)}
    )


def _multiple(rule: SizingRule, request: SizingRequest, product: Product) -> _Worked:
    value, multiplier = _value(rule), _multiplier(request)
    asked = figure("quantity", request.quantity, least=0)
    ratio = convert(Decimal(1), request.product, product)
    words = f"{plain(asked)} {request.product.root} asked for x {plain(value)}{_times(multiplier)}"
    if ratio != 1:
        words += f" x {plain(ratio)} {product.root} each"
    detail = {"asked": plain(asked), "asked_contract": request.product.root, "multiplier": plain(multiplier)}
    return _Worked(asked * value * multiplier * ratio, Decimal(1), words, detail | {"ratio": plain(ratio)})


def _risk_amount(rule: SizingRule, request: SizingRequest, product: Product) -> _Worked:
    value, multiplier = _value(rule), _multiplier(request)
    detail = {"multiplier": plain(multiplier)}
    return _at_risk(request, product, value * multiplier, f"{plain(value)}{_times(multiplier)} at risk", detail)


def _risk_percent(rule: SizingRule, request: SizingRequest, product: Product) -> _Worked:
    words, budget, detail = _share_of_equity(rule, request, most=100)
    return _at_risk(request, product, budget, f"{words} at risk", detail)


def _at_risk(
    request: SizingRequest, product: Product, budget: Decimal, words: str, detail: Mapping[str, str]
) -> _Worked:
    _same_currency(request, product)
    points, prices = _points_at_risk(request, detail)
    ticks = product.ticks(points, Rounding.UP)
    unit = ticks * figure("tick_value", product.tick_value, above=0)
    each = f"({plain(points)} points = {plain(ticks)} ticks x {plain(product.tick_value)} = {plain(unit)} a contract)"
    numbers = {
        **prices,
        "stop_ticks": plain(ticks),
        "tick_value": plain(product.tick_value),
        "risk_per_contract": plain(unit),
        "risk_allowed": plain(budget),
    }
    return _Worked(budget, unit, f"{words} / {each}", {**detail, **numbers}, int(ticks))


def _points_at_risk(request: SizingRequest, detail: Mapping[str, str]) -> tuple[Decimal, dict[str, str]]:
    if request.distance is not None:
        points = figure("stop distance", request.distance, above=0)
        return points, {"stop_distance": plain(points)}
    if request.stop is None:
        message = "The rule sizes by risk, and the alert has no stop_loss; without it the risk has no bound."
        raise Denied(Denial("STOP_MISSING", message, dict(detail)))
    entry = figure("entry_price", request.entry, above=0)
    stop = figure("stop_loss", request.stop, above=0)
    return stop_distance(request.direction, entry, stop), {"entry": plain(entry), "stop": plain(stop)}


def stop_distance(direction: str, entry: Decimal, stop: Decimal) -> Decimal:
    """Points from entry to stop, more than zero. Raises Denied for a stop that is not on the losing side."""
    if direction not in ("LONG", "SHORT"):
        raise Denied(Denial("SIDE_WRONG", f"direction is {str(direction)[:40]!r}; it must be LONG or SHORT."))
    points = entry - stop if direction == "LONG" else stop - entry
    if points <= 0:
        side = "below" if direction == "LONG" else "above"
        message = f"The stop {plain(stop)} of a {direction} entry at {plain(entry)} must be {side} it."
        raise Denied(Denial("STOP_ON_WRONG_SIDE", message, {"entry": plain(entry), "stop": plain(stop)}))
    return points


def _position_percent(rule: SizingRule, request: SizingRequest, product: Product) -> _Worked:
    value = _value(rule, most=100)
    held = figure("held", request.held, least=0)
    words = f"{plain(value)} % of {plain(held)} held"
    return _Worked(held * value, HUNDRED, words, {"held": plain(held)})


def _cash(rule: SizingRule, request: SizingRequest, product: Product) -> _Worked:
    value, multiplier = _value(rule), _multiplier(request)
    detail = {"multiplier": plain(multiplier)}
    return _worth(request, product, value * multiplier, f"{plain(value)}{_times(multiplier)} of cash", detail)


def _equity_percent(rule: SizingRule, request: SizingRequest, product: Product) -> _Worked:
    words, budget, detail = _share_of_equity(rule, request, most=None)
    return _worth(request, product, budget, words, detail)


def _worth(request: SizingRequest, product: Product, budget: Decimal, words: str, detail: Mapping[str, str]) -> _Worked:
    _same_currency(request, product)
    entry = figure("entry_price", request.entry, above=0)
    unit = entry * figure("point_value", product.point_value, above=0)
    each = f"({plain(entry)} x {plain(product.point_value)} = {plain(unit)} a contract)"
    numbers = {"entry": plain(entry), "contract_worth": plain(unit), "worth_allowed": plain(budget)}
    return _Worked(budget, unit, f"{words} / {each}", {**detail, **numbers})


def _share_of_equity(
    rule: SizingRule, request: SizingRequest, *, most: int | None
) -> tuple[str, Decimal, dict[str, str]]:
    value, multiplier = _value(rule, most=most), _multiplier(request)
    equity = figure("equity", request.equity, above=0)
    budget = equity * value * multiplier / HUNDRED
    words = f"{plain(value)} % of {plain(equity)}{_times(multiplier)} = {plain(budget)}"
    return words, budget, {"equity": plain(equity), "multiplier": plain(multiplier)}


def _value(rule: SizingRule, *, most: int | None = None) -> Decimal:
    value = figure(f"sizing value ({rule.by})", rule.value, least=0)
    if most is not None and value > most:
        message = f"The sizing value ({rule.by}) is {plain(value)}; a percentage of this kind is at most {most}."
        raise Denied(Denial("NUMBER_WRONG", message, {"value": plain(value)}))
    return value


def _multiplier(request: SizingRequest) -> Decimal:
    return figure("route multiplier", request.multiplier, least=0)


def _times(multiplier: Decimal) -> str:
    return "" if multiplier == 1 else f" x {plain(multiplier)}"


def _same_currency(request: SizingRequest, product: Product) -> None:
    if request.currency != product.currency:
        message = (
            f"The account counts in {request.currency}, {product.root} in {product.currency}: money cannot be compared."
        )
        raise Denied(Denial("CURRENCY_MISMATCH", message, {"account": request.currency, "product": product.currency}))


_CALCULATIONS: Mapping[SizeBy, Callable[[SizingRule, SizingRequest, Product], _Worked]] = {
    SizeBy.FIXED: _fixed,
    SizeBy.MULTIPLIER: _multiple,
    SizeBy.RISK_AMOUNT: _risk_amount,
    SizeBy.RISK_PERCENT: _risk_percent,
    SizeBy.POSITION_PERCENT: _position_percent,
    SizeBy.CASH: _cash,
    SizeBy.EQUITY_PERCENT: _equity_percent,
}
