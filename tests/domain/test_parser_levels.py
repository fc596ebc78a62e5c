"""Stops, sizes, order types and conditions in other words: read where they have one meaning, refused otherwise, never lost."""

from typing import Any

import pytest

from tests.domain.readings import code_of, meaning, refusal_of, signal_of

PLAIN = {"action": "buy", "symbol": "MNQ1!"}
BUY = {**PLAIN, "quantity": 1}
EXIT = {"action": "exit", "symbol": "MNQ1!"}
OWN = {"kind": "ENTRY", "trade_id": "T-7", "direction": "LONG", "symbol": "MNQ1!"}
PLACE = "key=k;command=PLACE;account=a;instrument=YM1!;action=SELL;qty=2;order_type=MARKET;"
CLOSE = "key=k;command=CLOSEPOSITION;account=a;instrument=YM1!;"
OCTOBOT = "EXCHANGE=bybit;SYMBOL=LTCUSDT;SIGNAL=buy;"
_DEFAULTS = {"event": "ENTRY", "symbol": "MNQ1!", "side": "LONG"}


def told(body: Any) -> dict[str, Any]:
    """The meaning, without what every alert of these tables says."""
    return {name: value for name, value in meaning(body).items() if _DEFAULTS.get(name) != value}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"stop_loss": {"type": "percent", "value": 1}}, {"stop_loss": "percent:1"}),
        ({"take_profit": {"value": 2, "unit": "percent"}}, {"take_profit": "percent:2"}),
        ({"sl": {"price": 19900}}, {"stop_loss": "price:19900"}),
        ({"stopLoss": {"ticks": 20}}, {"stop_loss": "ticks:20"}),
        ({"stopLoss": {"percentage": 1}}, {"stop_loss": "percent:1"}),
        ({"target": {"points": "12.5"}}, {"take_profit": "offset:12.5"}),
        ({"price": 100, "stopLoss": {"value": 99}}, {"price": "100", "stop_loss": "price:99"}),
        ({"stop_loss_in_ticks": 20}, {"stop_loss": "ticks:20"}),
        ({"sl_perc": 2}, {"stop_loss": "percent:2"}),
        ({"SL %": 1, "TP %": 2}, {"stop_loss": "percent:1", "take_profit": "percent:2"}),
        ({"Stop Loss %": 1, "tp_$": 50}, {"stop_loss": "percent:1", "take_profit": "cash:50"}),
        ({"stop_loss_type": "percent", "stop_loss": 1}, {"stop_loss": "percent:1"}),
        ({"sl_type": "ticks", "sl": 20}, {"stop_loss": "ticks:20"}),
        ({"tp_unit": "%", "tp": "2%"}, {"take_profit": "percent:2"}),
        ({"sl_type": "price", "sl": 5}, {"stop_loss": "price:5"}),
        ({"sl_price": 90, "tp_price": 110}, {"stop_loss": "price:90", "take_profit": "price:110"}),
        ({"sl": 19900, "tp": 20100}, {"stop_loss": "price:19900", "take_profit": "price:20100"}),
        ({"price": 100, "sl": 90, "tp": 130}, {"price": "100", "stop_loss": "price:90", "take_profit": "price:130"}),
        ({"long SL": 19900, "short SL": 20100}, {"stop_loss": "price:19900"}),
        ({"use_stop_loss": False, "trail_qty": 0, "stop": "", "sl_note": None}, {}),
    ],
)
def test_a_level_with_one_meaning_is_read(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """The unit may stand in the name, in the value, beside it or inside of an object."""
    assert told({**BUY, **fields}) == {"quantity": "1", **expected}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"sl": 50, "tp": 100}, "AMBIGUOUS"),
        ({"price": 20000, "sl": 50}, "AMBIGUOUS"),
        ({"price": 20000, "stop_loss": "1.5"}, "AMBIGUOUS"),
        ({"stopLoss": {"value": 5}}, "AMBIGUOUS"),
        ({"stopLoss": {"type": "percent", "price": 1}}, "AMBIGUOUS"),
        ({"sl_type": "pips", "sl": 5}, "AMBIGUOUS"),
        ({"sl_type": "percent", "sl": "5 ticks"}, "CONTRADICTION"),
        ({"price": 20000, "sl_type": "trailing", "sl": 19900}, "UNSUPPORTED"),
        ({"action": "move_stop", "side": "long", "sl": 5}, "AMBIGUOUS"),
        ({"stopLoss": {"stopPrice": None}}, "FIELD_MISSING"),
        ({"stopLoss": {"stopPrice": 0}}, "FIELD_MISSING"),
        ({"takeProfit": {"type": "limit", "percent": ""}}, "FIELD_MISSING"),
        ({"stopLoss": {"stopPrice": 19900, "guaranteed": 7}}, "UNSUPPORTED"),
        ({"bracket": {"stop": 1, "target": 2}}, "UNSUPPORTED"),
        ({"exits": {"stop_loss": 1}}, "UNSUPPORTED"),
        ({"exits": [{"stop_loss": 19900}, {"size": 1}]}, "UNSUPPORTED"),
        ({"risk": {"stop_loss": 5}}, "UNSUPPORTED"),
        ({"sl_amount": 5}, "UNSUPPORTED"),
        ({"use_sl": True}, "UNSUPPORTED"),
        ({"initialStopLoss": 19900}, "UNSUPPORTED"),
        ({"mysl": {"sl_in_r": "1R"}}, "UNSUPPORTED"),
        ({"slvalue": 19900}, "UNSUPPORTED"),
        ({"stoplossorder": {"price": 19900}}, "UNSUPPORTED"),
        ({"stoppts": 20}, "UNSUPPORTED"),
        ({"invalidation": 19900}, "UNSUPPORTED"),
        ({"exit_price": 19900}, "UNSUPPORTED"),
        ({"stop_lss": 19900}, "FIELD_MISSPELT"),
        ({"stop_los": 19900}, "FIELD_MISSPELT"),
        ({"take_proft": 20100}, "FIELD_MISSPELT"),
        ({"quantiy": 3}, "FIELD_MISSPELT"),
        ({"max_qty": 3}, "QUANTITY_KIND_UNKNOWN"),
        ({"quantity_multiplier": 2}, "QUANTITY_KIND_UNKNOWN"),
        ({"orderType": "limit", "limitPrice": 20000, "stopPrice": 19900}, "UNSUPPORTED"),
        ({"orderType": "market", "stopPrice": 19900}, "UNSUPPORTED"),
    ],
)
def test_no_stop_is_lost(fields: dict[str, Any], code: str) -> None:
    """What looks like protection or size, and is not read, refuses the alert that opens."""
    assert code_of({**BUY, **fields}) == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"symbol": "MES1!", "data": "buy", "quantity": "1", "stoploss": "4990"}, "UNSUPPORTED"),
        ({"symbol": "MES1!", "data": "buy", "quantity": "1", "quantity_multiplier": "2"}, "QUANTITY_KIND_UNKNOWN"),
        ({"ticker": "MNQ1!", "action": "buy", "stopLoss": {"stopPrice": None}}, "FIELD_MISSING"),
        (OCTOBOT + "STOP_LOSS_PRICE=60", "UNSUPPORTED"),
        (OCTOBOT + "STOP_LOSS_PRICE=-5%", "UNSUPPORTED"),
        (OCTOBOT + "LEVERAGE=10", "UNSUPPORTED"),
        (OCTOBOT + "VOLUME=2%;LEVERAGE=10", "UNSUPPORTED"),
        (PLACE + "sl=40000;", "UNSUPPORTED"),
        ("symbol=MNQ1!&side=buy&qty=1&sl_offset_r=2", "UNSUPPORTED"),
        ({**OWN, "qty": 1}, "FIELD_MISSPELT"),
        ({**OWN, "sl": 5}, "FIELD_MISSPELT"),
        ({**OWN, "kind": "entry", "stop_lss": 19900}, "FIELD_MISSPELT"),
        ({**OWN, "tp": 20100}, "UNSUPPORTED"),
        ({**OWN, "risk": {"take_profit": 20100}}, "UNSUPPORTED"),
        ({**OWN, "leverage": 10}, "UNSUPPORTED"),
        ({"kind": "EXIT", "trade_id": "T-7", "qty": 1}, "FIELD_MISSPELT"),
    ],
)
def test_no_stop_is_lost_in_other_formats(body: Any, code: str) -> None:
    """The same guard stands behind every reader, and before stage 13B's own."""
    assert code_of(body) == code


