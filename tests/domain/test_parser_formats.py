"""The seven families: what is particular to each sender's format."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from eventrouter.domain.parsers import read_alert
from tests.domain.readings import code_of, meaning, refusal_of, signal_of

FIRED = datetime(2026, 3, 10, 14, 31, 5, tzinfo=UTC)
ENTRY = {
    "kind": "ENTRY",
    "trade_id": "T-7",
    "direction": "LONG",
    "entry_price": 18500.25,
    "stop_loss": 18480.5,
    "session": "LONDON",
    "bias": "up",
    "symbol": "MNQ1!",
    "strategy": "orb",
    "signal_id": "s-1",
    "quantity": 2,
}


# 1. stage 13B


def test_stage13b_entry() -> None:
    """Prices are references, the stop an absolute price; session and bias are kept."""
    signal = signal_of(ENTRY)
    assert meaning(ENTRY) == {
        "event": "ENTRY",
        "trade_id": "T-7",
        "symbol": "MNQ1!",
        "side": "LONG",
        "strategy": "orb",
        "source_id": "s-1",
        "quantity": "2",
        "price": "18500.25",
        "stop_loss": "price:18480.5",
    }
    assert (signal.family, dict(signal.extras)) == ("stage13b", {"session": "LONDON", "bias": "up"})


def test_stage13b_exit() -> None:
    """The reason may carry EXIT_; the final excursions are exact."""
    body = {"kind": "exit", "trade_id": 7, "exit_type": "exit_sl", "exit_price": "18480.5", "final_be_mfe": 1.25}
    signal = signal_of({**body, "final_no_be_mfe": "-3"})
    assert (signal.event, signal.trade_id, signal.exit_type, signal.price) == ("EXIT", "7", "SL", Decimal("18480.5"))
    assert dict(signal.extras) == {"final_be_mfe": Decimal("1.25"), "final_no_be_mfe": Decimal(-3)}
    assert signal_of({"kind": "EXIT", "trade_id": "T"}).exit_type is None


@pytest.mark.parametrize(
    ("change", "code", "field", "sentence"),
    [
        ({"kind": "HOLD"}, "KIND_UNKNOWN", "kind", "kind is 'HOLD'; it must be ENTRY or EXIT."),
        ({"kind": ""}, "FIELD_MISSING", "kind", "The alert has no kind."),
        ({"trade_id": None}, "FIELD_MISSING", "trade_id", "The alert has no trade_id."),
        ({"trade_id": "a\tb"}, "TRADE_ID_WRONG", "trade_id", "trade_id must have 1 to 100 printable characters."),
        ({"direction": "UP"}, "DIRECTION_WRONG", "direction", "direction is 'UP'; it must be LONG or SHORT."),
        ({"direction": "{{x}}"}, "PLACEHOLDER", "direction", None),
        ({"symbol": "?"}, "SYMBOL_WRONG", "symbol", "symbol must look like MNQ1!, CME_MINI:ES1! or MNQZ2026."),
        ({"quantity": 0}, "QUANTITY_WRONG", "quantity", "quantity must be greater than zero."),
        ({"entry_price": 0}, "PRICE_WRONG", "entry_price", "entry_price must be greater than zero."),
        ({"entry_price": "NaN"}, "NUMBER_WRONG", "entry_price", "entry_price is 'NaN'; it must be a finite number."),
        ({"stop_loss": "12x"}, "NUMBER_WRONG", "stop_loss", "stop_loss is '12x'; it must be a number."),
        ({"stop_loss": "1" * 16}, "NUMBER_WRONG", "stop_loss", "stop_loss has more than 15 digits."),
        ({"session": ["NY"]}, "FIELD_WRONG", "session", "session must be a text."),
        ({"stop_loss": 18600}, "STOP_ON_WRONG_SIDE", "stop_loss", None),
        ({"stop_loss": 18500.25}, "STOP_ON_WRONG_SIDE", "stop_loss", None),
        ({"stop_loss": 18500.25, "direction": "SHORT"}, "STOP_ON_WRONG_SIDE", "stop_loss", None),
        ({"kind": "EXIT", "exit_type": "9 lives"}, "EXIT_TYPE_WRONG", "exit_type", None),
    ],
)
def test_stage13b_keeps_its_refusals(change: dict[str, Any], code: str, field: str, sentence: str | None) -> None:
    """Codes and sentences are the ones that its senders know."""
    refusal = refusal_of({**ENTRY, **change})
    assert (refusal.code, refusal.field) == (code, field)
    assert sentence is None or refusal.message == sentence


# 2. TradersPost


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"action": "buy"}, {"event": "ENTRY", "side": "LONG"}),
        ({"action": "sell", "sentiment": "bearish"}, {"event": "ENTRY", "side": "SHORT", "position": "SHORT"}),
        ({"action": "sell", "sentiment": "flat", "quantity": 3}, {"event": "EXIT", "side": "LONG", "position": "FLAT"}),
        ({"action": "buy", "sentiment": "flat"}, {"event": "EXIT", "side": "SHORT", "position": "FLAT"}),
        (
            {"action": "sell", "sentiment": "long", "quantity": 3},
            {"event": "REDUCE", "side": "LONG", "position": "LONG", "quantity": "3"},
        ),
        ({"action": "exit", "quantity": 3}, {"event": "EXIT", "quantity": "3"}),
        ({"action": "add", "quantity": 3}, {"event": "ADD", "quantity": "3"}),
        ({"action": "cancel"}, {"event": "CANCEL"}),
        (
            {"action": "exit", "quantityType": "percent_of_position", "quantity": 25},
            {"event": "EXIT", "quantity": "25", "quantity_kind": "percent_of_position"},
        ),
        (
            {"action": "buy", "price": 50, "stopLoss": {"type": "stop", "amount": 2}, "takeProfit": {"percent": 4}},
            {"event": "ENTRY", "side": "LONG", "price": "50", "stop_loss": "offset:2", "take_profit": "percent:4"},
        ),
        (
            {"action": "sell", "orderType": "limit", "limitPrice": 50, "stopLoss": {"stopPrice": 51, "limitPrice": 52}},
            {
                "event": "ENTRY",
                "side": "SHORT",
                "order_type": "limit",
                "limit_price": "50",
                "stop_loss": "price:51",
            },
        ),
        (
            {"action": "exit", "orderType": "trailing_stop", "trailAmount": "1.5"},
            {"event": "EXIT", "order_type": "trailing_stop", "trail": "offset:1.5 trailing"},
        ),
    ],
)
def test_traderspost(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """sentiment is the position afterwards; amounts are points; price is never a limit."""
    body = {"ticker": "ZB1!", **fields}
    assert meaning(body) == {"symbol": "ZB1!", **expected}
    assert signal_of(body).family == "traderspost"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"action": "bye"}, "ACTION_UNKNOWN"),
        ({"action": "buy", "sentiment": "happy"}, "FIELD_WRONG"),
        ({"action": "exit", "sentiment": "bullish"}, "CONTRADICTION"),
        ({"action": "sell", "sentiment": "bullish"}, "CONTRADICTION"),
        ({"action": "buy", "orderType": "limit", "price": 50}, "FIELD_MISSING"),
        ({"action": "buy", "stopLoss": {"type": "trailing_stop"}}, "FIELD_MISSING"),
        ({"action": "buy", "stopLoss": {"type": "stop", "trailPercent": 1}}, "CONTRADICTION"),
        ({"action": "cancel", "cancelOrderType": "limit"}, "UNSUPPORTED"),
        ({"action": "buy", "optionType": "put"}, "OPTIONS_UNSUPPORTED"),
    ],
)
def test_traderspost_refusals(fields: dict[str, Any], code: str) -> None:
    """What its documentation forbids, and what this router cannot do."""
    assert code_of({"ticker": "ZB1!", **fields}) == code


def test_traderspost_settings_are_named() -> None:
    """A setting that the account decides is kept and noted, not lost in silence."""
    signal = signal_of({"ticker": "ZB1!", "action": "exit", "timeInForce": "gtc", "cancel": False})
    assert [note.split(" ")[0] for note in signal.notes] == ["timeInForce", "cancel"]
    assert dict(signal.extras) == {"timeInForce": "gtc", "cancel": False}


# 3. PickMyTrade


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"data": "buy", "quantity": "2"}, {"event": "ENTRY", "side": "LONG", "quantity": "2"}),
        ({"data": "short", "quantity": "0"}, {"event": "ENTRY", "side": "SHORT"}),
        ({"data": "close", "quantity": "0"}, {"event": "EXIT"}),
        ({"data": "flat", "quantity": "1"}, {"event": "EXIT"}),
        (
            {"data": "buy", "quantity": "2", "risk_percentage": "1.5", "dollar_sl": "80", "percentage_sl": "0"},
            {
                "event": "ENTRY",
                "side": "LONG",
                "quantity": "1.5",
                "quantity_kind": "risk_percent",
                "stop_loss": "cash:80",
            },
        ),
        (
            {"data": "sell", "price": "5000", "sl": "5010", "dollar_sl": "40", "tp": "4980"},
            {
                "event": "ENTRY",
                "side": "SHORT",
                "price": "5000",
                "stop_loss": "price:5010",
                "take_profit": "price:4980",
            },
        ),
        (
            {"data": "buy", "quantity": "0", "update_sl": "true", "sl": "4990"},
            {"event": "MOVE_STOP", "side": "LONG", "stop_loss": "price:4990"},
        ),
        (
            {"data": "buy", "trail": "1", "trail_stop": "12", "trail_trigger": "0"},
            {"event": "ENTRY", "side": "LONG", "stop_loss": "offset:12 trailing"},
        ),
        (
            {"data": "buy", "order_type": "LMT", "price": "4990"},
            {"event": "ENTRY", "side": "LONG", "order_type": "limit", "price": "4990", "limit_price": "4990"},
        ),
    ],
)
def test_pickmytrade(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """Zero means not given; risk goes before quantity, a price before dollars."""
    body = {"symbol": "MES1!", "date": "2026-03-10T14:31:05Z", "token": "pmt-canary-token", **fields}
    assert meaning(body) == {"symbol": "MES1!", "fire_time": FIRED, **expected}
    assert signal_of(body).family == "pickmytrade"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"update_sl": "true", "sl": "4990", "quantity": "1"}, "CONTRADICTION"),
        ({"update_sl": "true", "quantity": "0"}, "FIELD_MISSING"),
        ({"trail": "1", "trail_stop": "12", "trail_trigger": "5"}, "UNSUPPORTED"),
        ({"breakeven": "10"}, "UNSUPPORTED"),
        ({"advance_tp_sl": [{"quantity": 1, "tp": 1}]}, "UNSUPPORTED"),
        ({"inst_type": "OPT"}, "OPTIONS_UNSUPPORTED"),
        ({"data": "hodl"}, "ACTION_UNKNOWN"),
    ],
)
def test_pickmytrade_refusals(fields: dict[str, Any], code: str) -> None:
    """What would need more than one order or a stop that starts later."""
    assert code_of({"symbol": "MES1!", "data": "buy", "quantity": "1", **fields}) == code


# 4. CrossTrade

PLACE = "key=ct-canary-key;command=PLACE;account=Sim7;instrument=YM1!;action=SELL;qty=2;order_type=MARKET;tif=GTC;"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (PLACE, {"event": "ENTRY", "side": "SHORT", "quantity": "2"}),
        (PLACE.replace(";", ";\r\n"), {"event": "ENTRY", "side": "SHORT", "quantity": "2"}),
        (PLACE.replace(";", ",").rstrip(","), {"event": "ENTRY", "side": "SHORT", "quantity": "2"}),
        (PLACE + "flatten_first=true;", {"event": "REVERSE", "side": "SHORT", "quantity": "2"}),
        (
            PLACE + "take_profit=-1.5%;stop_loss=30 ticks;",
            {
                "event": "ENTRY",
                "side": "SHORT",
                "quantity": "2",
                "take_profit": "percent:1.5",
                "stop_loss": "ticks:30",
            },
        ),
        (
            PLACE.replace("MARKET", "STOPLIMIT") + "stop_price=39000;limit_price=38990;",
            {
                "event": "ENTRY",
                "side": "SHORT",
                "quantity": "2",
                "order_type": "stop_limit",
                "stop_price": "39000",
                "limit_price": "38990",
            },
        ),
        (
            PLACE + "sync_strategy=true;market_position=flat;prev_market_position=long;",
            {"event": "EXIT", "side": "LONG", "position": "FLAT"},
        ),
        ("key=k;command=CLOSEPOSITION;account=a;instrument=YM1!;qty=1;", {"event": "EXIT", "quantity": "1"}),
        ("key=k;command=FLATTEN;account=a;instrument=YM1!;", {"event": "EXIT"}),
        ("key=k;command=CANCELORDERS;account=a;instrument=YM1!;", {"event": "CANCEL"}),
        (
            PLACE.replace("PLACE", "reverseposition"),
            {"event": "REVERSE", "side": "SHORT", "quantity": "2"},
        ),
    ],
)
def test_crosstrade(body: str, expected: dict[str, Any]) -> None:
    """NinjaTrader's commands; flatten_first makes a reversal; a distance may carry its sign."""
    assert meaning(body) == {"symbol": "YM1!", **expected}
    assert signal_of(body).family == "crosstrade"


