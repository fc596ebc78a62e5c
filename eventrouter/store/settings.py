"""Published settings: accounts, strategies and routes as versioned rows, and the routing table that planning reads from them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from eventrouter.domain.routing import Candidate, Route, RoutingTable
from eventrouter.store.connect import Conn
from eventrouter.store.files import query

Kind = Literal["account", "strategy", "routes"]

NOBODY = RoutingTable(())
"""A table without accounts."""


@dataclass(frozen=True, slots=True)
class Change:
    """A version that was published just now. `difference`: key → [before, after]; `withdrawn`: configured no longer."""

    kind: Kind
    name: str
    version: int
    difference: Mapping[str, Any]
    withdrawn: bool


async def publish(
    conn: Conn,
    actor: str,
    kind: Kind,
    rows: Mapping[str, Mapping[str, Any]],
    *,
    only_new: bool = False,
    withdraw_others: bool = False,
) -> list[Change]:
    """Publishes rows (name → body) of one kind in the transaction of `conn`; returns what differs from before.

    `only_new` leaves names alone that were ever published. `withdraw_others` withdraws the names that are not given.
    Bodies must hold no secret and what JSON can hold; a Decimal becomes text.
    """
    values = {
        "actor": actor,
        "kind": kind,
        "names": list(rows),
        "bodies": [json.dumps(dict(body), default=_text, allow_nan=False) for body in rows.values()],
        "only_new": only_new,
        "withdraw_others": withdraw_others,
    }
    cursor = await conn.execute(query("publish_settings"), values)
    return [Change(kind, *row) for row in await cursor.fetchall()]


async def stakes(conn: Conn, accounts: Iterable[str]) -> dict[str, str]:
    """Account → in words what it has at its broker, of those that have something there."""
    rows = await (await conn.execute(query("account_stakes"), {"names": list(accounts)})).fetchall()
    return {name: _stake(held, tasks) for name, held, tasks in rows if held or tasks}


def _stake(held: Iterable[str], tasks: Iterable[int]) -> str:
    names = ", ".join(held)
    numbers = ", ".join(map(str, tasks))
    return " and ".join([*([f"holds {names}"] if names else []), *([f"has open tasks ({numbers})"] if numbers else [])])


async def routing_table(conn: Conn) -> RoutingTable:
    """The routing table as it is published now; without accounts where nobody published any."""
    return (await _read(conn))[1]


async def account_bodies(conn: Conn) -> dict[str, dict[str, Any]]:
    """Account → what was published of it last, withdrawn ones too."""
    rows = await (await conn.execute(query("latest_settings"))).fetchall()
    return {name: body for kind, name, _, body, *_ in rows if kind == "account"}


async def published_strategies(conn: Conn) -> set[str]:
    """The strategies that are published and not withdrawn."""
    rows = await (await conn.execute(query("latest_settings"))).fetchall()
    return {name for kind, name, _, _, withdrawn, *_ in rows if kind == "strategy" and not withdrawn}


class TableCache:
    """The routing table, read again whenever something else was published; `fallback` counts until anything is."""

    def __init__(self, fallback: RoutingTable = NOBODY) -> None:
        self._fallback = fallback
        self._table = fallback
        self._newest: int | None = None

    async def table(self, conn: Conn, newest: int | None) -> RoutingTable:
        """The table. `newest`: the highest id of settings now, as a query of this transaction said."""
        if newest != self._newest:
            self._newest, table = await _read(conn)
            self._table = table if table.accounts else self._fallback
        return self._table

    async def now(self, conn: Conn) -> RoutingTable:
        """The table, asking first whether it is still the same."""
        row = await (await conn.execute(query("newest_settings"))).fetchone()
        return await self.table(conn, row[0] if row else None)


async def _read(conn: Conn) -> tuple[int | None, RoutingTable]:
    """The highest id of settings, and the table that they make."""
    rows = await (await conn.execute(query("latest_settings"))).fetchall()
    newest = max((row[5] for row in rows), default=None)
    valid = [row for row in rows if not row[4]]
    strategies = {name.casefold(): body for kind, name, _, body, *_ in valid if kind == "strategy"}
    routes = [(version, body) for kind, _, version, body, *_ in valid if kind == "routes"]
    return newest, RoutingTable(
        accounts=tuple(
            Candidate(name, body.get("enabled", True), body.get("owner") or "", version)
            for kind, name, version, body, *_ in valid
            if kind == "account"
        ),
        routes=tuple(route for _, body in routes for route in _routes(body)),
        chosen={name: tuple(body["accounts"]) for name, body in strategies.items() if body.get("accounts")},
        version=max((version for version, _ in routes), default=0),
        max_ages={name: float(body["max_age"]) or None for name, body in strategies.items() if "max_age" in body},
    )


def _routes(body: Mapping[str, Any]) -> Iterable[Route]:
    """The routes of a published body, in their order."""
    return (
        Route(
            name=route["name"],
            accounts=tuple(route["accounts"]),
            strategy=route.get("strategy") or "",
            instruments=tuple(route.get("instruments") or ()),
            events=tuple(route.get("events") or ()),
            multiplier=Decimal(str(route.get("multiplier", 1))),
        )
        for route in body.get("routes", ())
    )


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"{type(value).__name__} cannot be published")
