"""Limits of accounts and owners on a real database: between routers, over restarts, and with what brokers have not answered yet."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from eventrouter import gatekeeper as gatekeeper_module
from eventrouter.domain.accounts import UNLIMITED, Account
from eventrouter.domain.balances import Balances, Drawdown, Trail
from eventrouter.domain.book import Book
from eventrouter.domain.decide import Decisions, decide
from eventrouter.domain.orders import Answer, Unknown
from eventrouter.domain.risk_inputs import Automation
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.gatekeeper import Gatekeeper
from eventrouter.store import tasks as store
from eventrouter.store.actions import act
from eventrouter.store.connect import Conn, Database, Pool
from tests.processes import until_async
from tests.router.book import LANES, enqueue, is_sound, move, reaches, row_of, status_of, value
from tests.router.broker import Broker, live
from tests.router.conftest import Start, asleep

WAITING = "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def paper(name: str = "paper", *, owner: str = "", **limits: Any) -> Account:
    """An account without a broker and with these limits."""
    return Account(name, "dryrun", owner=owner, limits=replace(UNLIMITED, **limits))


async def claimed(pool: Pool, account: Account, others: Sequence[Account], actor: str, lane: int | None) -> Decisions:
    """What one router decides in one claim; `lane` limits it to one lane."""
    keeper = Gatekeeper([account, *others])
    async with store.claim(pool, [account.name], limit=1 if lane is not None else 20, depth=20) as claim:
        assert claim.now is not None
        gate = await keeper.gate(claim, "dry")
        made = decide(claim.due, now=claim.now, dry_run=True, lease_s=30.0, limit=20, gate=gate)
        await claim.record(actor, [*made.others, *(send.entry for send in made.sends)])
    return made


@pytest.mark.parametrize("spans", ["account", "owner"])
async def test_two_routers_cannot_both_see_room(dsn: str, db: Conn, spans: str) -> None:
    """While one has decided and not committed, the other one waits; then it sees what the first one sent."""
    if spans == "account":
        first = second = paper(max_contracts=Decimal(1))
        alerts = [("LONG", "paper"), ("LONG", "paper")]
        reason = "MAX_CONTRACTS"
    else:
        first, second = (paper(name, owner="me", no_opposite_side=True) for name in ("a", "b"))
        alerts = [("LONG", "a"), ("SHORT", "b")]
        reason = "OPPOSITE_SIDE"
    tasks = []
    for number, (side, account) in enumerate(alerts):
        symbol = "NQ" if spans == "owner" else LANES[number]
        tasks.append(await enqueue(db, f"t{number}", account=account, symbol=symbol))
        if side == "SHORT":
            # the payload is fixed at enqueue, so the other side is a task of its own
            await move(db, tasks.pop(), Status.CANCELLED)
            payload = json.dumps({"symbol": symbol, "direction": side})
            insert = "SELECT enqueue_execution_task('short', 'ENTRY', %s::JSONB, %s)"
            tasks.append(await value(db, insert, payload, account))
    async with Database(dsn).pool("one") as mine, Database(dsn).pool("two") as theirs:
        keeper = Gatekeeper([first, second])
        async with store.claim(mine, [first.name], limit=1, depth=1) as claim:
            assert claim.now is not None
            assert [task.id for task in claim.due] == tasks[:1]
            gate = await keeper.gate(claim, "dry")
            made = decide(claim.due, now=claim.now, dry_run=True, lease_s=30.0, limit=1, gate=gate)
            await claim.record("one", [send.entry for send in made.sends])
            assert [send.task.id for send in made.sends] == tasks[:1]
            other = asyncio.create_task(claimed(theirs, second, [first], "two", lane=1))
            await until_async(partial(value, db, WAITING), what="the other router's wait")
        refused = await other
    assert [(row.task_id, row.reason) for row in refused.others] == [(tasks[1], reason)]
    assert refused.sends == ()


async def test_many_routers_never_pass_the_limit(db: Conn, start: Start, broker_named: Callable[..., Broker]) -> None:
    """Twenty entries for a room of five, taken by three routers, while the broker answers nothing."""
    broker = broker_named("alpha", most_in_flight=50)
    broker.answers.clear()
    async with db.transaction():
        tasks = [await enqueue(db, f"t{n}", account="real", symbol=LANES[n], mode="live") for n in range(20)]
    account = live("real", "alpha", max_contracts=Decimal(5))
    for _ in range(3):
        await start(dry_run=False, accounts=[account], sleeping=False)

    async def decided() -> bool:
        return bool(await value(db, "SELECT count(*) = 0 FROM execution_tasks WHERE status = 'PENDING'"))

    await until_async(decided, within_s=30, what="twenty decisions")
    stand = [await status_of(db, task) for task in tasks]
    assert (stand.count("SENDING"), stand.count("DENIED")) == (5, 15)
    detail = (await row_of(db, tasks[stand.index("DENIED")], "MAX_CONTRACTS"))[8]
    assert (detail["max_contracts"], detail["this"]) == ("5", "1")


@pytest.mark.parametrize(
    "statuses",
    [
        (Status.SENDING, Status.UNKNOWN, Status.REVIEW),
        (Status.SENDING, Status.ACCEPTED),
        (Status.SENDING, Status.UNKNOWN, Status.PENDING),
        (Status.SENDING, Status.UNKNOWN, Status.REVIEW, Status.PENDING),
    ],
)
async def test_what_may_still_open_something_takes_room(db: Conn, start: Start, statuses: tuple[Status, ...]) -> None:
    """An entry whose outcome is not known, that works, or that is sent again because it was not found, counts with the size of its
    intent less what it filled.
    """
    first = await enqueue(db, "first")
    intent = {"quantity": "4", "root": "NQ", "direction": "LONG"}
    entry = LogEntry(first, 1, statuses[0], "INTENT", detail=intent, lease_s=3600)
    assert await store.append(db, "test", [entry])
    await move(db, first, *statuses[1:], run_in_s=3600)
    await start(accounts=[paper(max_contracts=Decimal(4))])
    second = await enqueue(db, "second", symbol="ES")
    await reaches(db, second, Status.DENIED)
    assert (await row_of(db, second, "MAX_CONTRACTS"))[8]["held_and_working"] == "4"
    await db.execute(
        "INSERT INTO fills (account, fill_id, mode, order_id, task_id, trade_id, contract, root, side, quantity, filled_at)"
        " VALUES ('paper', 'f', 'dry', 'o', %s, 'first', 'NQ', 'NQ', 'BUY', 1, now())",
        (first,),
    )
    await db.execute(  # somebody closed by hand what it opened
        "INSERT INTO fills (account, fill_id, mode, order_id, trade_id, contract, root, side, quantity, filled_at)"
        " VALUES ('paper', 'g', 'dry', 'hand', 'first', 'NQ', 'NQ', 'SELL', 1, now())"
    )
    third = await enqueue(db, "third", symbol="ES")
    await reaches(db, third, Status.SUCCESS)
    assert (await row_of(db, third, "INTENT"))[8]["risk"]["held_and_working"] == "3"


async def test_an_entry_that_is_sent_again_does_not_stand_in_its_own_way(db: Conn, start: Start) -> None:
    """It takes its room once, whatever came of the attempt before; and none where it is certain that nothing came of it."""
    first = await enqueue(db, "first")
    intent = {"quantity": "4", "root": "NQ", "direction": "LONG"}
    assert await store.append(db, "test", [LogEntry(first, 1, Status.SENDING, "INTENT", detail=intent, lease_s=3600)])
    await move(db, first, Status.UNKNOWN, Status.PENDING)
    proven = await enqueue(db, "proven", symbol="ES")
    assert await store.append(db, "test", [LogEntry(proven, 1, Status.SENDING, "INTENT", detail=intent, lease_s=3600)])
    await move(db, proven, Status.UNKNOWN)
    known = LogEntry(proven, 3, Status.PENDING, "ABSENT", detail={"proven": True}, run_in_s=3600)
    assert await store.append(db, "test", [known])
    await start(accounts=[paper(max_contracts=Decimal(1))])
    await reaches(db, first, Status.SUCCESS)


def booked(account: Account, balance: int, highest: int = 50_000) -> str:
    """The state of an account on the day that it is asked: it began with 50,000, and the day with as much."""
    money = Balances(*map(Decimal, (50_000, balance, 0, 50_000, highest, highest)))
    return json.dumps(Book(balances=money, day=account.limits.days.of(datetime.now(UTC))).to_json())


@pytest.mark.parametrize(
    ("account", "money", "reason"),
    [
        (paper(daily_loss=Decimal(1000)), (49_000,), "DAILY_LOSS"),
        (paper(drawdown=Drawdown(Trail.END_OF_DAY, Decimal(2000))), (49_500, 51_500), "DRAWDOWN"),
        (paper(drawdown=Drawdown(Trail.INTRADAY, Decimal(2000))), (49_900, 51_900), "DRAWDOWN"),
    ],
)
async def test_loss_limits_survive_a_restart(
    db: Conn, start: Start, account: Account, money: tuple[int, ...], reason: str
) -> None:
    """Every router that comes reads the account's book; none has a memory of its own."""
    await db.execute(
        "INSERT INTO account_log (account, mode, seq, kind, actor, state) VALUES ('paper', 'dry', 1, 'OPENED', 'test', %s)",
        (booked(account, *money),),
    )
    for number in range(2):
        router = await start(accounts=[account])
        task = await enqueue(db, f"t{number}", symbol=LANES[number])
        await reaches(db, task, Status.DENIED)
        assert (await row_of(db, task, reason))[8]["order"] == {
            "root": LANES[number],
            "direction": "LONG",
            "quantity": "1",
        }
        await router.stop()


