"""Connections: what slow clients can take from the others, which is nothing."""

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest

from eventrouter import app
from eventrouter.config import Address
from eventrouter.domain.parsers import MOST_BYTES
from eventrouter.ingest import Alert
from eventrouter.logs import configure_logging
from eventrouter.web import connections, webhook
from eventrouter.web.connections import Connections
from tests.processes import PATIENCE_S, until_async
from tests.web.feed_reader import READERS
from tests.web.live_site import ENTRY, Site, configuration, request, running
from tests.web.raw_client import HALF, RawClient, alert_to

Connect = Callable[..., Any]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Makes clients that have sent some bytes."""
    clients: list[RawClient] = []

    async def connected(address: Address, data: bytes = b"") -> RawClient:
        client = RawClient(*await asyncio.open_connection(address.host, address.port))
        clients.append(client)
        await client.send(data)
        return client

    yield connected
    for client in clients:
        client.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers have 0.3 s to arrive, and an answer to be taken."""
    monkeypatch.setattr(connections, "_HEADERS_WITHIN_S", 0.3)
    monkeypatch.setattr(connections, "_ANSWER_WITHIN_S", 0.3)
    monkeypatch.setattr(connections, "_SWEEP_S", 0.05)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing slow is closed for being slow."""
    monkeypatch.setattr(connections, "_HEADERS_WITHIN_S", 600.0)
    monkeypatch.setattr(webhook, "_BODY_WITHIN_S", 600.0)


@asynccontextmanager
async def holding(dsn: str, most: int) -> AsyncIterator[Site]:
    """A service without a router that holds at most so many connections of senders."""
    async with running(configuration(dsn, server={"max_connections": most}), with_router=False) as site:
        yield site


def table(site: Site, name: str = "public") -> Connections:
    """The connections of a listener."""
    return next(each.connections for each in site.listeners.opened if each.name == name)


async def settled(site: Site, *, idle: int, in_hand: int = 0, evicted: int = 0) -> None:
    """Returns when the public listener has so many connections, and has made room so often."""

    async def found() -> bool:
        held = table(site)
        told = (len(held._idle), len(held._open) - len(held._idle), closed(site).get("evicted", 0))
        return told == (idle, in_hand, evicted)

    await until_async(found, what=f"{idle} idle, {in_hand} in hand and {evicted} evicted")


def closed(site: Site, name: str = "public") -> dict[str, float]:
    """How many connections of a listener the service has closed itself, by reason."""
    [family] = site.service.metrics.connections_closed.collect()
    totals = [each for each in family.samples if each.name.endswith("_total") and each.labels["listener"] == name]
    return {each.labels["reason"]: each.value for each in totals}


class Gate:
    """Holds every alert in hand until it is opened."""

    def __init__(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        assert site.service.context.ingest is not None
        self._accept = site.service.context.ingest.accept
        self._opened = asyncio.Event()
        monkeypatch.setattr(site.service.context.ingest, "accept", self._wait)

    async def _wait(self, alert: Alert) -> Any:
        await self._opened.wait()
        return await self._accept(alert)

    def open(self) -> None:
        """Lets them all go on."""
        self._opened.set()


# slow clients


@pytest.mark.usefixtures("patient")
async def test_slow_clients_hold_up_no_alert(site: Site, token: str, connect: Connect) -> None:
    """300 half headers and 50 dripping bodies are open, and stay so, while an alert is answered."""
    slow = [await connect(site.public_address, HALF) for _ in range(300)]
    for number in range(50):
        slow.append(await connect(site.public_address, alert_to(token, f"T-{number}")[:-100]))
        slow[-1].drip(b" ")
    await settled(site, idle=300, in_hand=50)
    assert await (await connect(site.public_address, alert_to(token))).answer() == 200
    await settled(site, idle=301, in_hand=50)
    assert all(client.open for client in slow)


@pytest.mark.usefixtures("patient")
async def test_the_longest_idle_makes_room(dsn: str, connect: Connect) -> None:
    """However many slow clients there are, a new connection finds room, and costs the one that did nothing for longest."""
    async with holding(dsn, 4) as site:
        token = await site.token()
        slow = [await connect(site.public_address, HALF) for _ in range(40)]
        await asyncio.gather(*(client.rest() for client in slow[:36]))
        assert [client.open for client in slow[36:]] == [True] * 4
        sender = await connect(site.public_address, alert_to(token))
        assert await sender.answer() == 200
        assert await slow[36].rest() == b""
        assert [client.open for client in slow[37:]] == [True] * 3
        assert closed(site) == {"evicted": 37}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("sent", "drips"),
    [(b"", b""), (b"", b"\n"), (HALF, b""), (HALF, b"x")],
    ids=["nothing", "dripping line ends", "half a header", "a dripping header"],
)
@pytest.mark.parametrize("name", ["public", "operator"])
async def test_headers_have_a_deadline(dsn: str, connect: Connect, sent: bytes, drips: bytes, name: str) -> None:
    """A client that says nothing, and one that never comes to the end of its headers, is closed, byte by byte or not."""
    async with holding(dsn, 100) as site:
        address = site.public_address if name == "public" else site.listeners.operator
        slow = [await connect(address, sent) for _ in range(20)]
        if drips:
            for client in slow:
                client.drip(drips)
        for client in slow:
            assert await client.rest() == b""
        assert closed(site, name) == {"slow": 20}


async def test_between_two_alerts_there_is_time(dsn: str, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that has brought an alert outlives the deadline of first headers, and ends at aiohttp's own."""
    monkeypatch.setattr(connections, "_HEADERS_WITHIN_S", 0.3)
    async with holding(dsn, 100) as site:
        token = await site.token()
        sender = await connect(site.public_address)
        for number in range(5):
            await sender.send(alert_to(token, f"T-{number}"))
            assert await sender.answer() == 200
            assert await (await connect(site.public_address, HALF)).rest() == b""
        assert closed(site) == {"slow": 5}


