"""What a control would do to the accounts of its scope. Pure; how an account stands is asked of domain/controls.py."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from eventrouter.domain.controls import ALL, Control, ordered_by, standing_of
from eventrouter.domain.risk_inputs import Standing
from eventrouter.store.desk_controls import Met
from eventrouter.store.reports import Row

_NEXT_ID = 2**62  # after every control there is
_IN_FLIGHT = ("SENDING", "UNKNOWN")
_WORDS = {Standing.ACTIVE: "active", Standing.REDUCING: "reducing", Standing.HALTED: "halted"}


def lines(
    fleet: Iterable[Row], own: Iterable[str], scope: str, action: str, standing: Iterable[Row], found: Met
) -> list[dict[str, Any]]:
    """One line for each account that the control concerns: how it stands before and after, and what is open there.

    Of a strategy those accounts where something of it is open; it holds for every account that gets its alerts. `own`: accounts
    that this configuration names, published or not.
    """
    known = {row["name"]: row for row in fleet if row["name"]}
    kind, _, name = scope.partition(":")
    busy = {row["account"] for row in (*found.tasks, *found.trades, *found.orders) if row["account"]}
    names = {"account": [name], "strategy": sorted(busy), ALL: sorted({*known, *busy, *own})}[kind]
    now = [
        Control(row["scope"], row["action"], row["id"], row["actor"], row["reason"], row["created_at"])
        for row in standing
    ]
    then = [*now, Control(scope, action, _NEXT_ID)]
    strategy = name if kind == "strategy" else None
    return [
        {
            "name": each,
            "before": _WORDS[standing_of(now, each, strategy)],
            "after": _WORDS[standing_of(then, each, strategy)],
            "by": ordered_by(then, each, strategy),
            **_of(each, known.get(each, {}), found),
        }
        for each in names
        if each in busy or known.get(each, {}).get("state") != "withdrawn"
    ]


def _of(name: str, row: Mapping[str, Any], found: Met) -> dict[str, Any]:
    tasks = [each for each in found.tasks if each["account"] == name]
    trades = [each for each in found.trades if each["account"] == name and each["contract"] is not None]
    return {
        "mode": row.get("mode"),
        "state": row.get("state", "unpublished").replace("_", " "),
        "waiting": sum(each["opening"] and each["status"] == "PENDING" for each in tasks),
        "in_flight": sum(each["status"] in _IN_FLIGHT for each in tasks),
        "orders": sum(each["account"] == name for each in found.orders),
        "trades": trades,
        "open_pnl": together(trades),
    }


def sorted_out(found: Met) -> dict[str, Any]:
    """The open tasks by what a control does to them, what is held, and its open P&L in all."""
    by_status: dict[str, list[Row]] = {}
    for row in found.tasks:
        by_status.setdefault(row["status"], []).append(row)
    pending = by_status.get("PENDING", [])
    positions = [row for row in found.trades if row["contract"] is not None]
    return {
        "entries": [row for row in pending if row["opening"]],
        "exits": [row for row in pending if not row["opening"]],
        "held": by_status.get("HELD", []),
        "in_flight": [row for row in found.tasks if row["status"] in _IN_FLIGHT],
        "working": by_status.get("ACCEPTED", []),
        "review": by_status.get("REVIEW", []),
        "positions": positions,
        "total": together(positions),
    }


def together(positions: Sequence[Row]) -> Decimal | None:
    """Open P&L of positions; None where there are none, or one of them cannot be valued."""
    values = [row["open_pnl"] for row in positions]
    return None if not values or None in values else sum(values, Decimal(0))


def still_in_the_way(standing: Iterable[Row], scope: str) -> list[Row]:
    """What else stands for accounts or strategies that the scope may concern, whatever is done about the scope itself."""
    kind = scope.partition(":")[0]
    others = (row for row in standing if row["action"] != "resume" and row["scope"] != scope)
    return [row for row in others if ALL in (scope, row["scope"]) or row["scope"].partition(":")[0] != kind]
