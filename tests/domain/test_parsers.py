"""From an alert's bytes to one meaning, or to the code that says why not: shapes, repairs, and what all formats share."""

import ast
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import eventrouter
from eventrouter.domain import parsers
from eventrouter.domain.parsers import MOST_BYTES, read_alert
from eventrouter.domain.refusals import REFUSALS
from eventrouter.web.codes import CODES
from tests.domain.readings import code_of, meaning, refusal_of, signal_of

BUY = {"action": "buy", "symbol": "MNQ1!"}
LONG = {"event": "ENTRY", "symbol": "MNQ1!", "side": "LONG"}
SHORT = {"event": "ENTRY", "symbol": "MNQ1!", "side": "SHORT"}


# the shape of a body


@pytest.mark.parametrize(
    "body",
    [
        '{"action": "buy", "symbol": "MNQ1!"}',
        '\ufeff \r\n{"action":"buy","symbol":"MNQ1!"}\n',
        '[{"action": "buy", "symbol": "MNQ1!"}]',
        '{"order": {"action": "buy"}, "instrument": {"symbol": "MNQ1!"}}',
        '"{\\"action\\": \\"buy\\", \\"symbol\\": \\"MNQ1!\\"}"',
        "%7B%22action%22%3A%22buy%22%2C+%22symbol%22%3A%22MNQ1%21%22%7D=",
        '{"action":"buy","symbol":"MNQ1!"}=',
        "payload=%7B%22action%22%3A%22buy%22%2C%22symbol%22%3A%22MNQ1%21%22%7D",
        "action=buy&symbol=MNQ1%21",
        "action=buy;symbol=MNQ1!;",
        "action=buy\r\nsymbol=MNQ1!\r\n",
        "action = buy,\nsymbol = MNQ1!",
        "action=buy,symbol=MNQ1!",
        "action=buy symbol=MNQ1!",
        "action: buy\nsymbol: MNQ1!",
        "action=buy\\nsymbol=MNQ1!",
        "buy,MNQ1!",
        "buy MNQ1!",
    ],
)
def test_the_shape_decides(body: str) -> None:
    """JSON in every wrapping, a form, pairs and words say the same."""
    assert meaning(body) == LONG


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "BODY_EMPTY"),
        (b" \r\n", "BODY_EMPTY"),
        (b"\xff\xfe{", "BODY_NOT_UTF8"),
        (b"%7B%22a%22%3A%22%FF%22%7D", "BODY_NOT_UTF8"),
        (b"x" * (MOST_BYTES + 1), "BODY_TOO_LARGE"),
        (b'{"a": "b"}\x00', "TEXT_WRONG"),
        (b'{"action": "b\\u0000"}', "TEXT_WRONG"),
        (b'{"action": "b\\u0007"}', "TEXT_WRONG"),
        (b'{"action": "\\ud800"}', "TEXT_WRONG"),
        (b"action=buy&symbol=%00", "TEXT_WRONG"),
        (b"[]", "BODY_NOT_OBJECT"),
        (b"[1]", "BODY_NOT_OBJECT"),
        (b'{"action": "buy"', "BODY_NOT_JSON"),
        (b'{"action": "buy"}}', "BODY_NOT_JSON"),
        (b'{"action": "buy" "symbol": "X"}', "BODY_NOT_JSON"),
        (b'{"action": "bu\ny"}', "BODY_NOT_JSON"),
        (b'{"action": buy it now}', "BODY_NOT_JSON"),
        (b'{"action": "buy\\x"}', "BODY_NOT_JSON"),
        (b'{"action": "buy", ...}', "BODY_NOT_JSON"),
        (b'{"action": "buy" /* never ends', "BODY_NOT_JSON"),
        (b'{"quantity": 007, "action": "buy"}', "BODY_NOT_JSON"),
        (b"[" * 17 + b"]" * 17, "BODY_NOT_JSON"),
        (b'{"action": "buy", "action": "buy"}', "KEY_REPEATED"),
        (b'{"stopLoss": 1, "stop_loss": 2, "action": "buy"}', "KEY_REPEATED"),
        (b"action=buy;Action=sell", "KEY_REPEATED"),
        (b"action=buy&symbol=X&action=sell", "KEY_REPEATED"),
        (b'{"action": "buy"} {"action": "sell"}', "MANY_ORDERS"),
        (b'[{"action": "buy"}, {"action": "sell"}]', "MANY_ORDERS"),
        (b'{"orders": [{"side": "buy", "symbol": "A"}, {"side": "buy", "symbol": "B"}]}', "MANY_ORDERS"),
        (b"symbol = A\n[1]\nside = buy\n[2]\nside = sell", "MANY_ORDERS"),
        (b"buy MNQ1!\nsell ES1!", "MANY_ORDERS"),
        (b'{"values": [' + b"1," * 1000 + b"1]}", "TOO_MANY_FIELDS"),
    ],
)
def test_a_body_that_cannot_be_read(body: bytes, code: str) -> None:
    """What is not text, not JSON, or more than one order, is refused by its shape."""
    assert code_of(body) == code


