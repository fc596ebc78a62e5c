"""What goes over the wire: one POST for what changes something, on a connection of its own, whatever becomes of it."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from eventrouter.connectors.projectx import ProjectXConnector
from eventrouter.domain.broker import Change
from eventrouter.domain.orders import Accepted, NotSent, Order, Outcome, Rejected, Unknown
from eventrouter.errors import BrokerRefused, BrokerUnavailable
from tests.connectors.conftest import Clock, Connect
from tests.connectors.wire import (
    ACCOUNT,
    FINE,
    LISTED,
    MNQ_ID,
    Action,
    Wire,
    cuts,
    drops,
    refuses,
    resets,
    says,
    stalls,
    status,
)

TAG = "abcdefghij0123456789"


def order(**more: str) -> Order:
    """One contract, long, at the market."""
    said: dict[str, Any] = {"action": "OPEN", "symbol": "MNQZ6", "direction": "LONG", "quantity": "1", **more}
    return Order(client_order_id=TAG, account=ACCOUNT, trade_id="T1", **said)


Change_ = Callable[[ProjectXConnector], Awaitable[Outcome]]
CHANGES: dict[str, Change_] = {
    "Order/place": lambda connector: connector.send(order()),
    "Order/cancel": lambda connector: connector.cancel(ACCOUNT, "5"),
    "Order/modify": lambda connector: connector.modify(ACCOUNT, "5", Change(stop_price=Decimal("24000.25"))),
    "Position/closeContract": lambda connector: connector.close_position(ACCOUNT, MNQ_ID),
    "Position/partialCloseContract": lambda connector: connector.close_position(ACCOUNT, MNQ_ID, Decimal(1)),
}
LOST: dict[str, Action] = {
    "closed": drops,
    "reset": resets,
    "cut": cuts,
    "500": status(500, "<html>"),
    "502": status(502),
    "503": status(503, "", Retry_After="3"),
    "429": status(429),
    "redirect": status(307, "", Location="/api/Order/elsewhere"),
    "moved": status(302, "", Location="/api/Order/elsewhere"),
    "no body": status(200),
    "no JSON": status(200, "<html>fine</html>"),
    "no object": status(200, [FINE]),
    "two ids": status(200, '{"success": true, "errorCode": 0, "orderId": 1, "orderId": 2}'),
    "NaN aside": status(200, '{"success": true, "errorCode": 0, "orderId": 1, "price": NaN}'),
    "no code": status(200, {"success": True}),
    "contradiction": status(200, {"success": True, "errorCode": 2}),
    "other contradiction": status(200, {"success": False, "errorCode": 0}),
    "a text for truth": status(200, {"success": "true", "errorCode": 0, "orderId": 1}),
    "a new code": refuses(77),
    "not UTF-8": status(200, b'{"success": true, "errorCode": 0, "errorMessage": "\xff'),
    "NaN": status(200, '{"success": true, "errorCode": NaN}'),
    "deep": status(200, "[" * 100_000),
    "endless": status(200, '{"success": true, "errorCode": 0, "orderId": 1}' + " " * 9_000_000),
}


@pytest.mark.parametrize("endpoint", CHANGES)
@pytest.mark.parametrize("how", LOST)
async def test_a_lost_answer_is_unknown_after_one_post(how: str, endpoint: str, wire: Wire, connect: Connect) -> None:
    """The server executed, and the answer is gone or means nothing: the request was made once and is not made again."""
    wire.on(endpoint, LOST[how])
    outcome = await CHANGES[endpoint](await connect(wire.url))
    assert isinstance(outcome, Unknown), outcome
    assert len(wire.seen(endpoint)) == 1
    assert [request.path for request in wire.requests if "elsewhere" in request.path] == []


@pytest.mark.parametrize("endpoint", CHANGES)
async def test_a_refused_token_is_not_tried_again_for_what_changes(endpoint: str, wire: Wire, connect: Connect) -> None:
    """One POST; the refusal says that the same may be asked again, and the next request logs in anew."""
    wire.on("Auth/loginKey", says(token="token-1"), says(token="token-2"))
    wire.on(endpoint, status(401))
    connector = await connect(wire.url)
    outcome = await CHANGES[endpoint](connector)
    assert isinstance(outcome, Rejected)
    assert outcome.repeatable
    assert len(wire.seen(endpoint)) == 1
    await CHANGES[endpoint](connector)
    assert [request.headers["authorization"] for request in wire.seen(endpoint)] == ["Bearer token-1", "Bearer token-2"]


async def test_reads_log_in_once_more_and_no_more(wire: Wire, connect: Connect) -> None:
    """A refused token costs a reader one repetition; when the new one is refused too, it says so."""
    wire.on("Position/searchOpen", status(401), says(positions=[]))
    connector = await connect(wire.url)
    assert list(await connector.positions(ACCOUNT)) == []
    assert len(wire.seen("Auth/loginKey")) == 2
    wire.on("Position/searchOpen", status(401))
    with pytest.raises(BrokerRefused):
        await connector.positions(ACCOUNT)
    assert len(wire.seen("Position/searchOpen")) == 4


@pytest.mark.parametrize("how", [drops, status(500), cuts, status(429)])
async def test_a_failed_read_is_not_repeated(how: Action, wire: Wire, connect: Connect) -> None:
    """Whoever asked decides whether to ask again."""
    wire.on("Position/searchOpen", how)
    connector = await connect(wire.url)
    with pytest.raises(BrokerUnavailable):
        await connector.positions(ACCOUNT)
    assert len(wire.seen("Position/searchOpen")) == 1


async def test_every_request_has_a_connection_of_its_own(wire: Wire, connect: Connect) -> None:
    """A kept connection may be closed by the peer at the moment when an order is written to it."""
    wire.on("Order/place", says(orderId=5))
    connector = await connect(wire.url)
    await connector.send(order())
    assert len(wire.requests) == 4
    assert {request.headers["connection"] for request in wire.requests} == {"close"}


async def test_an_unanswered_order_is_unknown_in_time(wire: Wire, connect: Connect) -> None:
    """The total time-out ends the wait."""
    wire.on("Order/place", stalls)
    connector = await connect(wire.url, timing={"timeout_s": 0.2})
    assert isinstance(await connector.send(order()), Unknown)
    assert len(wire.seen("Order/place")) == 1


async def test_nobody_listens(wire: Wire, connect: Connect) -> None:
    """A refused connection: not sent. The account and contract were known before."""
    connector = await _knowing(wire, connect)
    await wire.stop()
    outcome = await connector.send(order())
    assert isinstance(outcome, NotSent), outcome
    await wire.start()


async def test_a_name_that_is_not_resolved(wire: Wire, connect: Connect) -> None:
    """DNS fails: not sent, whatever was known before."""
    connector = await connect("http://nothing.invalid")
    assert isinstance(await connector.send(order()), NotSent)


async def test_no_connection_in_time(wire: Wire, connect: Connect) -> None:
    """A listener whose queue is full answers no SYN: the time-out for connecting ends it, and nothing was sent."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        with socket.create_connection(address):
            connector = await connect(
                f"http://127.0.0.1:{address[1]}", timing={"connect_timeout_s": 0.2, "timeout_s": 20.0}
            )
            with socket.socket() as second:
                second.setblocking(False)
                second.connect_ex(address)
                outcome = await connector.send(order())
    assert isinstance(outcome, NotSent), outcome


