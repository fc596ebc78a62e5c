"""Accounts as people look at them: what is published of them, how they stand, and what happened to them."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from eventrouter.config.rules import published_account
from eventrouter.domain.account_facts import book_of
from eventrouter.domain.controls import ALL, Control, account_scope, ordered_by, standing_of
from eventrouter.domain.risk_inputs import Standing
from eventrouter.domain.room import room_of
from eventrouter.errors import UnknownAccount
from eventrouter.store.adopting import out_of_sync
from eventrouter.store.connect import Conn
from eventrouter.store.reports import Row, open_counts, rows_of

_LATEST = 50


async def accounts(conn: Conn) -> list[Row]:
    """Every account that was published, in that order, then those that only tasks name.

    {name, published, connector, firm, live, enabled, withdrawn, version, changed_at, changed_by, settings, open: status →
    count, holdings: mode → count, net: mode → [{contract, quantity}], states: mode → {seq, kind, message, state, created_at},
    standing, standing_since, standing_reason, mode, connection, state, reasons, money}. `standing` is open, reducing or halted.

    `mode`: how its tasks are executed, None where nobody has published it. `connection`: {state, code, message, since, seen_at,
    fresh, router} of its broker, None where no router has it. `state`: the worst of what keeps it from trading (withdrawn,
    unpublished, disabled, flattening, halted, out_of_sync, broker_down, reducing, no_router), else active; `reasons`: a sentence
    for each of them, the worst first. `money`: see domain/room.py, amounts as Decimal.
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
        net = known.setdefault("net", {}).setdefault(row["mode"], {})
        net[row["contract"]] = net.get(row["contract"], Decimal(0)) + row["quantity"]
    for row in await rows_of(conn, "account_states", {"accounts": [name for name in found if name]}):
        state = {key: row[key] for key in ("seq", "kind", "message", "state", "created_at")}
        found[row["account"]].setdefault("states", {})[row["mode"]] = state
    controls = {row["scope"]: row for row in await rows_of(conn, "account_standings", {})}
    names = [name for name in found if name]
    links = {row["account"]: row for row in await rows_of(conn, "connections_of_accounts", {"accounts": names})}
    empty: Row = dict.fromkeys(("connector", "firm", "live", "enabled"))
    empty |= {"open": {}, "holdings": {}, "net": {}, "states": {}}
    now = datetime.now(UTC)
    rows = [
        {**empty, **row, **_standing(controls, name), "connection": links.get(name or "")}
        for name, row in found.items()
    ]
    return [{**row, **_judged(row, now)} for row in rows]


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
    latest = {
        Control(scope, row["action"], row["id"], row["actor"], row["reason"], row["created_at"]): row
        for scope, row in controls.items()
        if scope in scopes
    }
    strictest = standing_of(latest, name or "", None)
    ordered = ordered_by(latest, name or "", None)
    if strictest is Standing.ACTIVE or ordered is None:
        return {"standing": "open", "standing_since": None, "standing_reason": None}
    since = min(row["created_at"] for each, row in latest.items() if standing_of([each], name or "", None) is strictest)
    return {
        "standing": str(strictest),
        "standing_since": since,
        "standing_reason": ordered.in_words().removesuffix("."),
    }


def _judged(row: Row, now: datetime) -> Row:
    """Whether the account trades, or what keeps it from that; and its money."""
    settings = row.get("settings") or {}
    mode = settings.get("mode")
    book = book_of((row["states"].get(mode or "dry") or {}).get("state"))
    account = published_account(row["name"], settings) if settings else None
    begins_with = account.balance if account is not None and mode != "live" else None
    room = room_of(book, None if account is None else account.limits, now, begins_with=begins_with)
    against = list(_against(row, book.out_of_sync, flattening=book.flattening is not None, live=mode == "live"))
    return {
        "mode": mode,
        "net": {
            key: [{"contract": name, "quantity": each} for name, each in sorted(held.items()) if each]
            for key, held in row["net"].items()
        },
        "state": against[0][0] if against else "active",
        "reasons": [sentence for _, sentence in against],
        "money": {**asdict(room), "room": room.least},
    }


def _against(row: Row, out_of_sync: str | None, *, flattening: bool, live: bool) -> Iterator[tuple[str, str]]:
    """What keeps an account from trading, worst first: (state, sentence)."""
    if not row["published"]:
        yield "unpublished", "No service has published it."
    elif row["withdrawn"]:
        yield "withdrawn", "It is configured no longer."
    elif not row["enabled"]:
        yield "disabled", "enabled = false: it gets no entries; exits of what it holds still go there."
    if flattening:
        yield "flattening", f"Everything is being closed: {row['standing_reason'] or 'withdrawn meanwhile'}."
    if row["standing"] == "halted":
        yield "halted", f"{row['standing_reason']}."
    if out_of_sync:
        yield "out_of_sync", out_of_sync
    link = row["connection"]
    if link is not None and link["fresh"] and link["state"] == "down":
        yield "broker_down", f"{link['code']}: {link['message']} Since {link['since']:%Y-%m-%d %H:%M:%S} UTC."
    if row["standing"] == "reducing" and not flattening:
        yield "reducing", f"{row['standing_reason']}."
    if row["published"] and not row["withdrawn"] and (link is None or not link["fresh"]):
        seen = "" if link is None else f" The last was seen at {link['seen_at']:%Y-%m-%d %H:%M:%S} UTC."
        yield "no_router", f"No running router has it: start eventrouter run, or eventrouter router.{seen}"
