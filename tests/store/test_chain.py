"""Tamper evidence: whatever a superuser changes behind the guards in rows, heads and seals is found and named."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg
import pytest

from eventrouter.domain.chain import Seal, seal_of
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.sealing import keep_sealing
from eventrouter.store.chain import ChainReport, _task_rows, seal, verify_chain
from eventrouter.store.connect import Conn, Database, Pool
from eventrouter.store.migrate import migrate
from eventrouter.store.tasks import append
from tests.processes import until_async
from tests.store.stored_task import bring, enqueue, insert, move, value

Owner = psycopg.Connection[Any]

HALT = "SELECT set_control('all', %s, 'me', 'a test')"
BOOK = "SELECT append_account_log('me', 'dry', '{a,a}', %s, '{X,Y}', '{one,two}', '{NULL,NULL}', ARRAY['{}', '{\"n\": 1.50}'])"


@pytest.fixture
async def sealed(dsn: str) -> AsyncIterator[Conn]:
    """Three tasks, an account's log and two controls under two seals; then a task that is not sealed yet."""
    database = Database(dsn)
    async with await database.connect("test") as conn, database.pool("test") as pool:
        await insert(conn)
        await bring(conn, await enqueue(conn), "SENDING")
        await conn.execute(HALT, ("halt",))
        await conn.execute(BOOK, ([0, 1],))
        assert await seal(pool) == 1
        await move(conn, 2, "SUCCESS")
        await bring(conn, await enqueue(conn, symbol="CL"), "DENIED")
        await conn.execute(HALT, ("resume",))
        await conn.execute(BOOK, ([2, 3],))
        assert await seal(pool) == 2
        await insert(conn)
        yield conn


@pytest.fixture
def vandal(dsn: str) -> Iterator[Owner]:
    """A superuser's connection to the same database, past every guard."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SET session_replication_role = replica")
        yield conn


async def test_what_nobody_touched_is_clean(sealed: Conn) -> None:
    """Rows of every writer are chained: the plain INSERT, the functions, the router's batches; all of it is counted."""
    report = await verify_chain(sealed)
    assert report.violations == []
    assert (report.rows, report.seals, report.not_sealed) == (1 + 3 + 2 + 1 + 4 + 2, 2, 1)
    assert report.heads == (2 + 1 + 1) + (2 + 1 + 1)
    assert report.latest is not None
    assert seal_of(report.latest.exported()) == report.latest


TAMPERED = [
    *(
        ("row_changed", f"UPDATE execution_logs SET {change} WHERE task_id = 2 AND seq = 2")
        for change in (
            "message = 'another'",
            "message = NULL",
            "actor = 'somebody'",
            "reason = 'OTHER'",
            "attempt = 2",
            "prev_status = 'HELD'",
            "status = 'UNKNOWN'",
            "response_code = 200",
            "response_body = ''",
            "response_raw = ''",
            "detail = '{\"a\": 1}'",
            "run_at = now()",
            "lease_until = lease_until + interval '1 microsecond'",
            "created_at = created_at - interval '1 microsecond'",
            "hash = sha256('')",
        )
    ),
    ("row_missing", "DELETE FROM execution_logs WHERE task_id = 2 AND seq = 2"),
    ("row_missing", "DELETE FROM execution_logs WHERE task_id = 2 AND seq = 1"),
    ("head_astray", "DELETE FROM execution_logs WHERE task_id = 2 AND seq = 3"),
    ("head_astray", "DELETE FROM execution_logs WHERE task_id = 2"),
    ("head_astray", "UPDATE execution_tasks SET head = NULL WHERE id = 2"),
    ("head_astray", "UPDATE execution_tasks SET version = 2 WHERE id = 2"),
    # the last row removed, and the task made to look as if it had never been there
    ("sealed_row_gone", "DELETE FROM execution_logs WHERE task_id = 2 AND seq = 3;"
                        "UPDATE execution_tasks t SET version = 2, status = 'SENDING', lease_until = l.lease_until, head = l.hash"
                        " FROM execution_logs l WHERE l.task_id = 2 AND l.seq = 2 AND t.id = 2"),
    ("sealed_row_gone", "DELETE FROM execution_logs WHERE task_id = 2; DELETE FROM execution_tasks WHERE id = 2"),
    # removed, and those after it moved up
    ("row_changed", "DELETE FROM execution_logs WHERE task_id = 2 AND seq = 2;"
                    "UPDATE execution_logs SET seq = 2 WHERE task_id = 2 AND seq = 3"),
    # put there: at the end, and in between
    ("row_changed", "INSERT INTO execution_logs (task_id, seq, prev_status, status, attempt, actor, reason, hash)"
                    " SELECT task_id, 4, 'SUCCESS', 'SUCCESS', attempt, 'me', 'R', hash FROM execution_logs WHERE task_id = 2 AND seq = 3"),
    ("row_changed", "UPDATE execution_logs SET seq = 4 WHERE task_id = 2 AND seq = 3;"
                    "INSERT INTO execution_logs (task_id, seq, prev_status, status, attempt, actor, reason, hash)"
                    " SELECT task_id, 3, 'SENDING', 'SENDING', attempt, 'me', 'R', hash FROM execution_logs WHERE task_id = 2 AND seq = 2"),
    # two rows swapped
    ("row_changed", "UPDATE execution_logs SET seq = 9 WHERE task_id = 2 AND seq = 2;"
                    "UPDATE execution_logs SET seq = 2, prev_status = 'PENDING' WHERE task_id = 2 AND seq = 3;"
                    "UPDATE execution_logs SET seq = 3 WHERE task_id = 2 AND seq = 9"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "tampering"), TAMPERED)
