"""The user hub against a server of the test's own: connecting, subscribing, frames, and every way of being lost."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from eventrouter.connectors.projectx.events import Events
from eventrouter.connectors.projectx.hub import Hub, Pace, backoff_s
from eventrouter.connectors.projectx.json_values import Unreadable
from eventrouter.connectors.projectx.signalr import Records
from eventrouter.domain.broker import (
    BrokerAccount,
    BrokerEvent,
    BrokerOrder,
    Fill,
    Gap,
    OrderSide,
    OrderState,
    Position,
)
from tests.connectors.hub_server import END, HubServer, Peer, hub_server

TOKEN = "token-that-nobody-may-see"
ORDER = {
    "id": 5,
    "accountId": 7,
    "contractId": "CON.F.US.MNQ.Z26",
    "symbolId": "F.US.MNQ",
    "creationTimestamp": "2026-11-23T15:00:00.123+00:00",
    "status": 1,
    "type": 1,
    "side": 0,
    "size": 2,
    "limitPrice": 23990.25,
    "fillVolume": 1,
    "filledPrice": 23990.25,
    "customTag": "tag",
}
POSITION = {
    "id": 1,
    "accountId": 7,
    "contractId": "CON.F.US.MNQ.Z26",
    "creationTimestamp": "2026-11-23T15:00:00Z",
    "type": 2,
    "size": 3,
    "averagePrice": 23990.5,
}
TRADE = {
    "id": 9,
    "accountId": 7,
    "contractId": "CON.F.US.MNQ.Z26",
    "creationTimestamp": "2026-11-23T10:00:00-05:00",
    "price": 23990.25,
    "profitAndLoss": None,
    "fees": 0.37,
    "side": 1,
    "size": 1,
    "voided": False,
    "orderId": 5,
}
MONEY = {"id": 7, "name": "PRACTICE-7", "balance": 49_999.63, "canTrade": True, "isVisible": True, "simulated": True}


class Client:
    """A hub client for the accounts 7 and 8, ours being `seven` and nobody's; what it reports is `events`."""

    def __init__(self, url: str, session: aiohttp.ClientSession, **pace: Any) -> None:
        self.events = Events({"7": "seven"}.get)
        self.forgotten: list[str] = []
        self.tokens = 0
        self.delays: list[int] = []
        self.lost = asyncio.Semaphore(0)
        self.connected_when_lost = False
        self.hub = Hub(
            url,
            session=lambda: session,
            token=self.token,
            forget=self.forgotten.append,
            accounts=self.accounts,
            on_event=self.events.take,
            on_gap=self.events.gap,
            pace=Pace(**{"delay_s": self.delay_s, **pace}),
        )
        self.task = asyncio.create_task(self.hub.run())

    async def token(self) -> str:
        """A new one every time."""
        self.tokens += 1
        return f"{TOKEN}-{self.tokens}"

    async def accounts(self) -> Sequence[int]:
        """Two."""
        return (7, 8)

    def delay_s(self, failures: int) -> float:
        """At once, and noted."""
        self.delays.append(failures)
        self.connected_when_lost |= self.hub.connected
        self.lost.release()
        return 0.0

    async def next(self) -> BrokerEvent:
        """The next event."""
        event = await self.events.next()
        assert event is not None
        return event

    async def stop(self) -> None:
        """Ends it."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def server() -> AsyncIterator[HubServer]:
    """A hub."""
    async with hub_server(expected=7) as made:
        yield made


@pytest.fixture
async def connect(server: HubServer) -> AsyncIterator[Any]:
    """Starts clients of it."""
    clients: list[Client] = []
    async with aiohttp.ClientSession() as session:

        def connected(**pace: Any) -> Client:
            clients.append(Client(server.url, session, **pace))
            return clients[-1]

        yield connected
        for client in clients:
            await client.stop()


async def joined(server: HubServer, client: Client) -> Peer:
    """The server's side of a client that reported its Gap."""
    assert isinstance(await client.next(), Gap)
    assert client.hub.connected
    return await server.peers.get()


