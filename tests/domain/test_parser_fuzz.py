"""Whatever the bytes are: a reading, never an error, and never a number that is none."""

import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventrouter.domain.parsers import Reading, read_alert
from eventrouter.domain.parsers.json_reader import JsonReader
from eventrouter.domain.parsers.secret_fields import Findings
from eventrouter.domain.parsers.values import Number, Value
from eventrouter.domain.refusals import REFUSALS
from eventrouter.domain.signals import Event, Level, Side, Signal
from tests.domain.readings import code_of, signal_of

SEEDS = [
    '{"kind": "ENTRY", "trade_id": "T", "direction": "LONG", "entry_price": 10.5, "stop_loss": 10, "symbol": "MNQ1!"}',
    '{"ticker": "ZB1!", "action": "sell", "sentiment": "flat", "quantity": "2", "stopLoss": {"type": "stop", "percent": 5}}',
    '{"symbol": "MES1!", "data": "buy", "quantity": "1", "sl": "0", "tp": "5000", "price": "4990", "token": "tok-12345678"}',
    "key=secret-12345;command=PLACE;account=a;instrument=YM1!;action=BUY;qty=1;order_type=LIMIT;limit_price=5;tif=DAY;",
    '{"secret": "s-1234567", "bot_uuid": "u", "action": "exit_long", "tv_instrument": "X", "order": {"amount": "5"}}',
    "EXCHANGE=b;SYMBOL=XRPUSDT;SIGNAL=buy;VOLUME=2%;STOP_PRICE=-5%",
    "70000000001,buy,GBPUSD,vol=1,price=1.3,sl=1.2",
    "acc_1 ETH/USDT buy 300$ limit:a7:1012",
    "action=buy&symbol=MNQ1%21&quantity=1&token=abcdefgh1",
    "%7B%22action%22%3A%22buy%22%2C%22symbol%22%3A%22X%22%7D=",
]
WORDS = [
    "buy",
    "sell",
    "flat",
    "long",
    "exit",
    "NaN",
    "-Infinity",
    "{{close}}",
    "0",
    "-1",
    "1e400",
    "5%",
    "300$",
    "limit",
    "",
]
NAMES = [
    *(
        "action",
        "side",
        "symbol",
        "ticker",
        "quantity",
        "quantityType",
        "price",
        "sl",
        "tp",
        "stopLoss",
        "takeProfit",
        "type",
    ),
    *(
        "market_position",
        "prev_market_position",
        "position_size",
        "market_position_size",
        "time",
        "kind",
        "trade_id",
        "data",
    ),
    *(
        "command",
        "order",
        "strategy",
        "exchange",
        "limitPrice",
        "stopPrice",
        "reduceOnly",
        "SIGNAL",
        "amount",
        "bot_uuid",
    ),
]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)
alerts = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=6), values, max_size=8)


def check(body: bytes) -> Reading:
    """What must hold for every reading."""
    reading = read_alert(body)
    assert (reading.signal is None) is not (reading.refusal is None)
    if reading.refusal is not None:
        assert reading.refusal.code in REFUSALS
        assert reading.refusal.code != "READING_FAILED"
        assert reading.refusal.message.endswith((".", "}"))
        assert len(str(reading.refusal)) < 500
        (str(reading.refusal) + str(reading.refusal.field)).encode()
    if reading.signal is not None:
        check_signal(reading.signal)
    return reading


def check_signal(signal: Signal) -> None:
    """Sound in itself: finite numbers above zero, a side where one is opened, and text that any store takes."""
    for name in ("quantity", "price", "limit_price", "stop_price"):
        number = getattr(signal, name)
        assert number is None or (isinstance(number, Decimal) and number.is_finite() and number > 0)
    for level in (signal.stop_loss, signal.take_profit, signal.trail):
        assert level is None or (isinstance(level, Level) and level.value.is_finite() and level.value > 0)
    assert signal.side is not None or signal.event not in (Event.ENTRY, Event.REVERSE, Event.REDUCE)
    assert not (signal.order_type in ("limit", "stop_limit") and signal.limit_price is None)
    for moment in (signal.fire_time, signal.bar_time):
        assert moment is None or moment.utcoffset() is not None
    text = repr(signal)
    assert "NaN" not in repr([signal.quantity, signal.price, signal.stop_loss, signal.take_profit])
    assert "\\x00" not in text
    text.encode()
    json.dumps(dict(signal.extras), default=str).encode()
    if signal.side is not None and signal.price is not None and signal.stop_loss is not None:
        stop = signal.stop_loss
        opened = signal.event in (Event.ENTRY, Event.ADD, Event.REVERSE) and signal.order_type == "market"
        assert not opened or stop.kind != "price" or (stop.value < signal.price) is (signal.side is Side.LONG)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes(body: bytes) -> None:
    """Random bytes are read or refused."""
    check(body)


