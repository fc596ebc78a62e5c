"""Every route that changes something, against every way in which it must be refused. The router's table says which there are."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from aiohttp import ClientSession, CookieJar

from eventrouter.app import operator_app
from eventrouter.domain.tasks import ACTIONS
from eventrouter.store import access
from eventrouter.web.access import csrf_of
from tests.history import enqueue, walk
from tests.web import documented
from tests.web.live_site import Site
from tests.web.raw_client import RawClient
from tests.web.test_access import FORM, Person, add

Sql = psycopg.Connection[Any]
OPEN_TO_VIEWERS = {"/login", "/login/once", "/logout", "/explain", "/api/explain"}
OPEN_TO_ALL = {"/login", "/login/once", "/logout"}
_LEFT_OUT = ("desk_sessions", "router_presence")  # what looking itself notes


@dataclass(frozen=True, slots=True)
class Proof:
    """What a request brings to say who it is."""

    name: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class House:
    """A service in which there is something to change, and somebody of each kind."""

    site: Site
    sql: Sql
    addresses: list[str]
    operators: list[Proof]
    viewers: list[Proof]
    session: ClientSession

    async def refused(self, path: str, headers: dict[str, str], *, form: bool = False) -> tuple[int, str]:
        """Status and code of a POST; the answer must be of the shape that all faults have."""
        given: dict[str, Any] = {"data": {"reason": "x"}} if form else {"json": {"reason": "x"}}
        url = self.site.operator(path)
        async with self.session.post(url, headers=headers, allow_redirects=False, **given) as answer:
            await documented.check(answer)
            said = await answer.json()
            assert said.keys() - {"field"} == {"code", "message"}
            return answer.status, said["code"]

    def rows(self) -> dict[str, Any]:
        """Everything that there is: the rows of each table."""
        names = self.sql.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
        ).fetchall()
        counted = {}
        for (name,) in names:
            if name not in _LEFT_OUT:
                row = self.sql.execute(f'SELECT count(*), sum(hashtext(t::TEXT)::BIGINT) FROM "{name}" t').fetchone()
                counted[name] = row
        return counted


@pytest.fixture
async def house(site: Site, sql: Sql) -> AsyncIterator[House]:
    """Signed in: ann, who may operate, and vic, who may look; each also with a key."""
    waiting, failed = enqueue(sql, "T-1"), enqueue(sql, "T-2", account="b")
    walk(sql, failed, "SENDING", "FAILED")
    operators: list[Proof] = []
    viewers: list[Proof] = []
    async with (
        await psycopg.AsyncConnection.connect(sql.info.dsn, autocommit=True) as conn,
        ClientSession(cookie_jar=CookieJar(unsafe=True)) as ann,
        ClientSession(cookie_jar=CookieJar(unsafe=True)) as vic,
        ClientSession() as session,
    ):
        for found, jar, name, role in ((operators, ann, "ann", "operate"), (viewers, vic, "vic", "view")):
            await add(conn, name, role)
            person = Person(site, jar)
            assert (await person.sign_in(name)).status == 303
            cookie = person.cookie
            found.append(Proof("session", {"Cookie": f"eventrouter={cookie}", "X-CSRF-Token": csrf_of(cookie)}))
            key = await access.add_key(conn, f"{name}s", role)
            found.append(Proof("key", {"Authorization": f"Bearer {key}"}))
        yield House(site, sql, _changing(site, [waiting, failed]), operators, viewers, session)


def _changing(site: Site, tasks: list[int]) -> list[str]:
    """Every address that takes something else than GET, with what there is in place of its variables."""
    templates = {
        str(route.resource.canonical)
        for route in operator_app(site.service).router.routes()
        if route.resource is not None and route.method not in ("GET", "HEAD", "OPTIONS")
    }
    assert len(templates) > 6
    found = []
    for template in sorted(templates):
        tried = [template.replace("{task_id}", str(task)) for task in tasks] if "{task_id}" in template else [template]
        found += [
            each.replace("{action}", action) for each in tried for action in (ACTIONS if "{action}" in each else [""])
        ]
    assert not [each for each in found if "{" in re.sub(r"\{(name|id|\w+_id)\}", "1", each)]
    return [re.sub(r"\{\w+\}", "1", each) for each in found]


async def test_without_the_token(house: House) -> None:
    """403 CSRF_WRONG for a session without its token, or with another session's, as JSON and as a form."""
    before = house.rows()
    for proof in (*house.operators[:1], *house.viewers[:1]):
        cookie = {"Cookie": proof.headers["Cookie"]}
        other = house.viewers[0] if proof is house.operators[0] else house.operators[0]
        for path in house.addresses:
            for token in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": other.headers["X-CSRF-Token"]}):
                assert (path, await house.refused(path, {**cookie, **token})) == (path, (403, "CSRF_WRONG"))
            if not path.startswith("/api"):
                assert (path, await house.refused(path, cookie, form=True)) == (path, (403, "CSRF_WRONG"))
    assert house.rows() == before


