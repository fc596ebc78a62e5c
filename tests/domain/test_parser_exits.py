"""A sell that closes is never read as one that opens, in no family and no nest; and what closes is not held up by trifles."""

from decimal import Decimal
from typing import Any

import pytest

from eventrouter.domain.parsers import read_alert
from tests.domain.readings import code_of, everything_in, meaning, signal_of

SELL = {"action": "sell", "symbol": "MNQ1!", "quantity": 1}
BUY = {"action": "buy", "symbol": "MNQ1!", "quantity": 1}
PMT = {"symbol": "MNQ1!", "data": "sell", "quantity": "1"}
PLACE = "key=ct-canary-key;command=PLACE;account=Sim7;instrument=MNQ1!;action=SELL;qty=1;order_type=MARKET;tif=GTC;"
LICENCE = "70000000001,sell,MNQ1!,vol=1"
FIRED = "2026-03-10T14:31:05Z"
CLOSES_LONG = [
    # the position afterwards
    {**SELL, "sentiment": "flat"},
    {"ticker": "MNQ1!", "side": "sell", "sentiment": "flat"},
    {**PMT, "sentiment": "flat"},
    {"tv_instrument": "MNQ1!", "action": "sell", "sentiment": "flat"},
    LICENCE + ",sentiment=flat",
    "action=sell&symbol=MNQ1%21&quantity=1&sentiment=flat",
    PLACE + "sentiment=flat;",
    "EXCHANGE=cme;SYMBOL=MNQ1!;SIGNAL=sell;SENTIMENT=flat",
    LICENCE + ",market_position=flat",
    "MNQ1! sell 1 market_position=flat",
    {**SELL, "strategy": {"position": {"market_position": "flat"}}},
    {**SELL, "position_info": {"market_position": "flat"}},
    {**SELL, "strategy.market_position": "flat"},
    {**SELL, "strategy_market_position": "flat"},
    {**SELL, "position_after": "flat"},
    {**SELL, "position": "0"},
    {**SELL, "position": 0},
    # flags
    {**SELL, "reduce_only": True},
    {**PMT, "reduce_only": "true"},
    PLACE + "reduce_only=true;",
    LICENCE + ",reduceonly=true",
    "my-secret-key|strat|sell|MNQ1!|reduceonly=true",
    "MNQ1! sell 1 reduceonly=true",
    {**SELL, "options": {"reduceOnly": True}},
    {**SELL, "isExit": True},
    {**SELL, "is_close": "true"},
    {**SELL, "exit": True},
    {**SELL, "close": True},
    {"symbol": "MNQ1!", "direction": "long", "isExit": True},
    {**SELL, "exit_only": "1"},
    {**SELL, "reduce": True},
    {**SELL, "offset": "close"},
    {**SELL, "position_effect": "CLOSE"},
    {**SELL, "positionEffect": "TO_CLOSE"},
    # hedge mode
    {"instId": "MNQ1!", "side": "sell", "posSide": "long", "ordType": "market", "sz": "5"},
    {"symbol": "MNQ1!", "side": "SELL", "positionSide": "LONG", "quantity": 1},
]


@pytest.mark.parametrize("body", CLOSES_LONG, ids=str)
def test_a_sell_that_closes_is_an_exit_of_a_long_position(body: Any) -> None:
    """One meaning, whatever family and nest it is said in."""
    signal = signal_of(body)
    assert (signal.event, signal.side, signal.symbol) == ("EXIT", "LONG", "MNQ1!")


