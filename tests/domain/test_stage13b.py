"""Stage 13B's own alerts, from their bytes to a task's payload: what they mean, and that nothing else gets through."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventrouter.domain.parsers import MOST_BYTES, read_alert
from eventrouter.domain.parsers.json_reader import MOST_DEPTH
from eventrouter.domain.parsers.values import MOST_DIGITS
from eventrouter.domain.payloads import Payload, payload_of, record_of
from eventrouter.domain.signals import Signal
from eventrouter.domain.understand import StrategyRules, Understood, ask_of, understand
from eventrouter.errors import SignalRefused

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
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


def understood(raw: bytes) -> Signal:
    """The signal of strategy orb, which has no rules of its own. Raises SignalRefused."""
    return understand(read_alert(raw), "orb", StrategyRules(), received_at=NOW, in_time=True).signal


def refusal(raw: bytes) -> SignalRefused:
    """Why this body is refused."""
    with pytest.raises(SignalRefused) as caught:
        understood(raw)
    return caught.value


def payload(given: dict[str, Any]) -> Payload:
    """What the task of these fields holds: the same without what has a column of its own."""
    return {name: value for name, value in given.items() if name != "trade_id"} | {"strategy": "orb"}


def test_entry() -> None:
    """An ENTRY opens, and its task's payload is that format again."""
    signal = understood(alert(ENTRY))
    assert (signal.event_type, signal.opening, signal.trade_id) == ("ENTRY", True, "T1")
    assert payload_of(signal) == payload(ENTRY)


def test_exit() -> None:
    """An EXIT is named after its exit type, and its task's payload is that format again."""
    signal = understood(alert(EXIT))
    assert (signal.event_type, signal.opening, signal.trade_id) == ("EXIT_SL", False, "T1")
    assert payload_of(signal) == payload(EXIT)


def test_a_strategy_that_is_named_must_be_the_tokens() -> None:
    """The alert's own strategy name is checked, so that a body pasted into the wrong chart trades nowhere."""
    assert understood(alert(ENTRY, strategy="orb")).strategy == "orb"
    refused = refusal(alert(ENTRY, strategy="vwap"))
    assert (refused.code, refused.field) == ("STRATEGY_MISMATCH", "strategy")


@pytest.mark.parametrize(
    ("given", "changed", "expected"),
    [
        (ENTRY, {"direction": "sell", "stop_loss": 5020}, {"direction": "SHORT", "stop_loss": 5020}),
        (ENTRY, {"direction": " Bullish "}, {"direction": "LONG"}),
        (ENTRY, {"kind": "entry"}, {"kind": "ENTRY"}),
        (ENTRY, {"entry_price": "5012.250", "stop_loss": ""}, {"entry_price": 5012.25, "stop_loss": None}),
        (ENTRY, {"symbol": "CME_MINI:MNQ1!", "quantity": 2}, {"symbol": "CME_MINI:MNQ1!", "quantity": 2}),
        (ENTRY, {"unheard": [{}], "signal_id": "a-1"}, {"unheard": None, "signal_id": None}),
        (EXIT, {"exit_type": "exit_be"}, {"exit_type": "BE"}),
        (EXIT, {"exit_type": None, "exit_price": None}, {"exit_type": "EXIT", "exit_price": None}),
    ],
)
def test_variants(given: dict[str, Any], changed: dict[str, Any], expected: dict[str, Any]) -> None:
    """Words in any case, numbers as text, fields left out or unheard of: the payload says the same in one spelling."""
    values = payload_of(understood(b"\xef\xbb\xbf\n " + alert(given, **changed)))
    assert {name: values.get(name) for name in expected} == expected


@pytest.mark.parametrize(("exit_type", "event_type"), [("exit_be", "EXIT_BE"), ("EXIT", "EXIT"), (None, "EXIT")])
def test_exit_types(exit_type: str | None, event_type: str) -> None:
    """The event of a task says why it exits, where the alert does."""
    assert understood(alert(EXIT, exit_type=exit_type)).event_type == event_type


@pytest.mark.parametrize("name", ["stoploss", "stopLoss", "Stop-Loss", "STOP_LOSS"])
def test_a_field_that_is_written_differently(name: str) -> None:
    """A stop that would be left out of the order in silence is refused, naming the field that is meant."""
    refused = refusal(alert(ENTRY, stop_loss=None, **{name: 4150}))
    assert (refused.code, refused.field) == ("FIELD_MISSPELT", "stop_loss")


