"""Who gets in, and what a request must bring to change something; every route of the operator's is tried."""

import base64
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import psycopg
import pytest
from aiohttp import ClientSession, CookieJar

from eventrouter.app import operator_app
from eventrouter.store import access
from eventrouter.store.tokens import token_hash
from eventrouter.web.access import csrf_of
from eventrouter.web.logins import Guesses, hashed
from tests.history import enqueue, statuses
from tests.web.live_site import Site, configuration, exchange, running

Sql = psycopg.Connection[Any]
PASSWORD = "a horse that reads"
FORM = "application/x-www-form-urlencoded"
BROWSER = {"Accept": "text/html,application/xhtml+xml"}
ANYBODY = {"/healthz", "/readyz", "/metrics", "/login", "/login/once", "/static/{name}"}


@dataclass
class Person:
    """Somebody with a browser of their own."""

    site: Site
    session: ClientSession

    async def sign_in(self, name: str = "ann", password: str = PASSWORD, **fields: str) -> aiohttp.ClientResponse:
        """The form, filled in and sent."""
        async with self.session.get(self.site.operator("/login")) as form:
            csrf = _csrf_in(await form.text())
        given = {"csrf": csrf, "name": name, "password": password, **fields}
        return await self.session.post(self.site.operator("/login"), data=given, allow_redirects=False)

    @property
    def cookie(self) -> str:
        """What the session's cookie says."""
        return next(each.value for each in self.session.cookie_jar if each.key == "eventrouter")

    async def status(self, method: str, path: str, **more: Any) -> int:
        """The status of an answer, redirects not followed."""
        async with self.session.request(method, self.site.operator(path), allow_redirects=False, **more) as answer:
            return answer.status


