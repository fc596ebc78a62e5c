"""Every fault that can be armed: what the client sees, what was executed all the same, and that it hits just what it should."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import ClientPayloadError, ServerDisconnectedError

from tests.processes import until_async
from tests.simulator.client import (
    ACCOUNT,
    CANCELLED,
    FILLED,
    LIMIT,
    MNQ,
    OPEN,
    REJECTED,
    SELL,
    SUSPENDED,
    Client,
    bracket,
    order,
    until_stalled,
)


async def executed(client: Client, tag: str = "t") -> int:
    """How often the broker took an order of this client order id."""
    count: int = (await client.executed(tag))["executed"]
    return count


# answers


async def test_refused_before_executing(client: Client) -> None:
    """A number and a sentence, and nothing was executed; the next request goes through."""
    await client.arm("refuse", code=3, message="No.")
    answer = await client.place(customTag="t")
    assert answer == {"orderId": None, "success": False, "errorCode": 3, "errorMessage": "No."}
    assert await executed(client) == 0
    await client.placed(customTag="t")


async def test_executed_and_called_unknown(client: Client) -> None:
    """The ambiguous numbers: the order is there all the same."""
    await client.arm("refuse", when="after", code=6)
    answer = await client.place(customTag="t")
    assert (answer["success"], answer["errorCode"]) == (False, 6)
    assert await executed(client) == 1


@pytest.mark.parametrize(("when", "count"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("status", [500, 503, 429])
async def test_statuses(client: Client, when: str, count: int, status: int) -> None:
    """An HTTP error says nothing about what was executed."""
    await client.arm("http", when=when, status=status)
    assert (await client.raw("Order/place", order(customTag="t")))[0] == status
    assert await executed(client) == count


async def test_retry_after(client: Client) -> None:
    """A 429 may say when to come again."""
    await client.arm("http", when="before", status=429, retry_after_s=7)
    headers = {"Authorization": f"Bearer {client.token}"}
    async with client.session.post(f"{client.url}/api/Order/place", json=order(), headers=headers) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "7")


@pytest.mark.parametrize(("when", "count"), [("before", 0), ("after", 1), ("midway", 1)])
async def test_dropped_connections(client: Client, when: str, count: int) -> None:
    """No answer, or half of one that said it would be longer."""
    await client.arm("drop", when=when)
    error = ClientPayloadError if when == "midway" else ServerDisconnectedError
    with pytest.raises(error):
        await client.raw("Order/place", order(customTag="t"))
    assert await executed(client) == count
    if count:
        assert "already in use" in (await client.place(customTag="t"))["errorMessage"]


async def test_cut_json(client: Client) -> None:
    """200 and half of the JSON: executed, and unreadable."""
    await client.arm("cut")
    status, text = await client.raw("Order/place", order(customTag="t"))
    assert (status, text[:10]) == (200, '{"orderId"')
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)
    assert await executed(client) == 1


@pytest.mark.parametrize(("when", "count"), [("before", 0), ("after", 1)])
async def test_stalls(client: Client, when: str, count: int) -> None:
    """The request hangs until it is released; other requests go on; then it is answered as if nothing had been."""
    number = await client.arm("stall", when=when)
    waiting = asyncio.create_task(client.place(customTag="t"))
    await until_stalled(client, number)
    assert await executed(client) == count
    await client.control(f"faults/{number}/release", {})
    assert (await waiting)["success"]
    assert await executed(client) == 1


async def test_a_client_that_gave_up_is_executed_later(client: Client) -> None:
    """The worst of them: nothing is found when it looks, and then the order is there."""
    number = await client.arm("stall", when="before")
    waiting = asyncio.create_task(client.place(customTag="t"))
    await until_stalled(client, number)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await client.searched() == []
    await client.control(f"faults/{number}/release", {})
    await until_async(client.searched, what="the order of a client that has gone")
    assert await executed(client) == 1


async def test_a_stall_ends_by_itself(client: Client) -> None:
    """After its seconds."""
    await client.arm("stall", seconds=0.01)
    await client.placed(customTag="t")


# orders


async def test_late_visibility(client: Client) -> None:
    """No search, look-up or trade shows the order yet; positions do. Its tag is used."""
    number = await client.arm("hide", seconds=8)
    placed = await client.placed(2, customTag="t", **bracket(-40, 80))
    query = {"accountId": ACCOUNT, "orderId": placed}
    assert (await client.searched(), await client.working(), await client.trades()) == ([], [], [])
    assert (await client.call("Order/v2/query", filter={"accountId": ACCOUNT}))["orders"] == []
    assert (await client.call("Order/searchById", **query))["errorCode"] == 1
    assert [each["size"] for each in await client.positions()] == [2]
    assert (await client.place(2, customTag="t"))["errorCode"] == 2
    await client.control("clock", {"advance_s": 8})
    found = [each["customTag"] for each in await client.searched()]
    assert found == ["t", "t-SL", "t-TP", None]
    assert len(await client.trades()) == 1
    assert (await client.control("faults"))[0] == {
        "id": number,
        "fault": "hide",
        "seconds": 8,
        "endpoint": "Order/place",
        "account": None,
        "tag": None,
        "times": 1,
        "left": 0,
        "hits": 1,
        "stalled": 0,
    }


async def test_hidden_until_released(client: Client) -> None:
    """Without seconds it is the test that decides."""
    number = await client.arm("hide", times=2)
    placed = [await client.placed(kind=LIMIT, limitPrice=100) for _ in range(2)]
    await client.control("clock", {"advance_s": 10_000})
    assert await client.working() == []
    await client.control(f"faults/{number}/release", {})
    assert [each["id"] for each in await client.working()] == placed


async def test_rejected_after_it_was_accepted(client: Client) -> None:
    """The answer says yes; a moment or some seconds later it is rejected, with its bracket."""
    await client.arm("reject_later", seconds=5)
    number = await client.placed(2, customTag="t", **bracket(-40, 80))
    assert (await client.found(number))["status"] == OPEN
    await client.control("clock", {"advance_s": 5})
    assert [each["status"] for each in await client.searched()] == [REJECTED, CANCELLED, CANCELLED]
    assert await client.positions() == []
    found = await client.executed("t")
    assert (found["executed"], found["rejected"], found["filled"]) == (1, 1, 0)


async def test_a_refused_stop(client: Client) -> None:
    """The entry fills and its target works; the stop that should protect it is rejected, and never fills."""
    await client.arm("reject_stop")
    number = await client.placed(2, customTag="t", **bracket(-40, 80))
    assert (await client.found(number))["status"] == FILLED
    assert {each["customTag"]: each["status"] for each in await client.searched()} == {
        "t": FILLED,
        "t-SL": REJECTED,
        "t-TP": OPEN,
    }
    await client.price(23_900)
    assert [(each["type"], each["size"]) for each in await client.positions()] == [(1, 2)]
    assert (await client.executed("t-SL"))["rejected"] == 1


async def test_partial_fills(client: Client) -> None:
    """A part at each price; the bracket follows."""
    await client.arm("partial", contracts=2)
    number = await client.placed(5, customTag="t", **bracket(-40, 80))
    assert ((await client.found(number))["status"], (await client.found(number))["fillVolume"]) == (OPEN, 2)
    await client.price(24_001)
    stop = (await client.working())[1]
    assert (stop["customTag"], stop["size"]) == ("t-SL", 4)
    await client.price(24_001)
    found = await client.found(number)
    assert (found["status"], found["fillVolume"], found["filledPrice"]) == (FILLED, 5, 24_000.6)


async def test_partial_fill_and_the_rest_cancelled(client: Client) -> None:
    """It ends Cancelled with something filled, and its bracket protects just that."""
    await client.arm("partial", contracts=2, rest="cancel")
    number = await client.placed(5, customTag="t", **bracket(-40, 80))
    found = await client.found(number)
    assert (found["status"], found["fillVolume"], found["size"]) == (CANCELLED, 2, 5)
    assert [each["size"] for each in await client.working()] == [2, 2]


async def test_delayed_fills(client: Client) -> None:
    """It works until its time has come, then fills at the price of that time."""
    await client.arm("delay", seconds=3)
    number = await client.placed(**bracket(-40, 80))
    await client.price(24_010)
    assert (await client.found(number))["fillVolume"] == 0
    assert (await client.found(number + 1))["status"] == SUSPENDED
    await client.control("clock", {"advance_s": 3})
    assert (await client.found(number))["filledPrice"] == 24_010
    assert (await client.found(number + 1))["stopPrice"] == 24_000


async def test_closing_can_be_partial_too(client: Client) -> None:
    """Faults are not for placing only."""
    await client.placed(3)
    await client.arm("partial", endpoint="Position/closeContract", contracts=1, rest="cancel")
    assert (await client.call("Position/closeContract", accountId=ACCOUNT, contractId=MNQ))["success"]
    assert [each["size"] for each in await client.positions()] == [2]


# which requests


@pytest.mark.parametrize(
    ("wanted", "hits"),
    [
        ({}, [True, False, False, False]),
        ({"times": 3}, [True, True, True, False]),
        ({"account": 102}, [False, True, False, False]),
        ({"tag": "c"}, [False, False, True, False]),
        ({"account": 101, "tag": "b", "times": 9}, [False, False, False, False]),
        ({"endpoint": "Order/cancel"}, [False, False, False, False]),
        ({"endpoint": "*", "times": 2}, [True, True, False, False]),
    ],
)
async def test_what_it_matches(client: Client, wanted: Mapping[str, Any], hits: list[bool]) -> None:
    """Endpoint, account and tag, for so many requests."""
    await client.arm("refuse", code=7, **wanted)
    asked = [(101, "a"), (102, "b"), (101, "c"), (102, "d")]
    answers = [await client.place(accountId=account, customTag=tag) for account, tag in asked]
    assert [each["errorCode"] == 7 for each in answers] == hits


async def test_other_endpoints_and_accounts_in_a_filter(client: Client) -> None:
    """A search can fail as well, and the query's account is in its filter."""
    await client.arm("http", endpoint="Order/v2/query", account=102, status=503)
    await client.arm("http", endpoint="Auth/loginKey", status=502)
    assert (await client.raw("Order/v2/query", {"filter": {"accountId": 101}}))[0] == 200
    assert (await client.raw("Order/v2/query", {"filter": {"accountId": 102}}))[0] == 503
    assert (await client.raw("Auth/loginKey", {"userName": "trader", "apiKey": "simulated"}))[0] == 502


