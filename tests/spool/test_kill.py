"""Real processes, killed at any moment: an alert that was answered 202 is stored once, in order, and nothing twice."""

import asyncio
import json
import random
import resource
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from eventrouter.errors import SpoolError
from eventrouter.spool import Spool
from eventrouter.store.connect import Database
from eventrouter.store.tokens import add_token
from tests.processes import address_of, environment, service, until
from tests.spool.conftest import Postgres
from tests.web.live_site import ENTRY

PADDING = " " * 20_000  # a body that fills segments quickly

SLOW_COMMITS = """
CREATE FUNCTION slowly() RETURNS TRIGGER LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END';
CREATE TRIGGER slowly AFTER INSERT ON automated_signals FOR EACH STATEMENT EXECUTE FUNCTION slowly();
"""


class Sender:
    """Sends entries of the trades T-0, T-1, …, one after the other, and remembers the answers."""

    def __init__(self, dsn: str) -> None:
        self._token = asyncio.run(_token(dsn))
        self.url = ""
        self.answers: dict[str, tuple[int, dict[str, Any]]] = {}

    def send(self) -> int:
        """The next answer's status; 0 when there was none."""
        trade_id = f"T-{len(self.answers)}"
        body = (json.dumps({**ENTRY, "trade_id": trade_id}) + PADDING).encode()
        self.answers[trade_id] = _post(f"{self.url}/webhook/{self._token}", body)
        return self.answers[trade_id][0]

    def answered(self, status: int) -> list[str]:
        """The trades whose alert got this answer, in order."""
        return [trade_id for trade_id, answer in self.answers.items() if answer[0] == status]


async def _token(dsn: str) -> str:
    async with await Database(dsn).connect("test") as conn:
        return await add_token(conn, "orb")


def _post(url: str, body: bytes) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
    except OSError:
        return 0, {}


def spooling(dsn: str, place: Path) -> dict[str, str]:
    """The environment of a service with a spool; it logs errors only."""
    settings = {"EVENTROUTER_SERVER__SPOOL": "true", "EVENTROUTER_SERVER__SPOOL_DIR": str(place)}
    return environment(dsn, **settings, EVENTROUTER_LOGS__LEVEL="error")


def stored(dsn: str) -> list[tuple[str, str]]:
    """Uid and trade of every signal, in order of storing."""
    with psycopg.connect(dsn) as conn:
        rows = conn.execute("SELECT signal_uid::TEXT, trade_id FROM automated_signals ORDER BY id").fetchall()
        tasks = conn.execute("SELECT trade_id FROM execution_tasks ORDER BY id").fetchall()
    assert [trade for (trade,) in tasks] == [trade for _, trade in rows], "a signal without its one task"
    return rows


def segments(place: Path) -> list[str]:
    """The names of the segments on disk."""
    return sorted(path.name for path in place.rglob("*.spool"))


def _committing(conn: psycopg.Connection[Any]) -> Callable[[], bool]:
    busy = "SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%%ingest_signals(%%' AND pid <> pg_backend_pid()"
    return lambda: conn.execute(busy).rowcount > 0


def _grown(conn: psycopg.Connection[Any]) -> Callable[[], bool]:
    count = "SELECT count(*) FROM automated_signals"
    before = conn.execute(count).fetchone()
    return lambda: conn.execute(count).fetchone() != before


def test_sigkill_at_any_moment_loses_nothing_and_stores_nothing_twice(
    dsn: str, postgres: Postgres, tmp_path: Path
) -> None:
    """Killed while it spools, in the middle of a drain's commit, and right after one."""
    place, log = tmp_path / "spool", tmp_path / "log"
    env = spooling(dsn, place)
    sender = Sender(dsn)
    chance = random.Random(7)
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(SLOW_COMMITS)
    with service("ingress", env=env, log=log) as process:
        sender.url = f"http://{address_of(log, 'Alerts')}"
        assert sender.send() == 200
        postgres.stop()
        database = next(place.iterdir()).name
        with pytest.raises(SpoolError, match="another process"):
            Spool(place, database)
        killer = subprocess.Popen([sys.executable, "-c", f"import time, os; time.sleep(2); os.kill({process.pid}, 9)"])
        while sender.send() == 202:
            pass
        assert killer.wait(10) == 0
    kept = sender.answered(202)
    assert len(kept) > 100
    assert list(sender.answers.values())[-1][0] == 0
    left = [segments(place)]
    assert len(left[0]) > 1
    postgres.start()
    with psycopg.connect(dsn, autocommit=True) as owner:
        for moment in (_committing, _grown, _committing, _grown):
            with service("ingress", env=env, log=log) as process:
                until(moment(owner), what="a commit of spooled alerts")
                time.sleep(chance.uniform(0, 0.1))
                process.send_signal(signal.SIGKILL)
            left.append(segments(place))
    assert left[-1] != [], "everything was stored before the last kill: the test tested nothing"
    with service("ingress", env=env, log=log):
        until(lambda: segments(place) == [], what="the spool's end")
    rows = stored(dsn)
    uids = {trade_id: answer["signal_uid"] for trade_id, (status, answer) in sender.answers.items() if status == 202}
    assert {trade_id: uid for uid, trade_id in rows if trade_id in uids} == uids
    unanswered = sender.answered(0)
    assert [trade_id for _, trade_id in rows] in (["T-0", *kept], ["T-0", *kept, *unanswered])


def test_a_full_disk_is_answered_503_and_costs_nothing_that_was_kept(
    dsn: str, postgres: Postgres, tmp_path: Path
) -> None:
    """The kernel refuses to let a file grow, in the middle of a line: that alert is not kept, and its half is gone."""
    place, log = tmp_path / "spool", tmp_path / "log"
    sender = Sender(dsn)
    with service("ingress", env=spooling(dsn, place), log=log) as process:
        sender.url = f"http://{address_of(log, 'Alerts')}"
        assert sender.send() == 200
        postgres.stop()
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (70_000, resource.RLIM_INFINITY))
        statuses = [sender.send() for _ in range(8)]
        assert set(statuses) == {202, 503}
        assert {answer["code"] for status, answer in sender.answers.values() if status == 503} == {"SPOOL_FULL"}
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert sender.send() == 202
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert all(path.read_bytes().endswith(b"}\n") for path in place.rglob("*.spool"))
    postgres.start()
    with service("ingress", env=spooling(dsn, place), log=log):
        until(lambda: segments(place) == [], what="the spool's end")
    assert [trade_id for _, trade_id in stored(dsn)] == ["T-0", *sender.answered(202)]
    assert [path.name for path in next(place.iterdir()).iterdir()] == ["lock"]