@pytest.mark.parametrize("sent", [b"", HALF], ids=["nothing", "half a header"])
async def test_a_kept_connection_ends(dsn: str, connect: Connect, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """After an answer nothing, and nothing whole, keeps a connection open for longer than it may be kept."""
    monkeypatch.setattr(connections, "_KEEP_ALIVE_S", 0.5)
    async with holding(dsn, 100) as site:
        sender = await connect(site.public_address, alert_to(await site.token()))
        assert await sender.answer() == 200
        await sender.send(sent)
        assert await sender.rest() == b""
        assert closed(site) == {}


@pytest.mark.usefixtures("patient")
async def test_a_busy_sender_is_never_cut_off(dsn: str, connect: Connect) -> None:
    """Alert after alert over one connection, the oldest of all, while slow clients push each other out."""
    async with holding(dsn, 4) as site:
        token = await site.token()
        sender = await connect(site.public_address)
        for number in range(30):
            await sender.send(alert_to(token, f"T-{number}"))
            assert await sender.answer() == 200
            for _ in range(3):
                await connect(site.public_address, HALF)
            await settled(site, idle=4, evicted=3 * number)


# requests in hand


async def crowd(held: Connections, monkeypatch: pytest.MonkeyPatch, another: Callable[[], Any]) -> None:
    """Eleven slow clients, of which each evicts the one before, and the last runs out of time, as all others would."""
    for each in held._open.values():
        each.idle_until = 0.0
    slow = [await another() for _ in range(10)]
    monkeypatch.setattr(connections, "_HEADERS_WITHIN_S", 0.1)
    slow.append(await another())
    for client in slow:
        assert await client.rest() == b""


@pytest.mark.usefixtures("patient")
async def test_a_request_in_hand_is_never_closed(dsn: str, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for room nor for time: an alert that waits for the database gets its answer."""
    async with holding(dsn, 3) as site:
        token, gate = await site.token(), Gate(site, monkeypatch)
        senders = [await connect(site.public_address, alert_to(token, f"T-{number}")) for number in range(2)]
        await settled(site, idle=0, in_hand=2)
        await crowd(table(site), monkeypatch, lambda: connect(site.public_address, HALF))
        assert closed(site) == {"evicted": 10, "slow": 1}
        gate.open()
        assert [await sender.answer() for sender in senders] == [200, 200]


async def test_without_any_room_the_new_one_is_refused(
    dsn: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets a 503, so that its sender tries again; when there is room it is let in."""
    async with holding(dsn, 2) as site:
        token, gate = await site.token(), Gate(site, monkeypatch)
        senders = [await connect(site.public_address, alert_to(token, f"T-{number}")) for number in range(2)]
        await settled(site, idle=0, in_hand=2)
        refused = await (await connect(site.public_address)).rest()
        head, body = refused.split(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 5" in head
        assert json.loads(body)["code"] == "TOO_MANY"
        assert closed(site) == {"refused": 1}
        gate.open()
        assert [await sender.answer() for sender in senders] == [200, 200]
        assert await (await connect(site.public_address, alert_to(token, "T-3"))).answer() == 200


@pytest.mark.usefixtures("patient")
async def test_a_feed_is_in_hand(dsn: str, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Followers of both kinds are told of an alert after slow clients have come and gone on their listener."""
    monkeypatch.setattr(app, "_OPERATOR_CONNECTIONS", 3)
    async with holding(dsn, 100) as site, AsyncExitStack() as stack:
        feeds = [reader(site) for reader in READERS.values()]
        for feed in feeds:
            stack.push_async_callback(feed.aclose)
            assert (await anext(feed))[1] is None
        await crowd(table(site, "operator"), monkeypatch, lambda: connect(site.listeners.operator, HALF))
        assert closed(site, "operator") == {"evicted": 10, "slow": 1}
        _, answer = await site.alert(await site.token(), ENTRY)
        for feed in feeds:
            row = (await anext(feed))[1]
            assert row is not None
            assert [row["task_id"]] == answer["tasks"]


# answers


@pytest.mark.usefixtures("impatient")
async def test_an_answer_that_nobody_takes(dsn: str, connect: Connect) -> None:
    """A client that asks and asks and reads nothing is closed, though aiohttp waits for it for ever."""
    async with holding(dsn, 100) as site:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            address = site.listeners.operator
            await asyncio.get_running_loop().sock_connect(sock, (address.host, address.port))
            asking = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100
            with suppress(ConnectionError):
                async with asyncio.timeout(PATIENCE_S):
                    while True:
                        await asyncio.get_running_loop().sock_sendall(sock, asking)
        assert closed(site, "operator") == {"slow": 1}


@pytest.mark.parametrize("drips", [b"", b" "], ids=["silent", "dripping"])
@pytest.mark.parametrize(
    ("length", "status"), [(500, 408), (MOST_BYTES + 1, 413)], ids=["shorter than announced", "too large"]
)
async def test_a_body_that_does_not_end_ends_the_connection(
    dsn: str, connect: Connect, monkeypatch: pytest.MonkeyPatch, drips: bytes, length: int, status: int
) -> None:
    """One answer, and the connection is closed, whatever still comes."""
    monkeypatch.setattr(webhook, "_BODY_WITHIN_S", 0.3)
    monkeypatch.setattr(connections, "_LINGER_S", 0.2)
    async with holding(dsn, 100) as site:
        sender = await connect(site.public_address, alert_to(await site.token()))
        assert await sender.answer() == 200
        head = request(f"/webhook/{await site.token()}", Content_Length=str(length).encode())
        await sender.send(head.replace(b"Connection: close\r\n", b"") + b"{")
        if drips:
            sender.drip(drips)
        assert await sender.answer() == status
        assert await sender.rest() == b""
        assert closed(site) == {}


async def test_nothing_follows_a_body_that_came_too_late(
    site: Site, token: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of it and another alert over the same connection get no second answer."""
    monkeypatch.setattr(webhook, "_BODY_WITHIN_S", 0.3)
    whole = alert_to(token)
    sender = await connect(site.public_address, whole[:-10])
    assert await sender.answer() == 408
    await sender.send(whole[-10:] + whole)
    assert await sender.rest() == b""


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that the process logs, from warnings up."""
    stream = io.StringIO()
    configure_logging("json", "warning", stream)
    yield stream
    configure_logging("console", "warning")


@pytest.mark.parametrize("known", [True, False], ids=["known token", "unknown token"])
@pytest.mark.parametrize("body", [b"", b"Content-Encoding: gzip\r\n"], ids=["cut off", "no gzip"])
async def test_a_body_that_breaks_off_is_no_fault_of_ours(
    site: Site, token: str, connect: Connect, log: io.StringIO, *, known: bool, body: bytes
) -> None:
    """Anybody can send one as often as he likes, so nothing of it is logged but the unknown token."""
    head = f"POST /webhook/{token if known else 'x'} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n".encode()
    client = await connect(site.public_address, head + body + b"\r\nnonsense")
    await settled(site, idle=0, in_hand=1) if known and not body else await client.answer()
    client.close()
    await settled(site, idle=0)
    assert [json.loads(line)["event"] for line in log.getvalue().splitlines()] == [] if known else ["token_unknown"]
