"""What each answer of a broker makes of a task, and that no broker is in another one's way."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from eventrouter import sending
from eventrouter.domain import lookups
from eventrouter.domain.dead_letters import Retry
from eventrouter.domain.orders import Accepted, Answer, LookUp, NotSent, Order, Outcome, Rejected, Unknown
from eventrouter.domain.retry import MOST_ATTEMPTS
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.store.actions import act
from eventrouter.store.connect import Conn
from eventrouter.store.tasks import append
from tests.processes import until_async
from tests.router.book import LANES, attempts, enqueue, is_sound, move, order_id, reaches, row_of, status_of, value, way
from tests.router.broker import DONE, GONE, UNPROVEN, Broker, Reply, live, never
from tests.router.conftest import Start, asleep

LIVE: dict[str, Any] = {"dry_run": False, "accounts": [live("real", "alpha")]}
BUSY = Unknown(Answer(503, "busy", {"retry": False}), "The broker answered 503.")
AGAIN = "PENDING SENDING UNKNOWN PENDING SENDING SUCCESS"


@pytest.fixture
def broker(broker_named: Callable[..., Broker]) -> Broker:
    """The broker of the account `real`."""
    return broker_named("alpha")


enqueue_live = partial(enqueue, account="real", mode="live")


@pytest.mark.parametrize(
    ("reply", "found", "expected", "reasons"),
    [
        (DONE, GONE, "PENDING SENDING SUCCESS", ["DONE"]),
        (Accepted(Answer(201, "#7"), done=False), GONE, "PENDING SENDING ACCEPTED", ["ACCEPTED"]),
        (Rejected(Answer(400, "no"), "No margin."), GONE, "PENDING SENDING FAILED", ["REJECTED"]),
        (NotSent("Connection refused."), GONE, "PENDING SENDING PENDING SENDING SUCCESS", ["NOT_SENT"]),
        (BUSY, GONE, AGAIN, ["UNKNOWN_OUTCOME", "ABSENT"]),
        (BUSY, UNPROVEN, "PENDING SENDING UNKNOWN REVIEW", ["NOT_PROVEN"]),
        (BUSY, DONE, "PENDING SENDING UNKNOWN SUCCESS", ["FOUND"]),
        (BUSY, Accepted(Answer(200, "working"), done=False), "PENDING SENDING UNKNOWN ACCEPTED", ["FOUND"]),
        (BUSY, Rejected(Answer(200, "no"), "No."), "PENDING SENDING UNKNOWN FAILED", ["FOUND_REJECTED"]),
        (ConnectionResetError("reset"), GONE, AGAIN, ["UNKNOWN_OUTCOME"]),
        (never, GONE, AGAIN, ["ABSENT"]),
    ],
    ids=[
        "done",
        "accepted",
        "rejected",
        "not-sent",
        "busy",
        "unproven",
        "found",
        "working",
        "found-rejected",
        "raises",
        "hangs",
    ],
)
async def test_every_answer_has_its_place(
    db: Conn,
    start: Start,
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
    reply: Reply,
    found: LookUp,
    expected: str,
    reasons: Sequence[str],
) -> None:
    """An answer leads where the design's table says, and whatever is sent again goes under the same client order id."""
    monkeypatch.setattr(lookups, "LOOK_AGAIN_S", (0.0, 0.0))
    broker.replies, broker.found = deque([reply]), found
    router = await start(**LIVE, lease=0.5)
    task = await enqueue_live(db, "t")
    await reaches(db, task, Status(expected.split()[-1]))
    await asleep(router)
    assert await way(db, task) == expected
    for reason in reasons:
        await row_of(db, task, reason)
    assert len(broker.placed) == await attempts(db, task) == expected.split().count("SENDING")
    assert {order.client_order_id for order in broker.placed} == {await order_id(db, task)}
    assert await is_sound(db)


