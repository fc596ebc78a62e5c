"""schemathesis against the document: no 5xx, and no answer that it does not describe, whatever is asked."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from eventrouter.store import access
from eventrouter.web.logins import hashed
from tests.history import enqueue, walk
from tests.web import documented
from tests.web.live_site import ENTRY, Site

Sql = psycopg.Connection[Any]
WITHIN_S = 110.0
EXAMPLES = 40
_ANSWERS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance"
)
_CHECKS = f"{_ANSWERS},negative_data_rejection,unsupported_method,ignored_auth"
_FEEDS = ("/api/events", "/ws")  # they never end; tests/web/test_feed.py has them
pytestmark = pytest.mark.timeout(150)


@pytest.fixture
async def furnished(site: Site, sql: Sql) -> Site:
    """A service with a signal of each kind, tasks in several statuses, a dead letter, a control; and a user, so that a login is needed."""
    token = await site.token()
    await site.alert(token, ENTRY)
    await site.alert(token, ENTRY)
    await site.alert(token, b"hello")
    for number, way in enumerate(((), ("SENDING", "FAILED"), ("SENDING", "UNKNOWN", "REVIEW"), ("SENDING", "SUCCESS"))):
        walk(sql, enqueue(sql, f"S-{number}", account="paper"), *way)
    await site.act("/api/flatten", {"scope": "account:paper"})
    async with await psycopg.AsyncConnection.connect(sql.info.dsn, autocommit=True) as conn:
        assert await access.add_user(conn, "ann", hashed("a horse that reads"), "operate")
    return site


async def _run(base: str, schema: Path, *more: str, checks: str = _CHECKS) -> str:
    """What schemathesis says; fails with it where it finds something."""
    excluded = [word for path in _FEEDS for word in ("--exclude-path", path)]
    phases = ["--phases", "examples,coverage,fuzzing", "--checks", checks, "--max-examples", str(EXAMPLES)]
    steady = ["--seed", "11", "--generation-deterministic", "--no-color"]
    command = ["-m", "schemathesis.cli", "run", str(schema), "--url", base, *phases, *steady, *excluded, *more]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=schema.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = said.decode("utf-8", "replace")
    assert process.returncode == 0, text[-12_000:]
    return text


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    """The document as a file."""
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(documented.whole()), "utf-8")
    return path


async def test_with_a_key_that_may_operate(furnished: Site, schema: Path, sql: Sql) -> None:
    """Everything may be asked and changed; the database is this test's own."""
    async with await psycopg.AsyncConnection.connect(sql.info.dsn, autocommit=True) as conn:
        key = await access.add_key(conn, "fuzz", "operate")
    bearer = ["-H", f"Authorization: Bearer {key}"]
    await _run(furnished.operator(""), schema, *bearer, "--exclude-path-regex", "^/webhook")
    assert _count(sql, "controls") > 3


@pytest.mark.parametrize("at", ["PENDING", "REVIEW", "SUCCESS"])
async def test_what_there_is(furnished: Site, schema: Path, sql: Sql, at: str) -> None:
    """The same at addresses of what is there: a signal, a control, a task that an action can concern."""
    async with await psycopg.AsyncConnection.connect(sql.info.dsn, autocommit=True) as conn:
        key = await access.add_key(conn, "fuzz", "operate")
    (task,) = sql.execute("SELECT max(id) FROM execution_tasks WHERE status = %s", (at,)).fetchone() or (0,)
    _fixed(schema, task_id=task, signal_id=1, control=1)
    before = _count(sql, "execution_logs")
    only = ["--include-path-regex", r"\{(task_id|signal_id|control)\}", "-H", f"Authorization: Bearer {key}"]
    await _run(furnished.operator(""), schema, *only)
    assert (_count(sql, "execution_logs") > before) is (at != "SUCCESS")


async def test_without_a_key(furnished: Site, schema: Path, sql: Sql) -> None:
    """Nobody is let in, and nothing is changed."""
    before = _count(sql, "controls"), _count(sql, "execution_logs")
    await _run(furnished.operator(""), schema, "--exclude-path-regex", "^/webhook", checks=_ANSWERS)
    assert (_count(sql, "controls"), _count(sql, "execution_logs")) == before


async def test_the_webhook(site: Site, schema: Path, sql: Sql) -> None:
    """The public listener: with a strategy's token in the address, with a wrong one, with none."""
    only = ["--include-path-regex", "^/webhook"]
    await _run(site.public(""), schema, *only, checks=_ANSWERS)
    assert _count(sql, "automated_signals") == 0
    _fixed(schema, token=await site.token())
    await _run(site.public(""), schema, *only, checks=_ANSWERS)
    assert _count(sql, "automated_signals") > 0


def _fixed(schema: Path, **values: str | int) -> None:
    """Variables of addresses that schemathesis is not to make up."""
    lines = [f'"path.{name}" = {json.dumps(value)}' for name, value in values.items()]
    schema.with_name("schemathesis.toml").write_text("\n".join(["[parameters]", *lines]), "utf-8")


def _count(sql: Sql, table: str) -> int:
    (count,) = sql.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
    return int(count)
