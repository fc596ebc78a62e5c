"""The REST API, after placing: searches and queries, modifying and cancelling, positions and closing them."""

from typing import Any

import pytest

from tests.simulator.client import (
    ACCOUNT,
    BUY,
    CANCELLED,
    FILLED,
    LIMIT,
    MNQ,
    NOBODY,
    NQ,
    ONE,
    OPEN,
    SELL,
    SINCE,
    STOP,
    SUSPENDED,
    TRAILING,
    Client,
    bracket,
    code,
)

# looking


async def test_suspended_brackets_are_in_no_search(client: Client) -> None:
    """Until the entry fills they are seen only by id and by status; then they work, under the entry's tag."""
    entry = await client.placed(2, BUY, LIMIT, limitPrice=23_990, customTag="t", **bracket(-40, 80))
    assert [each["id"] for each in await client.working()] == [entry]
    assert [each["id"] for each in await client.searched()] == [entry]
    query = {"filter": {"accountId": ACCOUNT, "statuses": [SUSPENDED]}}
    waiting = (await client.call("Order/v2/query", **query))["orders"]
    assert [(each["customTag"], each["stopPrice"], each["limitPrice"]) for each in waiting] == [
        ("t-SL", None, None),
        ("t-TP", None, None),
    ]
    assert (await client.found(waiting[0]["id"]))["status"] == SUSPENDED
    await client.price(23_990)
    stop, target = await client.working()
    assert (stop["type"], stop["stopPrice"], stop["parentOrderId"], stop["linkedOrderId"]) == (
        STOP,
        23_980,
        entry,
        None,
    )
    assert (target["type"], target["limitPrice"], target["linkedOrderId"]) == (LIMIT, 24_010, stop["id"])
    assert (stop["trailDistance"], target["trailDistance"], target["trailPrice"]) == (-40, 80, 20)


async def test_order_windows(client: Client) -> None:
    """From a time to a time, both included; a time without a zone is UTC."""
    ids = []
    for _ in range(3):
        ids.append(await client.placed())
        await client.control("clock", {"advance_s": 60})

    async def between(start: str, end: str | None) -> list[int]:
        found = await client.call("Order/search", **ONE, startTimestamp=start, endTimestamp=end)
        return [each["id"] for each in found["orders"]]

    assert await between(SINCE, None) == ids
    assert await between("2026-11-23T15:01:00", "2026-11-23T15:01:00+00:00") == ids[1:2]
    assert await between("2026-11-23T15:02:00.000001Z", None) == []
    assert await between("2026-11-23T10:01:00-05:00", None) == ids[1:]
    turns = (await client.call("Trade/search", **ONE, startTimestamp="2026-11-23T15:01:00Z"))["trades"]
    assert [each["orderId"] for each in turns] == ids[1:]


async def test_the_query_filters_sorts_and_pages(client: Client) -> None:
    """By status, contract and time, in pages, with the count when it is asked for."""
    ids = []
    for number in range(4):
        contract = NQ if number == 3 else MNQ
        ids.append(await client.placed(kind=LIMIT, limitPrice=20_000, contractId=contract))
        await client.control("clock", {"advance_s": 60})
    await client.call("Order/cancel", **ONE, orderId=ids[0])

    async def asked(more: dict[str, Any] | None = None, **wanted: Any) -> list[int]:
        answer = await client.call("Order/v2/query", filter={**ONE, **wanted}, **(more or {}))
        assert ("totalCount" in answer) == bool((more or {}).get("includeTotalCount"))
        return [each["id"] for each in answer["orders"]]

    assert await asked() == ids
    assert await asked(statuses=[CANCELLED]) == ids[:1]
    assert await asked(contractId=MNQ) == ids[:3]
    assert await asked(createdAfter="2026-11-23T15:01:00Z", createdBefore="2026-11-23T15:02:00Z") == ids[1:3]
    assert await asked({"pageSize": 2, "pageOffset": 1, "includeTotalCount": True}) == ids[1:3]
    assert await asked({"sortDirection": 1, "sortBy": 1}) == ids[::-1]


