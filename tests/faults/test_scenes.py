"""Faults that are no kill at a point: of the broker, of the database, of the clock, and kills at any moment."""

import os
import random
import shutil
import signal
from pathlib import Path

import pytest

from eventrouter.store.embedded import open_server
from eventrouter.store.migrate import migrate
from tests.conftest import private_directory
from tests.faults import scenes
from tests.faults.conftest import MakeWorld
from tests.faults.nursery import Nursery
from tests.faults.world import world
from tests.processes import until


@pytest.mark.parametrize("unique", [True, False], ids=["unique", "weak"])
def test_every_fault_of_the_broker(make_world: MakeWorld, unique: bool) -> None:
    """Whatever the broker does with an order and its answer, it is executed once or nobody can know."""
    with make_world(unique=unique, accounts=1) as made:
        assert scenes.broker_faults(made).faults == []


@pytest.mark.parametrize("point", scenes.FREEZES_AT)
def test_a_router_that_stands_still(make_world: MakeWorld, point: str) -> None:
    """Wherever it stands, also with a transaction open, another one finishes its work, and nothing is done twice when it goes on."""
    with make_world(accounts=1) as made:
        assert scenes.frozen_at(made, point).faults == []


def test_a_clock_an_hour_behind(make_world: MakeWorld) -> None:
    """This machine's clock is behind the database's and the broker's: an order with a late answer is found all the same."""
    with make_world(accounts=1, build="clock an hour behind") as made:
        assert scenes.an_answer_that_comes_too_late(made).faults == []


def test_a_clock_an_hour_ahead(make_world: MakeWorld) -> None:
    """An alert that comes from the future is no alert to open anything on: nothing is sent, and the log says why."""
    with make_world(accounts=1, build="clock an hour ahead") as made:
        found = scenes.an_answer_that_comes_too_late(made)
        assert (found.lost, found.doubled, found.wrong) == (
            ["task 1 (ENTRY of T1 on a0) is DENIED CLOCK_WRONG"],
            [],
            [],
        )
        assert made.executions() == {}


@pytest.mark.parametrize("unique", [True, False], ids=["unique", "weak"])
def test_two_routers_and_faults_at_any_moment(make_world: MakeWorld, unique: bool) -> None:
    """A short run of what `python -m tests.faults --rivals 1000` does at length."""
    with make_world(unique=unique) as made:
        found, _ = scenes.two_routers(made, 10, 3, random.Random(5))
        assert found.faults == []


def test_postgres_is_killed_again_and_again(tmp_path: Path, forks: Nursery) -> None:
    """The postmaster is killed and started under load: every alert that was answered is executed once."""
    home = private_directory()
    opened = open_server(home / "db", settings={"fsync": "off"})

    def restart() -> None:
        postmaster = int((home / "db" / "pgdata" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(postmaster, signal.SIGQUIT)
        until(lambda: _is_gone(postmaster), what="the death of the postmaster")
        opened.ensure_running()

    try:
        migrate(opened.admin_dsn)
        with world(tmp_path, opened.admin_dsn, forks, accounts=1) as made:
            assert scenes.database_restarts(made, restart, 3).faults == []
    finally:
        opened.close()
        shutil.rmtree(home, ignore_errors=True)


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
