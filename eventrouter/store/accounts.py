"""Accounts as people look at them: what is published of them, how they stand, and what happened to them."""

from collections.abc import Mapping
from typing import Any

from eventrouter.domain.controls import ALL, Control, account_scope, standing_of
from eventrouter.domain.risk_inputs import Standing
from eventrouter.errors import UnknownAccount
from eventrouter.store.adopting import out_of_sync
from eventrouter.store.connect import Conn
from eventrouter.store.reports import Row, open_counts, rows_of

_LATEST = 50


async def accounts(conn: Conn) -> list[Row]:
    """Every account that was published, in that order, then those that only tasks name.

    {name, published, connector, firm, live, enabled, withdrawn, version, changed_at, changed_by, settings, open: status →
    count, holdings: mode → count, states: mode → {seq, kind, message, state, created_at}, standing, standing_since}.
    `standing` is open, reducing or halted.
    """
    found: dict[str | None, Row] = {}
    for row in await rows_of(conn, "published_accounts", {}):
        body = row["settings"]
        about = {key: body.get(key) for key in ("connector", "firm", "live", "enabled")}
        found[row["name"]] = {"name": row["name"], "published": True, **about, **row}
    for row in await open_counts(conn):
        known = found.setdefault(row["account"], {"name": row["account"], "published": False})
        known.setdefault("open", {})[row["status"]] = row["count"]
    for row in await rows_of(conn, "open_holdings", {"account": None}):
        known = found.setdefault(row["account"], {"name": row["account"], "published": False})
        counts = known.setdefault("holdings", {})
        counts[row["mode"]] = counts.get(row["mode"], 0) + 1
    for row in await rows_of(conn, "account_states", {"accounts": [name for name in found if name]}):
        state = {key: row[key] for key in ("seq", "kind", "message", "state", "created_at")}
        found[row["account"]].setdefault("states", {})[row["mode"]] = state
    controls = {row["scope"]: row for row in await rows_of(conn, "account_standings", {})}
    empty: Row = {"open": {}, "holdings": {}, "states": {}}
    return [{**empty, **row, **_standing(controls, name)} for name, row in found.items()]


async def account(conn: Conn, name: str) -> Row:
    """One account as above, and `versions` (of its settings), `held` and `events` (of account_log), the latest first;
    `external`: orders that work at the broker and are nobody's here;
    `out_of_sync`: what differs from the broker, since when, and what to do; None while nothing does.

    Raises UnknownAccount.
    """
    row = next((each for each in await accounts(conn) if each["name"] == name), None)
    if row is None:
        raise UnknownAccount(f"No account {name!r} is known. See: eventrouter accounts")
    values = {"account": name, "limit": _LATEST}
    return {
        **row,
        "versions": await rows_of(conn, "account_versions", values),
        "held": await rows_of(conn, "open_holdings", values),
        "external": await rows_of(conn, "external_orders_working", values),
        "events": await rows_of(conn, "account_events", values),
        "out_of_sync": await out_of_sync(conn, name),
    }


def _standing(controls: Mapping[str, Row], name: str | None) -> dict[str, Any]:
    """The strictest of what holds for everything and for the account, as the gate has it; since when, where that is not open."""
    scopes = (ALL, account_scope(name or ""))
    latest = {Control(scope, row["action"], row["id"]): row for scope, row in controls.items() if scope in scopes}
    strictest = standing_of(latest, name or "", None)
    if strictest is Standing.ACTIVE:
        return {"standing": "open", "standing_since": None}
    since = min(row["created_at"] for each, row in latest.items() if standing_of([each], name or "", None) is strictest)
    return {"standing": str(strictest), "standing_since": since}