def test_leverage_of_units_changes_nothing() -> None:
    """A number of contracts is the same with any margin."""
    assert signal_of({**BUY, "leverage": 10}).notes == ("Not read: leverage.",)
    assert signal_of({**PLAIN, "leverage": 1}).quantity is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (CLOSE + "percent=0.5;", ("50.0", "percent_of_position")),
        (CLOSE + "percent=1;", ("100", "percent_of_position")),
        ({**EXIT, "percent": 50}, ("50", "percent_of_position")),
        ({**EXIT, "qty_percent": 50}, ("50", "percent_of_position")),
        ({**EXIT, "close_pct": "50%"}, ("50", "percent_of_position")),
        ({**EXIT, "quantityPercentage": 50}, ("50", "percent_of_position")),
        ({**EXIT, "sl_pct": 50, "pnl_usd": 12, "take_profit": 9}, (None, None)),
        ("LIC,closelong,EURUSD,vol_pct=50", ("50", "percent_of_position")),
        (OCTOBOT.replace("buy", "sell") + "VOLUME=50%;REDUCE_ONLY=true", ("50", "percent_of_position")),
        ({**PLAIN, "qty%": 10}, ("10", "percent_of_equity")),
        ({**PLAIN, "qty_$": 500}, ("500", "cash")),
        ({**PLAIN, "size_usd": 500}, ("500", "cash")),
        ({**PLAIN, "risk": "1%"}, ("1", "risk_percent")),
        ({**PLAIN, "risk": "$100"}, ("100", "risk_amount")),
    ],
)
def test_a_part_is_read_as_a_part(body: Any, expected: tuple[str | None, str | None]) -> None:
    """Half of a position is never all of it, percent and money are never contracts."""
    found = meaning(body)
    assert (found.get("quantity"), found.get("quantity_kind")) == expected


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (CLOSE + "percent=50;", "QUANTITY_WRONG"),
        ({**EXIT, "vol": 3}, "QUANTITY_KIND_UNKNOWN"),
        ({**EXIT, "portion": 0.5}, "QUANTITY_KIND_UNKNOWN"),
        ({**PLAIN, "usd": 250, "cash": 300}, "CONTRADICTION"),
        ({**BUY, "margin": 300}, "QUANTITY_KIND_UNKNOWN"),
        ({**EXIT, "percent": 50, "quantity": 1}, "CONTRADICTION"),
        ({**PLAIN, "percent": 10}, "QUANTITY_KIND_UNKNOWN"),
        ({**BUY, "risk": 5}, "QUANTITY_KIND_UNKNOWN"),
        ({**PLAIN, "usd_per_trade": 500}, "QUANTITY_KIND_UNKNOWN"),
        ("LIC,buy,EURUSD,vol_dollar=50", "QUANTITY_KIND_UNKNOWN"),
        ("LIC,buy,EURUSD,vol_pct=5", "QUANTITY_KIND_UNKNOWN"),
    ],
)
def test_a_size_of_unknown_kind_is_refused(body: Any, code: str) -> None:
    """The account's default size is no answer to a size that was sent."""
    assert code_of(body) == code


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"order": "limit"}, "FIELD_MISSING"),
        ({"type": "limit_order"}, "FIELD_MISSING"),
        ({"entry_type": "limit"}, "FIELD_MISSING"),
        ({"execution": "limit"}, "FIELD_MISSING"),
        ({"entry": {"type": "limit", "price": 20000}}, "FIELD_MISSING"),
        ({"kind": "limit"}, "AMBIGUOUS"),
        ({"order_style": "stop_limit"}, "AMBIGUOUS"),
        ({"lmt": 20000}, "AMBIGUOUS"),
        ({"orderType": "limit", "limitPrice": 20000, "limit": 19000}, "CONTRADICTION"),
        ({"limit": 20000}, "AMBIGUOUS"),
        ({"trigger_price": 20000}, "AMBIGUOUS"),
        ({"stop": 20100, "limit": 20050}, "AMBIGUOUS"),
        ({"orderType": "stop", "stopPrice": 20100, "limit": 20050}, "AMBIGUOUS"),
        ({"orderType": "limit", "limitPrice": 20000, "type": "stop"}, "CONTRADICTION"),
    ],
)
def test_no_order_type_is_lost(fields: dict[str, Any], code: str) -> None:
    """An order that should wait for a price never goes to the market."""
    assert code_of({**BUY, **fields}) == code


