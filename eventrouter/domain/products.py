"""What an instrument is called without exchange and month. db/functions/product_of.sql knows the same, and what hedges what."""

import re

_EXCHANGE = re.compile(r"^[A-Z0-9_]+:")
_NINJATRADER_MONTH = re.compile(r" [0-9]{2}-[0-9]{2}$")
_BETWEEN = re.compile(r"(?<=[A-Z0-9])[/_-](?=[A-Z0-9])")
_CONTINUOUS = re.compile(r"([A-Z0-9]{1,4})[0-9]!")
_ONE_MONTH = re.compile(r"([A-Z0-9]{2,3})[FGHJKMNQUVXZ](?:[0-9]{1,2}|20[0-9]{2})")
_LONGEST = 64


def root_of(symbol: str) -> str:
    """The instrument root behind a symbol as alerts write it.

    CME_MINI:MNQ1!, MNQZ2026 and MNQ 12-26 are MNQ, BTC/USDT is BTCUSDT, AAPL is AAPL.
    """
    name = _EXCHANGE.sub("", symbol.strip(" ").upper())
    name = _BETWEEN.sub("", _NINJATRADER_MONTH.sub("", name))
    found = _CONTINUOUS.fullmatch(name) or _ONE_MONTH.fullmatch(name)
    return (found[1] if found else name)[:_LONGEST]