@pytest.mark.parametrize("reply", [BUSY, Rejected(Answer(400, "no"), "No margin.")], ids=["review", "failed"])
async def test_a_persons_retry_goes_under_a_new_id(
    db: Conn, start: Start, broker: Broker, monkeypatch: pytest.MonkeyPatch, reply: Reply
) -> None:
    """The same order, sent once more as a new generation, which the broker need not take for a repeat."""
    monkeypatch.setattr(lookups, "LOOK_AGAIN_S", (0.0,))
    broker.replies, broker.found = deque([reply]), UNPROVEN
    await start(**LIVE, lease=0.5)
    task = await enqueue_live(db, "t")
    await reaches(db, task, Status.REVIEW if reply is BUSY else Status.FAILED)
    await act(db, task, "retry", actor="ann", retry=Retry(confirm=task))
    await reaches(db, task, Status.SUCCESS)
    first, second = broker.placed
    assert (first.client_order_id == second.client_order_id, broker.repeated) == (False, [False, False])
    assert replace(first, client_order_id=second.client_order_id) == second
    assert second.client_order_id == await order_id(db, task)
    assert await is_sound(db)


async def test_the_answer_stands_in_the_log(db: Conn, start: Start, broker: Broker) -> None:
    """Code, body and facts of an answer are kept; text that Postgres cannot store is cleaned and its bytes are kept."""
    broker.replies = deque([Rejected(Answer(422, "a\0b\ud800", {"nul": "\0", "margin": "low"}), "No\0 margin.")])
    await start(**LIVE)
    task = await enqueue_live(db, "t")
    await reaches(db, task, Status.FAILED)
    _, _, attempt, _, message, code, body, raw, detail = await row_of(db, task, "REJECTED")
    assert (attempt, message, code, body) == (1, "No␀ margin.", 422, "a␀b?")
    assert raw == b"a\0b\xed\xa0\x80"
    assert {**detail, "took_ms": None} == {"nul": "␀", "margin": "low", "took_ms": None}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, "done", {"price": float("nan")}),
        Answer(200, "done", {"deep": json.loads("[" * 600 + "]" * 600)}),
        Answer(2**31, "done"),
        Answer(2**63, "done"),
    ],
    ids=["nan", "deep", "code-int8", "code-numeric"],
)
async def test_an_answer_that_cannot_be_stored_harms_nobody(
    db: Conn, start: Start, broker: Broker, answer: Answer
) -> None:
    """Of outcomes that come together, the one that cannot be stored as it is gets recorded too, and the others whole."""
    broker.answers.clear()
    broker.replies = deque([DONE, DONE, Accepted(answer, done=True), DONE, DONE])
    router = await start(**LIVE)
    async with db.transaction():
        tasks = [await enqueue_live(db, f"t{n}", symbol=LANES[n]) for n in range(5)]
    await asleep(router, sending=5)
    broker.answers.set()
    for task in tasks:
        await reaches(db, task, Status.SUCCESS)
        assert await way(db, task) == "PENDING SENDING SUCCESS"
    whole = (
        "SELECT count(*) FROM execution_logs l JOIN execution_tasks t ON t.id = l.task_id"
        " WHERE l.status = 'SUCCESS' AND l.response_body = 'done' AND l.response_code = 200 AND t.trade_id <> %s"
    )
    assert await value(db, whole, broker.placed[2].trade_id) == 4
    assert await is_sound(db)


