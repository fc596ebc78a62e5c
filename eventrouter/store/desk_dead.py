"""The desk's list of dead letters, filtered, and the queue of tasks that wait for approval; both a page at a time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventrouter.store.connect import Conn, translated
from eventrouter.store.files import query
from eventrouter.store.reports import Row, rows_of

PAGE_ROWS = 50
MOST_LOOKED_THROUGH = 10_000
_PIECE = 1_000
_MOST_WORDS = 8
_NO_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters: None is any. `open`: those that still wait, else those that are settled. `before`: the last letter seen.

    `text`: the id of a task, else words of what the list shows.
    """

    open: bool = True
    code: str | None = None
    account: str | None = None
    strategy: str | None = None
    text: str | None = None
    before: int | None = None


@dataclass(frozen=True, slots=True)
class LetterPage:
    """`next`: what `before` is for the next page, None at the end. `looked_through`: the look ended after so many letters."""

    rows: Sequence[Row]
    next: int | None = None
    looked_through: int | None = None


async def letter_page(conn: Conn, wanted: LetterFilter) -> LetterPage:
    """A page of at most PAGE_ROWS letters, the latest first: {letter, task_id, status, code, message, opened_at, closed_at, …}."""
    name, values = "walk_open_letters" if wanted.open else "walk_settled_letters", {}
    words = (wanted.text or "").split()[:_MOST_WORDS] or None
    if wanted.text and wanted.text.isascii() and wanted.text.isdigit() and len(wanted.text) <= 18:
        name, values, words = "walk_letters_of_task", {"task": int(wanted.text), "open": wanted.open}, None
    asked = {"code": wanted.code, "account": wanted.account, "strategy": wanted.strategy, "words": words}
    exact = all(each is None for each in asked.values())
    before, size, looked = wanted.before or _NO_ID, PAGE_ROWS + 1 if exact else _PIECE, 0
    found: list[int] = []
    looked_through: int | None = None
    while True:
        ids = await _ids(conn, name, {**values, "before": before, "most": size})
        found += ids if exact or not ids else await _ids(conn, "fitting_letters", {**asked, "ids": ids})
        looked += len(ids)
        if len(found) > PAGE_ROWS or len(ids) < size:
            break
        before = ids[-1]
        if looked >= MOST_LOOKED_THROUGH:
            looked_through = looked
            break
    following = before if looked_through else None
    if len(found) > PAGE_ROWS:
        found, looked_through = found[:PAGE_ROWS], None
        following = found[-1]
    rows = await rows_of(conn, "letter_rows", {"ids": found}) if found else []
    return LetterPage(rows, following, looked_through)


async def held_queue(
    conn: Conn, *, after: int | None = None, task_id: int | None = None
) -> tuple[list[Row], int | None]:
    """At most PAGE_ROWS tasks that wait for approval, the oldest first, and what `after` is for those behind them.

    {id, account, mode, received_at, held_at, reason, message, sized, settings, …}: what is asked for as texts, `sized` the order
    that was found {root, direction, quantity} or None, `settings` the account's as published, or None.
    """
    rows = await rows_of(conn, "held_queue", {"after": after, "task": task_id, "most": PAGE_ROWS + 1})
    return rows[:PAGE_ROWS], rows[PAGE_ROWS - 1]["id"] if len(rows) > PAGE_ROWS else None


async def last_prices(conn: Conn, roots: Iterable[str]) -> dict[str, Row]:
    """Root → {price, at} of those of these products that a price was ever seen of."""
    rows = await rows_of(conn, "last_prices_of", {"roots": sorted(set(roots))})
    return {row["root"]: row for row in rows}


async def _ids(conn: Conn, name: str, values: Mapping[str, Any]) -> list[int]:
    async with translated(name):
        return [row[0] for row in await (await conn.execute(query(name), values)).fetchall()]
