"""Dead letters: the log opens and closes them, and nothing is sent again that might be done twice without a person knowing it."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from eventrouter.domain import book as events
from eventrouter.domain import resolving
from eventrouter.domain.broker import OrderState
from eventrouter.domain.dead_letters import Retry
from eventrouter.domain.resolving import Resolve
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.errors import ChangeWrong, IllegalTransition, RetryRefused
from eventrouter.store.actions import act, dead_letters
from eventrouter.store.books import append_event
from eventrouter.store.connect import Conn, Pool, session
from eventrouter.store.files import db_dir
from eventrouter.store.history import verify
from eventrouter.store.settings import publish
from eventrouter.store.tasks import append, claim, unknown
from tests.store.stored_task import bring, enqueue, log_of, move, value
from tests.store.test_fills import MNQ, SELL, fill, noted, order, recorded

Owner = psycopg.Connection[Any]
LETTER = (
    "opened_seq, status, code, client_order_id, opened_at, closed_seq, closed_at, closed_by, closed_how, closed_reason"
)


async def live(owner: Owner, conn: Conn, *, event: str = "ENTRY", payload: Any = None, age_s: int | None = None) -> int:
    """A task in live mode on the account a, LONG, which may be as old as `age_s`."""
    expires = "NULL" if age_s is None else f"now() + interval '{age_s} s'"
    owner.execute(
        "INSERT INTO execution_tasks (trade_id, event_type, payload, account, mode, expires_at)"
        f" VALUES ('T1', %s, %s, 'a', 'live', {expires})",
        (event, Jsonb({"symbol": "MNQZ6", "direction": "LONG", "quantity": "2"} | (payload or {}))),
    )
    return int(await value(conn, "SELECT max(id) FROM execution_tasks"))


async def sent(conn: Conn, task_id: int) -> str:
    """Commits an intent for two MNQ, and gives the id that it goes out under."""
    version, number = await (  # type: ignore[misc]
        await conn.execute("SELECT version, client_order_id FROM execution_tasks WHERE id = %s", (task_id,))
    ).fetchone()
    detail = {"client_order_id": number, "contract": MNQ, "direction": "LONG", "quantity": "2"}
    assert await append(
        conn, "one", [LogEntry(task_id, version, Status.SENDING, "INTENT", detail=detail, lease_s=60.0)]
    )
    return str(number)


async def in_review(owner: Owner, conn: Conn, **more: Any) -> tuple[int, str]:
    """A live entry of two MNQ of which nobody knows whether the broker has it, and its client order id."""
    task_id = await live(owner, conn, **more)
    number = await sent(conn, task_id)
    await move(conn, task_id, "UNKNOWN", "REVIEW")
    return task_id, number


async def id_of(conn: Conn, task_id: int) -> str:
    """The client order id that the task has now."""
    return str(await value(conn, "SELECT client_order_id FROM execution_tasks WHERE id = %s", task_id))


async def letters(conn: Conn) -> list[tuple[Any, ...]]:
    """Every letter, in order."""
    return await (
        await conn.execute(f"SELECT task_id, {LETTER} FROM dead_letters ORDER BY task_id, opened_seq")
    ).fetchall()


async def is_sound(conn: Conn) -> bool:
    """Whether verify finds nothing."""
    assert (await verify(conn)).violations == ()
    return True


async def test_the_log_opens_and_closes_letters(conn: Conn) -> None:
    """One for each time that a task waits for a person, with who ended that, how and why; evidence rows open none."""
    task_id = await bring(conn, await enqueue(conn), "REVIEW")
    await move(conn, task_id, "REVIEW")
    first, again = await id_of(conn, task_id), Retry(confirm=task_id)
    await act(conn, task_id, "retry", actor="ann", reason="not there", retry=again)
    await move(conn, task_id, "SENDING", "FAILED", "FAILED")
    second = await id_of(conn, task_id)
    await act(conn, task_id, "resolve", actor="bob", reason="done by hand")
    found = [(*row[1:5], *row[6:7], *row[8:]) for row in await letters(conn)]
    assert found == [
        (4, "REVIEW", "TEST", first, 6, "ann", "OPERATOR_RETRY", "not there"),
        (8, "FAILED", "TEST", second, 10, "bob", "OPERATOR_RESOLVE", "done by hand"),
    ]
    assert await dead_letters(conn) == []
    assert [row["closed_by"] for row in await dead_letters(conn, closed=True)] == ["bob", "ann"]
    assert await is_sound(conn)


async def test_a_late_acceptance_closes_a_letter(conn: Conn) -> None:
    """What the broker says ends it as well as a person."""
    task_id = await bring(conn, await enqueue(conn), "REVIEW")
    assert await append(conn, "router-1", [LogEntry(task_id, 4, Status.ACCEPTED, "LATE_ACCEPTANCE")])
    (letter,) = await dead_letters(conn, closed=True)
    assert (letter["closed_how"], letter["closed_by"], letter["task_status"]) == (
        "LATE_ACCEPTANCE",
        "router-1",
        "ACCEPTED",
    )
    assert await is_sound(conn)


async def test_a_rolled_back_row_leaves_no_letter(conn: Conn) -> None:
    """Letter and log row come in one commit or not at all."""
    task_id = await bring(conn, await enqueue(conn), "SENDING")
    async with conn.transaction(force_rollback=True):
        await move(conn, task_id, "FAILED")
        assert len(await letters(conn)) == 1
    assert await letters(conn) == []


async def test_letters_of_a_database_from_before(conn: Conn, owner: Owner) -> None:
    """The migration makes the letters that the trigger would have made."""
    for status in ("REVIEW", "FAILED", "FAILED", "SUCCESS"):
        await bring(conn, await enqueue(conn), status)
    await act(conn, 2, "discard", actor="ann")
    before = await letters(conn)
    text = (db_dir() / "migrations" / "0013_dead_letters.sql").read_text()
    owner.execute("SET session_replication_role = replica")
    owner.execute("DELETE FROM dead_letters")
    owner.execute("INSERT INTO dead_letters" + text.split("INSERT INTO dead_letters")[1].split(";")[0])
    assert await letters(conn) == before
    assert len(before) == 3


@pytest.mark.parametrize(
    "tampering",
    [
        "DELETE FROM dead_letters WHERE task_id = 1",
        "UPDATE dead_letters SET code = 'OTHER' WHERE task_id = 1",
        "UPDATE dead_letters SET client_order_id = 'x' WHERE task_id = 1",
        "UPDATE dead_letters SET closed_seq = 9, closed_at = now(), closed_by = 'me', closed_how = 'R' WHERE task_id = 1",
        "UPDATE dead_letters SET closed_reason = 'another' WHERE task_id = 2",
        "INSERT INTO dead_letters (task_id, opened_seq, status, code, client_order_id, opened_at)"
        " SELECT task_id, 2, status, code, 'x', now() FROM dead_letters WHERE task_id = 2",
    ],
)
async def test_verify_compares_letters_with_the_logs(conn: Conn, owner: Owner, tampering: str) -> None:
    """What somebody changed behind the guards is found."""
    await bring(conn, await enqueue(conn), "REVIEW")
    await act(conn, await bring(conn, await enqueue(conn), "FAILED"), "discard", actor="ann")
    assert await is_sound(conn)
    owner.execute("SET session_replication_role = replica")
    owner.execute(tampering)
    assert {each.rule for each in (await verify(conn)).violations} == {"letter_not_the_log"}


async def test_what_is_known_of_a_letter(conn: Conn, owner: Owner) -> None:
    """What was sent, what was answered, what the broker showed, and what to do; what is heard later joins it."""
    task_id = await live(owner, conn)
    number = await sent(conn, task_id)
    await move(conn, task_id, "UNKNOWN")
    for version, status, reason in ((3, Status.UNKNOWN, "NOT_FOUND"), (4, Status.REVIEW, "NOT_PROVEN")):
        assert await append(conn, "one", [LogEntry(task_id, version, status, reason, "Not in the list.", 200, "[]")])
    await noted(conn, order(1, OrderState.CANCELLED, client_order_id=number))
    (letter,) = await dead_letters(conn)
    evidence = letter["evidence"]
    assert (letter["id"], letter["code"], letter["client_order_id"]) == (task_id, "NOT_PROVEN", number)
    assert "resolve" in letter["suggestion"]
    assert (evidence["sent"]["client_order_id"], evidence["sent"]["quantity"], evidence["look_ups"]) == (number, "2", 2)
    assert [step["reason"] for step in evidence["steps"]] == ["TEST", "NOT_FOUND", "NOT_PROVEN"]
    assert [each["order_id"] for each in evidence["orders"]] == ["o1"]
    assert await append(conn, "one", [LogEntry(task_id, 5, Status.REVIEW, "LATE_ANSWER", "Too late.", 503)])
    (letter,) = await dead_letters(conn)
    assert letter["evidence"]["steps"][-1]["response_code"] == 503
    assert await value(conn, "SELECT evidence #>> '{steps,-1,reason}' FROM open_dead_letters") == "LATE_ANSWER"


async def test_letters_come_in_pages(conn: Conn) -> None:
    """Newest first, by the letters' own numbers."""
    for _ in range(5):
        await bring(conn, await enqueue(conn), "FAILED")
    first = await dead_letters(conn, limit=3)
    assert [row["id"] for row in first] == [5, 4, 3]
    assert [row["id"] for row in await dead_letters(conn, before=first[-1]["letter"])] == [2, 1]