async def test_it_negotiates_shakes_hands_and_subscribes(server: HubServer, connect: Any) -> None:
    """With its token in the address and in a header, for every account, and only then says that there was a gap."""
    peer = await joined(server, connect())
    assert peer.request.query["id"] == "t-1"
    assert peer.request.query["access_token"] == f"{TOKEN}-1"
    assert server.negotiations[0].query["negotiateVersion"] == "1"
    assert server.negotiations[0].headers["Authorization"] == f"Bearer {TOKEN}-1"
    per_account = ("SubscribeOrders", "SubscribePositions", "SubscribeTrades")
    calls = {("SubscribeAccounts", ()), *((topic, (account,)) for account in (7, 8) for topic in per_account)}
    assert set(peer.subscribed()) == calls


@pytest.mark.parametrize("status", [404, 405])
async def test_a_hub_without_negotiation(status: int, server: HubServer, connect: Any) -> None:
    """It connects without an id."""
    server.negotiation = web.Response(status=status)
    peer = await joined(server, connect())
    assert "id" not in peer.request.query


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("binary", [True, False])
async def test_events_in_every_form(binary: bool, wrapped: bool, server: HubServer, connect: Any) -> None:
    """Bare or wrapped, in text or binary frames: an order, a fill, a position, an account."""
    server.binary = binary
    client = connect()
    peer = await joined(server, client)
    for target, body in (
        ("GatewayUserOrder", ORDER),
        ("GatewayUserTrade", TRADE),
        ("GatewayUserPosition", POSITION),
        ("GatewayUserAccount", MONEY),
    ):
        await peer.report(target, {"action": 1, "data": body} if wrapped else body, binary=binary)
    order, fill, position, account = [await client.next() for _ in range(4)]
    assert isinstance(order, BrokerOrder)
    assert (order.id, order.account, order.client_order_id, order.side) == ("5", "seven", "tag", OrderSide.BUY)
    assert (order.state, order.quantity, order.filled) == (OrderState.WORKING, Decimal(2), Decimal(1))
    assert (order.limit_price, order.average_price) == (Decimal("23990.25"), Decimal("23990.25"))
    assert order.created_at.isoformat() == "2026-11-23T15:00:00.123000+00:00"
    assert isinstance(fill, Fill)
    assert (fill.order_id, fill.side, fill.price, fill.fee) == (
        "5",
        OrderSide.SELL,
        Decimal("23990.25"),
        Decimal("0.37"),
    )
    assert fill.at.isoformat() == "2026-11-23T15:00:00+00:00"
    assert fill.profit_and_loss is None
    assert isinstance(position, Position)
    assert (position.quantity, position.average_price) == (Decimal(-3), Decimal("23990.5"))
    assert isinstance(account, BrokerAccount)
    assert (account.account, account.balance) == ("seven", Decimal("49999.63"))


async def test_several_records_in_a_frame_and_a_record_in_several(server: HubServer, connect: Any) -> None:
    """Frames and records need not agree, not even within a character."""
    client = connect()
    peer = await joined(server, client)
    event = {"type": 1, "target": "GatewayUserPosition", "arguments": [POSITION]}
    await peer.say({"type": 6}, event, {"type": 6}, event)
    assert isinstance(await client.next(), Position)
    assert isinstance(await client.next(), Position)
    order = json.dumps(
        {"type": 1, "target": "GatewayUserOrder", "arguments": [{**ORDER, "customTag": "ü"}]}, ensure_ascii=False
    )
    raw = (order + END).encode()
    cut = raw.index("ü".encode()) + 1
    await peer.socket.send_bytes(raw[:cut])
    await peer.socket.send_bytes(raw[cut:])
    shown = await client.next()
    assert isinstance(shown, BrokerOrder)
    assert shown.client_order_id == "ü"