def test_crosstrade_without_an_instrument_closes_everything() -> None:
    """FLATTENEVERYTHING, and a close of no instrument in particular."""
    assert meaning("key=k;command=FLATTENEVERYTHING;") == {"event": "FLATTEN"}
    assert meaning("key=k;command=FLATTEN;account=a;") == {"event": "FLATTEN"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (PLACE.replace("PLACE", "CHANGE"), "UNSUPPORTED"),
        (PLACE.replace("PLACE", "FLATPLACE"), "UNSUPPORTED"),
        (PLACE + "strategy=ATM 2;", "UNSUPPORTED"),
        (PLACE + "max_positions=1;", "UNSUPPORTED"),
        (PLACE.replace("PLACE", "DANCE"), "ACTION_UNKNOWN"),
        (PLACE.replace("action=SELL;", ""), "FIELD_MISSING"),
        (PLACE + "take_profit=+1%;", "CONTRADICTION"),
        (PLACE + "flatten_first=true;market_position=short;prev_market_position=short;", "CONTRADICTION"),
        (PLACE + "command=FLATTEN;", "KEY_REPEATED"),
        (PLACE.replace("PLACE", "REVERSE").replace("action=SELL;", ""), "SIDE_MISSING"),
    ],
)
def test_crosstrade_refusals(body: str, code: str) -> None:
    """Conditions, ATM strategies and changes of working orders live elsewhere."""
    assert code_of(body) == code


