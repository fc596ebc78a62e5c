"""Real processes for tests: `eventrouter` commands, and waiting for conditions instead of sleeping."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
PATIENCE_S = 60.0


def until(condition: Callable[[], T | None], *, within_s: float = PATIENCE_S, what: str = "the condition") -> T:
    """Looks again and again until the condition gives something true; fails the test when it never does."""
    deadline = time.monotonic() + within_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what} did not come true within {within_s:g} s"
        time.sleep(0.02)


async def until_async(
    condition: Callable[[], Awaitable[T | None]], *, within_s: float = PATIENCE_S, what: str = "the condition"
) -> T:
    """The same for a coroutine."""
    async with asyncio.timeout(within_s):
        while True:
            found = await condition()
            if found:
                return found
            await asyncio.sleep(0.02)
    raise AssertionError(what)


def environment(dsn: str | None = None, **settings: str) -> dict[str, str]:
    """The environment of a child: no configuration file, free ports, no spool, and EVENTROUTER_<SECTION>__<KEY> settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EVENTROUTER_")}
    kept.pop("DATABASE_URL", None)
    ours = {
        "EVENTROUTER_SERVER__PUBLIC": "127.0.0.1:0",
        "EVENTROUTER_SERVER__OPERATOR": "127.0.0.1:0",
        "EVENTROUTER_SERVER__SPOOL": "false",
    }
    return {**kept, **ours, **({"DATABASE_URL": dsn} if dsn else {}), **settings, "EVENTROUTER_LOGS__FORMAT": "json"}


def command(
    *arguments: str, env: Mapping[str, str], cwd: Path | None = None, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Runs an `eventrouter` command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "eventrouter", *arguments],
        env=dict(env),
        cwd=cwd or "/",
        input=stdin,
        capture_output=True,
        timeout=120,
    )


@contextmanager
def service(
    *arguments: str, env: Mapping[str, str], log: Path, cwd: Path | None = None, files: tuple[int, int] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """An `eventrouter` process that runs until the block ends; what it says goes to `log`. A survivor is killed.

    `files`: how many it may open at first, and at most.
    """
    limited = ["sh", "-c", f'ulimit -Sn {files[0]}; ulimit -Hn {files[1]}; exec "$@"', "sh"] if files else []
    with log.open("ab") as out:
        process = subprocess.Popen(
            [*limited, sys.executable, "-m", "eventrouter", *arguments],
            env=dict(env),
            cwd=cwd or "/",
            stdout=out,
            stderr=out,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait(30)


def address_of(log: Path, what: str = "Operator") -> str:
    """The address that a service announced in its log: `Alerts` or `Operator`."""

    def announced() -> str | None:
        for line in log.read_text().splitlines():
            if line.strip().startswith(f"{what}:"):
                return line.split("http://")[1].split("/")[0]
        return None

    return until(announced, what=f"the {what} address in {log.name}")