def test_an_order_type_in_other_words() -> None:
    """Where it has its price beside it; the same word twice is no contradiction."""
    limit = {"quantity": "1", "order_type": "limit", "price": "20000", "limit_price": "20000"}
    for fields in ({"order": "limit"}, {"type": "limit_order"}, {"orderType": "limit", "type": "limit"}):
        assert told({**BUY, **fields, "price": 20000}) == limit
    signal = signal_of({**BUY, "orderType": "market", "limitPrice": 20000})
    assert (signal.limit_price, signal.notes) == (None, ("limitPrice has no effect on a market order.",))


def test_a_pending_price_between_commas() -> None:
    """price= is pips by a setting of its vendor's."""
    assert code_of("LIC,buylimit,EURUSD,vol_lots=1,price=10") == "AMBIGUOUS"
    assert code_of("LIC,buy,EURUSD,vol_lots=1,limit=1.1") == "AMBIGUOUS"
    assert meaning("LIC,buylimit,EURUSD,vol_lots=1,limit_price=1.1")["limit_price"] == "1.1"


@pytest.mark.parametrize(
    "body",
    [
        *(
            {**BUY, **fields}
            for fields in (
                {"if_flat": True},
                {"condition": "flat"},
                {"reverse": True},
                {"mode": "paper"},
                {"environment": "demo"},
                {"test_mode": True},
                {"sandbox": "true"},
                {"test": True},
                {"dry_run": 1},
            )
        ),
        {"symbol": "MES1!", "data": "buy", "quantity": "1", "same_direction_ignore": True},
        {"symbol": "MES1!", "data": "buy", "quantity": "1", "close_opposite": True},
        "LIC,buy,EURUSD,vol=1,accfilter=1000",
        "LIC,buy,EURUSD,vol=1,spread=2",
        PLACE + "kill_switch=500;",
        PLACE + "trading_window=0930-1600;",
        PLACE + "rate_limit=1/60;",
    ],
)
def test_conditions_and_tests_are_not_traded(body: Any) -> None:
    """What is not checked here refuses the alert, in every format."""
    assert code_of(body) == "UNSUPPORTED"


