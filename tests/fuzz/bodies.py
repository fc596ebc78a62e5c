"""Alert bodies by the grammar of each family, and what goes wrong with bodies on their way.

Everything takes its chances from a `Random`: a seeded one in a long run, one of Hypothesis's in a test, which can shrink.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote, quote_plus

from tests.fuzz.orders import order
from tests.fuzz.values import KINDS, Bare, action, hostile, name, price, quantity, secret, symbol, value_of

MOST = 70_000  # bytes: a little more than the service reads

_JSON_FAMILIES: dict[str, tuple[str, ...]] = {
    "stage13b": ("kind", "trade_id", "symbol", "direction", "entry_price", "stop_loss", "session", "bias", "exit_type"),
    "traderspost": (
        "ticker",
        "action",
        "sentiment",
        "quantity",
        "price",
        "stopLoss",
        "takeProfit",
        "time",
        "orderType",
    ),
    "pickmytrade": ("symbol", "date", "data", "quantity", "price", "tp", "sl", "token", "percentage_tp", "dollar_sl"),
    "octobot": ("SIGNAL", "SYMBOL", "VOLUME", "STOP_PRICE", "price", "key", "leverage", "order_type"),
    "3commas": ("secret", "bot_uuid", "action", "tv_instrument", "timestamp", "max_lag", "order"),
    "generic": ("action", "symbol", "quantity", "price", "sl", "tp", "type", "time", "token", "strategy", "id"),
    "position": ("ticker", "market_position", "prev_market_position", "market_position_size", "price", "order_id"),
}
_LINES = ("", "\n", "\r\n", " ")


@dataclass(frozen=True, slots=True)
class Body:
    """A body and the family whose grammar, or the place, it came from."""

    family: str
    raw: bytes


def body_of(random: Random, published: Sequence[bytes] = ()) -> Body:
    """One body: well formed or not. `published`: bodies to mutate beside the generated ones."""
    family, make = random.choice(_GRAMMARS if not published else (*_GRAMMARS, *_PUBLISHED))
    raw = make(random) if make is not None else random.choice(published)
    for _ in range(random.choice((0, 0, 0, 0, 0, 1, 1, 2, 5))):
        raw = random.choice(_MUTATIONS)(random, raw)
        if random.random() < 0.05:
            other = random.choice(_GRAMMARS)[1]
            raw = _spliced(random, raw, raw if other is None else other(random))
    return Body(family, raw[:MOST])


def _json(family: str) -> Callable[[Random], bytes]:
    names = _JSON_FAMILIES[family]

    def make(random: Random) -> bytes:
        hostility = random.choice((0.0, 0.0, 0.1, 0.4))
        fields: dict[str, Any] = {key: value_of(random, key, hostility) for key in names if random.random() < 0.85}
        if family == "stage13b" and random.random() < 0.8:
            fields |= {"kind": random.choice(("ENTRY", "EXIT")), "direction": random.choice(("LONG", "SHORT"))}
            fields["exit_type"] = random.choice(("SL", "TP", "BE", "x" * 20))
        for _ in range(random.choice((0, 0, 0, 1, 3))):
            key = random.choice(tuple(KINDS)) if random.random() < 0.8 else str(hostile(random))[:80]
            fields[key] = value_of(random, key, hostility)
        if random.random() < 0.1:
            fields = {
                random.choice(("order", "strategy", "signal", "alert", "data", "x")): fields,
                **dict([_pair(random)]),
            }
        return _encoded(_dumped(random, [fields] if random.random() < 0.02 else fields))

    return make


def _pair(random: Random) -> tuple[str, Any]:
    key = random.choice(tuple(KINDS))
    return key, value_of(random, key, 0.2)


def _dumped(random: Random, value: Any) -> str:
    """JSON, in one of the ways in which senders write it."""
    space, line = random.choice(("", " ")), random.choice(_LINES)
    ascii_only = random.random() < 0.5

    def dump(value: Any) -> str:
        if isinstance(value, Bare):
            return str(value)
        if isinstance(value, dict):
            inner = f",{line}".join(f"{dump(str(key))}:{space}{dump(item)}" for key, item in value.items())
            return f"{{{line}{inner}{line}}}"
        if isinstance(value, list):
            return f"[{','.join(map(dump, value))}]"
        return json.dumps(value, ensure_ascii=ascii_only)

    return dump(value)


def _fields(random: Random, names: Sequence[str]) -> list[tuple[str, str]]:
    hostility = random.choice((0.0, 0.1, 0.4))
    return [(key, str(value_of(random, key, hostility))) for key in names if random.random() < 0.85]


def _crosstrade(random: Random) -> bytes:
    """key=value pairs, joined by one of the usual separators."""
    join = random.choice((";", ";\n", "\n", ",", "; ", "\\n", "\r\n"))
    colon = random.choice(("=", "=", "=", ":", " = "))
    names = (
        "key",
        "command",
        "account",
        "instrument",
        "action",
        "qty",
        "order_type",
        "limit_price",
        "stop_price",
        "tif",
    )
    pairs = _fields(random, names)
    if random.random() < 0.8:
        pairs = [(key, "PLACE" if key == "command" else value) for key, value in pairs]
    return _encoded(join.join(f"{key}{colon}{value}" for key, value in pairs) + random.choice(("", ";", "\n")))


def _form(random: Random) -> bytes:
    encode = random.choice((quote, quote_plus))
    pairs = _fields(random, ("action", "symbol", "quantity", "price", "sl", "tp", "token", "time"))
    return "&".join(f"{encode(_safe(key))}={encode(_safe(value))}" for key, value in pairs).encode()


def _encoded_json(random: Random) -> bytes:
    """JSON as a form's only key or only value."""
    text = quote(_json("generic")(random).decode("utf-8", "replace"))
    return random.choice((f"{text}=", text, f"payload={text}", f"payload={text}&")).encode()


