"""Withdraws stops and targets that could close more than their trade holds: shown late, or left over when it was closed by hand.

Makes larger again what was made smaller for a reduction that the broker then refused. Withdraws entries whose tasks are over.

An exit takes its trade's brackets away itself; this is for what no exit will come for. Nothing is asked at the first sight: the broker
takes away a bracket's other order by itself, and its news come one after the other.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from eventrouter.changing import Clearer
from eventrouter.connectors.base import Connector
from eventrouter.domain.clearing import Asker, Clearing, Wish, leftovers, regrown, requests, unwanted
from eventrouter.logs import get_logger
from eventrouter.store import tasks as store
from eventrouter.store.books import lock_books
from eventrouter.store.connect import Pool, session
from eventrouter.store.fills import trades_with_brackets

_log = get_logger("eventrouter.leftovers")
_WITHIN_S = 30.0
_AFTER_FAULT_S = 1.0


@dataclass(slots=True)
class _Seen:
    """What is left over on one account, by order and what may stay of it, since when in the loop's time."""

    changed: asyncio.Event = field(default_factory=asyncio.Event)
    since: dict[tuple[str, str], float] = field(default_factory=dict)


class Leftovers:
    """Looks at an account whenever its orders or fills have changed. `grace_s`: how long the broker has to tidy up by itself."""

    def __init__(self, connector: Connector, pool: Pool, *, actor: str, grace_s: float = 0.5) -> None:
        self._connector = connector
        self._pool = pool
        self._actor = actor
        self._grace_s = grace_s
        self._seen: dict[str, _Seen] = {}
        self._clearer = Clearer(pool, name=actor, within_s=_WITHIN_S, on_change=self._answered)

    def look_soon(self, account: str) -> None:
        """Its orders or fills have changed."""
        self._of(account).changed.set()

    async def run(self, account: str) -> None:
        """Follows one account until cancelled. What fails is tried again."""
        seen = self._of(account)
        wait_s: float | None = None
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await seen.changed.wait()
            seen.changed.clear()
            try:
                wait_s = await self._look(account, seen)
            except Exception as error:
                _log.warning("leftovers_not_looked_at", account=account, error=f"{type(error).__name__}: {error}")
                wait_s = _AFTER_FAULT_S

    async def stop(self) -> None:
        """Ends what is being asked; the next look asks again."""
        await self._clearer.drain(0.0)

    def _of(self, account: str) -> _Seen:
        return self._seen.setdefault(account, _Seen())

    def _answered(self) -> None:
        for seen in self._seen.values():
            if seen.since:
                seen.changed.set()

    async def _look(self, account: str, seen: _Seen) -> float | None:
        """Asks what is due; seconds until the next look, None when nothing is left over."""
        async with session(self._pool, "leftovers") as conn, conn.transaction():
            books = await lock_books(conn, [account], "live")
            book, now = books[account], books.now
            wishes: list[Wish] = []
            trades = [] if book.flattening is not None else await trades_with_brackets(conn, account)
            for trade_id in trades:
                facts = await store.trade_facts(conn, trade_id, account, "live")
                wishes += unwanted(facts)
                if book.out_of_sync is None:  # else it is not certain what the account holds
                    wishes += leftovers(facts) or regrown(facts)
            due, wait_s = self._due(seen, wishes)
            if not due or now is None:
                return wait_s
            asked = requests(account, None, due, now, Asker(self._actor))
            appended = await store.append(conn, self._actor, asked.rows)
        self._ask(account, [each for each in asked.clearings if each.task_id in appended])
        return asked.waits_s if wait_s is None else min(wait_s, asked.waits_s)

    def _due(self, seen: _Seen, wishes: list[Wish]) -> tuple[list[Wish], float | None]:
        """Those that have been left over for long enough, and seconds until the others have."""
        now = asyncio.get_running_loop().time()
        names = [(order.order_id, f"{left:f}") for order, left in wishes]
        seen.since = {name: seen.since.get(name, now) for name in names}
        ages_s = [now - seen.since[name] for name in names]
        due = [wish for wish, age_s in zip(wishes, ages_s, strict=True) if age_s >= self._grace_s]
        return due, min((self._grace_s - age_s for age_s in ages_s if age_s < self._grace_s), default=None)

    def _ask(self, account: str, clearings: list[Clearing]) -> None:
        for each in clearings:
            _log.warning(
                "left_over", account=account, task=each.task_id, order=each.order_id, may_stay=f"{each.left:f}"
            )
        self._clearer.start(self._connector, clearings)
