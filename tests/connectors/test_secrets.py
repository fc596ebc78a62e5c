"""Key and token appear nowhere: not in a repr, an outcome, an exception with all that it chains, or a log line."""

import asyncio
import io
import logging
import traceback
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from eventrouter.connectors.projectx import Credentials
from eventrouter.domain.orders import Accepted, Order, Rejected, Unknown
from eventrouter.errors import BrokerError
from tests.connectors.brokers import KEY
from tests.connectors.conftest import Connect
from tests.connectors.hub_server import hub_server
from tests.connectors.wire import ACCOUNT, Wire, cuts, drops, refuses, resets, says, status

TOKEN = "token-that-nobody-may-see"
ECHO = {"success": False, "errorCode": 2, "errorMessage": f"{TOKEN} {KEY}", "orderId": 1, "token": TOKEN, "key": KEY}


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """All that any logger says, at any level, before the redaction of our own logs could help."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def gateway(wire: Wire) -> Wire:
    """A gateway that gives the token, and says every secret back where it can."""
    wire.on("Auth/loginKey", says(token=TOKEN))
    wire.on("Order/place", status(200, ECHO), status(500, ECHO), drops, resets, cuts, status(401, ECHO))
    wire.on("Position/searchOpen", status(200, ECHO), status(500, ECHO), drops, resets, cuts, status(401, ECHO))
    return wire


def clean(*things: object) -> None:
    """None of these shows a secret."""
    for thing in things:
        for text in (str(thing), repr(thing)):
            assert KEY not in text, text
            assert TOKEN not in text, text


def test_credentials_show_nothing() -> None:
    """Not by repr, str or format."""
    credentials = Credentials("trader", SecretStr(KEY))
    clean(credentials, f"{credentials}", [credentials], vars(type(credentials)))


async def test_outcomes_and_objects(gateway: Wire, connect: Connect, lines: io.StringIO) -> None:
    """What the broker echoes is stored without it."""
    connector = await connect(gateway.url)
    order = Order(
        client_order_id="tag",
        account=ACCOUNT,
        trade_id="T1",
        action="OPEN",
        symbol="MNQZ6",
        direction="LONG",
        quantity="1",
    )
    outcomes = [await connector.send(order) for _ in range(6)]
    assert {type(outcome) for outcome in outcomes} == {Rejected, Unknown}
    assert isinstance(outcomes[0], Rejected)
    assert "[redacted]" in (outcomes[0].answer.body or "")
    clean(*outcomes, connector, *vars(connector).values(), *vars(connector._gateway).values(), lines.getvalue())


async def test_exceptions_with_all_that_they_chain(gateway: Wire, connect: Connect, lines: io.StringIO) -> None:
    """The client's own errors name addresses and headers; none of them is chained."""
    connector = await connect(gateway.url)
    for _ in range(6):
        with pytest.raises(BrokerError) as raised:
            await connector.positions(ACCOUNT)
        clean(raised.value, "".join(traceback.format_exception(raised.value)), lines.getvalue())
        assert raised.value.__cause__ is None


async def test_a_key_that_is_a_common_word(wire: Wire, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hiding it changes what is kept, never what is read."""
    monkeypatch.setattr("tests.connectors.conftest.KEY", "true")
    connector = await connect(wire.url)
    (account,) = await connector.accounts()
    assert account.simulated
    wire.on("Order/place", says(orderId=5))
    outcome = await connector.send(
        Order(
            client_order_id="tag",
            account=ACCOUNT,
            trade_id="T1",
            action="OPEN",
            symbol="MNQZ6",
            direction="LONG",
            quantity="1",
        )
    )
    assert isinstance(outcome, Accepted)
    assert "true" not in (outcome.answer.body or "")


@pytest.mark.parametrize("how", [refuses(3, f"{KEY} is wrong"), status(500, KEY), status(200, KEY), drops])
async def test_a_failed_login(how: Any, gateway: Wire, connect: Connect, lines: io.StringIO) -> None:
    """The message of a refused login, and the outcome of an order because of it."""
    gateway.on("Auth/loginKey", how)
    connector = await connect(gateway.url)
    order = Order(
        client_order_id="tag",
        account=ACCOUNT,
        trade_id="T1",
        action="OPEN",
        symbol="MNQZ6",
        direction="LONG",
        quantity="1",
    )
    clean(await connector.send(order))
    with pytest.raises(BrokerError) as raised:
        await connector.positions(ACCOUNT)
    clean(raised.value, "".join(traceback.format_exception(raised.value)), lines.getvalue())


class Log:
    """What is logged, before the redaction that all our lines pass through could hide it."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **values: Any) -> None:
        """One line."""
        self.said.append((event, values))

    error = warning


async def test_a_hub_that_refuses(
    gateway: Wire, connect: Connect, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token is in the hub's address, and no reason for a loss shows it."""
    log = Log()
    monkeypatch.setattr("eventrouter.connectors.projectx.hub._log", log)
    async with hub_server(expected=4) as server:
        server.upgrade_status = [401, 500, *[302] * 10]
        connector = await connect(gateway.url, hub_url=server.url)
        events = connector.events()
        async with asyncio.timeout(20):
            await anext(events)
        peer = await server.peers.get()
        await peer.socket.close()
        await anext(events)
        assert peer.request.query["access_token"] == TOKEN
    assert [event for event, _ in log.said] == ["hub_lost"] * 4
    clean(log.said, lines.getvalue(), connector._hub)


async def test_the_clients_own_error_would_show_it() -> None:
    """Why the rule above is needed: aiohttp's error for a refused WebSocket holds the whole address."""
    async with hub_server(expected=1) as server, aiohttp.ClientSession() as session:
        server.upgrade_status = [500]
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            await session.ws_connect(f"{server.url}?access_token={TOKEN}")
        assert TOKEN in str(raised.value)
