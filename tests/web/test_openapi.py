"""The document says what there is: every route, and of each what it takes and answers; every fault has one shape."""

import json
import re
from typing import Any

import jsonschema_rs
import psycopg
import pytest
from aiohttp import web
from typer.testing import CliRunner

from eventrouter.app import Service, operator_app, public_app
from eventrouter.cli import app
from eventrouter.config import Config
from eventrouter.domain.book import Book
from eventrouter.domain.refusals import REFUSALS
from eventrouter.domain.tasks import ACTIONS, Status
from eventrouter.web.codes import CODES
from eventrouter.web.openapi import document
from tests.history import enqueue, statuses
from tests.processes import until_async
from tests.web import documented
from tests.web.live_site import ENTRY, EXIT, Site, exchange

Sql = psycopg.Connection[Any]
Json = dict[str, Any]
DOCUMENT = documented.whole()
OPERATIONS = [
    (method, path, said)
    for path, methods in DOCUMENT["paths"].items()
    for method, said in methods.items()
    if method != "servers"
]


def routes(site: Site) -> set[tuple[str, str]]:
    """(method, address) of everything that is no page of the desk."""
    every = [*documented.operator().router.routes(), *public_app(site.service).router.routes()]
    return {
        (route.method.lower(), route.resource.canonical)
        for route in every
        if route.resource is not None
        and route.method != "HEAD"
        and not route.handler.__module__.startswith("eventrouter.desk")
    }


async def test_every_route(site: Site) -> None:
    """The routers' tables and the document have the same addresses and methods; only pages of the desk are left out."""
    assert {(method, path) for method, path, _ in OPERATIONS} == routes(site)
    assert len(OPERATIONS) > 20


def test_each_operation() -> None:
    """Each has a sentence, an answer, a name of its own, and a parameter for each variable of its address."""
    assert len({said["operationId"] for _, _, said in OPERATIONS}) == len(OPERATIONS)
    for _, path, said in OPERATIONS:
        variables = [each["name"] for each in said.get("parameters", ()) if each["in"] == "path"]
        assert (path, variables) == (path, re.findall(r"\{(\w+)\}", path))
        assert said["summary"].endswith(".")
        assert {"200", "101"} & said["responses"].keys()


def test_it_is_openapi() -> None:
    """Version 3.1, every reference leads somewhere, and every schema is one."""
    assert DOCUMENT["openapi"] == "3.1.0"
    text = json.dumps(DOCUMENT)
    for name in re.findall(r"#/components/schemas/(\w+)", text):
        assert name in DOCUMENT["components"]["schemas"]
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_what_is_bounded() -> None:
    """Statuses, actions and the refusals of alerts are listed, as they stand in the domain."""
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["Status"]["enum"] == list(Status)
    assert schemas["Refusal"]["enum"] == list(REFUSALS)
    act = DOCUMENT["paths"]["/api/tasks/{task_id}/{action}"]["post"]
    assert act["parameters"][1]["schema"]["enum"] == list(ACTIONS)


def test_every_fault_has_one_shape() -> None:
    """code and message, and perhaps field; the codes of each status are listed."""
    fault = DOCUMENT["components"]["schemas"]["Fault"]
    assert (fault["required"], sorted(fault["properties"])) == (["code", "message"], ["code", "field", "message"])
    for method, path, said in OPERATIONS:
        for status, answer in said["responses"].items():
            if int(status) >= 400:
                schema = answer["content"]["application/json"]["schema"]
                (given,) = [each for each in schema.get("anyOf", [schema]) if "allOf" in each]
                assert given["allOf"][0] == {"$ref": "#/components/schemas/Fault"}
                codes = given["allOf"][1]["properties"]["code"].get("enum", [])
                assert (method, path, set(codes) - set(CODES[int(status)])) == (method, path, set())


async def test_it_is_served(site: Site) -> None:
    """As the application has it; the command prints the same with the addresses of the configuration."""
    status, found = await site.get("/openapi.json")
    assert (status, found) == (200, DOCUMENT)


