"""Routers, brokers and servers of a test's own, stopped when it ends."""

import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest

from eventrouter.connectors import REGISTRY
from eventrouter.connectors.base import Capabilities
from eventrouter.router import ExecutionRouter
from eventrouter.store.connect import Conn
from eventrouter.store.embedded import EmbeddedServer, open_server
from tests.conftest import private_directory
from tests.processes import until_async
from tests.router.book import HOUR_S
from tests.router.broker import Broker
from tests.router.proxy import Proxy, proxied


class Start(Protocol):
    """Starts a router and returns it once it sleeps, or at once."""

    async def __call__(self, *, sleeping: bool = True, **settings: Any) -> ExecutionRouter:
        """The settings of ExecutionRouter; the poll is an hour away unless they say otherwise."""
        ...


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Conn]:
    """The owner's connection to `dsn`, in autocommit; it waits for nobody's lock for ever."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True, options="-c lock_timeout=5s") as conn:
        yield conn


@pytest.fixture
async def start(dsn: str) -> AsyncIterator[Start]:
    """Starts routers on `dsn`; they are stopped at the end."""
    async with AsyncExitStack() as stack:

        async def started(*, sleeping: bool = True, **settings: Any) -> ExecutionRouter:
            router = ExecutionRouter(**{"dsn": dsn, "poll_interval": HOUR_S, "grace": 5.0, **settings})
            stack.push_async_callback(router.stop)
            await router.start()
            if sleeping:
                await router.listener.wait_healthy()
                await asleep(router)
            return router

        yield started


@pytest.fixture
async def proxy(dsn: str) -> AsyncIterator[Proxy]:
    """Another way to `dsn`."""
    directory = private_directory()
    async with proxied(dsn, directory) as middle:
        yield middle
    shutil.rmtree(directory)


async def asleep(router: ExecutionRouter, *, sending: int = 0) -> None:
    """Returns once the router has so many tasks in flight and waits for a wake: it has seen all that there is."""

    async def sleeps() -> bool:
        wakes = [router._wake, *(connection.wake for connection in router.connections)]
        return router.in_flight == sending and all(not wake.is_set() and len(wake._waiters) > 0 for wake in wakes)

    await until_async(sleeps, within_s=30, what="the router's sleep")


@pytest.fixture
def broker_named(start: Start, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Broker]]:
    """Registers a broker under a connector's name; at the end, before routers stop, it answers whatever still waits."""
    brokers: list[Broker] = []

    def register(name: str, **capabilities: Any) -> Broker:
        broker = Broker(Capabilities(**capabilities))
        brokers.append(broker)
        monkeypatch.setitem(REGISTRY, name, lambda settings: broker)
        return broker

    yield register
    for broker in brokers:
        broker.let_go()


class OwnServer:
    """A PostgreSQL of the test's own, which it may stop and start."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._opened: EmbeddedServer | None = None
        self.start()

    @property
    def dsn(self) -> str:
        """Its database, as owner."""
        assert self._opened is not None
        return self._opened.admin_dsn

    def start(self) -> None:
        """Starts it; after a crash it recovers."""
        self._opened = open_server(self._home, settings={"fsync": "off"})

    def stop(self) -> None:
        """Stops it as an administrator would: clients are disconnected."""
        if self._opened is not None:
            self._opened.close()

    def crash(self) -> None:
        """Ends it without a shutdown."""
        pid = int((self._home / "pgdata" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        self.stop()


@pytest.fixture
def own_server() -> Iterator[OwnServer]:
    """A running server that no other test uses."""
    home = private_directory()
    server = OwnServer(home / "db")
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
