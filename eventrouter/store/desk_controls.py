"""What a control would meet, for people to look at before they set it; and the flattenings that stand."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from eventrouter.domain.holdings import Holding, valued
from eventrouter.store.connect import Conn
from eventrouter.store.reports import Row, rows_of

MOST = 1000
"""Tasks of one status, trades and orders are looked at up to so many."""

_MOST_FLATTENINGS = 20


@dataclass(frozen=True, slots=True)
class Met:
    """The open tasks of a scope by id, its trades, and the orders that work for it at the broker.

    `more`: statuses, TRADES or ORDERS of which there are MOST or more, so that not all were looked at.
    """

    tasks: list[Row]
    trades: list[Row]
    orders: list[Row]
    more: frozenset[str] = frozenset()


async def known_names(conn: Conn) -> dict[str, list[str]]:
    """{"account": names, "strategy": names} that a scope may have, as far as the database knows."""
    return {
        "account": [row["name"] for row in await rows_of(conn, "known_accounts", {"halted": True})],
        "strategy": [row["strategy"] for row in await rows_of(conn, "known_strategies", {})],
    }


async def met(conn: Conn, scope: str, modes: Mapping[str, str]) -> Met:
    """What is open in a scope. `modes`: account → how it trades now, of every account that may be in it.

    Of a trade: {account, mode, trade_id, contract, quantity, average_price, opened_at, price, priced_at, open_pnl}; contract
    None: a working entry; open_pnl None where it cannot be valued.
    """
    kind, _, name = scope.partition(":")
    account, strategy = (name if kind == kept else None for kept in ("account", "strategy"))
    tasks = await rows_of(conn, "open_tasks_of_scope", {"account": account, "strategy": strategy, "most": MOST})
    held = {each: mode for each, mode in modes.items() if account is None or each == account}
    values = {"accounts": list(held), "modes": list(held.values()), "strategy": strategy, "most": MOST}
    trades = await rows_of(conn, "trades_of_scope", values)
    orders = await rows_of(conn, "orders_of_scope", values)
    seen = [*(row["status"] for row in tasks), *("TRADES" for _ in trades), *("ORDERS" for _ in orders)]
    return Met(
        [row for row in tasks if row["fits"]],
        [{**row, "open_pnl": _open_pnl(row)} for row in trades],
        orders,
        frozenset(each for each in set(seen) if seen.count(each) >= MOST),
    )


async def flattenings(conn: Conn) -> list[Row]:
    """The latest flattening of each scope that stands, done or not, the newest first."""
    return await rows_of(conn, "flattenings_asked", {"most": _MOST_FLATTENINGS})


def _open_pnl(row: Row) -> Decimal | None:
    if row["contract"] is None or row["root"] is None:
        return None
    cost = (row["quantity"], row["average_price"], row["opened_at"])
    worth = valued(
        [Holding(row["trade_id"], row["contract"], row["root"], *cost)],
        {} if row["price"] is None else {row["root"]: row["price"]},
    )
    return None if worth.unvalued else worth.open_pnl
