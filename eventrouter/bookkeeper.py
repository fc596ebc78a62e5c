"""Keeps the books of the accounts of one connection: hears what their broker reports, and looks again where it may have missed some.

Talks to one connector and the store. Events are a hint as notifications are: whatever they say is true also when it is
heard twice or late, and after every gap, and once a minute, orders, fills and positions are read anew and compared.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from eventrouter import failpoints
from eventrouter.connectors.base import Connector
from eventrouter.domain.accounts import Account
from eventrouter.domain.book import compared
from eventrouter.domain.broker import BrokerAccount, BrokerEvent, BrokerOrder, Fill, Gap, Position
from eventrouter.ending import ended
from eventrouter.errors import StoreError
from eventrouter.leftovers import Leftovers
from eventrouter.logs import get_logger
from eventrouter.metrics import Metrics
from eventrouter.store import adopting
from eventrouter.store import resync as looks
from eventrouter.store.books import append_event, lock_books, read_books, read_holdings
from eventrouter.store.connect import Conn, Pool, session
from eventrouter.store.external import tell_external
from eventrouter.store.fills import (
    Moved,
    Recording,
    clear_ways,
    lost_orders,
    note_orders,
    protect,
    record_broker_fills,
    settle,
    settle_accounts,
)
from eventrouter.store.resync import Compared
from eventrouter.store.turned_up import adopt_shown
from eventrouter.transitions import tell

_log = get_logger("eventrouter.bookkeeper")


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. `look_every_s`: between two looks when nothing happens; `again_s`: before the second look at a difference, or
    at a fill whose order nobody knows; `lost_after_s`: how long an order may be missing from what the broker lists;
    `ask_within_s`: for one look; `grace_s`: how long a stop or target may be larger than its trade before it is withdrawn;
    `asked_every_s`: between two looks whether somebody asked for one; `retry_s`: after the first failure, doubled up to `look_every_s`. `look_back`: how much
    earlier than known events a look begins, since what happens may show late.
    """

    look_every_s: float = 60.0
    again_s: float = 2.0
    lost_after_s: float = 60.0
    ask_within_s: float = 60.0
    grace_s: float = 0.5
    retry_s: float = 1.0
    asked_every_s: float = 1.0
    look_back: timedelta = timedelta(minutes=15)


@dataclass(slots=True)
class _Look:
    """What is known of one account between two looks. `due`, `missing` and `lacking` are the loop's time."""

    account: Account
    due: float = 0.0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    strays: set[str] = field(default_factory=set)
    strangers: set[str] = field(default_factory=set)  # orders that were nobody's at the last look
    missing: dict[int, float] = field(default_factory=dict)
    lacking: float | None = None  # since when fills are missing of an order that the broker shows filled
    last: Compared | None = None
    looks: int = 0
    tried: bool = False
    pause_s: float | None = None  # set: the last look failed
    asked: int | None = None  # set: somebody asked for a look and waits for the answer
    answered: int = 0


