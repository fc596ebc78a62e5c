"""key=value bodies: separated by `;` and line ends, or by line ends, or by commas, or by spaces.

The separator is the first of these that the body has; every part must then be a name and a value. Also read: `name: value`
in lines and between commas, a literal \\n or \\r\\n that a relay wrote instead of a line end, and quotes around the whole.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from eventrouter.domain.parsers.actions import means_action, plain
from eventrouter.domain.parsers.secret_fields import Findings, names_secret, secret_letters
from eventrouter.domain.parsers.values import Value
from eventrouter.errors import SignalRefused

MOST_PAIRS = 200

_SYMBOLS = frozenset({"symbol", "ticker", "instrument", "pair", "contract", "tradingsymbol"})
_FIRST = re.compile(r"\s{0,80}[A-Za-z_][\w.\-]{0,63}(?:\[\d{0,3}\])?[ \t]{0,8}[=:]")
_PAIR = re.compile(r"\s*([A-Za-z_][\w.\-]{0,63})(?:\[\d{0,3}\])?[ \t]{0,8}([=:])")
_WRAPPED = re.compile(r"\s{0,80}(?:[A-Za-z]{1,20}:[ \t]{0,8})?(\"{1,2})(?=[A-Za-z_])")
_STEP = re.compile(r"\[\d{1,3}\]")
_LINE_END = re.compile(r"\r?\n|\\r\\n|\\n|\\r")
_SEMICOLON = re.compile(r";|\r?\n|\\r\\n|\\n|\\r")


class Part(NamedTuple):
    """A stretch of the body between two separators."""

    start: int
    end: int


def read_pairs(text: str, findings: Findings) -> dict[str, Value] | None:
    """The fields, without the secret ones; None if the body is not made of pairs. Raises SignalRefused."""
    start, end = _bounds(text, findings)
    if not _FIRST.match(text, start) or any(
        text.count(sign, start, end) > 2 * MOST_PAIRS for sign in (";", "\n", ",", "\\n", "\\r")
    ):
        return None
    parts = list(_parts(text, start, end, findings))
    if len(parts) > MOST_PAIRS:
        return None
    if any(_STEP.fullmatch(text, part.start, part.end) for part in parts):
        raise SignalRefused("MANY_ORDERS", "The alert is a program of several steps; send one alert per order.", None)
    pairs = [(part, _PAIR.match(text, part.start, part.end)) for part in parts]
    if any(pair is None for _, pair in pairs):
        _report_secrets(text, pairs, findings)
        return None
    if any(pair is not None and pair[2] == ":" for _, pair in pairs) and not _names_symbol(pairs):
        return None  # text for humans is full of colons
    return _fields(text, [(part, pair) for part, pair in pairs if pair is not None], findings)


def _report_secrets(text: str, pairs: list[tuple[Part, re.Match[str] | None]], findings: Findings) -> None:
    """Report the secrets of a body that has other parts than pairs, too."""
    for part, pair in pairs:
        if pair is not None and names_secret(pair[1]):
            place = _value(text, pair.end(), part.end)
            findings.secret(*place, text[slice(*place)])


def _names_symbol(pairs: list[tuple[Part, re.Match[str] | None]]) -> bool:
    return any(pair is not None and plain(pair[1]) in _SYMBOLS for _, pair in pairs)


def _fields(text: str, pairs: list[tuple[Part, re.Match[str]]], findings: Findings) -> dict[str, Value]:
    fields: dict[str, Value] = {}
    places: dict[str, Part] = {}
    repeated: str | None = None
    for part, pair in pairs:
        name = pair[1]
        place = _value(text, pair.end(), part.end)
        if names_secret(name):
            findings.secret(*place, text[slice(*place)])
            continue
        repeated = name if name.lower() in {known.lower() for known in fields} else repeated
        fields[name], places[name] = text[slice(*place)], place
    for name in secret_letters(fields, means_action):
        findings.secret(*places[name], str(fields.pop(name)))
    if repeated is not None:
        raise SignalRefused(
            "KEY_REPEATED", f"The alert names {repeated[:40]!r} twice; which one counts cannot be known.", repeated[:60]
        )
    return fields


def _bounds(text: str, findings: Findings) -> tuple[int, int]:
    """Where the pairs begin and end: inside of quotes, and of a word and a colon before them, that a relay added."""
    wrapped = _WRAPPED.match(text)
    end = len(text.rstrip())
    if wrapped is None or not text.endswith(wrapped[1], 0, end) or end - len(wrapped[1]) <= wrapped.end():
        return 0, len(text)
    findings.repair("Quotes around the whole alert were ignored.")
    return wrapped.end(), end - len(wrapped[1])


def _parts(text: str, start: int, end: int, findings: Findings) -> Iterator[Part]:
    if text.find(";", start, end) >= 0:
        parts = _split(text, start, end, _SEMICOLON)
    elif _LINE_END.search(text[start:end].strip()):
        parts = _split(text, start, end, _LINE_END)
        text_lines = [part for part in parts if text[part.start : part.end].strip()]
        if all(text[part.start : part.end].rstrip().endswith(",") for part in text_lines[:-1]):
            parts = [_without_comma(text, part) for part in text_lines]
    elif text.find(",", start, end) >= 0:
        parts = list(_outside_parentheses(text, start, end))
    else:
        parts = _split(text, start, end, re.compile(r"\s+"))
        if not all(_FIRST.match(text, part.start, part.end) for part in parts if part.end > part.start):
            parts = [Part(start, end)]
    if "\\n" in text[start:end] or "\\r" in text[start:end]:
        findings.repair("A written-out \\n was read as a line end.")
    for part in parts:
        if text[part.start : part.end].strip():
            yield _trimmed(text, part)


def _split(text: str, start: int, end: int, separator: re.Pattern[str]) -> list[Part]:
    parts = []
    for match in separator.finditer(text, start, end):
        parts.append(Part(start, match.start()))
        start = match.end()
    return [*parts, Part(start, end)]


def _outside_parentheses(text: str, start: int, end: int) -> Iterator[Part]:
    depth = 0
    for match in re.compile(r"[(),]").finditer(text, start, end):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if match[0] == "," and depth <= 0:
            yield Part(start, match.start())
            start = match.end()
    yield Part(start, end)


def _without_comma(text: str, part: Part) -> Part:
    end = part.start + len(text[part.start : part.end].rstrip())
    return Part(part.start, end - 1 if text.endswith(",", part.start, end) else end)


def _trimmed(text: str, part: Part) -> Part:
    stretch = text[part.start : part.end]
    start = part.start + len(stretch) - len(stretch.lstrip())
    return Part(start, part.start + len(stretch.rstrip()))


def _value(text: str, start: int, end: int) -> Part:
    """Where the value stands, without space and quotes around it."""
    part = _trimmed(text, Part(start, end))
    if part.end - part.start >= 2 and text[part.start] == text[part.end - 1] and text[part.start] in "\"'":
        return Part(part.start + 1, part.end - 1)
    return part
