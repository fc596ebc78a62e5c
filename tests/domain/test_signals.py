"""How an alert's bytes become a signal, and how everything else is refused."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventrouter.domain.signals import MOST_BYTES, MOST_DEPTH, MOST_DIGITS, Signal, parse_alert
from eventrouter.errors import SignalRefused

ENTRY: dict[str, Any] = {
    "kind": "ENTRY",
    "trade_id": "T1",
    "direction": "LONG",
    "entry_price": 5012.25,
    "stop_loss": 5000.5,
    "session": "London",
    "bias": "Bearish",
}
EXIT: dict[str, Any] = {
    "kind": "EXIT",
    "trade_id": "T1",
    "exit_type": "SL",
    "exit_price": 5000.5,
    "final_be_mfe": 0.5,
    "final_no_be_mfe": -1.25,
}


def alert(given: dict[str, Any], **changed: Any) -> bytes:
    """The body with these fields changed; None leaves a field out."""
    return json.dumps({name: value for name, value in {**given, **changed}.items() if value is not None}).encode()


def refusal(raw: bytes) -> SignalRefused:
    """Why this body is refused."""
    with pytest.raises(SignalRefused) as caught:
        parse_alert(raw)
    return caught.value


def test_entry() -> None:
    """Stage 13B's ENTRY is understood, and the task's payload is that format again."""
    signal = parse_alert(alert(ENTRY))
    assert signal == Signal(
        event_type="ENTRY",
        trade_id="T1",
        direction="LONG",
        entry_price=Decimal("5012.25"),
        stop_loss=Decimal("5000.5"),
        session="London",
        bias="Bearish",
    )
    assert signal.opening
    assert signal.payload() == {name: value for name, value in ENTRY.items() if name != "trade_id"}


def test_exit() -> None:
    """Stage 13B's EXIT is understood, named after its exit type, and the task's payload is that format again."""
    signal = parse_alert(alert(EXIT))
    assert (signal.event_type, signal.exit_type, signal.final_no_be_mfe) == ("EXIT_SL", "SL", Decimal("-1.25"))
    assert not signal.opening
    assert signal.payload() == {name: value for name, value in EXIT.items() if name != "trade_id"}


@pytest.mark.parametrize(
    ("given", "changed", "expected"),
    [
        (ENTRY, {"direction": "sell", "stop_loss": 5020}, {"direction": "SHORT"}),
        (ENTRY, {"direction": " Bullish "}, {"direction": "LONG"}),
        (ENTRY, {"kind": "entry", "trade_id": 20260105}, {"event_type": "ENTRY", "trade_id": "20260105"}),
        (ENTRY, {"entry_price": "5012.250", "stop_loss": ""}, {"entry_price": Decimal("5012.25"), "stop_loss": None}),
        (ENTRY, {"symbol": "CME_MINI:MNQ1!", "quantity": 2}, {"symbol": "CME_MINI:MNQ1!", "quantity": Decimal(2)}),
        (ENTRY, {"strategy": "orb", "signal_id": "a-1", "unheard": [{}]}, {"strategy": "orb", "source_id": "a-1"}),
        (EXIT, {"exit_type": "exit_be"}, {"event_type": "EXIT_BE", "exit_type": "BE"}),
        (EXIT, {"exit_type": None, "exit_price": None}, {"event_type": "EXIT", "exit_price": None}),
        (EXIT, {"exit_type": "EXIT"}, {"event_type": "EXIT"}),
    ],
)
def test_variants(given: dict[str, Any], changed: dict[str, Any], expected: dict[str, Any]) -> None:
    """Words in any case, numbers as text, fields left out or unheard of are understood the same way."""
    signal = parse_alert(b"\xef\xbb\xbf\n " + alert(given, **changed))
    assert {name: getattr(signal, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("raw", "code", "field"),
    [
        (b"", "BODY_EMPTY", None),
        (b" \r\n", "BODY_EMPTY", None),
        (b"\xff\xfe{}", "BODY_NOT_UTF8", None),
        (b"Long MNQ @ 21000", "BODY_NOT_JSON", None),
        (alert(ENTRY)[:-1], "BODY_NOT_JSON", None),
        (b"[]", "BODY_NOT_OBJECT", None),
        (b'"ENTRY"', "BODY_NOT_OBJECT", None),
        (b'{"kind":"ENTRY","kind":"EXIT"}', "KEY_REPEATED", None),
        (alert(ENTRY, bias="Bull\0ish"), "TEXT_WRONG", None),
        (alert(ENTRY, kind="HEARTBEAT"), "KIND_UNKNOWN", "kind"),
        (alert(ENTRY, kind=None), "FIELD_MISSING", "kind"),
        (alert(ENTRY, trade_id=" "), "FIELD_MISSING", "trade_id"),
        (alert(ENTRY, direction=None), "FIELD_MISSING", "direction"),
        (alert(ENTRY, session=["NY"]), "FIELD_WRONG", "session"),
        (alert(ENTRY, trade_id=True), "FIELD_WRONG", "trade_id"),
        (alert(ENTRY, bias="x" * 201), "FIELD_WRONG", "bias"),
        (alert(ENTRY, entry_price="{{close}}"), "PLACEHOLDER", "entry_price"),
        (alert(ENTRY, direction="UP"), "DIRECTION_WRONG", "direction"),
        (alert(ENTRY, trade_id="x" * 101), "TRADE_ID_WRONG", "trade_id"),
        (alert(ENTRY, trade_id="T\t1"), "TRADE_ID_WRONG", "trade_id"),
        (alert(ENTRY, symbol="MNQ;DROP"), "SYMBOL_WRONG", "symbol"),
        (alert(ENTRY, quantity=0), "QUANTITY_WRONG", "quantity"),
        (alert(ENTRY, quantity="-1"), "QUANTITY_WRONG", "quantity"),
        (alert(ENTRY, entry_price=0), "PRICE_WRONG", "entry_price"),
        (alert(EXIT, exit_price=-1), "PRICE_WRONG", "exit_price"),
        (alert(ENTRY, stop_loss=6000), "STOP_ON_WRONG_SIDE", "stop_loss"),
        (alert(ENTRY, direction="SHORT"), "STOP_ON_WRONG_SIDE", "stop_loss"),
        (alert(ENTRY, stop_loss=5012.25), "STOP_ON_WRONG_SIDE", "stop_loss"),
        (alert(ENTRY, stop_loss=5012.25, direction="SHORT"), "STOP_ON_WRONG_SIDE", "stop_loss"),
        (alert(EXIT, exit_type="S L"), "EXIT_TYPE_WRONG", "exit_type"),
    ],
)
def test_refusals(raw: bytes, code: str, field: str | None) -> None:
    """What is not understood is refused with a code, the field at fault, and a sentence."""
    refused = refusal(raw)
    assert (refused.code, refused.field) == (code, field)
    assert refused.message.endswith((".", "}", ")"))


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "-Infinity",
        "inf",
        "sNaN",
        "1e400",
        "1e-99",
        "9" * 16,
        "0." + "1" * 16,
        "1_000",
        "1,5",
        "0x10",
        "١٢",
        "\uff11",
        "--1",
    ],
)
def test_numbers_that_are_none(text: str) -> None:
    """A number is finite, of at most fifteen digits, and written with the digits 0 to 9."""
    refused = refusal(alert(ENTRY, entry_price=text))
    assert (refused.code, refused.field) == ("NUMBER_WRONG", "entry_price")


POISON = [
    ("NaN", "NUMBER_WRONG"),
    ("Infinity", "NUMBER_WRONG"),
    ("-Infinity", "NUMBER_WRONG"),
    ('"\\u0000"', "TEXT_WRONG"),
    ('{"a\\u0000": 1}', "TEXT_WRONG"),
    ('"\\ud83d"', "TEXT_WRONG"),
    ('"\\udc00\\ud800"', "TEXT_WRONG"),
    ('{"a": 1, "b": 2, "\\u0061": 1}', "KEY_REPEATED"),
    ('{"\\ud800": 1, "\\ud800": 1}', "KEY_REPEATED"),
    ("[" * MOST_DEPTH + "]" * MOST_DEPTH, "BODY_NOT_JSON"),
    ("[" * 30_000, "BODY_NOT_JSON"),
    ('{"a":' * 10_000, "BODY_NOT_JSON"),
    ("1e99999999999999999999", "BODY_NOT_JSON"),
    ("01", "BODY_NOT_JSON"),
    ("'x'", "BODY_NOT_JSON"),
    ('"\n"', "BODY_NOT_JSON"),
]


@pytest.mark.parametrize(("poison", "code"), POISON, ids=[poison[:20] for poison, _ in POISON])
@pytest.mark.parametrize("place", ["unheard", "session"])
def test_poison_never_passes(place: str, poison: str, code: str) -> None:
    """What Postgres cannot store or two programs would read differently is refused wherever it stands."""
    raw = f'{{"{place}": {poison}, {alert(ENTRY, session=None).decode()[1:]}'
    assert refusal(raw.encode()).code == code
    for wrapped in (f"[{poison}]", f'{{"x": [1, {poison}]}}'):
        refusal(f'{{"{place}": {wrapped}, {alert(ENTRY, session=None).decode()[1:]}'.encode())


def test_a_refusal_can_be_stored() -> None:
    """What a refusal says is text that Postgres can store, whatever stood in the alert."""
    for raw in (alert(ENTRY, direction="\x7f\u202e"), b'{"\\ud800\\u0000": 1, "\\ud800\\u0000": 1}'):
        refused = refusal(raw)
        assert "\0" not in f"{refused.message}{refused.field}"
        f"{refused.message}{refused.field}".encode()


@pytest.mark.parametrize("digits", [MOST_DIGITS + 1, 4_301, 60_000])
def test_huge_integers_are_refused(digits: int) -> None:
    """A number too long to keep exactly is refused, whatever limit Python itself sets for the digits of an int."""
    raw = alert(ENTRY).replace(b"5012.25", b"9" * digits)
    assert refusal(raw).field == "entry_price"


def test_depth_counts_brackets_outside_of_texts() -> None:
    """Brackets inside a text are no nesting, and the deepest legal nesting is accepted."""
    assert parse_alert(alert(ENTRY, bias="[{" * 50 + '"\\')).bias == "[{" * 50 + '"\\'
    nested = "[" * (MOST_DEPTH - 1) + "]" * (MOST_DEPTH - 1)
    assert parse_alert(f'{{"deep": {nested}, {alert(ENTRY).decode()[1:]}'.encode()).trade_id == "T1"


def test_largest_body() -> None:
    """A body of the greatest size is read, whatever it is full of."""
    room = MOST_BYTES - len(alert(ENTRY, x=""))
    assert parse_alert(alert(ENTRY, x="x" * room)).trade_id == "T1"


def survives(raw: bytes) -> None:
    """The body is understood or refused; what is understood can be stored and sent on."""
    try:
        signal = parse_alert(raw)
    except SignalRefused as refused:
        f"{refused.code}{refused.message}{refused.field}".encode()
        return
    text = json.dumps(signal.payload(), allow_nan=False)
    assert "\\u0000" not in text
    assert 1 <= len(signal.trade_id) <= 100
    assert len(signal.event_type) <= 32


@given(st.binary(max_size=200))
def test_arbitrary_bytes(raw: bytes) -> None:
    """No bytes raise anything but a refusal."""
    survives(raw)


TEXTS = st.text(st.characters(), max_size=12) | st.sampled_from(["", "ENTRY", "EXIT", "LONG", "1e5", "NaN", "{{x}}"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))
FIELDS = st.sampled_from([*ENTRY, *EXIT, "symbol", "quantity", "strategy", "signal_id"]) | TEXTS


@given(st.sampled_from([{}, ENTRY, EXIT]), st.dictionaries(FIELDS, VALUES, max_size=4), st.booleans())
def test_arbitrary_json(known: dict[str, Any], changed: dict[str, Any], ascii_only: bool) -> None:
    """No JSON, and nothing that Python would call JSON, raises anything but a refusal."""
    survives(json.dumps({**known, **changed}, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))


NUMBERS = st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent),
    st.integers(1, 10**MOST_DIGITS - 1),
    st.integers(-MOST_DIGITS, MOST_DIGITS),
)


@given(NUMBERS, st.booleans(), st.booleans())
def test_numbers_stay_exact(number: Decimal, quoted: bool, negative: bool) -> None:
    """A price goes from the alert's text through the payload's JSON and back without a change in any digit."""
    number = -number if negative else number
    name = "final_be_mfe" if negative else "exit_price"
    raw = alert(EXIT, **{name: "NUMBER"}).replace(b'"NUMBER"', (f'"{number}"' if quoted else f"{number}").encode())
    text = json.dumps(parse_alert(raw).payload())
    assert Decimal(str(json.loads(text, parse_float=Decimal)[name])) == number


@pytest.mark.parametrize("name", ["stoploss", "stopLoss", "Stop-Loss", "STOP_LOSS"])
def test_a_field_that_is_written_differently(name: str) -> None:
    """A stop that would be left out of the order in silence is refused, naming the field that is meant."""
    body = {"kind": "ENTRY", "trade_id": "T1", "direction": "LONG", name: 4150}
    with pytest.raises(SignalRefused) as refused:
        parse_alert(json.dumps(body).encode())
    assert (refused.value.code, refused.value.field) == ("FIELD_MISSPELT", "stop_loss")
