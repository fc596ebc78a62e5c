"""No secret of an alert gets past the parsers: not into the stored body, the signal or a refusal."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventrouter.domain.parsers import read_alert
from tests.domain.readings import everything_in

CANARY = "cAnary7-Secr3t-9zX"
OWN = "0wn_T0ken-0wn_T0ken-0wn_T0ken-ab"
ORDER = {"action": "buy", "symbol": "MNQ1!", "quantity": 1}
USUAL = [
    *(
        "token",
        "secret",
        "passphrase",
        "password",
        "key",
        "apikey",
        "api_key",
        "apiKey",
        "api-secret",
        "auth_key",
        "pin",
    ),
    *(
        "license",
        "licence_id",
        "relay_id",
        "relay_user",
        "webhook_secret",
        "TOKEN",
        "x_access_token",
        "pass",
        "email_token",
    ),
]


def check(body: bytes, *, kept: bytes | None = None, alone: bool = True) -> None:
    """The canary is found (`alone`: without its neighbours), and nothing that a reading says still holds it."""
    reading = read_alert(body)
    assert CANARY in (reading.secrets if alone else " ".join(reading.secrets))
    assert CANARY not in everything_in(reading)
    if kept is not None:
        assert reading.redacted == kept


@pytest.mark.parametrize("name", USUAL)
def test_the_usual_fields(name: str) -> None:
    """By name, in JSON, pairs and forms, in an order and in a body that is refused; the rest stays byte for byte."""
    for body in (
        json.dumps({**ORDER, name: CANARY}),
        json.dumps({name: CANARY, **ORDER}, indent=3),
        json.dumps({"action": "nonsense", "deep": [{"x": {name: CANARY}}]}),
        f"action=buy;symbol=MNQ1!;{name}={CANARY};",
        f"{name} = {CANARY}\r\naction = nonsense",
        f"action=buy,symbol=MNQ1!,{name}={CANARY}",
        f"action=buy&{name}={CANARY}&symbol=MNQ1%21",
        f"buy MNQ1! {name}={CANARY}" if "-" not in name else f"{name}={CANARY}",
        f'{{"{name}": "{CANARY}" "action": buy it}}',
        f'{{"{name}": "{CANARY}", "action": "buy"',
        f"{{'{name}': '{CANARY}', 'action': 'buy'}}",
        f'some words, "{name}": "{CANARY}", and more',
    ):
        check(body.encode(), kept=body.replace(CANARY, "[redacted]").encode())


@pytest.mark.parametrize(
    "body",
    [
        {**ORDER, "tokens": [CANARY, "another-canary-1"]},
        {**ORDER, "multiple_accounts": [{"token": CANARY, "account_id": 3}]},
        {**ORDER, "auth": {"user": "u", "value": CANARY}},
        {**ORDER, "token": CANARY, "comment": f"sent with {CANARY}", "strategy": CANARY},
        {**ORDER, "comment": f"password: {CANARY}"},
        {**ORDER, "chart": f"https://example.org/?api_key={CANARY}&x=1"},
        {"c": "BUY", "t": CANARY},
        f"{CANARY},buy,EURUSD,vol=1",
        f"{CANARY} , nonsense=1,buy,EURUSD",
        f"{CANARY},buy,EURUSD,sl=20",
        f"{CANARY},buy,A\n{CANARY},sell,B",
        f"{CANARY}|plan|buy|EURUSD",
        f"{CANARY}|plan|{{{{strategy.order.action}}}}|{{{{ticker}}}}",
        f"{CANARY}\nbuy EURUSD q=1",
        f"{CANARY} buy EURUSD",
        f"{CANARY} gibberish that nobody can read",
        f'"{{\\"token\\": \\"{CANARY}\\", \\"action\\": \\"buy\\"}}"',
        f'{{"\\u0074oken": "{CANARY}", "action": "buy"}}',
        f'{{"message": "{{\\"token\\": \\"{CANARY}\\"}}"}}',
        f"%7B%22token%22%3A%22{CANARY}%22%2C%22action%22%3A%22buy%22%7D=",
        f"payload=%7B%22token%22%3A%22{CANARY}%22%7D",
        f"tokens[]={CANARY}&action=buy",
        f'Signal: ""key={CANARY};EXCHANGE=x;SIGNAL=buy""',
    ],
)
def test_unusual_places(body: Any) -> None:
    """Lists, objects, texts inside of texts, escapes, encodings, and the first word of positional forms."""
    check((body if isinstance(body, str) else json.dumps(body)).encode())


def test_bodies_that_are_no_text() -> None:
    """Bytes that are not UTF-8, and UTF-16, are refused; their secrets are removed no less."""
    check(b'\xff{"token": "%s"}\xfe' % CANARY.encode(), kept=b'\xff{"token": "[redacted]"}\xfe')
    check(json.dumps({"token": CANARY, **ORDER}).encode("utf-16"))


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_letters_hide_nothing(codec: str) -> None:
    """Also beside letters that are not ASCII, where the body is cut off, and where a secret is repeated; the rest stays."""
    body = f'{{"grüße": "日本", "token": "{CANARY}", "c": "{CANARY}"}}'
    reading = read_alert(body.encode(codec))
    assert reading.redacted.decode(codec) == body.replace(CANARY, "[redacted]")
    cut = read_alert(body.encode(codec)[:-3])
    assert CANARY.encode() not in cut.redacted.replace(b"\0", b"")


SPELLINGS = {
    "plain": OWN,
    "percent codes": "".join(f"%{ord(letter):02x}" for letter in OWN),
    "percent codes twice": "".join(f"%25{ord(letter):02X}" for letter in OWN),
    "escapes": "".join(f"\\u{ord(letter):04x}" for letter in OWN),
    "escapes twice": "".join(f"\\\\u{ord(letter):04X}" for letter in OWN),
    "some": f"{OWN[:5]}%{ord(OWN[5]):02X}{OWN[6:]}",
}


@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "utf-32-be"])
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_the_senders_own_token_goes_wherever_it_stands(spelling: str, codec: str) -> None:
    """In fields whose names announce no secret, in words, in any encoding."""
    for body in (
        f'{{"action": "buy", "symbol": "{spelling}", "note": "x {spelling} y"}}',
        f"buy {spelling}",
        f"a=b;symbol={spelling}",
    ):
        reading = read_alert(body.encode(codec), known_secrets=(OWN,))
        assert reading.redacted.decode(codec) == body.replace(spelling, "[redacted]")
        assert OWN not in everything_in(reading)


@pytest.mark.parametrize(
    "url",
    ["https://me:{}@example.org/x", "redis://:{}@h", "https://example.org/api/webhooks/12/{}", "http://h/webhook/{}"],
)
def test_an_address_may_hold_a_secret(url: str) -> None:
    """A password before the host, and what comes after /webhook/, in a field of any name."""
    for body in (
        json.dumps({**ORDER, "chart": url.format(CANARY)}),
        f"action=buy;chart={url.format(CANARY)};symbol=X",
        f"see {url.format(CANARY)} please now",
    ):
        check(body.encode(), kept=body.replace(CANARY, "[redacted]").encode(), alone=False)


def test_percent_codes_hide_nothing_from_a_body_that_nobody_reads() -> None:
    """The start of a form's JSON that was cut off, and codes of codes."""
    for text in (
        f"note=x%7B%22token%22%3A%22{CANARY}%22%2C%22a%22",
        f"some words x%257B%2522token%2522%253A%2522{CANARY}%2522%257D and more",
    ):
        check(text.encode(), kept=text.replace(CANARY, "[redacted]").encode())