def test_hedge_modes_size_is_kept() -> None:
    """OKX writes its contracts sz; posSide of the order's own side opens."""
    okx = {"instId": "MNQ1!", "side": "sell", "posSide": "long", "ordType": "market", "sz": "5"}
    assert signal_of(okx).quantity == Decimal(5)
    opened = signal_of({**okx, "posSide": "short"})
    assert (opened.event, opened.side, opened.quantity) == ("ENTRY", "SHORT", Decimal(5))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"exit_type": "TP"}, "AMBIGUOUS"),
        ({"exit_reason": "time"}, "AMBIGUOUS"),
        ({"offset": "yesterday"}, "AMBIGUOUS"),
        ({"signal": "TP1 hit"}, "AMBIGUOUS"),
        ({"type": "tp"}, "AMBIGUOUS"),
        ({"type": "sl", "stop_price": 19000, "limit_price": 18990}, "AMBIGUOUS"),
        ({"current_position": "flat"}, "AMBIGUOUS"),
        ({"current_position": "long"}, "AMBIGUOUS"),
        ({"positionIdx": 1}, "UNSUPPORTED"),
        ({"positionIdx": "2"}, "UNSUPPORTED"),
        ({"metadata": {"market_position": "flat"}}, "AMBIGUOUS"),
        ({"extras": {"reduce_only": True}}, "AMBIGUOUS"),
        ({"options": {"orderType": "limit"}}, "AMBIGUOUS"),
        ({"payload": {"action": "close"}}, "CONTRADICTION"),
        ({"action": "enter_short", "reduce_only": True}, "CONTRADICTION"),
        ({"sentiment": "flat", "market_position": "short"}, "CONTRADICTION"),
        ({"reason": "exit"}, "AMBIGUOUS"),
        ({"positionAction": "close"}, "AMBIGUOUS"),
        ({"action": "long", "reduce_only": True}, "AMBIGUOUS"),
        ({"action": "open", "side": "sell", "reduce_only": True}, "CONTRADICTION"),
        ({"order_name": "Close entry(s) order Short"}, "AMBIGUOUS"),
        ({"name": "Long Exit"}, "AMBIGUOUS"),
        ({"alert_name": "NQ long exit"}, "AMBIGUOUS"),
        ({"signal_name": "TP2"}, "AMBIGUOUS"),
        ({"id": "LongExit"}, "AMBIGUOUS"),
        *(
            ({"comment": comment}, "AMBIGUOUS")
            for comment in (
                "exit_long",
                "Closing long",
                "Margin call",
                "Stop hit",
                "XL",
                "closed",
                "SL hit",
                "stopped out",
            )
        ),
    ],
)
def test_what_sounds_like_an_exit_never_opens(fields: dict[str, Any], code: str) -> None:
    """What is no plain flag refuses the order; a bare side reads like a bare action."""
    assert code_of({**SELL, **fields}) == code
    if "action" not in fields:
        assert code_of({"side": "sell", "symbol": "MNQ1!", "quantity": 1, **fields}) == code


@pytest.mark.parametrize(
    "fields",
    [
        {"reduce_only": False, "isExit": "false", "positionIdx": 0, "offset": "open", "exit_type": ""},
        {
            "comment": "Short",
            "id": "Short",
            "alert_name": "NQ breakout",
            "strategy_name": "Exit Strategy",
            "close": 19900,
        },
        {"sentiment": "bearish", "comment": "exit_long"},
        {"posSide": "net", "options": {"orderType": "market"}},
        {"market_position": "short", "prev_market_position": "flat", "order_name": "close"},
        {"trigger": "bar close", "session": "NY close"},
    ],
)
def test_an_entry_stays_one(fields: dict[str, Any]) -> None:
    """Flags that are off, titles of strategies, and remarks beside a position that says more."""
    signal = signal_of({**SELL, **fields})
    assert (signal.event, signal.side) == ("ENTRY", "SHORT")