@pytest.mark.parametrize(
    "body",
    [
        "Gold broke out of its range - looks bullish",
        "Sell now",
        "BUY NOW",
        "Buy AAPL today",
        "Please buy AAPL",
        "LONG!",
        "Signal: Buy",
        "Signal: Buy, Price: 18500",
        "Heads up\nBUY AAPL",
        "buy 1 2 MNQ1! ES1!",
        "123",
    ],
)
def test_text_for_people_is_no_order(body: str) -> None:
    """A sentence never becomes an order, however much it sounds like one."""
    assert code_of(body) in {"FORMAT_UNKNOWN", "AMBIGUOUS"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"msg": "Long "}, "NOT_AN_ORDER"),
        ({"message": "Long", "chat_id": 7}, "NOT_AN_ORDER"),
        ({"symbol": "RTY1!", "bid": 2.1, "ask": 2.2}, "NOT_AN_ORDER"),
        ({"success": True, "payload": {"action": "buy", "ticker": "NQ1!"}}, "NOT_AN_ORDER"),
        ({"action": "stop_bot", "symbol": "NQ1!"}, "NOT_AN_ORDER"),
        ({"action": "start_bot | stop_bot"}, "NOT_AN_ORDER"),
        ({"query": "account", "watchlist": ["NQ1!", "ES1!"]}, "NOT_AN_ORDER"),
        ({"symbol": "NQ1!", "quantity": 1}, "FIELD_MISSING"),
        ({"action": "by", "symbol": "NQ1!"}, "ACTION_UNKNOWN"),
        ({"event": "TARGET2", "side": "buy", "symbol": "NQ1!"}, "ACTION_UNKNOWN"),
        ({"c": "buy", "s": "NQ1!"}, "FORMAT_UNKNOWN"),
        ({"action": "open", "symbol": "NQ1!"}, "SIDE_MISSING"),
        ({"action": "reverse", "symbol": "NQ1!"}, "SIDE_MISSING"),
    ],
)
def test_an_alert_that_asks_for_no_order(body: dict[str, Any], code: str) -> None:
    """Messages, quotes, queries and other vendors' bots are told apart from orders with a part missing."""
    assert code_of(body) == code


# nearly JSON


