"""Which fields carry secrets, where they stood in the body, and the body without them.

Readers report every secret value that they meet, by its place. What no reader could make sense of is searched for
names that announce a secret. Both work on the text as it came, so that the rest of the body stays byte for byte.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from eventrouter.domain.parsers.values import Number, Odd, Value, word_set

REDACTED = "[redacted]"
MOST_SECRETS = 32
MOST_REPAIRS = 20
LONG_ENOUGH = (
    8  # characters of a secret that is removed wherever it is repeated; a shorter one would hit ordinary words
)

_EXACT = word_set(
    "auth authkey authorization bearer bvakey cookie discord hash hmac key keys licence licenceid licencekey license "
    "licenseid licensekey otp pass passkey phrase pin privatekey psw pw pwd redacted relayid relayuser secrets signature "
    "slack webhookurl"
)
_PARTS = re.compile(r"token|secret|passphrase|password|passwd|passcode|apikey|accesskey|authkey|credential")
_ENDS_IN_KEY = re.compile(r"[a-z0-9](?:[_\-. ]key|Key)s?$")
_NO_SECRETS = frozenset({"idempotencykey", "dedupkey", "dedupekey", "tokensymbol", "tokenname"})
_NOT_ALNUM = re.compile(r"[^a-z0-9]")
_CODED = re.compile(rb"\0|%(?:25){0,3}(?:22|27|3[aAdD])")
_LETTERS = re.compile(rb"%(?:25){0,3}([0-9A-Fa-f]{2})|[^%\0]+|%")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")

_HINTS = word_set(
    "key token secret pass phrase psw pw pin auth licen bearer cookie discord slack hash hmac otp relay signature "
    "credential webhookurl \\u"
)
_LETTER = re.compile(r"[\"'][A-Za-z][\"'\\]\s{0,8}[:=]")
_NAMED = re.compile(
    r"(?:(?<![\w.\-\\])|(?<=\\[nrt]))(\[redacted\]|(?:[\w.\-]|\\u[0-9a-fA-F]{4}){1,64})(?:\[\d{0,3}\])?(?:\\{0,8}[\"'\u2018-\u201e])?[ \t\r\n]{0,16}"
    r"(?:=>|[:=])[ \t\r\n]{0,16}"
)
_COLON = re.compile(r"[\\\"'\u2018-\u201e]{1,9}[ \t]{0,8}[:=]")
_QUOTED = re.compile(r"\\{0,8}[\"']([^\"'\\\s]{8,256})[\"'\\]")
_ADDRESS = re.compile(
    r"://[^\s:@/\"'\\]{0,64}:([^\s@/\"'\\]{1,256})@|/webhooks?/(?:\d{1,32}/)?([^\s\"'\\<>;,&|?]{1,256})", re.IGNORECASE
)
_OPENS = re.compile(r"(\\{0,8})([\"'\u2018\u201c])")
_CLOSES = {'"': '"', "'": "'", "\u2018": "\u2019", "\u201c": "\u201d"}
_BARE = re.compile(
    r"(?:(?![\r\n;\"]"
    r"|[ \t]{0,8}[,&|}\])][ \t\r\n]{0,8}(?:$|[\"'\[{]|[\w.\-]{1,64}[\"']?[ \t]{0,8}[=:])"
    r"|[ \t]{1,8}[\w.\-]{1,64}[ \t]?[=:]).){1,4096}"
)
_COMMON = frozenset({"true", "false", "null", "none", ""})


class Secret(NamedTuple):
    """A secret value and where it stood in the body's text."""

    start: int
    end: int
    value: str


class Layer(NamedTuple):
    """A text that was decoded out of another: where each of its characters begins there, and where the last one ends."""

    text: str
    starts: list[int]


@dataclass(slots=True)
class Findings:
    """What the readers report besides the values: secrets by place, repairs, and the format that was recognised.

    `known` are secrets that need no finding: wherever they stand, no value may hold them.
    """

    known: tuple[str, ...] = ()
    secrets: list[Secret] = field(default_factory=list)
    repairs: dict[str, None] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    family: str | None = None

    @property
    def hidden(self) -> tuple[str, ...]:
        """Every secret by its value, known or found."""
        return (*self.known, *(secret.value for secret in self.secrets))

    def secret(self, start: int, end: int, value: str) -> None:
        """Remember a secret; its place is in the innermost layer's text."""
        for layer in reversed(self.layers):
            start, end = layer.starts[start], layer.starts[end]
        if value.strip().lower() not in _COMMON:
            self.secrets.append(Secret(start, end, value))

    def repair(self, sentence: str) -> None:
        """Remember a repair, once; of very many, the first."""
        if len(self.repairs) < MOST_REPAIRS:
            self.repairs[sentence] = None


