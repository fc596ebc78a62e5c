"""Structured logs. Every line, ours or a library's, is redacted before any handler sees it.

Loggers do not depend on structlog's global configuration, so an application that embeds the router keeps its own.
"""

import contextlib
import json
import logging
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import Processor

from eventrouter.domain.showing import REORDERING

REDACTED = "[redacted]"

_MAX_TEXT = 2_000  # characters of one value in a line
_MAX_TRACEBACK = 10_000  # characters; the exception's own words stand at its end
_MAX_SCAN = 65_536  # characters that are searched for secrets
_MAX_DEPTH = 32

_SECRET_PARTS = re.compile(
    "token|secret|passw|passphrase|passcode|pwd|apikey|authorization|cookie|licen[cs]e|credential|signature|privatekey"
)
_SECRET_WORDS = frozenset({"auth", "jwt", "otp", "pass", "pin", "sec", "sessionid", "sid"})

_QUOTE = r"""\\*["']|%2[27]"""
_QUOTED = rf"""[bru]{{0,2}}(?P<quote>{_QUOTE}).*?(?:(?<!\\)(?P=quote)|\Z)"""
_PAIR = re.compile(
    rf"(?<![\w-])(?P<name>[\w-]++)(?:(?:{_QUOTE})\s*+,|(?:{_QUOTE})?\s*+(?:[=:]{{1,3}}>?|%3[ad]))\s*+", re.I
)
# Words of our own messages that end like the name of a secret; what follows them is no value of it.
_OUR_WORDS = re.compile(
    r"(?:\bno credentials|\b(?:no|another) master key|\bAuth/loginKey|\b(?:InvalidCredentials|ApiKeyAuthenticationDisabled|ExpiredToken)|\b(?:WRONG|NO|BAD)_KEY|\bNO_CREDENTIALS|\bTOKEN_UNKNOWN): \Z"
)
_OUR_LONGEST = 30
_QUOTED_VALUE = re.compile(f"(?:{_QUOTED})+", re.I | re.S)
_BRACKETS = re.compile(rf"{_QUOTED}|[\[{{(]|[\]}})]", re.I | re.S)
_TO_LINE_END = re.compile(r"[^\r\n]*")
_TO_SPACE = re.compile(r"(?:\\.|\S)*", re.S)
_TO_DELIMITER = re.compile(r"""(?:(?:Bearer|Basic|Digest|Token)\s+)?[^\s,;&|"'<>)}\]]*""", re.I)

_SPECIFIC = (
    (re.compile(r"((?:\\?/|%2F)webhooks?(?:\\?/|%2F))[^\s\"'<>]+", re.I), rf"\1{REDACTED}"),
    (re.compile(r"(\bpostgres\w*(?:\+\w+)?://[^\s:@/]*+:)\S{0,4096}@", re.I), rf"\1{REDACTED}@"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]{1,30}://[^\s:@/]*+:)[^\s@/]{0,4096}@", re.I), rf"\1{REDACTED}@"),
)
_BEARER = re.compile(r"\b(Bearer)\s+[^\s\"',;]+", re.I)

# C0 and C1 controls, marks that reorder or break lines, and halves of surrogate pairs, which no stream can write.
_CONTROL = re.compile(f"[\x00-\x1f\x7f-\x9f{REORDERING}\ud800-\udfff]")
_TRACEBACKS = frozenset({"exception", "stack", "stack_info"})
_BOOKKEEPING = frozenset({"_record", "_from_structlog"})


def redact_text(text: str) -> str:
    """The text without webhook tokens, passwords in addresses and connection strings, and values of secret names."""
    for pattern, replacement in _SPECIFIC:
        text = pattern.sub(replacement, text)
    parts: list[str] = []
    done = 0
    for pair in _PAIR.finditer(text):
        if pair.start() < done or not _is_secret(pair["name"]) or _OUR_WORDS.search(text, *_around(pair)):
            continue
        end = _value_end(text, pair.end(), pair["name"].lower())
        if end > pair.end():
            parts += [text[done : pair.end()], REDACTED]
            done = end
    return _BEARER.sub(rf"\1 {REDACTED}", "".join(parts) + text[done:])