async def test_a_tampered_log_is_found(sealed: Conn, vandal: Owner, rule: str, tampering: str) -> None:
    """Rows that were edited, removed, put there or swapped are found, and the tasks that nobody touched are not accused."""
    vandal.execute(
        "ALTER TABLE execution_logs DROP CONSTRAINT execution_logs_legal, DROP CONSTRAINT execution_logs_leased"
    )
    vandal.execute(tampering)
    report = await verify_chain(sealed)
    assert rule in {violation.rule for violation in report.violations}
    assert {violation.task_id for violation in report.violations} == {2}


BESIDE = [
    ("row_changed", "UPDATE account_log SET state = '{}' WHERE seq = 2"),
    ("row_changed", "UPDATE account_log SET account = 'b' WHERE seq = 1"),
    ("row_missing", "DELETE FROM account_log WHERE seq = 3"),
    ("sealed_row_gone", "DELETE FROM account_log WHERE seq = 4"),
    ("row_changed", "UPDATE controls SET action = 'resume' WHERE id = 1"),
    ("row_changed", "DELETE FROM controls WHERE id = 1"),
    ("sealed_row_gone", "DELETE FROM controls WHERE id = 2"),
    ("row_changed", "INSERT INTO controls (scope, action, actor, hash) VALUES ('all', 'resume', 'me', sha256(''))"),
    ("seal_changed", "UPDATE seals SET made_at = made_at - interval '1 minute' WHERE id = 1"),
    ("seal_changed", "UPDATE seals SET heads = heads + 1 WHERE id = 2"),
    ("seal_changed", "UPDATE seals SET to_xid = '1' WHERE id = 1"),
    ("seal_changed", "UPDATE seals SET hash = sha256('') WHERE id = 1"),
    ("seal_changed", "UPDATE seals SET previous = sha256('') WHERE id = 2"),
    ("seal_missing", "DELETE FROM seals WHERE id = 1"),
    ("seal_missing", "DELETE FROM seals WHERE id = 2"),
    ("seal_missing", "DELETE FROM seals WHERE id = 1; DELETE FROM sealed_heads WHERE seal_id = 1"),
    ("seal_missing", "UPDATE seals SET id = 3 WHERE id = 2"),
    ("seal_changed", "DELETE FROM sealed_heads WHERE seal_id = 1 AND kind = 'task' AND name = '2'"),
    ("seal_changed", "DELETE FROM sealed_heads WHERE seal_id = 2"),
    ("seal_changed", "UPDATE sealed_heads SET name = 'x' WHERE name = '2' AND seal_id = 1"),
    ("sealed_row_changed", "UPDATE sealed_heads SET hash = sha256('') WHERE name = '2' AND seal_id = 1"),
    ("seal_changed", "INSERT INTO sealed_heads SELECT seal_id, kind, '4', 1, hash FROM sealed_heads WHERE name = '2' AND seal_id = 1"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "tampering"), BESIDE)
