"""Which shape a body has, which format its fields have, and who reads it."""

import re
from collections.abc import Mapping

from eventrouter.domain.parsers.actions import plain
from eventrouter.domain.parsers.closing import forgiving
from eventrouter.domain.parsers.crosstrade import is_crosstrade, read_crosstrade
from eventrouter.domain.parsers.fields import Fields
from eventrouter.domain.parsers.forms import decoded, encoded_json, read_form
from eventrouter.domain.parsers.generic import read_generic
from eventrouter.domain.parsers.json_reader import JsonReader
from eventrouter.domain.parsers.octobot import is_octobot, read_octobot
from eventrouter.domain.parsers.pairs import read_pairs
from eventrouter.domain.parsers.pickmytrade import is_pickmytrade, read_pickmytrade
from eventrouter.domain.parsers.secret_fields import Findings, Layer, scrubbed
from eventrouter.domain.parsers.stage13b import is_stage13b, read_stage13b
from eventrouter.domain.parsers.threecommas import is_threecommas, read_threecommas
from eventrouter.domain.parsers.traderspost import is_traderspost, read_traderspost
from eventrouter.domain.parsers.values import Value, refuse_unsafe
from eventrouter.domain.parsers.words import read_phrase, read_words
from eventrouter.domain.signals import Signal
from eventrouter.errors import SignalRefused

MOST_BYTES = 64 * 1024

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_PLACEHOLDER = re.compile(r"\s{0,80}\{\{[^{}\"'\r\n]{1,200}\}\}")
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ORDER_KEYS = frozenset({"action", "side", "direction", "symbol", "ticker", "command"})
_FORMATS = (
    ("crosstrade", is_crosstrade, read_crosstrade),
    ("3commas", is_threecommas, read_threecommas),
    ("pickmytrade", is_pickmytrade, read_pickmytrade),
    ("traderspost", is_traderspost, read_traderspost),
)


def read_body(raw: bytes, findings: Findings) -> Signal:
    """The signal in a body. Reports secrets and repairs. Raises SignalRefused."""
    if len(raw) > MOST_BYTES:
        raise SignalRefused("BODY_TOO_LARGE", f"The alert is larger than {MOST_BYTES // 1024} KiB.", None)
    if not raw.strip():
        raise SignalRefused("BODY_EMPTY", "The alert has no body. Put the JSON into the alert's message field.", None)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise SignalRefused("BODY_NOT_UTF8", "The alert is not UTF-8 text.", None) from None
    if _CONTROLS.search(text):
        raise SignalRefused("TEXT_WRONG", "The alert contains control characters.", None)
    return _shaped(text, findings)


def _shaped(text: str, findings: Findings) -> Signal:
    """Choose the reader by the body's first characters."""
    begin = text.lstrip("\ufeff \t\r\n\u00a0\u200b")[:1]
    if begin in ("{", "[") and not _PLACEHOLDER.match(text):
        start = text.find(begin)
        text = " " * start + text[start:]  # a byte order mark is no fault, and places stay the same
        return _structured(JsonReader(text, findings).document(), findings)
    if begin == '"' and (inner := _json_text(text, findings)) is not None:
        return _shaped(inner, findings)
    if place := encoded_json(text):
        layer = decoded(text, place.start, place.end)
        findings.layers.append(layer)
        return _structured(JsonReader(layer.text, findings).document(), findings)
    fields = read_form(text, findings)
    if fields is None:
        fields = read_pairs(text, findings)
    if fields is not None:
        return _structured(fields, findings)
    phrase = read_phrase(text, findings)
    findings.family = phrase.style
    phrase.words = [(str(scrubbed(word, findings.hidden)), start) for word, start in phrase.words]
    return read_words(phrase)


def _structured(value: Value, findings: Findings) -> Signal:
    """The signal in named fields."""
    if isinstance(value, list):
        if len(value) > 1:
            raise SignalRefused("MANY_ORDERS", "The alert is a list of several orders; send one alert per order.", None)
        value = value[0] if value else None
    if not isinstance(value, Mapping):
        raise SignalRefused("BODY_NOT_OBJECT", "The alert must be a JSON object: { … }.", None)
    tree = scrubbed(value, findings.hidden)
    assert isinstance(tree, Mapping)
    _refuse_unsafe_texts("The alert", tree)
    _refuse_several(tree)
    return forgiving(tree, lambda fields: _formatted(fields, findings))


def _formatted(tree: Mapping[str, Value], findings: Findings) -> Signal:
    """The signal that the reader of the fields' format makes of them."""
    if is_stage13b(tree):
        findings.family = "stage13b"
        return read_stage13b(tree)
    fields = Fields(tree)
    if is_octobot(set(tree)):
        findings.family = "octobot"
        return read_octobot(fields)
    for findings.family, fits, read in _FORMATS:
        if fits(fields):
            return read(fields)
    findings.family = "generic"
    return read_generic(fields)


def _refuse_unsafe_texts(name: str, value: Value) -> None:
    if isinstance(value, str):
        refuse_unsafe(name[:60] or "A field without a name", value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            refuse_unsafe("The alert", key)
            _refuse_unsafe_texts(key, item)
    elif isinstance(value, list):
        for item in value:
            _refuse_unsafe_texts(name, item)


def _refuse_several(tree: Mapping[str, Value]) -> None:
    """Refuse a body with several orders inside: which accounts take which is configured here, one order per alert."""
    for name, value in tree.items():
        orders = [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
        if len(orders) > 1 and any({plain(key) for key in order} & _ORDER_KEYS for order in orders):
            raise SignalRefused(
                "MANY_ORDERS", f"{name[:60]} holds several orders; send one alert per order.", name[:60]
            )


def _json_text(text: str, findings: Findings) -> str | None:
    """The body inside of a JSON text, when the whole body is one that a sender encoded twice."""
    stripped = text.strip("\ufeff \t\r\n")
    if len(stripped) < 2 or not stripped.endswith('"') or '"' in stripped[1:-1].replace('\\"', ""):
        return None
    start = text.find('"') + 1
    layer = _unescaped(text, start, start + len(stripped) - 2)
    findings.layers.append(layer)
    findings.repair("The alert was a JSON text inside of quotes; what it holds was read.")
    return layer.text


def _unescaped(text: str, start: int, end: int) -> Layer:
    characters: list[str] = []
    starts: list[int] = []
    plainly = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "/": "/"}
    at = start
    for match in _ESCAPE.finditer(text, start, end):
        characters += text[at : match.start()]
        starts += range(at, match.start())
        code = match[0][1:]
        if len(code) == 1 and code not in plainly:
            raise SignalRefused("BODY_NOT_JSON", "The alert holds a backslash that means nothing in JSON.", None)
        characters.append(plainly[code] if len(code) == 1 else chr(int(code[1:], 16)))
        starts.append(match.start())
        at = match.end()
    characters += text[at:end]
    starts += range(at, end + 1)
    return Layer("".join(characters), starts)