# a retry is a new generation


async def test_a_retry_draws_a_new_id(conn: Conn, owner: Owner) -> None:
    """So that the broker refuses it for nothing but itself, and what was sent before can be told from it."""
    task_id, before = await in_review(owner, conn)
    task = await act(conn, task_id, "retry", actor="ann", retry=Retry(confirm=task_id))
    assert (task["status"], len(task["client_order_id"])) == ("PENDING", 20)
    assert task["client_order_id"] != before
    detail = await value(conn, "SELECT detail FROM execution_logs WHERE reason = 'OPERATOR_RETRY'")
    assert detail == {"previous": before, "client_order_id": task["client_order_id"]}
    assert await is_sound(conn)


async def test_nobody_chooses_the_new_id(conn: Conn, owner: Owner) -> None:
    """The database draws it, whatever a writer of the log says; and no other row of the log changes it."""
    task_id, _ = await in_review(owner, conn)
    taken = {"client_order_id": "chosen"}
    assert await append(conn, "me", [LogEntry(task_id, 4, Status.PENDING, "OPERATOR_RETRY", detail=taken)])
    drawn = await id_of(conn, task_id)
    assert (drawn == "chosen", len(drawn)) == (False, 20)
    assert await append(conn, "me", [LogEntry(task_id, 5, Status.PENDING, "OPERATOR_RETRY", detail=taken)])
    assert await id_of(conn, task_id) == drawn
    assert await is_sound(conn)