async def test_tampered_seals_accounts_and_controls_are_found(
    sealed: Conn, vandal: Owner, rule: str, tampering: str
) -> None:
    """So are changes of accounts' logs, of controls, and of the seals themselves."""
    vandal.execute(tampering)
    report = await verify_chain(sealed)
    assert rule in {violation.rule for violation in report.violations}
    assert all(violation.detail for violation in report.violations)


def hash_anew(vandal: Owner, seq: int) -> None:
    """Has the database compute the hash of a row of task 2 again, by putting the row there once more."""
    vandal.execute("ALTER TABLE execution_logs ENABLE ALWAYS TRIGGER execution_logs_chain")
    vandal.execute("CREATE TEMP TABLE moved AS SELECT * FROM execution_logs WHERE task_id = 2 AND seq = %s", (seq,))
    vandal.execute("DELETE FROM execution_logs WHERE task_id = 2 AND seq = %s", (seq,))
    vandal.execute("INSERT INTO execution_logs OVERRIDING SYSTEM VALUE SELECT * FROM moved")
    vandal.execute("DROP TABLE moved")


async def test_a_row_hashed_again_breaks_the_one_after_it(sealed: Conn, vandal: Owner) -> None:
    """Whoever computes a changed row's hash again, and leaves the rows after it, is found at the next one."""
    vandal.execute("UPDATE execution_logs SET actor = 'somebody' WHERE task_id = 2 AND seq = 1")
    hash_anew(vandal, 1)
    report = await verify_chain(sealed)
    assert [(each.task_id, each.rule) for each in report.violations] == [(2, "row_changed")]
    assert "row 2" in report.violations[0].detail


async def forge(conn: Conn, vandal: Owner) -> None:
    """Changes a row of task 2 and computes every hash of the task again, as somebody who has read this code would."""
    vandal.execute("UPDATE execution_logs SET actor = 'somebody' WHERE task_id = 2 AND seq = 2")
    for seq in (2, 3):
        hash_anew(vandal, seq)
    statement = (
        "UPDATE execution_tasks SET head = (SELECT hash FROM execution_logs WHERE task_id = 2 AND seq = 3) WHERE id = 2"
    )
    vandal.execute(statement)
    assert not [each for each in (await verify_chain(conn)).violations if each.rule in ("row_changed", "head_astray")]


async def test_a_chain_computed_again_is_not_the_sealed_one(sealed: Conn, vandal: Owner) -> None:
    """Whoever changes a row and computes all hashes of its task again is found by the seals."""
    await forge(sealed, vandal)
    report = await verify_chain(sealed)
    assert {(each.task_id, each.rule) for each in report.violations} == {(2, "sealed_row_changed")}


async def test_seals_made_again_are_not_the_exported_one(sealed: Conn, vandal: Owner, pool_of_it: Pool) -> None:
    """Whoever makes the seals again as well is found by a seal that was kept elsewhere, and by nothing else."""
    kept = (await verify_chain(sealed)).latest
    assert kept is not None
    assert (await verify_chain(sealed, kept)).violations == []
    await forge(sealed, vandal)
    vandal.execute("DELETE FROM seals; DELETE FROM sealed_heads")
    assert await seal(pool_of_it) == 1
    assert (await verify_chain(sealed)).violations == []
    assert [each.rule for each in (await verify_chain(sealed, kept)).violations] == ["seal_missing"]
    await move(sealed, 1, "DENIED")
    assert await seal(pool_of_it) == 2
    assert [each.rule for each in (await verify_chain(sealed, kept)).violations] == ["seal_not_the_exported"]


async def test_the_last_seals_removed_with_what_came_after(sealed: Conn, vandal: Owner) -> None:
    """History cut off at a seal looks whole; a seal that was exported later shows the cut."""
    kept = (await verify_chain(sealed)).latest
    vandal.execute(
        "DELETE FROM seals WHERE id = 2; DELETE FROM sealed_heads WHERE seal_id = 2; DELETE FROM account_log WHERE seq > 2;"
        "DELETE FROM controls WHERE id = 2; DELETE FROM execution_logs WHERE task_id > 2 OR task_id = 2 AND seq = 3;"
        "DELETE FROM execution_tasks WHERE id > 2; UPDATE execution_tasks t SET version = 2, status = 'SENDING',"
        " lease_until = l.lease_until, head = l.hash FROM execution_logs l WHERE l.task_id = 2 AND l.seq = 2 AND t.id = 2"
    )
    assert (await verify_chain(sealed)).violations == []
    assert [each.rule for each in (await verify_chain(sealed, kept)).violations] == ["seal_missing"]