@pytest.mark.parametrize(
    ("body", "repair"),
    [
        ('{"action": "buy", "symbol": "MNQ1!",}', "comma before a closing bracket"),
        ('{"action": "buy", // now\n "symbol": "MNQ1!"}', "Comments"),
        ('{"action": "buy", /* now */ "symbol": "MNQ1!"}', "Comments"),
        ("{'action': 'buy', 'symbol': 'MNQ1!'}", "Single quotes"),
        ("{“action”: “buy”, “symbol”: “MNQ1!”}", "Typographic quotes"),
        ('{action: "buy", symbol: "MNQ1!"}', "names"),
        ('{"action": buy, "symbol": MNQ1!}', "symbol has no quotes"),
        ('{"action": "buy"\n "symbol": "MNQ1!"}', "comma was missing"),
        ('{"action": "buy",\u00a0"symbol": "MNQ1!"}', "Invisible characters"),
        ('{"action": "buy", "symbol": "MNQ1!", "quantity": None}', "None"),
        ('{"action": "buy", "symbol": "MNQ1!", "note": NaN}', "note is NaN"),
    ],
)
def test_a_slip_with_one_meaning_is_mended(body: str, repair: str) -> None:
    """The order is read, and the signal says what was mended."""
    assert meaning(body) == LONG
    assert any(repair in sentence for sentence in signal_of(body).repairs)


def test_strict_json_needs_no_repair() -> None:
    """A body without slips says nothing of repairs."""
    assert signal_of({**BUY, "quantity": 2, "nested": {"a": [1, None, True, "x"]}}).repairs == ()


def test_a_number_in_a_form_of_its_own_is_read() -> None:
    """+5 and .5 have one meaning each."""
    assert meaning('{"action": "buy", "quantity": .5, "price": +18500}') == {
        "event": "ENTRY",
        "side": "LONG",
        "quantity": "0.5",
        "price": "18500",
    }


# placeholders, NaN, delayed data


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({**BUY, "symbol": "{{ticker}}"}, "PLACEHOLDER", "symbol"),
        ({**BUY, "symbol": "%alert_symbol%"}, "PLACEHOLDER", "symbol"),
        ({**BUY, "quantity": "${qty}"}, "PLACEHOLDER", "quantity"),
        ('{"action": "buy", "price": {{close}}}', "PLACEHOLDER", "price"),
        ("{{strategy.order.action}} MNQ1!", "PLACEHOLDER", None),
        ('{"action": "buy", "quantity": NaN}', "NUMBER_WRONG", "quantity"),
        ('{"action": "buy", "sl": -Infinity}', "NUMBER_WRONG", "sl"),
        ({**BUY, "price": "nan"}, "NUMBER_WRONG", "price"),
        ({**BUY, "price": "18,500"}, "NUMBER_WRONG", "price"),
        ({**BUY, "price": "1" * 16}, "NUMBER_WRONG", "price"),
        ({**BUY, "price": "1e99"}, "NUMBER_WRONG", "price"),
        ({**BUY, "price": -1}, "PRICE_WRONG", "price"),
        ({**BUY, "symbol": "CME_MINI_DL:MNQ1!"}, "DELAYED_DATA", "symbol"),
        ({**BUY, "exchange": "NYMEX_DLY"}, "DELAYED_DATA", "exchange"),
        ({**BUY, "symbol": "NQ 1!;x"}, "SYMBOL_WRONG", "symbol"),
        ({**BUY, "symbol": "CME:NQ1!-CME:ES1!"}, "SPREAD_UNSUPPORTED", "symbol"),
        ({**BUY, "legs": [{"strike": 1}]}, "SPREAD_UNSUPPORTED", "legs"),
        ({**BUY, "symbol": "MSFT 260116C400"}, "OPTIONS_UNSUPPORTED", "symbol"),
        ({**BUY, "symbol": "NIFTY26FEB25000PE"}, "OPTIONS_UNSUPPORTED", "symbol"),
        ({**BUY, "strikePrice": 400}, "OPTIONS_UNSUPPORTED", "strikePrice"),
        ({**BUY, "account": "A1;command=FLATTEN"}, "INJECTION", "account"),
        ({**BUY, "comment": "up\nqty = 9"}, "INJECTION", "comment"),
        ({**BUY, "ticker": "ES1!"}, "CONTRADICTION", "ticker"),
        ({**BUY, "symbol": ""}, "FIELD_MISSING", "symbol"),
        ({**BUY, "trade_id": "t" * 101}, "TRADE_ID_WRONG", "trade_id"),
    ],
)
def test_a_value_that_cannot_be_used(body: Any, code: str, field: str | None) -> None:
    """The refusal names the field."""
    refusal = refusal_of(body)
    assert (refusal.code, refusal.field) == (code, field)


