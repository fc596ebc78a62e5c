"""The books of accounts: locked, moved by events, written down. One row of account_log for each event."""

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from eventrouter.domain import book as events
from eventrouter.domain.accounts import Account
from eventrouter.domain.book import Book, BookEvent, fold
from eventrouter.domain.holdings import Holding, Holdings, Part, valued
from eventrouter.errors import StoreUnavailable
from eventrouter.store.connect import Conn
from eventrouter.store.files import query

_LEAST_MARK = Decimal(1)
_LEAST_MARK_PART = Decimal("0.0005")  # of the balance: a smaller move of the open profit leaves no row


class Marked(NamedTuple):
    """A book that is up to date, and the contracts that are held and cannot be valued, each with why."""

    book: Book
    unvalued: tuple[tuple[str, str], ...]


class Books:
    """Books under their accounts' locks. What is added counts at once here, and for everybody with the commit of `write`."""

    def __init__(self, mode: str, rows: Iterable[Sequence[Any]]) -> None:
        self._mode = mode
        self._seqs: dict[str, int] = {}
        self._books: dict[str, Book] = {}
        self._rows: list[tuple[str, int, BookEvent, Book]] = []
        self.now: datetime | None = None
        for account, seq, state, now in rows:
            self._seqs[account], self._books[account], self.now = seq, Book.from_json(state), now

    def __getitem__(self, account: str) -> Book:
        return self._books[account]

    def next_seq(self, account: str) -> int:
        """The number of the row that is added next."""
        return self._seqs[account] + 1

    def add(self, account: str, event: BookEvent) -> Book:
        """The book after the event. Raises Denied for a figure that is no number of a sane size."""
        book = fold(self._books[account], event)
        self._rows.append((account, self._seqs[account], event, book))
        self._seqs[account] += 1
        self._books[account] = book
        return book

    async def write(self, conn: Conn, actor: str) -> None:
        """Appends what was added. Raises StoreUnavailable when somebody wrote without the lock: the caller looks again."""
        rows, self._rows = self._rows, []
        if not rows:
            return
        values = {
            "actor": actor,
            "mode": self._mode,
            "accounts": [account for account, _, _, _ in rows],
            "seqs": [seq for _, seq, _, _ in rows],
            "kinds": [str(event.kind) for _, _, event, _ in rows],
            "messages": [event.message for _, _, event, _ in rows],
            "details": [json.dumps(dict(event.detail)) for _, _, event, _ in rows],
            "states": [json.dumps(book.to_json()) for _, _, _, book in rows],
        }
        row = await (await conn.execute(query("append_account_log"), values)).fetchone()
        if row is None or row[0] != len(rows):
            raise StoreUnavailable("An account's log was appended to by somebody who did not lock the account.")


async def lock_books(conn: Conn, accounts: Collection[str], mode: str) -> Books:
    """Locks accounts until the transaction ends: whoever writes fills, or what follows from them, comes through here."""
    cursor = await conn.execute(query("lock_books"), {"accounts": sorted(accounts), "mode": mode})
    return Books(mode, await cursor.fetchall())


async def append_event(conn: Conn, actor: str, account: str, mode: str, event: BookEvent) -> Book:
    """Locks one account, appends one event, and gives the book after it."""
    books = await lock_books(conn, [account], mode)
    book = books.add(account, event)
    await books.write(conn, actor)
    return book


async def read_books(conn: Conn, accounts: Collection[str], mode: str) -> dict[str, Book]:
    """How these accounts stand; those of which nothing is known have an empty book."""
    cursor = await conn.execute(query("books"), {"accounts": list(accounts), "mode": mode})
    found = {account: Book.from_json(state) for account, state in await cursor.fetchall()}
    return {account: found.get(account, Book()) for account in accounts}


async def read_holdings(conn: Conn, accounts: Collection[str], mode: str) -> dict[str, Holdings]:
    """What is held on each of these accounts."""
    cursor = await conn.execute(query("book_holdings"), {"accounts": list(accounts), "mode": mode})
    return _holdings(accounts, await cursor.fetchall())


