"""The REST API: every endpoint, every number that it can refuse with, and answers of the documented shape."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

from eventrouter.simulator.rest import ENDPOINTS
from eventrouter.simulator.settings import BracketMode
from tests.conftest import SHARED
from tests.simulator.client import (
    ACCOUNT,
    BUY,
    LIMIT,
    MARKET,
    MNQ,
    NOBODY,
    NQ,
    ONE,
    REJECTED,
    SELL,
    SINCE,
    STOP,
    TRAILING,
    Client,
    bracket,
    code,
    order,
)
from tests.simulator.conftest import Start

# who asks


async def test_status(client: Client) -> None:
    """Ping needs no token."""
    async with client.session.get(f"{client.url}/api/Status/ping") as answer:
        assert (answer.status, await answer.text()) == (200, "pong")


async def test_login_and_its_refusals(client: Client) -> None:
    """Wrong credentials are 3; a body without them is malformed."""
    assert code(await client.login(key="wrong")) == 3
    assert code(await client.login(user="nobody")) == 3
    first = client.token
    assert code(await client.login()) == 0
    assert client.token != first
    status, text = await client.raw("Auth/loginKey", {"userName": "trader"})
    assert (status, json.loads(text)["errors"]) == (400, {"apiKey": ["Field required"]})


async def test_a_token_is_needed_everywhere_else(client: Client) -> None:
    """401 without one, with a wrong one, and before the body is even looked at."""
    for client.token in ("", "sim.wrong"):
        for endpoint in ENDPOINTS:
            if endpoint != "Auth/loginKey":
                assert (await client.raw(endpoint, data=b"no JSON"))[0] == 401


async def test_validate_gives_another_token_and_logout_ends_one(client: Client) -> None:
    """The old one stays valid until it is ended."""
    old, new = client.token, (await client.call("Auth/validate"))["newToken"]
    assert new != old
    assert (await client.raw("Auth/validate", data=b""))[0] == 200
    assert code(await client.call("Auth/logout")) == 0
    assert (await client.raw("Account/search", {}))[0] == 401
    client.token = new
    assert (await client.raw("Account/search", {}))[0] == 200


async def test_tokens_expire(start: Start) -> None:
    """By the broker's clock, or when the test says so; then 401."""
    client = await start(token_lifetime_s=60)
    await client.control("clock", {"advance_s": 59})
    assert (await client.raw("Account/search", {}))[0] == 200
    await client.control("clock", {"advance_s": 1})
    assert (await client.raw("Account/search", {}))[0] == 401
    await client.login()
    assert await client.control("tokens/expire", {}) == {"expired": 2}
    assert (await client.raw("Account/search", {}))[0] == 401


async def test_the_rate_limit(start: Start) -> None:
    """The request too many is 429 and not executed; a minute later it goes through."""
    client = await start(requests_per_minute=5)
    for number in range(4):
        await client.placed(customTag=f"t{number}")
    assert await client.raw("Order/place", order(customTag="late")) == (429, "")
    assert (await client.executed("late"))["executed"] == 0
    await client.control("clock", {"advance_s": 60})
    await client.placed(customTag="late")


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("Order/place", b"{"),
        ("Order/place", b"[]"),
        ("Order/place", b'{"accountId": NaN}'),
        ("Order/place", json.dumps(order(size="1")).encode()),  # type: ignore[arg-type]
        ("Order/place", json.dumps(order(kind=9)).encode()),
        ("Order/place", json.dumps(order(kind=1, limitPrice="24000")).encode()),
        ("Order/place", json.dumps(order(kind=1, limitPrice=True)).encode()),
        ("Order/v2/query", b"{}"),
        ("Order/v2/query", b'{"filter": []}'),
        ("Order/search", b'{"accountId": 101}'),
        ("Position/searchOpen", b"[" * 5_000),
    ],
)
async def test_malformed_bodies(client: Client, endpoint: str, body: bytes) -> None:
    """400 and ProblemDetails; nothing is executed."""
    status, text = await client.raw(endpoint, data=body)
    assert (status, json.loads(text)["status"]) == (400, 400)
    assert (await client.control("ledger"))["rows"] == []