class Bookkeeper:
    """Follows these accounts, all of one connection. `on_change` is called when tasks moved or were enqueued,
    `on_look` after every look once each account was looked at, or could not be.

    A broker that fails delays nobody: each account is looked at by a task of its own, and its failure is told once.
    """

    def __init__(
        self,
        connector: Connector,
        accounts: Sequence[Account],
        pool: Pool,
        *,
        actor: str,
        metrics: Metrics,
        on_change: Callable[[], None],
        on_look: Callable[[], None] = lambda: None,
        timing: Timing | None = None,
    ) -> None:
        self._connector = connector
        self._pool = pool
        self._actor = actor
        self._metrics = metrics
        self._on_change = on_change
        self._on_look = on_look
        self._timing = timing or Timing()
        self._looks = {account.name: _Look(account) for account in accounts}
        self._leftovers = Leftovers(connector, pool, actor=actor, grace_s=self._timing.grace_s)
        self._waiting: list[BrokerEvent] = []
        self._arrived = asyncio.Event()
        self._balances: dict[str, Decimal] = {}
        self._balances_read: float | None = None
        self._balances_lock = asyncio.Lock()

    async def run(self) -> None:
        """Reads the connector's events until they end; looks at every account at first."""
        followers = [asyncio.create_task(self._follow(look)) for look in self._looks.values()]
        followers += [asyncio.create_task(self._leftovers.run(account)) for account in self._looks]
        followers.append(asyncio.create_task(self._hear()))
        digesting = asyncio.create_task(self._digest())
        try:
            async for event in self._connector.events():
                self._waiting.append(event)
                self._arrived.set()
        finally:
            await ended([*followers, digesting])
            await self._leftovers.stop()

    def look_soon(self, account: str, in_s: float = 0.0) -> None:
        """Asks for a look at an account, for instance because an order's outcome is not known."""
        look = self._looks[account]
        look.due = min(look.due, asyncio.get_running_loop().time() + in_s)
        look.changed.set()

    def tidy_soon(self, account: str) -> None:
        """Looks whether an account's stops and targets still fit what it holds."""
        self._leftovers.look_soon(account)

    # events

    async def _digest(self) -> None:
        """Takes what has arrived, all at once; what could not be stored is read anew from the broker."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            batch, self._waiting = self._waiting, []
            try:
                await self._take(batch)
            except Exception as error:
                _log.warning("events_not_stored", events=len(batch), error=f"{type(error).__name__}: {error}")
                for account in self._looks:
                    self.look_soon(account, self._timing.retry_s)
                if isinstance(error, StoreError):
                    await asyncio.sleep(self._timing.retry_s)

    async def _take(self, batch: Sequence[BrokerEvent]) -> None:
        if any(isinstance(event, Gap) for event in batch):
            for account in self._looks:
                self.look_soon(account)
        orders = [each for each in batch if isinstance(each, BrokerOrder) and each.account in self._looks]
        fills = [each for each in batch if isinstance(each, Fill) and each.account in self._looks]
        if orders or fills:
            async with session(self._pool, "book") as conn, conn.transaction():
                await lock_books(conn, {o.account for o in orders} | {f.account for f in fills}, "live")
                moved, recording = await self._record(conn, orders, fills, frozenset())
                failpoints.hit("fills.commit.before")
            failpoints.hit("fills.commit.after")
            await self._clear_ways(orders, fills)
            self._told(moved, recording)
            for account in {o.account for o in orders} | {f.account for f in fills}:
                self._leftovers.look_soon(account)
            for stray in recording.strays:
                self.look_soon(stray.account)
        await self._compare_told(
            [each for each in batch if isinstance(each, Position) and each.account in self._looks],
            [each for each in batch if isinstance(each, BrokerAccount) and each.account in self._looks],
        )

    async def _clear_ways(self, orders: Sequence[BrokerOrder], fills: Sequence[Fill]) -> None:
        """Makes exits due that waited for these orders to be out of the way; their timers come later.

        In a transaction of its own, after the books': what it appends must not keep a claim from being recorded.
        """
        names = {(each.account, each.id) for each in orders} | {(each.account, each.order_id) for each in fills}
        try:
            async with session(self._pool, "clear ways") as conn, conn.transaction():
                cleared = await clear_ways(conn, self._actor, names)
        except StoreError as error:
            _log.warning("ways_not_cleared", error=str(error))
        else:
            if cleared:
                self._on_change()

    async def _compare_told(self, positions: Sequence[Position], balances: Sequence[BrokerAccount]) -> None:
        """A position or balance that is not what our books say is looked at, after what is under way has come."""
        names = {p.account for p in positions} | {b.account for b in balances if b.account is not None}
        if not names:
            return
        async with session(self._pool, "book") as conn:
            held = {name: each.net() for name, each in (await read_holdings(conn, names, "live")).items()}
            books = await read_books(conn, names, "live")
        latest = {(each.account, each.contract): each.quantity for each in positions}
        doubted = {name for (name, contract), quantity in latest.items() if held[name].get(contract, 0) != quantity}
        for told in balances:
            ours = books[told.account].balances if told.account is not None else None
            if told.account is not None and ours is not None and ours.balance != told.balance:
                doubted.add(told.account)
        for name in doubted:
            self.look_soon(name, self._timing.again_s)

    # looks

    async def _follow(self, look: _Look) -> None:
        """Looks at one account when something is due, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await _until_due(look)
            look.due, settled = loop.time() + self._timing.look_every_s, False
            try:
                async with asyncio.timeout(self._timing.ask_within_s):
                    number = look.asked
                    settled = await self.resync(look.account.name)
                    if settled and number is not None:
                        await self._answer(look, number)
            except Exception as error:
                if look.pause_s is None:
                    said = f"{type(error).__name__}: {error}"
                    _log.warning("account_not_read", account=look.account.name, error=said)
                look.pause_s = min(self._timing.look_every_s, 2 * (look.pause_s or self._timing.retry_s / 2))
                self.look_soon(look.account.name, look.pause_s)
            else:
                if look.pause_s is not None:
                    _log.info("account_read_again", account=look.account.name)
                look.pause_s = None
            # what differs at the first look is written down at the second one, and entries are to know it
            look.tried = look.tried or settled or look.pause_s is not None or look.looks > 0
            look.looks += 1
            if all(each.tried for each in self._looks.values()):
                self._on_look()

    async def _hear(self) -> None:
        """Looks at the accounts for which somebody asks, for ever. What was asked before the start is answered by the first look."""
        while True:
            with suppress(StoreError):
                async with session(self._pool, "asked") as conn:
                    found = await adopting.asked(conn, list(self._looks))
                for account, number in found.items():
                    look = self._looks[account]
                    if number > look.answered and look.asked != number:
                        look.asked, look.last = number, None
                        self.look_soon(account)
            await asyncio.sleep(self._timing.asked_every_s)

    async def _answer(self, look: _Look, number: int) -> None:
        """Writes down what the look found that somebody asked for."""
        if look.last is None:
            return
        account = look.account.name
        async with session(self._pool, "answer") as conn, conn.transaction():
            event = compared(number, looks.told(look.last.positions, look.last.prices))
            await append_event(conn, self._actor, account, "live", event)
        look.answered = number
        look.asked = None if look.asked == number else look.asked

    async def resync(self, account: str) -> bool:
        """Reads an account's orders, fills, positions and balance, and writes down what they say; True when nothing is left
        to be looked at a second time. Raises BrokerError, StoreError.
        """
        look = self._looks[account]
        async with session(self._pool, "resync") as conn:
            doubtful = look.last is not None and bool(look.last.positions)
            window = await looks.read_window(conn, look.account, self._timing.look_back, deep=doubtful)
        balance = await self._balance(account)
        orders = await self._connector.orders(account, window.orders)
        fills = await self._connector.fills(account, window.fills)
        positions = await self._connector.positions(account)
        async with session(self._pool, "resync") as conn, conn.transaction():
            await lock_books(conn, [account], "live")
            moved, recording = await self._record(conn, orders, fills, frozenset(look.strays))
            ended, lacking = await settle_accounts(conn, self._actor, [account])
            gone = await self._lost(conn, look, orders)
            look.strangers = await tell_external(conn, self._actor, account, [o.id for o in orders], look.strangers)
            look_again = bool(recording.strays) or self._fills_may_come(look, lacking=account in lacking)
            failpoints.hit("fills.commit.before")
        failpoints.hit("fills.commit.after")
        await self._clear_ways(orders, fills)
        self._told([*moved, *ended, *gone], recording)
        self._leftovers.look_soon(account)
        look.strays = {fill.id for fill in recording.strays}
        settled = not look_again and await self._compare(look, positions, balance)
        if not settled or look.strangers:
            self.look_soon(account, self._timing.again_s)
        return settled

    def _fills_may_come(self, look: _Look, *, lacking: bool) -> bool:
        """Whether missing fills are only late. When they do not come, positions are compared without them: they tell it then."""
        now = asyncio.get_running_loop().time()
        look.lacking = (look.lacking or now) if lacking else None
        return look.lacking is not None and now - look.lacking < self._timing.lost_after_s

    async def _compare(self, look: _Look, positions: Sequence[Position], balance: Decimal | None) -> bool:
        async with session(self._pool, "compare") as conn, conn.transaction():
            look.last = await looks.compare(conn, self._actor, look.account, positions, balance, look.last)
        return look.last.settled

    async def _record(
        self, conn: Conn, orders: Sequence[BrokerOrder], fills: Sequence[Fill], strays: frozenset[str]
    ) -> tuple[list[Moved], Recording]:
        """Notes orders, records fills, ends tasks, and enqueues the exits that follow."""
        moved = await note_orders(conn, self._actor, orders)
        adopted = await adopt_shown(conn, self._actor, orders)
        moved += adopted
        recording = await record_broker_fills(
            conn, self._actor, fills, foreign={(fill.account, fill.id) for fill in fills if fill.id in strays}
        )
        touched = {part.task_id for part in recording.parts if part.task_id is not None}
        touched |= {each.entry.task_id for each in adopted}
        moved += await settle(conn, self._actor, sorted(touched))
        recording.exits += await protect(conn, {o.account for o in orders} | {f.account for f in fills})
        return moved, recording

    async def _lost(self, conn: Conn, look: _Look, orders: Sequence[BrokerOrder]) -> list[Moved]:
        """Tasks whose orders the broker has not listed for too long."""
        now = asyncio.get_running_loop().time()
        working = await looks.working_tasks(conn, look.account.name)
        listed = {order.id for order in orders}
        missing = {task_id for task_id, order_id in working.items() if order_id not in listed}
        look.missing = {task_id: look.missing.get(task_id, now) for task_id in missing}
        gone = [task_id for task_id, since in look.missing.items() if now - since >= self._timing.lost_after_s]
        return await lost_orders(conn, self._actor, gone)

    async def _balance(self, account: str) -> Decimal | None:
        """The account's balance; looks at several accounts of one login at the same moment read them together."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        async with self._balances_lock:
            if self._balances_read is None or self._balances_read < asked:
                began = loop.time()
                found = await self._connector.accounts()
                self._balances = {each.account: each.balance for each in found if each.account is not None}
                self._balances_read = began
            return self._balances.get(account)

    def _told(self, moved: Sequence[Moved], recording: Recording) -> None:
        for each in moved:
            tell(
                self._metrics,
                task=each.entry.task_id,
                trade=each.trade_id,
                account=each.account,
                attempt=each.appended.attempt,
                prev=each.appended.prev_status,
                status=each.entry.status,
                reason=each.entry.reason,
                received_at=each.received_at,
                at=each.appended.created_at,
            )
        for part in recording.parts:
            execution = part.execution
            _log.info(
                "fill",
                account=execution.account,
                trade=part.trade_id,
                task=part.task_id,
                contract=execution.contract,
                side=str(execution.side),
                quantity=str(part.quantity),
                price=None if execution.price is None else str(execution.price),
            )
        if moved or recording.parts or recording.exits:
            self._on_change()


async def _until_due(look: _Look) -> None:
    loop = asyncio.get_running_loop()
    while (wait_s := look.due - loop.time()) > 0:
        look.changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await look.changed.wait()