@pytest.mark.parametrize(
    "body",
    [
        {"action": "exit", "ticker": "MNQ1!", "quantity": 0},
        {"action": "exit", "ticker": "MNQ1!", "quantity": "NaN"},
        {"ticker": "MNQ1!", "action": "sell", "sentiment": "flat", "quantity": "0"},
        {"ticker": "MNQ1!", "action": "sell", "sentiment": "flat", "quantity": "NaN"},
        {"ticker": "MNQ1!", "action": "sell", "sentiment": "flat", "quantity": "some"},
        {"action": "exit", "ticker": "MNQ1!", "time": "yesterday"},
        {"action": "exit", "ticker": "MNQ1!", "time": "2026-03-10T14:31:05"},
        {"action": "exit", "ticker": "MNQ1!", "exchange": "CME_MINI_DL"},
        {"action": "exit", "ticker": "MNQ1!", "order": {"contracts": 0}, "time": "x", "timenow": "y"},
        {"action": "exit", "ticker": "MNQ1!", "market_position": "{{strategy.market_position}}"},
        {"symbol": "MNQ1!", "data": "close"},
        {"symbol": "MNQ1!", "data": "close", "quantity": "0", "date": "soon"},
        "70000000001,closelong,MNQ1!,vol=0",
        "key=k;command=CLOSEPOSITION;account=a;instrument=MNQ1!;qty=0;",
        "close MNQ1!",
    ],
    ids=str,
)
def test_what_closes_is_not_held_up_by_trifles(body: Any) -> None:
    """A zero quantity is all of it; times and delayed data matter to what opens."""
    signal = signal_of(body)
    assert (signal.event, signal.quantity, signal.symbol) == ("EXIT", None, "MNQ1!")


def test_a_trifle_is_noted() -> None:
    """The note names the field and says that it has no effect; the symbol stays as it was sent."""
    signal = signal_of({"action": "exit", "symbol": "CME_MINI_DL:MNQ1!", "quantity": 0})
    assert signal.symbol == "CME_MINI_DL:MNQ1!"
    assert {note.split(" ")[0] for note in signal.notes} == {"symbol", "quantity"}
    assert signal_of("exit CME_MINI_DL:MNQ1!").event == "EXIT"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"action": "exit", "ticker": "MNQ1!", "quantity": -1}, "QUANTITY_WRONG"),
        ({"action": "exit", "ticker": "MNQ1!", "quantity": "some"}, "NUMBER_WRONG"),
        ({"action": "exit", "ticker": "{{ticker}}"}, "PLACEHOLDER"),
        ({"action": "exit", "ticker": "MNQ1!", "quantity": "0%"}, "QUANTITY_WRONG"),
        ({"action": "reduce", "ticker": "MNQ1!", "quantity": 0}, "QUANTITY_WRONG"),
        ({**SELL, "quantity": 0}, "QUANTITY_WRONG"),
        ({**SELL, "time": "soon"}, "TIME_WRONG"),
        ({**SELL, "symbol": "CME_MINI_DL:MNQ1!"}, "DELAYED_DATA"),
        ({**SELL, "market_position": "{{strategy.market_position}}"}, "PLACEHOLDER"),
        ({"action": "exit", "ticker": "MNQ1!", "orderType": "limit", "limitPrice": "x"}, "NUMBER_WRONG"),
        ("70000000001,sell,CME_MINI_DL:MNQ1!,vol=1", "DELAYED_DATA"),
        ("sell 0 MNQ1!", "QUANTITY_WRONG"),
    ],
    ids=str,
)
def test_what_opens_or_narrows_an_exit_stays_refused(body: Any, code: str) -> None:
    """An exit of less, or of something else, than meant is another order."""
    assert code_of(body) == code


def test_a_reversal_may_leave_out_the_closed_size() -> None:
    """Three sold, one short afterwards: two were held, and the new position is one."""
    fields = {"action": "sell", "quantity": 3, "market_position": "short", "market_position_size": 1}
    assert meaning({"symbol": "MNQ1!", **fields, "prev_market_position": "long"})["quantity"] == "1"
    assert code_of({"symbol": "MNQ1!", **fields}) == "CONTRADICTION"
    assert code_of({"symbol": "MNQ1!", **fields, "prev_market_position": "long", "quantity": "0.5"}) == "CONTRADICTION"
    posted = {"ticker": "MNQ1!", "action": "sell", "quantity": 3, "sentiment": "short", "positionSize": -1}
    assert code_of(posted) == "CONTRADICTION"
    assert meaning({**posted, "prev_market_position": "long"})["quantity"] == "1"


