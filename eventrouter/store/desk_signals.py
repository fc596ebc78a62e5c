"""The desk's list of signals: filtered, newest first, a page at a time, and never more than a bounded look through what is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from eventrouter.domain.tasks import Status
from eventrouter.store.connect import Conn, translated
from eventrouter.store.files import query
from eventrouter.store.reports import Row, rows_of

PAGE_ROWS = 50
MOST_LOOKED_THROUGH = 10_000
OUTCOMES = ("REFUSED", "REPEAT", "NO ORDER")
"""How a signal can end without any task: filters beside the statuses of tasks."""

_FIRST_PIECE, _PIECE = 200, 1_000  # where the filters let most through, the first is enough
_MOST_OF_A_TRADE = 1_000
_MOST_WORDS = 8
_NO_ID = 2**63 - 1
_BEHIND_ALL = "\U0010ffff"
_EVER = datetime(2000, 1, 1, tzinfo=UTC), datetime(2201, 1, 1, tzinfo=UTC)  # a CHECK holds received_at in between
_ASIDE = frozenset(
    {
        Status.HELD,
        Status.UNKNOWN,
        Status.REVIEW,
        Status.FAILED,
        Status.DENIED,
        Status.EXPIRED,
        Status.CANCELLED,
    }
)


@dataclass(frozen=True, slots=True)
class SignalFilter:
    """Which signals: None is any. `status` is one of Status or OUTCOMES, times are of receipt, `before` is the last id seen.

    `text`: the id of a signal or task, else a trade's id or its beginning, else words that the body has.
    """

    strategy: str | None = None
    symbol: str | None = None
    account: str | None = None
    status: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None
    before: int | None = None


@dataclass(frozen=True, slots=True)
class SignalPage:
    """`rows`: of `signal_rows`, and `own`: what the signal came to on the account that is asked for, else None.

    `next`: what `before` is for the next page, None at the end. `found_by`: number, trade, words, or None without text.

    `looked_through`: the look ended after so many signals, and the page may be short for that; None where it did not.
    """

    rows: Sequence[Row]
    next: int | None = None
    found_by: str | None = None
    looked_through: int | None = None


async def signal_page(conn: Conn, wanted: SignalFilter) -> SignalPage:
    """A page of at most PAGE_ROWS signals in the order in which they were stored, the latest first."""
    low, before = 0, _NO_ID if wanted.before is None else wanted.before
    if wanted.since is not None or wanted.until is not None:
        least, most = await _bounds(conn, wanted)
        if least is None or most is None:
            return SignalPage([])
        low, before = least, min(before, most + 1)
    found_by, ids = await _by_text(conn, wanted.text) if wanted.text else (None, None)
    words = _words(wanted.text) if found_by == "words" else None
    if ids is None:
        found, following, looked = await _walk(conn, wanted, words, low, before)
    else:
        ids = sorted((each for each in ids if low <= each < before), reverse=True)
        found, following, looked = await _fitting(conn, wanted, None, ids), None, None
    if len(found) > PAGE_ROWS:
        found, following, looked = found[:PAGE_ROWS], found[PAGE_ROWS - 1], None
    rows = await rows_of(conn, "signal_rows", {"ids": found}) if found else []
    own = await _own(conn, wanted.account, found) if found and wanted.account is not None else {}
    rows = [{**row, "own": own.get(row["id"])} for row in rows]
    return SignalPage(rows, following, found_by, looked)


async def _own(conn: Conn, account: str, ids: Sequence[int]) -> dict[int, Row]:
    rows = await rows_of(conn, "own_outcomes", {"account": account, "ids": list(ids)})
    return {row["signal_id"]: row for row in rows}


async def filter_names(conn: Conn) -> Mapping[str, list[str]]:
    """What a filter offers: account → names, strategy → names."""
    rows = await rows_of(conn, "filter_names", {})
    return {kind: [row["name"] for row in rows if row["kind"] == kind] for kind in ("account", "strategy")}


async def _walk(
    conn: Conn, wanted: SignalFilter, words: list[str] | None, low: int, before: int
) -> tuple[list[int], int | None, int | None]:
    """The ids of a page and one more, what to go on from, and how many were looked through where that ended the look."""
    name, values = _walked_by(wanted)
    exact = words is None and _is_all(wanted, name)
    found: list[int] = []
    looked, size = 0, PAGE_ROWS + 1 if exact else _FIRST_PIECE
    while looked < MOST_LOOKED_THROUGH:
        ids = await _ids(conn, name, {**values, "low": low, "before": before, "most": size})
        found += ids if exact else await _fitting(conn, wanted, words, ids)
        looked += len(ids)
        if len(found) > PAGE_ROWS or len(ids) < size:
            return found, None, None
        before, size = ids[-1], min(_PIECE, MOST_LOOKED_THROUGH - looked)
    return found, before, looked


def _walked_by(wanted: SignalFilter) -> tuple[str, dict[str, Any]]:
    """The query whose index leads, the rarest first, and its values."""
    if wanted.status == "REFUSED":
        return "walk_refused", {}
    if wanted.status == "REPEAT":
        return "walk_repeats", {}
    if wanted.status in _ASIDE:
        return "walk_status", {"status": wanted.status}
    if wanted.account is not None:
        return "walk_account", {"account": wanted.account}
    if wanted.symbol is not None:
        return "walk_symbol", {"symbol": wanted.symbol}
    if wanted.strategy is not None:
        return "walk_strategy", {"strategy": wanted.strategy}
    return "walk_signals", {}


def _is_all(wanted: SignalFilter, name: str) -> bool:
    """Whether the walk alone answers the filter."""
    by = {"walk_refused": "status", "walk_repeats": "status"}.get(name, name.removeprefix("walk_"))
    others = {"strategy", "symbol", "account", "status", "since", "until"} - {by}
    return all(getattr(wanted, other) is None for other in others)


async def _fitting(conn: Conn, wanted: SignalFilter, words: list[str] | None, ids: Sequence[int]) -> list[int]:
    if not ids:
        return []
    outcome = wanted.status if wanted.status in OUTCOMES else None
    values = {
        "ids": list(ids),
        "strategy": wanted.strategy,
        "symbol": wanted.symbol,
        "account": wanted.account,
        "status": None if outcome else wanted.status,
        "outcome": outcome,
        "since": wanted.since,
        "until": wanted.until,
        "words": words,
    }
    return await _ids(conn, "fitting_signals", values)


async def _bounds(conn: Conn, wanted: SignalFilter) -> tuple[int | None, int | None]:
    values = {"since": wanted.since or _EVER[0], "until": wanted.until or _EVER[1]}
    async with translated("signal_bounds"):
        row = await (await conn.execute(query("signal_bounds"), values)).fetchone()
    assert row is not None
    return row[0], row[1]


async def _by_text(conn: Conn, text: str) -> tuple[str, list[int] | None]:
    """How the text is understood, and the ids it names; None: look for words. What too many begin with is a word."""
    if text.isascii() and text.isdigit() and len(text) <= 18:
        ids = await _ids(conn, "signals_by_number", {"number": int(text)})
        if ids:
            return "number", ids
    values = {"trade": text, "after": text + _BEHIND_ALL, "most": _MOST_OF_A_TRADE + 1}
    ids = await _ids(conn, "signals_of_trade", values)
    if 0 < len(ids) <= _MOST_OF_A_TRADE:
        return "trade", ids
    return "words", None


def _words(text: str | None) -> list[str]:
    return (text or "").split()[:_MOST_WORDS]


async def _ids(conn: Conn, name: str, values: Mapping[str, Any]) -> list[int]:
    async with translated(name):
        return [row[0] for row in await (await conn.execute(query(name), values)).fetchall()]