@pytest.mark.parametrize(
    ("endpoint", "more"),
    [
        ("Order/search", {"startTimestamp": SINCE}),
        ("Order/searchOpen", {}),
        ("Order/searchById", {"orderId": 1}),
        ("Position/searchOpen", {}),
        ("Trade/search", {}),
    ],
)
async def test_looking_at_unknown_accounts(client: Client, endpoint: str, more: dict[str, Any]) -> None:
    """1, everywhere."""
    assert code(await client.call(endpoint, **NOBODY, **more)) == 1


async def test_the_query_of_an_unknown_account(client: Client) -> None:
    """1 there too; and an order of another account is not found."""
    assert code(await client.call("Order/v2/query", filter=NOBODY)) == 1
    number = await client.placed()
    assert code(await client.call("Order/searchById", accountId=102, orderId=number)) == 1


async def test_half_turns(client: Client) -> None:
    """The opening one has no profit; the closing one has it before fees; both name their order."""
    opened = await client.placed(2)
    await client.price("24002.25")
    closed = await client.placed(2, SELL)
    first, second = await client.trades()
    assert (first["profitAndLoss"], first["fees"], first["orderId"], first["side"]) == (None, 0.74, opened, BUY)
    assert (second["profitAndLoss"], second["fees"], second["orderId"], second["side"]) == (9, 0.74, closed, SELL)
    assert (second["price"], second["size"], second["voided"]) == (24_002.25, 2, False)
    (account,) = [each for each in (await client.call("Account/search"))["accounts"] if each["id"] == ACCOUNT]
    assert account["balance"] == 50_007.52


# changing and cancelling


async def test_modify(client: Client) -> None:
    """Price and size of what works; a price that is better than the market fills at once."""
    number = await client.placed(1, BUY, LIMIT, limitPrice=23_990)
    assert code(await client.call("Order/modify", **ONE, orderId=number, size=3, limitPrice=23_995)) == 0
    found = await client.found(number)
    assert (found["size"], found["limitPrice"], found["status"]) == (3, 23_995, OPEN)
    assert code(await client.call("Order/modify", **ONE, orderId=number, limitPrice=24_005)) == 0
    found = await client.found(number)
    assert (found["status"], found["filledPrice"], found["fillVolume"]) == (FILLED, 24_000, 3)


async def test_a_trail_is_not_measured_again_when_modified(client: Client) -> None:
    """More than a thousand ticks are refused when placed and taken when modified."""
    number = await client.placed(kind=TRAILING, side=SELL, trailPrice=23_990)
    assert code(await client.call("Order/modify", **ONE, orderId=number, trailPrice=23_000)) == 0
    found = await client.found(number)
    assert (found["stopPrice"], found["trailDistance"]) == (23_000, 4_000)


async def test_refused_changes(client: Client) -> None:
    """1 account, 2 order, 3 what is asked for or what cannot be changed any more, 6 a follower."""
    number = await client.placed(2, BUY, LIMIT, limitPrice=23_990, **bracket(-40, 80))
    filled = await client.placed()

    async def modify(**body: Any) -> int:
        return code(await client.call("Order/modify", **{"accountId": ACCOUNT, "orderId": number, **body}))

    assert await modify(accountId=7) == 1
    assert await modify(accountId=102) == 2
    assert await modify(orderId=999) == 2
    assert await modify(orderId=filled, size=2) == 3
    assert await modify(limitPrice=23_990.1) == 3
    assert await modify(stopPrice=23_990) == 3
    assert await modify(size=0) == 3
    assert await modify(orderId=number + 1, stopPrice=23_000) == 3
    await client.control("accounts/101", {"follower": True}, "PATCH")
    assert await modify(size=1) == 6


async def test_a_bracket_is_never_larger_than_what_it_protects(client: Client) -> None:
    """Its price and a smaller size are taken; a larger size is not, nor a stop beyond the market."""
    await client.placed(3, customTag="t", **bracket(-40, 80))
    stop, _ = await client.working()
    change = {**ONE, "orderId": stop["id"]}
    assert code(await client.call("Order/modify", **change, size=4)) == 3
    assert code(await client.call("Order/modify", **change, stopPrice=24_000)) == 3
    assert code(await client.call("Order/modify", **change, size=2, stopPrice=23_995)) == 0
    await client.price(23_995)
    assert [(each["size"]) for each in await client.positions()] == [1]
    assert [(each["customTag"], each["size"]) for each in await client.working()] == [("t-TP", 1)]