async def test_unknown_addresses(client: Client) -> None:
    """404."""
    assert (await client.raw("Order/nonsense", {}))[0] == 404


# accounts and contracts


async def test_accounts(client: Client) -> None:
    """All, or only those that may trade; hidden ones never."""
    await client.control("accounts/102", {"can_trade": False}, "PATCH")
    await client.control("accounts/103", {"visible": False}, "PATCH")
    every = (await client.call("Account/search", onlyActiveAccounts=False))["accounts"]
    active = (await client.call("Account/search", onlyActiveAccounts=True))["accounts"]
    assert [each["id"] for each in every] == [101, 102]
    assert active == [
        {"id": 101, "name": "SIM-001", "balance": 50_000, "canTrade": True, "isVisible": True, "simulated": True}
    ]


async def test_contracts(client: Client) -> None:
    """By text, by id, and the active ones; exact ticks."""
    found = (await client.call("Contract/search", searchText="NQZ6", live=False))["contracts"]
    assert [(each["id"], each["activeContract"]) for each in found] == [(MNQ, True), (NQ, True)]
    one = (await client.call("Contract/searchById", contractId=MNQ))["contract"]
    assert (one["name"], one["tickSize"], one["tickValue"], one["symbolId"]) == ("MNQZ6", 0.25, 0.5, "F.US.MNQ")
    assert code(await client.call("Contract/searchById", contractId="CON.F.US.X.Z26")) == 1
    available = (await client.call("Contract/available", live=False))["contracts"]
    assert all(each["activeContract"] for each in available)
    assert [each["tickSize"] for each in available if each["name"] == "6JZ6"] == [5e-07]


# placing


@pytest.mark.parametrize(
    ("change", "number"),
    [
        ({"accountId": 7}, 1),
        ({"size": 0}, 2),
        ({"size": -1}, 2),
        ({"type": LIMIT}, 2),
        ({"type": LIMIT, "limitPrice": 24_000.1}, 2),
        ({"type": LIMIT, "limitPrice": -1}, 2),
        ({"type": STOP, "stopPrice": 24_000}, 2),
        ({"type": STOP, "side": SELL, "stopPrice": 24_001}, 2),
        ({"type": TRAILING, "side": SELL, "trailPrice": 23_749.75}, 2),
        ({"type": TRAILING, "side": SELL, "trailPrice": 24_000.25}, 2),
        ({"type": 3, "limitPrice": 24_000}, 2),
        ({"type": 6}, 2),
        ({"stopLossBracket": {"ticks": 40, "type": STOP}}, 2),
        ({"stopLossBracket": {"ticks": -3, "type": STOP}}, 2),
        ({"stopLossBracket": {"ticks": -40, "type": LIMIT}}, 2),
        ({"side": SELL, "stopLossBracket": {"ticks": -40, "type": STOP}}, 2),
        ({"takeProfitBracket": {"ticks": -40, "type": LIMIT}}, 2),
        ({"side": SELL, "takeProfitBracket": {"ticks": 40, "type": LIMIT}}, 2),
        ({"takeProfitBracket": {"ticks": 40, "type": STOP}}, 2),
        ({"contractId": "CON.F.US.MNQ.Z99"}, 8),
        ({"contractId": "CON.F.US.MNQ.U26"}, 9),
    ],
)
async def test_refused_orders(client: Client, change: dict[str, Any], number: int) -> None:
    """Its number, a sentence, and nothing executed. What is rejected as an order (2) has an id and is listed all the same."""
    answer = await client.place(
        **{"size": 1, "side": BUY, "kind": change.get("type", MARKET), "customTag": "t", **change}
    )
    assert code(answer) == number
    assert (answer["orderId"] is not None) == (number == 2)
    assert (await client.executed("t"))["executed"] == 0
    assert await client.positions() == []
    listed = [(each["id"], each["status"], each["customTag"]) for each in await client.searched()]
    assert listed == ([(answer["orderId"], REJECTED, "t")] if number == 2 else [])
    assert await client.working() == []


