"""The user hub over a real WebSocket: SignalR's JSON protocol, subscriptions, events, and connections that break."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from eventrouter.simulator import hub as hubs
from tests.simulator.client import (
    ACCOUNT,
    BUY,
    CANCELLED,
    FILLED,
    LIMIT,
    MARKET,
    MNQ,
    OPEN,
    PENDING,
    SELL,
    SUSPENDED,
    Client,
    HubClient,
    bracket,
)
from tests.simulator.conftest import Connect, Start


async def subscribed(connect: Connect, client: Client) -> HubClient:
    """A connection that hears everything of the first account."""
    hub = await connect(client)
    assert await hub.invoke("SubscribeAccounts") == {"type": 3, "invocationId": "7", "result": None}
    for topic in ("Orders", "Positions", "Trades"):
        assert "error" not in await hub.invoke(f"Subscribe{topic}", ACCOUNT)
    return hub


# connecting


async def test_negotiation(client: Client) -> None:
    """No token is needed for it; a WebSocket is what it offers."""
    async with client.session.post(f"{client.url}/hubs/user/negotiate?negotiateVersion=1") as answer:
        body = await answer.json()
    assert body["negotiateVersion"] == 1
    assert body["availableTransports"] == [{"transport": "WebSockets", "transferFormats": ["Text", "Binary"]}]
    address = f"{client.url}/hubs/user?id={body['connectionToken']}"
    headers = {"Authorization": f"Bearer {client.token}"}
    async with client.session.ws_connect(address, headers=headers) as socket:
        assert await HubClient(socket).handshake() == {}


@pytest.mark.parametrize("query", ["", "?access_token=", "?access_token=sim.wrong"])
async def test_a_token_is_needed(client: Client, query: str) -> None:
    """401 before the socket opens."""
    with pytest.raises(WSServerHandshakeError) as refused:
        await client.session.ws_connect(f"{client.url}/hubs/user{query}")
    assert refused.value.status == 401


async def test_only_json_is_spoken(client: Client) -> None:
    """Another protocol is refused, and the connection closed."""
    async with client.session.ws_connect(f"{client.url}/hubs/user?access_token={client.token}") as socket:
        assert "error" in await HubClient(socket).handshake("messagepack")
        assert (await socket.receive()).type is WSMsgType.CLOSE


async def test_text_and_binary_frames_are_understood(client: Client, connect: Connect) -> None:
    """Also several records in one frame, which are answered in order."""
    hub = await connect(client)
    assert (await hub.invoke("SubscribeOrders", ACCOUNT, binary=True))["invocationId"] == "7"
    call = {"type": 1, "target": "SubscribeTrades", "arguments": [ACCOUNT]}
    frame = "".join(json.dumps({**call, "invocationId": each}) + "\x1e" for each in ("1", "2"))
    await hub.socket.send_str(frame)
    assert [(await hub.next())["invocationId"] for _ in range(2)] == ["1", "2"]


async def test_nonsense_ends_the_connection(client: Client, connect: Connect) -> None:
    """A record that is no JSON object."""
    hub = await connect(client)
    await hub.socket.send_str("nonsense\x1e")
    assert (await hub.socket.receive()).type in (WSMsgType.CLOSE, WSMsgType.CLOSED)


async def test_a_ping_when_nothing_happens(client: Client, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server shows that it is there; the client's own pings are not answered."""
    monkeypatch.setattr(hubs, "PING_EVERY_S", 0.01)
    hub = await connect(client)
    await hub.send({"type": 6})
    for _ in range(3):
        assert (await hub.socket.receive()).data == '{"type":6}\x1e'


@pytest.mark.parametrize(
    ("target", "arguments"),
    [("SubscribeNonsense", []), ("Nonsense", []), ("SubscribeOrders", [7]), ("SubscribeOrders", []), ("Subscribe", [])],
)
async def test_calls_that_fail(client: Client, connect: Connect, target: str, arguments: list[int]) -> None:
    """The completion has an error; the connection stays."""
    hub = await connect(client)
    assert (await hub.invoke(target, *arguments))["error"]
    assert "error" not in await hub.invoke("SubscribeAccounts")


# events


