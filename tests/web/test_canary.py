"""Secrets that may be sent anywhere, and where they must not be found: log, tables, spool, server files, answers, pages."""

import asyncio
import base64
import io
import json
import re
import shutil
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import psycopg
import pytest
from psycopg import sql

from eventrouter import ingest
from eventrouter.domain import parsers
from eventrouter.logs import configure_logging
from eventrouter.store import signals
from tests.conftest import private_directory
from tests.processes import until_async
from tests.spool.conftest import Postgres
from tests.web.live_site import Site, configuration, exchange, request, running

CANARIES = {
    "words": "kAnari-Vogel-7719",
    "hexadecimal": "c0ffee5eedc0ffee5eedc0ffee5eed77",
    "base64": "S2FuYXJpLVZvZ2VsLTc3MTk+Lw==",
    "three parts": "eyJhbGciOiJIUzI1Ng.eyJzdWIiOiJrYW5hcmkifQ.Zm9vYmFy-_x",
    "signs": "p@ss#k4nari$77^*~",
    "letters": "Känärienvögel-ß77",
    "digits": "90210777119",
    "short": "Kn4r1",
}
NAMES = (
    *("token", "secret", "passphrase", "password", "key", "apiKey", "api_secret", "auth_key", "Authorization", "pin"),
    *("license", "relay_id", "webhook_secret", "x-access-token", "email_token", "credentials", "bearer"),
)
ORDER = {"action": "buy", "symbol": "MNQ1!", "quantity": 1}
ORDER_PAIRS = "action=buy;symbol=MNQ1!;qty=1"


def bodies(name: str, canary: str) -> Iterator[bytes]:
    """A secret under its name in the forms of every family: understood, refused and broken."""
    coded, form_name = quote(canary, safe=""), quote_plus(name)
    texts = (
        json.dumps({**ORDER, name: canary}),
        json.dumps({name: canary, "action": "nonsense"}, indent=2),
        json.dumps({name: canary, **ORDER}, ensure_ascii=False),
        json.dumps({**ORDER, "deep": [{"x": {name: canary}}], "order": {name: [canary]}}),
        json.dumps({**ORDER, name: {"value": canary, "other": [1, canary]}}),
        json.dumps({**ORDER, name: [canary, None, 7]}),
        json.dumps({**ORDER, "message": json.dumps({name: canary})}),
        json.dumps(json.dumps({**ORDER, name: canary})),
        json.dumps({**ORDER, name: canary})[:-1],
        f'{{"{name}": "{canary}" "action": buy it}}',
        f"{{'{name}': '{canary}', 'action': 'buy', 'symbol': 'MNQ1!',}}",
        f'{{"{name}": "{canary}", "action": "buy", "action": "sell"}}',
        f'[{{"{name}": "{canary}"}}, {{"{name}": "{canary}"}}]',
        f"{ORDER_PAIRS};{name}={canary}",
        f"{name}={canary};{ORDER_PAIRS}",
        f"{name} = {canary}\r\naction = nonsense",
        f"{name}: {canary}\nsymbol: MNQ1!\naction: buy",
        f"action=buy&symbol=MNQ1%21&{form_name}={coded}",
        f"{form_name}={quote_plus(canary)}&{form_name}={coded}&x=1",
        f"{quote(json.dumps({**ORDER, name: canary}))}=",
        f"payload={quote(json.dumps({**ORDER, name: canary}), safe='')}",
        f'some words for people, "{name}": "{canary}", and more',
        f"buy MNQ1! {name}={canary}",
    )
    for text in texts:
        yield text.encode()
    plain = json.dumps({**ORDER, name: canary}, ensure_ascii=False)
    for codec in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        yield plain.encode(codec)
    yield b"\xff" + plain.encode() + b"\xfe"
    yield b"\0" + plain.encode()