@pytest.fixture
async def pool_of_it(dsn: str) -> AsyncIterator[Pool]:
    """The service's pool on the same database."""
    async with Database(dsn).pool("test") as opened:
        yield opened


@pytest.fixture
async def pool_of_any(any_dsn: str) -> AsyncIterator[Pool]:
    """The service's pool on each server in turn."""
    async with Database(any_dsn).pool("test") as opened:
        yield opened


ODD = "".join(map(chr, range(1, 32))) + '"\\/\x7f\x80\u2028é\U0001f600 '
DETAILS = [
    '{"b": 1.50, "a": {"z": [], "y": null}, "aa": true, "a": 2}',
    '{"n": 1e5000}',
    '{"": "\\u0001é\\"\\\\"}',
    "[]",
]


async def test_python_and_the_database_compute_the_same(conn: Conn) -> None:
    """Whatever text, bytes, numbers and JSON a row holds, in whatever time zone and date style it is written."""
    task_id = await enqueue(conn)
    await conn.execute("SELECT set_config('timezone', 'Asia/Kolkata', false), set_config('datestyle', 'German', false)")
    call = (
        "SELECT append_log(%s, false, ARRAY[%s], ARRAY[%s], '{PENDING}', ARRAY[%s], ARRAY[%s], '{503}', ARRAY[%s], ARRAY[%s::BYTEA],"
        " ARRAY[%s], '{1.5}', '{NULL}')"
    )
    for number, detail in enumerate(DETAILS):
        values = (ODD, task_id, 1 + number, ODD, ODD, ODD, bytes(range(256)), detail)
        assert (await conn.execute(call, values)).rowcount == 1
    await conn.execute("SELECT set_config('timezone', 'UTC', false)")
    report = await verify_chain(conn)
    assert (report.rows, report.violations) == (1 + len(DETAILS), [])
    async with conn.transaction():
        assert [row.values[2] async for row in _task_rows(conn)] == [None, *["PENDING"] * len(DETAILS)]


async def test_nobody_leaves_the_hash_out(conn: Conn, owner: Owner) -> None:
    """A hash that somebody gives to a row is not taken; a batch of many tasks is chained row by row."""
    tasks = [await enqueue(conn, trade=f"T{number}") for number in range(20)]
    for version in (1, 2, 3):
        await append(conn, "test", [LogEntry(each, version, Status.PENDING, "AGAIN") for each in tasks])
    owner.execute(
        "INSERT INTO execution_logs (task_id, seq, prev_status, status, attempt, actor, reason, hash)"
        " SELECT id, 5, 'PENDING', 'PENDING', 0, 'me', 'R', sha256('mine') FROM execution_tasks"
    )
    report = await verify_chain(conn)
    assert (report.rows, report.violations) == (100, [])


async def test_seals_hold_what_changed(conn: Conn, pool_of_any: Pool) -> None:
    """Each seal holds the heads that changed since the one before; where nothing did, there is none."""
    assert await seal(pool_of_any) is None
    first, second = await insert(conn), await enqueue(conn)
    assert await seal(pool_of_any) == 1
    assert await seal(pool_of_any) is None
    await move(conn, second, "SENDING", "SUCCESS")
    assert await seal(pool_of_any) == 2
    rows = await conn.execute("SELECT seal_id, name, seq FROM sealed_heads ORDER BY seal_id, name")
    assert await rows.fetchall() == [(1, str(first), 1), (1, str(second), 1), (2, str(second), 3)]


async def test_a_transaction_that_commits_late_is_sealed(conn: Conn, owner: Owner, pool_of_any: Pool) -> None:
    """What began before a seal and was committed after it is in the next one; nothing slips between two seals."""
    await insert(conn)
    assert await seal(pool_of_any) == 1
    with owner.transaction():
        owner.execute("INSERT INTO execution_tasks (trade_id, event_type) VALUES ('late', 'ENTRY')")
        after = await insert(conn, "after")
        await seal(pool_of_any)
    await seal(pool_of_any)
    sealed_tasks = await value(conn, "SELECT array_agg(DISTINCT name::int ORDER BY name::int) FROM sealed_heads")
    assert sealed_tasks == list(range(1, after + 1))
    assert (await verify_chain(conn)).not_sealed == 0