async def test_the_new_generation_is_not_a_repeat(conn: Conn, owner: Owner, pool: Pool) -> None:
    """Under an id that was never sent a refusal is a refusal, and a look-up begins with its own first attempt."""
    task_id, _ = await in_review(owner, conn)
    await act(conn, task_id, "retry", actor="ann", retry=Retry(confirm=task_id))
    async with claim(pool, ["a"], limit=1, depth=1) as claimed:
        (due,) = claimed.due
    assert (due.repeated, due.intent and due.intent["quantity"]) == (False, "2")
    await sent(conn, task_id)
    await move(conn, task_id, "UNKNOWN")
    (lost,) = await unknown(conn, ["a"], "live")
    assert lost.first_sent_at == await value(conn, "SELECT max(created_at) FROM execution_logs WHERE reason = 'INTENT'")
    await move(conn, task_id, "PENDING")
    async with claim(pool, ["a"], limit=1, depth=1) as claimed:
        assert claimed.due[0].repeated


async def test_an_order_from_before_the_retry_turns_up(conn: Conn, owner: Owner) -> None:
    """It is its task's all the same: its fill is the trade's, and what waits is not sent any more."""
    task_id, before = await in_review(owner, conn)
    await act(conn, task_id, "retry", actor="ann", retry=Retry(confirm=task_id))
    await noted(conn, order(1, client_order_id=before))
    await recorded(conn, fill(1))
    assert (await log_of(conn, task_id))[-2:] == ["ACCEPTED", "ACCEPTED"]
    assert await value(conn, "SELECT role || task_id FROM broker_orders") == f"entry{task_id}"
    assert await value(conn, "SELECT quantity FROM holdings WHERE trade_id = 'T1'") == 1
    assert await is_sound(conn)