def test_a_field_without_effect_may_be_odd() -> None:
    """A NaN or a placeholder where nobody looks is noted and harms nothing."""
    signal = signal_of('{"action": "exit", "symbol": "X", "long SL": NaN, "atr": "{{plot(\'ATR\')}}", "price": NaN}')
    assert (signal.event, signal.price) == ("EXIT", None)
    assert [note.split(" is ")[0] for note in signal.notes] == ["long SL", "atr", "price"]


def test_no_symbol_is_accepted() -> None:
    """The strategy may have one of its own; the caller decides."""
    assert meaning({"action": "sell"}) == {"event": "ENTRY", "side": "SHORT"}


# what the words want


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"action": "buy"}, LONG),
        ({"side": "SHORT"}, SHORT),
        ({"direction": "long"}, LONG),
        ({"signal": "sell"}, SHORT),
        ({"action": "enter-long"}, LONG),
        ({"positionDirection": "entryShort"}, SHORT),
        ({"action": "open", "side": "sell"}, SHORT),
        ({"action": "buy", "type": "entry"}, LONG),
        ({"action": "sell", "message": "exit"}, {**LONG, "event": "EXIT"}),
        ({"action": "buy", "reduceOnly": True}, {**SHORT, "event": "EXIT"}),
        ({"action": "close"}, {"event": "EXIT", "symbol": "MNQ1!"}),
        ({"action": "flat"}, {"event": "EXIT", "symbol": "MNQ1!"}),
        ({"action": "closelong"}, {**LONG, "event": "EXIT"}),
        ({"action": "exit_short"}, {**SHORT, "event": "EXIT"}),
        ({"action": "close", "side": "long"}, {**LONG, "event": "EXIT"}),
        ({"action": "close", "side": "sell"}, {"event": "EXIT", "symbol": "MNQ1!"}),
        ({"action": "add"}, {"event": "ADD", "symbol": "MNQ1!"}),
        ({"action": "reverse", "side": "short"}, {**SHORT, "event": "REVERSE"}),
        ({"action": "reduce", "side": "long", "qty": 1}, {**LONG, "event": "REDUCE", "quantity": "1"}),
        ({"action": "cancel"}, {"event": "CANCEL", "symbol": "MNQ1!"}),
        ({"action": "flatten"}, {"event": "FLATTEN", "symbol": "MNQ1!"}),
        ({"action": "close_all"}, {"event": "FLATTEN", "symbol": "MNQ1!"}),
        (
            {"action": "move_stop", "side": "long", "sl_price": 5},
            {**LONG, "event": "MOVE_STOP", "stop_loss": "price:5"},
        ),
    ],
)
def test_the_words_for_an_order(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """buy and long enter, words that leave leave, and several fields are read together."""
    assert meaning({"symbol": "MNQ1!", **fields}) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "buy", "side": "sell"},
        {"action": "buy", "direction": "short"},
        {"action": "exit", "type": "entry"},
        {"action": "closelong", "side": "short"},
        {"action": "buy", "market_position": "short"},
        {"action": "sell", "market_position": "long", "contracts": 1},
        {"action": "sell", "position_size": 2, "contracts": 1},
        {"action": "enter_long", "market_position": "flat"},
        {"action": "exit", "market_position": "long"},
        {"action": "buy", "market_position": "short", "position_size": 2},
        {"action": "buy", "market_position": "flat", "market_position_size": 1},
        {"action": "buy", "market_position": "flat", "prev_market_position": "long"},
        {"action": "buy", "contracts": 100, "position_size": 2},
        {"action": "buy", "quantity": 1, "contracts": 2},
        {"action": "buy", "quantity": 1, "usd": 100},
        {"action": "buy", "quantity": "5%", "quantityType": "fixed_quantity"},
        {"action": "buy", "price": 100, "sl": 101},
        {"action": "buy", "price": 100, "sl": 100},
        {"action": "sell", "price": 100, "stop_loss": 99},
        {"action": "sell", "price": 100, "stop_loss": 100},
        {"action": "buy", "price": 100, "tp": 99},
        {"action": "buy", "sl_price": 110, "tp_price": 105},
        {"action": "buy", "type": "limit", "price": 90, "sl": 95},
        {"action": "buy", "price": 100, "sl_price": 99, "sl_pct": 5},
    ],
)
def test_a_contradiction_is_refused(fields: dict[str, Any]) -> None:
    """Two fields that cannot both be true make no order."""
    assert code_of({"symbol": "MNQ1!", **fields}) == "CONTRADICTION"


