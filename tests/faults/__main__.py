"""The long run: `python -m tests.faults --cycles 2000` kills that many routers, point by point, and prints what came of it."""

import argparse
import itertools
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial

import psycopg

from eventrouter.store.embedded import open_server
from tests.conftest import Server, _template, private_directory
from tests.faults import scenes
from tests.faults.invariants import Findings
from tests.faults.nursery import Nursery, nursery
from tests.faults.points import POINTS
from tests.faults.rounds import Result, round_of
from tests.faults.scenes import two_routers
from tests.faults.world import World, world

Results = dict[tuple[str, str], Result]
"""By point and kind of broker."""
KILLS = 5
"""Kills of one half of a round."""
TRADES_A_FAULT = 5
"""Of two routers: how many trades are posted between two faults."""


@contextmanager
def server() -> Iterator[Server]:
    """A PostgreSQL of this run's own, without fsync: no cycle cuts the power."""
    home = private_directory()
    opened = open_server(home / "db", settings={"fsync": "off", "max_connections": "200"})
    info = psycopg.conninfo.conninfo_to_dict(opened.admin_dsn)
    try:
        yield Server("embedded", str(info["host"]), int(info.get("port") or 5432))
    finally:
        opened.close()
        shutil.rmtree(home, ignore_errors=True)


_KINDS = {True: "unique tags", False: "repeated tags"}
SINGLE: Mapping[str, tuple[Callable[[World], Findings], str]] = {
    "15 faults of the broker": (scenes.broker_faults, ""),
    "an answer after the lease": (scenes.an_answer_that_comes_too_late, ""),
    "the same, clock an hour behind": (scenes.an_answer_that_comes_too_late, "clock an hour behind"),
    "frozen at claim.commit.after": (scenes.frozen_between_intent_and_send, ""),
    **{f"frozen at {point}": (partial(scenes.frozen_at, point=point), "") for point in scenes.FREEZES_AT},
}
"""Faults that are no kill, with the build that they happen to."""


def table(results: Results) -> str:
    """The results as a table in Markdown, with their sum."""
    lines = ["| point | broker | runs | lost | doubled | reviewed | wrong | stuck | not met | slowest rest |"]
    lines.append("| --- | --- | --: | --: | --: | --: | --: | --: | --: | --: |")
    total = Result("all", "")
    for each in results.values():
        total.add(each)
    for each in (*results.values(), total):
        counts = (each.runs, each.lost, each.doubled, each.reviewed, each.wrong, each.stuck, each.missed)
        lines.append(
            f"| {each.name} | {each.capability} | {' | '.join(map(str, counts))} | {each.slowest_rest_s:.1f} s |"
        )
    return "\n".join(lines)


@contextmanager
def staged(
    postgres: Server, forks: Nursery, results: Results, *, unique: bool, accounts: int = 2, build: str = ""
) -> Iterator[World]:
    """A world of its own. What goes wrong with the harness is a finding too, and ends this world only; logs of findings are kept."""
    place, before = private_directory(), sum(len(each.faults) for each in results.values())
    try:
        with (
            postgres.database(_template(postgres)) as janitor,
            world(place, postgres.dsn(janitor.dbname), forks, unique=unique, accounts=accounts, build=build) as made,
        ):
            yield made
    except Exception as error:
        note(results, Result("harness", _KINDS[unique], faults=[f"{type(error).__name__}: {error}"]))
    if sum(len(each.faults) for each in results.values()) > before:
        print(f"the logs are in {place}", file=sys.stderr)
    else:
        shutil.rmtree(place, ignore_errors=True)


def note(results: Results, result: Result, seconds: float = 0.0) -> None:
    """Adds a result to those of its name, and says it."""
    results.setdefault((result.name, result.capability), Result(result.name, result.capability)).add(result)
    print(f"{result} {seconds:.1f} s", file=sys.stderr, flush=True)


def kinds_of(given: argparse.Namespace) -> list[bool]:
    """Whether the broker refuses repeated ids, for each kind that is asked for."""
    return {"unique": [True], "repeated": [False], "both": [True, False]}[given.tags]


def kills(given: argparse.Namespace, results: Results) -> None:
    """Rounds over all points and both kinds of broker until there were so many kills; adds what came of them."""
    draw = random.Random(given.seed)
    points = [point for point in POINTS if not given.point or str(point) in given.point]
    with server() as postgres, nursery() as forks:
        for unique in itertools.cycle(kinds_of(given)):
            with staged(postgres, forks, results, unique=unique) as made:
                for point in points:
                    began = time.monotonic()
                    note(results, round_of(made, point, KILLS, draw), time.monotonic() - began)
                    if sum(each.runs for each in results.values()) >= given.cycles:
                        return


def others(given: argparse.Namespace, results: Results) -> None:
    """Every fault that is no kill at a point, once with each kind of broker."""
    with server() as postgres, nursery() as forks:
        for unique, (name, (scene, build)) in itertools.product(kinds_of(given), SINGLE.items()):
            began = time.monotonic()
            with staged(postgres, forks, results, unique=unique, accounts=1, build=build) as made:
                result = Result(name, _KINDS[unique], runs=1)
                result.count(scene(made))
                note(results, result, time.monotonic() - began)


def rivals(given: argparse.Namespace, results: Results) -> None:
    """Two routers, and faults of either at any moment, on so many tasks; with both kinds of broker."""
    draw = random.Random(given.seed)
    with server() as postgres, nursery() as forks:
        for unique in kinds_of(given):
            with staged(postgres, forks, results, unique=unique) as made:
                trades = max(1, given.rivals // (2 * len(made.numbers)))  # an entry and an exit on each account
                faults = max(1, trades // TRADES_A_FAULT)
                began = time.monotonic()
                found, slowest_s = two_routers(made, trades, faults, draw)
                result = Result("two routers", _KINDS[unique], runs=2 * faults, slowest_rest_s=slowest_s)
                result.count(found)
                note(results, result, time.monotonic() - began)


def main() -> int:
    """0 when nothing was lost, doubled, wrong or stuck."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--cycles", type=int, default=2000, help="kills in all (2000)")
    parser.add_argument("--seed", type=int, default=1, help="for the moments that are drawn (1)")
    parser.add_argument("--point", action="append", default=[], help="only this one; may be given more than once")
    parser.add_argument(
        "--tags", choices=("unique", "repeated", "both"), default="both", help="the broker's kind (both)"
    )
    parser.add_argument("--rivals", type=int, metavar="TASKS", help="instead: two routers on so many tasks")
    parser.add_argument("--others", action="store_true", help="instead: each fault that is no kill, once")
    given = parser.parse_args()
    results: Results = {}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):  # what was seen until then is told
        (rivals if given.rivals else others if given.others else kills)(given, results)
    print(table(results))
    faults = [f"{each.name}, {each.capability}: {fault}" for each in results.values() for fault in each.faults]
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
