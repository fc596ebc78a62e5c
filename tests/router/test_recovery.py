"""A broker that is away costs nobody an attempt, an unknown entry holds up its account, and a start looks before it claims."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from eventrouter import connection as connection_module
from eventrouter import reconcile, sending
from eventrouter import router as router_module
from eventrouter.domain import circuit
from eventrouter.domain.circuit import TRIPS_AFTER
from eventrouter.domain.orders import Answer, LookUp, NotSent, Order, Outcome, Rejected, Unknown
from eventrouter.domain.tasks import Status
from eventrouter.errors import BrokerUnavailable
from eventrouter.store.connect import Conn, Pool
from tests.processes import until_async
from tests.router.book import HOUR_S, attempts, enqueue, is_sound, move, reaches, row_of, status_of, value, way
from tests.router.broker import DONE, UNPROVEN, Broker, live
from tests.router.conftest import Start, asleep

TWO = [live("real", "alpha"), replace(live("other", "alpha"), login="real")]
LIVE: dict[str, Any] = {"dry_run": False, "accounts": TWO, "poll_interval": 0.1}
AWAY = NotSent("Connection refused.")
ROWS = "SELECT count(*) FROM execution_logs WHERE task_id = %s AND reason = %s"

enqueue_live = partial(enqueue, account="real", mode="live")


@pytest.fixture
def broker(broker_named: Callable[..., Broker]) -> Broker:
    """The broker of the accounts `real` and `other`, which share a login."""
    return broker_named("alpha", refuses_repeated_ids=True)


async def told(db: Conn, task: int, reason: str) -> None:
    """Returns once the task's log says so."""

    async def says() -> bool:
        return bool(await value(db, ROWS, task, reason))

    await until_async(says, within_s=15, what=f"{reason} in the log of task {task}")


async def waited(router: Any, db: Conn, rounds: int = 3) -> None:
    """Returns once another account's entries went through a few rounds of claims."""
    for number in range(rounds):
        task = await enqueue(db, f"round{number}", "EXIT", account="other", mode="live")
        await reaches(db, task, Status.DENIED)


# unknown entries


async def test_entries_of_an_account_wait_for_its_unknown_one(db: Conn, start: Start, broker: Broker) -> None:
    """In whatever lane, and each says once for which; exits and other accounts go on, and the rest once it is found."""
    broker.searchable.clear()
    broker.replies = deque([DONE, Unknown(Answer(503, "busy"), "The broker answered 503.")])
    router = await start(**LIVE, sleeping=False)
    await reaches(db, await enqueue_live(db, "held", symbol="CL"), Status.SUCCESS)
    unknown = await enqueue_live(db, "t")
    await reaches(db, unknown, Status.UNKNOWN)
    behind, elsewhere = await enqueue_live(db, "u"), await enqueue_live(db, "v", symbol="ES")
    for task in (behind, elsewhere):
        await told(db, task, "WAITS_FOR_UNKNOWN")
        said = await row_of(db, task, "WAITS_FOR_UNKNOWN")
        assert said[:2] == ("PENDING", "PENDING")
        assert f"the entry of task {unknown} is not known" in said[4]
        assert said[8] == {"unknown": unknown}
    exit_ = await enqueue_live(db, "held", "EXIT_SL", symbol="CL")
    await reaches(db, exit_, Status.SUCCESS)
    await reaches(db, await enqueue(db, "w", account="other", mode="live"), Status.SUCCESS)
    await waited(router, db)
    assert broker.sent() == ["held", "t", "held", "w"]
    assert [await value(db, ROWS, task, "WAITS_FOR_UNKNOWN") for task in (behind, elsewhere)] == [1, 1]
    broker.found = DONE
    broker.searchable.set()
    for task in (unknown, behind, elsewhere):
        await reaches(db, task, Status.SUCCESS)
    assert await is_sound(db)