@pytest.mark.parametrize(
    "remark",
    [
        {"comment": "Close entry(s) order Long"},
        {"order_id": "TP1"},
        {"order_id": "Long Exit"},
        {"message": "stop loss hit"},
        {"strategy": "Take Profit NQ"},
    ],
)
def test_an_exit_that_only_a_remark_tells_is_no_entry(remark: dict[str, Any]) -> None:
    """A bare sell whose remark calls it an exit would open a position: refused, unless the alert says what is left."""
    sell = {"action": "sell", "symbol": "MNQ1!", **remark}
    assert code_of(sell) == "AMBIGUOUS"
    assert meaning({**sell, "market_position": "flat"})["event"] == "EXIT"


# positions before and after


@pytest.mark.parametrize(
    ("action", "before", "after", "contracts", "expected"),
    [
        ("buy", ("flat", 0), ("long", 2), 2, ("ENTRY", "LONG", "2")),
        ("buy", ("long", 2), ("long", 3), 1, ("ADD", "LONG", "1")),
        ("sell", ("long", 3), ("long", 1), 2, ("REDUCE", "LONG", "2")),
        ("sell", ("long", 3), ("flat", 0), 3, ("EXIT", "LONG", None)),
        ("sell", ("long", 2), ("short", 1), 3, ("REVERSE", "SHORT", "1")),
        ("buy", ("short", 2), ("long", 4), 6, ("REVERSE", "LONG", "4")),
        ("buy", ("short", 2), ("short", 1), 1, ("REDUCE", "SHORT", "1")),
        ("exit", ("short", 2), ("flat", 0), 2, ("EXIT", "SHORT", None)),
        ("exit", ("short", 2), ("short", 1), 1, ("REDUCE", "SHORT", "1")),
        ("enter_long", ("short", 1), ("long", 1), 2, ("REVERSE", "LONG", "1")),
        (None, ("flat", 0), ("short", 2), 2, ("ENTRY", "SHORT", "2")),
        (None, ("short", 2), ("flat", 0), 2, ("EXIT", "SHORT", None)),
        (None, ("long", 2), ("long", 3), 1, ("ADD", "LONG", "1")),
        (None, ("long", 3), ("long", 2), 1, ("REDUCE", "LONG", "1")),
    ],
)
def test_positions_decide(
    action: str | None,
    before: tuple[str, int],
    after: tuple[str, int],
    contracts: int,
    expected: tuple[str, str, str | None],
) -> None:
    """The position before and after says what the order does; a reversal's quantity is the new position's size."""
    body = {
        "symbol": "MNQ1!",
        "contracts": contracts,
        "market_position": after[0],
        "market_position_size": after[1],
        "prev_market_position": before[0],
        "prev_market_position_size": before[1],
    }
    found = meaning({**body, "action": action} if action else body)
    assert (found["event"], found["side"], found.get("quantity")) == expected
    assert found["position"] == after[0].upper()


