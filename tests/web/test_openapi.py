"""The document says what there is: every route, and of each what it takes and answers; every fault has one shape."""

import json
import re
from typing import Any

import jsonschema_rs
import psycopg
import pytest
from typer.testing import CliRunner

from eventrouter.app import public_app
from eventrouter.cli import app
from eventrouter.domain.refusals import REFUSALS
from eventrouter.domain.tasks import ACTIONS, Status
from eventrouter.web.codes import CODES
from tests.history import enqueue, statuses
from tests.web import documented
from tests.web.live_site import ENTRY, Site, exchange

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
