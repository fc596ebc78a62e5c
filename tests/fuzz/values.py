"""What stands in the fields of a generated alert: values that make sense, and values that nobody should send."""

from collections.abc import Callable
from random import Random
from typing import Any


class Bare(str):
    """Characters that go into JSON without quotes: a number in a hostile form, a word, a placeholder."""

    __slots__ = ()


SECRETS = ("sEcr3t-9f2kQ77x", "hunter2-hunter2", "tok_51H8aXyZ0aBcDeFg")

_SYMBOLS = (
    *("MNQ1!", "NQ1!", "ES1!", "CME_MINI:MES1!", "MNQZ2026", "YM 06-25", "AAPL", "NASDAQ:AAPL", "BTCUSDT", "ETH/USDT"),
    *("GBPUSD", "6E1!", "BINANCE:BTCUSDT.P", "CL1!", "CBOT_MINI_DL:YM1!", "AAPL 260116C200", "NYMEX:CL1!-NYMEX:BZ1!"),
)
_ACTIONS = (
    *("buy", "sell", "long", "short", "exit", "close", "flat", "flatten", "reverse", "add", "reduce", "cancel"),
    *("BUY", "SELL", "exit_long", "close_short", "enter-long", "closelong", "cancelall", "move_stop", "breakeven"),
)
_POSITIONS = ("long", "short", "flat", "")
_TIMES = (
    *("2026-03-10T14:31:05Z", "2026-03-10T14:31:00Z", "1773153065", "1773153065123", "2026-03-10 14:31:05+01:00"),
    *("2000-01-01T00:00:00Z", "2199-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00"),
    *("2026-02-30T00:00:00Z", "2026-03-10T24:00:00Z", "2026-03-10T14:31:05", "9999999999999"),
)
_NUMBERS = (
    *(
        "0",
        "-0",
        "0e0",
        "-1",
        "1e15",
        "12e15",
        "999999999999999e15",
        "1e-15",
        "1e-16",
        "999999999999999",
        "1e400",
        "1E+2",
    ),
    *(
        "1234567890123456",
        "0.1234567890123456789",
        "00012",
        "+5",
        ".5",
        "5.",
        "1_000",
        "1,000",
        "0x10",
        "NaN",
        "-Infinity",
    ),
    *(
        "1e999999999",
        "9" * 400,
        "0." + "0" * 300 + "1",
        "1e-999",
        "٣",
        "\uff11\uff12",
        "½",
        "--1",
        "1e",
        "Infinity",
        "nan",
        "inf",
    ),
)
_TEXTS = (
    *(
        "",
        " ",
        "\0",
        "\x01",
        "\x7f",
        "\n",
        "\r\n",
        "\t",
        "\ud800",
        "\udfff",
        "\ufeff",
        "\u200b",
        "\u202e",
        "\N{GRINNING FACE}",
        "ü",
        "日本",
    ),
    *("{{close}}", "{{strategy.order.action}}", "${qty}", "%last_price%", "{{", "}}", "a;action=sell", "x&symbol=ES1!"),
    *("null", "true", "None", "[redacted]", "'; DROP TABLE execution_tasks; --", "../../etc/passwd", "<script>", "\\"),
    *('"', "'", "%00", "%", "%zz", "\\u0000", "\\ud800", "=", ":", ",", "|", "//", "/*", "key=", "token:", "a" * 201),
)
_WORDS = ("limit", "market", "stop", "stop_limit", "trailing_stop", "fixed_quantity", "risk_percent", "percent", "usd")


def symbol(random: Random) -> str:
    """A symbol, mostly one that is traded."""
    return random.choice(_SYMBOLS)


def action(random: Random) -> str:
    """What is wanted."""
    return random.choice(_ACTIONS)


def position(random: Random) -> str:
    """A market position."""
    return random.choice(_POSITIONS)


def moment(random: Random) -> str:
    """A time, real or not."""
    return random.choice(_TIMES)