async def test_events_before_the_subscriptions_are_confirmed(server: HubServer, connect: Any) -> None:
    """They are passed on; the Gap after them tells to read anyway."""
    server.before_confirming = [{"type": 1, "target": "GatewayUserPosition", "arguments": [POSITION]}]
    client = connect()
    assert isinstance(await client.next(), Position)
    assert isinstance(await client.next(), Gap)


async def test_other_accounts_and_unknown_events_are_nobodys(server: HubServer, connect: Any) -> None:
    """Only accounts that are configured, and events that are documented."""
    client = connect()
    peer = await joined(server, client)
    await peer.report("GatewayUserOrder", {**ORDER, "accountId": 8})
    await peer.report("GatewayLogout", {"why": "?"})
    await peer.report("GatewayUserOrder", ORDER)
    shown = await client.next()
    assert isinstance(shown, BrokerOrder)
    assert shown.account == "seven"


@pytest.mark.parametrize(
    "body",
    [
        None,
        "text",
        {},
        {**ORDER, "side": 3},
        {**ORDER, "creationTimestamp": "2026-11-23T15:00:00"},
        {**ORDER, "size": "2"},
        {**ORDER, "fillVolume": True},
        {"data": {**ORDER, "contractId": ""}},
    ],
)
async def test_an_event_that_cannot_be_read_is_a_gap(body: object, server: HubServer, connect: Any) -> None:
    """Something happened, and asking tells what."""
    client = connect()
    peer = await joined(server, client)
    await peer.report("GatewayUserOrder", body)
    assert isinstance(await client.next(), Gap)


@pytest.mark.parametrize(
    ("body", "quantity"),
    [
        ({"action": 2, "data": {**POSITION, "type": 0, "size": 0}}, Decimal(0)),
        ({**POSITION, "size": 0}, Decimal(0)),
        ({"action": 1, "data": POSITION}, Decimal(-3)),
        ({"action": 2, "data": POSITION}, None),
        ({"action": 1, "data": {**POSITION, "type": 0}}, None),
        ({"action": 1, "data": {**POSITION, "size": -3}}, None),
    ],
)
async def test_how_a_position_ends(body: object, quantity: Decimal | None, server: HubServer, connect: Any) -> None:
    """Flat is said in more than one way; where it is not clear there is a Gap instead of a position."""
    client = connect()
    peer = await joined(server, client)
    await peer.report("GatewayUserPosition", body)
    event = await client.next()
    assert (event.quantity if isinstance(event, Position) else None) == quantity
    assert isinstance(event, Position | Gap)


async def test_every_connection_begins_with_a_gap(server: HubServer, connect: Any) -> None:
    """Lost by the server, it comes back with a new token, subscribes again, and says that something may be missing."""
    client = connect()
    for number in (1, 2, 3):
        peer = await joined(server, client)
        assert peer.request.query["access_token"] == f"{TOKEN}-{number}"
        assert len(peer.calls) == 7
        await peer.socket.close()
    assert not client.connected_when_lost


async def test_the_server_says_goodbye(server: HubServer, connect: Any) -> None:
    """SignalR's own close message ends the connection too."""
    client = connect()
    await (await joined(server, client)).say({"type": 7, "error": "shutting down", "allowReconnect": True})
    await joined(server, client)


async def test_nonsense_ends_the_connection(server: HubServer, connect: Any) -> None:
    """Whoever sends what is no JSON cannot be followed any further."""
    client = connect()
    await (await joined(server, client)).socket.send_str("{nonsense" + END)
    await joined(server, client)


async def test_a_silent_server_is_left(server: HubServer, connect: Any) -> None:
    """Half-open: no ping, no event, no end. After a while it connects again."""
    client = connect(silent_for_s=0.05)
    await joined(server, client)
    await joined(server, client)