async def test_it_turns_up_while_the_retry_is_being_sent(conn: Conn, owner: Owner) -> None:
    """The fill is the trade's; when the broker then refuses the second order, the letter says what was executed already."""
    task_id, before = await in_review(owner, conn)
    await act(conn, task_id, "retry", actor="ann", retry=Retry(confirm=task_id))
    await sent(conn, task_id)
    await noted(conn, order(1, client_order_id=before))
    await recorded(conn, fill(1))
    assert await value(conn, "SELECT quantity FROM holdings WHERE trade_id = 'T1'") == 1
    await move(conn, task_id, "FAILED")
    (letter,) = await dead_letters(conn)
    assert [each["quantity"] for each in letter["evidence"]["fills"]] == ["1"]
    assert (await refused(conn, task_id))[0] == "WOULD_DOUBLE"
    assert await is_sound(conn)


async def test_the_order_of_the_latest_retry_counts(conn: Conn, owner: Owner) -> None:
    """The end of an order from before a retry does not end the one that works now, nor does the cancel of that one."""
    task_id = await live(owner, conn)
    before = await sent(conn, task_id)
    await move(conn, task_id, "ACCEPTED")
    asked = LogEntry(task_id, 3, Status.ACCEPTED, "CANCEL_REQUESTED", detail={"orders": {"o1": "0"}})
    assert await append(conn, "one", [asked])
    await noted(conn, order(1, OrderState.EXPIRED, client_order_id=before))
    assert (await log_of(conn, task_id))[-1] == "FAILED"
    await act(conn, task_id, "retry", actor="ann")
    again = await sent(conn, task_id)
    await move(conn, task_id, "ACCEPTED")
    await noted(conn, order(2, OrderState.WORKING, client_order_id=again))
    assert (await log_of(conn, task_id))[-1] == "ACCEPTED"
    await noted(conn, order(2, OrderState.CANCELLED, client_order_id=again))
    assert await value(conn, "SELECT reason FROM execution_logs ORDER BY id DESC LIMIT 1") == "CANCELLED_AT_BROKER"
    assert await is_sound(conn)


# what stands in the way


async def refused(conn: Conn, task_id: int, **more: Any) -> tuple[str, str]:
    """The code and the sentence with which a retry is refused; nothing is written."""
    before = await log_of(conn, task_id)
    with pytest.raises(RetryRefused) as caught:
        await act(conn, task_id, "retry", actor="ann", retry=Retry(**more))
    assert await log_of(conn, task_id) == before
    return caught.value.code, str(caught.value)


async def test_review_needs_the_id_again(conn: Conn, owner: Owner) -> None:
    """Nothing and another task's id are refused; FAILED needs none, since the broker said that it has nothing."""
    task_id, number = await in_review(owner, conn)
    for confirm in (None, task_id + 1):
        code, said = await refused(conn, task_id, confirm=confirm)
        assert code == "NOT_CONFIRMED"
        assert number in said
        assert f"--confirm {task_id}" in said
    await act(conn, task_id, "retry", actor="ann", retry=Retry(confirm=task_id))
    failed = await bring(conn, await enqueue(conn, trade="T2"), "FAILED")
    assert (await act(conn, failed, "retry", actor="ann"))["status"] == "PENDING"


async def test_an_old_entry(conn: Conn, owner: Owner) -> None:
    """It goes out only when somebody says so, and then has its age limit once more; an exit is never too old."""
    task_id = await live(owner, conn, age_s=-90)
    await move(conn, task_id, "SENDING", "FAILED")
    code, said = await refused(conn, task_id)
    assert (code, "--even-if-old" in said) == ("TOO_OLD", True)
    expires_at = (await act(conn, task_id, "retry", actor="ann", retry=Retry(even_if_old=True)))["expires_at"]
    now: datetime = await value(conn, "SELECT now()")
    assert now + timedelta(seconds=50) < expires_at <= now + timedelta(seconds=60)
    # this test sent it when it was old already; the second time it is in time
    assert [each.rule for each in (await verify(conn)).violations] == ["sent_too_old"]
    leaving = await live(owner, conn, event="EXIT_SL", age_s=-90)
    await move(conn, leaving, "SENDING", "FAILED")
    assert (await act(conn, leaving, "retry", actor="ann"))["status"] == "PENDING"


