"""The owner's view of the database that the commands work on, and a data directory for the embedded server."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import private_directory
from tests.processes import until


@pytest.fixture
def sql(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """The owner's connection to `dsn`, in autocommit."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        yield conn


class DataDirectory:
    """Where an embedded server of the test's own keeps its data."""

    def __init__(self, parent: Path) -> None:
        self.path = parent / "data"

    @property
    def postmaster(self) -> int | None:
        """The running server's pid, or None when its last user stopped it."""
        with suppress(FileNotFoundError, IndexError):
            return int((self.path / "pgdata" / "postmaster.pid").read_text().split()[0])
        return None

    def kill(self) -> None:
        """Ends a server that somebody left behind."""
        if pid := self.postmaster:
            os.kill(pid, signal.SIGQUIT)
            until(lambda: self.postmaster is None, what="the end of the server")


@pytest.fixture
def data() -> Iterator[DataDirectory]:
    """A data directory that does not exist yet; nothing of it outlives the test."""
    parent = private_directory()
    directory = DataDirectory(parent)
    try:
        yield directory
    finally:
        directory.kill()
        shutil.rmtree(parent)
