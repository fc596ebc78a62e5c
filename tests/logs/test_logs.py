"""Logs: no secret and no forged line gets into them, whatever is logged and by whom."""

import io
import json
import logging
import string
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventrouter.logs import configure_logging, get_logger, redact, redact_text

CANARY = "CANARY42"
FORMATS: tuple[Literal["console", "json"], ...] = ("console", "json")
SECRET_KEYS = (
    "token",
    "Secret",
    "db_password",
    "PASSPHRASE",
    "passwd",
    "api_key",
    "apiKey",
    "APCA-API-KEY-ID",
    "x-api.key",
    "Authorization",
    "Set-Cookie",
    "key",
    "license_id",
    "licence",
    "auth_key",
    "sec",
)


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(log_format: Literal["auto", "console", "json"], log: Callable[[], object], level: Any = "debug") -> str:
    """What the call writes in this format."""
    stream = io.StringIO()
    logging.getLogger().handlers.clear()
    configure_logging(log_format, level, stream)
    log()
    return stream.getvalue()


def failing(error: Exception) -> None:
    """Raise it, so that it has a traceback."""
    raise error


def everywhere(value: object) -> str:
    """What is written when a value is logged in every way there is."""

    def log() -> None:
        ours, theirs = get_logger("eventrouter.test"), logging.getLogger("aiohttp.server")
        ours.info("event", value=value)
        ours.info("event %s", value)
        ours.info(str(value))
        theirs.warning("record %s", value)
        theirs.warning("extra", extra={"value": value})
        try:
            try:
                failing(RuntimeError(f"cause: {value!r}"))
            finally:
                failing(ValueError(value))
        except ValueError as error:
            ours.exception("failed", error=error)
            theirs.exception("failed")
            ours.error("failed", problems=[error])
            ours.info("stack", stack_info=True)

    return "".join(logged(each, log) for each in FORMATS)


# what a line looks like


def test_a_json_line_has_the_fields_and_a_utc_time() -> None:
    """One object a line: time, level, logger, event and the call's key words."""
    line = json.loads(
        logged("json", lambda: get_logger("eventrouter.x").warning("sent %d", 3, task_id=7, price=Decimal("1.50")))
    )
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset() == timedelta(0)
    assert line == {"event": "sent 3", "level": "warning", "logger": "eventrouter.x", "task_id": 7, "price": "1.50"}


def test_a_library_line_has_the_same_shape() -> None:
    """aiohttp, psycopg and asyncio log through the same steps."""
    line = json.loads(logged("json", lambda: logging.getLogger("psycopg.pool").error("lost %s", "it")))
    assert {"event": "lost it", "level": "error", "logger": "psycopg.pool"}.items() <= line.items()
    assert "timestamp" in line


def test_auto_is_json_off_a_terminal_and_console_on_one() -> None:
    """A service's log is for machines, a terminal's for people."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    configure_logging("auto", "info", terminal)
    get_logger("eventrouter.x").info("hello")
    assert not terminal.getvalue().startswith("{")
    assert json.loads(logged("auto", lambda: get_logger("eventrouter.x").info("hello")))["event"] == "hello"


def test_the_level_can_change_while_loggers_exist() -> None:
    """Lines below the level are dropped, ours and a library's, and a later choice holds for loggers made before it."""
    ours, theirs = get_logger("eventrouter.x"), logging.getLogger("aiohttp")

    def log() -> None:
        ours.info("quiet")
        theirs.info("quiet")
        ours.error("loud")

    assert "quiet" not in logged("json", log, "error")
    assert logged("json", log, "info").count("quiet") == 2


def test_a_second_choice_replaces_the_first() -> None:
    """No line is written twice."""
    first, second = io.StringIO(), io.StringIO()
    configure_logging("json", "info", first)
    configure_logging("json", "info", second)
    get_logger("eventrouter.x").info("once")
    assert (first.getvalue().count("once"), second.getvalue().count("once")) == (0, 1)


def test_a_traceback_shows_no_local_variables() -> None:
    """The call stack and the message are there, the values of the frame are not."""

    def fail() -> None:
        balance = "".join(reversed(CANARY))
        try:
            failing(KeyError(len(balance)))
        except KeyError:
            get_logger("eventrouter.x").exception("failed")

    for log_format in FORMATS:
        text = logged(log_format, fail)
        assert "KeyError: 8" in text
        assert CANARY[::-1] not in text


# secrets


def test_secret_keys_are_cut_at_every_depth() -> None:
    """Case and separators do not matter; what is no secret stays."""
    value = {
        "a": [{"API-Key": {"x": CANARY}, "n": 1}],
        "b": json.dumps({"token": CANARY, "qty": 2}),
        "c": (b"Cookie", CANARY),
    }
    assert redact(value) == {
        "a": [{"API-Key": "[redacted]", "n": 1}],
        "b": '{"token": "[redacted]", "qty": 2}',
        "c": ["Cookie", "[redacted]"],
    }


