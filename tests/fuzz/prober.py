"""Posts generated alerts to a running service and looks at everything that came of each: answer, row, tasks, log, history."""

import asyncio
import base64
import json
import logging
import math
import re
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from eventrouter.domain.parsers import MOST_BYTES, read_alert
from eventrouter.domain.refusals import REFUSALS
from eventrouter.store.connect import Database
from eventrouter.store.history import verify
from tests.fuzz.posts import Post
from tests.processes import until_async
from tests.web.live_site import Site, exchange

ANSWERS = frozenset({200, 400, 401, 408, 413, 422})
"""What the webhook may say while Postgres is there."""
_EXPECTED_WARNINGS = frozenset({"alert_refused", "token_unknown"})
_NEVER = frozenset({"READING_FAILED", "NOT_STORABLE"})
_NUMBERS = ("quantity", "entry_price", "exit_price", "limit_price", "stop_price", "stop_loss", "take_profit", "trail")
_FAULTS = ("BAD_PAYLOAD", "UNKNOWN_EVENT", "UNKNOWN_OUTCOME", "NOT_SENT", "REJECTED")
_SIGNALS = (
    "SELECT id, headers ->> 'X-Request-Id' AS request, strategy, trade_id, event_type, code, message, field, raw, duplicate_of,"
    " signal_uid, s::TEXT AS everything FROM automated_signals s WHERE id > %s ORDER BY id"
)
_TASKS = "SELECT id, signal_id, trade_id, event_type, account, payload::TEXT AS payload FROM execution_tasks WHERE id > %s ORDER BY id"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service said: status, content type and text."""

    status: int
    content_type: str
    text: str

    def said(self) -> dict[str, Any]:
        """Its JSON object, or an empty one."""
        try:
            value = json.loads(self.text)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be, and the body that caused it, as far as that is known."""

    what: str
    family: str = ""
    raw: bytes = b""
    answer: str = ""

    def __str__(self) -> str:
        body = base64.b64encode(self.raw).decode()
        return f"{self.what} [{self.family}] answer: {self.answer[:300]} body: {body}"


class Faults(logging.Handler):
    """Collects warnings and errors that no alert may cause, from our loggers and from those of libraries."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line that is not expected."""
        event = record.msg if isinstance(record.msg, Mapping) else {}
        if event.get("event") not in _EXPECTED_WARNINGS:
            exception = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
            self.lines.append(f"{str(event) if event else record.getMessage()} {exception}"[-3000:])

    @contextmanager
    def watching(self) -> Iterator["Faults"]:
        """On the root logger, while the block lasts."""
        logging.getLogger().addHandler(self)
        try:
            yield self
        finally:
            logging.getLogger().removeHandler(self)