async def test_what_was_executed_is_not_sent_again(conn: Conn, owner: Owner) -> None:
    """A failed entry whose order filled all the same: no flag sends it again, also after its stop closed what it opened."""
    task_id = await live(owner, conn)
    number = await sent(conn, task_id)
    await move(conn, task_id, "FAILED")
    stop = order(2, OrderState.FILLED, side=SELL, parent_id="o1")
    await noted(conn, order(1, client_order_id=number), stop)
    await recorded(conn, fill(1), fill(2, SELL))
    code, said = await refused(conn, task_id, even_if_held=True, even_if_old=True)
    assert (code, f"1 {MNQ}" in said, "Resolve" in said) == ("WOULD_DOUBLE", True, True)


async def test_what_works_is_not_sent_again(conn: Conn, owner: Owner) -> None:
    """A task whose own order works at the broker waits until somebody cancelled that."""
    task_id, number = await in_review(owner, conn)
    await noted(conn, order(1, OrderState.WORKING, client_order_id=number))
    code, said = await refused(conn, task_id, confirm=task_id, even_if_held=True)
    assert (code, "o1" in said) == ("WOULD_DOUBLE", True)


async def test_what_the_trade_holds_already(conn: Conn, owner: Owner) -> None:
    """Another entry of the trade filled: with the numbers, and only if it is meant all the same. Adding to it is no doubling."""
    task_id, _ = await in_review(owner, conn)
    other = await live(owner, conn)
    await noted(conn, order(1, client_order_id=await sent(conn, other)))
    await recorded(conn, fill(1))
    code, said = await refused(conn, task_id, confirm=task_id)
    assert code == "WOULD_DOUBLE"
    assert f"holds 1 {MNQ}" in said
    assert "2 more" in said
    retry = Retry(confirm=task_id, even_if_held=True)
    assert (await act(conn, task_id, "retry", actor="ann", retry=retry))["status"] == "PENDING"
    add = await live(owner, conn, event="ADD")
    await sent(conn, add)
    await move(conn, add, "FAILED")
    assert (await act(conn, add, "retry", actor="ann"))["status"] == "PENDING"


@pytest.mark.parametrize(
    ("theirs", "code"),
    [("2", "WOULD_DOUBLE"), ("1", "WOULD_DOUBLE"), ("0", None), ("-2", None)],
)
async def test_what_only_the_broker_holds(conn: Conn, owner: Owner, theirs: str, code: str | None) -> None:
    """More of the task's side than our books know of may be the lost order; the other side is not. In sync it counts no more."""
    task_id, _ = await in_review(owner, conn)
    async with conn.transaction():
        differs = events.out_of_sync("why", differences=[[MNQ, theirs, "0", "24000.25"]])
        await append_event(conn, "keeper", "a", "live", differs)
    if code is not None:
        found, said = await refused(conn, task_id, confirm=task_id)
        assert (found, f"{theirs} {MNQ}" in said) == (code, True)
        async with conn.transaction():
            await append_event(conn, "keeper", "a", "live", events.in_sync())
    assert (await act(conn, task_id, "retry", actor="ann", retry=Retry(confirm=task_id)))["status"] == "PENDING"


async def test_an_exit_that_the_broker_seems_to_have_executed(conn: Conn, owner: Owner) -> None:
    """We hold one and the broker none: closing it again would open the other side."""
    entry = await live(owner, conn)
    await noted(conn, order(1, client_order_id=await sent(conn, entry)))
    await recorded(conn, fill(1))
    leaving = await live(owner, conn, event="EXIT_SL")
    await move(conn, leaving, "SENDING", "UNKNOWN", "REVIEW")
    async with conn.transaction():
        await append_event(conn, "k", "a", "live", events.out_of_sync("why", differences=[[MNQ, "0", "1", None]]))
    code, said = await refused(conn, leaving, confirm=leaving)
    assert (code, f"holds 0 {MNQ}" in said) == ("WOULD_DOUBLE", True)


