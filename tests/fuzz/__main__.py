"""`python -m tests.fuzz --minutes 20 --seed 1`: a long run against a whole service on an embedded database of its own.

Prints what was posted by family and status, and every finding with its body in base64. Exit status 1 when there is any.
"""

import argparse
import asyncio
import io
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

import psycopg

from eventrouter import ingest
from eventrouter.domain.parsers import read_alert
from eventrouter.logs import configure_logging
from eventrouter.store.embedded import open_server
from eventrouter.store.migrate import migrate
from eventrouter.web import tokens
from tests.conftest import private_directory
from tests.fuzz.bodies import body_of
from tests.fuzz.posts import odd_requests, post_of
from tests.fuzz.prober import Faults, Prober
from tests.fuzz.strategies import STRATEGIES, fuzzed_configuration, published_bodies
from tests.web.live_site import running

_AT_ONCE = 16
_SETTLE_EVERY = 10_000
_PATIENCE_S = 30.0
_MOST_FINDINGS = 25


async def fuzz(dsn: str, *, minutes: float, seed: int, published: Sequence[bytes]) -> Prober:
    """Posts for so long, or until there are too many findings; then lets the router finish and checks the history."""
    random = Random(seed)
    slowest: list[tuple[float, bytes]] = []
    with Faults().watching() as faults, psycopg.connect(dsn, autocommit=True) as sql:
        async with running(fuzzed_configuration(dsn)) as site:
            own = {strategy["name"]: await site.token(strategy["name"]) for strategy in STRATEGIES}
            prober = Prober(site, sql, faults)
            odd = odd_requests(own["plain"])
            started, number, told = time.monotonic(), 0, 0.0
            while (spent_s := time.monotonic() - started) < minutes * 60 and len(prober.findings) < _MOST_FINDINGS:
                posts = [post_of(random, body_of(random, published), own, number + each) for each in range(_AT_ONCE)]
                number += len(posts)
                for finding in await prober.probe(posts):
                    print(f"- {finding}", flush=True)
                slowest = sorted([*slowest, *((_cpu_s(post.raw), post.raw) for post in posts[:2])], reverse=True)[:3]
                if random.random() < 0.05:
                    await prober.odd(random.choice(odd))
                if number % _SETTLE_EVERY < _AT_ONCE:
                    await prober.settle(600)
                if spent_s - told > 60:
                    told = spent_s
                    print(f"{spent_s:.0f} s: {number} posts, {len(prober.findings)} findings", flush=True)
            spent_s = time.monotonic() - started
            await prober.settle(600)
    _report(prober, number, spent_s, slowest)
    return prober


def _cpu_s(raw: bytes) -> float:
    started = time.process_time()
    read_alert(raw)
    return time.process_time() - started


def _report(prober: Prober, number: int, spent_s: float, slowest: list[tuple[float, bytes]]) -> None:
    statuses = sorted({status for _, status in prober.figures})
    print(f"\n{'family':<14}" + "".join(f"{status:>9}" for status in statuses))
    for family in sorted({family for family, _ in prober.figures}):
        print(f"{family:<14}" + "".join(f"{prober.figures[family, status]:>9}" for status in statuses))
    total: Counter[int] = Counter()
    for (_, status), count in prober.figures.items():
        total[status] += count
    print(f"{'all':<14}" + "".join(f"{total[status]:>9}" for status in statuses))
    print("\n" + ", ".join(f"{code} {count}" for code, count in prober.codes.most_common()))
    print(f"\n{number} posts in {spent_s:.0f} s, {number / max(spent_s, 1e-9):.0f} a second")
    print("slowest to read: " + ", ".join(f"{cpu_s * 1000:.0f} ms ({len(raw)} bytes)" for cpu_s, raw in slowest))
    print(f"{len(prober.findings)} findings")
    for finding in prober.findings[:_MOST_FINDINGS]:
        print(f"- {finding}")


def main() -> int:
    """Runs the command line; 1 when there is a finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--samples",
        type=Path,
        help="a file of published bodies, one JSON object a line; default: beside the repository",
    )
    arguments = parser.parse_args()
    # a machine that is busy beside the run must not look like a Postgres that is away
    tokens._PATIENCE_S = tokens._READ_WITHIN_S = ingest._COMMIT_WITHIN_S = _PATIENCE_S
    configure_logging("json", "warning", io.StringIO())
    home = private_directory()
    server = open_server(home / "db", settings={"fsync": "off"})
    try:
        migrate(server.admin_dsn)
        published = published_bodies(*filter(None, [arguments.samples]))
        prober = asyncio.run(
            fuzz(server.admin_dsn, minutes=arguments.minutes, seed=arguments.seed, published=published)
        )
    finally:
        server.close()
        shutil.rmtree(home, ignore_errors=True)
    return 1 if prober.findings else 0


if __name__ == "__main__":
    sys.exit(main())
