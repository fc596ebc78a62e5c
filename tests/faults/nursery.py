"""A process that has imported everything and forks: a router is up in a fraction of the time that its imports take.

It has one thread and no connection when it forks, so its children are as good as processes of their own. It is told what to
start by a line of JSON on its standard input, and answers with one.
"""

import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

REPOSITORY = Path(__file__).parents[2]


class Child:
    """A process of the nursery's."""

    def __init__(self, nursery: "Nursery", pid: int, log: Path) -> None:
        self.pid = pid
        self.log = log
        self._nursery = nursery
        self._status: int | None = None
        self._exit = os.pidfd_open(pid)

    def ended(self, within_s: float = 0.0) -> bool:
        """Whether it has ended, after waiting for so long."""
        if self._status is not None:
            return True
        poll = select.poll()
        poll.register(self._exit, select.POLLIN)
        return bool(poll.poll(within_s * 1000))

    @property
    def status(self) -> int:
        """How it ended: its exit status, or minus the signal's number. Waits for that."""
        if self._status is None:
            assert self.ended(60), f"process {self.pid} does not end"
            self._status = int(self._nursery.ask({"reap": self.pid})["status"])
            os.close(self._exit)
        return self._status

    def kill(self) -> None:
        """SIGKILL; returns once it is dead."""
        if not self.ended():
            self.send(signal.SIGKILL)
        _ = self.status

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        os.kill(self.pid, number)

    @property
    def stopped(self) -> bool:
        """Whether it stands still after a SIGSTOP."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


class Nursery:
    """The forking process, seen from outside."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, order: Mapping[str, Any]) -> Any:
        """One line to it, one line back."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the nursery is gone"
        return json.loads(line)

    def start(self, *arguments: str, env: Mapping[str, str], log: Path, build: str = "", weak: bool = False) -> Child:
        """Starts `eventrouter` with these arguments. `build`: one of `builds`; `weak`: the broker takes an id twice."""
        log.touch()
        order = {"arguments": arguments, "env": dict(env), "log": str(log), "build": build, "weak": weak}
        return Child(self, int(self.ask(order)["pid"]), log)


@contextmanager
def nursery() -> Iterator[Nursery]:
    """One, and all that it started is killed at the end."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("EVENTROUTER_")}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), env.get("PYTHONPATH")]))
    words = [sys.executable, "-m", "tests.faults.nursery"]
    with subprocess.Popen(
        words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        try:
            yield Nursery(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def _serve() -> None:
    import eventrouter.cli
    import eventrouter.simulator.server  # noqa: F401
    import tests.faults.builds
    import tests.live.pace  # noqa: F401

    gc.freeze()
    living: set[int] = set()
    for line in sys.stdin:
        order = json.loads(line)
        if "reap" in order:
            status = os.waitstatus_to_exitcode(os.waitpid(order["reap"], 0)[1])
            living.discard(order["reap"])
            print(json.dumps({"status": status}), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            _become(order)
        living.add(pid)
        print(json.dumps({"pid": pid}), flush=True)
    for pid in living:
        os.kill(pid, signal.SIGKILL)


def _become(order: Mapping[str, Any]) -> None:
    """The child: an `eventrouter` process with this environment."""
    status = 1
    try:
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.closerange(3, 64)
        os.environ.clear()
        os.environ.update(order["env"])
        status = _run(order)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run(order: Mapping[str, Any]) -> int:
    from eventrouter import failpoints
    from eventrouter.cli import main
    from eventrouter.connectors.projectx import connector
    from eventrouter.connectors.projectx.budget import Budget
    from tests.faults import builds
    from tests.live.pace import BUDGET, LOOK_AGAIN, LOOK_AGAIN_S, MOST_REQUESTS

    importlib.reload(failpoints)  # it reads the environment once, and this is a new one
    if order["build"]:
        builds.BUILDS[order["build"]]()
    known = connector.ProjectXConnector.__init__
    connector.ProjectXConnector.__init__ = lambda *a, **k: known(*a, **{**k, "unique_ids": not order["weak"]})  # type: ignore[method-assign]
    sys.argv = ["eventrouter", *order["arguments"]]
    with patch(LOOK_AGAIN, LOOK_AGAIN_S), patch(BUDGET, partial(Budget, most=MOST_REQUESTS)):
        main()
    return 0


if __name__ == "__main__":
    _serve()
