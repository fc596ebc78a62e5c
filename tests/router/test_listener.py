"""The listener notices when it is deaf, comes back, and the poll works meanwhile."""

from functools import partial

import pytest

from eventrouter import ExecutionRouter
from eventrouter.domain.tasks import Status
from eventrouter.listener import Listener
from eventrouter.store.connect import Conn
from tests.processes import until_async
from tests.router.book import HOUR_S, enqueue, reaches, value
from tests.router.conftest import Start, asleep
from tests.router.proxy import Proxy

LISTENER = "application_name = 'eventrouter-listener' AND datname = current_database()"


async def test_a_terminated_listener_comes_back(db: Conn, start: Start) -> None:
    """With its backend terminated the listener reconnects, and the next insert wakes the router again."""
    router = await start()
    first = await value(db, f"SELECT pid FROM pg_stat_activity WHERE {LISTENER}")
    assert await value(db, "SELECT pg_terminate_backend(%s)", first)
    replaced = f"SELECT count(*) FROM pg_stat_activity WHERE {LISTENER} AND pid <> %s"
    await until_async(partial(value, db, replaced, first), what="a new session")
    await router.listener.wait_healthy()
    await asleep(router)
    await reaches(db, await enqueue(db, "t"), Status.SUCCESS)


async def test_a_reconnect_finds_what_nobody_was_told(db: Conn, start: Start) -> None:
    """A listener that comes back wakes the router, since a notification may have been missed meanwhile."""
    await start()
    await db.execute("ALTER TABLE execution_tasks DISABLE TRIGGER execution_tasks_notify")
    task = await enqueue(db, "t")
    await db.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {LISTENER}")
    await reaches(db, task, Status.SUCCESS)


@pytest.mark.parametrize("fault", ["deaf", "mute"])
async def test_a_listener_that_hears_nothing_finds_out(
    db: Conn, proxy: Proxy, start: Start, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A listener whose probe does not come back connects again; tasks run through the poll meanwhile."""
    monkeypatch.setattr("eventrouter.router.Listener", partial(Listener, probe_interval=0.2, probe_timeout=0.5))
    router = await start(poll_interval=0.2, listen_dsn=proxy.dsn)
    first = proxy.connections[0]
    setattr(first, fault, True)
    await reaches(db, await enqueue(db, "meanwhile"), Status.SUCCESS)
    await until_async(lambda: _polled(router), what="a count of what only the poll found")
    await until_async(lambda: _made_again(router), what="another connection")
    await router.listener.wait_healthy()
    assert first.swallowed
    router._poll_interval = HOUR_S
    router.wake()
    await asleep(router)
    await reaches(db, await enqueue(db, "afterwards"), Status.SUCCESS)


async def _polled(router: ExecutionRouter) -> bool:
    return bool(router.metrics.claimed_tasks.labels("poll")._value.get() == 1)


async def _made_again(router: ExecutionRouter) -> bool:
    return bool(router.metrics.listener_reconnects._value.get())