def test_a_contradiction_names_the_fields_of_the_alert() -> None:
    """Nothing is said about a market_position that was not sent."""
    reading = read_alert(b'{"ticker":"MNQ1!","action":"sell","sentiment":"short","positionSize":1}')
    assert (
        str(reading.refusal and reading.refusal.message) == "sentiment is SHORT, but positionSize is 1, which is LONG."
    )


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ("myacc1 MNQ1! position 5", True),
        ({"action": "buy", "symbol": "MNQ1!", "market_position": "long", "market_position_size": 5}, True),
        ({**BUY, "market_position": "long", "market_position_size": 5}, False),
        (
            {
                "action": "buy",
                "symbol": "MNQ1!",
                "market_position": "long",
                "market_position_size": 5,
                "prev_market_position": "flat",
            },
            False,
        ),
        (BUY, False),
    ],
)
def test_a_size_of_the_position_is_marked(body: Any, target: bool) -> None:
    """Such a quantity is not added to what is held."""
    signal = signal_of(body)
    assert (signal.event, signal.side, signal.target) == ("ENTRY", "LONG", target)


@pytest.mark.parametrize(
    "body",
    [
        {"action": "cancel", "symbol": "MNQ1!", "order_id": "7"},
        {"action": "cancel", "symbol": "MNQ1!", "clientOrderId": "7"},
        "key=k;command=CANCELORDER;account=a;instrument=MNQ1!;order_id=7;",
        "MNQ1! cancel:a7",
        "EXCHANGE=x;SYMBOL=MNQ1!;SIGNAL=cancel;EXCHANGE_ORDER_IDS=7",
    ],
    ids=str,
)
def test_one_order_of_the_senders_is_not_cancelled_with_all(body: Any) -> None:
    """The ids of other systems are not known here."""
    assert code_of(body) == "UNSUPPORTED"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({**BUY, "action": "не buy"}, "ACTION_UNKNOWN"),
        ({**BUY, "action": "\N{CROSS MARK} buy"}, "ACTION_UNKNOWN"),
        ({**BUY, "action": "平仓sell"}, "ACTION_UNKNOWN"),
        ({**BUY, "action": "no buy"}, "ACTION_UNKNOWN"),
        ("не buy MNQ1!", "FORMAT_UNKNOWN"),
        ("\N{CROSS MARK} buy MNQ1!", "FORMAT_UNKNOWN"),
        ("NO BUY", "FORMAT_UNKNOWN"),
        ("DONT BUY 5", "FORMAT_UNKNOWN"),
        ("DON'T BUY MNQ1!", "FORMAT_UNKNOWN"),
        ("NO,buy,MNQ1!", "FORMAT_UNKNOWN"),
        ("my-key|NO|buy|MNQ1!", "FORMAT_UNKNOWN"),
    ],
)
def test_a_word_that_takes_the_order_back(body: Any, code: str) -> None:
    """No letter is dropped, and no negation is an instrument or a licence."""
    assert code_of(body) == code


@pytest.mark.parametrize("body", ["60123456789,foo,EURUSD", "aB3$xyz9Q-long,foo,EURUSD", "60123456789|foo|EURUSD"])
def test_a_refused_body_does_not_keep_its_licence(body: str) -> None:
    """The first field in the form of a licence is taken out, though no command follows it."""
    licence = body.replace("|", ",").split(",", 1)[0]
    reading = read_alert(body.encode())
    assert reading.refusal is not None
    assert reading.secrets == (licence,)
    assert licence not in everything_in(reading)


def test_close_of_pickmytrade_closes_all() -> None:
    """Whatever its quantity."""
    signal = signal_of({"symbol": "NQ1!", "data": "close", "quantity": "1"})
    assert (signal.event, signal.quantity) == ("EXIT", None)
    assert any("whole trade" in note for note in signal.notes)
