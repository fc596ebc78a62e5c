"""A client of the simulated broker that is only as clever as a test needs: REST, the control API and the hub."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from tests.processes import until_async

MNQ = "CON.F.US.MNQ.Z26"
NQ = "CON.F.US.ENQ.Z26"
ACCOUNT = 101
BUY, SELL = 0, 1
LIMIT, MARKET, STOP, TRAILING = 1, 2, 4, 5
OPEN, FILLED, CANCELLED, REJECTED, PENDING, SUSPENDED = 1, 2, 3, 5, 6, 8
SEPARATOR = "\x1e"
SINCE = "2026-11-23T15:00:00Z"
ONE = {"accountId": ACCOUNT}
NOBODY = {"accountId": 7}


def code(answer: Mapping[str, Any]) -> int:
    """The number of an answer that is consistent about its success."""
    number: int = answer["errorCode"]
    assert answer["success"] is (number == 0)
    assert (answer["errorMessage"] is None) is (number == 0)
    return number


def order(size: int = 1, side: int = BUY, kind: int = MARKET, **more: Any) -> dict[str, Any]:
    """The body of Order/place."""
    return {"accountId": ACCOUNT, "contractId": MNQ, "type": kind, "side": side, "size": size, **more}


def bracket(stop: int, target: int) -> dict[str, Any]:
    """Both brackets, in signed ticks."""
    return {"stopLossBracket": {"ticks": stop, "type": STOP}, "takeProfitBracket": {"ticks": target, "type": LIMIT}}


class Client:
    """One logged-in user."""

    def __init__(self, session: ClientSession, url: str) -> None:
        self.session = session
        self.url = url
        self.token = ""

    async def login(self, user: str = "trader", key: str = "simulated") -> dict[str, Any]:
        """Logs in and keeps the token."""
        answer = await self.call("Auth/loginKey", userName=user, apiKey=key)
        self.token = answer["token"] or self.token
        return answer

    async def raw(self, endpoint: str, body: Any = None, *, data: bytes | None = None) -> tuple[int, str]:
        """Status and text of a request."""
        sent = json.dumps(body).encode() if data is None else data
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {self.token}"} if self.token else {}
        )
        async with self.session.post(f"{self.url}/api/{endpoint}", data=sent, headers=headers) as answer:
            return answer.status, await answer.text()

    async def call(self, endpoint: str, **body: Any) -> dict[str, Any]:
        """A request that is answered with JSON and 200."""
        status, text = await self.raw(endpoint, body)
        assert status == 200, text
        answer: dict[str, Any] = json.loads(text)
        return answer

    async def place(self, size: int = 1, side: int = BUY, kind: int = MARKET, **more: Any) -> dict[str, Any]:
        """Order/place."""
        return await self.call("Order/place", **order(size, side, kind, **more))

    async def placed(self, size: int = 1, side: int = BUY, kind: int = MARKET, **more: Any) -> int:
        """The id of an order that was taken."""
        answer = await self.place(size, side, kind, **more)
        assert answer["errorCode"] == 0, answer
        number: int = answer["orderId"]
        return number

    async def found(self, number: int, account: int = ACCOUNT) -> dict[str, Any]:
        """An order, looked up by its id."""
        answer = await self.call("Order/searchById", accountId=account, orderId=number)
        assert answer["success"], answer
        found: dict[str, Any] = answer["order"]
        return found

    async def working(self, account: int = ACCOUNT) -> list[dict[str, Any]]:
        """Order/searchOpen."""
        orders: list[dict[str, Any]] = (await self.call("Order/searchOpen", accountId=account))["orders"]
        return orders

    async def searched(self, account: int = ACCOUNT) -> list[dict[str, Any]]:
        """Order/search since ever."""
        answer = await self.call("Order/search", accountId=account, startTimestamp="2000-01-01T00:00:00Z")
        orders: list[dict[str, Any]] = answer["orders"]
        return orders

    async def positions(self, account: int = ACCOUNT) -> list[dict[str, Any]]:
        """Position/searchOpen."""
        held: list[dict[str, Any]] = (await self.call("Position/searchOpen", accountId=account))["positions"]
        return held

    async def trades(self, account: int = ACCOUNT) -> list[dict[str, Any]]:
        """Trade/search since ever."""
        turns: list[dict[str, Any]] = (await self.call("Trade/search", accountId=account))["trades"]
        return turns

    async def control(self, what: str, body: Any = None, method: str | None = None, status: int = 200) -> Any:
        """The control API: GET without a body, POST with one."""
        how = method or ("GET" if body is None else "POST")
        sent = None if body is None else json.dumps(body)
        async with self.session.request(how, f"{self.url}/_control/{what}", data=sent) as answer:
            text = await answer.text()
            assert answer.status == status, text
            return json.loads(text)

    async def arm(self, fault: str, **more: Any) -> int:
        """Arms a fault; its id."""
        number: int = (await self.control("faults", {"fault": fault, **more}))["id"]
        return number

    async def price(self, price: str | float, contract: str = MNQ) -> None:
        """Posts a price."""
        await self.control("prices", {contract: price})

    async def executed(self, tag: str) -> dict[str, Any]:
        """What the ledger says about one client order id."""
        found = (await self.control(f"ledger?tag={tag}"))["executions"]
        assert len(found) <= 1
        return found[0] if found else {"executed": 0, "filled": 0, "refused": 0, "rejected": 0, "orders": []}


async def until_stalled(client: Client, number: int) -> None:
    """Waits until a request hangs in this fault."""

    async def stalled() -> bool:
        return any(each["id"] == number and each["stalled"] for each in await client.control("faults"))

    await until_async(stalled, what="a stalled request")


class HubClient:
    """A SignalR client on an open WebSocket."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self._records: list[dict[str, Any]] = []

    async def handshake(self, protocol: str = "json") -> dict[str, Any]:
        """Says which protocol it speaks; the answer."""
        await self.send({"protocol": protocol, "version": 1})
        return await self.next()

    async def send(self, record: Mapping[str, Any], *, binary: bool = False) -> None:
        """One record, in a text or a binary frame."""
        text = json.dumps(record) + SEPARATOR
        await (self.socket.send_bytes(text.encode()) if binary else self.socket.send_str(text))

    async def invoke(self, target: str, *arguments: Any, binary: bool = False) -> dict[str, Any]:
        """Calls a method and gives its completion."""
        record = {"type": 1, "target": target, "arguments": arguments, "invocationId": "7"}
        await self.send(record, binary=binary)
        return await self.next()

    async def next(self) -> dict[str, Any]:
        """The next record that is no ping."""
        while not self._records:
            frame = await self.socket.receive()
            assert frame.type is WSMsgType.TEXT, frame
            assert frame.data.endswith(SEPARATOR)
            records = map(json.loads, frame.data[:-1].split(SEPARATOR))
            self._records += [each for each in records if each.get("type") != 6]
        return self._records.pop(0)

    async def event(self, target: str) -> Any:
        """The argument of the next event of this name; others before it are passed over."""
        while True:
            record = await self.next()
            if record.get("target") == target:
                return record["arguments"][0]