def test_the_same_inside_of_strategy() -> None:
    """TradingView's names may stand in an object of their own."""
    body = {
        "ticker": "MNQ1!",
        "bar": {"time": "2026-03-10T14:30:00Z", "volume": 912, "close": 18500},
        "strategy": {"order_action": "sell", "order_contracts": 2, "position_size": -1, "prev_market_position": "long"},
    }
    assert meaning(body | {"strategy": {**body["strategy"], "prev_market_position_size": 1}}) == {  # type: ignore[dict-item]
        **SHORT,
        "event": "REVERSE",
        "quantity": "1",
        "position": "SHORT",
        "position_size": "1",
        "bar_time": datetime(2026, 3, 10, 14, 30, tzinfo=UTC),
    }


def test_a_reversal_without_sizes_leaves_the_quantity_to_the_account() -> None:
    """TradingView's order of a reversal counts what it closes; the new size is not in it."""
    signal = signal_of({**BUY, "contracts": 4, "market_position": "long", "prev_market_position": "short"})
    assert (signal.event, signal.quantity) == ("REVERSE", None)
    assert "contracts counts the closed position as well" in signal.notes[0]


def test_a_reversal_counts_off_what_it_closes() -> None:
    """With the size before it, the order's quantity gives the new position's."""
    body = {**BUY, "contracts": 3, "market_position": "long", "prev_market_position": "short"}
    assert meaning({**body, "prev_market_position_size": 1})["quantity"] == "2"


def test_an_order_against_the_position_without_an_end_is_refused() -> None:
    """Buying against a short may reduce, close or reverse it."""
    assert code_of({**BUY, "prev_market_position": "short", "contracts": 1}) == "AMBIGUOUS"


@pytest.mark.parametrize(
    ("fields", "bare"),
    [
        ({"action": "buy"}, True),
        ({"action": "sell", "quantity": 2}, True),
        ({"action": "long"}, False),
        ({"action": "buy", "side": "long"}, False),
        ({"action": "enter_long"}, False),
        ({"action": "buy", "market_position": "long"}, False),
        ({"action": "buy", "prev_market_position": "flat"}, False),
        ({"action": "buy", "sl": 18400, "price": 18500}, False),
        ({"action": "exit"}, False),
    ],
)
def test_only_the_word_buy_or_sell(fields: dict[str, Any], bare: bool) -> None:
    """An alert that says no more than buy or sell is marked: against an open position it may as well mean its exit."""
    assert signal_of({"ticker": "MNQ1!", **fields}).bare is bare


# how much


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"quantity": "2"}, ("2", None)),
        ({"contracts": 2.0, "qty": "2"}, ("2", None)),
        ({"qty": "3 contracts"}, ("3", None)),
        ({"size": "300$"}, ("300", "cash")),
        ({"size": "$300"}, ("300", "cash")),
        ({"quantity": "5%"}, ("5", "percent_of_equity")),
        ({"quantity": "5%", "action": "exit"}, ("5", "percent_of_position")),
        ({"quantity": 1, "quantityType": "risk_percent"}, ("1", "risk_percent")),
        ({"amount": 250, "amount_type": "usd"}, ("250", "cash")),
        ({"risk_percent": "0.5"}, ("0.5", "risk_percent")),
        ({"usd": 250}, ("250", "cash")),
        ({"volume": 9120, "open": 1, "high": 2}, (None, None)),
        ({"volume": 0.1, "type": "POSITION_TYPE_BUY", "action": None}, ("0.1", None)),
    ],
)
def test_a_quantity_and_what_it_counts(fields: dict[str, Any], expected: tuple[str | None, str | None]) -> None:
    """Units, money and percents are told apart; a bar's volume is no quantity."""
    found = meaning({**BUY, **fields})
    quantity = found.get("quantity")
    assert (quantity and str(float(quantity)).removesuffix(".0"), found.get("quantity_kind")) == expected


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"quantity": 0}, "QUANTITY_WRONG"),
        ({"quantity": -1}, "QUANTITY_WRONG"),
        ({"quantity": "101%"}, "QUANTITY_WRONG"),
        ({"quantity": True}, "FIELD_WRONG"),
        ({"quantity": "a few"}, "NUMBER_WRONG"),
        ({"quantity": 1, "quantityType": "buckets"}, "QUANTITY_KIND_UNKNOWN"),
        ({"amount": 100}, "QUANTITY_KIND_UNKNOWN"),
        ({"risk": 1}, "QUANTITY_KIND_UNKNOWN"),
        ({"volume": 9120}, "QUANTITY_KIND_UNKNOWN"),
        ({"action": "reduce", "side": "long"}, "FIELD_MISSING"),
    ],
)
def test_a_quantity_that_is_refused(fields: dict[str, Any], code: str) -> None:
    """Nothing, less than nothing, more than all, or an unknown kind."""
    assert code_of({**BUY, **fields}) == code


