"""People are told what is committed: once, together, not too often, and never at the router's cost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from eventrouter.domain.accounts import Account
from eventrouter.domain.book import marked, opened, out_of_sync
from eventrouter.domain.risk_inputs import RiskLimits
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.domain.trading_day import TradingDays
from eventrouter.store import notifications as store
from eventrouter.store.books import append_event
from eventrouter.store.connect import Conn, Database, Pool
from eventrouter.store.controls import set_control
from eventrouter.store.tasks import append
from tests.alerts.conftest import Tell
from tests.alerts.inbox import SECRET, Inbox
from tests.processes import until_async
from tests.store.stored_task import bring, enqueue, value


@pytest.fixture
async def db(dsn: str) -> Any:
    """The service's connection, in autocommit."""
    async with await Database(dsn).connect("test") as conn:
        yield conn


async def messages(box: Inbox, count: int = 1) -> list[dict[str, Any]]:
    """The inbox's messages, once there are so many."""

    async def enough() -> bool:
        return len(box.messages) >= count

    await until_async(enough, what=f"{count} messages")
    return box.messages


async def all_sent(db: Conn, count: int) -> None:
    """Returns once so many notifications were sent and none waits."""

    async def done() -> bool:
        row = await (
            await db.execute("SELECT count(*) FILTER (WHERE sent_at IS NOT NULL), count(due_at) FROM notifications")
        ).fetchone()
        return row is not None and tuple(row) == (count, 0)

    await until_async(done, what="the sending of all")


async def test_history_before_the_first_start_is_not_told(box: Inbox, tell: Tell, db: Conn) -> None:
    """Whoever switches alerts on is told what happens from then on, in order."""
    await bring(db, await enqueue(db, trade="old"), "REVIEW")
    await tell(box)
    await bring(db, await enqueue(db, trade="new", account="b"), "REVIEW")
    (message,) = await messages(box)
    assert message["title"] == "eventrouter: REVIEW: ENTRY of new on b (dry run)"
    assert "TEST: a message" in message["message"]
    await all_sent(db, 1)


async def test_every_kind_of_event_is_told(box: Inbox, tell: Tell, db: Conn) -> None:
    """FAILED, REVIEW, out of sync, halt and resume, an unprotected position: each as one notification, with its account."""
    await tell(box)
    failed = await bring(db, await enqueue(db, account="a"), "FAILED")
    version = await value(db, "SELECT version FROM execution_tasks WHERE id = %s", failed)
    assert await append(db, "test", [LogEntry(failed, version, Status.FAILED, "LATE_FILL", "1 MNQ at 24000")])
    await bring(db, await enqueue(db, account="b"), "REVIEW")
    await enqueue(db, "EXIT_UNPROTECTED", account="c")
    await enqueue(db, "EXIT_LATE", account="d")
    await append_event(db, "test", "e", "live", out_of_sync("The broker holds 1 MNQ."))
    await set_control(db, "account:f", "halt", "operator", "lunch")
    await set_control(db, "account:f", "resume", "operator", None)
    await set_control(db, "account:f", "flatten", "guardian", "DAILY_LOSS: The day has lost 1000.")
    await all_sent(db, 9)
    rows = await (await db.execute("SELECT kind, severity, account, title FROM notifications ORDER BY id")).fetchall()
    assert {tuple(row) for row in rows} == {
        ("dead_letter", "error", "a", "FAILED: ENTRY of T1 on a (dry run)"),
        ("late_fill", "critical", "a", "Late fill: ENTRY of T1 on a (dry run)"),
        ("review", "critical", "b", "REVIEW: ENTRY of T1 on b (dry run)"),
        ("unprotected", "critical", "c", "Unprotected position: EXIT_UNPROTECTED of T1 on c (dry run)"),
        ("late_fill", "warning", "d", "Late fill: EXIT_LATE of T1 on d (dry run)"),
        ("out_of_sync", "critical", "e", "e is out of sync"),
        ("halt", "warning", "f", "Halted: account:f"),
        ("halt", "info", "f", "Resumed: account:f"),
        ("halt", "error", "f", "Flattening: account:f"),
    }


async def later(db: Conn, statement: str) -> None:
    """Changes what only time would."""
    async with await psycopg.AsyncConnection.connect(db.info.dsn, autocommit=True) as owner:
        await owner.execute(statement)


