"""Worlds for faults."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from tests.faults.nursery import Nursery, nursery
from tests.faults.world import World, world

MakeWorld = Callable[..., AbstractContextManager[World]]


@pytest.fixture(scope="session")
def forks() -> Iterator[Nursery]:
    """A nursery for all tests."""
    with nursery() as opened:
        yield opened


@pytest.fixture
def make_world(dsn: str, tmp_path: Path, forks: Nursery) -> MakeWorld:
    """Makes the world of this test's own database."""
    return partial(world, tmp_path, dsn, forks)