# prices, levels, times


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"price": "0"}, {}),
        ({"price": 100, "close": 101}, {"price": "100"}),
        ({"type": "limit", "price": 99}, {"order_type": "limit", "price": "99", "limit_price": "99"}),
        ({"orderType": "stop", "stopPrice": 101}, {"order_type": "stop", "stop_price": "101"}),
        (
            {"pricetype": "SL", "price": 102, "trigger_price": 101},
            {"order_type": "stop_limit", "price": "102", "limit_price": "102", "stop_price": "101"},
        ),
        ({"action": "buylimit", "price": 99}, {"order_type": "limit", "price": "99", "limit_price": "99"}),
        (
            {"order_type": "trailing_stop", "trail_percent": 2},
            {"order_type": "trailing_stop", "trail": "percent:2 trailing"},
        ),
        ({"price": 100, "sl": 90, "tp": "110"}, {"price": "100", "stop_loss": "price:90", "take_profit": "price:110"}),
        ({"sl": "0", "tp": 0}, {}),
        ({"sl": "2%", "tp": "25 ticks"}, {"stop_loss": "percent:2", "take_profit": "ticks:25"}),
        ({"sl_points": 10, "dollar_tp": 50}, {"stop_loss": "offset:10", "take_profit": "cash:50"}),
        ({"stop_loss": {"type": "trailing_stop", "trailAmount": 3}}, {"stop_loss": "offset:3 trailing"}),
        ({"price": 100, "sl_price": 99, "sl_pct": 1}, {"price": "100", "stop_loss": "price:99"}),
        ({"long SL": 90, "short SL": 110, "price": 100}, {"price": "100", "stop_loss": "price:90"}),
        ({"tp1": 11000}, {"take_profit": "price:11000"}),
    ],
)
def test_prices_and_levels(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """A reference price is no order price; zero means none; a level has its unit."""
    assert meaning({**BUY, **fields}) == {**LONG, **expected}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"type": "limit"}, "FIELD_MISSING"),
        ({"orderType": "stop_limit", "limitPrice": 9}, "FIELD_MISSING"),
        ({"orderType": "trailing_stop"}, "FIELD_MISSING"),
        ({"orderType": "iceberg"}, "ORDER_TYPE_UNKNOWN"),
        ({"limitPrice": 99}, "AMBIGUOUS"),
        ({"stopPrice": 99}, "AMBIGUOUS"),
        ({"tp1": 11000, "tp2": 12000}, "UNSUPPORTED"),
        ({"sl_pips": 20}, "UNSUPPORTED"),
        ({"breakeven": 10}, "UNSUPPORTED"),
        ({"trail_points": 10}, "UNSUPPORTED"),
        ({"delay": 60}, "UNSUPPORTED"),
        ({"require_market_position": "flat"}, "UNSUPPORTED"),
        ({"test": True}, "UNSUPPORTED"),
        ({"sl": "-5%"}, "PRICE_WRONG"),
        ({"action": "modify", "side": "long"}, "FIELD_MISSING"),
    ],
)
def test_what_would_change_the_order_is_never_dropped(fields: dict[str, Any], code: str) -> None:
    """A part that is missing, unknown or impossible here refuses the alert."""
    assert code_of({**BUY, **fields}) == code


