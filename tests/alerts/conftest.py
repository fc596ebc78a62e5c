"""Inboxes, and alerts that tell them; all of it stopped at the end."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from io import StringIO
from typing import Any, Protocol

import pytest

from eventrouter.alerts import Alerts, Receiver, receivers_of
from eventrouter.logs import configure_logging
from eventrouter.metrics import Metrics
from eventrouter.store.connect import Database, Pool
from tests.alerts.inbox import Inbox, inbox, settings


@pytest.fixture
async def box() -> AsyncIterator[Inbox]:
    """One inbox."""
    async with inbox() as opened:
        yield opened


@pytest.fixture
async def other() -> AsyncIterator[Inbox]:
    """Another inbox."""
    async with inbox() as opened:
        yield opened


@pytest.fixture
def said() -> Iterator[StringIO]:
    """Everything that is logged meanwhile, libraries and debugging included."""
    stream = StringIO()
    configure_logging("json", "debug", stream)
    yield stream
    configure_logging("console", "warning")


class Tell(Protocol):
    """Starts alerts for these inboxes."""

    async def __call__(self, *boxes: Inbox, pool: Pool | None = None, started: bool = True, **more: Any) -> Alerts:
        """`more`: keys of [alerts], and arguments of Alerts."""
        ...


ARGUMENTS = ("name", "metrics", "accounts", "dry_run", "connections", "listener_healthy", "every_s")


@pytest.fixture
async def tell(dsn: str) -> AsyncIterator[Tell]:
    """Starts alerts on `dsn`; they are stopped at the end."""
    async with AsyncExitStack() as stack:

        async def started(*boxes: Inbox, pool: Pool | None = None, started: bool = True, **more: Any) -> Alerts:
            if pool is None:
                pool = await stack.enter_async_context(Database(dsn).pool("alerts", size=2))
            arguments: dict[str, Any] = {"name": "test", "metrics": Metrics(), "every_s": 0.02}
            arguments |= {key: more.pop(key) for key in ARGUMENTS if key in more}
            config = settings(*boxes, **more)
            receivers: tuple[Receiver, ...] = receivers_of(config)
            alerts = Alerts(pool, receivers, config, **arguments)
            if started:
                await alerts._note_turn()  # history begins here
                alerts.start()
                stack.push_async_callback(alerts.stop)
            return alerts

        yield started


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    """The service's pool on `dsn`."""
    async with Database(dsn).pool("test") as opened:
        yield opened
