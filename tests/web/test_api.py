"""The operator's API: what it shows, what can be done, and whom it refuses."""

import json
from typing import Any

import aiohttp
import psycopg
import pytest

from tests.history import enqueue, statuses, walk
from tests.web.live_site import ENTRY, Site, configuration, exchange, running

Sql = psycopg.Connection[Any]


async def test_signals(site: Site, token: str) -> None:
    """Newest first, with the bytes, the refusal or the tasks; by strategy and in pages."""
    other = await site.token("other")
    await site.alert(token, ENTRY)
    await site.alert(token, "näher".encode("latin-1"))
    await site.alert(other, {**ENTRY, "trade_id": "T-200"})
    _, rows = await site.get("/api/signals")
    assert [(row["strategy"], row["trade_id"], row["code"], len(row["tasks"])) for row in rows] == [
        ("other", "T-200", None, 1),
        ("orb", None, "BODY_NOT_UTF8", 0),
        ("orb", "T-100", None, 1),
    ]
    assert rows[1]["raw"] == "n\ufffdher"
    _, page = await site.get(f"/api/signals?strategy=orb&limit=1&before={rows[1]['id']}")
    assert page == [rows[2]]


async def test_tasks(site: Site, sql: Sql) -> None:
    """Newest first; status, account and trade_id filter; `before` and `limit` page without gap or repeat."""
    ids = [enqueue(sql, f"T-{number % 3}", account=f"a{number % 2}") for number in range(12)]
    walk(sql, ids[0], "SENDING", "SUCCESS")

    async def found(query: str) -> list[int]:
        return [row["id"] for row in (await site.get(f"/api/tasks?{query}"))[1]]

    assert await found("") == ids[::-1]
    assert await found("status=SUCCESS") == [ids[0]]
    assert await found("status=PENDING&account=a0&trade_id=T-0") == [ids[6]]
    paged: list[int] = []
    while page := await found(f"limit=5&before={paged[-1] if paged else 999}"):
        paged += page
    assert paged == ids[::-1]


async def test_a_task_with_its_log(site: Site, token: str, sql: Sql) -> None:
    """The task's columns, its signal's strategy and time, and every log row in order."""
    _, answer = await site.alert(token, ENTRY)
    task_id = answer["tasks"][0]
    walk(sql, task_id, "SENDING", "FAILED")
    status, task = await site.get(f"/api/tasks/{task_id}")
    assert status == 200
    assert {
        "id": task_id,
        "status": "FAILED",
        "attempts": 1,
        "strategy": "orb",
        "last_error": "FAILED by a test",
    }.items() <= task.items()
    assert [(row["seq"], row["prev_status"], row["status"], row["attempt"]) for row in task["log"]] == [
        (1, None, "PENDING", 0),
        (2, "PENDING", "SENDING", 1),
        (3, "SENDING", "FAILED", 1),
    ]


async def test_accounts(site: Site, sql: Sql) -> None:
    """Published accounts come first, with their open tasks by status; one that only tasks name is marked."""
    enqueue(sql, "T-1")
    walk(sql, enqueue(sql, "T-2"), "SENDING")
    walk(sql, enqueue(sql, "T-3"), "SENDING", "SUCCESS")
    enqueue(sql, "T-4", account="old")
    status, (paper, old) = await site.get("/api/accounts")
    assert status == 200
    assert {
        "name": "paper",
        "published": True,
        "configured": True,
        "connector": "dryrun",
        "enabled": True,
        "withdrawn": False,
        "version": 1,
        "standing": "open",
        "holdings": {},
        "states": {},
        "open": {"PENDING": 1, "SENDING": 1},
    }.items() <= paper.items()
    assert {"name": "old", "published": False, "configured": False, "open": {"PENDING": 1}}.items() <= old.items()
    status, paper = await site.get("/api/accounts/paper")
    assert (status, [each["version"] for each in paper["versions"]]) == (200, [1])
    status, answer = await site.get("/api/accounts/nobody")
    assert (status, answer["code"]) == (404, "ACCOUNT_UNKNOWN")


