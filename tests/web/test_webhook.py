"""The webhook: every answer, what stands in the database when it arrives, and no secret anywhere."""

import asyncio
import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from unittest.mock import AsyncMock

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventrouter.domain.parsers import MOST_BYTES, read_alert
from eventrouter.errors import StoreUnavailable
from eventrouter.logs import configure_logging
from eventrouter.web import tokens, webhook
from tests.web.live_site import ENTRY, EXIT, Site, configuration, exchange, request, running

Sql = psycopg.Connection[Any]
CANARY = "CANARY-5b1f"


def stored(sql: Sql, columns: str = "raw") -> list[tuple[Any, ...]]:
    """These columns of every signal, in order."""
    return sql.execute(f"SELECT {columns} FROM automated_signals ORDER BY id").fetchall()


# what is stored


@pytest.mark.parametrize(
    ("alert", "event_type"), [(ENTRY, "ENTRY"), (EXIT, "EXIT_BE"), ({**EXIT, "exit_type": "SL"}, "EXIT_SL")]
)
async def test_an_alert_is_answered_after_its_commit(
    site: Site, token: str, sql: Sql, alert: dict[str, Any], event_type: str
) -> None:
    """A 200 names the signal and its one task, and both stand in the database with the task's first log row."""
    status, answer = await site.alert(token, alert)
    task = sql.execute(
        "SELECT t.id, t.trade_id, t.event_type, t.status, t.attempts, t.account, t.mode, t.signal_id, t.payload, l.status, s.raw, s.strategy"
        " FROM execution_tasks t JOIN execution_logs l ON l.task_id = t.id AND l.seq = 1 JOIN automated_signals s ON s.id = t.signal_id"
    ).fetchall()
    signal_id, task_id = answer["signal_id"], answer["tasks"][0]
    assert (status, answer) == (
        200,
        {"signal_id": signal_id, "trade_id": "T-100", "event_type": event_type, "duplicate": False, "tasks": [task_id]},
    )
    payload = {**alert, "strategy": "orb"}
    del payload["trade_id"]
    raw = json.dumps(alert).encode()
    assert task == [
        (task_id, "T-100", event_type, "PENDING", 0, "paper", "dry", signal_id, payload, "PENDING", raw, "orb")
    ]


async def test_an_exit_without_a_symbol_joins_its_entrys_lane(site: Site, token: str, sql: Sql) -> None:
    """Entry and exit of a trade never run past each other."""
    await site.alert(token, ENTRY)
    await site.alert(token, EXIT)
    assert sql.execute("SELECT DISTINCT lane FROM execution_tasks").fetchall() == [("paper/NQ",)]


