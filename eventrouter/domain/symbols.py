"""How alerts write what they mean: CME_MINI:MNQ1!, MNQZ2026, MNQZ6, MES 12-26, NQ1!, AAPL.

`product_of` says of every text what the SQL function of that name says; it decides the lane. One difference: letters beyond
ASCII stay as they are, as they do in the embedded database; another database makes capitals of them where its locale does.
Alerts with such symbols are refused anyhow.
"""

import re
import string
from dataclasses import dataclass
from datetime import date

from eventrouter.domain.denials import Denial
from eventrouter.domain.instruments import FAMILIES, PRODUCTS, Product

MONTH_LETTERS = "FGHJKMNQUVXZ"
LONGEST_SYMBOL = 64

_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
_EXCHANGE = re.compile(r"\A([A-Z0-9_]+):")
_NINJATRADER = re.compile(r" ([0-9]{2})-([0-9]{2})\Z")
_CONTINUOUS = re.compile(r"([A-Z0-9]{1,4})([0-9])!")
_MONTH = re.compile(rf"([A-Z0-9]{{2,3}})([{MONTH_LETTERS}])([0-9]{{1,2}}|20[0-9]{{2}})")
_BETWEEN = re.compile(r"(?<=[A-Z0-9])[/_-](?=[A-Z0-9])")


@dataclass(frozen=True, slots=True, order=True)
class ContractMonth:
    """A delivery month: year with four digits, month 1 to 12. Ordered by time."""

    year: int
    month: int

    @property
    def letter(self) -> str:
        """F for January to Z for December."""
        return MONTH_LETTERS[self.month - 1]

    def short_name(self, root: str) -> str:
        """MNQZ6: Tradovate's name, and the `name` by which ProjectX is searched."""
        return f"{root}{self.letter}{self.year % 10}"

    def tradingview_name(self, root: str) -> str:
        """MNQZ2026."""
        return f"{root}{self.letter}{self.year}"

    def ninjatrader_name(self, root: str) -> str:
        """MNQ 12-26."""
        return f"{root} {self.month:02}-{self.year % 100:02}"


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbol taken apart. `month`: the contract that it names. `continuous`: 1 for MNQ1!, 2 for MNQ2!, else None.

    A bare root of a known product (MNQ) has neither, and means the front month.
    """

    text: str
    root: str
    family: str
    exchange: str | None = None
    month: ContractMonth | None = None
    continuous: int | None = None

    @property
    def product(self) -> Product | None:
        """The product's facts, or None where only the broker knows them."""
        return PRODUCTS.get(self.root)


def bare_symbol(text: str) -> str:
    """The symbol without its exchange: CME_MINI:MNQ1! is MNQ1!."""
    return _EXCHANGE.sub("", _written(text), count=1)


def root_of(text: str) -> str:
    """The instrument root behind a symbol: CME_MINI:MNQ1!, MNQZ2026 and MNQ 12-26 are MNQ, BTC/USDT is BTCUSDT, AAPL is AAPL."""
    name = _NINJATRADER.sub("", bare_symbol(text))
    name = _BETWEEN.sub("", name)
    match = _CONTINUOUS.fullmatch(name) or _MONTH.fullmatch(name)
    return (match[1] if match else name)[:LONGEST_SYMBOL]


def product_of(text: str) -> str | None:
    """The product family behind a symbol, as db/functions/product_of.sql has it; None for an empty text."""
    root = root_of(text)
    return FAMILIES.get(root, root) or None


def parse_symbol(text: str, today: date) -> Symbol | Denial:
    """A symbol as an alert writes it. `today` settles which decade a one-digit year means.

    Denials: SYMBOL_WRONG for what no symbol looks like, MONTH_NOT_LISTED for a month in which the product is not traded.
    """
    written = _written(text)
    if not written or len(written) > LONGEST_SYMBOL or not written.isascii() or not written.isprintable():
        return _wrong(text, "it must have 1 to 64 printable ASCII characters")
    prefix = _EXCHANGE.match(written)
    rest = written[prefix.end() :] if prefix else written
    if not rest:
        return _wrong(text, "nothing stands behind the exchange")
    exchange = prefix[1] if prefix else None
    if match := _NINJATRADER.search(rest):
        return _dated(text, rest[: match.start()], exchange, int(match[1]), 2000 + int(match[2]))
    rest = _BETWEEN.sub("", rest)
    if match := _CONTINUOUS.fullmatch(rest):
        number = int(match[2])
        if number == 0:
            return _wrong(text, "continuous contracts are numbered from 1")
        return Symbol(text, match[1], _family(match[1]), exchange, continuous=number)
    if match := _MONTH.fullmatch(rest):
        month = MONTH_LETTERS.index(match[2]) + 1
        return _dated(text, match[1], exchange, month, _year(match[3], today))
    return Symbol(text, rest, _family(rest), exchange)


def _written(text: str) -> str:
    return text.strip(" ").translate(_UPPER)


def _dated(text: str, root: str, exchange: str | None, month: int, year: int) -> Symbol | Denial:
    if not 1 <= month <= 12:
        return _wrong(text, f"{month:02} is no month")
    if not re.fullmatch(r"[A-Z0-9]{1,4}", root):
        return _wrong(text, f"{root[:40]!r} is no root of a future")
    wanted = ContractMonth(year, month)
    product = PRODUCTS.get(root)
    if product is not None and wanted.letter not in product.months:
        message = f"{text[:40]!r} names the month {wanted.letter}; {root} is traded in {', '.join(product.months)}."
        return Denial("MONTH_NOT_LISTED", message, {"symbol": text, "months": product.months})
    return Symbol(text, root, _family(root), exchange, month=wanted)


def _family(root: str) -> str:
    return FAMILIES.get(root, root)


def _year(digits: str, today: date) -> int:
    """A single digit is the year nearest to today: five ahead, four back, so that an old alert's contract stays expired."""
    if len(digits) == 4:
        return int(digits)
    if len(digits) == 2:
        return 2000 + int(digits)
    first = today.year - 4
    return first + (int(digits) - first) % 10


def _wrong(text: str, why: str) -> Denial:
    return Denial("SYMBOL_WRONG", f"{text[:40]!r} is no symbol that can be read: {why}.", {"symbol": text[:64]})