async def test_two_who_retry_at_once(conn: Conn, pool: Pool, owner: Owner) -> None:
    """One does it, the other is told; the order goes out once."""
    task_id, _ = await in_review(owner, conn)

    async def one(name: str) -> str:
        async with session(pool, name) as own:
            return str((await act(own, task_id, "retry", actor=name, retry=Retry(confirm=task_id)))["status"])

    found = await asyncio.gather(*(one(name) for name in ("ann", "bob")), return_exceptions=True)
    (told,) = [each for each in found if not isinstance(each, str)]
    assert isinstance(told, IllegalTransition), found
    assert await value(conn, "SELECT count(*) FROM execution_logs WHERE reason = 'OPERATOR_RETRY'") == 1


# changed and sent as another task


async def test_a_changed_order_is_another_task(conn: Conn, owner: Owner) -> None:
    """It names the first one, stands in its place in line, and the first one can never be sent any more."""
    task_id, number = await in_review(owner, conn, payload={"quantity_kind": "risk_percent"}, age_s=600)
    changes = {"quantity": "1", "stop_loss": "23990.5"}
    made = await act(conn, task_id, "retry", actor="ann", reason="less", retry=Retry(confirm=task_id, changes=changes))
    assert (made["retry_of"], made["status"], made["mode"], made["trade_id"]) == (task_id, "PENDING", "live", "T1")
    assert made["payload"] == {
        "symbol": "MNQZ6",
        "direction": "LONG",
        "quantity": "1",
        "stop_loss": "23990.5",
        "quantity_by_hand": True,
    }
    assert made["client_order_id"] != number
    places = "SELECT count(DISTINCT (place, lane, expires_at)) FROM execution_tasks"
    assert await value(conn, places) == 1
    row = await (
        await conn.execute("SELECT actor, message, detail FROM execution_logs WHERE reason = 'OPERATOR_REPLACE'")
    ).fetchone()
    assert row is not None
    assert row[:2] == ("ann", "less")
    assert (row[2]["changes"], row[2]["before"]) == (
        changes,
        {"quantity": "2", "quantity_kind": "risk_percent", "stop_loss": None},
    )
    (letter,) = await dead_letters(conn, closed=True)
    assert (letter["closed_how"], letter["closed_reason"], letter["task_status"]) == (
        "OPERATOR_REPLACE",
        "less",
        "CANCELLED",
    )
    with pytest.raises(IllegalTransition):
        await act(conn, task_id, "retry", actor="ann", retry=Retry(confirm=task_id))
    assert await is_sound(conn)


@pytest.mark.parametrize(
    "changes",
    [
        {"symbol": "ES"},  # of which two are another thing than two MNQ
        {"quantity": "0"},
        {"quantity": "NaN"},
        {"account": "b"},
        {"quantity": "1.5"},
        {"quantity": "-1"},
        {"stop_loss": "abc"},
        {"order_type": "later"},
    ],
)
async def test_a_wrong_change(conn: Conn, owner: Owner, changes: dict[str, str]) -> None:
    """It is refused, and nothing happens to the task."""
    task_id, _ = await in_review(owner, conn)
    with pytest.raises(ChangeWrong):
        await act(conn, task_id, "retry", actor="ann", retry=Retry(confirm=task_id, changes=changes))
    assert (await log_of(conn, task_id))[-1] == "REVIEW"
    assert await value(conn, "SELECT count(*) FROM execution_tasks") == 1


async def test_only_entries_are_changed(conn: Conn) -> None:
    """What an exit closes is what is held."""
    task_id = await bring(conn, await enqueue(conn, "EXIT_SL"), "FAILED")
    with pytest.raises(ChangeWrong, match="entry"):
        await act(conn, task_id, "retry", actor="ann", retry=Retry(changes={"quantity": "1"}))


async def test_a_dry_task_never_goes_out_live(conn: Conn) -> None:
    """Its account runs live by now: the changed task would be live, so there is none."""
    task_id = await bring(conn, await enqueue(conn), "FAILED")
    async with conn.transaction():
        await publish(conn, "test", "account", {"a": {"mode": "live"}})
    code, _ = await refused(conn, task_id, changes={"quantity": "1"})
    assert code == "MODE_CHANGED"
    assert await value(conn, "SELECT count(*) FROM execution_tasks") == 1


