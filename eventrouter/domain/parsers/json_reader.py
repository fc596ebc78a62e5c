"""JSON by its characters: strict, but for slips that leave one meaning, each of which is reported as a repair.

Mended: comments, a trailing comma, single or typographic quotes, names and words without quotes, True/False/None, +5 and
.5, invisible spaces, and a comma missing before a quoted name on the next line. NaN and unresolved placeholders become
Odd values. Refused: repeated names, more than 16 levels, more than 1,000 values, texts with raw control characters, NUL or
half a surrogate pair, and everything that is cut off. One pass, linear in the length.
"""

import json
import re

from eventrouter.domain.parsers.actions import means_action
from eventrouter.domain.parsers.secret_fields import Findings, names_secret, secret_letters
from eventrouter.domain.parsers.values import Number, Odd, Value, is_nan
from eventrouter.errors import SignalRefused

MOST_DEPTH = 16
MOST_VALUES = 1000

_SPACE = re.compile(r"[ \t\r\n]*")
_INVISIBLE = frozenset("\u00a0\u2007\u202f\u200b\u200c\u200d\u2060\ufeff\u3000")
_STRING = re.compile(r'"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*"')
_SINGLE = re.compile(r"'[^'\"\\\x00-\x1f]*'")
_CURLY = re.compile(r'[“”„][^“”„"\\\x00-\x1f]*[“”]')
_PLACEHOLDER = re.compile(r"\{\{[^{}\r\n]{1,200}\}\}")
_BARE = re.compile(r"(?:(?!//)[^\s{}\[\],:\"'“”„\\])+(?::(?:(?!//)[^\s{}\[\],:\"'“”„\\])+)*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_LOOSE_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)")
_WORD = re.compile(r"(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9_.:!/&+%$#@-]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NEXT_NAME = re.compile(r'"[^"\\\x00-\x1f]{1,100}"[ \t]*:')
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "none": None}
_LOOK_ALIKE = frozenset({"True", "False", "None", "TRUE", "FALSE", "NULL", "Null"})


class JsonReader:
    """One text's value, and on the way its secrets and repairs."""

    def __init__(self, text: str, findings: Findings) -> None:
        self._text = text
        self._at = 0
        self._found = findings
        self._values = 0
        self._loose = False  # the last value had no end of its own: a bare word, a placeholder

    def document(self) -> Value:
        """The text's one value. Raises SignalRefused: BODY_NOT_JSON, KEY_REPEATED, TEXT_WRONG, MANY_ORDERS."""
        value = self._value("The alert", 0, hidden=False)
        self._gap()
        rest = self._text[self._at :]
        if rest.strip() in ("", "="):  # the equals sign ends a form whose only key is the JSON
            return value
        if rest.startswith(("{", "[")):
            raise SignalRefused("MANY_ORDERS", "The alert holds several JSON objects; send one alert per order.", None)
        raise self._wrong("there is text after the closing bracket")

    def _value(self, name: str, depth: int, *, hidden: bool) -> Value:
        self._gap()
        self._values += 1
        if self._values > MOST_VALUES:
            raise SignalRefused("TOO_MANY_FIELDS", f"The alert holds more than {MOST_VALUES} values.", None)
        start, first = self._at, self._peek()
        if first == "{" and not _PLACEHOLDER.match(self._text, start):
            return self._object(depth + 1, hidden=hidden)
        if first == "[":
            return self._array(name, depth + 1, hidden=hidden)
        quoted = first in ('"', "'", "“", "”", "„")
        self._loose = not quoted
        value = self._string() if quoted else self._bare(name)
        if hidden and isinstance(value, str | Number | Odd):
            inside = 1 if quoted else 0
            self._found.secret(start + inside, self._at - inside, value if isinstance(value, str) else value.raw)
        return value

    def _object(self, depth: int, *, hidden: bool) -> dict[str, Value]:
        self._deeper(depth)
        fields: dict[str, Value] = {}
        places: dict[str, tuple[int, int]] = {}
        secret: set[str] = set()
        while not self._closed("}"):
            name = self._name()
            if name in fields:
                raise SignalRefused(
                    "KEY_REPEATED", f"The alert names {name[:40]!r} twice; which one counts cannot be known.", name[:60]
                )
            hides = hidden or names_secret(name)
            if hides:
                secret.add(name)
            self._gap()
            start = self._at
            fields[name] = self._value(name, depth, hidden=hides)
            places[name] = (start, self._at)
            self._comma("}")
        for name in secret_letters(fields, means_action) - secret:
            start, end = places[name]
            self._found.secret(start + 1, end - 1, str(fields[name]))
            secret.add(name)
        return {name: value for name, value in fields.items() if name not in secret}

    def _array(self, name: str, depth: int, *, hidden: bool) -> list[Value]:
        self._deeper(depth)
        items: list[Value] = []
        while not self._closed("]"):
            items.append(self._value(name, depth, hidden=hidden))
            self._comma("]")
        return items

    def _deeper(self, depth: int) -> None:
        if depth > MOST_DEPTH:
            raise SignalRefused("BODY_NOT_JSON", f"The alert is nested deeper than {MOST_DEPTH} levels.", None)
        self._at += 1

    def _closed(self, bracket: str) -> bool:
        self._gap()
        if self._peek() == bracket:
            self._at += 1
            self._loose = False
            return True
        return False

    def _comma(self, bracket: str) -> None:
        """Step over what stands between two fields, or before the closing bracket."""
        end = self._at
        self._gap()
        if self._peek() == ",":
            self._at += 1
            self._gap()
            if self._peek() == bracket:
                self._found.repair("The comma before a closing bracket was ignored.")
        elif self._peek() != bracket:
            missing = _NEXT_NAME.match(self._text, self._at)
            if bracket == "]" or self._loose or missing is None or "\n" not in self._text[end : self._at]:
                raise self._wrong("a comma or a closing bracket is missing")
            self._found.repair("A comma was missing at the end of a line and was added.")

    def _name(self) -> str:
        first = self._peek()
        if first in ('"', "'", "“", "”", "„"):
            name = self._string()
        elif bare := _NAME.match(self._text, self._at):
            self._at, name = bare.end(), bare[0]
            self._found.repair("Field names without quotes were read as names.")
        else:
            raise self._wrong("a field name in double quotes is missing")
        self._gap()
        if self._peek() != ":":
            raise self._wrong("a colon is missing after a field name")
        self._at += 1
        return name

    def _string(self) -> str:
        first = self._peek()
        pattern = _STRING if first == '"' else _SINGLE if first == "'" else _CURLY
        match = pattern.match(self._text, self._at)
        if match is None:
            raise self._wrong("a text has no closing quote, or a line break or control character inside")
        self._at = match.end()
        if first != '"':
            self._found.repair(f"{'Single' if first == chr(39) else 'Typographic'} quotes were read as double quotes.")
        value = match[0][1:-1]
        if "\\" in value:
            try:
                value = json.loads(match[0])
            except ValueError:
                raise self._wrong("a text holds a backslash that means nothing") from None
        if "\0" in value or re.search("[\ud800-\udfff]", value):
            raise SignalRefused("TEXT_WRONG", "The alert contains a NUL character or half a surrogate pair.", None)
        return value

    def _bare(self, name: str) -> Value:
        if placeholder := _PLACEHOLDER.match(self._text, self._at):
            self._at = placeholder.end()
            return Odd(placeholder[0], "placeholder")
        match = _BARE.match(self._text, self._at)
        if match is None:
            raise self._wrong("a value is missing" if self._peek() else "it ends too early")
        word = match[0]
        self._at = match.end()
        if is_nan(word):
            self._found.repair(f"{name[:60]} is {word}, which JSON does not know; it counts as no value.")
            return Odd(word, "nan")
        if _NUMBER.fullmatch(word):
            self._loose = False
            return Number(word)
        if word.lower() in _WORDS and (word in _WORDS or word in _LOOK_ALIKE):
            self._loose = False
            if word not in ("true", "false", "null"):
                self._found.repair(f"{word} was read as JSON's {json.dumps(_WORDS[word.lower()])}.")
            return _WORDS[word.lower()]
        if _LOOSE_NUMBER.fullmatch(word):
            self._found.repair(f"{name[:60]} was written in a form that JSON does not know, and was read as a number.")
            return Number(word)
        if _WORD.fullmatch(word):
            self._found.repair(f"{name[:60]} has no quotes and was read as a text.")
            return word
        self._at = match.start()
        raise self._wrong("a value is neither a number nor a text in double quotes")

    def _gap(self) -> None:
        """Step over space and comments."""
        text = self._text
        while True:
            space = _SPACE.match(text, self._at)
            self._at = space.end() if space else self._at
            if text.startswith("//", self._at):
                end = text.find("\n", self._at)
                self._at = len(text) if end < 0 else end
                self._found.repair("Comments were ignored.")
            elif text.startswith("/*", self._at):
                end = text.find("*/", self._at + 2)
                if end < 0:
                    raise self._wrong("a comment has no end")
                self._at = end + 2
                self._found.repair("Comments were ignored.")
            elif text[self._at : self._at + 1] in _INVISIBLE:
                self._at += 1
                self._found.repair("Invisible characters between the fields were ignored.")
            else:
                return

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _wrong(self, why: str) -> SignalRefused:
        line = self._text.count("\n", 0, self._at) + 1
        column = self._at - self._text.rfind("\n", 0, self._at)
        return SignalRefused(
            "BODY_NOT_JSON", f"The alert is not valid JSON: {why}, at line {line}, column {column}.", None
        )