async def test_a_signal_with_what_became_of_it(site: Site, token: str) -> None:
    """Every published account has a row; a signal that is not there is 404."""
    _, answer = await site.alert(token, ENTRY)
    status, signal = await site.get(f"/api/signals/{answer['signal_id']}")
    assert (status, signal["trade_id"]) == (200, "T-100")
    assert [(row["account"], row["task"], row["status"]) for row in signal["accounts"]] == [
        ("paper", answer["tasks"][0], "PENDING")
    ]
    status, answer = await site.get("/api/signals/99")
    assert (status, answer["code"]) == (404, "SIGNAL_UNKNOWN")


async def test_dead_letters(site: Site, sql: Sql) -> None:
    """FAILED and REVIEW tasks, newest first, until somebody resolves them."""
    failed, review, done = (enqueue(sql, f"T-{number}") for number in range(3))
    walk(sql, failed, "SENDING", "FAILED")
    walk(sql, review, "SENDING", "UNKNOWN", "REVIEW")
    walk(sql, done, "SENDING", "SUCCESS")

    async def dead() -> list[int]:
        return [row["id"] for row in (await site.get("/api/dead-letters"))[1]]

    assert await dead() == [review, failed]
    await site.act(f"/api/tasks/{failed}/discard")
    assert await dead() == [review]


async def test_a_dead_letter_in_full(site: Site, sql: Sql) -> None:
    """Code, evidence and what to do; closed ones on request; of one task."""
    other, task_id = enqueue(sql, "T-1"), enqueue(sql, "T-2")
    for each in (other, task_id):
        walk(sql, each, "SENDING", "UNKNOWN", "REVIEW")
    status, (letter,) = await site.get(f"/api/dead-letters?task={task_id}")
    assert (status, letter["id"], letter["status"], letter["code"]) == (200, task_id, "REVIEW", "TEST")
    assert [step["status"] for step in letter["evidence"]["steps"]] == ["UNKNOWN", "REVIEW"]
    assert "resolve" in letter["suggestion"]
    status, task = await site.act(f"/api/tasks/{task_id}/resolve", {"actor": "ann", "reason": "is there"})
    assert (status, task["status"]) == (200, "SUCCESS")
    assert (await site.get(f"/api/dead-letters?task={task_id}"))[1] == []
    _, (letter,) = await site.get(f"/api/dead-letters?task={task_id}&closed=true")
    assert (letter["closed_by"], letter["closed_how"], letter["closed_reason"]) == (
        "ann",
        "OPERATOR_RESOLVE",
        "is there",
    )
    _, page = await site.get(f"/api/dead-letters?closed=true&before={letter['letter']}")
    assert [row["id"] for row in page] == [other]


async def test_a_retry_says_what_stands_in_its_way(site: Site, sql: Sql) -> None:
    """409 with a code of its own until the body says otherwise; a changed order is a new task."""
    task_id = enqueue(sql, "T-1")
    walk(sql, task_id, "SENDING", "UNKNOWN", "REVIEW")
    path = f"/api/tasks/{task_id}/retry"
    unconfirmed: list[dict[str, Any]] = [{}, {"confirm": task_id + 1}, {"even_if_old": True, "even_if_held": True}]
    for body in unconfirmed:
        status, answer = await site.act(path, body)
        assert (status, answer["code"]) == (409, "NOT_CONFIRMED")
        status, answer = await site.act(f"/api/tasks/{task_id}/resolve", {"executed": "no"})
        assert (status, answer["code"]) == (422, "FIELD_WRONG")
        status, answer = await site.act(f"/api/tasks/{task_id}/resolve", {"executed": False})
        assert (status, answer["code"]) == (409, "NOT_RESOLVED")
    wrong: list[dict[str, Any]] = [
        {"confirm": "1"},
        {"confirm": True},
        {"even_if_old": 1},
        {"even_if_held": "yes"},
        {"set": []},
    ]
    wrong += [
        {"set": {"quantity": 1}},
        {"set": {"quantity": ""}},
        {"set": {"symbol": "<b>"}},
        {"set": {"quantity": "x"}},
    ]
    for body in wrong:
        status, answer = await site.act(path, {"confirm": task_id, **body})
        assert (body, status, answer["code"]) == (body, 422, "FIELD_WRONG")
    assert statuses(sql, task_id) == ["PENDING", "SENDING", "UNKNOWN", "REVIEW"]
    status, task = await site.act(path, {"confirm": task_id, "set": {"quantity": "1"}})
    assert (status, task["retry_of"], task["payload"]["quantity"]) == (200, task_id, "1")
    assert statuses(sql, task_id)[-1] == "CANCELLED"


