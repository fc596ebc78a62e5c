"""A strategy that is not heard of in time is warned about once."""

import asyncio
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from eventrouter.logs import configure_logging
from eventrouter.metrics import Metrics
from eventrouter.silence import watch_silence
from eventrouter.store.connect import Conn, Pool
from eventrouter.store.settings import TableCache
from eventrouter.store.signals import StoredAlert, store_alerts
from tests.processes import until_async


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """What is logged meanwhile, as JSON lines."""
    stream = io.StringIO()
    configure_logging("json", "warning", stream)
    yield stream
    configure_logging("console", "warning")


def events(said: io.StringIO) -> list[str]:
    """The events logged so far."""
    return [json.loads(line)["event"] for line in said.getvalue().splitlines()]


async def test_silence_is_told_once_and_so_is_its_end(conn: Conn, pool: Pool, said: io.StringIO) -> None:
    """The warning comes once, the gauge stands meanwhile, and an alert of any kind ends it."""
    metrics = Metrics()
    watching = asyncio.create_task(watch_silence(pool, {"orb": 0.1}, metrics))
    try:

        async def silent() -> bool:
            return "strategy_silent" in events(said)

        await until_async(silent)
        assert b'eventrouter_strategy_silent{strategy="orb"} 1.0' in metrics.render()
        refused = StoredAlert(uuid4(), "orb", datetime.now(UTC).replace(year=2099), b"?", code="X", message="x")
        await store_alerts(conn, [refused], TableCache())

        async def heard() -> bool:
            return "strategy_heard_again" in events(said)

        await until_async(heard)
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
    assert events(said) == ["strategy_silent", "strategy_heard_again"]
