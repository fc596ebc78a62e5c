"""Orders as they should be sent, in each family's form: what reaches the store, the trades and the router."""

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import urlencode

from tests.fuzz.values import Bare, secret

_SYMBOLS = ("MNQ1!", "NQ1!", "ES1!", "CME_MINI:MES1!", "MNQZ2026", "AAPL", "BTCUSDT", "GBPUSD", "6E1!")
_OPENS = ("buy", "sell", "buy", "sell", "long", "short", "add")
_CLOSES = ("exit", "close", "flat", "flatten", "reduce", "cancel", "reverse")
_LARGEST = ("1", "2", "5", "0.5", "0.001", "999999999999999", "1e15", "12e15", "1e-15", "100000000000000.1")


def order(random: Random) -> bytes:
    """An alert that asks for something that can be done, most of the time."""
    make = random.choice((_json, _json, _stage13b, _positions, _pairs, _bot, _comma, _words, _form))
    return make(random).encode()


def _number(random: Random) -> str:
    return random.choice(_LARGEST if random.random() < 0.2 else _LARGEST[:4])


def _action(random: Random) -> str:
    return random.choice(_OPENS if random.random() < 0.7 else _CLOSES)


def _fired(random: Random) -> str:
    """A time near now, to the second or to the minute."""
    moment = datetime.now(UTC) - timedelta(seconds=random.choice((0, 1, 5, 59, 61, 4000, -30)))
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if random.random() < 0.8 else f"{moment:%Y-%m-%dT%H:%M:00Z}"


def _some(random: Random, fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if random.random() < 0.3}


def _json(random: Random) -> str:
    fields: dict[str, Any] = {
        random.choice(("action", "side", "data")): _action(random),
        random.choice(("symbol", "ticker", "instrument")): random.choice(_SYMBOLS),
        random.choice(("quantity", "qty", "contracts")): Bare(_number(random)),
        **_some(
            random,
            {
                "price": Bare("100.25"),
                "takeProfit": {"percent": Bare("5")},
                "stopLoss": {"type": "stop", "amount": Bare(_number(random))},
                "token": secret(random),
                "time": _fired(random),
                "trade_id": f"T-{random.randrange(5)}",
                "strategy": "My Strategy",
                "id": f"id-{random.randrange(50)}",
                "signal_id": f"s-{random.randrange(50)}",
                "maxAge": Bare(random.choice(("-5", "0", "1", "600", "999999999999999"))),
                "orderType": "market",
                "comment": "Long entry",
            },
        ),
    }
    return f"{{{','.join(f'{json.dumps(name)}:{_shown(value)}' for name, value in fields.items())}}}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(name)}:{_shown(item)}' for name, item in value.items())}}}"
    return str(value) if isinstance(value, Bare) else json.dumps(value)


def _stage13b(random: Random) -> str:
    long = random.random() < 0.5
    fields: dict[str, Any] = {
        "kind": "ENTRY",
        "direction": "LONG" if long else "SHORT",
        "symbol": random.choice(_SYMBOLS),
    }
    fields |= {
        "entry_price": Bare("100.5"),
        "stop_loss": Bare("90" if long else "110"),
        "session": "NY",
        "bias": "Bullish",
    }
    if random.random() < 0.4:
        fields = {
            "kind": "EXIT",
            "exit_type": random.choice(("SL", "TP", "BE", "EXIT_" + "Z" * 20)),
            "final_be_mfe": Bare("2.25"),
        }
    fields |= {"trade_id": f"T-{random.randrange(8)}"}
    return f"{{{','.join(f'{json.dumps(name)}:{_shown(value)}' for name, value in fields.items())}}}"


def _positions(random: Random) -> str:
    before, after = random.choice(("long", "short", "flat")), random.choice(("long", "short", "flat"))
    action = "buy" if after == "long" or (after == "flat" and before == "short") else "sell"
    return json.dumps(
        {
            "ticker": random.choice(_SYMBOLS),
            "action": action,
            "prev_market_position": before,
            "market_position": after,
            "market_position_size": "0" if after == "flat" else "2",
            "prev_market_position_size": "0" if before == "flat" else "2",
            "contracts": random.choice(("2", "4")),
            "order_id": random.choice(("Long", "Short")),
        }
    )


def _pairs(random: Random) -> str:
    close = random.random() < 0.3
    command = random.choice(("CLOSEPOSITION", "FLATTEN", "CANCELALLORDERS")) if close else "PLACE"
    fields = {"key": secret(random), "command": command, "account": "sim101", "instrument": random.choice(_SYMBOLS)}
    fields |= (
        {}
        if close
        else {"action": random.choice(("BUY", "SELL")), "qty": _number(random), "order_type": "MARKET", "tif": "DAY"}
    )
    return random.choice((";", ";\n")).join(f"{name}={value}" for name, value in fields.items()) + ";"


def _bot(random: Random) -> str:
    action = random.choice(("enter_long", "enter_short", "exit_long", "exit_short"))
    fields = {"secret": secret(random), "bot_uuid": "7e5bb0d1", "action": action, "tv_exchange": "BINANCE"}
    fields |= {"tv_instrument": "BTCUSDT", "timestamp": _fired(random), "max_lag": random.choice(("30", "300", "1e15"))}
    return json.dumps({**fields, "order": {"amount": random.choice(("0.5", "1")), "currency_type": "base"}})


def _comma(random: Random) -> str:
    return f"70000000001,{random.choice(('buy', 'sell', 'closelong', 'closeshort'))},{random.choice(_SYMBOLS)},vol={_number(random)}"


def _words(random: Random) -> str:
    return f"{_action(random)} {random.choice(_SYMBOLS)} q={_number(random)}"


def _form(random: Random) -> str:
    fields = {"action": _action(random), "symbol": random.choice(_SYMBOLS), "quantity": _number(random)}
    return urlencode(fields | _some(random, {"token": secret(random), "price": "100"}))
