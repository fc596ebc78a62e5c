"""Watches the accounts of one connection: begins their trading days, marks what they hold, and has them flattened in time.

It decides nothing itself: domain/guarding.py says when, and the flattening it asks for is a control like anybody's.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from eventrouter.connection import Connection
from eventrouter.domain.accounts import Account
from eventrouter.domain.broker import Price
from eventrouter.domain.controls import account_scope
from eventrouter.domain.denials import Denied
from eventrouter.domain.guarding import GUARDIAN, Alarm, alarms, ends_with, unanswered
from eventrouter.logs import get_logger
from eventrouter.store import controls as store
from eventrouter.store.books import mark, note_prices
from eventrouter.store.connect import Pool, session
from eventrouter.store.controls import Guarded

_log = get_logger("eventrouter.guardian")
_PRICE_EVERY_S = 3.0
_PRICE_WITHIN_S = 2.0


class Guardian:
    """Looks at each account every `every_s` seconds.

    `now` gives the time; None: the database's clock does, as for everything that several routers decide.
    """

    def __init__(
        self,
        pool: Pool,
        connection: Connection,
        *,
        name: str,
        every_s: float = 1.0,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._pool = pool
        self._connection = connection
        self._accounts = {account.name: account for account in connection.accounts}
        self._name = name
        self._mode = connection.mode
        self._every_s = every_s
        self._now = now
        self._asked_at: dict[str, float] = {}
        self._unvalued: dict[str, dict[str, str]] = {}

    async def run(self) -> None:
        """Runs until cancelled; raises StoreError when Postgres is away."""
        while True:
            await self.look()
            await asyncio.sleep(self._every_s)

    async def look(self) -> None:
        """One look at every account."""
        async with session(self._pool, "guardian") as conn:
            guarded = await store.guarded(conn, list(self._accounts), self._mode)
        await self._ask_prices({holding for each in guarded for holding in each.held})
        for each in guarded:
            await self._guard(self._accounts[each.account], each)

    async def _guard(self, account: Account, seen: Guarded) -> None:
        days, now = account.limits.days, seen.now if self._now is None else self._now()
        book = seen.book
        if seen.held or book.day != days.of(now) or (book.balances is not None and book.balances.open_pnl):
            try:
                async with session(self._pool, "guardian") as conn, conn.transaction():
                    book, unvalued = await mark(conn, self._name, account, self._mode, now)
                if account.limits.daily_loss is not None or account.limits.drawdown is not None:
                    self._tell_unvalued(account.name, dict(unvalued))
            except Denied as denied:
                _log.error("not_marked", account=account.name, error=str(denied))
        found = alarms(book, account.limits, now)
        if found and seen.busy and not seen.flattening and unanswered(found, seen.controls, days, now):
            await self._flatten(account, found, now)
        elif not seen.flattening and ends_with(seen.controls, days, now):
            await self._let_trade_again(account, now)

    def _tell_unvalued(self, account: str, unvalued: dict[str, str]) -> None:
        """Once for each contract, and again when it was valued in between."""
        known, self._unvalued[account] = self._unvalued.get(account, {}), unvalued
        for contract, why in unvalued.items():
            if contract not in known:
                _log.error(
                    "no_value",
                    account=account,
                    contract=contract,
                    why=f"{why}: its profit or loss is missing in this account's daily loss and drawdown",
                    what_to_do="watch it at the broker and close it there or with `eventrouter flatten` if in doubt;"
                    " entries of a live account with a loss limit are denied until it is closed or has a price",
                )

    async def _ask_prices(self, held: set[tuple[str, str]]) -> None:
        """Notes the prices of what is held, those that are due; what the broker does not tell stays as it was."""
        now = time.monotonic()
        due = sorted(each for each in held if now - self._asked_at.get(each[0], -_PRICE_EVERY_S) >= _PRICE_EVERY_S)
        self._asked_at = {each: at for each, at in self._asked_at.items() if now - at < _PRICE_EVERY_S}
        self._asked_at |= {contract: now for contract, _ in due}
        told = await asyncio.gather(*(self._price(contract) for contract, _ in due))
        prices = [(root, each.value, each.at) for (_, root), each in zip(due, told, strict=True) if each is not None]
        if prices:
            async with session(self._pool, "guardian") as conn:
                await note_prices(conn, "broker", prices)

    async def _price(self, contract: str) -> Price | None:
        try:
            async with asyncio.timeout(_PRICE_WITHIN_S):
                return await self._connection.connector.price(contract)
        except Exception as error:  # whatever a connector does, the cut-off must still be watched
            _log.warning("no_price", contract=contract, error=f"{type(error).__name__}: {error}")
            return None

    async def _flatten(self, account: Account, found: Sequence[Alarm], now: datetime) -> None:
        """Asks for it unless another router's guardian has just done so."""
        scope, days = account_scope(account.name), account.limits.days
        async with session(self._pool, "guardian") as conn, conn.transaction():
            rows = await store.lock_guard(conn, account.name)
            for alarm in unanswered(found, rows, days, now)[:1]:
                _log.error("flattening", account=account.name, code=alarm.code, why=alarm.message)
                await store.set_control(conn, scope, "flatten", GUARDIAN, alarm.reason())

    async def _let_trade_again(self, account: Account, now: datetime) -> None:
        scope, days = account_scope(account.name), account.limits.days
        async with session(self._pool, "guardian") as conn, conn.transaction():
            rows = await store.lock_guard(conn, account.name)
            if action := ends_with(rows, days, now):
                reason = f"The trading day {days.of(now).isoformat()} has begun."
                await store.set_control(conn, scope, action, GUARDIAN, reason)