@pytest.mark.parametrize("key", SECRET_KEYS)
@pytest.mark.parametrize(
    "form",
    ['{{"{0}": "{1}"', "{{'{0}': b'{1}'", "?{0}={1}&a=b", "{0}: {1}", "a=b;{0}={1};c=d", '{{\\"{0}\\":\\"{1}\\"}}'],
)
def test_secret_names_in_plain_text_are_cut(key: str, form: str) -> None:
    """A body that is no JSON, a query, a header line, the repr of a dict."""
    assert CANARY not in redact_text(form.format(key, CANARY))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"POST /webhook/abc-_9 HTTP/1.1" 401', '"POST /webhook/[redacted] HTTP/1.1" 401'),
        ("https://h.example/webhook/abc/def?x=1 refused", "https://h.example/webhook/[redacted] refused"),
        ("postgresql://u:p@ss/w'rd@h:5432/d?x=1 is down", "postgresql://u:[redacted]@h:5432/d?x=1 is down"),
        ("postgres://u@h/d", "postgres://u@h/d"),
        ("see http://127.0.0.1:8080/a@b", "see http://127.0.0.1:8080/a@b"),
        ("https://me:pw@h/x", "https://me:[redacted]@h/x"),
        ("host=h password=a;b'c\\ d dbname=x", "host=h password=[redacted] dbname=x"),
        ("password = 'it''s \\'me\\'' user=u", "password = [redacted] user=u"),
        ("got Bearer abc.def, then 401", "got Bearer [redacted], then 401"),
        ("Authorization: Basic dXNlcjpwdw==\nHost: h", "Authorization: [redacted]\nHost: h"),
        ("Cookie: a=1; b=2", "Cookie: [redacted]"),
        ("tokens=[{'a': ['x]', 1]}, 'y'] and more", "tokens=[redacted] and more"),
        ("key=abc;\ncommand=PLACE;", "key=[redacted];\ncommand=PLACE;"),
        ("signal=closelong,symbol=EURUSD,secret=abc", "signal=closelong,symbol=EURUSD,secret=[redacted]"),
        ("%7B%22passphrase%22%3A%22abc%22%2C", "%7B%22passphrase%22%3A[redacted]%2C"),
        ("Key (task_id, seq)=(1, 2) already exists", "Key (task_id, seq)=(1, 2) already exists"),
        ("KeyError: 'lane'", "KeyError: 'lane'"),
        ("task 7: PENDING -> SENDING at 12:30:00", "task 7: PENDING -> SENDING at 12:30:00"),
    ],
)
def test_only_the_secret_is_cut_from_a_text(text: str, expected: str) -> None:
    """What a person needs to understand the line stays."""
    assert redact_text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "NO_CREDENTIALS: Account real has no credentials: run eventrouter credentials set real.",
        "NO_KEY: There is no master key: set EVENTROUTER_MASTER_KEY to 32 random bytes in base64.",
        "WRONG_KEY: The credentials of account real were encrypted with another master key: give the service that key again.",
        "BAD_KEY: EVENTROUTER_MASTER_KEY holds no master key: it must be 32 random bytes in base64.",
        "The broker refused the login: Auth/loginKey: InvalidCredentials: Invalid credentials.",
    ],
)
def test_our_own_words_stay(text: str) -> None:
    """A message that says what to do is whole, in a field and in the event; a value beside our words is cut all the same."""
    assert redact_text(text) == text
    written = logged("json", lambda: get_logger("eventrouter.x").error(text, error=text))
    assert written.count(text) == 2
    assert CANARY not in redact_text(f"{text} loginKey: {CANARY}, no_credentials: {CANARY}, NO_KEY={CANARY}")


secrets = st.text(alphabet=string.ascii_letters + string.digits + "-_", max_size=20).map(
    lambda text: text + CANARY + text
)
any_text = st.text(st.characters(exclude_categories=()), max_size=20)


