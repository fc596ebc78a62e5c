"""The suite fails on builds that are wrong on purpose, and only on those."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import scenes
from tests.faults.builds import BROKEN
from tests.faults.conftest import MakeWorld
from tests.faults.invariants import Findings
from tests.faults.world import World
from tests.router.proxy import proxied

Scene = Callable[[World], Findings]
SCENES: dict[str, tuple[Scene, str, bool]] = {
    "intent committed after sending": (scenes.killed_once_the_broker_has_it, "wrong", False),
    "timeout taken for a refusal": (scenes.an_answer_that_comes_too_late, "wrong", True),
    "timeout retried at once": (scenes.an_answer_that_comes_too_late, "doubled", False),
    "completion without fence": (scenes.frozen_between_intent_and_send, "wrong", True),
}
"""Of each broken build: the scene that it fails, what is found then, and whether the broker refuses repeated ids."""
RIGHT: list[Scene] = [
    scenes.killed_once_the_broker_has_it,
    scenes.an_answer_that_comes_too_late,
    scenes.frozen_between_intent_and_send,
]


def test_every_broken_build_has_its_test() -> None:
    """The five of them."""
    assert {*SCENES, "notification without poll"} == {*BROKEN}


@pytest.mark.parametrize("build", SCENES)
def test_a_broken_build_is_found(make_world: MakeWorld, build: str) -> None:
    """What the right build survives breaks the invariant that is named."""
    scene, kind, unique = SCENES[build]
    with make_world(unique=unique, accounts=1, build=build) as world:
        found = scene(world)
    assert getattr(found, kind), found


@pytest.mark.parametrize("unique", [True, False], ids=["unique", "weak"])
@pytest.mark.parametrize("scene", RIGHT)
def test_the_right_build_is_not(make_world: MakeWorld, scene: Scene, unique: bool) -> None:
    """The same scenes with nothing broken."""
    with make_world(unique=unique, accounts=1) as world:
        found = scene(world)
    assert found.faults == []


@pytest.mark.parametrize("build", ["", "notification without poll"])
async def test_a_listener_that_hears_nothing(dsn: str, tmp_path: Path, make_world: MakeWorld, build: str) -> None:
    """Its connection stands and nothing comes through: the poll finds the task, and without it nobody does."""
    async with proxied(dsn, tmp_path) as proxy:

        def deaf() -> Findings:
            with make_world(accounts=1, listen_dsn=proxy.dsn, build=build) as world:
                return scenes.a_deaf_listener(world)

        playing = asyncio.create_task(asyncio.to_thread(deaf))
        while not playing.done():
            for connection in proxy.connections:
                connection.deaf = True
            await asyncio.sleep(0.05)
        found = await playing
    assert bool(found.lost) == bool(build), found