async def test_one_process_seals_at_a_time(conn: Conn, owner: Owner, pool_of_any: Pool) -> None:
    """Who finds another one sealing does not wait, and the chain has one seal."""
    await insert(conn)
    with owner.transaction():
        assert owner.execute("SELECT seal_history()").fetchone() == (1,)
        assert await seal(pool_of_any) is None
    assert await seal(pool_of_any) is None
    assert (await verify_chain(conn)).violations == []


async def test_a_restored_database_is_sealed_anew(conn: Conn, owner: Owner, pool_of_any: Pool) -> None:
    """In a cluster whose transaction ids are lower than the last seal's, everything is sealed again and nothing is missed."""
    first = await insert(conn)
    assert await seal(pool_of_any) == 1
    report = await verify_chain(conn)
    assert report.latest is not None
    ahead = replace(report.latest, to_xid="999999999999")
    owner.execute("SET session_replication_role = replica")
    owner.execute("UPDATE seals SET to_xid = '999999999999', hash = %s", (ahead.computed(),))
    second = await insert(conn)
    assert await seal(pool_of_any) == 2
    rows = await conn.execute("SELECT name::int FROM sealed_heads WHERE seal_id = 2 ORDER BY 1")
    assert await rows.fetchall() == [(first,), (second,)]
    assert (await verify_chain(conn)).violations == []


async def test_the_migration_chains_what_stands(sealed: Conn, vandal: Owner, dsn: str) -> None:
    """History of before the chains is chained as if it had always been."""
    before = await (await sealed.execute("SELECT hash FROM execution_logs ORDER BY id")).fetchall()
    vandal.execute(
        "ALTER TABLE execution_logs DROP COLUMN hash; ALTER TABLE account_log DROP COLUMN hash; ALTER TABLE controls DROP COLUMN hash;"
        "ALTER TABLE execution_tasks DROP COLUMN head; DROP TABLE seals, sealed_heads;"
        "DROP FUNCTION seal_history; DELETE FROM schema_migrations WHERE name = '0012_chain'"
    )
    assert "0012_chain" in migrate(dsn).applied
    assert await (await sealed.execute("SELECT hash FROM execution_logs ORDER BY id")).fetchall() == before
    await move(sealed, 1, "DENIED")
    await sealed.execute(HALT, ("halt",))
    await sealed.execute(BOOK, ([4, 5],))
    report = await verify_chain(sealed)
    assert (report.rows, report.seals, report.violations) == (13 + 1 + 1 + 2, 0, [])


async def seals_are(conn: Conn, number: int) -> bool:
    """Whether the latest seal has this number."""
    return bool(await value(conn, "SELECT max(id) FROM seals") == number)


async def test_a_running_service_seals(conn: Conn, pool_of_any: Pool) -> None:
    """The loop seals at once and again, whatever Postgres does meanwhile."""
    sealing = asyncio.create_task(keep_sealing(pool_of_any, every_s=0.02))
    try:
        for number in (1, 2):
            await insert(conn)
            assert await until_async(partial(seals_are, conn, number), what=f"seal {number}")
        assert not sealing.done()
    finally:
        sealing.cancel()
        await asyncio.gather(sealing, return_exceptions=True)


@pytest.mark.parametrize(
    "change",
    [{"format": "x"}, {"id": 2}, {"id": "x"}, {"hash": "00"}, {"digest": "zz"}, {"heads": None}, {"made_at_us": 5}],
)
async def test_a_changed_export_is_refused(sealed: Conn, change: dict[str, Any]) -> None:
    """A file that is no seal, or was changed since, is refused instead of compared."""
    latest = (await verify_chain(sealed)).latest
    assert isinstance(latest, Seal)
    with pytest.raises(ValueError, match=r"."):
        seal_of({**latest.exported(), "id": 1, **change} if change != {"id": 2} else {**latest.exported(), "id": 9})


def test_violations_are_listed_to_a_limit() -> None:
    """A database that is wrong everywhere does not fill the memory."""
    report = ChainReport()
    for _ in range(5000):
        report.found(1, "row_changed", "")
    assert len(report.violations) == 1000