async def test_the_content_type_does_not_matter(site: Site, token: str) -> None:
    """TradingView sends text/plain for what it cannot parse; the body alone decides."""
    for content_type in ("text/plain; charset=utf-8", "application/json", "", "nonsense"):
        status, _ = await site.alert(token, ENTRY, headers={"Content-Type": content_type})
        assert (content_type, status) == (content_type, 200)


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"", "BODY_EMPTY", None),
        (b"hello MNQ", "FORMAT_UNKNOWN", None),
        (b'{"kind": "ENTRY"', "BODY_NOT_JSON", None),
        (b"\xff\xfe\x00{", "BODY_NOT_UTF8", None),
        (b"[]", "BODY_NOT_OBJECT", None),
        (b'{"kind": "ENTRY", "direction": "LONG"}', "FIELD_MISSING", "trade_id"),
        (b'{"kind": "HOLD", "trade_id": "T"}', "KIND_UNKNOWN", "kind"),
        (b'{"kind": "ENTRY", "trade_id": "T", "direction": "{{x}}"}', "PLACEHOLDER", "direction"),
        (json.dumps({**ENTRY, "strategy": "other"}).encode(), "STRATEGY_MISMATCH", "strategy"),
    ],
)
async def test_a_refused_alert_is_kept(
    site: Site, token: str, sql: Sql, body: bytes, code: str, field: str | None
) -> None:
    """A 422 says code, message and field, and the bytes are stored as they came, without a task."""
    status, answer = await site.alert(token, body)
    assert (status, answer["code"], answer.get("field")) == (422, code, field)
    assert stored(sql, "raw, code, message, field") == [(body, code, answer["message"], field)]
    assert sql.execute("SELECT count(*) FROM execution_tasks").fetchone() == (0,)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(10**60), 10**60) | st.decimals().map(str) | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=3,
)
fields = st.sampled_from([*ENTRY, *EXIT, "quantity", "strategy", "another"])
alerts = st.builds(
    lambda base, field, value: json.dumps({**base, field: value}).encode(),
    st.sampled_from([ENTRY, EXIT]),
    fields,
    json_values,
)
edges = st.sampled_from([b"", b" ", b"\n", b"\0", b"\xef\xbb\xbf", b"}"])
framed = st.builds(lambda before, body, after: before + body + after, edges, alerts, edges)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=alerts | framed | st.binary(max_size=100))
async def test_any_body_is_stored(site: Site, token: str, sql: Sql, body: bytes) -> None:
    """Whatever the bytes are, the answer is 200 or 422 and the signal is there."""
    status, answer = await site.alert(token, body)
    raw, code = stored(sql, "raw, code")[-1]
    assert (raw, code) == (read_alert(body, known_secrets=(token,)).redacted, answer.get("code"))
    assert status == (200 if code is None else 422)


# how it is sent


@pytest.mark.parametrize("announced", [True, False], ids=["Content-Length", "chunked"])
@pytest.mark.parametrize(("size", "expected"), [(MOST_BYTES, 422), (MOST_BYTES + 1, 413), (10 * MOST_BYTES, 413)])
async def test_a_body_over_64_kib_is_refused(
    site: Site, token: str, sql: Sql, announced: bool, size: int, expected: int
) -> None:
    """64 KiB are read, one byte more is not, whether the sender says the length or not."""
    body = b"x" * size

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, size, 8192):
            yield body[start : start + 8192]

    async with site.session.post(site.public(f"/webhook/{token}"), data=body if announced else chunks()) as answer:
        assert (answer.status, (await answer.json())["code"]) == (
            expected,
            "BODY_TOO_LARGE" if expected == 413 else "FORMAT_UNKNOWN",
        )
    assert len(stored(sql)) == (expected == 422)


async def test_a_small_body_cannot_unfold_into_a_large_one(site: Site, token: str) -> None:
    """The limit counts what a compressed body becomes."""
    bomb = zlib.compress(b" " * 100 * MOST_BYTES)
    assert len(bomb) < MOST_BYTES
    status, answer = await exchange(
        site.public_address, request(f"/webhook/{token}", bomb, Content_Encoding=b"deflate")
    )
    assert (status, b"BODY_TOO_LARGE" in answer) == (413, True)


@pytest.mark.parametrize(
    ("coding", "encode", "expected"),
    [
        ("gzip", gzip.compress, {400}),
        ("GZIP", gzip.compress, {400}),
        ("deflate", zlib.compress, {400}),
        ("utf-8", bytes, {200, 422}),
        ("identity", bytes, {200, 422}),
    ],
)
async def test_a_coded_body_that_is_cut_off_becomes_no_other_order(
    site: Site, token: str, sql: Sql, coding: str, encode: Callable[[bytes], bytes], expected: set[int]
) -> None:
    """The start of an order may be an order, of another size; that its end is missing must be noticed."""
    coded = encode(b"buy MNQ1! q=10")
    for end in range(len(coded) - 8, len(coded)):
        sent = request(f"/webhook/{token}", coded[:end], Content_Encoding=coding.encode())
        status, _ = await exchange(site.public_address, sent)
        assert status in expected
    assert bool(stored(sql)) is (200 in expected)


