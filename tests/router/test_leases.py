"""What happens to tasks in flight when their router ends: with a grace, without one, or without a word."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from eventrouter import executor as executor_module
from eventrouter import sending
from eventrouter.connectors.base import Connector
from eventrouter.domain.decide import Send
from eventrouter.domain.orders import Outcome
from eventrouter.domain.tasks import Status
from eventrouter.sending import send_once
from eventrouter.store.connect import Conn
from tests.processes import until_async
from tests.router.book import attempts, enqueue, is_sound, move, order_id, reaches, row_of, status_of, value, way
from tests.router.broker import Broker, live
from tests.router.conftest import Start, asleep
from tests.router.proxy import Proxy

LIVE: dict[str, Any] = {"dry_run": False, "accounts": [live("real", "alpha")]}


async def test_a_task_whose_router_is_gone_is_simulated_again(db: Conn, start: Start) -> None:
    """In a dry run SENDING past its lease goes by UNKNOWN to a second attempt under the same client order id."""
    task = await enqueue(db, "t")
    order = await order_id(db, task)
    await move(db, task, Status.SENDING, lease_s=0.1, actor="gone")
    await start(lease=0.5)
    await reaches(db, task, Status.SUCCESS)
    assert await way(db, task) == "PENDING SENDING UNKNOWN PENDING SENDING SUCCESS"
    assert (await order_id(db, task), await attempts(db, task)) == (order, 2)
    assert "gone" in (await row_of(db, task, "LEASE_ENDED"))[4]
    assert (await row_of(db, task, "INTENT"))[8]["client_order_id"] == order
    assert await is_sound(db)


async def test_a_lease_that_has_not_ended_is_left_alone(db: Conn, start: Start) -> None:
    """Another router's task in SENDING is nobody else's until its lease ends."""
    task, dead = await enqueue(db, "t"), await enqueue(db, "dead", symbol="ES")
    await move(db, task, Status.SENDING, lease_s=3600)
    await move(db, dead, Status.SENDING, lease_s=0.1)
    await start(lease=0.5)
    await reaches(db, dead, Status.SUCCESS)
    assert await status_of(db, task) == Status.SENDING


async def test_stop_waits_for_the_answers_of_orders_in_flight(
    db: Conn, start: Start, broker_named: Callable[..., Broker]
) -> None:
    """A router told to stop takes no more tasks, and ends once the outcome of what it sent is recorded."""
    broker = broker_named("alpha")
    broker.answers.clear()
    router = await start(**LIVE, grace=60.0)
    task = await enqueue(db, "t", account="real", mode="live")
    await asleep(router, sending=1)
    stopping = asyncio.create_task(router.stop())
    await asyncio.wait(router._claiming)
    late = await enqueue(db, "late", account="real", symbol="ES", mode="live")
    broker.answers.set()
    await stopping
    assert (await status_of(db, task), await status_of(db, late)) == (Status.SUCCESS, Status.PENDING)


async def test_what_outlasts_the_grace_is_recovered_by_the_next_router(
    db: Conn, start: Start, broker_named: Callable[..., Broker]
) -> None:
    """Over the grace a task stays SENDING, since its order may have arrived; the next router finds out by its lease."""
    broker = broker_named("alpha")
    broker.answers.clear()
    router = await start(**LIVE, lease=0.5, grace=0.0)
    task = await enqueue(db, "t", account="real", mode="live")
    await until_async(partial(value, db, "SELECT status = 'SENDING' FROM execution_tasks"))
    await router.stop()
    assert await status_of(db, task) == Status.SENDING
    broker.answers.set()
    await start(**LIVE, lease=0.5)
    await reaches(db, task, Status.SUCCESS)
    assert await way(db, task) == "PENDING SENDING UNKNOWN PENDING SENDING SUCCESS"
    assert [order.client_order_id for order in broker.placed] == [await order_id(db, task)] * 2
    assert await is_sound(db)


async def test_stop_ends_though_postgres_does_not_answer(proxy: Proxy, start: Start) -> None:
    """A claim that hangs is waited for no longer than the grace, and nothing asked of the database after that hangs."""
    router = await start(dsn=proxy.dsn, grace=0.5)
    for connection in proxy.connections:
        connection.mute = True
    router.wake()
    await until_async(lambda: _asked(proxy), what="a question without an answer")
    stopping = asyncio.create_task(router.stop())
    try:
        assert await asyncio.wait({stopping}, timeout=30) == ({stopping}, set())
    finally:
        for connection in proxy.connections:
            connection.cut()
        await stopping


async def _asked(proxy: Proxy) -> bool:
    return any(connection.swallowed for connection in proxy.connections)


async def test_nothing_is_sent_after_its_lease(
    db: Conn, start: Start, broker_named: Callable[..., Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was stopped between its commit and its send wakes up too late: the order stays here, and goes out anew."""
    broker = broker_named("alpha")
    late = [31.0]

    async def sent(connector: Connector, send: Send, within_s: float) -> Outcome:
        return await send_once(connector, send, within_s - (late.pop() if late else 0.0))

    monkeypatch.setattr(executor_module, "send_once", sent)
    monkeypatch.setattr(sending, "delay_s", lambda *_: 0.0)
    await start(**LIVE, lease=30.0)
    task = await enqueue(db, "t", account="real", mode="live")
    await reaches(db, task, Status.SUCCESS)
    assert await way(db, task) == "PENDING SENDING PENDING SENDING SUCCESS"
    assert len(broker.placed) == 1