async def test_the_other_side_speaks_no_tls(connect: Connect) -> None:
    """A failed handshake: not sent."""
    came: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.read(4096))
        writer.write(b"HTTP/1.1 400 Speak TLS\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    connector = await connect(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert isinstance(await connector.send(order()), NotSent)
    server.close()
    await server.wait_closed()
    assert b"POST" not in b"".join(came)


async def test_a_certificate_that_nobody_trusts(connect: Connect, certificate: tuple[str, str]) -> None:
    """Not sent either; and no option turns the check off."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    came: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.read(1))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    connector = await connect(f"https://localhost:{server.sockets[0].getsockname()[1]}")
    assert isinstance(await connector.send(order()), NotSent)
    server.close()
    await server.wait_closed()
    assert b"".join(came) == b""


async def test_a_connector_that_is_not_open_sends_nothing(wire: Wire, connect: Connect) -> None:
    """Before open and after close."""
    connector = await _knowing(wire, connect)
    await connector.close()
    assert isinstance(await connector.send(order()), NotSent)
    with pytest.raises(BrokerUnavailable):
        await connector.positions(ACCOUNT)


async def test_an_order_whose_account_cannot_be_read_was_not_sent(wire: Wire, connect: Connect) -> None:
    """What is asked before the order may fail; nothing of the order has left then."""
    wire.on("Account/search", status(500), says(accounts=[LISTED]))
    wire.on("Order/place", says(orderId=5))
    connector = await connect(wire.url)
    assert isinstance(await connector.send(order()), NotSent)
    assert wire.seen("Order/place") == []
    assert isinstance(await connector.send(order()), Accepted)


async def test_a_refused_login_sends_nothing_and_is_not_repeated_at_once(
    wire: Wire, connect: Connect, clock: Clock
) -> None:
    """A wrong key does not become right: for half a minute nobody tries it again."""
    wire.on("Auth/loginKey", refuses(3, "Invalid"))
    connector = await connect(wire.url, timing={"clock": clock})
    for _ in range(3):
        assert isinstance(await connector.send(order()), NotSent)
    assert len(wire.seen("Auth/loginKey")) == 1
    clock.now += 31
    await connector.send(order())
    assert len(wire.seen("Auth/loginKey")) == 2


async def test_a_login_that_is_refused_between_orders(wire: Wire, connect: Connect) -> None:
    """The token ended, the key is not taken any more: of the next order nothing leaves."""
    connector = await _knowing(wire, connect)
    wire.on("Order/place", status(401))
    assert isinstance(await connector.send(order()), Rejected)
    wire.on("Auth/loginKey", refuses(10))
    assert isinstance(await connector.send(order()), NotSent)
    assert len(wire.seen("Order/place")) == 2


async def test_a_token_is_renewed_before_it_ends(wire: Wire, connect: Connect, clock: Clock) -> None:
    """With Auth/validate, which has no body; where that fails, with the key."""
    wire.on("Position/searchOpen", says(positions=[]))
    wire.on("Auth/loginKey", says(token="token-1"), says(token="token-3"))
    wire.on("Auth/validate", says(newToken="token-2"), refuses(3))
    connector = await connect(wire.url, timing={"clock": clock, "token_lifetime_s": 100.0})
    for seconds in (0, 80, 15, 80, 15):
        clock.now += seconds
        await connector.positions(ACCOUNT)
    used = [request.headers["authorization"] for request in wire.seen("Position/searchOpen")]
    assert used == [f"Bearer token-{number}" for number in (1, 1, 2, 2, 3)]
    assert [request.raw for request in wire.seen("Auth/validate")] == [b"", b""]


async def test_an_old_token_serves_while_a_new_one_cannot_be_had(wire: Wire, connect: Connect, clock: Clock) -> None:
    """It is good until it ends."""
    wire.on("Position/searchOpen", says(positions=[]))
    wire.on("Auth/validate", status(500))
    connector = await connect(wire.url, timing={"clock": clock, "token_lifetime_s": 100.0})
    await connector.positions(ACCOUNT)
    wire.on("Auth/loginKey", status(500))
    clock.now += 95
    await connector.positions(ACCOUNT)
    clock.now += 6
    with pytest.raises(BrokerUnavailable):
        await connector.positions(ACCOUNT)


async def test_many_at_once_log_in_once(wire: Wire, connect: Connect) -> None:
    """The others wait for the one."""
    wire.on("Position/searchOpen", says(positions=[]))
    connector = await connect(wire.url)
    await asyncio.gather(*(connector.positions(ACCOUNT) for _ in range(5)))
    assert len(wire.seen("Auth/loginKey")) == 1
    assert len(wire.seen("Account/search")) == 1


async def test_a_spent_budget_sends_no_entry_and_still_exits(wire: Wire, connect: Connect, clock: Clock) -> None:
    """What is left is for what closes; the entry learns when to come back."""
    wire.on("Order/place", says(orderId=5))
    wire.on("Position/closeContract", says())
    connector = await connect(wire.url, timing={"clock": clock})
    outcomes = [await connector.send(order()) for _ in range(150)]
    last = outcomes[-1]
    assert isinstance(last, NotSent)
    assert last.retry_after_s == pytest.approx(61.0)
    assert len(wire.requests) == 150
    assert isinstance(await connector.close_position(ACCOUNT, MNQ_ID), Accepted)
    assert isinstance(await connector.send(order(action="CLOSE")), Accepted)
    clock.now += 61
    assert isinstance(await connector.send(order()), Accepted)


async def test_after_too_many_requests_only_exits_go_on(wire: Wire, connect: Connect, clock: Clock) -> None:
    """For as long as the broker says, or a quarter of a minute."""
    wire.on("Order/place", status(429, "", Retry_After="40"), says(orderId=5))
    connector = await connect(wire.url, timing={"clock": clock})
    first = await connector.send(order())
    assert isinstance(first, Unknown)
    assert first.answer.detail == {"retry_after_s": 40.0}
    assert isinstance(await connector.send(order()), NotSent)
    assert isinstance(await connector.send(order(action="CLOSE")), Accepted)
    clock.now += 39
    assert isinstance(await connector.send(order()), NotSent)
    clock.now += 1
    assert isinstance(await connector.send(order()), Accepted)


async def test_the_answer_keeps_what_the_broker_said(wire: Wire, connect: Connect) -> None:
    """Status, text, code and the order's id, which a refused order has too."""
    wire.on("Order/place", refuses(2, "Brackets cannot be used with Position Brackets.", orderId=99))
    outcome = await (await connect(wire.url)).send(order())
    assert isinstance(outcome, Rejected)
    assert "Brackets cannot be used" in outcome.message
    assert outcome.answer.code == 200
    assert outcome.answer.detail == {"error_code": 2, "error": "OrderRejected", "order_id": "99"}


async def test_the_requests_are_as_documented(wire: Wire, connect: Connect) -> None:
    """Bodies of everything that changes something."""
    for endpoint in CHANGES:
        wire.on(endpoint, says(orderId=5))
    connector = await connect(wire.url)
    for change in CHANGES.values():
        assert isinstance(await change(connector), Accepted)
    place = {"accountId": 7, "contractId": MNQ_ID, "type": 2, "side": 0, "size": 1, "customTag": TAG}
    assert wire.seen("Order/place")[0].body == place
    assert wire.seen("Order/cancel")[0].body == {"accountId": 7, "orderId": 5}
    assert wire.seen("Order/modify")[0].body == {"accountId": 7, "orderId": 5, "stopPrice": 24000.25}
    assert wire.seen("Position/closeContract")[0].body == {"accountId": 7, "contractId": MNQ_ID}
    assert wire.seen("Position/partialCloseContract")[0].body["size"] == 1
    assert {request.method for request in wire.requests} == {"POST"}


async def _knowing(wire: Wire, connect: Connect) -> ProjectXConnector:
    """A connector that knows account and contract, so that an order is all that it sends."""
    wire.on("Order/place", says(orderId=5))
    connector = await connect(wire.url)
    assert isinstance(await connector.send(order()), Accepted)
    return connector