async def test_a_body_that_does_not_come_is_given_up(
    site: Site, token: str, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender that drips gets 408 and holds nobody else up."""
    monkeypatch.setattr(webhook, "_BODY_WITHIN_S", 0.3)
    reader, writer = await asyncio.open_connection(site.public_address.host, site.public_address.port)
    writer.write(f"POST /webhook/{token} HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{{".encode())

    async def drip() -> None:
        while True:
            writer.write(b" ")
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    assert (await site.alert(token, ENTRY))[0] == 200
    head = await reader.readuntil(b"\r\n\r\n")
    dripping.cancel()
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"BODY_SLOW" in await reader.readuntil(b"}")
    writer.close()
    assert len(stored(sql)) == 1


@pytest.mark.parametrize(
    "broken",
    [
        b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"Content-Encoding: gzip\r\nContent-Length: 8\r\n\r\nnonsense",
    ],
    ids=["chunks", "gzip"],
)
async def test_a_body_that_cannot_be_read_is_the_senders_fault(site: Site, token: str, broken: bytes) -> None:
    """A framing or compression error is answered with a 4xx: sending the same again cannot help."""
    head = f"POST /webhook/{token} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n".encode()
    status, _ = await exchange(site.public_address, head + broken)
    assert 400 <= status < 500


@pytest.mark.parametrize(
    ("header", "value"),
    [("User_Agent", b"caf\xe9"), ("Content_Type", b"text/plain; x=\xff"), ("X_Request_Id", b"\xed\xa0\x80")],
)
async def test_a_header_costs_nobody_an_alert(site: Site, token: str, sql: Sql, header: str, value: bytes) -> None:
    """Header bytes that are no text stop neither their own alert nor those of the same commit."""
    path = f"/webhook/{token}"
    bodies = [json.dumps({**ENTRY, "trade_id": f"T-{number}"}).encode() for number in range(3)]
    hostile = [{}, {header: value}, {}]
    requests = [request(path, body, **more) for body, more in zip(bodies, hostile, strict=True)]
    answers = await asyncio.gather(*(exchange(site.public_address, each) for each in requests))
    assert [status for status, _ in answers] == [200, 200, 200]
    assert sorted(stored(sql)) == [(body,) for body in bodies]


async def test_other_requests_have_the_same_error_shape(site: Site) -> None:
    """405, 404 and 401 are JSON with code and message too; a 405 says which methods there are."""
    wrong = [("GET", "x", 405), ("PUT", "x", 405), ("GET", "", 405), ("POST", "", 401), ("POST", "x/y", 404)]
    for method, path, expected in wrong:
        async with site.session.request(method, site.public(f"/webhook/{path}")) as answer:
            assert (method, path, answer.status) == (method, path, expected)
            assert answer.headers.get("Allow") == ("POST" if expected == 405 else None)
            assert (await answer.json()).keys() == {"code", "message"}


async def test_the_public_listener_shows_nothing(site: Site) -> None:
    """Only the webhook and /healthz answer there; the operator's pages do not."""
    pages = [
        "",
        "api/tasks",
        "api/signals",
        "api/accounts",
        "api/dead-letters",
        "api/events",
        "ws",
        "metrics",
        "readyz",
    ]
    for path in pages:
        async with site.session.get(site.public(f"/{path}")) as answer:
            assert (path, answer.status) == (path, 404)
    async with site.session.get(site.public("/healthz")) as answer:
        assert answer.status == 200


# who may send


async def test_an_unknown_token_stores_nothing(site: Site, sql: Sql) -> None:
    """401, whatever the body is."""
    status, answer = await site.alert("not-a-token", ENTRY)
    assert (status, answer["code"], stored(sql)) == (401, "TOKEN_UNKNOWN", [])


async def test_a_new_token_works_at_once(site: Site, token: str) -> None:
    """Also right after another alert or a wrong guess, which made the service look the tokens up."""
    await site.alert(token, ENTRY)
    await site.alert("not-a-token", ENTRY)
    status, _ = await site.alert(await site.token("fresh"), ENTRY)
    assert status == 200


async def test_a_revoked_token_ends(site: Site, token: str, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the service has looked again, the token is unknown."""
    assert (await site.alert(token, ENTRY))[0] == 200
    monkeypatch.setattr(tokens, "_FRESH_S", 0.0)
    sql.execute("UPDATE strategy_tokens SET revoked_at = now()")
    assert (await site.alert(token, ENTRY))[0] == 401


# many at once


@pytest.mark.parametrize("most", [2000, 20])
async def test_a_thousand_alerts_at_once(dsn: str, sql: Sql, most: int) -> None:
    """Each alert answered 200 is stored exactly once; every other one got a clear 503 and may be sent again."""
    async with running(configuration(dsn, server={"max_requests": most}), with_router=False) as site:
        token = await site.token()

        async def send(number: int) -> tuple[int, str | None, dict[str, Any]]:
            body = json.dumps({**ENTRY, "trade_id": f"T-{number}"})
            async with site.session.post(site.public(f"/webhook/{token}"), data=body) as answer:
                return answer.status, answer.headers.get("Retry-After"), await answer.json()

        answers = await asyncio.gather(*(send(number) for number in range(1000)))
    accepted = {f"T-{number}" for number, (status, _, _) in enumerate(answers) if status == 200}
    refused = [answer for answer in answers if answer[0] != 200]
    assert Counter(trade for (trade,) in stored(sql, "trade_id")) == dict.fromkeys(accepted, 1)
    assert (
        sql.execute("SELECT count(*), count(DISTINCT trade_id) FROM execution_tasks").fetchone() == (len(accepted),) * 2
    )
    assert {(status, retry_after, body["code"]) for status, retry_after, body in refused} <= {(503, "5", "TOO_MANY")}
    assert len(refused) == 0 if most > 1000 else 0 < len(refused) < 1000


# secrets


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that the process logs, down to debug."""
    stream = io.StringIO()
    configure_logging("json", "debug", stream)
    yield stream
    configure_logging("console", "warning")


async def test_secrets_stay_where_they_are(
    site: Site, token: str, sql: Sql, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token and a sender's credentials are in no log line, no table and no answer, whatever goes wrong."""
    canary = CANARY.encode()
    headers = {"Authorization": b"Bearer " + canary, "Cookie": b"sid=" + canary, "X_Api_Key": canary}
    said = b""
    for secret in (CANARY, token, f"{token}?key={CANARY}", f"{token}/{CANARY}"):
        for body in (json.dumps(ENTRY).encode(), b"nonsense", b"x" * (MOST_BYTES + 1)):
            said += (await exchange(site.public_address, request(f"/webhook/{secret}", body, **headers)))[1]
    for failure in (RuntimeError(f"/webhook/{token}"), StoreUnavailable("away")):
        monkeypatch.setattr(site.service.context.ingest, "accept", AsyncMock(side_effect=failure))
        said += (await exchange(site.public_address, request(f"/webhook/{token}", b"{}", **headers)))[1]
    tables = sql.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'").fetchall()
    rows = [str(sql.execute(f"SELECT t::TEXT FROM {table} t").fetchall()) for (table,) in tables]
    assert "handler_fault" in log.getvalue()
    assert "store_unavailable" in log.getvalue()
    for place in (log.getvalue(), said.decode(), *rows):
        assert CANARY not in place
        assert token not in place


@pytest.mark.parametrize(
    "broken",
    [
        b"POST /webhook/CANARY HTTP/9\r\n\r\n",
        b"POST /webhook/CANARY HTTP/1.1\r\nX-Api-Key CANARY\r\n\r\n",
        b"GET CANARY\r\n\r\n",
    ],
)
async def test_a_request_that_is_no_http_is_not_logged(site: Site, log: io.StringIO, broken: bytes) -> None:
    """What cannot be parsed may hold a secret anywhere, and anybody can send it as often as he likes."""
    status, _ = await exchange(site.public_address, broken.replace(b"CANARY", CANARY.encode()))
    assert status == 400
    assert CANARY not in log.getvalue()