async def test_an_entry_that_gets_too_old_behind_an_unknown_one_expires(
    db: Conn, start: Start, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for the end of the other one's doubt."""
    monkeypatch.setattr(connection_module, "LOOK_WITHIN_S", 0.1)
    broker.searchable.clear()
    await move(db, await enqueue_live(db, "t"), Status.SENDING, Status.UNKNOWN)
    await start(**LIVE, sleeping=False)
    entry = await aging(db, "v", 2.0)
    await told(db, entry, "WAITS_FOR_UNKNOWN")
    await reaches(db, entry, Status.EXPIRED)
    assert (await row_of(db, entry, "TOO_OLD"))[:2] == ("PENDING", "EXPIRED")
    assert broker.placed == []


async def aging(db: Conn, trade: str, seconds: float, symbol: str = "ES") -> int:
    """An entry that is too old after so many seconds."""
    row = await db.execute(
        "INSERT INTO execution_tasks (trade_id, event_type, payload, account, mode, expires_at)"
        " VALUES (%s, 'ENTRY', jsonb_build_object('symbol', %s::TEXT, 'direction', 'LONG'), 'real', 'live',"
        " clock_timestamp() + make_interval(secs => %s)) RETURNING id",
        (trade, symbol, seconds),
    )
    found = await row.fetchone()
    assert found is not None
    return int(found[0])


# look-ups


async def test_a_look_up_that_fails_says_so_once_and_waits(
    db: Conn, start: Start, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row however often it fails, each pause longer than the one before; an answer then decides as ever."""
    pauses: list[tuple[int, float]] = []

    def pause_s(times: int, jitter: float, cause: str) -> float:
        pauses.append((times, jitter))
        return 0.05

    async def away(*_: object) -> LookUp:
        raise BrokerUnavailable("The broker could not be asked: no connection could be made.")

    monkeypatch.setattr(reconcile, "delay_s", pause_s)
    monkeypatch.setattr(broker, "look_up", away)
    broker.replies = deque([Unknown(Answer(), "No answer.")])
    router = await start(**LIVE, sleeping=False)
    task = await enqueue_live(db, "t")

    async def opened() -> bool:
        return len(pauses) >= TRIPS_AFTER and router.standings()["alpha/real"]["circuit"] != "closed"

    await until_async(opened, what="failures enough to open the circuit")
    assert [times for times, _ in pauses] == list(range(1, len(pauses) + 1))
    assert (await row_of(db, task, "LOOK_UP_FAILED"))[:2] == ("UNKNOWN", "UNKNOWN")
    assert "no connection could be made" in (await row_of(db, task, "LOOK_UP_FAILED"))[4]
    broker.found = DONE
    monkeypatch.undo()
    await reaches(db, task, Status.SUCCESS)
    assert router.connection_states() == {"alpha/real": "open"}
    assert await is_sound(db)


async def test_a_look_up_waits_as_long_as_the_broker_asked(db: Conn, start: Start, broker: Broker) -> None:
    """ "Too many requests" may have been executed all the same: it is looked up, and neither that nor a repeat comes too early."""
    broker.replies = deque([Unknown(Answer(429, "", {"retry_after_s": 3600.0}), "Too many requests.")])
    broker.found = UNPROVEN
    router = await start(**LIVE, sleeping=False)
    task = await enqueue_live(db, "t")
    await reaches(db, task, Status.UNKNOWN)
    await waited(router, db)
    assert await value(db, "SELECT run_at > now() + interval '59 minutes' FROM execution_tasks WHERE id = %s", task)
    assert (broker.look_ups, len(broker.placed)) == ([], 1)


# the start


async def test_what_was_left_behind_is_looked_up_before_the_first_claim(
    db: Conn, start: Start, broker: Broker, broker_named: Callable[..., Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry of another account on the same login goes out only after the answer; other logins do not wait."""
    monkeypatch.setattr(connection_module, "LOOK_WITHIN_S", 30.0)
    broker_named("beta")
    broker.searchable.clear()
    broker.found = DONE
    left = await enqueue_live(db, "left")
    await move(db, left, Status.SENDING, lease_s=0.0)
    entry = await enqueue(db, "new", account="other", mode="live")
    await start(**{**LIVE, "accounts": [*TWO, live("third", "beta")]}, sleeping=False)
    await until_async(lambda: _looked(broker), what="the look-up")
    for number, symbol in enumerate(["NQ", "ES", "CL", "GC"]):
        await reaches(db, await enqueue(db, f"b{number}", account="third", symbol=symbol, mode="live"), Status.SUCCESS)
    assert broker.placed == []
    broker.searchable.set()
    for task in (left, entry):
        await reaches(db, task, Status.SUCCESS)


async def _looked(broker: Broker) -> bool:
    return bool(broker.look_ups)


async def test_a_look_up_that_hangs_holds_up_the_first_claim_for_a_while_only(
    db: Conn, start: Start, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then other accounts of the login trade; the one with the unknown entry opens nothing."""
    monkeypatch.setattr(connection_module, "LOOK_WITHIN_S", 0.2)
    broker.searchable.clear()
    await move(db, await enqueue_live(db, "left"), Status.SENDING, Status.UNKNOWN)
    await start(**LIVE, sleeping=False)
    await reaches(db, await enqueue(db, "new", account="other", mode="live"), Status.SUCCESS)
    assert await status_of(db, await enqueue_live(db, "v", symbol="ES")) == Status.PENDING


# the circuit


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries at once; the circuit's probe in an hour, unless a test says otherwise."""
    monkeypatch.setattr(sending, "delay_s", lambda *_: 0.0)
    monkeypatch.setattr(circuit, "FIRST_PAUSE_S", 7200.0)
    monkeypatch.setattr(circuit, "LONGEST_PAUSE_S", 7200.0)
    monkeypatch.setattr(circuit, "EXIT_EVERY_S", 0.05)


@pytest.mark.usefixtures("pauses")
async def test_a_dead_broker_burns_no_attempts(db: Conn, start: Start, broker: Broker) -> None:
    """Entries wait and say so once, exits are tried on, and the first answer sends everything."""
    broker.replies = deque([DONE, *[AWAY] * (TRIPS_AFTER + 3)])
    router = await start(**LIVE, sleeping=False)
    await reaches(db, await enqueue_live(db, "held", symbol="CL"), Status.SUCCESS)
    first = await enqueue_live(db, "t")
    await told(db, first, "CIRCUIT_OPEN")
    assert await attempts(db, first) == TRIPS_AFTER
    others = [
        await enqueue(db, f"o{n}", account="other", symbol=symbol, mode="live") for n, symbol in enumerate(["ES", "GC"])
    ]
    for task in others:
        await told(db, task, "CIRCUIT_OPEN")
    await waited(router, db)
    refused = "open: entries wait, since the broker does not answer. Connection refused."
    assert router.standings()["alpha/real"]["circuit"] == refused
    assert refused in router.connection_states()["alpha/real"]
    assert [await value(db, ROWS, task, "CIRCUIT_OPEN") for task in (first, *others)] == [1, 1, 1]
    assert [await attempts(db, task) for task in others] == [0, 0]
    exit_ = await enqueue_live(db, "held", "EXIT_SL", symbol="CL")
    for task in (exit_, first, *others):
        await reaches(db, task, Status.SUCCESS)
    assert (await attempts(db, exit_), await attempts(db, first)) == (4, TRIPS_AFTER + 1)
    assert router.connection_states() == {"alpha/real": "open"}
    assert await is_sound(db)


@pytest.mark.usefixtures("pauses")
async def test_a_probe_closes_the_circuit(
    db: Conn, start: Start, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One entry goes out when the pause is over; those behind it wait for what becomes of it."""
    monkeypatch.setattr(circuit, "FIRST_PAUSE_S", 0.2)
    answers = asyncio.Event()

    async def probed(_order: Order) -> Outcome:
        await answers.wait()
        return AWAY

    broker.replies = deque([*[AWAY] * TRIPS_AFTER, probed])
    router = await start(**LIVE, sleeping=False)
    tasks = [await enqueue_live(db, "t")]
    await told(db, tasks[0], "CIRCUIT_OPEN")
    tasks.append(await enqueue(db, "o", account="other", mode="live"))  # of the same symbol: its contract is known
    await until_async(lambda: _placed(broker, TRIPS_AFTER + 1))
    await waited(router, db)
    assert len(broker.placed) == TRIPS_AFTER + 1
    answers.set()
    for task in tasks:
        await reaches(db, task, Status.SUCCESS)
    assert sum([await attempts(db, task) for task in tasks]) == TRIPS_AFTER + 1 + len(tasks)


async def _placed(broker: Broker, times: int) -> bool:
    return len(broker.placed) >= times


@pytest.mark.usefixtures("pauses")
async def test_what_is_let_go_after_a_claim_looked_is_claimed_at_once(
    db: Conn, start: Start, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exit held back by the circuit may go out while the router still gets ready to sleep: it does not wait for the poll."""
    monkeypatch.setattr(circuit, "EXIT_EVERY_S", 0.5)
    explain, seen = reconcile.explain_waiting, set()

    async def slowly(pool: Pool, **more: Any) -> None:
        held_until = more["connection"].circuit.exits_from
        if held_until in seen:  # the second round; the first one is short, for its task is due anew
            await asyncio.sleep(max(0.0, held_until - time.monotonic()))
        seen.add(held_until)
        await explain(pool, **more)

    monkeypatch.setattr(router_module, "explain_waiting", slowly)
    broker.replies = deque([DONE, *[AWAY] * (TRIPS_AFTER + 2)])
    await start(**{**LIVE, "poll_interval": HOUR_S})
    await reaches(db, await enqueue_live(db, "t"), Status.SUCCESS)
    exit_ = await enqueue_live(db, "t", "EXIT_SL")
    await reaches(db, exit_, Status.SUCCESS)
    assert await attempts(db, exit_) == TRIPS_AFTER + 3


@pytest.mark.usefixtures("pauses")
async def test_a_fresh_entry_is_not_failed_by_a_dead_broker(
    db: Conn, start: Start, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits, attempts or not, until it is too old; then it is EXPIRED."""
    monkeypatch.setattr(circuit, "FIRST_PAUSE_S", 0.0)
    broker.replies = deque([AWAY] * 100_000)
    await start(**LIVE, sleeping=False)
    entry = await aging(db, "t", 2.0)
    await reaches(db, entry, Status.EXPIRED)
    assert "FAILED" not in await way(db, entry)
    assert await attempts(db, entry) > TRIPS_AFTER + 8


async def test_a_retry_keeps_its_place_in_the_lane(
    db: Conn, start: Start, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came later waits until the one before it is through, and does not overtake it while that waits."""
    monkeypatch.setattr(sending, "delay_s", lambda *_: 0.3)
    broker.replies = deque([AWAY, Rejected(Answer(401), "The token was refused.", repeatable=True)])
    await start(**LIVE, sleeping=False)
    async with db.transaction():
        tasks = [await enqueue_live(db, trade) for trade in ("t", "u")]
    for task in tasks:
        await reaches(db, task, Status.SUCCESS)
    assert broker.sent() == ["t", "t", "t", "u"]


@pytest.mark.usefixtures("pauses")
async def test_what_tells_nothing_about_the_broker_does_not_open_the_circuit(
    db: Conn, start: Start, broker: Broker
) -> None:
    """Its limit of requests, and an order that we came too late to send."""

    async def late(order: Order) -> Outcome:
        return NotSent("Too late.", late=True)

    broker.replies = deque([late, NotSent("Too many requests.", 0.0)] * TRIPS_AFTER)
    router = await start(**LIVE)
    task = await aging(db, "t", 600.0)
    await reaches(db, task, Status.SUCCESS)
    await asleep(router)
    assert await attempts(db, task) == 2 * TRIPS_AFTER + 1
    assert await value(db, ROWS, task, "CIRCUIT_OPEN") == 0