async def test_a_bad_parameter(site: Site) -> None:
    """400, as JSON with code and message."""
    numbers = ["before=0", "before=-1", "before=x", "before=9223372036854775808", "before=²", "limit=1.5", "limit="]
    for path in (
        "dead-letters?closed=yes",
        "dead-letters?task=x",
        "signals?strategy=%00",
        *(f"dead-letters?{each}" for each in numbers),
        "tasks?status=DONE",
        "tasks?trade_id=%00",
    ):
        status, answer = await site.get(f"/api/{path}")
        assert (path, status, answer.keys() >= {"code", "message"}) == (path, 400, True)


# actions


@pytest.mark.parametrize(
    ("before", "actions", "after"),
    [
        ([], ["hold", "approve"], ["HELD", "PENDING"]),
        ([], ["hold", "refuse"], ["HELD", "CANCELLED"]),
        ([], ["discard"], ["CANCELLED"]),
        (["SENDING", "FAILED"], ["retry"], ["PENDING"]),
        (["SENDING", "UNKNOWN", "REVIEW"], ["retry"], ["PENDING"]),
        (["SENDING", "UNKNOWN", "REVIEW"], ["discard"], ["CANCELLED"]),
    ],
)
async def test_an_action(site: Site, sql: Sql, before: list[str], actions: list[str], after: list[str]) -> None:
    """Each action answers the task as it is now and stands in its log, with who and why."""
    task_id = enqueue(sql, "T-1")
    walk(sql, task_id, *before)
    for action, expected in zip(actions, after, strict=True):
        status, task = await site.act(
            f"/api/tasks/{task_id}/{action}", {"actor": "ann", "reason": "because", "confirm": task_id}
        )
        assert (status, task["id"], task["status"]) == (200, task_id, expected)
    assert statuses(sql, task_id) == ["PENDING", *before, *after]
    last = sql.execute("SELECT actor, reason, message FROM execution_logs ORDER BY id DESC LIMIT 1").fetchone()
    assert last == ("ann", f"OPERATOR_{actions[-1].upper()}", "because")


@pytest.mark.parametrize(
    ("before", "action"),
    [
        ([], "retry"),
        ([], "approve"),
        (["SENDING"], "discard"),
        (["SENDING", "SUCCESS"], "retry"),
        (["SENDING", "SUCCESS"], "hold"),
    ],
)
async def test_an_impossible_action(site: Site, sql: Sql, before: list[str], action: str) -> None:
    """409, a sentence that says what is possible, and nothing in the log."""
    task_id = enqueue(sql, "T-1")
    walk(sql, task_id, *before)
    status, answer = await site.act(f"/api/tasks/{task_id}/{action}")
    assert (status, answer["code"]) == (409, "NOT_POSSIBLE")
    assert "possible now" in answer["message"] or "nothing can be done" in answer["message"]
    assert statuses(sql, task_id) == ["PENDING", *before]


async def test_what_is_not_there(site: Site) -> None:
    """404 as JSON for a task, an action or a page that does not exist; 405 where only the method is wrong."""
    for path in ("/api/tasks/999", "/api/tasks/x", "/api/nothing"):
        status, answer = await site.get(path)
        assert (path, status, answer.keys()) == (path, 404, {"code", "message"})
    for path, expected in (("/api/tasks/999/retry", 404), ("/api/tasks/999/explode", 404), ("/api/tasks/999", 405)):
        status, answer = await site.act(path)
        assert (path, status, answer.keys()) == (path, expected, {"code", "message"})


async def test_a_wrong_action_body(site: Site, sql: Sql) -> None:
    """422 for values that cannot be, 400 for what is no JSON object, and the task stays as it was."""
    task_id = enqueue(sql, "T-1")
    path = f"/api/tasks/{task_id}/discard"
    long = {"actor": "x" * 101}, {"reason": "x" * 1001}
    for body in ({"actor": ""}, {"actor": 7}, *long, {"actor": "a\0"}, {"actor": "\ud800"}, {"reason": "\ud800"}):
        assert (body, (await site.act(path, body))[0]) == (body, 422)
    for raw in (b"{", b"[]", b'"x"', b"\xff", b"[" * 60_000):
        async with site.session.post(
            site.operator(path), data=raw, headers={"Content-Type": "application/json"}
        ) as answer:
            assert (raw, answer.status, (await answer.json()).keys()) == (raw, 400, {"code", "message"})
    assert statuses(sql, task_id) == ["PENDING"]


