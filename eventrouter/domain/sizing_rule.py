"""Which rule sizes an entry: the account's, the alert's, or a person's. Pure."""

from dataclasses import replace
from decimal import Decimal

from eventrouter.domain.accounts import Account
from eventrouter.domain.decide import DueTask
from eventrouter.domain.denials import Denial, Denied, figure, plain
from eventrouter.domain.signals import QuantityKind
from eventrouter.domain.sizing import SizeBy, SizingRule
from eventrouter.domain.wish import Wish

_BY_KIND = {
    QuantityKind.CASH: SizeBy.CASH,
    QuantityKind.RISK_AMOUNT: SizeBy.RISK_AMOUNT,
    QuantityKind.RISK_PERCENT: SizeBy.RISK_PERCENT,
    QuantityKind.PERCENT_OF_EQUITY: SizeBy.EQUITY_PERCENT,
    QuantityKind.PERCENT_OF_POSITION: SizeBy.POSITION_PERCENT,
}


def rule_of(task: DueTask, account: Account, wish: Wish) -> tuple[SizingRule, str]:
    """The rule that counts, and why.

    A quantity that a person set, else the account's own rule; where that is a multiplier, also a size that the alert names in
    money or percent.
    """
    if _is_by_hand(task):
        return replace(account.sizing, by=SizeBy.FIXED, value=wish.quantity), "A person set the quantity."
    rule = account.sizing
    if rule.by is not SizeBy.MULTIPLIER:
        why = f"The account's rule ({rule.by}) decides"
        return rule, f"{why}; the alert's quantity ({plain(wish.quantity)}, {wish.kind}) does not."
    if wish.kind is QuantityKind.FIXED:
        return rule, "The alert's quantity decides, times the account's multiplier."
    value = wish.quantity * figure("sizing value", rule.value, least=0)
    why = (
        f"The alert's quantity is {plain(wish.quantity)} ({wish.kind}); the account takes it times {plain(rule.value)}."
    )
    return replace(rule, by=_BY_KIND[wish.kind], value=value), why


def multiplier_of(task: DueTask) -> Decimal:
    """The route's multiplier; 1 where a person set the quantity. Raises Denied."""
    if _is_by_hand(task):
        return Decimal(1)
    value = (task.plan or {}).get("multiplier", "1")
    try:
        return Decimal(str(value))
    except ArithmeticError:
        message = f"The route's multiplier is {str(value)[:40]!r}, which is no number."
        raise Denied(Denial("NUMBER_WRONG", message, {"multiplier": str(value)[:40]})) from None


def _is_by_hand(task: DueTask) -> bool:
    return bool((task.payload or {}).get("quantity_by_hand"))