def long_bodies(canary: str) -> Iterator[bytes]:
    """A secret that no field's name announces, but the form does: for those that are long enough to be told from words."""
    for text in (
        f"{canary},buy,EURUSD,vol=1",
        f"{canary}|plan|buy|EURUSD",
        f"{canary}\nbuy EURUSD q=1",
        f"{canary} buy EURUSD",
        json.dumps({**ORDER, "chart": f"https://me:{canary}@example.org/x"}),
        json.dumps({**ORDER, "comment": f"password: {canary}"}),
        json.dumps({**ORDER, "hook": f"https://example.org/api/webhooks/12/{canary}"}),
        json.dumps({**ORDER, "token": canary, "symbol": canary, "strategy": f"with {canary}"}),
        json.dumps({"token": canary, canary: canary, **ORDER}),
        json.dumps({"kind": "ENTRY", "trade_id": f"T-{canary}", "direction": canary, "secret": canary}),
    ):
        yield text.encode()


def own_token_bodies(token: str) -> Iterator[bytes]:
    """The sender's own token where nobody would look for one."""
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in token)
    coded = "".join(f"%{ord(letter):02X}" for letter in token)
    for text in (
        json.dumps({**ORDER, "trade_id": token, "strategy": token, "comment": f"x{token}y", "id": token}),
        json.dumps({**ORDER, "symbol": token}),
        json.dumps({**ORDER, token: 1, "sl": token}),
        f'{{"action": "buy", "symbol": "MNQ1!", "strategy": "{escaped}", "orderType": "{escaped}"}}',
        f"action=buy&symbol=MNQ1%21&strategy={coded}&order_type={coded}",
        f"buy MNQ1! {token}",
        f"action={token};symbol=MNQ1!",
        token,
        f"http://127.0.0.1/webhook/{token}",
    ):
        yield text.encode()
        yield text.encode("utf-16")


@dataclass
class Aviary:
    """A site, and everything that it said so far."""

    site: Site
    token: str
    log: io.StringIO
    said: list[bytes] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)

    async def post(self, path: str, body: bytes, **headers: bytes) -> None:
        """Sends a request as it is; what was answered is kept."""
        status, answer = await exchange(self.site.public_address, request(path, body, **headers))
        self.statuses.add(status)
        self.said.append(answer)

    async def post_all(self, alerts: Iterator[bytes], **headers: bytes) -> None:
        """To the sender's own address, many at once."""
        for together in batched(alerts, 40):
            await asyncio.gather(*(self.post(f"/webhook/{self.token}", body, **headers) for body in together))

    async def look_at_pages(self) -> None:
        """Keeps what the operator is shown."""
        pages = ["/", "/metrics", "/healthz", "/readyz", "/api/signals?limit=500", "/api/tasks?limit=500"]
        pages += ["/api/accounts", "/api/dead-letters", *(f"/api/tasks/{task}" for task in range(1, 20))]
        self.said += await asyncio.gather(*map(self._page, pages))

    async def _page(self, path: str) -> bytes:
        async with self.site.session.get(self.site.operator(path)) as answer:
            return await answer.read()

    async def explain(self, body: bytes) -> None:
        """Keeps what the operator is told about an alert."""
        _, said = await self.site.act("/api/explain", {"alert": body.decode("utf-8", "replace"), "strategy": "orb"})
        self.said.append(json.dumps(said, ensure_ascii=False).encode())


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server of this module's own, so that its files can be searched and it can be taken away."""
    home = private_directory()
    postgres = Postgres(home / "db")
    try:
        yield postgres
    finally:
        postgres.start()
        postgres.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def dsn(server: Postgres) -> str:
    """A migrated database on that server."""
    server.start()
    return server.database()


@pytest.fixture
async def aviary(dsn: str, tmp_path: Path) -> AsyncIterator[Aviary]:
    """A whole service that logs everything, with a spool."""
    stream = io.StringIO()
    configure_logging("json", "debug", stream)
    try:
        async with aviary_at(dsn, tmp_path, stream) as opened:
            yield opened
    finally:
        configure_logging("console", "warning")


