"""What is shipped: a wheel that works alone, names that shadow nothing, and the queries that the project grew from."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import psycopg
import pytest

from tests.conftest import REPOSITORY, SHARED
from tests.history import enqueue, walk

Sql = psycopg.Connection[Any]

IMPORT_ALL = """
import importlib, json, pkgutil, eventrouter
from eventrouter.store.files import db_dir, query
names = [each.name for each in pkgutil.walk_packages(eventrouter.__path__, "eventrouter.") if not each.name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
query("list_tasks")
print(json.dumps([names, str(db_dir()), eventrouter.__file__]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from this checkout and unpacked."""
    built, unpacked = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("unpacked")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True, timeout=120)
    with ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(unpacked)
    return unpacked


def test_the_wheel_has_everything(installed: Path) -> None:
    """Every file of db/, the configuration and every module are in it, and no test is."""
    for source, shipped in ((REPOSITORY / "db", "eventrouter/db"), (REPOSITORY / "eventrouter", "eventrouter")):
        files = [path.relative_to(source) for path in source.rglob("*.*") if path.suffix in (".sql", ".py")]
        assert len(files) > 20
        assert [str(path) for path in files if not (installed / shipped / path).is_file()] == []
    assert (installed / "eventrouter/config.toml").read_bytes() == (REPOSITORY / "config.toml").read_bytes()
    assert {path.name.split("-")[0] for path in installed.iterdir()} == {"eventrouter"}
    entry_points = next(installed.glob("*.dist-info/entry_points.txt")).read_text()
    assert "eventrouter = eventrouter.cli:main" in entry_points


def test_the_wheel_works_alone(installed: Path) -> None:
    """Every module of it can be imported, and it finds its own SQL."""
    env = {**os.environ, "PYTHONPATH": str(installed)}
    result = subprocess.run([sys.executable, "-c", IMPORT_ALL], env=env, cwd="/", capture_output=True, timeout=60)
    assert result.returncode == 0, result.stderr.decode()
    names, db, package = json.loads(result.stdout)
    modules = {path.relative_to(REPOSITORY) for path in (REPOSITORY / "eventrouter").rglob("*.py")}
    assert len(names) == len(modules) - len({"eventrouter/__init__.py", "eventrouter/__main__.py"})
    assert Path(db) == installed / "eventrouter/db"
    assert Path(package) == installed / "eventrouter/__init__.py"


def test_no_module_shadows_a_standard_one() -> None:
    """A module's name can be moved or run from its own folder without hiding Python's."""
    names = {path.stem for path in (REPOSITORY / "eventrouter").rglob("*.py")} - {"__init__", "__main__"}
    assert names & sys.stdlib_module_names == set()


# the monitoring queries of the requirements document


@pytest.fixture
def queries() -> list[str]:
    """The four queries, as they stand in the document."""
    document = SHARED / "stage-13b.txt"
    if not document.is_file():
        pytest.skip("the requirements document is not on this machine")
    chapter = document.read_text(encoding="utf-8").partition("### Monitoring Queries")[2].partition("\n## ")[0]
    return re.findall(r"```sql\n(.*?)```", chapter, re.DOTALL)


@pytest.fixture
def history(any_dsn: str, owner: Sql) -> Counter[tuple[datetime, bool]]:
    """Fifteen minutes of tasks in every state; how many there are of each minute, and whether they are done."""
    ways: list[list[str]] = [
        [],
        ["SENDING"],
        ["SENDING", "SUCCESS"],
        ["SENDING", "FAILED"],
        ["SENDING", "UNKNOWN", "REVIEW"],
    ]
    counted: Counter[tuple[datetime, bool]] = Counter()
    for number in range(40):
        task_id = enqueue(owner, f"T-{number}", account="paper" if number % 2 else "other")
        way = ways[number % len(ways)]
        walk(owner, task_id, *way)
        minute = datetime(2026, 5, 4, 14, number % 15, tzinfo=UTC)
        with owner.transaction():
            owner.execute("SET LOCAL session_replication_role = replica")
            owner.execute(
                "UPDATE execution_tasks SET created_at = %s + make_interval(secs => id) WHERE id = %s",
                (minute, task_id),
            )
        counted[minute, way[-1:] == ["SUCCESS"]] += 1
    return counted


def test_monitoring_queries(queries: list[str], history: Counter[tuple[datetime, bool]], owner: Sql) -> None:
    """They run unchanged, give right answers, and the views of the same meaning agree with them."""
    pending, rate, recent, failed = (owner.execute(query.encode()).fetchall() for query in queries)

    assert pending == [(8,)]
    assert pending == owner.execute("SELECT pending_count FROM pending_tasks").fetchall()

    minutes = sorted({minute for minute, _ in history}, reverse=True)[:10]
    expected = [(each, history[each, False] + history[each, True], history[each, True]) for each in minutes]
    assert rate == expected
    assert (
        rate == owner.execute("SELECT minute, tasks_created, tasks_processed FROM processing_rate LIMIT 10").fetchall()
    )

    columns = "id, trade_id, event_type, status, response_body, created_at"
    logs = owner.execute(
        "SELECT id, created_at FROM execution_logs ORDER BY created_at DESC, id DESC LIMIT 20"
    ).fetchall()
    assert [(row[0], row[5]) for row in recent] == logs
    assert {(row[1], row[3]) for row in recent} >= {("T-39", "REVIEW"), ("T-37", "SUCCESS"), ("T-38", "FAILED")}
    assert recent == owner.execute(f"SELECT {columns} FROM recent_execution_logs LIMIT 20").fetchall()

    said = {(row[1], row[2], row[3], row[4]) for row in failed}
    assert said == {(f"T-{number}", "ENTRY", 1, "FAILED by a test") for number in range(3, 40, 5)}
    assert [row[5] for row in failed] == sorted((row[5] for row in failed), reverse=True)
    theirs = "SELECT id, trade_id, event_type, attempts, last_error, created_at FROM failed_tasks"
    assert failed == owner.execute(theirs).fetchall()