async def test_twenty_reviews_are_one_message(box: Inbox, tell: Tell, db: Conn) -> None:
    """The first one waits for others; once it has waited long enough all of them go together."""
    alerts = await tell(box, started=False, group=3600.0)
    await alerts._note_turn()
    for number in range(20):
        await bring(db, await enqueue(db, trade=f"T{number}", account=f"a{number}"), "REVIEW")
        await alerts._note_turn()
        assert not await alerts._send_turn()
    await later(db, "UPDATE notifications SET due_at = now() WHERE id = (SELECT min(id) FROM notifications)")
    assert await alerts._send_turn()
    (message,) = box.messages
    assert message["title"] == "eventrouter: 20 notices: 20 review"
    assert len(message["message"].splitlines()) <= 21
    await all_sent(db, 20)


async def test_a_flood_is_held_back_and_says_what_it_leaves_out(box: Inbox, tell: Tell, db: Conn) -> None:
    """The first messages of a minute go out; the rest waits, and its one message says how many it does not list."""
    alerts = await tell(box, started=False, messages_per_minute=2)
    await alerts._note_turn()
    for number in range(50):
        await bring(db, await enqueue(db, trade=f"T{number}", account=f"a{number}"), "REVIEW")
        await alerts._note_turn()
        assert await alerts._send_turn() == (number < 2)
    assert len(box.messages) == 2
    await later(db, "UPDATE notification_state SET rounds = '{}'")
    assert await alerts._send_turn()
    await all_sent(db, 50)
    last = box.messages[-1]
    assert (len(box.messages), last["title"]) == (3, "eventrouter: 48 notices: 48 review")
    listed, rest = last["message"].splitlines()[:-1], last["message"].splitlines()[-1]
    assert rest == f"{48 - len(listed)} more are left out here; see `eventrouter alerts list`."


async def test_two_processes_tell_once(box: Inbox, tell: Tell, db: Conn) -> None:
    """Several processes read the same history; each event is one notification and one line of one message."""
    for name in ("one", "two", "three"):
        await tell(box, name=name)
    for number in range(30):
        await bring(db, await enqueue(db, trade=f"T{number}", account=f"a{number}"), "REVIEW")
    await all_sent(db, 30)
    text = "\n".join(f"{each['title']} {each['message']}" for each in box.messages)
    assert await value(db, "SELECT count(*) FROM notifications") == 30
    assert (
        sum(each["title"].startswith("eventrouter: REVIEW") or int(each["title"].split()[1]) for each in box.messages)
        == 30
    )
    assert text.count("Task ") <= 30


async def test_a_late_commit_is_told_all_the_same(box: Inbox, tell: Tell, db: Conn, dsn: str) -> None:
    """A transaction that began before others and commits after them is not passed over."""
    task = await enqueue(db, trade="slow")
    async with await Database(dsn).connect("slow") as slow:
        async with slow.transaction():
            await bring(slow, task, "REVIEW")
            await tell(box)
            await bring(db, await enqueue(db, trade="fast", account="b"), "REVIEW")
            await messages(box)
        await messages(box, 2)
    assert box.titles == [
        "eventrouter: REVIEW: ENTRY of fast on b (dry run)",
        "eventrouter: REVIEW: ENTRY of slow on a (dry run)",
    ]


async def test_nothing_is_lost_or_doubled_between_two_lives(box: Inbox, tell: Tell, db: Conn) -> None:
    """What happens while nobody tells is told by the next process, and what was told is not told again."""
    first = await tell(box)
    await set_control(db, "all", "halt", "operator", "first")
    await all_sent(db, 1)
    await first.stop()
    await set_control(db, "all", "resume", "operator", "second")
    await tell(box, name="next")
    await all_sent(db, 2)
    assert box.titles == ["eventrouter: Halted: all", "eventrouter: Resumed: all"]


async def test_a_message_whose_process_died_is_sent_again(box: Inbox, tell: Tell, db: Conn, pool: Pool) -> None:
    """A claim ends with its lease, and the next process sends what nobody settled; late words of the first change nothing."""
    alerts = await tell(box, started=False)
    await alerts._note_turn()
    await set_control(db, "all", "halt", "operator", None)
    await alerts._note_turn()
    (taken,) = await store.claim(pool, "dead", lease_s=0.0, per_minute=60, most=10)
    await alerts._send_turn()
    assert box.titles == ["eventrouter: Halted: all"]
    await store.settle(pool, "dead", [store.Settled(taken.id, [], "late words", 1.0, sent=False)])
    row = (await store.last_notifications(db, 10))[0]
    assert (row["last_error"], row["due_at"], row["attempts"]) == (None, None, 1)