def wrapped(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """The value one level deeper: in a mapping, a list, a tuple, or as JSON text."""
    return st.one_of(
        st.tuples(any_text, inner).map(lambda pair: {pair[0]: pair[1]}),
        st.tuples(any_text, inner, any_text).map(list),
        st.tuples(st.integers(), inner),
        inner.map(lambda value: json.dumps(value)),
    )


secret_entries = st.tuples(
    st.sampled_from(SECRET_KEYS),
    any_text.flatmap(lambda text: st.sampled_from([text + CANARY, CANARY + text, [CANARY], {text: CANARY}])),
).map(lambda entry: {entry[0]: entry[1]})


@given(value=st.recursive(secret_entries, wrapped, max_leaves=8))
def test_what_stands_under_a_secret_key_never_gets_out(value: object) -> None:
    """However deep it lies and however it is logged: as a field, in a message, in an exception, by a library."""
    assert CANARY not in everywhere(value)


@given(secret=secrets, before=any_text, after=any_text)
def test_secrets_in_texts_never_get_out(secret: str, before: str, after: str) -> None:
    """Webhook addresses, Postgres addresses, connection strings and bearer tokens, in any surroundings."""
    for text in (
        f"{before}/webhook/{secret} {after}",
        f"{before} postgresql://u:{secret}@h/d {after}",
        f"{before} host=h password={secret} {after}",
        f"{before} Bearer {secret} {after}",
    ):
        assert CANARY not in everywhere(text)


def test_a_body_of_many_secrets_is_redacted_in_time() -> None:
    """No text, however hostile, costs more than a linear search."""
    for text in (
        "x" * 65_000 + " y" * 5_000,
        "token=" * 20_000,
        "a-" * 40_000,
        "postgres://a:" * 5_000,
        "[" * 60_000,
        '"token": [' * 6_000,
        "key='" * 12_000,
    ):
        started = time.perf_counter()
        everywhere(text)
        assert time.perf_counter() - started < 5


# hostile values


@given(text=any_text, log_format=st.sampled_from(FORMATS))
def test_a_value_cannot_forge_a_line(text: str, log_format: Literal["console", "json"]) -> None:
    """Line breaks, NUL and escape sequences in a value are written as escapes."""
    written = logged(log_format, lambda: get_logger("eventrouter.x").info(text, value=text, **{f"k{text}": 1}))
    assert written.count("\n") == 1
    assert written[:-1].isprintable() or not any(
        character < " " or "\x7f" <= character < "\xa0" for character in written[:-1]
    )
    written.encode("utf-8")


def test_an_exception_cannot_forge_a_line() -> None:
    """On the console the lines of a traceback are indented, so none of them can pass for a line of the log."""

    def log() -> None:
        try:
            failing(ValueError("x\n2026-11-22T00:00:00Z [info] forged\x1b[2J"))
        except ValueError:
            get_logger("eventrouter.x").exception("failed")

    lines = logged("console", log).splitlines()
    assert all(line.startswith("    ") for line in lines[1:])
    assert "\x1b" not in "".join(lines)
    assert len(logged("json", log).splitlines()) == 1


def test_long_texts_are_cut_and_say_so() -> None:
    """2,000 characters of a value; of a traceback both ends."""

    def log() -> None:
        get_logger("eventrouter.x").info("a" * 2_500, blob=b"b" * 100_000)
        try:
            failing(ValueError("c " * 20_000 + "the end"))
        except ValueError:
            get_logger("eventrouter.x").exception("failed")

    first, second = (json.loads(line) for line in logged("json", log).splitlines())
    assert first["event"] == "a" * 2_000 + "[500 characters cut]"
    assert first["blob"] == "[100000 characters cut]"
    assert second["exception"].endswith("the end")
    assert second["exception"].startswith("Traceback")
    assert "characters cut]" in second["exception"]
    assert len(second["exception"]) < 11_000


class Broken:
    """An object that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError(CANARY)


@pytest.mark.parametrize("log_format", FORMATS)
def test_unusual_values_never_stop_a_line(log_format: Literal["console", "json"]) -> None:
    """Cycles, deep nesting, huge numbers, NaN and objects that cannot be shown are written, briefly."""
    cycle: list[object] = []
    cycle.extend([cycle] * 50)
    deep: object = {"token": CANARY}
    for _ in range(200):
        deep = {"a": [deep]}
    unusual = {"cycle": cycle, "deep": deep, "nan": float("nan"), "broken": Broken(), "many": ["x" * 3_000] * 1_000}

    def log() -> None:
        get_logger("eventrouter.x").info("unusual", **unusual, big=10**5000)
        get_logger("eventrouter.x").info("%s of %s", Broken(), 10**5000)
        get_logger("eventrouter.x").info("%s %s", "one argument is missing")

    written = logged(log_format, log)
    assert written.count("\n") == 3
    assert "<Broken that cannot be shown>" in written
    assert "[integer of 16610 bits]" in written
    assert len(written) < 100_000
    assert CANARY not in written


def test_what_redact_returns_is_ready_for_json() -> None:
    """Whatever goes in, only what JSON knows comes out."""
    value = {
        "n": 10**5000,
        "f": float("inf"),
        "ok": (True, None, 1.5),
        b"bytes": b"\xff",
        7: Decimal("1.10"),
        "set": {1},
    }
    assert redact(value) == {
        "n": "[integer of 16610 bits]",
        "f": "inf",
        "ok": [True, None, 1.5],
        "bytes": "\\xff",
        "7": "1.10",
        "set": [1],
    }


def test_a_record_that_cannot_be_written_does_not_show_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong number of arguments is reported by place only."""
    text = logged("json", lambda: logging.getLogger("aiohttp").error("%s %s", CANARY))
    assert "could not be written: TypeError at " in json.loads(text)["event"]
    assert CANARY not in text + "".join(capsys.readouterr())


def test_other_handlers_get_redacted_lines_too(caplog: pytest.LogCaptureFixture) -> None:
    """An application that embeds the router and has handlers of its own sees no secret either."""
    configure_logging("json", "debug", io.StringIO())
    get_logger("eventrouter.x").info("/webhook/" + CANARY, token=CANARY)
    assert CANARY not in caplog.text
    assert "[redacted]" in caplog.text