def test_conditions_hold_up_no_exit() -> None:
    """Nor does one that is switched off hold up an entry."""
    assert meaning("LIC,closelong,EURUSD,spread=2,accfilter=1000")["event"] == "EXIT"
    assert told({**BUY, "dry_run": False, "condition": "", "if_flat": 0, "close_opposite": False}) == {"quantity": "1"}


def test_closing_first_is_a_reversal() -> None:
    """Unless the alert's own positions say what is held."""
    for name in ("close_opposite", "flatten_first"):
        assert told({**BUY, name: True}) == {"event": "REVERSE", "quantity": "1"}
    flat = {"market_position": "long", "prev_market_position": "flat", "close_opposite": True}
    assert told({**BUY, **flat})["position"] == "LONG"
    assert meaning({**BUY, **flat})["event"] == "ENTRY"


def test_what_was_not_read_is_named() -> None:
    """One note, at most ten names, no value; what has a note of its own is not named twice."""
    many = {f"colour{number:02}": "secret-looking" for number in range(12)}
    names = ", ".join(list(many)[:10])
    assert signal_of({**BUY, **many}).notes == (f"Not read: {names} and 2 more.",)
    assert signal_of({**OWN, "bar": 7, "note": "x"}).notes == ("Not read: bar, note.",)
    assert signal_of({"ticker": "MNQ1!", "action": "buy", "timeInForce": "gtc", "interval": "5"}).notes == (
        "timeInForce has no effect.",
        "Not read: interval.",
    )
    assert signal_of(PLACE + "tif=GTC;").notes == (
        "tif has no effect.",
        "account has no effect: routing decides which accounts trade.",
    )


def test_the_sentence_says_how_to_mend_it() -> None:
    """A refusal names the field as it was sent, and what to send instead."""
    refusal = refusal_of({**BUY, "SL": 50})
    assert (refusal.field, "sl_ticks" in refusal.message) == ("SL", True)
    assert refusal_of({**BUY, "stop_lss": 1}).message == "stop_lss is not read; it must be written stop_loss."