async def test_faults_queue_up_and_combine(client: Client) -> None:
    """One decides the answer, the next waits for the next request; what shapes the order is added to it."""
    await client.arm("http", status=500)
    await client.arm("cut")
    await client.arm("partial", contracts=1)
    assert (await client.raw("Order/place", order(3, customTag="a")))[0] == 500
    assert (await client.executed("a"))["filled"] == 1
    assert not (await client.raw("Order/place", order(3, customTag="b")))[1].endswith("}")
    assert (await client.executed("b"))["filled"] == 3
    assert (await client.place(3, SELL))["success"]


async def test_disarmed_faults_do_nothing(client: Client) -> None:
    """One or all; what hangs in them goes on."""
    number = await client.arm("stall", when="before")
    waiting = asyncio.create_task(client.place())
    await until_stalled(client, number)
    await client.control(f"faults/{number}", method="DELETE")
    assert (await waiting)["success"]
    await client.arm("drop", times=5)
    assert len(await client.control("faults", method="DELETE")) == 1
    assert await client.control("faults") == []
    await client.placed()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"fault": "nonsense"}, "nonsense"),
        ({}, "fault"),
        ({"fault": "cut", "seconds": 3}, "seconds"),
        ({"fault": "drop", "when": "never"}, "when"),
        ({"fault": "drop", "times": 0}, "times"),
        ({"fault": "partial"}, "contracts"),
        ({"fault": "http", "status": 200}, "status"),
        ({"fault": "delay", "seconds": -1}, "seconds"),
        ({"fault": "drop", "account": "101"}, "account"),
        ([], "dictionary"),
    ],
)
async def test_faults_that_cannot_be_armed(client: Client, body: Any, said: str) -> None:
    """400, and what is wrong; a field that the fault does not have is refused, not ignored."""
    assert said in (await client.control("faults", body, status=400))["error"]
    assert await client.control("faults") == []