async def test_cancel(client: Client) -> None:
    """A working order ends; again is 3, unknown is 2, an unknown account 1."""
    number = await client.placed(1, BUY, LIMIT, limitPrice=23_990)
    assert code(await client.call("Order/cancel", **NOBODY, orderId=number)) == 1
    assert code(await client.call("Order/cancel", **ONE, orderId=999)) == 2
    assert code(await client.call("Order/cancel", **ONE, orderId=number)) == 0
    assert (await client.found(number))["status"] == CANCELLED
    assert code(await client.call("Order/cancel", **ONE, orderId=number)) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"follower": True}, "Follower accounts cannot cancel orders"),
        ({"simulated": False}, "Live accounts not supported"),
    ],
)
async def test_accounts_that_cannot_cancel(client: Client, change: dict[str, Any], said: str) -> None:
    """6, with the documented sentence; the order goes on working."""
    number = await client.placed(1, BUY, LIMIT, limitPrice=23_990)
    await client.control("accounts/101", change, "PATCH")
    answer = await client.call("Order/cancel", **ONE, orderId=number)
    assert (code(answer), answer["errorMessage"]) == (6, said)
    assert [each["id"] for each in await client.working()] == [number]


# positions


async def test_positions(client: Client) -> None:
    """Long is 1, short is 2, the size is never negative; what is flat is not listed."""
    await client.placed(2)
    await client.price(24_001)
    await client.placed(1)
    await client.placed(3, SELL, contractId=NQ)
    long, short = await client.positions()
    assert (long["contractId"], long["type"], long["size"]) == (MNQ, 1, 3)
    assert long["averagePrice"] == pytest.approx(24_000 + 1 / 3, abs=1e-9)
    assert (short["type"], short["size"], short["averagePrice"]) == (2, 3, 24_000)
    await client.placed(3, SELL)
    assert [each["type"] for each in await client.positions()] == [2]


@pytest.mark.parametrize("partial", [False, True])
async def test_close_and_its_shifted_numbers(client: Client, *, partial: bool) -> None:
    """The same refusal has another number in each of the two; 2 says that it is flat already."""
    endpoint = "Position/partialCloseContract" if partial else "Position/closeContract"
    await client.placed(3)

    async def close(size: int = 1, **body: Any) -> int:
        more = {"size": size} if partial else {}
        return code(await client.call(endpoint, **{"accountId": ACCOUNT, "contractId": MNQ, **more, **body}))

    assert await close(accountId=7) == 1
    assert await close(accountId=102) == 2
    assert await close(contractId="CON.F.US.X.Z26") == 3
    assert await close(contractId="CON.F.US.MNQ.U26") == 4
    if partial:
        assert [await close(size) for size in (0, -1, 4)] == [5, 5, 5]
    await client.control("accounts/101", {"follower": True}, "PATCH")
    assert await close() == (9 if partial else 8)
    await client.control("accounts/101", {"follower": False}, "PATCH")
    assert await close() == 0
    assert [each["size"] for each in await client.positions()] == ([2] if partial else [])
    assert await close(2) == (0 if partial else 2)
    assert await client.positions() == []


async def test_what_is_held_can_be_closed_after_the_roll(client: Client) -> None:
    """The next month is active, the old one still trades until it expires; then it is not active."""
    await client.placed(2)
    await client.control("clock", {"set": "2026-12-14T15:00:00Z"})
    await client.login()
    assert [
        each["name"] for each in (await client.call("Contract/available"))["contracts"] if "MNQ" in each["name"]
    ] == ["MNQH7"]
    body = {"accountId": ACCOUNT, "contractId": MNQ}
    assert code(await client.call("Position/partialCloseContract", **body, size=1)) == 0
    for day in ("2026-12-19", "2027-08-01"):
        await client.control("clock", {"set": f"{day}T15:00:00Z"})
        await client.login()
        assert code(await client.call("Position/closeContract", **body)) == 4
