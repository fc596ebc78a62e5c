"""Finds db/ and the named queries in it: inside the package in a wheel, beside it in a checkout."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import aiosql

from eventrouter.errors import StoreError


@cache
def db_dir() -> Path:
    """The folder with migrations, functions, triggers, views and queries."""
    package = Path(str(files("eventrouter")))
    for place in (package / "db", package.parent / "db"):
        if (place / "migrations").is_dir():
            return place
    raise StoreError("The SQL files (db/) are missing from this installation. Install eventrouter again.")


@cache
def _queries() -> Any:
    return aiosql.from_path(db_dir() / "queries", "apsycopg", mandatory_parameters=False)


def query(name: str) -> str:
    """The text of the query `-- name: <name>` in db/queries/, with psycopg's named placeholders."""
    text: str = getattr(_queries(), name).sql
    return text