def test_an_exit_is_not_refused_for_levels_that_it_cannot_have() -> None:
    """Targets, trailing and break-even belong to an entry; an exit goes through."""
    body = {"action": "exit", "symbol": "X", "tp1": 1, "tp2": 2, "trail": 3, "breakeven": 4, "sl": "{{plot_3}}"}
    assert meaning(body) == {"event": "EXIT", "symbol": "X"}


@pytest.mark.parametrize(
    "text",
    ["2026-03-10T14:31:05Z", "2026-03-10 14:31:05.000 UTC", "2026-03-10T10:31:05-04:00", 1773153065, "1773153065000"],
)
def test_a_time_becomes_aware_utc(text: Any) -> None:
    """ISO with a zone, and seconds or milliseconds since 1970."""
    assert signal_of({**BUY, "timestamp": text}).fire_time == datetime(2026, 3, 10, 14, 31, 5, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026-03-10T14:31:05", "14:31", "2026-02-30T00:00:00Z", "now", "99999"])
def test_a_time_that_could_be_wrong_is_refused(text: str) -> None:
    """Without a zone the age could be wrong by hours."""
    assert code_of({**BUY, "time": text}) == "TIME_WRONG"


def test_two_times() -> None:
    """Beside a fire time, `time` is the bar's; alone it is when the alert fired."""
    fired, bar = "2026-03-10T14:31:05Z", "2026-03-10T14:30:00Z"
    both, one = signal_of({**BUY, "timenow": fired, "time": bar}), signal_of({**BUY, "time": fired})
    assert both.fire_time == one.fire_time == datetime(2026, 3, 10, 14, 31, 5, tzinfo=UTC)
    assert (both.bar_time, one.bar_time) == (datetime(2026, 3, 10, 14, 30, tzinfo=UTC), None)


def test_what_is_not_understood_is_kept() -> None:
    """Fields without effect go into extras as they came; ids have places of their own."""
    signal = signal_of(
        {**BUY, "interval": "5", "meta": {"rsi": 23.50}, "signal_id": "a1", "order_id": "L", "trade_id": 7}
    )
    assert dict(signal.extras) == {"interval": "5", "meta.rsi": "23.5"}
    assert (signal.source_id, signal.order_id, signal.trade_id) == ("a1", "L", "7")


# the table of codes


def codes_in_the_source() -> set[str]:
    """The first argument of every SignalRefused."""
    folder = Path(eventrouter.__file__).parent
    calls = [node for path in folder.rglob("*.py") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    named = [node for node in calls if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "SignalRefused"]
    return {call.args[0].value for call in named if isinstance(call.args[0], ast.Constant)}  # type: ignore[misc]


def test_every_code_is_in_the_table() -> None:
    """Each code that refuses an alert has its sentence, and the table has no other; the operator API tells its own."""
    of_the_api = {code for told in CODES.values() for code in told} - set(REFUSALS)
    assert codes_in_the_source() - of_the_api == set(REFUSALS)
    assert all(sentence.endswith(".") and len(sentence) < 200 for sentence in REFUSALS.values())


def test_a_fault_of_the_parser_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody thought of refuses the alert; it never escapes and never trades."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(parsers, "read_body", broken)
    reading = read_alert(json.dumps(BUY).encode())
    assert reading.refusal is not None
    assert reading.refusal.code == "READING_FAILED"
