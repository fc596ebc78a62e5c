"""`eventrouter simulator` as a process: it says where it is, stops when it is told to, and its ledger outlives it."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.processes import command, environment
from tests.simulator.client import MNQ, Client, order, until_stalled


@contextmanager
def simulator(*options: str, cwd: Path) -> Iterator[tuple[subprocess.Popen[bytes], Mapping[str, Any]]]:
    """The process and what it printed when it was ready."""
    words = [sys.executable, "-m", "eventrouter", "simulator", "--listen", "127.0.0.1:0", *options]
    with subprocess.Popen(words, env=environment(), cwd=cwd, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_starts_and_stops(tmp_path: Path, number: signal.Signals) -> None:
    """One line of JSON when it is ready; status 0 after the signal, even with a hub open and a request that hangs."""
    with simulator("--accounts", "20", "--seed", "7", "--clock", "2026-11-23T15:00:00", cwd=tmp_path) as (
        process,
        said,
    ):
        async with ClientSession() as session:
            client = Client(session, said["url"])
            await client.login()
            assert len((await client.call("Account/search"))["accounts"]) == 20
            assert (await client.control("clock"))["now"] >= "2026-11-23T15:00:00"
            stall = await client.arm("stall")
            hanging = asyncio.create_task(client.raw("Order/place", order()))
            await until_stalled(client, stall)
            async with session.ws_connect(f"{said['hub']}?access_token={client.token}"):
                process.send_signal(number)
                assert process.wait(30) == 0
            await asyncio.wait([hanging])


async def test_the_ledger_survives_a_kill(tmp_path: Path) -> None:
    """What was executed is known to the next process, which gives out no id or tag a second time."""
    options = ("--feed", "posted", "--ledger", "ledger.jsonl")
    with simulator(*options, cwd=tmp_path) as (process, said):
        async with ClientSession() as session:
            client = Client(session, said["url"])
            await client.login()
            first = await client.placed(2, customTag="t")
            before = await client.control("ledger")
        process.kill()
        process.wait(30)
    rows = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert rows == before["rows"]
    assert [(row["what"], row["tag"], row["order"], row["contract"]) for row in rows] == [
        (what, "t", first, MNQ) for what in ("accepted", "done", "filled")
    ]
    with simulator(*options, cwd=tmp_path) as (_, said):
        async with ClientSession() as session:
            client = Client(session, said["url"])
            await client.login()
            assert (await client.executed("t"))["executed"] == 1
            assert (await client.place(2, customTag="t"))["errorCode"] == 2
            assert await client.placed(customTag="u") > first


@pytest.mark.parametrize(
    ("options", "status", "hint"),
    [
        (["--listen", "nonsense"], 2, "HOST:PORT"),
        (["--balance", "NaN"], 2, "NaN"),
        (["--accounts", "0"], 2, "accounts"),
        (["--feed", "nonsense"], 2, "walk"),
        (["--ledger", "/nowhere/ledger"], 1, "/nowhere/ledger"),
        (["--listen", "192.0.2.1:9001"], 1, "192.0.2.1:9001"),
    ],
)
def test_wrong_usage(options: list[str], status: int, hint: str) -> None:
    """Status 2 for what is written wrong, 1 for what cannot be done; one message, no traceback."""
    result = command("simulator", *options, env=environment())
    said = result.stderr.decode()
    assert result.returncode == status
    assert hint in said
    assert "Traceback" not in said
    assert result.stdout == b""