async def test_only_a_replaced_task_is_enqueued_anew(conn: Conn) -> None:
    """The function alone, which the service may call, doubles nothing."""
    task_id = await bring(conn, await enqueue(conn), "FAILED")
    await act(conn, task_id, "discard", actor="ann")
    with pytest.raises(psycopg.errors.NoDataFound):
        await conn.execute("SELECT enqueue_retry(%s, '{}', NULL)", (task_id,))
    twice = await bring(conn, await enqueue(conn), "FAILED")
    async with conn.transaction():
        replaced = LogEntry(
            twice,
            await value(conn, "SELECT max(version) FROM execution_tasks WHERE id = %s", twice),
            Status.CANCELLED,
            "OPERATOR_REPLACE",
        )
        assert await append(conn, "ann", [replaced])
        await conn.execute("SELECT enqueue_retry(%s, '{}', NULL)", (twice,))
        with pytest.raises(psycopg.errors.NoDataFound):
            async with conn.transaction():
                await conn.execute("SELECT enqueue_retry(%s, '{}', NULL)", (twice,))


async def accepted(owner: Owner, conn: Conn, state: OrderState) -> tuple[int, str]:
    """A live entry that the broker took, and has shown in this state without any fill; and its order's id."""
    task_id = await live(owner, conn)
    number = await sent(conn, task_id)
    await move(conn, task_id, "ACCEPTED")
    await noted(conn, order(1, state, client_order_id=number))
    return task_id, number


@pytest.mark.parametrize(("executed", "status"), [(True, "SUCCESS"), (False, "CANCELLED")])
async def test_an_accepted_task_whose_fills_never_come(
    conn: Conn, owner: Owner, monkeypatch: pytest.MonkeyPatch, executed: bool, status: str
) -> None:
    """A minute after its acceptance somebody says what became of it, sees the evidence before, and names the task again."""
    task_id, _ = await accepted(owner, conn, OrderState.FILLED)
    with pytest.raises(RetryRefused, match="less than a minute ago"):
        await act(conn, task_id, "resolve", actor="me", resolve=Resolve(task_id, executed))
    monkeypatch.setattr(resolving, "SHOWS_WITHIN", timedelta(0))
    with pytest.raises(
        RetryRefused, match=r"order o1: BUY 1 .*FILLED, 1 filled.*Recorded as filled: nothing"
    ) as refused:
        await act(conn, task_id, "resolve", actor="me", resolve=Resolve(None, executed))
    assert refused.value.code == "NOT_CONFIRMED"
    row = await act(conn, task_id, "resolve", actor="me", reason="seen", resolve=Resolve(task_id, executed))
    assert row["status"] == status
    query = "SELECT actor, message, detail FROM execution_logs WHERE task_id = %s AND reason = 'OPERATOR_RESOLVE'"
    (told,) = await (await conn.execute(query, (task_id,))).fetchall()
    assert told[:2] == ("me", "seen")
    assert (told[2]["executed"], told[2]["orders"][0][0]) == (executed, "o1")
    assert (await verify(conn)).violations == ()


async def test_an_accepted_task_that_may_still_end_by_itself(
    conn: Conn, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is said of an order that works, nor against the fills."""
    monkeypatch.setattr(resolving, "SHOWS_WITHIN", timedelta(0))
    task_id, number = await accepted(owner, conn, OrderState.WORKING)
    with pytest.raises(RetryRefused, match="Order o1 of it works at the broker") as refused:
        await act(conn, task_id, "resolve", actor="me", resolve=Resolve(task_id))
    assert refused.value.code == "STILL_WORKS"
    later = order(1, OrderState.CANCELLED, filled=Decimal(2), quantity=Decimal(3), client_order_id=number)
    await noted(conn, later)
    await recorded(conn, fill(1))
    with pytest.raises(RetryRefused, match="has executed 1"):
        await act(conn, task_id, "resolve", actor="me", resolve=Resolve(task_id, executed=False))
    await act(conn, task_id, "resolve", actor="me", resolve=Resolve(task_id))
    failed = await bring(conn, await enqueue(conn), "FAILED")
    with pytest.raises(RetryRefused, match="is discarded"):
        await act(conn, failed, "resolve", actor="me", resolve=Resolve(failed, executed=False))