# 5. 3Commas


@pytest.mark.parametrize(
    ("kind", "amount", "expected"),
    [("base", "0.2", None), ("quote", "200", "cash"), ("margin_percent", "20", "percent_of_equity")],
)
def test_threecommas_entry(kind: str, amount: str, expected: str | None) -> None:
    """The order object says how much of what; max_lag is the alert's own age limit."""
    body = {
        "secret": "3c-canary-secret",
        "bot_uuid": "0000",
        "tv_exchange": "CME",
        "tv_instrument": "M6E1!",
        "action": "enter_short",
        "timestamp": "2026-03-10T14:31:05Z",
        "trigger_price": "1.08",
        "max_lag": "90",
        "order": {"amount": amount, "currency_type": kind},
    }
    assert meaning(body) == {
        "event": "ENTRY",
        "symbol": "M6E1!",
        "side": "SHORT",
        "quantity": amount,
        "price": "1.08",
        "exchange": "CME",
        "fire_time": FIRED,
        "max_age_s": "90",
    } | ({"quantity_kind": expected} if expected else {})
    assert signal_of(body).family == "3commas"


def test_threecommas_strategy_and_exit() -> None:
    """strategy_info decides as TradingView's positions do; an exit may name a part of the position."""
    info = {"market_position": "flat", "prev_market_position": "short", "prev_market_position_size": "1"}
    bot = {"secret": "s", "bot_uuid": "0", "tv_instrument": "M6E1!"}
    assert meaning({**bot, "action": "buy", "strategy_info": info})["event"] == "EXIT"
    assert meaning({**bot, "action": "exit_long", "order": {"amount": 40, "currency_type": "position_percent"}}) == {
        "event": "EXIT",
        "symbol": "M6E1!",
        "side": "LONG",
        "quantity": "40",
        "quantity_kind": "percent_of_position",
    }


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"action": "disable"}, "NOT_AN_ORDER"),
        ({"message_type": "bot", "bot_id": 1, "action": "buy"}, "NOT_AN_ORDER"),
        ({"action": "enter_long", "order": {"amount": 1}}, "QUANTITY_KIND_UNKNOWN"),
        ({"action": "enter_long", "order": {"amount": 1, "currency_type": "shells"}}, "QUANTITY_KIND_UNKNOWN"),
    ],
)
def test_threecommas_refusals(fields: dict[str, Any], code: str) -> None:
    """Bots are not directed from here."""
    assert code_of({"secret": "s", "bot_uuid": "0", "tv_instrument": "M6E1!", **fields}) == code


