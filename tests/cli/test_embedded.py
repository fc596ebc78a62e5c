"""The embedded database from the command line: nothing to configure, nothing lost, nothing left behind."""

import json
import signal
from pathlib import Path
from typing import Any

from tests.cli.conftest import DataDirectory
from tests.processes import address_of, command, environment, service, until

ALERT = {"kind": "ENTRY", "symbol": "MGC1!", "direction": "SELL"}


def surroundings(data: DataDirectory) -> dict[str, str]:
    """An environment in which commands work on this directory."""
    return environment(EVENTROUTER_DATABASE__DATA_DIR=str(data.path))


def tasks(env: dict[str, str]) -> list[dict[str, Any]]:
    """All tasks, as `tasks --json` prints them."""
    result = command("tasks", "--json", env=env)
    assert result.returncode == 0, result.stderr
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


def webhook(env: dict[str, str], address: str) -> str:
    """A new webhook URL at this address."""
    made = command("token", "new", "orb", "--json", env=env)
    assert made.returncode == 0, made.stderr
    return f"http://{address}/webhook/{json.loads(made.stdout)['url'].rpartition('/')[2]}"


def send(env: dict[str, str], url: str, trade_id: str) -> None:
    """Posts an entry, which must be taken."""
    body = json.dumps({**ALERT, "trade_id": trade_id}).encode()
    sent = command("send", "-", "--url", url, env=env, stdin=body)
    assert sent.returncode == 0, sent.stdout + sent.stderr


def all_done(env: dict[str, str], count: int) -> list[dict[str, Any]]:
    """The tasks once there are so many and all are SUCCESS."""

    def done() -> list[dict[str, Any]] | None:
        rows = tasks(env)
        return rows if [row["status"] for row in rows] == ["SUCCESS"] * count else None

    return until(done, what=f"{count} tasks in SUCCESS")


def test_demo_once(data: DataDirectory) -> None:
    """It needs nothing, prints what became of each account with milliseconds, ends with 0 and leaves no server behind.

    One entry is executed on three accounts in three sizes and denied on the fourth with its numbers; the exit closes all. A
    demo before it left a database of another broker's orders and fills, and changes nothing.
    """
    env = surroundings(data)
    assert command("demo", "--once", env=env).returncode == 0
    result = command("demo", "--once", "--alerts", "3", env=env)
    printed = result.stdout.decode()
    assert result.returncode == 0, result.stderr
    assert "Nothing leaves this machine" in printed
    assert "Look around while it runs" not in printed
    assert printed.count("ms  SUCCESS  ") == 6 + 1, "six orders in the summaries, one in the log that is shown whole"
    assert " ms " in printed
    for sized in ("2 fixed = 2 MNQ", "1 MNQ asked for x 3 = 3 MNQ", "= 25 MNQ, rounded down to 25."):
        assert sized in printed
    assert "SIZE_ZERO" in printed
    assert "40 ticks x 0.5 = 20 a contract) = 0.5 MNQ" in printed
    assert "NOTHING_TO_CLOSE" in printed
    assert [printed.count(f"holds {held:>2} MNQ") for held in (2, 3, 25, 0)] == [1, 1, 1, 5]
    assert "PLACEHOLDER" in printed
    assert "3 alerts, one at a time" in printed
    assert data.postmaster is None
    looked = command("tasks", env=env)
    assert looked.returncode == 1, "the demo's tasks are in a database of their own, and there is no other"
    assert b"There is no database in" in looked.stderr
    rows = tasks(env | {"EVENTROUTER_DATABASE__DATA_DIR": f"{env['EVENTROUTER_DATABASE__DATA_DIR']}-demo"})
    assert sorted(row["status"] for row in rows) == ["DENIED", "DENIED", *["SUCCESS"] * 9]
    assert data.postmaster is None


def test_run_with_commands_beside_it(data: DataDirectory, tmp_path: Path) -> None:
    """`token new`, `send` and `tasks` share the service's server; a second `run` is told why not; SIGTERM leaves nothing."""
    env, log = surroundings(data), tmp_path / "log"
    with service("run", env=env, log=log) as process:
        address = address_of(log, "Alerts")
        server = data.postmaster
        url = webhook(env, address)
        with service("run", env=env, log=tmp_path / "second") as second:
            assert second.wait(30) == 1
        said = (tmp_path / "second").read_text()
        assert str(data.path) in said.splitlines()[-1]
        assert f"run-{process.pid}" in said.splitlines()[-1]
        assert "Traceback" not in said
        send(env, url, "T-1")
        all_done(env, 1)
        assert (process.poll(), data.postmaster) == (None, server)
        process.terminate()
        assert process.wait(30) == 0
    assert data.postmaster is None


def test_run_after_sigkill(data: DataDirectory, tmp_path: Path) -> None:
    """The server outlives the kill, the next `run` adopts it, and every task with its log is there."""
    env = surroundings(data)
    with service("run", env=env, log=tmp_path / "first") as process:
        url = webhook(env, address_of(tmp_path / "first", "Alerts"))
        for number in range(3):
            send(env, url, f"T-{number}")
        before = all_done(env, 3)
        server = data.postmaster
        process.kill()
        process.wait(30)
    assert data.postmaster == server is not None
    with service("run", env=env, log=tmp_path / "second") as process:
        address = address_of(tmp_path / "second", "Alerts")
        assert data.postmaster == server
        send(env, f"http://{address}/webhook/{url.rpartition('/')[2]}", "T-3")
        assert all_done(env, 4)[1:] == before
        verified = json.loads(command("verify", "--json", env=env).stdout)
        assert verified == {"tasks": 4, "log_rows": 12, "intents": 4, "violations": []}
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert data.postmaster is None


def test_two_halves(data: DataDirectory, tmp_path: Path) -> None:
    """`ingress` and `router` share one directory; what arrives while no router runs waits; the last one stops the server."""
    env = surroundings(data)
    with service("ingress", env=env, log=tmp_path / "ingress") as ingress:
        url = webhook(env, address_of(tmp_path / "ingress", "Alerts"))
        send(env, url, "T-1")
        assert [row["status"] for row in tasks(env)] == ["PENDING"]
        with service("router", env=env, log=tmp_path / "router") as router:
            send(env, url, "T-2")
            all_done(env, 2)
            for process in (ingress, router):
                assert data.postmaster is not None
                process.terminate()
                assert process.wait(30) == 0
    assert data.postmaster is None


def test_demo_beside_taken_ports(data: DataDirectory, dsn: str, tmp_path: Path) -> None:
    """`demo` takes free ports where the configured ones are taken, and stays up until it is told to stop."""
    other, mine = tmp_path / "other", tmp_path / "demo"
    with service("run", env=environment(dsn), log=other):
        taken = {"PUBLIC": address_of(other, "Alerts"), "OPERATOR": address_of(other, "Operator")}
        env = surroundings(data) | {f"EVENTROUTER_SERVER__{key}": address for key, address in taken.items()}
        with service("demo", env=env, log=mine) as process:
            until(lambda: "Look around while it runs" in mine.read_text(), what="the end of the show")
            assert address_of(mine, "Alerts") not in taken.values()
            assert process.poll() is None
            process.terminate()
            assert process.wait(30) == 0
    assert data.postmaster is None
