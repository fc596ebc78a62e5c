"""`verify` finds what was sent though it was forbidden, and answers that are not their sender's."""

from typing import Any

import psycopg
import pytest

from eventrouter.store.connect import Conn
from eventrouter.store.history import verify
from tests.history import enqueue, walk


async def rules(conn: Conn) -> list[str]:
    """What verify finds."""
    return [found.rule for found in (await verify(conn)).violations]


@pytest.mark.parametrize("scope", ["all", "account:paper"])
async def test_sent_while_halted(owner: psycopg.Connection[Any], conn: Conn, scope: str) -> None:
    """An entry's intent after a halt and before the resume; one of before, and one of after, are not meant."""
    before, between, after = (enqueue(owner, f"T{n}") for n in range(3))
    walk(owner, before, "SENDING")
    owner.execute("SELECT set_control(%s, 'halt', 'test', 'why')", (scope,))
    assert await rules(conn) == []
    walk(owner, between, "SENDING")
    owner.execute("SELECT set_control(%s, 'resume', 'test', 'why')", (scope,))
    walk(owner, after, "SENDING")
    found = (await verify(conn)).violations
    assert [(each.task_id, each.rule) for each in found] == [(between, "sent_while_halted")]


async def test_a_halt_of_somebody_else(owner: psycopg.Connection[Any], conn: Conn) -> None:
    """Another account's halt forbids nothing here, and no halt forbids an exit."""
    owner.execute("SELECT set_control('account:other', 'halt', 'test', 'why')")
    walk(owner, enqueue(owner, "T1"), "SENDING")
    owner.execute("SELECT set_control('all', 'halt', 'test', 'why')")
    walk(owner, enqueue(owner, "T1", event_type="EXIT"), "SENDING")
    assert await rules(conn) == []


async def test_an_answer_of_somebody_else(owner: psycopg.Connection[Any], conn: Conn) -> None:
    """An outcome stands in the log under another name than its attempt."""
    task = enqueue(owner, "T1")
    walk(owner, task, "SENDING")
    owner.execute(
        "SELECT append_log('stranger', false, ARRAY[t.id], ARRAY[t.version], ARRAY['SUCCESS'], ARRAY['DONE'], ARRAY[NULL],"
        " ARRAY[NULL::INTEGER], ARRAY[NULL], ARRAY[NULL::BYTEA], ARRAY[NULL], ARRAY[NULL::FLOAT8], ARRAY[NULL::FLOAT8])"
        " FROM execution_tasks t WHERE t.id = %s",
        (task,),
    )
    assert await rules(conn) == ["not_the_senders_answer"]


async def test_sent_too_old(owner: psycopg.Connection[Any], conn: Conn) -> None:
    """An entry's intent long after the time that its rows say; the superuser puts that time there behind the guard's back."""
    task = enqueue(owner, "T1")
    walk(owner, task, "SENDING")
    owner.execute("SET session_replication_role = replica")
    owner.execute(
        "UPDATE execution_logs SET detail = detail || jsonb_build_object('expires_at', clock_timestamp() - interval '1 minute')"
        " WHERE task_id = %s AND seq = 1",
        (task,),
    )
    owner.execute("SET session_replication_role = origin")
    assert "sent_too_old" in await rules(conn)
