"""Form-encoded bodies: name=value joined by `&`, or JSON as the only key or the only value, percent-encoded.

The text is decoded with a record of where every character stood, so that a secret can be removed from the body as it came.
"""

import re
from typing import NamedTuple

from eventrouter.domain.parsers.secret_fields import Findings, Layer, names_secret
from eventrouter.domain.parsers.values import Value
from eventrouter.errors import SignalRefused

MOST_FIELDS = 200

_CODE = re.compile(r"((?:%[0-9A-Fa-f]{2})+)|(\+)")
_JSON_KEY = re.compile(r"(?:%7[Bb]|%5[Bb])[^&\s]*?(=?)\s*")
_JSON_VALUE = re.compile(r"([\w.\-\[\]]{1,64})=((?:%7[Bb]|%5[Bb]|\{|\[)[^&\s]*)\s*")
_FORM = re.compile(r"[^\s=&;{}\",]{1,200}=[^\s&;]*(?:&[^\s=&;]{1,200}=[^\s&;]*)+&?\s*")


class EncodedJson(NamedTuple):
    """Where percent-encoded JSON stands in the body."""

    start: int
    end: int


def encoded_json(text: str) -> EncodedJson | None:
    """The stretch of a form-encoded body that is JSON: its only key or its only value."""
    if key := _JSON_KEY.fullmatch(text):
        return EncodedJson(0, key.start(1))
    if value := _JSON_VALUE.fullmatch(text):
        return EncodedJson(value.start(2), value.end(2))
    return None


def decoded(text: str, start: int, end: int) -> Layer:
    """The decoded text, and where each of its characters began. Raises SignalRefused BODY_NOT_UTF8."""
    characters: list[str] = []
    starts: list[int] = []
    at = start
    for match in _CODE.finditer(text, start, end):
        characters += text[at : match.start()]
        starts += range(at, match.start())
        plain = " " if match[2] else _bytes(match[1])
        characters += plain
        place = match.start()
        for character in plain:
            starts.append(place)
            place += 3 * len(character.encode()) if match[1] else 1
        at = match.end()
    characters += text[at:end]
    starts += range(at, end + 1)
    return Layer("".join(characters), starts)


def read_form(text: str, findings: Findings) -> dict[str, Value] | None:
    """The fields of name=value&name=value, without the secret ones; None for another body. Raises SignalRefused."""
    if text.count("&") > MOST_FIELDS or not _FORM.fullmatch(text):
        return None
    fields: dict[str, Value] = {}
    at = 0
    for part in text.rstrip().rstrip("&").split("&"):
        name = decoded(part, 0, part.find("=")).text
        start, end = at + part.find("=") + 1, at + len(part)
        value = decoded(text, start, end).text
        at = end + 1
        if names_secret(name):
            findings.secret(start, end, value)
        elif name in fields:
            raise SignalRefused(
                "KEY_REPEATED", f"The alert names {name[:40]!r} twice; which one counts cannot be known.", name[:60]
            )
        else:
            fields[name] = value
    return fields


def _bytes(codes: str) -> str:
    try:
        return bytes.fromhex(codes.replace("%", "")).decode()
    except UnicodeDecodeError:
        raise SignalRefused("BODY_NOT_UTF8", "The alert's percent codes are not UTF-8 text.", None) from None