@pytest.mark.parametrize("scope", ["all", "account:paper", "strategy:TREND"])
async def test_a_halt_reaches_what_is_queued_already(db: Conn, start: Start, scope: str) -> None:
    """Entries are denied, other strategies' and accounts' go on, and after a resume new ones are sent."""
    payload = json.dumps({"symbol": "NQ", "direction": "LONG", "strategy": "trend"})
    queued = "SELECT enqueue_execution_task(%s, 'ENTRY', %s::JSONB, 'paper')"
    task = await value(db, queued, "t1", payload)
    untouched = await enqueue(db, "t2", account="other", symbol="ES")
    control = "INSERT INTO controls (scope, action, actor) VALUES (%s, %s, 'test')"
    await db.execute(control, (scope, "halt"))
    await start(accounts=[paper(), paper("other")])
    await reaches(db, task, Status.DENIED)
    assert (await row_of(db, task, "HALTED"))[3:5] != (None, None)
    await reaches(db, untouched, Status.DENIED if scope == "all" else Status.SUCCESS)
    await db.execute(control, (scope, "resume"))
    await reaches(db, await value(db, queued, "t3", payload), Status.SUCCESS)


async def test_whoever_halts_waits_for_claims_and_claims_wait_for_the_halt(dsn: str, db: Conn) -> None:
    """So that no intent can follow once the halt is committed."""
    task = await enqueue(db, "t")
    async with Database(dsn).pool("one") as mine, await Database(dsn).connect("halt") as halting:
        async with store.claim(mine, ["paper"], limit=1, depth=1) as claim:
            assert [due.id for due in claim.due] == [task]
            free = "SELECT pg_try_advisory_xact_lock(hashtextextended('eventrouter.halt', 0))"
            assert await value(halting, free) is False
        async with halting.transaction():
            assert await value(halting, free) is True
            await db.execute("INSERT INTO controls (scope, action, actor) VALUES ('all', 'halt', 'test')")
            decision = asyncio.create_task(claimed(mine, paper(), [], "one", None))
            await until_async(partial(value, db, WAITING), what="the claim's wait")
        assert [row.reason for row in (await decision).others] == ["HALTED"]


