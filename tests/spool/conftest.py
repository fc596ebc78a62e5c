"""A PostgreSQL of these tests' own, which they stop, freeze and start again, and alerts to keep while it is away."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from eventrouter.domain.trades import Ask
from eventrouter.store.embedded import EmbeddedServer, open_server
from eventrouter.store.migrate import migrate
from eventrouter.store.signals import StoredAlert
from tests.conftest import private_directory

RECEIVED_AT = datetime(2026, 3, 2, 14, 30, 0, 123456, tzinfo=UTC)


def alert(number: int = 0, *, uid: UUID | None = None, raw: bytes = b"{}") -> StoredAlert:
    """An accepted entry of trade T-`number`, received `number` seconds after RECEIVED_AT."""
    return StoredAlert(
        uid=uid or uuid4(),
        strategy="orb",
        received_at=RECEIVED_AT + timedelta(seconds=number),
        raw=raw,
        headers={"User-Agent": "Go-http-client/1.1"},
        ask=Ask(
            event="ENTRY",
            event_type="ENTRY",
            payload={"kind": "ENTRY", "direction": "SHORT", "symbol": "MNQ1!", "entry_price": 21040.75},
            record={"family": "stage13b"},
            trade_id=f"T-{number}",
            root="MNQ",
            side="SHORT",
        ),
    )


class Postgres:
    """A server that a test may take away. Databases are copies of a migrated one."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._numbers = count(1)
        self._opened: EmbeddedServer = open_server(home, settings={"fsync": "off", "max_connections": "50"})
        self._running = True
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as conn:
            conn.execute("CREATE DATABASE template")
        migrate(self.dsn("template"))

    def dsn(self, database: str) -> str:
        """A database of this server, as its owner."""
        return make_conninfo(self._opened.admin_dsn, dbname=database)

    def database(self) -> str:
        """The DSN of a new migrated database."""
        name = f"t{next(self._numbers)}"
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {name} TEMPLATE template")  # type: ignore[arg-type, unused-ignore]
        return self.dsn(name)

    def stop(self) -> None:
        """Disconnects everybody and ends."""
        self._opened.close()
        self._running = False

    def start(self) -> None:
        """Runs again, where it does not."""
        if not self._running:
            self._opened = open_server(self.home, settings={"fsync": "off", "max_connections": "50"})
            self._running = True

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """While this lasts it takes connections and answers nothing."""
        processes = self._processes()
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in processes:
                os.kill(pid, signal.SIGCONT)

    def _processes(self) -> list[int]:
        postmaster = int((self.home / "pgdata" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return [postmaster, *map(int, children)]


@pytest.fixture(scope="session")
def own_postgres() -> Iterator[Postgres]:
    """The server, for all tests in turn."""
    home = private_directory()
    server = Postgres(home / "db")
    try:
        yield server
    finally:
        server.start()
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def postgres(own_postgres: Postgres) -> Iterator[Postgres]:
    """The server, running at the beginning of the test and after its end."""
    own_postgres.start()
    yield own_postgres
    own_postgres.start()


@pytest.fixture
def dsn(postgres: Postgres) -> str:
    """A migrated database of this test's own on that server."""
    return postgres.database()