# 6. OctoBot


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ("SIGNAL=buy", {"event": "ENTRY", "side": "LONG"}),
        ("SIGNAL=SELL;VOLUME=0.5;PRICE=70", {"event": "ENTRY", "side": "SHORT", "quantity": "0.5", "price": "70"}),
        ("SIGNAL=sell;REDUCE_ONLY=true", {"event": "EXIT", "side": "LONG"}),
        ("SIGNAL=cancel", {"event": "CANCEL"}),
        (
            "SIGNAL=buy;ORDER_TYPE=LIMIT;PRICE=70;STOP_PRICE=-5%;TAKE_PROFIT_PRICE=4d",
            {
                "event": "ENTRY",
                "side": "LONG",
                "order_type": "limit",
                "price": "70",
                "limit_price": "70",
                "stop_loss": "percent:5",
                "take_profit": "offset:4",
            },
        ),
        (
            "SIGNAL=buy;VOLUME=2%",
            {"event": "ENTRY", "side": "LONG", "quantity": "2", "quantity_kind": "percent_of_equity"},
        ),
    ],
)
@pytest.mark.parametrize("separator", [";", "\n", ";\r\n", "\\r\\n"])
def test_octobot(details: str, expected: dict[str, Any], separator: str) -> None:
    """Upper-case fields, one a line or behind semicolons, also where a relay wrote the line ends out."""
    body = f"EXCHANGE=bybit;SYMBOL=LTCUSDT;{details}".replace(";", separator)
    assert meaning(body) == {"symbol": "LTCUSDT", "exchange": "bybit", **expected}
    assert signal_of(body).family == "octobot"


