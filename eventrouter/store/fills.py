"""Fills, the broker's orders, and what follows from both: holdings, books, log rows, exits that cannot wait.

Everything here happens in the caller's transaction and takes the locks of the accounts first, in the order of their names.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from eventrouter.domain import book as events
from eventrouter.domain.broker import BrokerOrder, Fill, OrderSide, OrderState
from eventrouter.domain.holdings import NOBODY, Execution, Holdings, Owner, Part, root_of_contract, valued
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.domain.verdicts import way_cleared
from eventrouter.domain.working import (
    WorkingTask,
    ended,
    fill_row,
    is_late,
    lacks_fills,
    partly_filled,
    turned_up,
    unknown_to_broker,
)
from eventrouter.errors import StoreUnavailable
from eventrouter.logs import get_logger
from eventrouter.store.books import Books, lock_books, note_prices, other_days, read_holdings, read_prices, read_trades
from eventrouter.store.connect import Conn
from eventrouter.store.files import query
from eventrouter.store.tasks import Appended, append

_log = get_logger("eventrouter.fills")
_TRIES = 5
_ZERO = Decimal(0)
VOIDED = ":voided"
"""Behind a fill's id: the row that takes it back."""


@dataclass(frozen=True, slots=True)
class Executed:
    """An execution to record. `owner`: whose order it was; None: to be found among the broker's orders. `simulated`: it never
    left this machine, so a closing one is cut to what is held, and it leaves no log row of its own.
    """

    execution: Execution
    owner: Owner | None = None
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class Moved:
    """A log row that was appended, and whose."""

    entry: LogEntry
    appended: Appended
    trade_id: str
    account: str
    received_at: datetime


@dataclass(slots=True)
class Recording:
    """What recording did. `strays`: fills of orders that nobody knows yet, not recorded. `exits`: tasks enqueued."""

    parts: list[Part] = field(default_factory=list)
    strays: list[Fill] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)


async def record_broker_fills(
    conn: Conn, actor: str, fills: Sequence[Fill], *, foreign: Collection[tuple[str, str]] = ()
) -> Recording:
    """Records what a broker reported, each fill once, however often it comes.

    A fill of an order that is not among the broker's orders is left out, unless its (account, fill id) is in `foreign`:
    then nobody of ours ordered it. One that the exchange took back is taken back.
    """
    accounts = {fill.account for fill in fills}
    books = await lock_books(conn, accounts, "live")
    known = await _recorded(conn, [(f.account, name) for f in fills for name in (f.id, f.id + VOIDED)])
    fresh = [fill for fill in fills if not fill.voided and (fill.account, fill.id) not in known]
    owners = await _owners(conn, fresh)
    recording = Recording()
    executed: list[Executed] = []
    for fill in {(f.account, f.id): f for f in fresh}.values():
        owner = owners.get((fill.account, fill.order_id))
        if owner is None and (fill.account, fill.id) not in foreign:
            recording.strays.append(fill)
        else:
            executed.append(Executed(Execution.of(fill), owner or NOBODY))
    executed.sort(key=lambda each: (each.execution.at, len(each.execution.fill_id), each.execution.fill_id))
    holdings = await read_holdings(conn, accounts, "live")
    parts = [part for each in executed for part in _take(holdings[each.execution.account], each)]
    parts += [part for fill in fills if fill.voided for part in _taken_back(fill, known)]
    await _book(conn, "live", books, parts)
    recording.parts = parts
    recording.exits = await _evidence(conn, actor, books, parts)
    await books.write(conn, actor)
    return recording


async def record_simulated(conn: Conn, actor: str, mode: str, executed: Sequence[Executed], books: Books) -> list[Part]:
    """Records fills that came with the acceptance itself, each with its owner; `books` are those of their accounts, locked by the caller."""
    if not executed:
        return []
    known = await _recorded(conn, [(each.execution.account, each.execution.fill_id) for each in executed])
    trades = {(each.execution.account, each.owner.trade_id) for each in executed if each.owner and each.owner.trade_id}
    holdings = await read_trades(conn, trades, mode)
    parts = [
        part
        for each in executed
        if (each.execution.account, each.execution.fill_id) not in known
        for part in _take(holdings[each.execution.account], each)
    ]
    await _book(conn, mode, books, parts)
    await books.write(conn, actor)
    return parts


