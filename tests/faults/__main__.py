"""The long run: `python -m tests.faults --cycles 2000` kills that many routers, point by point, and prints what came of it."""

import argparse
import itertools
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from eventrouter.store.embedded import open_server
from tests.conftest import Server, _template, private_directory
from tests.faults.nursery import nursery
from tests.faults.points import POINTS
from tests.faults.rounds import Result, capability, round_of
from tests.faults.scenes import two_routers
from tests.faults.world import world

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


def run(given: argparse.Namespace, results: Results) -> None:
    """Rounds over all points and both kinds of broker until there were so many kills; adds what came of them."""
    draw = random.Random(given.seed)
    points = [point for point in POINTS if not given.point or str(point) in given.point]
    kinds = {"unique": [True], "repeated": [False], "both": [True, False]}[given.tags]
    with server() as postgres, nursery() as forks:
        for unique in itertools.cycle(kinds):
            place = private_directory()
            with (
                postgres.database(_template(postgres)) as janitor,
                world(place, postgres.dsn(janitor.dbname), forks, unique=unique) as made,
            ):
                for point in points:
                    began = time.monotonic()
                    result = round_of(made, point, KILLS, draw)
                    results.setdefault((result.name, result.capability), Result(result.name, result.capability)).add(
                        result
                    )
                    print(f"{result} {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
                    if sum(each.runs for each in results.values()) >= given.cycles:
                        break
            if any(each.faults for each in results.values()):
                print(f"the logs are in {place}", file=sys.stderr)
            else:
                shutil.rmtree(place)
            if sum(each.runs for each in results.values()) >= given.cycles:
                return


def rivals(given: argparse.Namespace, results: Results) -> None:
    """Two routers, and faults of either at any moment, on so many tasks; with both kinds of broker."""
    draw = random.Random(given.seed)
    kinds = {"unique": [True], "repeated": [False], "both": [True, False]}[given.tags]
    with server() as postgres, nursery() as forks:
        for unique in kinds:
            place = private_directory()
            with (
                postgres.database(_template(postgres)) as janitor,
                world(place, postgres.dsn(janitor.dbname), forks, unique=unique) as made,
            ):
                trades = max(1, given.rivals // (2 * len(made.numbers)))  # an entry and an exit on each account
                faults = max(1, trades // TRADES_A_FAULT)
                found, slowest_s = two_routers(made, trades, faults, draw)
                result = Result("two routers", capability(made), runs=2 * faults, slowest_rest_s=slowest_s)
                result.count(found)
                results[result.name, result.capability] = result
                print(result, file=sys.stderr, flush=True)
            if result.faults:
                print(f"the logs are in {place}", file=sys.stderr)
            else:
                shutil.rmtree(place)


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
    given = parser.parse_args()
    results: Results = {}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):  # what was seen until then is told
        (rivals if given.rivals else run)(given, results)
    print(table(results))
    faults = [f"{each.name}, {each.capability}: {fault}" for each in results.values() for fault in each.faults]
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