async def test_prices_are_exact(client: Client) -> None:
    """A number with more digits than a float holds is read as it stands: off the grid of ticks."""
    body = json.dumps(order(kind=LIMIT, limitPrice=1)).replace(
        '"limitPrice": 1', '"limitPrice": 24000.2500000000000001'
    )
    answer = json.loads((await client.raw("Order/place", data=body.encode()))[1])
    assert (code(answer), "0000001" in answer["errorMessage"]) == (2, True)


async def test_a_trail_of_a_thousand_ticks_is_accepted(client: Client) -> None:
    """The limit is above it; on reading, its distance is given in ticks and in points."""
    found = await client.found(await client.placed(kind=TRAILING, side=SELL, trailPrice=23_750))
    assert (found["stopPrice"], found["trailDistance"], found["trailPrice"]) == (23_750, 1_000, 250)


@pytest.mark.parametrize(
    ("account", "number"),
    [({"margin": "30000"}, 3), ({"can_trade": False}, 4), ({"most": 1}, 4), ({"follower": True}, 10)],
)
async def test_refused_accounts(client: Client, account: dict[str, Any], number: int) -> None:
    """Funds, violations, and follower accounts; no order is made of it, and its tag stays free."""
    await client.control("accounts/101", account, "PATCH")
    answer = await client.place(2, customTag="t")
    assert (code(answer), answer["orderId"]) == (number, None)
    back = {"margin": "0", "can_trade": True, "most": None, "follower": False}
    await client.control("accounts/101", back, "PATCH")
    await client.placed(2, customTag="t")


async def test_what_makes_a_position_smaller_needs_no_room(client: Client) -> None:
    """An account at its most contracts can still sell."""
    await client.placed(2)
    await client.control("accounts/101", {"most": 1, "margin": "1000000"}, "PATCH")
    assert code(await client.place(1)) == 4
    assert code(await client.place(1, SELL)) == 0


async def test_outside_trading_hours(start: Start) -> None:
    """5 for an order, and no order is made; closing a position has other numbers."""
    client = await start(market_hours=True)
    await client.placed()
    await client.control("clock", {"set": "2026-11-28T12:00:00Z"})
    await client.login()
    answer = await client.place()
    assert (code(answer), answer["orderId"]) == (5, None)
    body = {"accountId": ACCOUNT, "contractId": MNQ}
    assert code(await client.call("Position/closeContract", **body)) == 5
    assert code(await client.call("Position/partialCloseContract", **body, size=1)) == 6


async def test_brackets_need_auto_oco(start: Start) -> None:
    """The documented sentence; the rejected order has an id all the same."""
    client = await start(brackets=BracketMode.POSITION)
    answer = await client.place(**bracket(-40, 80), customTag="t")
    assert code(answer) == 2
    assert answer["errorMessage"] == (
        "Brackets cannot be used with Position Brackets. You must enable Auto OCO Brackets."
    )
    assert (await client.found(answer["orderId"]))["status"] == REJECTED
    await client.placed()
    await client.control("accounts/101", {"brackets": "auto-oco"}, "PATCH")
    await client.placed(**bracket(-40, 80))


async def test_a_tag_is_used_once_per_account(client: Client) -> None:
    """Repeating it is rejected and executes nothing, whether the first was filled, rejected or is still there."""
    first = await client.placed(2, customTag="t")
    answer = await client.place(2, customTag="t")
    assert code(answer) == 2
    assert "already in use" in answer["errorMessage"]
    assert [each["id"] for each in await client.searched() if each["customTag"] == "t"] == [first]
    assert (await client.executed("t"))["filled"] == 2
    assert code(await client.place(2, customTag="t", accountId=102)) == 0
    assert code(await client.place(0, customTag="bad")) == 2
    assert "already in use" in (await client.place(1, customTag="bad"))["errorMessage"]


async def test_a_weaker_broker_executes_twice(start: Start) -> None:
    """Without unique tags the ledger shows what a blind resend does."""
    client = await start(unique_tags=False)
    ids = [await client.placed(2, customTag="t") for _ in range(2)]
    found = await client.executed("t")
    assert (found["executed"], found["filled"], found["orders"]) == (2, 4, ids)


# bars

BARS: dict[str, Any] = {
    "live": False,
    "startTime": SINCE,
    "endTime": "2026-11-24T15:00:00Z",
    "unit": 2,
    "unitNumber": 1,
    "limit": 20,
    "includePartialBar": True,
}


