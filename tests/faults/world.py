"""One broker, one database and the alerts for them; what each side says of what was done."""

import asyncio
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from eventrouter.config import load_config
from eventrouter.failpoints import VARIABLE
from eventrouter.store.connect import Database
from eventrouter.store.tokens import add_token
from tests.faults.nursery import Child, Nursery
from tests.live.keys import MASTER_KEY, MASTER_KEY_NAME, store_keys
from tests.live.market import FIRST
from tests.live.settings_text import STRATEGY, account, text
from tests.processes import environment, until

Row = dict[str, Any]
LEASE_S = 1
_MOST_ATTEMPTS = 3
MOVING = "('PENDING', 'HELD', 'SENDING', 'UNKNOWN', 'ACCEPTED')"


@dataclass
class World:
    """What a fault happens to. `unique`: the broker refuses a client order id that it knows."""

    place: Path
    dsn: str
    unique: bool
    numbers: Mapping[str, int]
    broker: str
    nursery: Nursery
    token: str = ""
    public: int = 0
    operator: int = 0
    alerts: list[Row] = field(default_factory=list)
    taken: list[Row] = field(default_factory=list)
    reviewed: dict[int, str] = field(default_factory=dict)
    processes: int = 0
    build: str = ""

    # processes

    def start(self, point: str = "", *, half: str = "run", lease_s: int = LEASE_S, dsn: str = "") -> Child:
        """A service that dies at this point (`name[:nth][=action]`), or does not."""
        self.processes += 1
        env = environment(
            dsn or self.dsn,
            EVENTROUTER_CONFIG=str(self.place / "config.toml"),
            EVENTROUTER_ROUTER__LEASE=str(lease_s),
            EVENTROUTER_SERVER__PUBLIC=f"127.0.0.1:{self.public if half != 'router' else 0}",
            EVENTROUTER_SERVER__OPERATOR=f"127.0.0.1:{self.operator if half != 'router' else 0}",
        ) | {MASTER_KEY_NAME: MASTER_KEY}
        if point:
            env[VARIABLE] = point
        log = self.place / f"process{self.processes}.log"
        return self.nursery.start(half, env=env, log=log, build=self.build, weak=not self.unique)

    def say(self, *words: str) -> tuple[int, str]:
        """A command's exit status and what it said."""
        self.processes += 1
        log = self.place / f"command{self.processes}.log"
        env = environment(self.dsn, EVENTROUTER_CONFIG=str(self.place / "config.toml"))
        status = self.nursery.start(*words, env=env, log=log).status
        return status, log.read_text()

    # alerts

    def enter(self, trade: str, *, brackets: bool = False) -> None:
        """An entry of one contract on every account, to be posted."""
        legs = {"stop_loss": 23000, "take_profit": 25000} if brackets else {}
        self.alerts.append(
            {
                "trade_id": trade,
                "action": "buy",
                "side": "long",
                "quantity": 1,
                "price": 24000,
                "symbol": "MNQ1!",
                **legs,
            }
        )

    def leave(self, trade: str) -> None:
        """The trade's exit, to be posted."""
        self.alerts.append({"trade_id": trade, "action": "exit", "symbol": "MNQ1!"})

    def post(self, most: int = 1000) -> None:
        """Posts what nobody has confirmed yet, as a sender does: what is not answered with 200 is posted again next time."""
        for _ in range(most):
            if not self.alerts:
                return
            status, _ = self._http(f"http://127.0.0.1:{self.public}/webhook/{self.token}", self.alerts[0], within_s=5)
            if status != 200:
                return
            self.taken.append(self.alerts.pop(0))

    def post_until(self, condition: Callable[[], bool], what: str) -> None:
        """Posts until the condition is true."""

        def reached() -> bool:
            self.post()
            return condition()

        until(reached, what=what)

    def review(self) -> None:
        """What an operator does about tasks in REVIEW: looks at the broker, and sends entries of every other trade again, whose
        first order it does not have; the others are discarded. The lane goes on then.

        `reviewed` keeps, by the task's id, why that was no case for a person; empty where it was one.
        """
        for task in self.rows(
            "SELECT id, account, client_order_id, opening, attempts FROM execution_tasks WHERE status = 'REVIEW' ORDER BY id"
        ):
            execution = self.executions().get((self.numbers[task["account"]], task["client_order_id"]))
            why = "the broker refuses repeated ids" if self.unique else ""
            if execution and execution["executed"]:
                why = f"the broker has it: {execution}"
            self.reviewed.setdefault(task["id"], why)  # before: a service that dies now may have done it all the same
            again = task["opening"] and task["id"] % 2 == 0 and task["attempts"] < _MOST_ATTEMPTS
            self._act(task["id"], "retry" if again else "discard")

    def _act(self, task: int, action: str) -> None:
        url = f"http://127.0.0.1:{self.operator}/api/tasks/{task}/{action}"
        body: Row = {"actor": "test", "reason": "the broker's ledger does not have it"}
        if action == "retry":
            body |= {"confirm": task, "even_if_old": True, "even_if_held": True}
        status, said = self._http(url, body, within_s=10)
        assert status in (0, 200, 409), said

    def _http(self, url: str, body: Any, *, within_s: float) -> tuple[int, str]:
        """Status and text of a POST; 0 where nobody answered."""
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=within_s) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (OSError, HTTPException) as error:
            return 0, str(error)

    # the broker

    def control(self, what: str, body: Any = None, method: str | None = None) -> Any:
        """The simulated broker's control API."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.broker}/_control/{what}", data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def arm(self, fault: str, **more: Any) -> None:
        """Arms a fault."""
        self.control("faults", {"fault": fault, **more})

    def disarm(self) -> None:
        """Disarms all faults."""
        self.control("faults", method="DELETE")

    def executions(self) -> dict[tuple[int, str], Row]:
        """What was executed, by the broker's account and client order id."""
        found = self.control("ledger")["executions"]
        return {(row["account"], row["tag"]): row for row in found if row["tag"] is not None}

    def settled_execution(self, tag: str) -> int:
        """How many orders of this id the broker took, once it has answered everything that reached it."""
        seen: list[int] = []
        while len(seen) < 10 or len(set(seen[-10:])) > 1:
            rows = self.control(f"ledger?tag={tag}")["rows"]
            seen.append(sum(row["what"] == "accepted" for row in rows))
            time.sleep(0.02)
        return seen[-1]

    # the database

    def rows(self, query: str, *values: Any) -> list[Row]:
        """What a query answers, as the database's owner."""
        with psycopg.connect(self.dsn, autocommit=True, row_factory=dict_row) as conn:
            return conn.execute(query.encode(), values).fetchall()

    def moving(self) -> list[Row]:
        """Tasks that have not come to rest."""
        return self.rows(f"SELECT id, status, trade_id, account FROM execution_tasks WHERE status IN {MOVING}")

    def rest(self, within_s: float) -> Sequence[Row]:
        """Posts what is left, reviews, and waits until nothing moves; what moves still after so many seconds."""
        deadline = time.monotonic() + within_s
        while True:
            self.post()
            self.review()
            moving = self.moving()
            reviewing = self.rows("SELECT id FROM execution_tasks WHERE status = 'REVIEW'")
            if (not self.alerts and not moving and not reviewing) or time.monotonic() > deadline:
                return [*self.alerts, *moving]
            time.sleep(0.05)


