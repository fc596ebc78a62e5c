"""Router processes that are killed: `fleet` starts a broker in this process and routers outside of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.live.keys import MASTER_KEY, MASTER_KEY_NAME
from tests.live.rig import Rig
from tests.processes import command, environment, until, until_async

REPOSITORY = Path(__file__).parents[2]


@dataclass
class Fleet:
    """A rig without a router of its own, and its router processes."""

    rig: Rig
    file: Path
    place: Path
    routers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> subprocess.Popen[bytes]:
        """A router process that is up."""
        process, log = self._launch()
        until(
            lambda: process.poll() is not None or "listener_up" in log.read_text(), what=f"the listener of {log.name}"
        )
        assert process.poll() is None, log.read_text()
        return process

    def refused(self) -> str:
        """What a router process says that does not start."""
        process, log = self._launch()
        assert process.wait(60) > 0
        return log.read_text()

    def _launch(self) -> tuple[subprocess.Popen[bytes], Path]:
        log = self.place / f"router{len(self.routers) + 1}"
        env = environment(EVENTROUTER_CONFIG=str(self.file)) | {MASTER_KEY_NAME: MASTER_KEY}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), env.get("PYTHONPATH")]))
        with log.open("ab") as out:
            words = [sys.executable, "-m", "tests.live.fast_router", "router"]
            process = subprocess.Popen(words, env=env, stdout=out, stderr=out)
        self.routers.append(process)
        return process, log

    def logs(self) -> str:
        """What all routers said."""
        return "\n".join((self.place / f"router{number + 1}").read_text() for number in range(len(self.routers)))

    def end(self) -> None:
        """Kills whichever lives."""
        for process in self.routers:
            if process.poll() is None:
                kill(process)

    async def opened(self, *accounts: str) -> None:
        """Returns once what these accounts have is known; an entry before that is denied, since no loss could be counted."""

        async def known() -> bool:
            rows = await self.rig.rows("SELECT account FROM account_log WHERE kind = 'OPENED'")
            return {row["account"] for row in rows} >= {*accounts}

        await until_async(known, what=f"the books of {accounts}")

    def say(self, *words: str) -> str:
        """Runs a command to its end; what it printed. It must end well."""
        done = command(*words, env=environment(self.rig.dsn, EVENTROUTER_CONFIG=str(self.file)))
        assert done.returncode == 0, f"{done.stdout.decode()}\n{done.stderr.decode()}"
        return done.stdout.decode()


@contextmanager
def ended(fleet: Fleet) -> Iterator[Fleet]:
    """The fleet, whose routers are killed when the block ends."""
    try:
        yield fleet
    finally:
        fleet.end()


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL, and waits until the system says that it is dead."""
    process.kill()
    assert process.wait(30) == -signal.SIGKILL