def test_octobot_through_a_mail_relay() -> None:
    """A word before it, quotes around it and written-out line ends leave one meaning."""
    signal = signal_of('Signal: ""EXCHANGE=okx;\\r\\nSYMBOL=XRPUSDT;\\r\\nSIGNAL=buy\\r\\n""')
    assert (signal.symbol, signal.side, len(signal.repairs)) == ("XRPUSDT", "LONG", 2)


@pytest.mark.parametrize(
    ("details", "code"),
    [
        ("VOLUME=1", "FIELD_MISSING"),
        ("SIGNAL=buy;VOLUME=2a%", "QUANTITY_KIND_UNKNOWN"),
        ("SIGNAL=buy;STOP_PRICE=+5%", "CONTRADICTION"),
        ("SIGNAL=buy;TAKE_PROFIT_PRICE=9;TAKE_PROFIT_PRICE_1=10", "UNSUPPORTED"),
        ("SIGNAL=sell;ORDER_TYPE=STOP;STOP_PRICE=60", "UNSUPPORTED"),
        ("SIGNAL=cancel;PARAM_SIDE=buy", "UNSUPPORTED"),
        ("SIGNAL=cancel;TAG=t9", "UNSUPPORTED"),
    ],
)
def test_octobot_refusals(details: str, code: str) -> None:
    """Parts of holdings, several targets and stops alone are not orders here."""
    assert code_of(f"EXCHANGE=bybit;SYMBOL=LTCUSDT;{details}") == code


# 7. words