async def test_while_one_sends_no_other_does(box: Inbox, tell: Tell, db: Conn, pool: Pool) -> None:
    """So that grouping and the limit a minute hold for all processes together."""
    alerts = await tell(box, started=False)
    await alerts._note_turn()
    for _ in range(2):
        await set_control(db, "all", "halt", "operator", None)
        await alerts._note_turn()
        found = await store.claim(pool, "one", lease_s=60.0, per_minute=60, most=1)
        if found:
            assert len(found) == 1
    assert not await alerts._send_turn()
    assert box.messages == []


async def test_who_refuses_is_asked_again_and_who_took_it_is_not(
    box: Inbox, other: Inbox, tell: Tell, db: Conn
) -> None:
    """Each receiver is told once; the refusal stands in the row, the log, the metric and /readyz."""
    other.status = 503
    alerts = await tell(box, other)
    await set_control(db, "all", "halt", "operator", None)
    await messages(other)

    async def tried() -> bool:
        return bool(await value(db, "SELECT attempts FROM notifications") == 1)

    await until_async(tried, what="the first attempt")
    (row,) = await store.last_notifications(db, 10)
    assert row["sent_at"] is None
    assert len(row["reached"]) == 1
    assert "error=503" in row["last_error"]
    assert SECRET not in row["last_error"]
    assert alerts.state()["state"] == "failing"
    assert b'outcome="failed"' in alerts._metrics.render()
    other.status = 200
    await later(db, "UPDATE notifications SET due_at = now()")
    await all_sent(db, 1)
    assert (len(box.messages), len(other.messages)) == (1, 2)
    assert alerts.state() == {"state": "ok", "waiting": 0, "receivers": dict.fromkeys(alerts._answers, "taken")}


async def test_a_service_that_hangs_delays_no_other(box: Inbox, other: Inbox, tell: Tell, db: Conn) -> None:
    """The other one is told at once, and the event loop is never blocked."""
    other.open.clear()
    alerts = await tell(box, other, timeout=0.3)
    await set_control(db, "all", "halt", "operator", None)
    await messages(box)
    await set_control(db, "all", "resume", "operator", None)
    await messages(box, 2)
    assert box.titles == ["eventrouter: Halted: all", "eventrouter: Resumed: all"]
    assert len(other.messages) == 1
    assert alerts.state()["state"] == "failing"


async def test_it_is_given_up_in_the_end(box: Inbox, tell: Tell, db: Conn) -> None:
    """After twenty attempts nothing is tried any more; the row says what was wrong."""
    box.status = 500
    alerts = await tell(box, started=False)
    await alerts._note_turn()
    await set_control(db, "all", "halt", "operator", None)
    await alerts._note_turn()
    await later(db, "UPDATE notifications SET attempts = 19")
    assert await alerts._send_turn()
    (row,) = await store.last_notifications(db, 10)
    assert (row["attempts"], row["due_at"], row["sent_at"]) == (20, None, None)
    assert "error=500" in row["last_error"]


async def test_what_is_switched_off_or_too_mild_is_not_told(box: Inbox, tell: Tell, db: Conn) -> None:
    """Neither sent nor stored."""
    await tell(box, off=["review"], severity="error")
    await bring(db, await enqueue(db, account="a"), "REVIEW")
    await set_control(db, "all", "halt", "operator", None)
    await bring(db, await enqueue(db, account="b"), "FAILED")
    await all_sent(db, 1)
    assert box.titles == ["eventrouter: FAILED: ENTRY of T1 on b (dry run)"]


DAYS = TradingDays("America/Chicago", time(17))


async def test_a_limit_that_is_near_is_told_once_and_once_more_when_reached(box: Inbox, tell: Tell, db: Conn) -> None:
    """At 80 % and at 100 %, of the daily loss less its buffer, once a trading day."""
    account = Account("a", "dryrun", limits=RiskLimits(days=DAYS, daily_loss=Decimal(1100), buffer=Decimal(100)))
    await append_event(db, "test", "a", "dry", opened(Decimal(50_000), DAYS.of(datetime.now(UTC))))
    alerts = await tell(box, accounts=[account])
    for loss in (799, 800, 850, 1000):
        await append_event(db, "test", "a", "dry", marked(Decimal(-loss)))
        for _ in range(2):
            await alerts._note_turn()
    await all_sent(db, 2)
    rows = await (await db.execute("SELECT title, body FROM notifications ORDER BY id")).fetchall()
    assert [row[0] for row in rows] == ["a: daily loss near (dry run)", "a: daily loss reached (dry run)"]
    assert rows[0][1].startswith("800 of 1000 (80 %) is used on the trading day ")