def names_secret(name: str) -> bool:
    """Whether a field of this name carries a secret."""
    plain = _NOT_ALNUM.sub("", name.lower())
    if plain in _NO_SECRETS:
        return False
    return plain in _EXACT or bool(_PARTS.search(plain)) or bool(_ENDS_IN_KEY.search(name))


def secret_letters(fields: Mapping[str, Value], means_action: Callable[[str], bool]) -> set[str]:
    """The one-letter fields that carry a secret: a password-like text beside a one-letter command."""
    letters = {name: value for name, value in fields.items() if len(name) == 1 and isinstance(value, str)}
    if not any(means_action(str(value)) for value in letters.values()):
        return set()
    return {name for name, value in letters.items() if looks_secret(str(value))}


def looks_secret(text: str) -> bool:
    """Whether a text has the form of a password or a licence, and of no symbol, time or number."""
    if len(text) < LONG_ENOUGH or any(character.isspace() for character in text):
        return False
    if re.fullmatch(
        r"[A-Za-z_]{1,20}:[A-Za-z0-9._!]{1,20}|(?=[^A-Z]*[A-Z])[A-Z0-9/:._!\-]{1,24}|[\d.,:\-+TZ%]{1,40}", text
    ):
        return False
    mixed = re.search(r"[\d#$@^&*%!?+=]", text) and re.search(r"[A-Za-z]", text)
    return bool(mixed) or len(text) >= 2 * LONG_ENOUGH