def quantity(random: Random) -> Any:
    """How much, as number or text, with a unit now and then."""
    number = random.choice(("1", "2", "3", "0.5", "10", "100", "12.75"))
    return random.choice((Bare(number), number, f"{number}%", f"{number}$", f"{number} contracts"))


def price(random: Random) -> Any:
    """A price, as number or text."""
    number = f"{random.randint(1, 4) * 100 + random.randint(-9, 9)}.{random.choice(('0', '25', '5', '75'))}"
    return random.choice((Bare(number), number))


def name(random: Random) -> str:
    """A trade's, an order's or a strategy's name; few, so that alerts meet."""
    return random.choice(("T-1", "T-2", "T-3", "orb", "my strategy", "x" * 100, "Ünï-1", "a'b\"c"))


def word(random: Random) -> str:
    """An order type, a kind of quantity."""
    return random.choice(_WORDS)


def secret(random: Random) -> str:
    """What must not be stored."""
    return random.choice(SECRETS)


def flag(random: Random) -> Any:
    """A yes or no."""
    return random.choice((True, False, "true", "0", "maybe"))


def hostile(random: Random, depth: int = 0) -> Any:
    """Anything at all."""
    kind = random.randrange(10)
    if kind <= 2:
        return random.choice((Bare, str))(random.choice(_NUMBERS))
    if kind <= 5:
        return random.choice(_TEXTS)
    if kind == 6:
        return random.choice((None, True, False, Bare("{{close}}"), Bare("nul"), Bare(""), Bare("buy")))
    if kind == 7 and depth < 3:
        return [hostile(random, depth + 1) for _ in range(random.randrange(4))]
    if kind == 8 and depth < 3:
        return {random.choice((*_TEXTS, *_ACTIONS, "action", "order", "token")): hostile(random, depth + 1)}
    return random.choice((*_TEXTS, *_ACTIONS)) * random.choice((1, 2, 30))


KINDS: dict[str, Callable[[Random], Any]] = {
    **dict.fromkeys(
        ("symbol", "ticker", "instrument", "tv_instrument", "Symbol", "pair", "SYMBOL", "contract"), symbol
    ),
    **dict.fromkeys(("action", "data", "side", "direction", "command", "signal", "order_action", "SIGNAL"), action),
    **dict.fromkeys(
        ("sentiment", "market_position", "marketPosition", "prev_market_position", "positionSide"), position
    ),
    **dict.fromkeys(("time", "timenow", "timestamp", "date", "bar_time", "fire_time", "signalTime"), moment),
    **dict.fromkeys(("quantity", "qty", "contracts", "amount", "size", "volume", "position_size", "VOLUME"), quantity),
    **dict.fromkeys(("market_position_size", "prev_market_position_size", "risk_percent", "usd", "risk"), quantity),
    **dict.fromkeys(("price", "close", "entry_price", "exit_price", "limitPrice", "limit_price", "stop_price"), price),
    **dict.fromkeys(("sl", "tp", "stop_loss", "take_profit", "stopLoss", "takeProfit", "STOP_PRICE", "trail"), price),
    **dict.fromkeys(("trade_id", "strategy", "id", "order_id", "signal_id", "comment", "account", "session"), name),
    **dict.fromkeys(("orderType", "order_type", "type", "quantityType", "tif", "kind", "exit_type", "bias"), word),
    **dict.fromkeys(("token", "key", "secret", "passphrase", "password", "api_key", "bot_uuid", "webhookUrl"), secret),
    **dict.fromkeys(("reduceOnly", "reverse_order_close", "update_sl", "cancel", "flatten_first", "stub"), flag),
    **dict.fromkeys(("max_lag", "maxAge", "leverage", "delay", "final_be_mfe", "percentage_tp", "dollar_sl"), quantity),
}
"""Field name → what usually stands in it."""


def value_of(random: Random, field: str, hostility: float) -> Any:
    """What a field of this name holds; with probability `hostility` anything else."""
    if random.random() < hostility:
        return hostile(random)
    return KINDS[field](random) if field in KINDS else hostile(random)