def redact(value: Any) -> Any:
    """A copy of the value without secrets, made of what JSON knows: dicts, lists, texts, numbers, booleans, None.

    What stands under a secret-looking key becomes "[redacted]", at any depth and inside JSON texts too. Bytes and other
    objects become text. At most 10,000 values and 32 levels are kept.
    """
    return _Walk(_redact_string, left=10_000).visit(value)


def configure_logging(
    log_format: Literal["auto", "console", "json"] = "auto",
    level: Literal["debug", "info", "warning", "error"] = "info",
    stream: TextIO | None = None,
) -> None:
    """Send all logs of the process to the stream (None: standard error). A second call replaces the first."""
    stream = stream or sys.stderr
    console = log_format == "console" or (log_format == "auto" and stream.isatty())
    colors = stream.isatty() and sys.platform != "win32"
    renderer: list[Processor] = (
        [
            _indent_tracebacks,
            structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback),
        ]
        if console
        else [structlog.processors.JSONRenderer()]
    )
    handler = _Handler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_COMMON, _redact_event],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    for earlier in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(level.upper())


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module. Key words of a call become fields: `log.info("task sent", task_id=7)`."""
    logger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=_OURS,
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return cast("structlog.stdlib.BoundLogger", logger)


def _around(pair: re.Match[str]) -> tuple[int, int]:
    """Where our own words would stand: up to the end of the name and its colon."""
    return max(0, pair.end("name") - _OUR_LONGEST), pair.end()


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    bare = re.sub("[^a-z0-9]", "", key.lower())
    return bare in _SECRET_WORDS or bare.endswith(("key", "keys")) or _SECRET_PARTS.search(bare) is not None


def _value_end(text: str, start: int, name: str) -> int:
    """Where the value that starts there ends: after its quotes or brackets, else where its name says."""
    quoted = _QUOTED_VALUE.match(text, start)
    if quoted:
        return quoted.end()
    if text.startswith(("[", "{", "("), start):
        return _bracket_end(text, start)
    unquoted = _TO_DELIMITER
    if "cookie" in name or "authorization" in name:
        unquoted = _TO_LINE_END
    elif "pass" in name or "pwd" in name:
        unquoted = _TO_SPACE  # libpq takes everything up to the next space as the password
    found = unquoted.match(text, start)
    return found.end() if found else start


def _bracket_end(text: str, start: int) -> int:
    depth = 0
    for found in _BRACKETS.finditer(text, start):
        depth += (found[0] in "[{(") - (found[0] in "]})")
        if depth == 0:
            return found.end()
    return len(text)


def _redact_string(text: str) -> str:
    if text.lstrip()[:1] in ("{", "[", '"'):
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            return redact_text(text)
        clean = redact(parsed)
        if clean != parsed:
            return json.dumps(clean, ensure_ascii=False)
    return redact_text(text)


def _log_string(text: str) -> str:
    return _one_line(_redact_long(text))


def _redact_long(text: str) -> str:
    if len(text) <= _MAX_SCAN:
        return _redact_string(text)
    # A word at the cut could be half a secret, and half a secret is not recognised.
    kept = text[: 1 + max(text.rfind(space, 0, _MAX_SCAN) for space in " \t\r\n")]
    return f"{_redact_string(kept)}[{len(text) - len(kept)} characters cut]"


def _one_line(text: str) -> str:
    text = _CONTROL.sub(_escaped, text)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}[{len(text) - _MAX_TEXT} characters cut]"


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _log_traceback(text: str) -> str:
    lines = [_CONTROL.sub(_escaped, line) for line in _redact_long(text).split("\n")]
    text = "\n".join(lines)
    over = len(text) - _MAX_TRACEBACK
    half = _MAX_TRACEBACK // 2
    return text if over <= 0 else f"{text[:half]}\n[{over} characters cut]\n{text[-half:]}"


@dataclass(slots=True)
class _Walk:
    """Copies values, each text through `on_text`. `left` bounds the copy, so cycles end too: 1 for a value and 1 for
    every 100 characters."""

    on_text: Callable[[str], str]
    left: int

    def visit(self, value: Any, depth: int = 0) -> Any:
        """The copy of one value."""
        self.left -= 1
        if self.left < 0:
            return "[cut]"
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int(value) if value.bit_length() <= 64 else f"[integer of {value.bit_length()} bits]"
        if isinstance(value, float):
            return float(value) if value - value == 0 else str(float(value))
        if isinstance(value, str):
            return self.text(str.__str__(value))
        if isinstance(value, bytes | bytearray):
            return self.text(_decoded(value))
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            return "[nested too deep]" if depth >= _MAX_DEPTH else self._container(value, depth + 1)
        return self.text(_shown(value))

    def _container(self, value: Any, depth: int) -> Any:
        room = max(self.left, 0)
        cut = len(value) - room
        if isinstance(value, Mapping):
            copied = dict(self.pair(key, each, depth) for key, each in islice(value.items(), room))
            return {**copied, "[cut]": f"{cut} values"} if cut > 0 else copied
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str | bytes):
            return list(self.pair(value[0], value[1], depth))  # a raw header
        items = [self.visit(each, depth) for each in islice(value, room)]
        return [*items, f"[{cut} values cut]"] if cut > 0 else items

    def text(self, text: str) -> str:
        """The copy of one text."""
        clean = self.on_text(text)
        self.left -= len(clean) // 100
        return clean

    def pair(self, key: Any, value: Any, depth: int = 0) -> tuple[str, Any]:
        """One entry of a mapping; the value is not looked at when the key says that it is secret."""
        name = _decoded(key) if isinstance(key, bytes) else key if isinstance(key, str) else _shown(key)
        return self.text(name), REDACTED if _is_secret(name) else self.visit(value, depth)


def _decoded(value: bytes | bytearray) -> str:
    return bytes(value).decode("utf-8", "backslashreplace")


def _shown(value: object) -> str:
    try:
        return repr(value) if isinstance(value, BaseException) else str(value)
    except Exception:  # a broken __str__ must not cost the line
        return f"<{type(value).__name__} that cannot be shown>"


def _redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    walk = _Walk(_log_string, left=500)
    clean: dict[str, Any] = {}
    for key, value in event.items():
        if key in _BOOKKEEPING:
            clean[key] = value
        elif key in _TRACEBACKS and isinstance(value, str):
            clean[key] = _log_traceback(value)
        else:
            name, clean_value = walk.pair(key, value)
            clean[name] = clean_value
    return clean


def _format_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Like the standard library's %-formatting, but arguments that do not fit are kept, not raised at the caller."""
    args = event.pop("positional_args", ())
    try:
        event["event"] = str(event["event"]) % args if args else event["event"]
    except Exception:  # whatever an argument's own __str__ raises
        event["arguments"] = args
    return event


def _indent_tracebacks(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A line inside an exception's text must not pass for a line of the log."""
    for key in _TRACEBACKS & event.keys():
        event[key] = textwrap.indent(str(event[key]), "    ", lambda _line: True)
    return event


class _Handler(logging.StreamHandler[TextIO]):
    """Ours among the handlers of the root logger."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the standard library's name)
        """Say which call failed; the standard library would print its message and arguments unredacted."""
        failure = sys.exc_info()[0]
        place = f"{record.pathname}:{record.lineno}"
        said = f"a log record could not be written: {failure.__name__ if failure else 'unknown'} at {place}"
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(json.dumps({"event": said, "level": "error", "logger": __name__}) + self.terminator)


_COMMON: list[Processor] = [
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]
_OURS: list[Processor] = [
    structlog.stdlib.filter_by_level,
    structlog.contextvars.merge_contextvars,
    _format_event,
    structlog.processors.StackInfoRenderer(),
    *_COMMON,
    _redact_event,
    structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
]