def test_a_reading_shows_no_secrets() -> None:
    """What prints a reading, such as a traceback, prints none."""
    assert CANARY not in repr(read_alert(json.dumps({**ORDER, "token": CANARY}).encode()))


def test_a_number_may_be_a_secret() -> None:
    """The digits are replaced where they stand."""
    reading = read_alert(b'{"pin": 90210777, "action": "buy", "quantity": 1}')
    assert (reading.redacted, reading.secrets) == (
        b'{"pin": [redacted], "action": "buy", "quantity": 1}',
        ("90210777",),
    )


def test_secrets_come_in_the_order_of_the_body_and_once() -> None:
    """They are candidates for the strategy's token."""
    reading = read_alert(b'{"key": "first-secret-1", "token": "second-secret", "x": {"token": "first-secret-1"}}')
    assert reading.secrets == ("first-secret-1", "second-secret")


def test_what_only_looks_alike_stays() -> None:
    """Sessions, symbols, ids and a plain order are not touched."""
    body = json.dumps({**ORDER, "session": "NY", "idempotency_key": "a-1", "stub": "dev", "comment": "no key level"})
    reading = read_alert(body.encode())
    assert (reading.redacted, reading.secrets) == (body.encode(), ())
    assert reading.signal is not None
    assert reading.signal.source_id == "a-1"


