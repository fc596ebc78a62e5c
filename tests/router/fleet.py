"""Router processes on one database, work for them, and the moment when they have orders in flight."""

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.processes import address_of, command, environment, service, until

ACCOUNTS = [f"account{n}" for n in range(8)]
SYMBOLS = ["NQ", "ES", "CL", "GC", "RTY"]
Owner = psycopg.Connection[Any]


def router(
    dsn: str, log: Path, *, half: str = "router", lease_s: int = 30
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """A process that routes for eight accounts: a router, or a whole service."""
    accounts = json.dumps([{"name": name} for name in ACCOUNTS])
    env = environment(dsn, EVENTROUTER_ROUTER__LEASE=str(lease_s), EVENTROUTER_ACCOUNTS=accounts)
    return service(half, env=env, log=log)


def is_up(log: Path) -> None:
    """Returns once the process that writes this log has announced itself and hears notifications."""
    address_of(log)
    until(lambda: "listener_up" in log.read_text(), what=f"the listener of {log.name}")


def feed(owner: Owner, first: int, count: int) -> None:
    """Enqueues the trades t<first> and so on in one transaction, one lane after the other."""
    owner.execute(
        "SELECT enqueue_execution_task('t' || n, 'ENTRY', jsonb_build_object('symbol', (%s::TEXT[])[1 + n %% 5]),"
        " (%s::TEXT[])[1 + n / 5 %% 8]) FROM generate_series(%s::INTEGER, %s) n ORDER BY n",
        (SYMBOLS, ACCOUNTS, first, first + count - 1),
    )


class Feeder(threading.Thread):
    """Feeds ten tasks twenty times a second until it is told to stop; `fed` is how many there were."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self.fed = 0
        self._dsn = dsn
        self._ending = threading.Event()

    def run(self) -> None:
        """The thread."""
        with psycopg.connect(self._dsn, autocommit=True) as owner:
            while not self._ending.wait(0.05):
                feed(owner, self.fed, 10)
                self.fed += 10

    def stop(self) -> int:
        """Ends the thread."""
        self._ending.set()
        self.join()
        return self.fed


@contextmanager
def feeding(dsn: str) -> Iterator[Feeder]:
    """Feeds the database for as long as the block runs, or until `stop`."""
    feeder = Feeder(dsn)
    feeder.start()
    try:
        yield feeder
    finally:
        feeder.stop()


def all_done(owner: Owner, count: int) -> None:
    """Returns once so many tasks are SUCCESS, and no other task is left."""
    until(
        lambda: number(owner, "SELECT count(*) FROM execution_tasks WHERE status = 'SUCCESS'") == count, what="the end"
    )
    assert number(owner, "SELECT count(*) FROM execution_tasks") == count


def number(owner: Owner, query: str, values: Mapping[str, Any] | None = None) -> int:
    """The one number that a query answers."""
    row = owner.execute(query, values).fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def caught_sending(dsn: str, pid: int) -> Iterator[list[int]]:
    """Inside the block that process has tasks in SENDING (these ids) and nobody can append to the log."""
    sending = "SELECT id FROM execution_tasks WHERE status = 'SENDING' AND worker LIKE %s ORDER BY id"
    with psycopg.connect(dsn) as conn:

        def caught() -> list[int]:
            conn.execute("LOCK TABLE execution_logs IN SHARE ROW EXCLUSIVE MODE")
            ids = [row[0] for row in conn.execute(sending, (f"%-{pid}-%",))]
            if not ids:
                conn.rollback()
            return ids

        yield until(caught, what=f"a task of process {pid} in SENDING")
        conn.rollback()


def violations(dsn: str) -> list[Any]:
    """What `verify` says, after making sure that it counted every task and every log row."""
    done = command("verify", "--json", env=environment(dsn))
    report = json.loads(done.stdout)
    with psycopg.connect(dsn) as conn:
        assert report["tasks"] == number(conn, "SELECT count(*) FROM execution_tasks")
        assert report["log_rows"] == number(conn, "SELECT count(*) FROM execution_logs")
    found: list[Any] = report["violations"]
    assert done.returncode == (1 if found else 0)
    return found