@dataclass(slots=True)
class Prober:
    """One site, the owner's view of its database, and what was found so far."""

    site: Site
    sql: psycopg.Connection[Any]
    faults: Faults
    findings: list[Finding] = field(default_factory=list)
    figures: Counter[tuple[str, int]] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    _signal: int = 0
    _task: int = 0

    async def probe(self, posts: Sequence[Post]) -> list[Finding]:
        """Posts these at once and checks each; what was found new."""
        before = len(self.findings)
        answers = await asyncio.gather(*(self._send(post) for post in posts))
        rows = self._rows(_SIGNALS, self._signal)
        tasks = self._rows(_TASKS, self._task)
        self._signal = max([self._signal, *(row.id for row in rows)])
        self._task = max([self._task, *(task.id for task in tasks)])
        for post, answer in zip(posts, answers, strict=True):
            self.figures[post.family, answer.status] += 1
            self.codes[str(answer.said().get("code", "accepted" if answer.status == 200 else "no code"))] += 1
            own = [row for row in rows if row.request == post.headers["X-Request-Id"]]
            for what in [*_answer_faults(post, answer), *_row_faults(post, answer, own, tasks)]:
                self.findings.append(Finding(what, post.family, post.raw, answer.text))
        sent = {post.headers["X-Request-Id"] for post in posts}
        self.findings += [Finding("a row of no post", raw=bytes(row.raw)) for row in rows if row.request not in sent]
        for task in tasks:
            raw = next((bytes(row.raw) for row in rows if row.id == task.signal_id), b"")
            self.findings += [Finding(what, "task", raw, task.payload) for what in payload_faults(task.payload)]
        self._take_faults(posts)
        return self.findings[before:]

    async def odd(self, request: bytes) -> None:
        """Sends bytes that are hardly HTTP: the answer blames the sender."""
        status, answer = await exchange(self.site.public_address, request)
        self.figures["odd requests", status] += 1
        if status >= 500:
            self.findings.append(
                Finding(f"status {status}", "odd requests", request, answer.decode("utf-8", "replace"))
            )
        self._signal = max([self._signal, *(row.id for row in self._rows(_SIGNALS, self._signal))])
        self._take_faults([])

    async def settle(self, within_s: float = 120.0) -> None:
        """Lets the router work off every task, then looks whether each came to a sound end and the history is whole."""

        async def done() -> bool:
            return (
                self._count("SELECT count(*) FROM execution_tasks WHERE status IN ('PENDING', 'SENDING', 'UNKNOWN')")
                == 0
            )

        try:
            await until_async(done, within_s=within_s, what="an end of all tasks")
        except TimeoutError:
            stuck = "SELECT id, status, event_type, payload::TEXT AS payload, last_error FROM execution_tasks"
            rows = self.sql.execute(f"{stuck} WHERE status IN ('PENDING', 'SENDING', 'UNKNOWN') LIMIT 20").fetchall()
            self.findings += [Finding("a task has no end", answer=str(row)) for row in rows]
        rows = self.sql.execute(
            "SELECT l.reason, l.status, l.message, s.raw FROM execution_logs l JOIN execution_tasks t ON t.id = l.task_id"
            " JOIN automated_signals s ON s.id = t.signal_id WHERE l.reason = ANY (%s) OR l.status IN ('FAILED', 'REVIEW')"
            " ORDER BY l.id LIMIT 50",
            [list(_FAULTS)],
        ).fetchall()
        self.findings += [Finding(f"{reason}: {message}", "router", bytes(raw)) for reason, _, message, raw in rows]
        async for violation in self._violations():
            self.findings.append(Finding(f"verify: {violation}"))
        self._take_faults([])

    async def _violations(self) -> AsyncIterator[str]:
        assert self.site.service.opened is not None
        database: Database = self.site.service.opened.database
        async with await database.connect("verify") as conn:
            for violation in (await verify(conn)).violations:
                yield str(violation)

    async def _send(self, post: Post) -> Answer:
        data: Any = _chunks(post.sent) if post.chunked else post.sent
        url = self.site.public(post.path)
        async with self.site.session.post(
            url, data=data, headers=post.headers, skip_auto_headers=("Content-Type",)
        ) as answer:
            return Answer(answer.status, answer.content_type, (await answer.read()).decode("utf-8", "replace"))

    def _take_faults(self, posts: Sequence[Post]) -> None:
        """Turns what was logged into findings; any of the batch's bodies may be the cause."""
        causes = b"\n\n".join(post.raw for post in posts)
        self.findings += [Finding(f"logged: {line}", f"one of {len(posts)}", causes) for line in self.faults.lines]
        self.faults.lines.clear()

    def _rows(self, statement: str, after: int) -> list[Any]:
        with self.sql.cursor(row_factory=namedtuple_row) as cursor:
            return cursor.execute(statement, [after]).fetchall()

    def _count(self, statement: str) -> int:
        row = self.sql.execute(statement).fetchone()
        assert row is not None
        return int(row[0])


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 4096):
        yield data[start : start + 4096]


def _answer_faults(post: Post, answer: Answer) -> Iterator[str]:
    """What is wrong with an answer."""
    if answer.status not in ANSWERS:
        yield f"status {answer.status}"
    if not (post.broken and answer.status == 400):  # that one aiohttp may have answered before we heard of it
        if answer.content_type != "application/json":
            yield f"the answer is {answer.content_type}"
        yield from _shape_faults(answer.status, answer.said())
    if post.token in answer.text:
        yield "the token is in the answer"
    if post.known and answer.status not in (200, 422):
        yield f"an alert of a known sender was answered {answer.status}"
    if len(post.raw) > MOST_BYTES and not post.broken and post.place in ("path", "both") and answer.status != 413:
        yield f"a body that is too large was answered {answer.status}"