async def test_a_login_that_fails_is_told_and_its_repair(box: Inbox, tell: Tell, db: Conn) -> None:
    """Once it has been down for `down_for`; and the listener likewise."""
    states: dict[str, str | None] = {"projectx/a": "The key is wrong."}
    healthy = [True]
    await tell(box, down_for=0.05, connections=lambda: states, listener_healthy=lambda: healthy[0])
    await messages(box)
    states["projectx/a"] = None
    await messages(box, 2)
    healthy[0] = False
    await messages(box, 3)
    healthy[0] = True
    await messages(box, 4)
    assert box.titles == [
        "eventrouter: Connection projectx/a is down",
        "eventrouter: Connection projectx/a is open again",
        "eventrouter: The listener is down",
        "eventrouter: The listener is up again",
    ]
    await all_sent(db, 4)


async def test_silence_is_told_once_by_all_processes(box: Inbox, tell: Tell, db: Conn) -> None:
    """Each process with a webhook notices; one message goes out."""
    last = datetime(2026, 11, 20, 12, tzinfo=UTC)
    for name in ("one", "two"):
        alerts = await tell(box, name=name)
        alerts.silent("orb", last, missing=True)
    await all_sent(db, 1)
    alerts.silent("orb", datetime(2026, 11, 21, 12, tzinfo=UTC), missing=False)
    await all_sent(db, 2)
    assert box.titles == ["eventrouter: Strategy orb is silent", "eventrouter: Strategy orb is heard again"]


@asynccontextmanager
async def away(dsn: str) -> AsyncIterator[None]:
    """Meanwhile the database takes no connections, and those of the alerts are gone."""
    name = conninfo_to_dict(dsn)["dbname"]
    async with await psycopg.AsyncConnection.connect(make_conninfo(dsn, dbname="postgres"), autocommit=True) as owner:
        await owner.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(str(name))))
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name = %s",
            (name, "eventrouter-alerts"),
        )
        try:
            yield
        finally:
            await owner.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(str(name))))


async def test_a_database_that_is_away_is_told_without_it(box: Inbox, tell: Tell, db: Conn, dsn: str) -> None:
    """The message goes out directly, is not sent again, and is stored once Postgres is back."""
    alerts = await tell(box, down_for=0.05)
    async with away(dsn):
        await messages(box)
        alerts.silent("orb", None, missing=True)  # what is found meanwhile is told later at the latest
    await all_sent(db, 3)
    assert box.titles[0] == "eventrouter: Postgres is away"
    text = "\n".join(f"{each['title']}\n{each['message']}" for each in box.messages)
    assert [text.count(each) for each in ("Postgres is away", "Postgres is back", "Strategy orb is silent")] == [
        1,
        1,
        1,
    ]


async def test_texts_of_others_call_nobody_and_stay_on_their_line(box: Inbox, tell: Tell, db: Conn) -> None:
    """A trade's name comes from an alert: no mention, no line break, no secret leaves with it."""
    await tell(box)
    await bring(db, await enqueue(db, trade="T\n@everyone token=abcdefgh12345"), "REVIEW")
    (message,) = await messages(box)
    assert "@" not in message["title"] + message["message"]
    assert "\n" not in message["title"]
    assert "abcdefgh12345" not in message["title"] + message["message"]


async def test_a_restored_database_begins_anew(box: Inbox, tell: Tell, db: Conn) -> None:
    """Positions of another cluster compare wrongly: what is restored is not told again, what follows is."""
    await bring(db, await enqueue(db, trade="old"), "REVIEW")
    await later(db, "INSERT INTO notification_state (position) VALUES ('7.7 900000000:900000000:')")
    await tell(box)
    await set_control(db, "all", "halt", "operator", None)
    await all_sent(db, 1)
    assert box.titles == ["eventrouter: Halted: all"]


async def test_stopping_waits_for_no_service(box: Inbox, tell: Tell, db: Conn) -> None:
    """A message that hangs is left; it is sent again by whoever comes next."""
    box.open.clear()
    alerts = await tell(box, timeout=100.0)
    await set_control(db, "all", "halt", "operator", None)
    await messages(box)
    async with asyncio.timeout(30):
        await alerts.stop()
    (row,) = await store.last_notifications(db, 10)
    assert (row["sent_at"], row["due_at"] is None) == (None, False)