def without(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets that are long enough to be told from ordinary words."""
    for secret in secrets:
        if len(secret) >= LONG_ENOUGH:
            text = text.replace(secret, REDACTED)
    return text


def scrubbed(value: Value, secrets: tuple[str, ...]) -> Value:
    """The value without repetitions of the secrets, and without what a text inside of it announces as one."""
    if isinstance(value, str):
        cleaned = without(value, secrets)
        if ":" in cleaned or "=" in cleaned:
            cleaned = _cut(cleaned, announced(cleaned))
        return cleaned
    if isinstance(value, Odd):
        return Odd(without(value.raw, secrets), value.what)
    if isinstance(value, Number) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return {str(scrubbed(name, secrets)): scrubbed(item, secrets) for name, item in value.items()}
    return [scrubbed(item, secrets) for item in value]


def redact(raw: bytes, found: Iterable[Secret]) -> tuple[bytes, tuple[str, ...]]:
    """The body without its secrets, and the secrets in the order found. Works for any bytes, in linear time."""
    text = _cut(raw.decode("utf-8", "surrogateescape"), known := sorted(found))
    more = announced(text)
    secrets = _distinct(secret.value for secret in known + more)
    redacted = without(_cut(text, more), secrets).encode("utf-8", "surrogateescape")
    return _redact_coded(redacted, secrets) if _CODED.search(redacted) else (redacted, secrets)


def without_known(raw: bytes, secret: str, *, but_plain: bool = False) -> bytes:
    """The bytes without this secret, in whatever encoding it stands there: percent codes, \\u escapes, UTF-16, UTF-32.

    `but_plain`: where it is written in plain letters it stays.
    """
    if not secret:
        return raw
    if b"\0" not in raw:
        plain = secret.encode("utf-8", "surrogateescape") if but_plain else None
        return _spelled(secret).sub(lambda found: plain if plain == found[0] else REDACTED.encode(), raw)
    places = [at for at, byte in enumerate(raw) if byte]
    found = _spelled(secret).finditer(raw.replace(b"\0", b""))
    return _cut_coded(raw, [*places, len(raw)], [match.span() for match in found])


@lru_cache(maxsize=256)
def _spelled(secret: str) -> re.Pattern[bytes]:
    """Each of its bytes in each of its spellings; what may be repeated is bounded, so that a search stays linear."""
    spellings = (
        b"(?:%s|%%(?:25){0,3}(?i:%02x)|\\\\{1,8}u00(?i:%02x))" % (re.escape(bytes([byte])), byte, byte)
        for byte in secret.encode("utf-8", "surrogateescape")
    )
    return re.compile(b"".join(spellings))


def _redact_coded(raw: bytes, secrets: tuple[str, ...]) -> tuple[bytes, tuple[str, ...]]:
    """The same for what no reader decoded: letters with NULs between them, as UTF-16 has them, and percent codes."""
    text, places = _decoded(raw)
    more = announced(text)
    secrets = tuple(dict.fromkeys((*secrets, *_distinct(_utf8(secret.value) for secret in more))))[:MOST_SECRETS]
    long = [secret.encode("utf-8", "replace").decode("latin-1") for secret in secrets if len(secret) >= LONG_ENOUGH]
    again = [found.span() for secret in long for found in re.finditer(re.escape(secret), text)]
    return _cut_coded(raw, places, [*((secret.start, secret.end) for secret in more), *again]), secrets


def _decoded(raw: bytes) -> tuple[str, list[int]]:
    """A letter for each byte that is meant, and where each of them begins in the body, its end last."""
    letters = bytearray()
    places: list[int] = []
    for match in _LETTERS.finditer(raw):
        if code := match[1]:
            letters.append(int(code, 16))
            places.append(match.start())
        else:
            letters += match[0]
            places += range(match.start(), match.end())
    return letters.decode("latin-1"), [*places, len(raw)]


def _utf8(text: str) -> str:
    return text.encode("latin-1").decode("utf-8", "replace")


def _cut_coded(raw: bytes, places: Sequence[int], spans: Iterable[tuple[int, int]]) -> bytes:
    """The bytes without these stretches of what they mean; [redacted] gets as many NULs between its letters."""
    parts: list[bytes] = []
    position = 0
    for start, end in sorted((places[start], places[end]) for start, end in spans):
        if start >= position and end > start:
            found = raw[start:end]
            between = bytes(min(3, len(found) - 1 - len(found[1:].lstrip(b"\0"))))
            after = found[len(found.rstrip(b"\0")) :]
            parts += [raw[position:start], between.join(bytes([letter]) for letter in REDACTED.encode()), after]
        position = max(position, end)
    return b"".join([*parts, raw[position:]])


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value.encode("utf-8", "replace").decode() for value in values))[:MOST_SECRETS]


def announced(text: str) -> list[Secret]:
    """Every value whose name says that it is a secret, in a text of whatever syntax; and what is secret in addresses."""
    lowered = text.lower()
    found = _in_addresses(text) if "://" in text or "/webhook" in lowered else []
    position = 0 if any(hint in lowered for hint in _HINTS) or _LETTER.search(text) else len(text)
    while match := _NAMED.search(text, position):
        position = match.end()
        name = _ESCAPED.sub(lambda code: chr(int(code[1], 16)), match[1])
        if len(name) == 1 and (letter := _QUOTED.match(text, position)) and looks_secret(letter[1]):
            found.append(Secret(letter.start(1), letter.end(1), letter[1]))
            position = letter.end()
        if len(name) == 1 or not names_secret(name):
            continue
        if text.startswith(REDACTED, position):
            position += len(REDACTED)
            continue
        start, end, after = _value_at(text, position)
        value = text[start:end]
        if value.replace(REDACTED, "").strip("\"' ,\\\r\n\t").lower() not in _COMMON:
            found.append(Secret(start, end, value))
        position = max(after, position)
    return found


def _in_addresses(text: str) -> list[Secret]:
    """The passwords before hosts, and what comes after /webhook/."""
    places = ((match, 1 if match[1] is not None else 2) for match in _ADDRESS.finditer(text))
    return [
        Secret(*match.span(group), match[group]) for match, group in places if not match[group].startswith(REDACTED)
    ]


def _value_at(text: str, start: int) -> tuple[int, int, int]:
    """Where the value begins, where it ends, and where to go on; quoted, in brackets, or up to the next field."""
    if opening := _OPENS.match(text, start):
        line_ends = text.find("\n", start)
        line_ends = len(text) if line_ends < 0 else line_ends
        closing = text.find(opening[1] + _CLOSES[opening[2]], opening.end(), line_ends)
        end = line_ends if closing < 0 else closing
        named = _COLON.match(text, end)  # "key": "token": "…": the value is a name as well
        return opening.end(), end, opening.end() if named else end + 1
    if text[start : start + 1] in ("[", "{"):
        closing = _closing(text, start, "]" if text[start] == "[" else "}")
        end = len(text) if closing < 0 else closing
        return start + 1, end, end
    bare = _BARE.match(text, start)
    end = bare.end() if bare else start
    return start, end, end


def _closing(text: str, start: int, bracket: str) -> int:
    """Where the bracket closes; the one of [redacted] closes nothing."""
    closing = text.find(bracket, start)
    while closing >= 0 and text.startswith(REDACTED, closing + 1 - len(REDACTED)):
        closing = text.find(bracket, closing + 1)
    return closing


def _cut(text: str, secrets: list[Secret]) -> str:
    parts: list[str] = []
    position = 0
    for secret in sorted(secrets):
        if secret.start < position:
            continue
        parts += [text[position : secret.start], REDACTED]
        position = secret.end
    return "".join([*parts, text[position:]])