async def test_bars_tell_what_prices_were(client: Client) -> None:
    """The newest first, each with its first, highest, lowest and last price; one that is not over only on request."""
    for price in (24_000, 24_010, 23_990, 23_995):
        await client.price(price)
    await client.control("clock", {"advance_s": 60})
    await client.price(24_020)

    async def bars(**more: Any) -> list[tuple[float, ...]]:
        answer = await client.call("History/retrieveBars", **{"contractId": MNQ, **BARS, **more})
        assert code(answer) == 0
        return [tuple(bar[name] for name in "ohlcv") for bar in answer["bars"]]

    earlier, now = (24_000, 24_010, 23_990, 23_995, 4), (24_020, 24_020, 24_020, 24_020, 1)
    assert await bars() == [now, earlier]
    assert await bars(limit=1) == [now]
    assert await bars(includePartialBar=False) == [earlier]
    assert await bars(unit=3) == [(24_000, 24_020, 23_990, 24_020, 5)]
    assert await bars(endTime=SINCE, startTime=SINCE) == [earlier]
    assert await bars(endTime="2026-11-22T00:00:00Z") == []


@pytest.mark.parametrize(
    ("wrong", "number"),
    [({"contractId": "no"}, 1), ({"unit": 0}, 2), ({"unit": 6}, 2), ({"unitNumber": 0}, 3), ({"limit": 0}, 4)],
    ids=str,
)
async def test_bars_that_cannot_be(client: Client, wrong: dict[str, Any], number: int) -> None:
    """Each has its number."""
    assert code(await client.call("History/retrieveBars", **{"contractId": MNQ, **BARS, **wrong})) == number


# shapes


async def test_answers_have_the_documented_shape(client: Client) -> None:
    """Every model in every answer has the fields that the API's own description requires, with their types."""
    file = SHARED / "specs" / "projectx" / "swagger-topstepx-augmented-DERIVED.json"
    if not file.is_file():
        pytest.skip("the API's description is not on this machine")
    description = json.loads(file.read_text())
    number = await client.placed(2, BUY, LIMIT, limitPrice=24_000, customTag="t", **bracket(-40, 80))
    body = {"accountId": ACCOUNT, "contractId": MNQ, "orderId": number, "size": 1, "searchText": "NQ"}
    sent = {
        **body,
        **order(),
        "startTimestamp": SINCE,
        "filter": ONE,
        "userName": "trader",
        "apiKey": "simulated",
        **BARS,
    }
    ours = [name for name in ENDPOINTS if name not in ("Auth/logout", "Position/closeContract")]
    for name in [*ours, "Position/closeContract", "Auth/logout"]:
        responses = description["paths"][f"/api/{name}"]["post"]["responses"]
        answer = await client.call(name, **sent)
        _check(answer, responses["200"]["schema"], description["definitions"], name)
        refused = await client.raw(name, {**sent, "accountId": 7, "filter": NOBODY, "apiKey": "no", "contractId": "no"})
        if refused[0] == 200:
            _check(json.loads(refused[1]), responses["200"]["schema"], description["definitions"], name)


def _check(value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any], where: str) -> None:
    """A value against a part of the description; null stands for a field that is left out."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    kind = schema.get("type")
    if kind == "object":
        missing = [name for name in schema.get("required", ()) if value.get(name) is None]
        assert not missing, f"{where}: {missing} missing"
        unknown = value.keys() - schema["properties"].keys()
        assert not unknown, f"{where}: {unknown} unknown"
        for name, each in value.items():
            if each is not None:
                _check(each, schema["properties"][name], definitions, f"{where}.{name}")
    elif kind == "array":
        for each in value:
            _check(each, schema["items"], definitions, where)
    elif schema.get("format") == "date-time":
        assert datetime.fromisoformat(value).tzinfo is not None, where
    else:
        types: dict[str, Any] = {"integer": int, "number": (int, float), "string": str, "boolean": bool}
        assert isinstance(value, types[str(kind)]), f"{where}: {value!r} is no {kind}"
        assert value in schema.get("enum", [value]), f"{where}: {value!r} is not among its values"