@pytest.mark.parametrize(
    ("foreign", "expected"),
    [
        ({"Origin": "https://evil.example"}, (403, "ORIGIN_FOREIGN")),
        ({"Origin": "null"}, (403, "ORIGIN_FOREIGN")),
        ({"Sec-Fetch-Site": "cross-site"}, (403, "ORIGIN_FOREIGN")),
        ({"Host": "evil.example"}, (421, "HOST_UNKNOWN")),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, (421, "HOST_UNKNOWN")),
    ],
)
async def test_from_elsewhere(house: House, foreign: dict[str, str], expected: tuple[int, str]) -> None:
    """Refused although session, token or key are right."""
    before = house.rows()
    for proof in house.operators:
        for path in house.addresses:
            assert (path, await house.refused(path, {**proof.headers, **foreign})) == (path, expected)
    assert house.rows() == before


async def test_as_a_viewer(house: House) -> None:
    """403 ROLE_VIEW with session and token, and with a key; only what changes nothing of the trading is open."""
    before, seen = house.rows(), 0
    for proof in house.viewers:
        for path in set(house.addresses) - OPEN_TO_VIEWERS:
            assert (proof.name, path, await house.refused(path, proof.headers)) == (
                proof.name,
                path,
                (403, "ROLE_VIEW"),
            )
            seen += 1
    assert seen > 2 * 2 * len(ACTIONS)
    assert house.rows() == before


async def test_as_nobody(house: House) -> None:
    """401 without a login, 401 with a key or cookie that is none; what signs in or out asks for its form's token."""
    before = house.rows()
    strangers = {
        "LOGIN_NEEDED": ({}, {"Cookie": f"eventrouter={'x' * 43}"}),
        "KEY_WRONG": ({"Authorization": "Bearer x"},),
    }
    for code, proofs in strangers.items():
        for headers in proofs:
            for path in house.addresses:
                expected = (403, "CSRF_WRONG") if path in OPEN_TO_ALL and code == "LOGIN_NEEDED" else (401, code)
                assert (path, await house.refused(path, headers)) == (path, expected)
    assert house.rows() == before


async def test_of_another_type(house: House) -> None:
    """415 for what a page of another site could send without being asked, even with all proofs."""
    before = house.rows()
    for path in house.addresses:
        kinds = ["text/plain", "multipart/form-data", "application/xml", *([FORM] if path.startswith("/api") else [])]
        for kind in kinds:
            status, code = await house.refused(path, {**house.operators[0].headers, "Content-Type": kind})
            assert (path, kind, status, code) == (
                path,
                kind,
                415,
                "JSON_ONLY" if path.startswith("/api") else "FORM_ONLY",
            )
    assert house.rows() == before


async def test_looking_changes_nothing(house: House) -> None:
    """No GET writes anything, so that a link alone can do no harm: every address is read by somebody who may operate."""
    before = house.rows()
    for route in operator_app(house.site.service).router.routes():
        path = re.sub(r"\{\w+\}", "1", str(route.resource.canonical)) if route.resource is not None else "/"
        if route.method == "GET" and path not in ("/api/events", "/ws"):
            url, headers = house.site.operator(path), house.operators[0].headers
            async with house.session.get(url, headers=headers, allow_redirects=False) as answer:
                assert (path, answer.status < 500) == (path, True)
    assert house.rows() == before


UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"


@pytest.mark.parametrize(("path", "more"), [("/api/events", ""), ("/ws", UPGRADE)])
async def test_the_feeds(house: House, path: str, more: str) -> None:
    """A foreign Host or Origin opens neither SSE nor WebSocket, although the session or key is right; nor does nobody."""
    cookie = f"Cookie: {house.operators[0].headers['Cookie']}\r\n"
    key = f"Authorization: {house.operators[1].headers['Authorization']}\r\n"
    ours = str(house.site.listeners.operator)
    for proof in (cookie, key):
        for host, origin, expected in (
            ("evil.example", "", 421),
            ("evil.example", "Origin: http://evil.example\r\n", 421),
            (ours, "Origin: http://evil.example\r\n", 403),
            (ours, "Origin: null\r\n", 403),
            (ours, f"Origin: https://{ours}.evil.example\r\n", 403),
        ):
            status = await _status(house, path, f"Host: {host}\r\n{origin}{proof}{more}")
            assert (host, origin, status) == (host, origin, expected)
    assert await _status(house, path, f"Host: {ours}\r\n{more}") == 401


async def _status(house: House, path: str, headers: str) -> int:
    """The status of the answer to a GET; a refused upgrade leaves the connection open."""
    address = house.site.listeners.operator
    client = RawClient(*await asyncio.open_connection(address.host, address.port))
    try:
        await client.send(f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode())
        return await client.answer()
    finally:
        client.close()
