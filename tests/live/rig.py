"""The whole way in one process: alerts over HTTP, Postgres, the router, and a broker that speaks the real API on a socket."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg.rows import dict_row

from eventrouter.config import Config, load_config
from eventrouter.domain.tasks import FINAL, Status
from tests.live.market import Key, Market, Row, filled
from tests.live.settings_text import STRATEGY
from tests.processes import until_async
from tests.web.feed_reader import sse
from tests.web.live_site import Site, running

T = TypeVar("T")
PATIENCE_S = 30.0
Owner = psycopg.AsyncConnection[dict[str, Any]]


class Watch:
    """Every log row as it commits, by its task, told by the live feed."""

    def __init__(self, site: Site) -> None:
        self.rows: defaultdict[int, list[Row]] = defaultdict(list)
        self._site = site
        self._news = asyncio.Condition()

    async def follow(self) -> None:
        """Reads the feed from its start until cancelled."""
        async with aclosing(sse(self._site, query="?from=start")) as events:
            async for _, row in events:
                if row is not None:
                    async with self._news:
                        self.rows[row["task_id"]].append(row)
                        self._news.notify_all()

    async def until(self, condition: Callable[[], T | None], what: str) -> T:
        """What the condition gives once it gives something true; it is asked again after every row."""
        try:
            async with asyncio.timeout(PATIENCE_S), self._news:
                while not (found := condition()):
                    await self._news.wait()
                return found
        except TimeoutError:
            raise AssertionError(f"{what} did not come true within {PATIENCE_S:g} s. The log:\n{self}") from None

    def __str__(self) -> str:
        return "\n".join(
            f"{row['account']} task {task} {row['event_type']} {row['trade_id']}: {row['prev_status']} > {row['status']} "
            f"{row['reason']} {row['message'] or ''}"
            for task, rows in sorted(self.rows.items())
            for row in rows
        )


@dataclass(frozen=True)
class Posted:
    """An alert's answer: the tasks that it made, and the plan that says why other accounts got none."""

    answer: Mapping[str, Any]
    tasks: Sequence[Row]
    plan: Sequence[Row]

    def task(self, account: str, event_type: str | None = None) -> int:
        """The id of the one task of an account, or of the one of this event."""
        found = [
            row["id"]
            for row in self.tasks
            if row["account"] == account and event_type in (None, row["event_type"], row["event_type"].split("_")[0])
        ]
        assert len(found) == 1, self.tasks
        number: int = found[0]
        return number