async def note_orders(conn: Conn, actor: str, orders: Sequence[BrokerOrder]) -> list[Moved]:
    """Notes orders as a broker shows them, and what that means for their tasks."""
    rows = await _note(conn, ours=False, orders=[_order_json(order) for order in orders])
    # only an order that was known before tells a part by itself; the first look at one is followed by its fills
    before = {row[2]: row[8] for row in rows if row[2] is not None and row[4] in ("entry", "exit")}
    return await settle(conn, actor, list(before), before)


async def note_own_orders(conn: Conn, orders: Sequence[tuple[int, BrokerOrder]]) -> None:
    """Notes orders that were just accepted, with their tasks; any news of the broker's counts more."""
    await _note(conn, ours=True, orders=[{**_order_json(order), "task_id": task_id} for task_id, order in orders])


async def settle(
    conn: Conn, actor: str, task_ids: Sequence[int], shown_before: Mapping[int, Decimal] | None = None
) -> list[Moved]:
    """Ends those of these tasks whose orders have ended and whose fills are all recorded; notes parts that filled.

    What an exit leaves that ended with only a part filled gets an exit of its own.
    """
    moved: list[Moved] = []
    for _ in range(_TRIES):
        found = await _working(conn, task_ids)
        entries: list[tuple[LogEntry, Sequence[Any]]] = []
        for task, row in found:
            entry = ended(task)
            if entry is None and shown_before is not None:
                entry = partly_filled(task, shown_before.get(task.id, task.shown))
            if entry is not None:
                entries.append((entry, row))
        appended = await append(conn, actor, [entry for entry, _ in entries])
        moved += [
            Moved(e, appended[e.task_id], row[9], row[10], row[11]) for e, row in entries if e.task_id in appended
        ]
        task_ids = [entry.task_id for entry, _ in entries if entry.task_id not in appended]
        if not task_ids:
            await _close_rest(conn, [each.entry.task_id for each in moved if each.entry.status is Status.SUCCESS])
            return moved
    raise StoreUnavailable(f"Tasks {list(task_ids)} keep moving on.")


async def settle_accounts(conn: Conn, actor: str, accounts: Collection[str]) -> tuple[list[Moved], set[str]]:
    """The same for every ACCEPTED task of these accounts; also the accounts on which fills are missing."""
    cursor = await conn.execute(query("accepted_tasks"), {"accounts": list(accounts)})
    task_ids = [row[0] for row in await cursor.fetchall()]
    moved = await settle(conn, actor, task_ids)
    ends = {each.entry.task_id for each in moved}
    left = await _working(conn, [task_id for task_id in task_ids if task_id not in ends])
    return moved, {row[10] for task, row in left if lacks_fills(task)}


async def lost_orders(conn: Conn, actor: str, task_ids: Sequence[int]) -> list[Moved]:
    """Tasks whose orders the broker does not list any more become UNKNOWN: a look-up tells what became of them."""
    found = await _working(conn, task_ids)
    entries = {task.id: (entry, row) for task, row in found if (entry := unknown_to_broker(task)) is not None}
    appended = await append(conn, actor, [entry for entry, _ in entries.values()])
    return [
        Moved(entry, appended[task_id], row[9], row[10], row[11])
        for task_id, (entry, row) in entries.items()
        if task_id in appended
    ]


async def protect(conn: Conn, accounts: Collection[str]) -> list[int]:
    """Enqueues exits where something is held that nothing watches; the new tasks.

    EXIT_UNPROTECTED, once for each trade, where the entry's stop was refused; EXIT_AGAIN where an exit failed, its brackets
    being withdrawn by then.
    """
    cursor = await conn.execute(query("unprotected"), {"accounts": list(accounts)})
    reason = "The broker refused the stop of this trade's entry."
    found = [await _enqueue(conn, row[0], "EXIT_UNPROTECTED", reason, once=True) for row in await cursor.fetchall()]
    cursor = await conn.execute(query("refused_exits"), {"accounts": list(accounts)})
    reason = "The exit before it failed, and the trade holds something still."
    found += [await _enqueue(conn, row[0], "EXIT_AGAIN", reason, once=False) for row in await cursor.fetchall()]
    return [task_id for task_id in found if task_id is not None]


async def trades_with_brackets(conn: Conn, account: str) -> list[str]:
    """Trades of which a stop or a target works."""
    cursor = await conn.execute(query("trades_with_brackets"), {"account": account})
    return [trade_id for (trade_id,) in await cursor.fetchall()]