def test_it_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the addresses that are configured."""
    monkeypatch.setenv("EVENTROUTER_SERVER__OPERATOR", "127.0.0.1:9001")
    monkeypatch.setenv("EVENTROUTER_SERVER__PUBLIC", "127.0.0.1:9000")
    said = CliRunner().invoke(app, ["openapi"])
    assert said.exit_code == 0
    printed = json.loads(said.stdout)
    assert printed["servers"][0]["url"] == "http://127.0.0.1:9001"
    assert printed["paths"]["/webhook/{token}"]["servers"][0]["url"] == "http://127.0.0.1:9000"
    assert printed["components"] == DOCUMENT["components"]


def test_inside_another_application() -> None:
    """Mounted at a prefix the addresses stay, and the server is the prefix."""
    mounted = operator_app(Service(Config()), "/router")
    web.Application().add_subapp("/router", mounted)
    found = document(mounted)
    assert (found["servers"][0]["url"], found["paths"]) == ("/router", DOCUMENT["paths"])


async def test_a_script_that_guesses(site: Site) -> None:
    """Who signs in with JSON is refused with JSON: 401, and from the sixth time on 429 with Retry-After."""
    for number in range(6):
        body = {"name": "ann", "password": str(number)}
        async with site.session.post(site.operator("/login"), json=body) as answer:
            said = await answer.json()
            expected = (401, "LOGIN_WRONG") if number < 5 else (429, "TOO_MANY_GUESSES")
            assert (number, answer.status, said["code"], said.keys()) == (number, *expected, {"code", "message"})
            assert ("Retry-After" in answer.headers) is (number == 5)


async def test_the_feeds_have_no_head(site: Site) -> None:
    """405: a feed that sends no body would go on for ever unseen."""
    for path in ("/api/events", "/ws"):
        async with site.session.head(site.operator(path)) as answer:
            assert answer.status == 405


async def test_a_misspelt_scope(site: Site, sql: Sql) -> None:
    """422, and nothing is flattened: without its scope it would be everything."""
    for path, body in (
        ("flatten", {"scop": "account:paper"}),
        ("halt", {"Scope": "all"}),
        ("resume", {"reduce": True}),
    ):
        status, answer = await site.act(f"/api/{path}", body)
        assert (status, answer["code"], answer["field"]) == (422, "FIELD_WRONG", next(iter(body)))
        assert "The fields are scope, reason" in answer["message"]
    assert sql.execute("SELECT count(*) FROM controls").fetchone() == (0,)


WRONG_BODIES: list[tuple[bytes, int, str]] = [
    (b'{"reason": "' + b"x" * 600_000 + b'"}', 413, "BODY_TOO_LARGE"),
    (b"[" * 100_000, 400, "BODY_NOT_JSON"),
    (b'{"set": ' + b'{"a": ' * 50_000 + b"1" + b"}" * 50_001, 400, "BODY_NOT_JSON"),
    (b'{"confirm": ' + b"9" * 5_000 + b"}", 400, "BODY_NOT_JSON"),
    (b'{"confirm": NaN}', 400, "BODY_NOT_JSON"),
    (b'{"reason": "\xff"}', 400, "BODY_NOT_UTF8"),
    ('{"reason": "a"}'.encode("utf-16"), 400, "BODY_NOT_UTF8"),
    (b'{"reason": "a", "reason": "b"}', 400, "KEY_REPEATED"),
    (b'{"set": {"quantity": "1", "quantity": "2"}}', 400, "KEY_REPEATED"),
    (b"null", 400, "BODY_NOT_OBJECT"),
    (b'{"reason": "\\u0000"}', 422, "FIELD_WRONG"),
    (b'{"reason": "\\ud800"}', 422, "FIELD_WRONG"),
    (b'{"confirm": 9223372036854775808}', 422, "FIELD_WRONG"),
    (b'{"confirm": 1e30}', 422, "FIELD_WRONG"),
    (b'{"even_if_old": 1}', 422, "FIELD_WRONG"),
    (b'{"\\ud800": 1}', 422, "FIELD_WRONG"),
]


@pytest.mark.parametrize(("body", "status", "code"), WRONG_BODIES, ids=lambda each: str(each)[:30])
async def test_a_wrong_body(site: Site, sql: Sql, body: bytes, status: int, code: str) -> None:
    """4xx in the one shape, and the task stays as it was."""
    task_id = enqueue(sql, "T-1")
    headers = {"Content-Type": "application/json"}
    async with site.session.post(site.operator(f"/api/tasks/{task_id}/discard"), data=body, headers=headers) as answer:
        await documented.check(answer)
        assert (answer.status, (await answer.json())["code"]) == (status, code)
    assert statuses(sql, task_id) == ["PENDING"]


async def test_a_wrong_address(site: Site) -> None:
    """Ids beyond bigint are not found, parameters beyond it or given twice are wrong; a method that there is not says which there are."""
    beyond = str(2**63)
    for path in (
        f"tasks/{beyond}",
        f"signals/{beyond}",
        f"controls/{beyond}",
        "accounts/%00",
        "accounts/%FF",
        "nothing",
    ):
        status, answer = await site.get(f"/api/{path}")
        assert (path, status, answer.keys()) == (path, 404, {"code", "message"})
    for query in (
        f"before={beyond}",
        "limit=0",
        "account=%00",
        "status=PENDING&status=HELD",
        "limit=1&limit=1",
        "status=",
    ):
        status, answer = await site.get(f"/api/tasks?{query}")
        assert (query, status, answer["field"]) == (query, 400, query.partition("=")[0])
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        async with site.session.request(method, site.operator("/api/tasks")) as answer:
            assert (answer.status, (await answer.json())["code"]) == (405, "METHOD_NOT_ALLOWED")
            assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nExpect: a miracle\r\nConnection: close\r\n\r\n",
            417,
            "EXPECTATION_FAILED",
        ),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 400, "NO_HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "NO_HTTP"),
    ],
)
async def test_what_aiohttp_refuses(site: Site, head: bytes, status: int, code: str) -> None:
    """In the one shape too, on both listeners, and without a byte of what came."""
    for address in (site.public_address, site.listeners.operator):
        answered, answer = await exchange(address, head)
        said = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert (answered, said["code"], said.keys()) == (status, code, {"code", "message"})
        assert b"application/json" in answer
        assert b"xxx" not in answer


async def test_an_answer_that_is_not_described_is_seen(site: Site, token: str) -> None:
    """The check that all tests of the API go through fails for a field, a status, a type that the document does not have."""
    _, taken = await site.alert(token, ENTRY)
    _, task = await site.get(f"/api/tasks/{taken['tasks'][0]}")
    at = ("GET", "/api/tasks/{task_id}")
    assert documented.fault_of(*at, 200, "application/json", json.dumps(task)) is None
    assert documented.fault_of(*at, 200, "application/json", json.dumps({**task, "more": 1}))
    assert documented.fault_of(*at, 200, "application/json", json.dumps({**task, "status": "DONE"}))
    assert documented.fault_of(*at, 200, "text/plain", "x")
    assert documented.fault_of(*at, 500, "application/json", "{}")
    assert documented.fault_of(*at, 404, "application/json", json.dumps({"code": "CONTROL_UNKNOWN", "message": "x"}))
    assert (
        documented.fault_of(*at, 404, "application/json", json.dumps({"code": "TASK_UNKNOWN", "message": "x"})) is None
    )


async def test_what_a_router_did(routed: Site, sql: Sql) -> None:
    """An entry and its exit, walked to their end in dry run: signal, task, log, account and flattening are answered as described."""
    token = await routed.token()
    for alert in (ENTRY, EXIT):
        assert (await routed.alert(token, alert))[0] == 200
        await until_async(lambda: _all_done(sql), what="the orders' end")
    for path in ("signals/1", "signals/2", "tasks/1", "tasks/2", "signals", "tasks", "accounts"):
        assert (path, (await routed.get(f"/api/{path}"))[0]) == (path, 200)
    (name,) = sql.execute("SELECT account FROM execution_tasks LIMIT 1").fetchone() or ("",)
    _, account = await routed.get(f"/api/accounts/{name}")
    assert account["connection"]["state"] == "open"
    assert account["states"]["dry"]
    _, asked = await routed.act("/api/flatten", {"scope": f"account:{name}", "actor": "ann"})
    assert asked["actor"] == "ann"
    await until_async(lambda: _proven(sql), what="the proof")
    _, control = await routed.get(f"/api/controls/{asked['id']}")
    assert [each["state"] for each in control["accounts"]] == ["FLAT"]


async def test_an_account_that_differs_from_its_broker(site: Site, sql: Sql) -> None:
    """Held positions, a foreign order, a broker that is down, and what differs: all is described."""
    sql.execute("INSERT INTO settings (kind, name, version, body, actor) VALUES ('account', 'one', 1, '{}', 'test')")
    sql.execute(
        "INSERT INTO fills (account, fill_id, mode, order_id, trade_id, contract, root, side, quantity, price, filled_at)"
        " VALUES ('one', 'x', 'live', 'o', 'T', 'CON.F.US.MNQ.Z26', 'MNQ', 'SELL', 1, 10.25, now())"
    )
    sql.execute(
        "INSERT INTO broker_orders (account, order_id, mode, role, contract, root, side, quantity, state, limit_price, placed_at)"
        " VALUES ('one', '7', 'live', 'foreign', 'CON.F.US.MNQ.Z26', 'MNQ', 'BUY', 2, 'WORKING', 9.75, now())"
    )
    detail = {"why": "It differs.", "differences": [["CON.F.US.MNQ.Z26", "2", "-1", "24000"]]}
    state = Book(out_of_sync="It differs.").to_json()
    sql.execute(
        "INSERT INTO account_log (account, mode, seq, kind, actor, detail, state) VALUES ('one', 'live', 1, 'OUT_OF_SYNC', 'r', %s, %s)",
        (json.dumps(detail), json.dumps(state)),
    )
    sql.execute("SELECT note_connections('r', 'c', 'live', '{one}', '{down}', '{BROKER_UNREACHABLE}', '{It is away.}')")
    _, account = await site.get("/api/accounts/one")
    assert (account["held"][0]["quantity"], account["external"][0]["limit_price"]) == (-1, 9.75)
    assert account["out_of_sync"]["differences"] == [{"contract": "CON.F.US.MNQ.Z26", "ours": "-1", "broker": "2"}]
    assert account["connection"]["code"] == "BROKER_UNREACHABLE"


async def _all_done(sql: Sql) -> bool:
    row = sql.execute("SELECT bool_and(status IN ('SUCCESS', 'DENIED')) FROM execution_tasks").fetchone()
    return bool(row and row[0])


async def _proven(sql: Sql) -> bool:
    return bool(sql.execute("SELECT FROM account_log WHERE kind = 'FLAT'").fetchall())