POISON = [
    ('"\\u0000"', "TEXT_WRONG"),
    ('{"a\\u0000": 1}', "TEXT_WRONG"),
    ('"\\ud83d"', "TEXT_WRONG"),
    ('"\\udc00\\ud800"', "TEXT_WRONG"),
    ('{"a": 1, "b": 2, "\\u0061": 1}', "KEY_REPEATED"),
    ('{"\\ud800": 1, "\\ud800": 1}', "TEXT_WRONG"),
    ("[" * MOST_DEPTH + "]" * MOST_DEPTH, "BODY_NOT_JSON"),
    ("[" * 30_000, "BODY_NOT_JSON"),
    ('{"a":' * 10_000, "BODY_NOT_JSON"),
    ("01", "BODY_NOT_JSON"),
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


@pytest.mark.parametrize("poison", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("place", ["entry_price", "stop_loss", "session", "quantity", "trade_id"])
def test_no_nan_gets_into_an_order(place: str, poison: str) -> None:
    """What is no number is refused in every field that means something, and has no effect in one that nobody reads."""
    raw = alert(ENTRY, **{place: "POISON"}).replace(b'"POISON"', poison.encode())
    assert refusal(raw).field == place
    unread = alert(ENTRY, unheard="POISON").replace(b'"POISON"', poison.encode())
    assert payload_of(understood(unread)) == payload(ENTRY)


def test_a_refusal_can_be_stored() -> None:
    """What a refusal says is text that Postgres can store, whatever stood in the alert."""
    for raw in (alert(ENTRY, direction="\x7f\u202e"), b'{"\\ud800\\u0000": 1, "\\ud800\\u0000": 1}'):
        refused = refusal(raw)
        assert "\0" not in f"{refused.message}{refused.field}"
        f"{refused.message}{refused.field}".encode()


@pytest.mark.parametrize("digits", [MOST_DIGITS + 1, 4_301, 60_000])
def test_huge_integers_are_refused(digits: int) -> None:
    """A number too long to keep exactly is refused, whatever limit Python itself sets for the digits of an int."""
    assert refusal(alert(ENTRY).replace(b"5012.25", b"9" * digits)).field == "entry_price"


def test_depth_counts_brackets_outside_of_texts() -> None:
    """Brackets inside a text are no nesting, and the deepest legal nesting is accepted."""
    assert payload_of(understood(alert(ENTRY, bias="[{" * 50 + '"\\')))["bias"] == "[{" * 50 + '"\\'
    nested = "[" * (MOST_DEPTH - 1) + "]" * (MOST_DEPTH - 1)
    assert understood(f'{{"deep": {nested}, {alert(ENTRY).decode()[1:]}'.encode()).trade_id == "T1"


def test_largest_body() -> None:
    """A body of the greatest size is read, whatever it is full of, and one byte more is not."""
    room = MOST_BYTES - len(alert(ENTRY, x=""))
    assert understood(alert(ENTRY, x="x" * room)).trade_id == "T1"
    assert refusal(alert(ENTRY, x="x" * (room + 1))).code == "BODY_TOO_LARGE"


def survives(raw: bytes) -> None:
    """The body is understood or refused; what is understood can be stored and sent on."""
    try:
        signal = understood(raw)
    except SignalRefused as refused:
        f"{refused.code}{refused.message}{refused.field}".encode()
        return
    ask = ask_of(Understood(signal), StrategyRules())
    text = json.dumps([ask.payload, ask.record], allow_nan=False)
    assert "\\u0000" not in text
    assert ask.trade_id is None or 1 <= len(ask.trade_id) <= 100
    assert len(ask.event_type) <= 32


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
).filter(lambda number: abs(number.adjusted()) <= MOST_DIGITS)


@given(NUMBERS, st.booleans(), st.booleans())
def test_numbers_stay_exact(number: Decimal, quoted: bool, negative: bool) -> None:
    """A price goes from the alert's text through the payload's JSON and back without a change in any digit."""
    number = -number if negative else number
    name = "final_be_mfe" if negative else "exit_price"
    raw = alert(EXIT, **{name: "NUMBER"}).replace(b'"NUMBER"', (f'"{number}"' if quoted else f"{number}").encode())
    for values in (payload_of(understood(raw)), record_of(understood(raw))):
        assert Decimal(str(json.loads(json.dumps(values), parse_float=Decimal)[name])) == number