async def clear_ways(conn: Conn, actor: str, orders: Collection[tuple[str, str]]) -> int:
    """Makes due what waited for orders of its trade to end: those of (account, order id) have changed. Returns how many.

    Where a claim is just deciding about such a task nothing is done: it looks again by itself.
    """
    if not orders:
        return 0
    names = sorted(orders)
    values = {"accounts": [account for account, _ in names], "order_ids": [order_id for _, order_id in names]}
    rows = await (await conn.execute(query("cleared_ways"), values)).fetchall()
    return len(await append(conn, actor, [way_cleared(task_id, version) for task_id, version in rows]))


async def _close_rest(conn: Conn, task_ids: Sequence[int]) -> None:
    """Enqueues EXIT_REST for those of these tasks that are exits whose trade still holds something."""
    if task_ids:
        cursor = await conn.execute(query("left_by_exits"), {"task_ids": list(task_ids)})
        for row in await cursor.fetchall():
            await _enqueue(conn, row[0], "EXIT_REST", "The exit before it left something of the trade.", once=False)


def _take(holdings: Holdings, executed: Executed) -> list[Part]:
    execution, owner = executed.execution, executed.owner or NOBODY
    if executed.simulated and owner.role == "exit":
        assert owner.trade_id is not None
        closing = holdings.simulated_close(execution, owner.trade_id)
        if closing is None:
            return []
        execution = closing
    return holdings.take(execution, owner)


async def _book(conn: Conn, mode: str, books: Books, parts: Sequence[Part]) -> None:
    """Writes the rows of fills, their prices, and one BOOKED for each account whose money they moved."""
    if not parts:
        return
    await conn.execute(query("record_fills"), {"mode": mode, **_columns(parts)})
    told = [(p.execution.root, p.execution.price, p.execution.at) for p in parts if p.execution.price is not None]
    await note_prices(conn, "fill", told)
    changed = [part for part in parts if part.pnl is not None or part.fee]
    accounts = sorted({part.execution.account for part in changed})
    if not accounts:
        return
    holdings = await read_holdings(conn, accounts, mode)
    prices = await read_prices(conn, holdings.values())
    for account in accounts:
        own = [part for part in changed if part.execution.account == account]
        worth = valued(holdings[account].open(), prices)
        books.add(
            account,
            events.booked(
                sum((part.pnl or _ZERO for part in own), _ZERO),
                sum((part.fee for part in own), _ZERO),
                worth.open_pnl,
                unvalued=[contract for contract, _ in worth.unvalued],
                fills=[[part.execution.fill_id, part.part] for part in own],
                **other_days(books[account], own),
            ),
        )


async def _evidence(conn: Conn, actor: str, books: Books, parts: Sequence[Part]) -> list[int]:
    """One log row for each part that belongs to a task, and what must happen at once because of it."""
    for part in parts:
        if part.task_id is not None and await _log_fill(conn, actor, part):
            why = f"Task {part.task_id} was over, and its order {part.execution.order_id} filled all the same."
            _log.warning("late_fill", account=part.execution.account, task=part.task_id, fill=part.execution.fill_id)
            if books[part.execution.account].out_of_sync is None:
                books.add(part.execution.account, events.out_of_sync(why, task=part.task_id))
    entries = sorted({part.task_id for part in parts if part.task_id is not None and part.role == "entry"})
    if not entries:
        return []
    cursor = await conn.execute(query("closed_before"), {"task_ids": entries})
    reason = "The entry filled after its trade was closed."
    found = [await _enqueue(conn, row[0], "EXIT_LATE", reason, once=False) for row in await cursor.fetchall()]
    return [task_id for task_id in found if task_id is not None]


async def _log_fill(conn: Conn, actor: str, part: Part) -> bool:
    """Appends a fill's evidence to its task; True when the task was over."""
    for _ in range(_TRIES):
        cursor = await conn.execute(query("task_states"), {"task_ids": [part.task_id]})
        row = await cursor.fetchone()
        if row is None:
            return False
        task_id, version, status = row[0], row[1], Status(row[2])
        accepted = None
        if part.role in ("entry", "exit"):
            accepted = turned_up(task_id, version, status, part.execution.order_id)
        if accepted is not None:
            if not await append(conn, actor, [accepted]):
                continue
            version, status = version + 1, accepted.status
        if await append(conn, actor, [fill_row(part, version, status)]):
            return is_late(part, status)
    raise StoreUnavailable(f"Task {part.task_id} keeps moving on.")