async def test_an_owners_account_of_another_process_counts(db: Conn, start: Start) -> None:
    """Its configuration is published; what it holds is in the database."""
    for version, owner in ((1, "somebody"), (2, "me")):
        body = json.dumps({"owner": owner})
        await db.execute(
            "INSERT INTO settings (kind, name, version, body, actor) VALUES ('account', 'theirs', %s, %s, 'test')",
            (version, body),
        )
    await db.execute(
        "INSERT INTO fills (account, fill_id, mode, order_id, trade_id, contract, root, side, quantity, filled_at)"
        " VALUES ('theirs', 'f', 'dry', 'o', 'x', 'NQZ6', 'NQ', 'SELL', 1, now())"
    )
    await start(
        accounts=[
            paper("mine", owner="me", no_opposite_side=True),
            paper("free", owner="somebody", no_opposite_side=True),
        ]
    )
    refused, sent = await enqueue(db, "t", account="mine", symbol="MNQ"), await enqueue(db, "u", account="free")
    await reaches(db, refused, Status.DENIED)
    detail = (await row_of(db, refused, "OPPOSITE_SIDE"))[8]
    assert (detail["account"], detail["side"], detail["quantity"]) == ("theirs", "SHORT", "1")
    await reaches(db, sent, Status.SUCCESS)