def _quoted_json(random: Random) -> bytes:
    """JSON inside of a JSON text."""
    return json.dumps(_json("generic")(random).decode("utf-8", "replace")).encode()


def _comma(random: Random) -> bytes:
    join = random.choice((",", "|", ", "))
    words = [secret(random), action(random), symbol(random), f"vol={quantity(random)}", f"price={price(random)}"]
    words += [f"{key}={value}" for key, value in _fields(random, ("sl", "tp", "comment"))]
    if random.random() < 0.3:
        words[random.randrange(len(words))] = str(hostile(random))
    return _encoded(join.join(words[random.choice((0, 0, 1)) :]))


def _words(random: Random) -> bytes:
    words = [name(random), symbol(random), action(random), str(quantity(random))]
    words += random.choice(
        ((), ("x3",), ("limit:a7:1012",), ("cancel:all",), ("position", "-50"), (f"q={quantity(random)}",))
    )
    if random.random() < 0.3:
        words[random.randrange(len(words))] = str(hostile(random))
    lines = [" ".join(words[random.choice((0, 1, 1, 2)) :])]
    return _encoded("\n".join([*((secret(random),) if random.random() < 0.2 else ()), *lines]))


def _bytes(random: Random) -> bytes:
    return random.randbytes(random.choice((0, 1, 8, 100, 2000)))


def _prose(random: Random) -> bytes:
    return _encoded(" ".join(str(hostile(random)) for _ in range(random.randrange(1, 12))))


