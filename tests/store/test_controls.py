"""Controls: the lock that makes a halt final, what is in flight in a scope, and rows that nobody can change."""

import asyncio
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from eventrouter.errors import ScopeWrong
from eventrouter.store import controls
from eventrouter.store.connect import Conn, Database
from tests.processes import until_async
from tests.store.stored_task import bring, enqueue, value

Owner = psycopg.Connection[Any]


async def test_a_halt_waits_for_claims_and_claims_for_it(any_dsn: str, conn: Conn) -> None:
    """It returns only after everybody who holds the lock shared has ended, and sees what they committed."""
    async with await Database(any_dsn).connect("claim") as claim:
        task = await enqueue(conn)
        async with claim.transaction():
            await claim.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended('eventrouter.halt', 0))")
            halting = asyncio.create_task(controls.set_control(conn, "all", "halt", "cli:me", None))

            async def waits() -> bool:
                return bool(
                    await value(claim, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
                )

            await until_async(waits, what="the halt that waits")
            await bring(claim, task, "SENDING")
            assert not halting.done()
        control = await halting
    assert [each["task_id"] for each in control.in_flight] == [task]


IN_FLIGHT = [
    ("all", {"sending", "unknown"}, {"working"}),
    ("account:a", {"sending"}, set()),
    ("account:b", {"unknown"}, {"working"}),
    ("strategy:Orb", {"sending"}, {"working"}),
    ("strategy:none", set(), set()),
]


@pytest.mark.parametrize(("scope", "in_flight", "working"), IN_FLIGHT, ids=[each[0] for each in IN_FLIGHT])
async def test_what_is_in_flight(conn: Conn, owner: Owner, scope: str, in_flight: set[str], working: set[str]) -> None:
    """Tasks in SENDING and UNKNOWN, and those that work, of this scope; a strategy by plan or payload, in any case."""
    tasks = {
        "sending": await bring(conn, await enqueue(conn, account="a", trade="S"), "SENDING"),
        "unknown": await bring(conn, await enqueue(conn, account="b", trade="U"), "UNKNOWN"),
        "working": await bring(conn, await enqueue(conn, account="b", trade="W"), "ACCEPTED"),
    }
    await enqueue(conn, account="a", trade="waits")
    await bring(conn, await enqueue(conn, account="a", trade="done"), "SUCCESS")
    owner.execute("SET session_replication_role = replica")
    owner.execute("UPDATE execution_tasks SET plan = %s WHERE id = %s", (Jsonb({"strategy": "ORB"}), tasks["sending"]))
    owner.execute(
        "UPDATE execution_tasks SET payload = %s WHERE id = %s", (Jsonb({"strategy": "orb"}), tasks["working"])
    )
    control = await controls.set_control(conn, scope, "halt", "cli:me", "a reason")
    assert {each["task_id"] for each in control.in_flight} == {tasks[name] for name in in_flight}
    assert {each["task_id"] for each in control.working} == {tasks[name] for name in working}
    row = (await controls.history(conn))[0]
    assert (row["scope"], row["action"], row["actor"], row["reason"]) == (scope, "halt", "cli:me", "a reason")


async def test_the_latest_row_of_a_scope_stands(conn: Conn) -> None:
    """Each scope has its own; a resume of one leaves the others."""
    for scope, action in (("all", "halt"), ("account:a", "halt"), ("all", "resume")):
        await controls.set_control(conn, scope, action, "api", None)
    assert {row["scope"]: row["action"] for row in await controls.standings(conn)} == {
        "all": "resume",
        "account:a": "halt",
    }


STATEMENTS = ["UPDATE controls SET action = 'resume'", "DELETE FROM controls", "TRUNCATE controls"]


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_rows_are_never_changed(conn: Conn, owner: Owner, statement: str) -> None:
    """Neither the service nor the owner changes or removes a row, and the service adds none past its function."""
    await controls.set_control(conn, "all", "halt", "api", None)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="append-only"):
        owner.execute(statement)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await conn.execute(statement)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await conn.execute("INSERT INTO controls (scope, action, actor) VALUES ('all', 'resume', 'me')")


async def test_names_are_known(conn: Conn, owner: Owner) -> None:
    """Accounts and strategies of the settings, of open tasks, of alerts and tokens; anything else is refused with what is near."""
    await enqueue(conn, account="queued")
    owner.execute(
        "INSERT INTO settings (kind, name, version, body, actor) VALUES ('account', 'topstep-1', 1, '{}', 'me'),"
        " ('strategy', 'Orb', 1, '{}', 'me')"
    )
    owner.execute("SELECT add_strategy_token('breakout', decode(repeat('00', 32), 'hex'))")
    for text, known in (
        ("all", "all"),
        ("account:queued", "account:queued"),
        ("account:topstep-1", "account:topstep-1"),
        ("strategy:ORB", "strategy:Orb"),
        ("strategy:breakout", "strategy:breakout"),
        ("account:filed", "account:filed"),
    ):
        assert await controls.known_scope(conn, text, "halt", accounts=["filed"]) == known
    for text, hint in (
        ("account:topstep1", "account:topstep-1"),
        ("account:Queued", "account:queued"),
        ("strategy:brekout", "strategy:breakout"),
        ("account:xyz", "queued"),
        ("everything", "account:NAME"),
        ("account:", "account:NAME"),
    ):
        with pytest.raises(ScopeWrong, match=hint):
            await controls.known_scope(conn, text, "halt")