@settings(deadline=None)
@given(st.text(max_size=300))
def test_arbitrary_text(text: str) -> None:
    """Random text is read or refused."""
    check(text.encode("utf-8", "surrogatepass"))


@settings(max_examples=400, deadline=None)
@given(alerts | st.lists(alerts, max_size=2) | values)
def test_arbitrary_json(value: Any) -> None:
    """Random values under the names that matter."""
    check(json.dumps(value).encode())


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(
        st.tuples(st.integers(0, 130), st.integers(0, 6), st.sampled_from(WORDS) | st.text(max_size=4)),
        min_size=1,
        max_size=3,
    ),
)
def test_mutated_alerts(seed: str, cuts: list[tuple[int, int, str]]) -> None:
    """Valid alerts with pieces cut out and others put in."""
    for start, length, piece in cuts:
        seed = seed[:start] + piece + seed[start + length :]
    check(seed.encode("utf-8", "surrogatepass"))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(WORDS)), max_size=6),
    st.sampled_from([";", ",", "&", "\n"]),
)
def test_arbitrary_pairs(pairs: list[tuple[str, str]], separator: str) -> None:
    """Random values in pairs."""
    check(separator.join(f"{name}={value}" for name, value in pairs).encode())


def test_a_refusal_says_nothing_that_no_store_takes() -> None:
    """A name is quoted without its NUL, also where it is refused before anybody looks for one."""
    refusal = check(b"a%00b=1&a%00b=2").refusal
    assert refusal is not None
    assert (refusal.code, "\0" in f"{refusal} {refusal.field}") == ("KEY_REPEATED", False)


def test_a_field_without_a_name_is_none() -> None:
    """It cannot be named in a refusal."""
    refusal = check(b'{"action": "buy", "symbol": "X", "": "1;symbol=ES1!"}').refusal
    assert refusal is not None
    assert (refusal.code, refusal.field) == ("INJECTION", "A field without a name")
    assert check(b'{"action": "buy", "symbol": "X", "": [{"action": "buy"}, {"action": "sell"}]}').refusal != refusal


@pytest.mark.parametrize("number", ["12e15", "999999999999999e15", "1e16"])
def test_a_number_is_read_as_far_as_it_can_be_ordered(number: str) -> None:
    """What the executor would deny as absurd is refused while its sender listens."""
    order = '{"action": "buy", "symbol": "MNQ1!", "quantity": %s}'
    assert code_of(order % number) == "NUMBER_WRONG"
    assert signal_of(order % "1e15").quantity == Decimal("1e15")
    assert signal_of(order % "1e-15").quantity == Decimal("1e-15")


@settings(deadline=None)
@given(name=st.sampled_from(NAMES), word=st.sampled_from(["NaN", "Infinity", "-Infinity", '"NaN"', '"inf"', "1e999"]))
def test_no_nan_passes(name: str, word: str) -> None:
    """A NaN refuses the alert wherever it could have an effect."""
    rest = {"action": "buy", "symbol": "X", "ticker": "X"}
    rest.pop(name, None)
    body = json.dumps(rest)[:-1] + f', "{name}": {word}}}'
    reading = check(body.encode())
    assert reading.signal is None or repr(getattr(reading.signal, "quantity", None)) != "NaN"
    if name in ("quantity", "price", "sl", "tp", "limitPrice", "stopPrice", "position_size", "stopLoss"):
        assert reading.refusal is not None


def as_json(value: Value) -> Any:
    """A read value as the standard library would have read it."""
    if isinstance(value, Number):
        return json.loads(value.raw)
    if isinstance(value, dict):
        return {name: as_json(item) for name, item in value.items()}
    return [as_json(item) for item in value] if isinstance(value, list) else value


plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4).map(lambda name: f"f{name}"), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(deadline=None)
@given(plain_values, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_strict_json_is_read_as_json(value: Any, ascii_only: bool, indent: Any) -> None:
    """Well-formed JSON gives the same values as the standard reader, and no repair."""
    if "\\u0000" in json.dumps(value) or "key" in json.dumps(value):
        return
    findings = Findings()
    read = JsonReader(json.dumps(value, ensure_ascii=ascii_only, indent=indent), findings).document()
    assert as_json(read) == value or (isinstance(value, float) and math.isclose(as_json(read), value))
    assert not findings.repairs