async def test_an_order_with_its_bracket(client: Client, connect: Connect) -> None:
    """Its whole life: pending and suspended, filled, booked, working; then the target fills and the stop is cancelled."""
    hub = await subscribed(connect, client)
    await client.placed(2, customTag="t", **bracket(-40, 80))
    await client.price(24_020)
    seen: list[tuple[str, Any]] = []
    while not seen or seen[-1] != ("t-SL", CANCELLED):
        record = await hub.next()
        assert record["type"] == 1
        data = record["arguments"][0]["data"]
        if record["target"] == "GatewayUserOrder":
            seen.append((data["customTag"], data["status"]))
        else:
            seen.append((record["target"].removeprefix("GatewayUser"), data.get("size", data.get("balance"))))
    assert seen == [
        ("t", PENDING),
        ("t-SL", SUSPENDED),
        ("t-TP", SUSPENDED),
        ("t", FILLED),
        ("Trade", 2),
        ("Position", 2),
        ("Account", 49_999.26),
        ("t-SL", OPEN),
        ("t-TP", OPEN),
        ("t-TP", FILLED),
        ("Trade", 2),
        ("Position", 0),
        ("Account", 50_078.52),
        ("t-SL", CANCELLED),
    ]


async def test_how_flat_is_told(client: Client, connect: Connect) -> None:
    """A position that has ended has type 0, size 0 and another action."""
    hub = await subscribed(connect, client)
    await client.placed(2)
    opened = await hub.event("GatewayUserPosition")
    assert (opened["action"], opened["data"]["type"], opened["data"]["contractId"]) == (1, 1, MNQ)
    await client.placed(2, SELL)
    ended = await hub.event("GatewayUserPosition")
    assert (ended["action"], ended["data"]["type"], ended["data"]["size"]) == (2, 0, 0)
    assert ended["data"]["id"] == opened["data"]["id"]


async def test_bare_events(start: Start, connect: Connect) -> None:
    """As the documents have them: the object itself."""
    client = await start(wrapped_events=False)
    hub = await subscribed(connect, client)
    number = await client.placed(2)
    assert (await hub.event("GatewayUserTrade"))["orderId"] == number


async def test_only_what_is_subscribed_is_heard(client: Client, connect: Connect) -> None:
    """One account's orders, until they are unsubscribed; other connections have their own subscriptions."""
    hub, other = await connect(client), await connect(client)
    await hub.invoke("SubscribeOrders", ACCOUNT)
    await other.invoke("SubscribeTrades", 102)
    await client.placed(customTag="theirs", accountId=102)
    await client.placed(customTag="mine")
    assert (await hub.event("GatewayUserOrder"))["data"]["customTag"] == "mine"
    assert (await hub.event("GatewayUserOrder"))["data"]["status"] == FILLED
    await hub.invoke("UnsubscribeOrders", ACCOUNT)
    await client.placed(kind=LIMIT, limitPrice=100)
    assert (await hub.invoke("SubscribeAccounts"))["type"] == 3
    assert (await other.next())["arguments"][0]["data"]["accountId"] == 102


async def test_late_rejects_are_told(client: Client, connect: Connect) -> None:
    """Accepted, then rejected, without another request."""
    hub = await subscribed(connect, client)
    await client.arm("reject_later")
    number = await client.placed(kind=MARKET, side=BUY)
    statuses = [(await hub.event("GatewayUserOrder"))["data"] for _ in range(3)]
    assert [(each["id"], each["status"]) for each in statuses] == [(number, PENDING), (number, OPEN), (number, 5)]


# connections that break


async def test_dropped_connections_lose_what_happened(client: Client, connect: Connect) -> None:
    """After a reconnect there is neither the gap nor a subscription; both are the client's to repair."""
    hub = await subscribed(connect, client)
    assert (await client.control("hub"))["connections"] == 1
    assert (await client.control("hub", {"drop": True}))["dropped"] == 1
    assert (await hub.socket.receive()).type in (WSMsgType.CLOSED, WSMsgType.ERROR)
    await client.placed(customTag="gap")
    again = await connect(client)
    await client.placed(customTag="unheard")
    await again.invoke("SubscribeOrders", ACCOUNT)
    await client.placed(customTag="heard")
    assert (await again.event("GatewayUserOrder"))["data"]["customTag"] == "heard"


async def test_a_muted_hub_is_silent(client: Client, connect: Connect) -> None:
    """As over a connection that is half open: it stays, and hears nothing."""
    hub = await subscribed(connect, client)
    await client.control("hub", {"muted": True})
    await client.placed(customTag="lost")
    await client.control("hub", {"muted": False})
    await client.placed(customTag="heard")
    assert (await hub.event("GatewayUserOrder"))["data"]["customTag"] == "heard"


async def test_a_reader_that_is_too_slow_is_dropped(
    client: Client, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for one client is bounded; others go on."""
    monkeypatch.setattr(hubs, "_MOST_WAITING", 3)
    hub = await subscribed(connect, client)
    await client.placed(2, **bracket(-40, 80))
    async with asyncio.timeout(30):
        while (await hub.socket.receive()).type not in (WSMsgType.CLOSED, WSMsgType.ERROR):
            pass
    await client.placed()