def _shape_faults(status: int, said: Mapping[str, Any]) -> Iterator[str]:
    if status == 200:
        types = {"signal_id": int, "trade_id": str, "event_type": str, "duplicate": bool, "tasks": list}
        fits = all(isinstance(said.get(name), kind) for name, kind in types.items())
        if not fits or said.keys() - types.keys() > {"notes"}:
            yield "a 200 of another shape"
        return
    code = said.get("code")
    if not (isinstance(code, str) and isinstance(said.get("message"), str) and said["message"]):
        yield "a refusal without code or message"
    elif status == 422 and (code not in REFUSALS or code in _NEVER):
        yield f"the code {code}"
    if not isinstance(said.get("field", "x"), str):
        yield "a field that is no text"


def _row_faults(post: Post, answer: Answer, rows: Sequence[Any], tasks: Sequence[Any]) -> Iterator[str]:
    """What is wrong with what was stored of a post: one row for a 200 and a 422, else none."""
    wanted = int(answer.status in (200, 422))
    if len(rows) != wanted:
        yield f"{len(rows)} rows for an answer of {answer.status}"
    if len(rows) != 1 or not wanted:
        return
    row, said = rows[0], answer.said()
    if not post.broken:  # what is made of a broken one nobody can say
        yield from _raw_faults(post, bytes(row.raw))
    if post.token in row.everything:
        yield "the token is in the row"
    if row.strategy != post.strategy:
        yield f"stored for {row.strategy}"
    if (row.code, row.message, row.field) != tuple(said.get(name) for name in ("code", "message", "field")):
        yield f"stored as {row.code} {row.message} {row.field}"
    own = [task for task in tasks if task.signal_id == row.id]
    if answer.status == 200:
        yield from _task_faults(said, row, own)
    elif own:
        yield "a refused alert has tasks"


def _raw_faults(post: Post, raw: bytes) -> Iterator[str]:
    reading = read_alert(post.raw, known_secrets=(post.token,))
    token = post.token.encode()
    if raw != reading.redacted:
        yield "the row has other bytes than the redacted body"
    if not reading.secrets and token not in post.raw.replace(b"\0", b"") and raw != post.raw:
        yield "the row has other bytes than the body, which holds no secret"
    if token in raw.replace(b"\0", b""):
        yield "the token is in the row"


def _task_faults(said: Mapping[str, Any], row: Any, own: Sequence[Any]) -> Iterator[str]:
    if said["duplicate"] is not (row.duplicate_of is not None):
        yield "answer and row do not agree on a duplicate"
    if (said["trade_id"], said["event_type"]) != (row.trade_id, row.event_type):
        yield "answer and row name other trades"
    if said["duplicate"]:
        if own:
            yield "a duplicate has tasks"
        return
    if said["signal_id"] != row.id or said["tasks"] != [task.id for task in own]:
        yield "the answer names other tasks than there are"
    if not own:
        yield "an accepted alert without a task"


def payload_faults(payload: str) -> Iterator[str]:
    """What is wrong with a task's payload: a NaN, a quantity or price that is not above zero, a text that holds a NUL."""
    try:
        values = json.loads(payload, parse_float=Decimal, parse_constant=_no_number)
    except ValueError as error:
        yield f"a payload that is no JSON: {error}"
        return
    for name in _NUMBERS:
        value = values.get(name)
        if isinstance(value, Mapping):
            value = value.get("value")
        if value is None and name not in values:
            continue
        if isinstance(value, bool) or not isinstance(value, int | Decimal) or not math.isfinite(value) or value <= 0:
            yield f"{name} of a payload is {value!r}"
    if re.search(r"nan|infinity", payload, re.IGNORECASE) and re.search(r":\s*-?(NaN|Infinity)", payload):
        yield "a payload with a NaN"


def _no_number(word: str) -> Any:
    raise ValueError(word)