# whom it refuses


PAGES = ["/", "/api/tasks", "/api/events", "/ws", "/metrics", "/readyz", "/healthz"]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8081", "10.0.0.1", "[", ""]
)
async def test_a_foreign_host(site: Site, host: str) -> None:
    """421: a name that was made to point here (DNS rebinding) opens nothing."""
    for path in PAGES:
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        status, _ = await exchange(site.listeners.operator, request)
        assert (path, status) == (path, 421)


async def test_our_own_host(dsn: str) -> None:
    """localhost, loopback addresses and [server] operator_hosts are ours, with any port."""
    hosts = ["localhost", "localhost:1", "127.0.0.1", "127.9.9.9:8081", "[::1]:8081", "desk.example", "DESK.example:80"]
    async with running(configuration(dsn, server={"operator_hosts": ["desk.example"]}), with_router=False) as site:
        for host in hosts:
            assert (host, (await site.get("/api/tasks", Host=host))[0]) == (host, 200)
            assert (host, (await site.get("/api/tasks", Host=host, Origin=f"http://{host}"))[0]) == (host, 200)


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://localhost",
        "http://127.0.0.1:1",
        "http://127.0.0.1.evil.example:1",
        "http://[",
        "x",
    ],
)
async def test_another_sites_page(site: Site, sql: Sql, origin: str) -> None:
    """403 for whatever a browser sends on behalf of another site's page, GET, SSE, WebSocket and POST alike."""
    task_id = enqueue(sql, "T-1")
    for path in PAGES:
        async with site.session.get(site.operator(path), headers={"Origin": origin}) as answer:
            assert (path, answer.status) == (path, 403)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await site.session.ws_connect(site.operator("/ws"), origin=origin)
    assert refused.value.status == 403
    assert (await site.act(f"/api/tasks/{task_id}/discard", Origin=origin))[0] == 403
    assert statuses(sql, task_id) == ["PENDING"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_post_without_json(site: Site, sql: Sql, content_type: str) -> None:
    """415 for what a page could send anywhere without asking."""
    task_id = enqueue(sql, "T-1")
    url = site.operator(f"/api/tasks/{task_id}/discard")
    async with site.session.post(url, data=b"{}", headers={"Content-Type": content_type}) as answer:
        assert answer.status == 415
    assert statuses(sql, task_id) == ["PENDING"]


async def test_explain(site: Site, token: str, sql: Sql) -> None:
    """What an alert would do, for the strategy that is named or whose token it has; nothing is stored."""
    alert = {"ticker": "MNQ1!", "action": "buy", "quantity": 2, "passphrase": token}
    for body in ({"alert": json.dumps(alert)}, {"alert": "key=x;command=PLACE;instrument=ES1!", "strategy": "orb"}):
        async with site.session.post(site.operator("/api/explain"), json=body) as answer:
            assert answer.status == 200
            told = await answer.json()
        assert told["strategy"] == "orb"
        assert token not in json.dumps(told)
        assert told["understood"] is ("ticker" in body["alert"])
        assert bool(told["code"]) is not told["understood"]
    assert sql.execute("SELECT count(*) FROM automated_signals").fetchone() == (0,)


@pytest.mark.parametrize("body", [{}, {"alert": 1}, {"alert": "x", "strategy": 5}, {"alert": "x", "strategy": "\0"}])
async def test_explain_says_what_it_needs(site: Site, body: dict[str, Any]) -> None:
    """An alert as text, and a strategy's name or none."""
    async with site.session.post(site.operator("/api/explain"), json=body) as answer:
        assert (answer.status, (await answer.json())["code"]) == (422, "FIELD_WRONG")


async def test_anything_can_be_explained(site: Site) -> None:
    """Half a surrogate pair, 64 KiB and more, nothing at all: an answer, never a fault."""
    for alert in ("\ud800", "x" * 70_000, "", "{" * 1000, "\0"):
        async with site.session.post(site.operator("/api/explain"), json={"alert": alert}) as answer:
            assert (answer.status, (await answer.json())["understood"]) == (200, False)
