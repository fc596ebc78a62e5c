"""Real router processes, several on one database, killed, frozen and stopped while they work."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.processes import address_of, until
from tests.router.fleet import (
    Owner,
    all_done,
    caught_sending,
    feed,
    feeding,
    is_up,
    number,
    router,
    violations,
)

NOT_ONCE = """
SELECT count(*) FROM (
    SELECT t.attempts, count(*) FILTER (WHERE l.status = 'SENDING') AS sending,
           count(*) FILTER (WHERE l.status = 'SUCCESS') AS success
    FROM execution_tasks t
    JOIN execution_logs l ON l.task_id = t.id AND l.status IS DISTINCT FROM l.prev_status
    GROUP BY t.id
) x WHERE sending <> attempts OR success <> 1
"""
OUT_OF_ORDER = """
SELECT count(*) FROM (
    SELECT s.id, s.actor, d.id AS done, lag(s.id) OVER lane AS sent_before, lag(d.id) OVER lane AS done_before,
           lag(s.actor) OVER lane AS actor_before
    FROM execution_tasks t
    JOIN execution_logs s ON s.task_id = t.id AND s.status = 'SENDING'
    JOIN execution_logs d ON d.task_id = t.id AND d.status = 'SUCCESS' AND d.prev_status <> 'SUCCESS'
    WINDOW lane AS (PARTITION BY t.lane ORDER BY t.id)
) x WHERE id < sent_before OR done < done_before OR (actor <> actor_before AND id < done_before)
"""
HOLES = """
SELECT count(*) FROM (
    SELECT task_id FROM execution_logs GROUP BY task_id HAVING max(seq) <> count(*) OR min(seq) <> 1
) x
"""


@pytest.fixture
def boss(dsn: str) -> Iterator[Owner]:
    """The owner's connection to `dsn`, in autocommit."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        yield conn


def test_two_routers_share_the_work_and_keep_every_lanes_order(dsn: str, boss: Owner, tmp_path: Path) -> None:
    """2,000 tasks in 40 lanes: each is sent once and done once, each lane in order, by both routers."""
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    with router(dsn, logs[0]), router(dsn, logs[1]):
        for log in logs:
            is_up(log)
        for first in range(0, 2000, 200):
            feed(boss, first, 200)
        all_done(boss, 2000)
    assert number(boss, "SELECT count(DISTINCT lane) FROM execution_tasks") == 40
    assert number(boss, "SELECT max(attempts) FROM execution_tasks") == 1
    assert number(boss, NOT_ONCE) == 0
    assert number(boss, OUT_OF_ORDER) == 0
    assert number(boss, "SELECT count(DISTINCT actor) FROM execution_logs WHERE status = 'SENDING'") == 2
    assert violations(dsn) == []


def test_a_router_killed_again_and_again_loses_and_repeats_nothing(dsn: str, boss: Owner, tmp_path: Path) -> None:
    """Killed eight times with orders in flight while another one goes on: one SENDING a try, one SUCCESS a task, no holes."""
    interrupted: set[int] = set()
    with router(dsn, tmp_path / "steady.log", lease_s=1), feeding(dsn) as feeder:
        is_up(tmp_path / "steady.log")
        for kill in range(8):
            log = tmp_path / f"victim{kill}.log"
            with router(dsn, log, lease_s=1) as victim, caught_sending(dsn, victim.pid) as ids:
                victim.send_signal(signal.SIGKILL)
                victim.wait()
                interrupted.update(ids)
        until(lambda: feeder.fed >= 1500, what="1,500 tasks")
        all_done(boss, feeder.stop())
    tries = "SELECT min(attempts) FROM execution_tasks WHERE id = ANY (%(ids)s)"
    assert number(boss, tries, {"ids": list(interrupted)}) >= 2
    assert number(boss, NOT_ONCE) == 0
    assert number(boss, HOLES) == 0
    assert violations(dsn) == []


@pytest.mark.parametrize(("half", "number_"), [("run", signal.SIGTERM), ("router", signal.SIGINT)])
def test_a_signal_drains_and_ends(dsn: str, boss: Owner, tmp_path: Path, half: str, number_: signal.Signals) -> None:
    """SIGTERM or Ctrl-C with orders in flight: their outcomes are recorded, the status is 0, no session is left."""
    log = tmp_path / "service.log"
    with router(dsn, log, half=half) as process, feeding(dsn):
        with caught_sending(dsn, process.pid) as ids:
            address = address_of(log)
            process.send_signal(number_)
            until(lambda: not _listens(address), what="a closed door")
        assert process.wait(30) == 0
    states = "SELECT count(*) FROM execution_tasks WHERE status = 'SUCCESS' AND attempts = 1 AND id = ANY (%(ids)s)"
    assert number(boss, states, {"ids": ids}) == len(ids)
    assert number(boss, "SELECT count(*) FROM execution_tasks WHERE status = 'SENDING'") == 0
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    until(lambda: number(boss, sessions) == 0, within_s=15, what="no session")


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port))).close()
    except ConnectionRefusedError:
        return False
    except ConnectionResetError:
        return True  # the door closed on this very connection; the next one is refused
    return True


def test_a_frozen_router_that_thaws_changes_nothing(dsn: str, boss: Owner, tmp_path: Path) -> None:
    """Frozen with orders in flight, another one recovers them after the lease; what the first then says is evidence."""
    with router(dsn, tmp_path / "frozen.log", lease_s=1) as frozen, feeding(dsn) as feeder:
        with caught_sending(dsn, frozen.pid) as ids:
            frozen.send_signal(signal.SIGSTOP)
        with router(dsn, tmp_path / "other.log", lease_s=1):
            all_done(boss, feeder.stop())
            frozen.send_signal(signal.SIGCONT)
            late = "SELECT count(*) FROM execution_logs WHERE reason = 'LATE_ANSWER' AND task_id = ANY (%(ids)s)"
            until(lambda: number(boss, late, {"ids": ids}) == len(ids), what="the late answers")
    assert number(boss, NOT_ONCE) == 0
    assert violations(dsn) == []
