"""The instrument as sent: its form, and what is refused by its name alone: options, spreads, delayed data."""

import re

from eventrouter.domain.parsers.fields import Fields
from eventrouter.domain.parsers.values import MOST_CHARACTERS, word_set
from eventrouter.errors import SignalRefused

_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.:!/&=+-]{0,39}", re.ASCII)
_OPTION = re.compile(
    r"[A-Z.]{1,6} ?\d{6}[CP]\d{1,8}(?:\.\d+)?"  # AAPL 260116C200, OCC's long form
    r"|[A-Z0-9]{2,20}\d{2}[A-Z]{3}\d{2,9}(?:CE|PE)"  # NIFTY26JAN24500CE
    r"|[A-Z0-9]{2,20}\d{4,9}(?:CE|PE)"
    r"|[CP]-[A-Z]{2,6}-\d{2,7}-\d{6}"  # C-BTC-90000-310126
    r"|[A-Z]{2,6}-\d{1,2}[A-Z]{3}\d{2}-\d{2,7}-[CP]"  # BTC-27MAR26-90000-C
)
_SPREAD = re.compile(r"[A-Z_]+:\S+[-+*/][A-Z_]+:|![-+*/]\d?\*?[A-Z]")
_DELAYED = re.compile(r"_DLY?(?::|$)")
_OPTION_FIELDS = word_set(
    "optiontype expiration expirationdate expirydate strikeprice strike strikesaway strikecount intrinsicvalue "
    "instrinsicvalue orderstrike optionsymbol"
)


def symbol_of(fields: Fields, *names: str) -> str | None:
    """The symbol in the first of these fields; None when the alert has none. Raises SignalRefused."""
    symbol = fields.text(*names)
    if symbol is None:
        empty = next((name for name in names if fields.sent(name)), None)
        if empty is not None:
            raise SignalRefused(
                "FIELD_MISSING", f"{empty} is empty; name the instrument or leave the field out.", empty
            )
        return None
    check_symbol(symbol, fields.name_of(*names))
    return symbol


def check_symbol(symbol: str, name: str, *, delayed: bool = False) -> None:
    """Refuse what is no symbol, and options, spreads and, unless `delayed`, delayed data. Raises SignalRefused."""
    if len(symbol) > MOST_CHARACTERS:
        raise SignalRefused("SYMBOL_WRONG", f"{name} must look like MNQ1!, CME_MINI:ES1! or MNQZ2026.", name)
    upper = symbol.upper()
    if _DELAYED.search(upper) and not delayed:
        raise _delayed(symbol, name)
    if _SPREAD.search(upper):
        raise SignalRefused("SPREAD_UNSUPPORTED", f"{name} is {symbol[:40]!r}, a spread; send one order per leg.", name)
    if not _SYMBOL.fullmatch(symbol):
        raise SignalRefused("SYMBOL_WRONG", f"{name} must look like MNQ1!, CME_MINI:ES1! or MNQZ2026.", name)
    if _OPTION.fullmatch(upper.rsplit(":", 1)[-1]):
        raise SignalRefused(
            "OPTIONS_UNSUPPORTED", f"{name} is {symbol[:40]!r}, an option; options are not traded.", name
        )


def exchange_of(fields: Fields, *names: str) -> str | None:
    """The exchange in the first of these fields. Raises SignalRefused DELAYED_DATA for one with delayed data."""
    exchange = fields.text(*names)
    if exchange is not None and _DELAYED.search(exchange.upper()):
        raise _delayed(exchange, fields.name_of(*names))
    return exchange


def refuse_options(fields: Fields) -> None:
    """Refuse an alert with the fields of an option order. Raises SignalRefused OPTIONS_UNSUPPORTED."""
    if fields.has("legs"):
        raise SignalRefused("SPREAD_UNSUPPORTED", "The alert has several legs; send one order per leg.", "legs")
    for key, field in fields.rest():
        if key in _OPTION_FIELDS or (key in ("insttype", "assettype") and str(field.value).upper() in ("OPT", "FOP")):
            raise SignalRefused(
                "OPTIONS_UNSUPPORTED", f"{field.name} belongs to an option; options are not traded.", field.name
            )


def _delayed(value: str, name: str) -> SignalRefused:
    return SignalRefused(
        "DELAYED_DATA",
        f"{name} is {value[:40]!r}: the chart shows delayed data; subscribe to the exchange's data or use another feed.",
        name,
    )
