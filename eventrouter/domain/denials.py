"""A coded refusal with its numbers, and the only door through which a number enters a decision about money."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow

from eventrouter.errors import EventrouterError

MOST_DIGITS = 30
LARGEST_EXPONENT = 15

EXACT = Context(prec=150, rounding=ROUND_DOWN, traps=[InvalidOperation, DivisionByZero, Overflow])
"""Sums and products of three figures are exact here; what a division leaves over is cut off, never rounded up."""


@dataclass(frozen=True, slots=True)
class Denial:
    """Why there is no order: a code for machines, a sentence for people, the numbers as text for the log row.

    `held`: not a refusal yet; a person may still allow the order.
    """

    code: str
    message: str
    detail: Mapping[str, str] = field(default_factory=dict)
    held: bool = False


class Denied(EventrouterError):
    """Carries a denial out of a calculation; the public functions of the domain return it instead of raising it."""

    def __init__(self, denial: Denial) -> None:
        super().__init__(f"{denial.code}: {denial.message}")
        self.denial = denial


_WHENCE = {
    "entry_price": " The account's rule needs it: send it with the alert.",
    "equity": " It comes from the account's books, which a router keeps once its broker was read.",
}
"""Of figures that somebody outside has to bring: where they come from."""


def figure(name: str, value: object, *, least: int | None = None, above: int | None = None) -> Decimal:
    """`value` if it is a finite Decimal of a sane size within the bound; raises Denied (NUMBER_MISSING, NUMBER_WRONG).

    Floats are refused too: their digits are not the ones that somebody wrote.
    """
    if value is None:
        advice = _WHENCE.get(name, "")
        raise Denied(Denial("NUMBER_MISSING", f"{name} is not known.{advice}", {"name": name}))
    if not isinstance(value, Decimal) or not value.is_finite():
        raise _wrong(name, value, "a finite decimal number")
    if len(value.as_tuple().digits) > MOST_DIGITS or (value and abs(value.adjusted()) > LARGEST_EXPONENT):
        raise _wrong(name, value, f"a number of at most {MOST_DIGITS} digits, not beyond 10^{LARGEST_EXPONENT}")
    if least is not None and value < least:
        raise _wrong(name, value, f"at least {least}")
    if above is not None and value <= above:
        raise _wrong(name, value, f"above {above}")
    return value if value else Decimal(0)


def _wrong(name: str, value: object, wanted: str) -> Denied:
    shown = str(value)[:40]
    return Denied(Denial("NUMBER_WRONG", f"{name} is {shown}; it must be {wanted}.", {"name": name, "value": shown}))


def plain(value: Decimal, places: int = 10) -> str:
    """A number as people write it: no exponent, no trailing zeros, cut off after `places`."""
    return whole(EXACT.quantize(value, Decimal(1).scaleb(-places)))


def whole(value: Decimal) -> str:
    """The same with every digit that it has: for what is ordered, which must not become another number."""
    text = format(value, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
