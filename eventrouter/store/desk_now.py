"""What the desk's first page shows beside the accounts themselves."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from eventrouter.store.connect import Conn
from eventrouter.store.reports import Row, rows_of


async def waiting_for_people(conn: Conn) -> Row:
    """{letters, oldest_letter, held, oldest_held}: counted to a thousand, times None where nothing waits."""
    return (await rows_of(conn, "waiting_for_people", {}))[0]


async def by_minute(conn: Conn, since: datetime) -> dict[int, Row]:
    """Minute since then → {signals, orders, p50, p99}: seconds from receipt to the intent; minutes without a signal are missing."""
    found: dict[int, Row] = {}
    for row in await rows_of(conn, "signals_by_minute", {"since": since}):
        found[row["minute"]] = {"signals": row["signals"], "orders": 0, "p50": None, "p99": None}
    for row in await rows_of(conn, "intents_by_minute", {"since": since}):
        if row["minute"] in found:
            found[row["minute"]] |= {key: row[key] for key in ("orders", "p50", "p99")}
    return found


async def last_outcomes(conn: Conn, names: Sequence[str]) -> dict[str, Row]:
    """Account → {task, status, created_at, reason, message} of its latest signal; accounts that no signal reached are missing."""
    return {row["account"]: row for row in await rows_of(conn, "last_outcomes", {"accounts": list(names)})}


async def contracts_held(conn: Conn) -> dict[tuple[str, str], list[tuple[str, Decimal]]]:
    """(account, mode) → how many contracts of each root its trades hold, all sides added up."""
    found: dict[tuple[str, str], list[tuple[str, Decimal]]] = {}
    for row in await rows_of(conn, "contracts_held", {}):
        found.setdefault((row["account"], row["mode"]), []).append((row["root"], row["quantity"]))
    return found