@contextmanager
def world(
    place: Path,
    dsn: str,
    nursery: Nursery,
    *,
    unique: bool = True,
    accounts: int = 2,
    listen_dsn: str = "",
    build: str = "",
) -> Iterator[World]:
    """A world on a migrated, empty database. `listen_dsn`: where the router hears notifications; `build`: what it runs."""
    place.mkdir(exist_ok=True)
    port, public, operator = _free_ports(3)
    numbers = {f"a{n}": FIRST + n for n in range(accounts)}
    tags = "--unique-tags" if unique else "--no-unique-tags"
    words: tuple[str, ...] = ("simulator", "--listen", f"127.0.0.1:{port}", "--feed", "posted", "--step", "0.02", tags)
    words += ("--requests-per-minute", "0", "--accounts", str(accounts))
    broker = nursery.start(*words, env=environment(), log=place / "broker.log")
    until(lambda: (place / "broker.log").read_text().strip(), what="the broker")
    made = World(place, dsn, unique, numbers, f"http://127.0.0.1:{port}", nursery, build=build)
    made.public, made.operator = public, operator
    tables = [account(name, number, made.broker, "a0") for name, number in numbers.items()]
    store_keys(place / "credentials", ["a0"])
    strategies = [{"name": STRATEGY, "max_age": 0, "duplicate_window": 3600}]
    database = {"dsn": dsn, **({"listen_dsn": listen_dsn} if listen_dsn else {})}
    written = text(dsn, tables, place / "credentials", strategies=strategies, database=database)
    (place / "config.toml").write_text(written)
    load_config(place / "config.toml", environ={})
    made.token = asyncio.run(_token(dsn))
    try:
        yield made
    finally:
        broker.kill()


async def _token(dsn: str) -> str:
    async with await Database(dsn).connect("test") as conn:
        return await add_token(conn, STRATEGY)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