@pytest.mark.parametrize(
    ("body", "family", "expected"),
    [
        ("70000000001,buy,GBPUSD,vol_lots=0.2", "comma", {"event": "ENTRY", "side": "LONG", "quantity": "0.2"}),
        ("70000000001 , closelong , GBPUSD", "comma", {"event": "EXIT", "side": "LONG"}),
        (
            "70000000001,sell,GBPUSD,vol=1,price=1.3,sl=1.31,tp=1.28",
            "comma",
            {
                "event": "ENTRY",
                "side": "SHORT",
                "quantity": "1",
                "price": "1.3",
                "stop_loss": "price:1.31",
                "take_profit": "price:1.28",
            },
        ),
        (
            "lic,newsltplong,GBPUSD,sl_price=1.2",
            "comma",
            {"event": "MOVE_STOP", "side": "LONG", "stop_loss": "price:1.2"},
        ),
        ("my-key|breakout|sell|GBPUSD", "pipe", {"event": "ENTRY", "side": "SHORT", "strategy": "breakout"}),
        ("SELL GBPUSD", "words", {"event": "ENTRY", "side": "SHORT"}),
        ("GBPUSD buy 0.5", "words", {"event": "ENTRY", "side": "LONG", "quantity": "0.5"}),
        ("buy 2 GBPUSD x5", "words", {"event": "ENTRY", "side": "LONG", "quantity": "2"}),
        ("close short GBPUSD", "words", {"event": "EXIT", "side": "SHORT"}),
        (
            "acc_1 GBPUSD close 25%",
            "words",
            {"event": "EXIT", "quantity": "25", "quantity_kind": "percent_of_position"},
        ),
        (
            "GBPUSD position -3",
            "words",
            {"event": "ENTRY", "side": "SHORT", "quantity": "3", "target": True, "position": "SHORT"},
        ),
        ("GBPUSD pos 0", "words", {"event": "EXIT"}),
        (
            "GBPUSD sell 40$ limit:a7:1.31",
            "words",
            {
                "event": "ENTRY",
                "side": "SHORT",
                "quantity": "40",
                "quantity_kind": "cash",
                "order_type": "limit",
                "limit_price": "1.31",
                "order_id": "a7",
            },
        ),
        ("GBPUSD cancel:all", "words", {"event": "CANCEL"}),
        (
            "MyWord\nshort GBPUSD q=0.3 sl=200",
            "words",
            {"event": "ENTRY", "side": "SHORT", "quantity": "0.3", "stop_loss": "ticks:200"},
        ),
    ],
)
def test_words(body: str, family: str, expected: dict[str, Any]) -> None:
    """Positions between commas and pipes, and words that each have one meaning."""
    assert meaning(body) == {"symbol": "GBPUSD", **expected}
    assert read_alert(body.encode()).family == family


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("BUY TATASTEEL 150", "AMBIGUOUS"),
        ("GBPUSD buy 300$ x3", "AMBIGUOUS"),
        ("GBPUSD buy position 3", "AMBIGUOUS"),
        ("lic,buy,GBPUSD,vol=1,sl=20", "AMBIGUOUS"),
        ("lic,buy,GBPUSD,risk=1", "QUANTITY_KIND_UNKNOWN"),
        ("lic,buy,GBPUSD,1.25", "AMBIGUOUS"),
        ("lic,buy,sell,GBPUSD", "FORMAT_UNKNOWN"),
        ("lic,eaoff,GBPUSD", "FORMAT_UNKNOWN"),
        ("lic,buy,GBPUSD,vol=1,vol=2", "KEY_REPEATED"),
        ("buy long short GBPUSD", "CONTRADICTION"),
        ("GBPUSD cancel:a7", "UNSUPPORTED"),
    ],
)
def test_words_with_two_meanings(body: str, code: str) -> None:
    """A number that could be a price or a size, and a distance without a unit, are never guessed."""
    assert code_of(body) == code


def test_a_levels_unit_does_not_hold_up_an_exit() -> None:
    """What would be unclear for an entry has no effect on an exit."""
    assert meaning("lic,closelong,GBPUSD,sl=20") == {"event": "EXIT", "symbol": "GBPUSD", "side": "LONG"}
