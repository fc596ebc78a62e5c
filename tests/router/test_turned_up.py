"""Orders that turn up at the broker after all: a task in REVIEW gets its order back, and of two orders of one task people hear."""

from typing import Any

import pytest

from eventrouter.domain.dead_letters import Retry
from eventrouter.domain.orders import Accepted
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.store.actions import act
from eventrouter.store.connect import Conn
from eventrouter.store.tasks import append, task_state
from tests.processes import until_async
from tests.router.book import enqueue, is_sound, row_of, status_of, value, way
from tests.router.test_bookkeeper import MNQ, Desk
from tests.router.test_bookkeeper import desk as desk

LIMIT = {"order_type": "limit", "limit_price": "23000"}


async def moves(db: Conn, task_id: int, *rows: tuple[Status, str, dict[str, Any]]) -> None:
    """Appends these rows: status, reason, detail."""
    for status, reason, detail in rows:
        state = await task_state(db, task_id)
        assert state is not None
        lease_s = 3600.0 if status is Status.SENDING else None
        assert await append(
            db, "router", [LogEntry(task_id, state.version, status, reason, detail=detail, lease_s=lease_s)]
        )


async def intent(db: Conn, task_id: int, quantity: str = "1") -> dict[str, Any]:
    """What an intent of this task says now."""
    client_order_id = await value(db, "SELECT client_order_id FROM execution_tasks WHERE id = %s", task_id)
    return {"client_order_id": client_order_id, "contract": MNQ, "direction": "LONG", "quantity": quantity}


async def in_review(desk: Desk, quantity: str = "1", **said: Any) -> int:
    """A task in REVIEW whose order the broker has all the same. `quantity` is the intent's."""
    task_id = await enqueue(desk.db, "T1", "ENTRY", account="one", symbol="MNQZ6", mode="live")
    await moves(desk.db, task_id, (Status.SENDING, "INTENT", await intent(desk.db, task_id, quantity)))
    assert isinstance(await desk.rig.connector.send(await desk.order(task_id, **said)), Accepted)
    await moves(desk.db, task_id, (Status.UNKNOWN, "TIMEOUT", {}), (Status.REVIEW, "NOT_PROVEN", {}))
    return task_id


async def test_an_order_in_review_that_works_is_adopted(desk: Desk) -> None:
    """It is ACCEPTED once the broker shows it, its dead letter is closed, and its fill ends it."""
    task_id = await in_review(desk, **LIMIT)
    desk.keep()
    await desk.becomes(task_id, Status.ACCEPTED)
    assert (await row_of(desk.db, task_id, "LATE_ACCEPTANCE"))[8]["state"] == "WORKING"
    assert await value(desk.db, "SELECT count(*) FROM open_dead_letters") == 0
    await desk.rig.control.price(22990)
    await desk.becomes(task_id, Status.SUCCESS)
    await desk.holds(T1=1)
    assert await is_sound(desk.db)


async def test_an_order_in_review_that_was_cancelled_there_is_known_to_have_ended(desk: Desk) -> None:
    """Somebody withdrew it at the broker: the task is FAILED then, and nothing is in doubt any more."""
    task_id = await in_review(desk, **LIMIT)
    (order,) = await desk.rig.control.working()
    await desk.rig.connector.cancel("one", str(order["id"]))
    desk.keep()
    await desk.becomes(task_id, Status.FAILED)
    assert (await desk.reasons(task_id))[-2:] == ["LATE_ACCEPTANCE", "CANCELLED_AT_BROKER"]


async def test_an_order_that_differs_is_not_adopted(desk: Desk) -> None:
    """It bears the id, and is of another size than what was sent: said once, and a person decides."""
    task_id = await in_review(desk, quantity="2", **LIMIT)
    keeper = desk.keep()
    await until_async(lambda: desk.told(task_id, "NOT_OURS"), within_s=20, what="the difference")
    await keeper.resync("one")
    assert (await desk.reasons(task_id)).count("NOT_OURS") == 1
    assert await status_of(desk.db, task_id) == "REVIEW"
    assert "its quantity is 1 instead of 2" in (await row_of(desk.db, task_id, "NOT_OURS"))[4]


async def again(desk: Desk, task_id: int, **said: Any) -> None:
    """An operator has it sent again; the broker takes the second order too."""
    await act(desk.db, task_id, "retry", actor="operator", retry=Retry(confirm=task_id))
    await moves(desk.db, task_id, (Status.SENDING, "INTENT", await intent(desk.db, task_id)))
    sent = await desk.rig.connector.send(await desk.order(task_id, **said))
    assert isinstance(sent, Accepted)
    await desk.accept(task_id, sent)


@pytest.mark.parametrize("fills", [False, True])
async def test_an_order_of_before_a_retry_turns_up(desk: Desk, fills: bool) -> None:
    """It is told once; what works of it is withdrawn and its successor stays; one that filled puts the account out of sync."""
    task_id = await in_review(desk, **({} if fills else LIMIT))
    await again(desk, task_id, order_type="limit", limit_price="22000")
    keeper = desk.keep()
    await until_async(lambda: desk.told(task_id, "EARLIER_ORDER"), within_s=20, what="the earlier order")
    if fills:
        await desk.holds(T1=1)
        assert (await desk.book()).out_of_sync is not None
    else:
        await until_async(lambda: desk.works(1), within_s=20, what="the withdrawal of the earlier order")
        assert (await desk.book()).out_of_sync is None
    (left,) = await desk.rig.control.working()
    assert left["limitPrice"] == 22000
    await keeper.resync("one")
    assert (await desk.reasons(task_id)).count("EARLIER_ORDER") == 1
    assert await status_of(desk.db, task_id) == "ACCEPTED"
    assert await is_sound(desk.db)


async def test_an_order_of_before_a_retry_that_was_not_sent_is_adopted(desk: Desk) -> None:
    """The retry still waits when the first order shows: that one counts, and no second one is sent."""
    task_id = await in_review(desk, **LIMIT)
    await act(desk.db, task_id, "retry", actor="operator", retry=Retry(confirm=task_id))
    desk.keep()
    await desk.becomes(task_id, Status.ACCEPTED)
    assert "EARLIER_ORDER" not in await desk.reasons(task_id)
    assert (await way(desk.db, task_id)).endswith("REVIEW PENDING ACCEPTED")


async def test_an_order_that_differs_stops_a_retry_that_was_not_sent(desk: Desk) -> None:
    """Something bears the first order's id at the broker: nothing is sent again before a person has looked at it."""
    task_id = await in_review(desk, quantity="2", **LIMIT)
    await act(desk.db, task_id, "retry", actor="operator", retry=Retry(confirm=task_id))
    desk.keep()
    await desk.becomes(task_id, Status.REVIEW)
    assert (await desk.reasons(task_id))[-1] == "NOT_OURS"
    assert await is_sound(desk.db)


async def test_an_entry_that_turns_up_after_its_exit_ended_is_withdrawn(desk: Desk) -> None:
    """Its exit found nothing and waited for no person: what works of the entry goes, and the entry ends as cancelled."""
    task_id = await in_review(desk, **LIMIT)
    exit_id = await enqueue(desk.db, "T1", "EXIT", account="one", symbol="MNQZ6", mode="live")
    await moves(desk.db, exit_id, (Status.DENIED, "ENTRY_UNPROVEN", {}))
    desk.keep()
    await desk.becomes(task_id, Status.CANCELLED)
    assert await desk.works()
    assert (await way(desk.db, task_id)).endswith("REVIEW ACCEPTED CANCELLED")
    assert await is_sound(desk.db)