def _taken_back(fill: Fill, known: Mapping[tuple[str, str], list[Sequence[Any]]]) -> list[Part]:
    """The opposite of every recorded part of a fill that the exchange took back; nothing where that is recorded too."""
    if (fill.account, fill.id + VOIDED) in known:
        return []
    _log.warning("fill_taken_back", account=fill.account, fill=fill.id)
    execution = Execution.of(replace(fill, id=fill.id + VOIDED))
    execution = replace(execution, side=OrderSide.SELL if fill.side is OrderSide.BUY else OrderSide.BUY)
    return [
        Part(execution, part, None, trade_id, "foreign", quantity, -fee, None if pnl is None else -pnl)
        for _, _, part, _, _, trade_id, _, _, _, quantity, _, fee, pnl in known.get((fill.account, fill.id), ())
    ]


async def _recorded(conn: Conn, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[Sequence[Any]]]:
    values = {"accounts": [account for account, _ in names], "fill_ids": [fill_id for _, fill_id in names]}
    found: dict[tuple[str, str], list[Sequence[Any]]] = {}
    for row in await (await conn.execute(query("recorded_fills"), values)).fetchall():
        found.setdefault((row[0], row[1]), []).append(row)
    return found


async def _owners(conn: Conn, fills: Iterable[Fill]) -> dict[tuple[str, str], Owner]:
    orders = sorted({(fill.account, fill.order_id) for fill in fills})
    if not orders:
        return {}
    values = {"accounts": [account for account, _ in orders], "order_ids": [order_id for _, order_id in orders]}
    rows = await (await conn.execute(query("order_owners"), values)).fetchall()
    return {(account, order_id): Owner(task_id, trade_id, role) for account, order_id, task_id, trade_id, role in rows}


async def _working(conn: Conn, task_ids: Sequence[int]) -> list[tuple[WorkingTask, Sequence[Any]]]:
    if not task_ids:
        return []
    rows = await (await conn.execute(query("tasks_with_orders"), {"task_ids": list(task_ids)})).fetchall()
    return [(WorkingTask(row[0], row[1], Status(row[2]), row[3], OrderState(row[4]), *row[5:9]), row) for row in rows]


async def _enqueue(conn: Conn, task_id: int, event_type: str, reason: str, *, once: bool) -> int | None:
    values = {"task_id": task_id, "event_type": event_type, "reason": reason, "once": once}
    row = await (await conn.execute(query("enqueue_protection"), values)).fetchone()
    if row is None or row[0] is None:
        return None
    _log.warning("exit_enqueued", task=row[0], event_type=event_type, because_of=task_id, reason=reason)
    return int(row[0])


async def _note(conn: Conn, *, ours: bool, orders: Sequence[Mapping[str, Any]]) -> list[Sequence[Any]]:
    if not orders:
        return []
    values = {"mode": "live", "ours": ours, "orders": json.dumps(list(orders))}
    rows: list[Sequence[Any]] = await (await conn.execute(query("note_broker_orders"), values)).fetchall()
    return rows


def _order_json(order: BrokerOrder) -> dict[str, Any]:
    def text(value: Decimal | None) -> str | None:
        return None if value is None else f"{value:f}"

    return {
        "account": order.account,
        "order_id": order.id,
        "contract": order.contract,
        "root": root_of_contract(order.contract),
        "side": str(order.side),
        "quantity": text(order.quantity),
        "filled": text(order.filled),
        "state": str(order.state),
        "limit_price": text(order.limit_price),
        "stop_price": text(order.stop_price),
        "client_order_id": order.client_order_id,
        "parent_id": order.parent_id,
        "linked_id": order.linked_id,
        "placed_at": order.created_at.isoformat(),
        "updated_at": None if order.updated_at is None else order.updated_at.isoformat(),
    }


def _columns(parts: Sequence[Part]) -> dict[str, list[Any]]:
    executions = [part.execution for part in parts]
    return {
        "accounts": [e.account for e in executions],
        "fill_ids": [e.fill_id for e in executions],
        "parts": [part.part for part in parts],
        "order_ids": [e.order_id for e in executions],
        "task_ids": [part.task_id for part in parts],
        "trade_ids": [part.trade_id for part in parts],
        "contracts": [e.contract for e in executions],
        "roots": [e.root for e in executions],
        "sides": [str(e.side) for e in executions],
        "quantities": [part.quantity for part in parts],
        "prices": [e.price for e in executions],
        "fees": [part.fee for part in parts],
        "pnls": [part.pnl for part in parts],
        "filled_ats": [e.at for e in executions],
    }
