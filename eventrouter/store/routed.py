"""Rows that name no account: each gets its accounts from the routing table, by the same plan as an alert."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from eventrouter.domain.plan import Planned, follow_trade, intents, opens, plan, planned_as, symbol_of
from eventrouter.domain.routing import RoutingTable
from eventrouter.domain.tasks import LogEntry, Status
from eventrouter.domain.trades import Leg
from eventrouter.store.connect import GUILTY_ROW, Conn, Pool, session
from eventrouter.store.files import query
from eventrouter.store.settings import TableCache
from eventrouter.store.tasks import append, trade_accounts


async def route(pool: Pool, actor: str, tables: TableCache, *, max_age_s: float | None = None, limit: int = 100) -> int:
    """Gives tasks that name no account theirs, in id order; returns how many were looked at (0 while another router does).

    `max_age_s` is the age limit of what a strategy opens that publishes none.
    """
    async with session(pool, "route") as conn, conn.transaction():
        rows = await (await conn.execute(query("lock_unrouted_tasks"), {"limit": limit})).fetchall()
        if not rows:
            return 0
        table = await tables.now(conn)
        held = await trade_accounts(conn, {row[2] for row in rows if not opens(row[3])})
        nowhere: list[LogEntry] = []
        for task_id, version, trade_id, event_type, payload in rows:
            leg = Leg(trade_id, event_type, payload if isinstance(payload, dict) else {})
            strategy = _strategy(leg)
            age = table.max_ages.get(strategy.casefold(), max_age_s)
            trade = held.get(trade_id, {})
            planned = plan(planned_as(leg), symbol_of(leg, trade), strategy, table, max_age_s=age)
            planned = follow_trade(planned, event_type, trade)
            refusal = await _route_one(conn, actor, task_id, planned, strategy, table)
            if refusal is not None:
                code, message = refusal
                detail = {"others": [each.record() for each in planned]}
                nowhere.append(LogEntry(task_id, version, Status.DENIED, code, message, detail=detail))
        await append(conn, actor, nowhere)
        return len(rows)


async def _route_one(
    conn: Conn, actor: str, task_id: int, planned: Sequence[Planned], strategy: str, table: RoutingTable
) -> tuple[str, str] | None:
    """Gives one row its accounts; a code and a sentence where it gets none."""
    tasks = list(intents(planned))
    if not tasks:
        return "NO_ROUTE", _nobody(planned)
    values: Mapping[str, Any] = {
        "task_id": task_id,
        "actor": actor,
        "accounts": [intent.account for intent in tasks],
        "max_age": tasks[0].max_age_s,
        "plans": [json.dumps(intent.record(strategy, table.version)) for intent in tasks],
        "others": json.dumps([each.record() for each in planned if each.intent is None]),
    }
    try:
        async with conn.transaction():  # a savepoint
            await conn.execute(query("route_task"), values)
    except GUILTY_ROW as error:
        return "NOT_ROUTABLE", f"It cannot be routed: {error}"
    return None


def _strategy(leg: Leg) -> str:
    named = leg.payload.get("strategy")
    return named if isinstance(named, str) else ""


def _nobody(planned: Sequence[Planned]) -> str:
    if not planned:
        return "No account is published: see [[accounts]] in the configuration."
    first = planned[0]
    more = f" (and {len(planned) - 1} more accounts: see detail)" if len(planned) > 1 else ""
    return f"No account takes it. {first.account}: {first.code}, {first.message}{more}"