@dataclass
class Rig:
    """A running service with accounts at one broker or several. `numbers`: our accounts' names → the broker's numbers."""

    site: Site
    watch: Watch
    sql: Owner
    dsn: str
    token: str
    market: Market
    numbers: Mapping[str, int]
    others: Mapping[str, Market] = field(default_factory=dict)

    async def as_strategy(self, name: str) -> "Rig":
        """The same rig with another strategy's alerts."""
        return replace(self, token=await self.site.token(name))

    async def post(self, **alert: Any) -> Posted:
        """Posts an alert, which must be taken; an entry is of MNQ unless it says otherwise."""
        status, answer = await self.site.alert(self.token, {"symbol": "MNQ1!", **alert})
        assert status == 200, answer
        tasks = await self.rows(
            "SELECT id, account, event_type, client_order_id FROM execution_tasks WHERE id = ANY(%s) ORDER BY id",
            answer["tasks"],
        )
        signal = await self.rows("SELECT plan FROM automated_signals WHERE id = %s", answer["signal_id"])
        return Posted(answer, tasks, signal[0]["plan"] or [])

    async def entry(self, trade_id: str, quantity: int = 1, side: str = "long", **more: Any) -> Posted:
        """An entry at the market, at 24000."""
        action = "buy" if side == "long" else "sell"
        return await self.post(
            **{"trade_id": trade_id, "action": action, "side": side, "quantity": quantity, "price": 24000, **more}
        )

    async def exit(self, trade_id: str, **more: Any) -> Posted:
        """The trade's exit."""
        return await self.post(**{"trade_id": trade_id, "action": "exit", **more})

    async def rows(self, query: str, *values: Any) -> list[Row]:
        """What a query answers, as the database's owner."""
        return await (await self.sql.execute(query.encode(), values)).fetchall()

    # what became of a task

    async def ended(self, task: int) -> Row:
        """The row that ended a task; evidence that came after it, a fill or the broker's answer to a cancel, is left out."""

        def end() -> Row | None:
            moves = [row for row in self.watch.rows[task] if row["status"] != row["prev_status"]]
            return moves[-1] if moves and moves[-1]["status"] in FINAL else None

        return await self.watch.until(end, f"the end of task {task}")

    async def reached(self, task: int, status: str | None, reason: str | None = None) -> Row:
        """The first row of a task with this status and reason, of those that are given."""

        def found() -> Row | None:
            rows = (row for row in self.watch.rows[task] if status in (None, row["status"]))
            return next((row for row in rows if reason in (None, row["reason"])), None)

        return await self.watch.until(found, f"{status or ''} {reason or ''} of task {task}")

    async def done(self, posted: Posted, status: str = Status.SUCCESS) -> dict[str, Row]:
        """The last rows of an alert's tasks, by account, once all are final; all must have ended so."""
        ends = {row["account"]: await self.ended(row["id"]) for row in posted.tasks}
        assert {end["status"] for end in ends.values()} == {status}, str(self.watch)
        return ends

    async def done_on(self, posted: Posted, *accounts: str) -> None:
        """Returns once the tasks of these accounts are SUCCESS."""
        for account in accounts:
            assert (await self.ended(posted.task(account)))["status"] == Status.SUCCESS, str(self.watch)

    def statuses(self, task: int) -> list[str]:
        """Where a task has been, every status once in a row."""
        found: list[str] = []
        for row in self.watch.rows[task]:
            if not found or found[-1] != row["status"]:
                found.append(row["status"])
        return found

    # what is held

    async def booked(self, table: str) -> dict[Key, int]:
        """Contracts by the broker's account and contract, from `holdings` or from the sum of `fills`."""
        signed = "quantity" if table == "holdings" else "CASE side WHEN 'BUY' THEN quantity ELSE -quantity END"
        rows = await self.rows(
            f"SELECT account, contract, sum({signed}) AS net FROM {table} WHERE mode = 'live' GROUP BY 1, 2"
        )
        return {(self.numbers[row["account"]], row["contract"]): int(row["net"]) for row in rows if row["net"]}

    async def both_sides(self) -> dict[Key, int]:
        """Positions, once the broker's, its ledger's, our fills and our holdings are the same."""
        seen: dict[str, dict[Key, int]] = {}

        async def agree() -> bool:
            seen["broker"] = await self.market.positions()
            seen["ledger"] = filled(await self.market.ledger())
            seen["fills"], seen["holdings"] = await self.booked("fills"), await self.booked("holdings")
            return len({frozenset(each.items()) for each in seen.values()}) == 1

        try:
            await until_async(agree, within_s=PATIENCE_S, what="the same positions everywhere")
        except TimeoutError:
            raise AssertionError(f"Positions differ: {seen}\n{self.watch}") from None
        return seen["broker"]

    async def holds(self, root: str = "MNQ") -> dict[str, int]:
        """Contracts of the active month by our account's name, zero included, once both sides agree."""
        positions, contract = await self.both_sides(), await self.market.contract(root)
        return {name: positions.get((number, contract), 0) for name, number in self.numbers.items()}

    async def sold(self) -> list[int]:
        """The sizes of all sales that the broker filled, in order."""
        rows = await self.market.ledger()
        return [row["size"] for row in rows if row["what"] == "filled" and row["side"] == "SELL"]

    async def realised(self, account: str) -> Decimal:
        """Profit and loss that an account's fills have realised, fees not taken off."""
        rows = await self.rows("SELECT coalesce(sum(pnl), 0) AS sum FROM fills WHERE account = %s", account)
        return Decimal(rows[0]["sum"])


def configured(file: Path, text: str) -> Config:
    """The configuration in this text, written to this file."""
    file.write_text(text)
    return load_config(file, environ={})


@asynccontextmanager
async def rig(
    config: Config,
    dsn: str,
    market: Market,
    numbers: Mapping[str, int],
    others: Mapping[str, Market] | None = None,
    *,
    with_router: bool = True,
) -> AsyncIterator[Rig]:
    """A service for as long as the block lasts. `others`: accounts that another broker has."""
    async with running(config, with_router=with_router) as site:
        watch = Watch(site)
        following = asyncio.create_task(watch.follow())
        try:
            async with await psycopg.AsyncConnection.connect(dsn, autocommit=True, row_factory=dict_row) as sql:
                yield Rig(site, watch, sql, dsn, await site.token(STRATEGY), market, numbers, others or {})
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