def test_a_short_secret_is_removed_only_where_it_stands() -> None:
    """A pin of a few letters would otherwise take words of the order with it."""
    reading = read_alert(b'{"key": "buy", "action": "buy"}')
    assert reading.redacted == b'{"key": "[redacted]", "action": "buy"}'
    assert reading.signal is not None


filler = st.text(st.characters(blacklist_categories=["Cs"]), max_size=8)
scalars = st.none() | st.booleans() | st.integers(-9, 9) | filler
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(filler, inner, max_size=3))


@settings(deadline=None)
@given(
    name=st.sampled_from(USUAL), tree=st.dictionaries(filler, trees, max_size=4), order=st.booleans(), data=st.data()
)
def test_a_canary_anywhere_in_json(name: str, tree: dict[str, Any], order: bool, data: st.DataObject) -> None:
    """Whatever stands around it, at whatever depth, and however the body ends."""
    fields: dict[str, Any] = {**(ORDER if order else {}), **tree, name: CANARY}
    for _ in range(data.draw(st.integers(0, 3))):
        fields = {data.draw(filler) or "x": fields}
    body = json.dumps(fields, ensure_ascii=data.draw(st.booleans()))
    cut = data.draw(st.sampled_from([0, 1, 2]))
    check(body[: len(body) - cut].encode() if CANARY in body[: len(body) - cut] else body.encode())


@settings(deadline=None)
@given(
    name=st.sampled_from([name for name in USUAL if "-" not in name]),
    separator=st.sampled_from([";", ",", "\n", "&", "; ", ";\r\n"]),
    parts=st.lists(
        st.sampled_from(["action=buy", "symbol=MNQ1!", "qty=1", "a=b", "x", "note=hello world", "=", "sl=1"]),
        max_size=5,
    ),
    at=st.integers(0, 5),
)
def test_a_canary_anywhere_in_pairs(name: str, separator: str, parts: list[str], at: int) -> None:
    """Between well-formed and malformed neighbours."""
    check(separator.join([*parts[:at], f"{name}={CANARY}", *parts[at:]]).encode(), alone=False)


KNOWN = "Kn0wn-" * 5 + "xy"


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({**ORDER, "token": KNOWN}),
        json.dumps({**ORDER, "comment": KNOWN}),
        json.dumps({**ORDER, KNOWN: {"nested": [KNOWN]}}),
        f"key={KNOWN};command=PLACE;account=a;instrument=MNQ1!;action=BUY;qty=1;",
        f"action=buy&symbol=MNQ1%21&quantity=1&token={KNOWN}",
        f"{KNOWN},buy,MNQ1!,qty=1",
        f"{KNOWN}\nlong MNQ1! q=1",
        f"buy MNQ1! qty=1 token={KNOWN}",
    ],
)
def test_a_known_secret_does_not_change_the_reading(body: str) -> None:
    """Whatever the format, the alert is understood as if its token were not known, and the token is nowhere in it."""
    reading, unknowing = read_alert(body.encode(), known_secrets=(KNOWN,)), read_alert(body.encode())
    assert reading.signal is not None
    assert unknowing.signal is not None
    assert (reading.signal.event, reading.signal.symbol, reading.family) == ("ENTRY", "MNQ1!", unknowing.family)
    assert reading.signal.quantity == unknowing.signal.quantity
    assert KNOWN not in everything_in(reading)


@pytest.mark.parametrize(
    "body", [f"hello {KNOWN}", json.dumps({**ORDER, "action": KNOWN}), f'{{"a": "{KNOWN}", "b": ', KNOWN]
)
def test_a_known_secret_is_in_no_refusal(body: str) -> None:
    """Also where it stands in a place that the refusal quotes."""
    reading = read_alert(body.encode(), known_secrets=("", KNOWN))
    assert reading.refusal is not None
    assert KNOWN not in everything_in(reading)