@asynccontextmanager
async def aviary_at(dsn: str, place: Path, stream: io.StringIO) -> AsyncIterator[Aviary]:
    """The same on this database, with its spool below `place`."""
    async with running(configuration(dsn, server={"spool": True, "spool_dir": str(place)})) as site:
        yield Aviary(site, await site.token(), stream)


def stored(dsn: str) -> dict[str, bytes]:
    """Table → all that stands in it, bytes as they are."""
    with psycopg.connect(dsn) as conn:
        tables = conn.execute(
            "SELECT c.oid::REGCLASS::TEXT FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'public'::REGNAMESPACE"
        )
        found = {}
        for (table,) in tables.fetchall():
            rows = conn.execute(sql.SQL("SELECT * FROM {}").format(sql.SQL(table))).fetchall()
            found[table] = b"\n".join(_shown(value) for row in rows for value in row)
        return found


def _shown(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False).encode()


def spooled(place: Path) -> bytes:
    """What stands in the spool's files, with what is coded there in base64."""
    lines = b"\n".join(path.read_bytes() for path in place.rglob("*") if path.is_file())
    return lines + b"\n".join(base64.b64decode(coded) for coded in re.findall(rb'"raw":"([^"]*)"', lines))


def batched(alerts: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    """The alerts, so many at a time."""
    rest = iter(alerts)
    while together := list(islice(rest, size)):
        yield together


def spellings(canary: str) -> set[bytes]:
    """How a secret may stand somewhere."""
    texts = {
        canary,
        quote(canary, safe=""),
        quote_plus(canary),
        json.dumps(canary)[1:-1],
        json.dumps(json.dumps(canary))[3:-3],
    }
    return {text.encode() for text in texts} | {
        base64.b64encode(canary.encode()).rstrip(b"=")[:-1],
        canary.encode().hex().encode(),
    }


def assert_unseen(aviary: Aviary, canaries: Mapping[str, str], places: Mapping[str, bytes]) -> None:
    """None of the secrets stands in any place, in no spelling, nor between NULs."""
    everything = {**places, "log": aviary.log.getvalue().encode(), "answers": b"\n".join(aviary.said)}
    for place, content in everything.items():
        narrow = content.replace(b"\0", b"")
        for canary in canaries.values():
            seen = next((each for each in spellings(canary) if each in narrow), None)
            at = narrow.find(seen) if seen is not None else 0
            assert seen is None, f"{seen!r} in {place}: {narrow[max(0, at - 200) : at + 100]!r}"


async def test_secrets_in_bodies(aviary: Aviary, dsn: str, tmp_path: Path) -> None:
    """Under every usual name, in every family's form, of every look."""
    names = list(NAMES)
    for number, canary in enumerate(CANARIES.values()):
        for name in names[number % 3 :: 3]:
            await aviary.post_all(bodies(name, canary))
        if canary not in (CANARIES["short"], CANARIES["digits"], CANARIES["letters"]):
            await aviary.post_all(long_bodies(canary))
        for body in (*bodies("token", canary), *bodies("key", canary)):
            await aviary.explain(body)
    await aviary.post_all(own_token_bodies(aviary.token))
    await aviary.look_at_pages()
    assert {200, 422} <= aviary.statuses <= {200, 422}
    secrets = CANARIES | {"own": aviary.token}
    assert b"[redacted]" in stored(dsn)["automated_signals"]
    assert_unseen(aviary, secrets, {**stored(dsn), "spool": spooled(tmp_path)})


async def test_secrets_beside_bodies(aviary: Aviary, dsn: str) -> None:
    """In the path, the query, headers; with a token that is valid and one that is not."""
    order = json.dumps(ORDER).encode()
    for canary in [*CANARIES.values(), aviary.token]:
        plain, coded = canary.encode(), quote(canary, safe="")
        headers = {"Authorization": b"Bearer " + plain, "Cookie": b"sid=" + plain, "X_Api_Key": plain}
        headers |= {
            "Proxy_Authorization": b"Basic " + base64.b64encode(plain),
            "Referer": b"https://me:" + plain + b"@x/",
        }
        headers |= {
            "User_Agent": b"bot token=" + plain,
            "X_Request_Id": b"key=" + plain,
            "Content_Type": b"text/plain; key=" + plain,
        }
        for path in (aviary.token, coded, "A" * 32, f"{aviary.token}/{coded}", f"{coded}%2F{coded}"):
            for query in ("", f"?token={coded}", f"?{coded}", f"?a=b&secret={coded}&x=https://me:{coded}@h"):
                await aviary.post(f"/webhook/{path}{query}", order, **headers)
        await aviary.post("/webhook", json.dumps({**ORDER, "token": canary}).encode(), **headers)
    for header in ("User_Agent", "X_Request_Id", "X_Forwarded_For", "Date", "Content_Type"):
        await aviary.post(f"/webhook/{aviary.token}", order, **{header: f"x {aviary.token} y".encode()})
    await aviary.look_at_pages()
    assert {200, 401, 404} <= aviary.statuses <= {200, 401, 404, 422}
    assert_unseen(aviary, CANARIES | {"own": aviary.token}, stored(dsn))


async def test_secrets_in_an_outage(server: Postgres, aviary: Aviary, dsn: str, tmp_path: Path) -> None:
    """What waits in the spool is as clean as what is stored, and so is what comes out of it, and what the server wrote."""
    canary = CANARIES["words"]
    await aviary.post_all(bodies("token", canary))
    server.stop()
    for name in ("token", "password", "apiKey"):
        await aviary.post_all(bodies(name, canary))
    await aviary.post_all(long_bodies(canary))
    await aviary.post_all(own_token_bodies(aviary.token), User_Agent=f"{aviary.token}".encode())
    assert 202 in aviary.statuses
    waiting = spooled(tmp_path)
    assert b"[redacted]" in waiting
    await aviary.look_at_pages()
    server.start()

    async def drained() -> bool:
        return (
            aviary.site.service.context.ingest is not None
            and aviary.site.service.context.ingest.spool_state["state"] == "empty"
        )

    await until_async(drained, within_s=30, what="an empty spool")
    await aviary.look_at_pages()
    secrets = CANARIES | {"own": aviary.token}
    assert_unseen(aviary, secrets, {**stored(dsn), "spool": waiting, "spool afterwards": spooled(tmp_path)})


async def test_secrets_in_faults(server: Postgres, aviary: Aviary, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of a parser, of the handler, of the database, a row that it refuses: tracebacks and server logs say nothing."""
    canary = CANARIES["three parts"]
    for place, name, broken in (
        (parsers, "read_body", _raising(lambda raw, *_: RuntimeError(repr(raw.replace(aviary.token.encode(), b""))))),
        (
            ingest.Alert,
            "now",
            _raising(lambda *_, **more: RuntimeError(f"token={more['secrets']} /webhook/{aviary.token}")),
        ),
        (signals, "_resolve_one", _raising(lambda alert, *_: RuntimeError(repr(alert)))),
        (ingest, "understand", _raising(lambda reading, *_, **__: RuntimeError(repr(reading)))),
        (signals, "_record", lambda *_: '"\\u0000"'),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(place, name, broken)
            await aviary.post_all(bodies("token", canary))
            await aviary.post_all(own_token_bodies(aviary.token))
    assert {422, 503} <= aviary.statuses
    log = aviary.log.getvalue()
    assert "Traceback" in log
    assert "NOT_STORABLE" in log
    await aviary.look_at_pages()
    secrets = {"canary": canary, "own": aviary.token}
    assert_unseen(aviary, secrets, stored(dsn) | await asyncio.to_thread(files_of, server))


def _raising(fault_of: Any) -> Any:
    def broken(*arguments: Any, **named: Any) -> Any:
        raise fault_of(*arguments, **named)

    return broken


def files_of(server: Postgres) -> dict[str, bytes]:
    """The files of a server, its log and write-ahead log among them."""
    found = {}
    for path in server.home.rglob("*"):
        if path.is_file():
            found[str(path.relative_to(server.home))] = path.read_bytes()
    return found