async def read_trades(conn: Conn, trades: Collection[tuple[str, str]], mode: str) -> dict[str, Holdings]:
    """What these trades, (account, trade id), hold: an account may have thousands of simulated ones that nobody closes."""
    accounts, trade_ids = [account for account, _ in trades], [trade_id for _, trade_id in trades]
    values = {"accounts": accounts, "trade_ids": trade_ids, "mode": mode}
    return _holdings(accounts, await (await conn.execute(query("trade_holdings"), values)).fetchall())


def _holdings(accounts: Iterable[str], rows: Iterable[Sequence[Any]]) -> dict[str, Holdings]:
    held: dict[str, list[Holding]] = {account: [] for account in accounts}
    for account, *values in rows:
        held[account].append(Holding(*values))
    return {account: Holdings(each) for account, each in held.items()}


async def read_prices(conn: Conn, holdings: Iterable[Holdings]) -> dict[str, Decimal]:
    """Root → last price, of what is held."""
    roots = sorted({each.root for held in holdings for each in held.open()})
    if not roots:
        return {}
    return dict(await (await conn.execute(query("prices_of"), {"roots": roots})).fetchall())


async def note_prices(conn: Conn, source: str, prices: Sequence[tuple[str, Decimal, datetime]]) -> None:
    """Notes (root, price, when) as the latest prices; older ones than are known change nothing."""
    if prices:
        roots, values, ats = zip(*prices, strict=True)
        named = {"source": source, "roots": list(roots), "prices": list(values), "ats": list(ats)}
        await conn.execute(query("note_prices"), named)


async def mark(conn: Conn, actor: str, account: Account, mode: str, now: datetime | None = None) -> Marked:
    """The account's book with its trading day and open profit brought up to date. Call it inside a transaction.

    A new trading day and a higher peak of equity are always written down; an open profit only when it moved by a dollar
    and by 0.05 % of the balance since the last row. The book that is returned is up to date in any case. What
    cannot be valued is no part of the open profit. `now` is the database's clock unless given.
    """
    books = await lock_books(conn, [account.name], mode)
    held = (await read_holdings(conn, [account.name], mode))[account.name]
    now = now or books.now
    assert now is not None
    days = account.limits.days
    day = days.of(now)
    book = books[account.name]
    if book.balances is None and account.balance is not None and (mode == "dry" or account.connector == "dryrun"):
        # no broker will ever tell a balance: it is what the account began with and what has been realised since
        balance = account.balance + book.realised_today
        started = {"initial": account.balance, "day_start": account.balance}
        book = books.add(account.name, events.opened(balance, day, **started, bounds=days.bounds(day)))
    else:
        book = begin_day(books, account, now)
    found = valued(held.open(), await read_prices(conn, [held]))
    current = book
    if book.balances is not None:
        event = events.marked(found.open_pnl, [contract for contract, _ in found.unvalued])
        current = fold(book, event)
        if _worth_a_row(book, current, found.open_pnl):
            books.add(account.name, event)
    await books.write(conn, actor)
    return Marked(current, found.unvalued)


def begin_day(books: Books, account: Account, now: datetime) -> Book:
    """The account's book in the trading day of `now`."""
    days, book = account.limits.days, books[account.name]
    day = days.of(now)
    return book if book.day == day else books.add(account.name, events.new_day(day, book, days.bounds(day)))


def other_days(book: Book, parts: Sequence[Part]) -> dict[str, Decimal]:
    """What these parts realised, fees taken off, before the book's trading day began and after it ended."""

    def net(some: Iterable[Part]) -> Decimal:
        return sum(((part.pnl or Decimal(0)) - part.fee for part in some), Decimal(0))

    began, ends = book.began, book.ends
    return {
        "earlier": Decimal(0) if began is None else net(part for part in parts if part.execution.at < began),
        "later": Decimal(0) if ends is None else net(part for part in parts if part.execution.at >= ends),
    }


def _worth_a_row(book: Book, current: Book, profit: Decimal) -> bool:
    assert book.balances is not None
    assert current.balances is not None
    change = abs(profit - book.balances.open_pnl)
    least = max(_LEAST_MARK, abs(book.balances.balance) * _LEAST_MARK_PART)
    rose = current.balances.highest_equity > book.balances.highest_equity
    return rose or change >= least or (not profit and change > 0)