# contracts


async def test_a_contract_is_asked_for_once_and_outside_of_the_claim(
    db: Conn, start: Start, broker_named: Callable[..., Broker]
) -> None:
    """Entries wait without a log row; the answer wakes the router, and the next ones need no question."""
    broker = broker_named("alpha")
    broker.resolves.clear()
    router = await start(dry_run=False, accounts=[live("real", "alpha"), live("more", "alpha")])
    tasks = [await enqueue(db, f"t{n}", account="real", mode="live") for n in range(3)]
    await asleep(router)
    assert [await value(db, "SELECT count(*) FROM execution_logs WHERE task_id = %s", task) for task in tasks] == [
        1,
        1,
        1,
    ]
    broker.resolves.set()
    for task in tasks:
        await reaches(db, task, Status.SUCCESS)
    assert len(broker.resolved) == 1
    assert {order.symbol for order in broker.placed} == set(broker.resolved)
    assert (await row_of(db, tasks[0], "INTENT"))[8]["contract"] == broker.resolved[0]
    assert await is_sound(db)


async def test_a_broker_that_says_nothing_of_a_contract_makes_its_entries_wait(
    db: Conn, start: Start, broker_named: Callable[..., Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for ever: each question has an end, the log says so, and the entry goes out once there is an answer."""
    monkeypatch.setattr(gatekeeper_module, "ASKED_WITHIN_S", 0.05)
    broker = broker_named("alpha")
    broker.resolves.clear()
    await start(dry_run=False, accounts=[live("real", "alpha")])
    task = await enqueue(db, "t", account="real", mode="live")
    waits = "SELECT min(message) FROM execution_logs WHERE reason = 'CONTRACT_WAITS'"
    await until_async(partial(value, db, waits), what="the row")
    assert "No answer within" in await value(db, waits)
    broker.resolves.set()
    await reaches(db, task, Status.SUCCESS)


async def test_an_order_that_is_sent_again_is_the_same(
    db: Conn, start: Start, broker_named: Callable[..., Broker]
) -> None:
    """After an unknown outcome that a look-up resolved: same size, same contract, same hash."""
    broker = broker_named("alpha")
    broker.replies.append(Unknown(Answer(503, "busy"), "busy"))
    await start(dry_run=False, accounts=[live("real", "alpha")])
    task = await enqueue(db, "t", account="real", mode="live")
    await reaches(db, task, Status.SUCCESS)
    assert broker.placed[0] == broker.placed[1]
    hashes = "SELECT count(DISTINCT detail ->> 'request_hash') FROM execution_logs WHERE reason = 'INTENT'"
    assert await value(db, hashes) == 1


# approval


async def test_an_entry_waits_for_approval_and_exits_do_not(db: Conn, start: Start) -> None:
    """Approved it is sent; not approved in time it ends by itself."""
    within = timedelta(seconds=2)
    careful = paper("careful", automation=Automation.APPROVE_EACH)
    hasty = paper("hasty", automation=Automation.APPROVE_EACH, approve_within=within)
    await start(accounts=[careful, hasty], lease=0.4)
    task, late = await enqueue(db, "t", account="careful"), await enqueue(db, "u", account="hasty")
    await reaches(db, task, Status.HELD)
    await act(db, task, "approve", actor="me")
    await reaches(db, task, Status.SUCCESS)
    await reaches(db, late, Status.EXPIRED)
    assert "Nobody approved it within 2 s" in (await row_of(db, late, "NOT_APPROVED"))[4]
    assert await is_sound(db)


# cost


async def test_facts_cost_no_more_with_history(db: Conn) -> None:
    """Each is found by an index: thousands of finished tasks, fills, controls and published versions are not read."""
    async with db.transaction():
        await db.execute(
            "INSERT INTO execution_tasks (trade_id, event_type, account, payload)"
            " SELECT 'T' || g, 'ENTRY', 'paper', '{\"symbol\": \"NQ\"}' FROM generate_series(1, 1500) g"
        )
        for status in ("SENDING", "SUCCESS"):
            await db.execute(
                "INSERT INTO execution_logs (task_id, seq, prev_status, status, attempt, actor, reason, lease_until)"
                " SELECT id, version + 1, status, %s, 1, 't', 'INTENT', CASE WHEN %s = 'SENDING' THEN now() + interval '1 h' END"
                " FROM execution_tasks",
                (status, status),
            )
        await db.execute(
            "INSERT INTO controls (scope, action, actor) SELECT 'all', CASE g % 2 WHEN 0 THEN 'halt' ELSE 'resume' END, 't'"
            " FROM generate_series(1, 2001) g"
        )
        await db.execute(
            "INSERT INTO fills (account, fill_id, mode, order_id, trade_id, contract, root, side, quantity, filled_at)"
            " SELECT 'paper', side || g, 'dry', 'o', 'T' || g, 'NQ', 'NQ', side, 1, now()"
            " FROM generate_series(1, 1500) g, (VALUES ('BUY'), ('SELL')) AS s (side)"
        )
        await db.execute(
            "INSERT INTO account_log (account, mode, seq, kind, actor, state)"
            " SELECT 'paper', 'dry', g, 'MARKED', 't', '{}' FROM generate_series(1, 1500) g"
        )
        await db.execute(
            "INSERT INTO settings (kind, name, version, body, actor)"
            " SELECT 'account', 'a' || g, 1, '{\"owner\": \"other\"}', 't' FROM generate_series(1, 1500) g"
        )
    # the entries of the last minute are read, up to the latest thousand: make them older
    async with db.transaction():
        await db.execute("SET LOCAL session_replication_role = replica")
        await db.execute("UPDATE execution_tasks SET last_attempt_at = now() - interval '1 hour'")
    counted = (
        "SELECT jsonb_object_agg(relname, COALESCE(idx_tup_fetch, 0) + seq_tup_read) FROM pg_stat_xact_user_tables"
        " WHERE relname IN ('execution_tasks', 'execution_logs', 'controls', 'holdings', 'account_log', 'settings', 'fills',"
        " 'broker_orders')"
    )
    async with db.transaction():
        before = await value(db, counted)
        facts = await value(db, "SELECT account_facts('{paper}', '{me}', '{}', '{NQ}', 'dry')")
        after = await value(db, counted)
    assert {name: read - before[name] for name, read in after.items() if read - before[name] > 10} == {}
    assert [row[:2] for row in facts["controls"]] == [["all", "resume"]]
    assert facts["accounts"]["paper"]["intents"] == []
