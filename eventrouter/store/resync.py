"""What a look at the broker finds: from when on to read, and how its positions and balance compare with ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from eventrouter.domain import book as events
from eventrouter.domain.accounts import Account
from eventrouter.domain.book import Book
from eventrouter.domain.broker import Fill, OrderSide, Position
from eventrouter.domain.denials import plain
from eventrouter.logs import get_logger
from eventrouter.store.books import Books, begin_day, lock_books, read_holdings
from eventrouter.store.connect import Conn
from eventrouter.store.files import query
from eventrouter.store.fills import record_broker_fills

_log = get_logger("eventrouter.resync")
_ZERO = Decimal(0)

Differences = tuple[tuple[str, Decimal, Decimal], ...]
"""Contracts of which the broker holds another quantity than our fills add up to: (contract, the broker's, ours)."""


@dataclass(frozen=True, slots=True)
class Window:
    """From when on the broker's orders and fills of an account are to be read."""

    orders: datetime
    fills: datetime


@dataclass(frozen=True, slots=True)
class Compared:
    """What differs now. `settled`: nothing does, or what did is written down; else the same is looked at once more."""

    positions: Differences
    prices: Mapping[str, Decimal | None]
    balance: tuple[Decimal, Decimal] | None
    settled: bool


async def read_window(conn: Conn, account: Account, look_back: timedelta, *, deep: bool = False) -> Window:
    """Since the oldest order that may still do something, since the latest fill that is known, and `look_back` more.

    Before the account was ever opened, and `deep`, since the trading day began.
    """
    row = await (await conn.execute(query("resync_from"), {"account": account.name})).fetchone()
    assert row is not None
    oldest_open, latest_fill, opened, now = row
    day = account.limits.days
    known = [day.bounds(day.of(now))[0]] if deep or opened is None else [now]
    if oldest_open is not None:
        known.append(oldest_open)
    orders = min(known)
    return Window(orders - look_back, min([orders, *([] if latest_fill is None else [latest_fill])]) - look_back)


async def compare(
    conn: Conn,
    actor: str,
    account: Account,
    positions: Sequence[Position],
    balance: Decimal | None,
    last: Compared | None,
) -> Compared:
    """Compares what the broker holds with what our fills add up to, and writes down what is the same at a second look.

    The first time an account is seen, what it holds and its balance are taken as they are. `last` is what the look before
    found. Call it inside a transaction.
    """
    books = await lock_books(conn, [account.name], "live")
    ours = (await read_holdings(conn, [account.name], "live"))[account.name].net()
    differences = _differences(positions, ours)
    prices = {position.contract: position.average_price for position in positions}
    stays = last is not None and last.positions == differences
    book = books[account.name]
    if book.balances is None and balance is not None and (account.balance or balance) > 0:
        if differences and not stays:
            return Compared(differences, prices, None, settled=False)
        await _open(conn, actor, account, positions, differences, balance)
        return Compared((), {}, None, settled=False)  # fills may have come between the balance and this
    settled = not differences or stays
    if differences and stays:
        _tell_difference(books, account.name, differences, prices)
    elif not differences and book.out_of_sync is not None:
        books.add(account.name, events.in_sync())
        _log.info("in_sync", account=account.name)
    wrong = _wrong_balance(book, balance)
    if wrong is not None and last is not None and last.balance == wrong:
        assert books.now is not None
        book = begin_day(books, account, books.now)
        books.add(account.name, events.balance(book, wrong[0], traded=await _traded(conn, book, account.name)))
        _log.info(
            "balance_taken_over", account=account.name, balance=str(wrong[0]), difference=str(wrong[0] - wrong[1])
        )
        wrong = None
    await books.write(conn, actor)
    return Compared(differences, prices, wrong, settled=settled and wrong is None)


def _differences(positions: Sequence[Position], ours: Mapping[str, Decimal]) -> Differences:
    theirs = {position.contract: position.quantity for position in positions if position.quantity}
    contracts = sorted({*theirs, *ours})
    found = ((contract, theirs.get(contract, _ZERO), ours.get(contract, _ZERO)) for contract in contracts)
    return tuple(each for each in found if each[1] != each[2])


def _wrong_balance(book: Book, balance: Decimal | None) -> tuple[Decimal, Decimal] | None:
    if book.balances is None or balance is None or book.balances.balance == balance:
        return None
    return balance, book.balances.balance


def told(differences: Differences, prices: Mapping[str, Decimal | None]) -> list[list[str | None]]:
    """Differences for account_log.detail: [contract, the broker's, ours, what the broker's position was opened at] each."""

    def text(price: Decimal | None) -> str | None:
        return None if price is None else str(price)

    return [[contract, str(theirs), str(ours), text(prices.get(contract))] for contract, theirs, ours in differences]


async def _traded(conn: Conn, book: Book, account: str) -> bool:
    """Whether a fill of the book's trading day is recorded; also where nobody knows when that began."""
    if book.began is None:
        return True
    row = await (await conn.execute(query("traded_since"), {"account": account, "since": book.began})).fetchone()
    return row is None or bool(row[0])


def _tell_difference(
    books: Books, account: str, differences: Differences, prices: Mapping[str, Decimal | None]
) -> None:
    said = ", ".join(
        f"{plain(theirs)} {contract} and our fills add up to {plain(ours)}" for contract, theirs, ours in differences
    )
    why = f"The broker holds {said}."
    if books[account].out_of_sync != why:
        books.add(account, events.out_of_sync(why, differences=told(differences, prices)))
        _log.warning("out_of_sync", account=account, why=why)


async def _open(
    conn: Conn,
    actor: str,
    account: Account,
    positions: Sequence[Position],
    differences: Differences,
    balance: Decimal,
) -> None:
    """Opens the account's book. What it holds that no fill explains was there before us: it is nobody's trade."""
    row = await (await conn.execute(query("resync_from"), {"account": account.name})).fetchone()
    assert row is not None
    now = row[3]
    prices = {position.contract: position.average_price for position in positions}
    adopted = [_opening_fill(account.name, each, prices.get(each[0]), now) for each in differences]
    if adopted:
        names = {(fill.account, fill.id) for fill in adopted}
        await record_broker_fills(conn, actor, adopted, foreign=names)
    day = account.limits.days.of(now)
    since = account.limits.days.bounds(day)[0]
    values = {"account": account.name, "mode": "live", "since": since}
    realised = await (await conn.execute(query("realised_since"), values)).fetchone()
    start = balance - (realised[0] if realised else _ZERO)
    books = await lock_books(conn, [account.name], "live")
    bounds = account.limits.days.bounds(day)
    books.add(account.name, events.opened(balance, day, initial=account.balance, day_start=start, bounds=bounds))
    await books.write(conn, actor)
    _log.info("account_opened", account=account.name, balance=str(balance), adopted=len(adopted))


def _opening_fill(account: str, difference: tuple[str, Decimal, Decimal], price: Decimal | None, now: datetime) -> Fill:
    contract, theirs, ours = difference
    missing = theirs - ours
    return Fill(
        id=f"opening-{contract}",
        order_id="opening",
        account=account,
        contract=contract,
        side=OrderSide.BUY if missing > 0 else OrderSide.SELL,
        quantity=abs(missing),
        price=price,
        fee=_ZERO,
        profit_and_loss=None,
        at=now,
    )


async def working_tasks(conn: Conn, account: str) -> dict[int, str]:
    """Task → the broker's id of its order, of those that the broker said are working."""
    rows = await (await conn.execute(query("working_orders"), {"account": account})).fetchall()
    return dict(rows)
