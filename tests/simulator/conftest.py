"""A simulated broker in the test's own loop, on a real socket, with a clock that stands and prices that are posted."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from aiohttp import ClientSession

from eventrouter.simulator import Clock, Settings, Simulator
from tests.simulator.client import Client, HubClient

MONDAY = datetime(2026, 11, 23, 15, tzinfo=UTC)
Start = Callable[..., Awaitable[Client]]
Connect = Callable[[Client], Awaitable[HubClient]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a broker with these settings, on a Monday morning, and gives a logged-in client."""
    async with AsyncExitStack() as stack:

        async def started(*, clock: Clock | None = None, **settings: object) -> Client:
            chosen = Settings(**{"requests_per_minute": 0, "step_s": 0.02, **settings})  # type: ignore[arg-type]
            broker = await stack.enter_async_context(Simulator(chosen, clock=clock or Clock(MONDAY, frozen=True)))
            session = await stack.enter_async_context(ClientSession())
            client = Client(session, broker.url)
            await client.login(chosen.user, chosen.api_key)
            return client

        yield started


@pytest.fixture
async def client(start: Start) -> Client:
    """A client of a broker with the usual settings."""
    return await start()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Opens the hub as this client's user, shakes hands, and gives the connection."""
    async with AsyncExitStack() as stack:

        async def connected(client: Client) -> HubClient:
            address = f"{client.url}/hubs/user?access_token={client.token}"
            hub = HubClient(await stack.enter_async_context(client.session.ws_connect(address)))
            assert await hub.handshake() == {}
            return hub

        yield connected