def _large(random: Random) -> bytes:
    """Near the limit, on either side of it."""
    unit = random.choice(
        (b"a", b'{"a":', b"[", b"token=", b'"key":', b"a=b;", b'"', b"\\", b"%7B", b"\xff", b" ", b"a,b\n")
    )
    size = random.choice((1000, 20_000, 65_535, 65_536, 65_537, MOST))
    return (unit * (size // len(unit) + 1))[:size]


def _encoded(text: str) -> bytes:
    """Bytes, where half surrogates stay what they are."""
    return text.encode("utf-8", "surrogatepass")


def _safe(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _flipped(random: Random, raw: bytes) -> bytes:
    at = random.randrange(len(raw) + 1)
    return raw[:at] + bytes([random.randrange(256)]) + raw[at + 1 :]


def _bit_flipped(random: Random, raw: bytes) -> bytes:
    at = random.randrange(len(raw) + 1)
    return raw[:at] + bytes(byte ^ (1 << random.randrange(8)) for byte in raw[at : at + 1]) + raw[at + 1 :]


def _cut(random: Random, raw: bytes) -> bytes:
    start, length = random.randrange(len(raw) + 1), random.choice((1, 2, 5, 30, MOST))
    return raw[:start] + raw[start + length :]


def _doubled(random: Random, raw: bytes) -> bytes:
    start, length = random.randrange(len(raw) + 1), random.choice((1, 3, 20, 200, MOST))
    return raw[: start + length] + raw[start : start + length] * random.choice((1, 2, 50)) + raw[start + length :]


def _spliced(random: Random, raw: bytes, other: bytes) -> bytes:
    return raw[: random.randrange(len(raw) + 1)] + other[random.randrange(len(other) + 1) :]


def _inserted(random: Random, raw: bytes) -> bytes:
    at = random.randrange(len(raw) + 1)
    return raw[:at] + _encoded(str(hostile(random))) + raw[at:]


def _number_grown(random: Random, raw: bytes) -> bytes:
    """A digit becomes a number of many."""
    places = [at for at, byte in enumerate(raw[:2000]) if 48 <= byte <= 57]
    if not places:
        return raw
    at = random.choice(places)
    return (
        raw[:at]
        + random.choice((b"9" * 17, b"1e15", b"12e15", b"0", b"-1", b"1e-15", b"9" * 5000, b"NaN"))
        + raw[at + 1 :]
    )


def _nested(random: Random, raw: bytes) -> bytes:
    depth = random.choice((1, 15, 16, 17, 2000))
    opening, closing = random.choice(((b"[", b"]"), (b'{"order":', b"}"), (b'{"a":', b"}"), (b'{"strategy":', b"}")))
    return opening * depth + raw + closing * depth


def _reencoded(random: Random, raw: bytes) -> bytes:
    text = raw.decode("utf-8", "replace")
    codec = random.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "utf-8-sig", "utf-7"))
    return text.encode(codec, "replace")


def _escaped(random: Random, raw: bytes) -> bytes:
    text = raw.decode("utf-8", "replace")
    return random.choice((quote(text), quote_plus(text), json.dumps(text), json.dumps(text)[1:-1])).encode()


def _punctuated(random: Random, raw: bytes) -> bytes:
    """The slips of people who write JSON by hand."""
    old, new = random.choice(
        (
            (b'"', b"'"),
            (b'"', b""),
            (b",", b""),
            (b"}", b",}"),
            (b":", b"="),
            (b",", b"\n"),
            (b"{", b"{ // x\n"),
            (b";", b"\n"),
        )
    )
    return raw.replace(old, new, random.choice((1, 2, -1)))


_MUTATIONS = (
    *(_flipped, _bit_flipped, _cut, _doubled, _inserted, _inserted, _number_grown, _number_grown, _nested, _reencoded),
    *(_escaped, _punctuated),
)
_GRAMMARS: tuple[tuple[str, Callable[[Random], bytes] | None], ...] = (
    *((family, _json(family)) for family in _JSON_FAMILIES),
    ("crosstrade", _crosstrade),
    ("crosstrade", _crosstrade),
    ("form", _form),
    ("encoded json", _encoded_json),
    ("quoted json", _quoted_json),
    ("comma", _comma),
    ("words", _words),
    ("words", _words),
    ("bytes", _bytes),
    ("prose", _prose),
    ("large", _large),
    *[("order", order)] * 12,
)
_PUBLISHED: tuple[tuple[str, None], ...] = (("published", None),) * 6