async def test_an_entry_that_never_leaves_is_given_up(
    db: Conn, start: Start, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many attempts that certainly did not reach the broker the entry is FAILED and a person's."""
    monkeypatch.setattr(sending, "delay_s", _no_delay)
    broker.replies = deque([NotSent("Connection refused.")] * (MOST_ATTEMPTS + 1))
    await start(**LIVE)
    task = await enqueue_live(db, "t")
    await reaches(db, task, Status.FAILED)
    assert len(broker.placed) == await attempts(db, task) == MOST_ATTEMPTS
    assert len({order.client_order_id for order in broker.placed}) == 1


async def test_an_exit_is_never_given_up(
    db: Conn, start: Start, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exit is tried until it reaches the broker."""
    monkeypatch.setattr(sending, "delay_s", _no_delay)
    broker.replies = deque([DONE, *[NotSent("Connection refused.")] * (MOST_ATTEMPTS + 2)])
    await start(**LIVE)
    await reaches(db, await enqueue_live(db, "t"), Status.SUCCESS)
    exit_ = await enqueue_live(db, "t", "EXIT_SL")
    await reaches(db, exit_, Status.SUCCESS)
    assert await attempts(db, exit_) == MOST_ATTEMPTS + 3


def _no_delay(*_: object) -> float:
    return 0.0


async def test_a_broker_may_say_when_to_come_back(db: Conn, start: Start, broker: Broker) -> None:
    """An order that did not leave waits at least as long as the broker asked."""
    broker.replies = deque([NotSent("Too many requests.", retry_after_s=3600)])
    router = await start(**LIVE)
    task = await enqueue_live(db, "t")
    await until_async(partial(value, db, "SELECT attempts = 1 AND status = 'PENDING' FROM execution_tasks"))
    await asleep(router)
    assert await status_of(db, task) == Status.PENDING
    assert await value(db, "SELECT run_at > now() + interval '59 minutes' FROM execution_tasks")


async def test_a_slow_broker_is_in_nobody_elses_way(
    db: Conn, start: Start, broker_named: Callable[..., Broker]
) -> None:
    """A broker that does not answer gets no more orders than its cap, and another one's orders go on."""
    slow, quick = broker_named("alpha", most_in_flight=3), broker_named("beta", most_in_flight=3)
    slow.answers.clear()
    router = await start(dry_run=False, accounts=[live("real", "alpha"), live("other", "beta")])
    async with db.transaction():
        waiting = [await enqueue_live(db, f"s{n}", symbol=LANES[n]) for n in range(9)]
        going = [await enqueue(db, f"q{n}", account="other", symbol=LANES[n], mode="live") for n in range(9)]
    for task in going:
        await reaches(db, task, Status.SUCCESS)
    await asleep(router, sending=3)
    assert len(slow.placed) == 3
    assert await value(db, "SELECT count(*) FROM execution_tasks WHERE status = 'SENDING'") == 3
    slow.answers.set()
    for task in waiting:
        await reaches(db, task, Status.SUCCESS)
    assert len(quick.placed) == len(slow.placed) == 9


@pytest.mark.parametrize("trouble", ["hangs", "raises"])
async def test_a_broker_that_cannot_be_searched_is_in_nobody_elses_way(
    db: Conn, start: Start, broker_named: Callable[..., Broker], monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """While one broker's look-up hangs or fails, another one's tasks are executed and its lost ones recovered."""
    broken, _ = broker_named("alpha"), broker_named("beta")
    broken.searchable.clear()
    if trouble == "raises":
        monkeypatch.setattr(broken, "look_up", _fail)
    lost = await enqueue_live(db, "lost")
    theirs = await enqueue(db, "theirs", account="other", mode="live")
    await move(db, lost, Status.SENDING, Status.UNKNOWN)
    await move(db, theirs, Status.SENDING, Status.UNKNOWN)
    accounts = [live("real", "alpha"), live("other", "beta")]
    await start(dry_run=False, accounts=accounts, lease=0.5, poll_interval=0.2, sleeping=False)
    later = await enqueue(db, "later", account="other", symbol="ES", mode="live")
    dead = await enqueue(db, "dead", account="other", symbol="CL", mode="live")
    await move(db, dead, Status.SENDING, lease_s=0.1)
    for task in (later, theirs, dead):
        await reaches(db, task, Status.SUCCESS)
    assert await status_of(db, lost) == Status.UNKNOWN


async def _fail(*_arguments: object) -> LookUp:
    raise ConnectionResetError("reset")


async def test_a_dry_run_reaches_no_broker(db: Conn, start: Start, broker: Broker) -> None:
    """In a dry run every order is simulated, whatever connector its account has."""
    await start(accounts=[live("real", "alpha")], dry_run=True)
    task = await enqueue(db, "t", account="real")
    await reaches(db, task, Status.SUCCESS)
    assert broker.placed == []


@pytest.mark.parametrize(
    ("meanwhile", "outcome", "status"),
    [
        ([Status.UNKNOWN], DONE, Status.SUCCESS),
        ([Status.UNKNOWN, Status.PENDING], DONE, Status.SUCCESS),
        ([Status.UNKNOWN, Status.PENDING, Status.SENDING], DONE, Status.SUCCESS),
        ([Status.UNKNOWN, Status.REVIEW], DONE, Status.SUCCESS),
        ([Status.UNKNOWN, Status.REVIEW], Accepted(Answer(201, "#7"), done=False), Status.ACCEPTED),
        ([Status.UNKNOWN, Status.REVIEW, Status.CANCELLED], DONE, Status.CANCELLED),
        ([Status.UNKNOWN, Status.PENDING, Status.SENDING, Status.SUCCESS], DONE, Status.SUCCESS),
        ([Status.UNKNOWN, Status.PENDING, Status.SENDING], Rejected(Answer(400, "no"), "No."), Status.SENDING),
        ([Status.UNKNOWN, Status.PENDING], BUSY, Status.PENDING),
        ([Status.UNKNOWN], BUSY, Status.UNKNOWN),
    ],
    ids=lambda case: "-".join(case) if isinstance(case, list) else type(case).__name__,
)
async def test_a_late_answer_counts_as_acceptance_or_evidence(
    db: Conn, start: Start, broker: Broker, meanwhile: list[Status], outcome: Outcome, status: Status
) -> None:
    """An order's yes that comes after its task moved on executes it, once; any other late answer is only written down."""
    asked = asyncio.Event()

    async def answer_late(order: Order) -> Outcome:
        await asked.wait()
        return outcome

    broker.replies, broker.found = deque([answer_late]), GONE
    broker.searchable.clear()
    router = await start(**LIVE, lease=3600.0)
    task = await enqueue_live(db, "t")
    await asleep(router, sending=1)
    # A PENDING task that is due at once would be claimed by the router before the test's next row.
    await move(db, task, *meanwhile, run_in_s=3600, actor=router.name)
    before = await way(db, task)
    asked.set()
    await asleep(router)
    late = "LATE_ANSWER" if status == meanwhile[-1] else "LATE_ACCEPTANCE"
    row = await row_of(db, task, late)
    assert row[:2] == (meanwhile[-1], status)
    assert row[6] == outcome.answer.body  # type: ignore[union-attr]
    assert await way(db, task) == (before if late == "LATE_ANSWER" else f"{before} {status}")
    assert await is_sound(db)


@pytest.mark.parametrize("proven", [False, True])
@pytest.mark.parametrize("why", ["HALTED", "TOO_OLD", "EXIT_OVERTOOK"])
async def test_an_entry_that_may_be_at_the_broker_does_not_just_end(
    db: Conn, start: Start, broker: Broker, why: str, proven: bool
) -> None:
    """It waits to be sent again under its id and may not be any more: a person decides, and it keeps its room until then."""
    task = await value(
        db,
        "INSERT INTO execution_tasks (trade_id, event_type, payload, account, mode, expires_at)"
        """ VALUES ('t', 'ENTRY', '{"symbol": "NQ", "direction": "LONG"}', 'real', 'live', %s) RETURNING id""",
        datetime(2026, 1, 1, tzinfo=UTC) if why == "TOO_OLD" else None,
    )
    intent = {"root": "NQ", "direction": "LONG", "quantity": "1", "contract": "NQZ6", "sizing": {}}
    detail = {"proven": True} if proven else {}
    history = [
        LogEntry(task, 1, Status.SENDING, "INTENT", detail=intent, lease_s=3600),
        LogEntry(task, 2, Status.UNKNOWN, "UNKNOWN_OUTCOME"),
        LogEntry(task, 3, Status.PENDING, "ABSENT", detail=detail, run_in_s=0.0),
    ]
    for entry in history:
        assert await append(db, "test", [entry])
    if why == "HALTED":
        await db.execute("SELECT * FROM set_control('all', 'halt', 'me', NULL)")
    elif why == "EXIT_OVERTOOK":
        await enqueue_live(db, "t", "EXIT_SL", symbol=None)
    await start(**LIVE)
    ends = {"HALTED": Status.DENIED, "TOO_OLD": Status.EXPIRED, "EXIT_OVERTOOK": Status.CANCELLED}
    await reaches(db, task, ends[why] if proven else Status.REVIEW)
    last = "SELECT reason || ' ' || COALESCE(detail ->> 'because', '') FROM execution_logs WHERE task_id = %s ORDER BY seq DESC LIMIT 1"
    assert (await value(db, last, task)).split() == ([why] if proven else ["NOT_PROVEN", why])
    kept = await value(
        db, "SELECT read_account_facts('{real}', '{}', '{}', '{NQ}', 'live') #> '{accounts,real,entries}'"
    )
    assert [entry[0] for entry in kept] == ([] if proven else [task])
    assert not broker.placed