def _csrf_in(text: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', text)
    assert found
    return found[1]


@pytest.fixture
async def person(site: Site) -> AsyncIterator[Person]:
    """Somebody who has not signed in."""
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        yield Person(site, session)


@pytest.fixture
async def conn(dsn: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection to the service's database, in autocommit."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as opened:
        yield opened


async def add(conn: psycopg.AsyncConnection[Any], name: str = "ann", role: str = "operate") -> None:
    """A user with the password of these tests."""
    assert await access.add_user(conn, name, hashed(PASSWORD), role)


def routes(site: Site) -> list[tuple[str, str]]:
    """(method, address) of everything that there is, with something in place of each variable."""
    return [
        (route.method, re.sub(r"\{[^}]*\}", "1", str(route.resource.canonical)))
        for route in operator_app(site.service).router.routes()
        if route.resource is not None
    ]


def changing(site: Site) -> list[tuple[str, str]]:
    """Those that may change something."""
    found = [(method, path) for method, path in routes(site) if method not in ("GET", "HEAD", "OPTIONS")]
    assert len(found) > 6
    return found


def open_to_all(path: str) -> bool:
    """Whether a login is not needed there."""
    return path in {each.replace("{name}", "1") for each in ANYBODY}


@pytest.mark.parametrize("role", ["view", "operate"])
async def test_a_change_without_the_token(person: Person, conn: psycopg.AsyncConnection[Any], role: str) -> None:
    """403 for every route that changes something: no token, a wrong one, or somebody else's, as header and as field."""
    await add(conn, role=role)
    assert (await person.sign_in()).status == 303
    for method, path in changing(person.site):
        for wrong in ("", "wrong", csrf_of("another session's token of 43 characters")):
            headers = {"X-CSRF-Token": wrong} if wrong else {}
            assert (path, await person.status(method, path, json={}, headers=headers)) == (path, 403)
            if not path.startswith("/api"):
                assert (path, await person.status(method, path, data={"csrf": wrong, "x": "1"})) == (path, 403)


async def test_a_change_by_a_viewer(person: Person, conn: psycopg.AsyncConnection[Any], sql: Sql) -> None:
    """403 for every route but those that change nothing of the trading's: signing in and out, explaining."""
    await add(conn, role="view")
    key = await access.add_key(conn, "looks", "view")
    task = enqueue(sql, "T-1")
    await person.sign_in()
    headers = {"X-CSRF-Token": csrf_of(person.cookie)}
    bearer = {"Authorization": f"Bearer {key}"}
    paths = [*changing(person.site), ("POST", f"/api/tasks/{task}/discard")]
    refused = []
    for method, path in paths:
        if path not in ("/login", "/login/once", "/logout", "/explain", "/api/explain"):
            assert (path, await person.status(method, path, json={}, headers=headers)) == (path, 403)
            assert (path, await person.status(method, path, json={}, headers=bearer)) == (path, 403)
            refused.append(path)
    assert "/api/halt" in refused
    assert statuses(sql, task) == ["PENDING"]
    assert sql.execute("SELECT count(*) FROM controls").fetchone() == (0,)


@pytest.mark.parametrize(
    "foreign",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
    ],
)
async def test_a_change_from_elsewhere(
    person: Person, conn: psycopg.AsyncConnection[Any], foreign: dict[str, str]
) -> None:
    """403 or 421 for every route that changes something, although session and token are right; a key opens nothing either."""
    await add(conn)
    key = await access.add_key(conn, "script", "operate")
    await person.sign_in()
    right = {"X-CSRF-Token": csrf_of(person.cookie)}
    for method, path in changing(person.site):
        for proof in (right, {"Authorization": f"Bearer {key}"}):
            status = await person.status(method, path, json={}, headers={**proof, **foreign})
            assert (path, status) == (path, 421 if "Host" in foreign else 403)


async def test_without_a_login(person: Person, conn: psycopg.AsyncConnection[Any]) -> None:
    """From the first user on: 401 for the API, feed and WebSocket; a page leads to the login, and from there back."""
    await add(conn)
    for method, path in routes(person.site):
        if open_to_all(path):
            assert (path, await person.status("GET", path)) not in [(path, 401), (path, 303)]
        elif path != "/logout":
            proof: dict[str, Any] = {"json": {}} if method == "POST" else {}
            assert (method, path, await person.status(method, path, **proof)) == (method, path, 401)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await person.session.ws_connect(person.site.operator("/ws"))
    assert refused.value.status == 401
    address = person.site.operator("/signals?symbol=MNQ")
    async with person.session.get(address, headers=BROWSER, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/login?next=/signals%3Fsymbol%3DMNQ")
    async with person.session.get(f"{address}&fragment=rows", headers=BROWSER, allow_redirects=False) as answer:
        assert answer.status == 401
    answer = await person.sign_in(next="/signals?symbol=MNQ")
    assert (answer.status, answer.headers["Location"]) == (303, "/signals?symbol=MNQ")
    assert await person.status("GET", "/api/tasks") == 200


async def test_what_is_told_without_a_login(person: Person, conn: psycopg.AsyncConnection[Any], sql: Sql) -> None:
    """/readyz says only whether it is ready, /metrics answers this machine and nobody behind a proxy."""
    await add(conn)
    async with person.session.get(person.site.operator("/readyz")) as answer:
        assert await answer.json() == {"status": "ready"}
    assert await person.status("GET", "/metrics") == 200
    assert await person.status("GET", "/metrics", headers={"X-Forwarded-For": "192.0.2.1"}) == 401


async def test_nobody_can_sign_in_yet(person: Person) -> None:
    """This machine may do everything; what comes through a proxy nothing, and it says what to do."""
    assert await person.status("POST", "/api/halt", json={}) == 200
    assert await person.status("POST", "/logout", data={}) == 403
    for header in ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"):
        for method, path in (("GET", "/api/tasks"), ("POST", "/api/resume")):
            async with person.session.request(
                method, person.site.operator(path), headers={header: "192.0.2.1"}, json={}
            ) as answer:
                assert answer.status == 403
                assert "eventrouter user add" in (await answer.json())["message"]


async def test_signing_in_and_out(person: Person, conn: psycopg.AsyncConnection[Any], sql: Sql) -> None:
    """The cookie is drawn anew, kept from scripts, and stored as a hash; signing out ends the session in the database."""
    await add(conn)
    assert await person.status("GET", "/login") == 200
    before = person.cookie
    answer = await person.sign_in(name="ANN")
    set_cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in set_cookie
    assert "SameSite=Lax" in set_cookie
    assert "Secure" not in set_cookie
    cookie = person.cookie
    assert cookie != before
    stored = sql.execute("SELECT * FROM desk_sessions").fetchall()
    assert [row[1] for row in stored] == ["ann"]
    assert cookie not in str(stored)
    assert await person.status("GET", "/api/tasks") == 200
    assert await person.status("POST", "/logout", data={"csrf": csrf_of(cookie)}) == 303
    assert sql.execute("SELECT count(*) FROM desk_sessions").fetchone() == (0,)
    assert await person.status("GET", "/api/tasks", headers={"Cookie": f"eventrouter={cookie}"}) == 401


async def test_the_name_in_the_log(person: Person, conn: psycopg.AsyncConnection[Any], sql: Sql) -> None:
    """What somebody does is done by who signed in, whatever the body says; by key it is the key's name."""
    await add(conn)
    key = await access.add_key(conn, "script", "operate")
    await person.sign_in()
    tasks = enqueue(sql, "T-1"), enqueue(sql, "T-2", account="b")
    proofs = {"X-CSRF-Token": csrf_of(person.cookie)}, {"Authorization": f"Bearer {key}"}
    for task, proof in zip(tasks, proofs, strict=True):
        body = {"actor": "somebody else"}
        assert await person.status("POST", f"/api/tasks/{task}/discard", json=body, headers=proof) == 200
    assert await person.status("POST", "/api/halt", json={}, headers=proofs[0]) == 200
    actors = sql.execute("SELECT actor FROM execution_logs WHERE seq = 2 ORDER BY task_id").fetchall()
    assert actors == [("ann",), ("key:script",)]
    assert sql.execute("SELECT actor FROM controls").fetchone() == ("ann",)


async def test_tls_in_front(dsn: str, conn: psycopg.AsyncConnection[Any]) -> None:
    """Behind a trusted proxy with TLS the cookie is __Host- and Secure, and only that one counts."""
    await add(conn)
    config = configuration(dsn, server={"trusted_proxies": ["127.0.0.1"], "operator_hosts": ["desk.example"]})
    https = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7", "Host": "desk.example"}
    async with (
        running(config, with_router=False) as site,
        ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        async with session.get(site.operator("/login"), headers=https) as form:
            cookie = form.cookies["__Host-eventrouter"]
            assert cookie["secure"]
            assert cookie["path"] == "/"
            assert not cookie["domain"]
            given = {"csrf": _csrf_in(await form.text()), "name": "ann", "password": PASSWORD}
        proof = {**https, "Origin": "https://desk.example", "Cookie": f"__Host-eventrouter={cookie.value}"}
        async with session.post(site.operator("/login"), data=given, headers=proof, allow_redirects=False) as answer:
            assert answer.status == 303
            token = answer.cookies["__Host-eventrouter"].value
        for name, status in (("__Host-eventrouter", 200), ("eventrouter", 401)):
            headers = {**https, "Cookie": f"{name}={token}"}
            async with session.get(site.operator("/api/tasks"), headers=headers) as answer:
                assert (name, answer.status) == (name, status)


async def test_wrong_passwords(
    person: Person, conn: psycopg.AsyncConnection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The same answer for a wrong name and a wrong password; after five of them 429, also for the right one."""
    await add(conn)
    said = set()
    for name in ("ann", "nobody-such", "ann; DROP TABLE", "\u00e4"):
        answer = await person.sign_in(name=name, password="wrong")
        said.add((answer.status, re.search(r'role="alert">([^<]+)<', await answer.text())[1]))  # type: ignore[index]
    assert said == {(401, "The name or the password is wrong.")}
    events = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    # what nobody is called may be a password that was typed into the wrong field
    assert {event["name"] for event in events if event["event"] == "sign_in_refused"} == {"ann", None}
    for _ in range(4):
        assert (await person.sign_in(password="wrong")).status == 401
    limited = await person.sign_in()
    assert limited.status == 429
    assert int(limited.headers["Retry-After"]) > 60


def test_guesses() -> None:
    """5 for a name from one source, 20 from a source, 50 for a name within 15 minutes; a right one takes its own back."""
    now = [0.0]
    guesses = Guesses(lambda: now[0])
    for _ in range(5):
        assert guesses.wait_s("192.0.2.1", "ann") == 0
    assert guesses.wait_s("192.0.2.1", "ANN") == 900
    assert guesses.wait_s("192.0.2.2", "ann") == 0
    now[0] = 600.0
    assert guesses.wait_s("192.0.2.1", "ann") == 300
    assert [guesses.wait_s("192.0.2.1", f"n{number}") for number in range(16)].count(0) == 15
    now[0] = 900.0
    assert guesses.wait_s("192.0.2.1", "ann") == 0
    assert [guesses.wait_s(f"198.51.100.{number}", "bob") for number in range(60)].count(0) == 50
    assert [guesses.wait_s(f"2001:db8::{number}", f"v{number}") for number in range(30)].count(0) == 20
    for _ in range(100):
        assert guesses.wait_s("203.0.113.1", "eve") == 0
        guesses.forgive("203.0.113.1", "eve")


async def test_keys(site: Site, conn: psycopg.AsyncConnection[Any]) -> None:
    """A key may do what its role says, without cookie or token; a wrong or ended one opens nothing, also on an open desk."""
    key = await access.add_key(conn, "script", "operate")
    assert await access.add_key(conn, "SCRIPT", "view") is None
    bearer = {"Authorization": f"Bearer {key}"}
    assert (await site.get("/api/tasks", **bearer))[0] == 200
    assert (await site.act("/api/halt", **bearer))[0] == 200
    assert await access.revoke_key(conn, "script")
    assert (await site.get("/api/tasks", **bearer))[0] == 401
    assert (await site.get("/api/tasks", Authorization="Bearer "))[0] == 401
    basic = base64.b64encode(b"ann:x").decode()
    assert (await site.get("/api/tasks", Authorization=f"Basic {basic}"))[0] == 200


async def test_a_one_time_link(person: Person, conn: psycopg.AsyncConnection[Any], sql: Sql) -> None:
    """Looking at it uses nothing up; its button signs in once; an old one does not."""
    assert await access.add_user(conn, "demo", None, "operate")
    assert (await person.sign_in(name="demo", password="")).status == 401
    link, old = await access.add_link(conn, "demo"), await access.add_link(conn, "demo")
    sql.execute("UPDATE desk_links SET expires_at = now() WHERE sha256 = %s", (token_hash(old),))

    async def use(secret: str) -> int:
        async with person.session.get(person.site.operator(f"/login/once?token={secret}")) as form:
            csrf = _csrf_in(await form.text())
        return await person.status("POST", "/login/once", data={"csrf": csrf, "token": secret})

    assert await use(old) == 401
    assert await use(link) == 303
    assert await person.status("GET", "/api/tasks") == 200
    person.session.cookie_jar.clear()
    assert await use(link) == 401


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/\\evil.example", "/\t/evil.example", "evil", ""]
)
async def test_where_a_login_leads(person: Person, conn: psycopg.AsyncConnection[Any], target: str) -> None:
    """Never to another host."""
    await add(conn)
    assert (await person.sign_in(next=target)).headers["Location"] == "/"


async def test_a_session_ends(dsn: str, person: Person, conn: psycopg.AsyncConnection[Any], sql: Sql) -> None:
    """When it is too old, unused for too long, or its user has another password or is removed."""
    await add(conn)
    for end in (
        "UPDATE desk_sessions SET expires_at = now()",
        "UPDATE desk_sessions SET seen_at = now() - interval '13 hours'",
        "SELECT change_desk_user('ann', 'another', FALSE)",
    ):
        assert (await person.sign_in()).status == 303
        assert await person.status("GET", "/api/tasks") == 200
        sql.execute(end)
        assert await person.status("GET", "/api/tasks") == 401
        person.session.cookie_jar.clear()
        sql.execute("UPDATE desk_users SET password = %s", (hashed(PASSWORD),))


async def test_a_feed_ends_with_its_session(
    person: Person, conn: psycopg.AsyncConnection[Any], sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is signed out does not go on following."""
    monkeypatch.setattr("eventrouter.web.access._CHECK_EVERY_S", 0.0)
    await add(conn)
    await person.sign_in()
    async with (
        person.session.get(person.site.operator("/api/events")) as events,
        person.session.ws_connect(person.site.operator("/ws")) as socket,
    ):
        assert (await socket.receive_json())["type"] == "position"
        sql.execute("DELETE FROM desk_sessions")
        assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        while await events.content.readline():
            pass


async def test_single_sign_on(dsn: str, sql: Sql) -> None:
    """The proxy's header says who it is and what they may do; a change needs the token; from elsewhere it says nothing."""
    settings = {"sso_header": "X-Forwarded-User", "sso_role_header": "X-Forwarded-Groups"}
    trusting = configuration(dsn, server={"trusted_proxies": ["127.0.0.1"]}, access=settings)
    ann = {"X-Forwarded-User": "ann@example.com"}
    async with running(trusting, with_router=False) as site:
        assert (await site.get("/api/tasks", **ann))[0] == 200
        assert (await site.get("/api/tasks"))[0] == 401
        operating = {**ann, "X-Forwarded-Groups": "staff, operate"}
        assert (await site.act("/api/halt", **operating))[0] == 403
        csrf = _csrf_of_proxy(await _shown(site, operating))
        assert (await site.act("/api/halt", **ann, **{"X-CSRF-Token": csrf}))[1]["code"] == "ROLE_VIEW"
        assert (await site.act("/api/halt", **operating, **{"X-CSRF-Token": csrf}))[0] == 200
        assert sql.execute("SELECT actor FROM controls").fetchall() == [("ann@example.com",)]
    elsewhere = configuration(dsn, server={"trusted_proxies": ["192.0.2.1"]}, access=settings)
    async with running(elsewhere, with_router=False) as site:
        assert (await site.get("/api/tasks", **ann))[0] == 401


async def _shown(site: Site, headers: dict[str, str]) -> str:
    async with site.session.get(site.operator("/signals"), headers={**headers, **BROWSER}) as answer:
        return await answer.text()


def _csrf_of_proxy(text: str) -> str:
    found = re.search(r'data-csrf="([^"]+)"', text)
    assert found
    return found[1]


async def test_headers(person: Person, conn: psycopg.AsyncConnection[Any]) -> None:
    """Every answer forbids foreign scripts, frames and guessing of types, the feed's and an error's too."""
    for path in ("/signals", "/api/tasks", "/api/events", "/static/desk.css", "/nothing", "/healthz", "/login"):
        async with person.session.get(person.site.operator(path), headers=BROWSER) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "same-origin"
            assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert "Cache-Control" in answer.headers


async def test_a_compressed_body_is_not_unpacked(person: Person, conn: psycopg.AsyncConnection[Any]) -> None:
    """Whoever sends it, and wherever to: nobody needs to, and unpacking costs what the sender likes."""
    await add(conn)
    for kind, coding in ((FORM, "gzip"), ("application/json", "deflate"), ("application/json", "nonsense")):
        headers = {"Content-Encoding": coding, "Content-Type": kind}
        for method, path in changing(person.site):
            async with person.session.request(
                method, person.site.operator(path), data=b"no such thing", headers=headers
            ) as answer:
                assert (path, answer.status) == (path, 400)
                assert "BODY_CODED" in await answer.text()


async def test_an_error_as_a_page(person: Person) -> None:
    """A browser gets a page in our words, a script JSON, with the same status."""
    async with person.session.get(person.site.operator("/nothing"), headers=BROWSER) as answer:
        assert (answer.status, answer.content_type) == (404, "text/html")
        assert "There is nothing here" in await answer.text()
    async with person.session.get(person.site.operator("/nothing")) as answer:
        assert (answer.status, answer.content_type) == (404, "application/json")


async def test_a_form_that_is_no_text(person: Person, conn: psycopg.AsyncConnection[Any]) -> None:
    """403, and no fault of ours."""
    await add(conn)
    for kind in (f"{FORM}; charset=utf-8", f"{FORM}; charset=nonsense", f"{FORM}; charset=utf-16"):
        status = await person.status("POST", "/login", data=b"csrf=\xff\xfe&name", headers={"Content-Type": kind})
        assert status == 403
    assert await person.status("POST", "/login", data=b"x", headers={"Content-Type": "text/plain"}) == 415


async def test_a_foreign_host_sees_nothing(site: Site) -> None:
    """421 for every page, feed and file (DNS rebinding), whatever the method; ours with a name before it is none of ours."""
    addresses = [(*each, "evil.example") for each in routes(site)]
    for method, path, host in [*addresses, ("GET", "/", f"evil.example@{site.listeners.operator}")]:
        request = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        status, _ = await exchange(site.listeners.operator, request.encode())
        assert (method, path, status) == (method, path, 421)