async def test_we_ping(server: HubServer, connect: Any) -> None:
    """Or the server would take us for gone."""
    peer = await joined(server, connect(ping_every_s=0.01))
    await peer.pings.get()
    await peer.pings.get()


async def test_a_refused_token_is_forgotten(server: HubServer, connect: Any) -> None:
    """Whether the hub refuses it when negotiating or when connecting."""
    server.negotiation = web.Response(status=401)
    client = connect()
    await client.lost.acquire()
    assert client.forgotten[0] == f"{TOKEN}-1"
    server.negotiation = None
    await joined(server, client)
    server.upgrade_status = [401]
    before = len(client.forgotten)
    other = connect()
    await joined(server, other)
    assert other.forgotten == [f"{TOKEN}-1"]
    assert len(client.forgotten) == before


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=500),
        web.Response(status=307, headers={"Location": "/elsewhere"}),
        web.Response(text="no JSON"),
        web.json_response({"url": "https://elsewhere.example/hub", "accessToken": "x"}),
        web.json_response({"connectionToken": 5}),
    ],
    ids=["500", "redirect", "no JSON", "elsewhere", "no text"],
)
async def test_a_failed_negotiation_is_tried_again_ever_later(
    answer: web.Response, server: HubServer, connect: Any
) -> None:
    """And no token goes to an address that is not the configured one."""
    server.negotiation = answer
    client = connect()
    for _ in range(3):
        await client.lost.acquire()
    assert client.delays[:3] == [0, 1, 2]
    assert server.upgrades == []
    server.negotiation = None
    peer = await joined(server, client)
    await peer.socket.close()
    await joined(server, client)
    assert client.delays[-1] == 0


async def test_a_refused_handshake_and_a_refused_subscription(server: HubServer, connect: Any) -> None:
    """Neither counts as connected."""
    server.handshake = {"error": "no such protocol"}
    client = connect()
    await client.lost.acquire()
    server.handshake, server.refused = {}, "SubscribeTrades"
    await server.peers.get()
    server.refused = None
    before = len(server.upgrades)
    assert isinstance(await client.next(), Gap)
    assert len(server.upgrades) > before
    assert client.hub.connected


async def test_subscriptions_that_are_never_confirmed(server: HubServer, connect: Any) -> None:
    """The step has its time, then it begins anew."""
    server.confirms = False
    client = connect(step_within_s=0.05)
    await server.peers.get()
    server.confirms = True
    await server.peers.get()
    assert isinstance(await client.next(), Gap)


async def test_it_survives_a_fault_of_its_own(server: HubServer, connect: Any) -> None:
    """An exception that nobody foresaw costs a connection, never the reports for good."""
    client = connect()

    async def broken() -> Sequence[int]:
        client.hub._accounts = client.accounts
        raise RuntimeError("broken")

    client.hub._accounts = broken
    await joined(server, client)


async def test_too_many_events_become_one_gap() -> None:
    """A part of them is of no use."""
    events = Events({"7": "seven"}.get, most=3)
    held = {**POSITION, "averagePrice": Decimal("23990.5")}
    for _ in range(4):
        events.take("GatewayUserPosition", held)
    events.take("GatewayUserPosition", [held])
    events.end()
    assert [type(await events.next()) for _ in range(3)] == [Gap, Position, type(None)]


def test_a_record_without_an_end() -> None:
    """Memory is bounded."""
    records = Records()
    for _ in range(4):
        assert records.feed("x" * 1_000_000) == []
    with pytest.raises(Unreadable):
        records.feed("x" * 1_000_000)


def test_the_delay_doubles_up_to_half_a_minute() -> None:
    """Half of it is chance, so that not all come back at once."""
    for failures, longest in ((0, 0.5), (1, 1.0), (3, 4.0), (6, 30.0), (1_000, 30.0)):
        drawn = [backoff_s(failures) for _ in range(50)]
        assert longest / 2 <= min(drawn) < max(drawn) <= longest
