"""Real servers for every test: the embedded PostgreSQL, and one of the machine's own where it has one.

Each test gets a database of its own, cloned from a migrated template in about a tenth of a second.
"""

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from psycopg.conninfo import make_conninfo
from pytest_postgresql.janitor import DatabaseJanitor

from eventrouter.logs import configure_logging
from eventrouter.store.connect import Conn, Database, Pool
from eventrouter.store.embedded import open_server
from eventrouter.store.migrate import migrate

REPOSITORY = Path(__file__).parent.parent
SHARED = REPOSITORY.parent / "shared"
settings.register_profile("untimed", deadline=None)  # how long an example takes is no failure
settings.load_profile("untimed")
_LONGEST = ("faults/test_scenes", "cli/", "live/", "faults/", "router/", "flatten/", "web/", "desk/")


@pytest.fixture(scope="session", autouse=True)
def _logging() -> None:
    configure_logging("console", "warning")


@dataclass
class Server:
    """A running PostgreSQL; `databases` hands out names."""

    name: str
    host: str
    port: int
    user: str = "postgres"
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def dsn(self, database: str, user: str | None = None) -> str:
        """A connection string to one of its databases."""
        return make_conninfo(host=self.host, port=self.port, user=user or self.user, dbname=database)

    def version(self) -> int:
        """PostgreSQL's major version."""
        with psycopg.connect(self.dsn("postgres")) as conn:
            return conn.info.server_version // 10_000

    def database(self, template: str | None = None) -> "DatabaseJanitor":
        """A new database, to be used as a context manager."""
        name = f"t{os.getpid()}_{next(self.numbers)}"
        return DatabaseJanitor(user=self.user, host=self.host, port=self.port, dbname=name, template_dbname=template)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that last longest first, so that none is left for one process at the end; those of tests/faults not side by side."""
    items.sort(
        key=lambda item: next(
            (n for n, path in enumerate(_LONGEST) if f"tests/{path}" in str(item.path)), len(_LONGEST)
        )
    )


def private_directory() -> Path:
    """A directory that another user's server can reach: pytest's own lie below one that is closed to others."""
    directory = Path(tempfile.mkdtemp(prefix="eventrouter-test-"))
    directory.chmod(0o711)
    return directory


@pytest.fixture(scope="session")
def embedded_server() -> Iterator[Server]:
    """The embedded PostgreSQL, without fsync: no test here cuts the power."""
    home = private_directory()
    opened = open_server(home / "db", settings={"fsync": "off", "max_connections": "200"})
    info = psycopg.conninfo.conninfo_to_dict(opened.admin_dsn)
    try:
        yield Server("embedded", str(info["host"]), int(info.get("port") or 5432))
    finally:
        opened.close()
        shutil.rmtree(home, ignore_errors=True)


def system_binaries() -> Path | None:
    """The binaries of the newest PostgreSQL (14 or later) installed on this machine, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found and int(found[-1].parts[-3]) >= 14 else None


@pytest.fixture(scope="session")
def system_server() -> Iterator[Server]:
    """A server made with this machine's own PostgreSQL, where there is one and we may start it."""
    binaries = system_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL 14 or later is installed on this machine")
    home = private_directory()
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(home, user)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [binaries / program, *arguments], check=True, user=user, capture_output=True, cwd="/", timeout=60
        )

    run("initdb", "-D", str(home / "data"), "-U", "postgres", "--auth=trust", "--no-locale", "-E", "UTF8", "--no-sync")
    options = f"-k {home} -c listen_addresses='' -c fsync=off -c max_connections=200"
    run("pg_ctl", "-D", str(home / "data"), "-o", options, "-l", str(home / "log"), "-w", "start")
    try:
        yield Server("system", str(home), 5432)
    finally:
        run("pg_ctl", "-D", str(home / "data"), "-m", "immediate", "-w", "stop")
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session", params=["embedded", "system"])
def any_server(request: pytest.FixtureRequest) -> Server:
    """Each of the servers in turn: for tests of SQL, which must hold from PostgreSQL 14 on."""
    server: Server = request.getfixturevalue(f"{request.param}_server")
    return server


_templates: dict[str, str] = {}


def _template(server: Server) -> str:
    """The name of a migrated database of this server."""
    if server.name not in _templates:
        name = f"template{os.getpid()}"
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {name}")
        migrate(server.dsn(name))
        _templates[server.name] = name
    return _templates[server.name]


@pytest.fixture
def dsn(embedded_server: Server) -> Iterator[str]:
    """A migrated database of this test's own on the embedded server, as its owner."""
    with embedded_server.database(_template(embedded_server)) as janitor:
        yield embedded_server.dsn(janitor.dbname)


@pytest.fixture
def any_dsn(any_server: Server) -> Iterator[str]:
    """A migrated database of this test's own on each server in turn, as its owner."""
    with any_server.database(_template(any_server)) as janitor:
        yield any_server.dsn(janitor.dbname)


@pytest.fixture
def empty_dsn(any_server: Server) -> Iterator[str]:
    """An empty database of this test's own on each server in turn, as its owner."""
    with any_server.database() as janitor:
        yield any_server.dsn(janitor.dbname)


@pytest.fixture
def owner(any_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """The owner's connection to `any_dsn`, in autocommit."""
    with psycopg.connect(any_dsn, autocommit=True) as conn:
        yield conn


@pytest.fixture
async def conn(any_dsn: str) -> AsyncIterator[Conn]:
    """The service's connection to `any_dsn`: the application role, in autocommit."""
    async with await Database(any_dsn).connect("test") as connection:
        yield connection


@pytest.fixture
async def pool(any_dsn: str) -> AsyncIterator[Pool]:
    """The service's pool on `any_dsn`."""
    async with Database(any_dsn).pool("test") as opened:
        yield opened
