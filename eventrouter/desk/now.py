"""Now: what waits for somebody, how every account stands and how near its limits it is, what comes in and how fast it leaves."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from aiohttp import web

from eventrouter.config.rules import published_account
from eventrouter.desk.render import page
from eventrouter.domain.denials import Denied
from eventrouter.domain.risk import in_micros
from eventrouter.domain.risk_inputs import RiskLimits
from eventrouter.store import reports
from eventrouter.store.accounts import accounts
from eventrouter.store.desk_now import by_minute, contracts_held, last_outcomes, waiting_for_people
from eventrouter.web.context import CONTEXT, WebContext

routes = web.RouteTableDef()
MOST_ACCOUNTS = 200
NEAR = 0.8
_MINUTES = 60
_LONGEST = 100
_OPEN = ("PENDING", "HELD", "SENDING", "UNKNOWN", "REVIEW", "ACCEPTED")
_STATES = (
    "flattening",
    "out_of_sync",
    "broker_down",
    "halted",
    "reducing",
    "no_router",
    "unpublished",
    "active",
    "disabled",
    "withdrawn",
)
"""What stands above what: first what somebody must see to, last what is meant to be so."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """How much of a limit is used, both in money or contracts; `left` may still be lost or held. None: not known.

    `buffer`: what is kept free of the firm's own limit, which is `limit` and this together.
    """

    name: str
    used: Decimal | None
    limit: Decimal
    left: Decimal | None
    is_money: bool = True
    buffer: Decimal = Decimal(0)

    @property
    def share(self) -> float:
        """Of the limit, from 0; 0 where it is not known."""
        return 0.0 if self.used is None else max(0.0, float(self.used) / float(self.limit) if self.limit > 0 else 1.0)


@routes.get("/")
async def now(request: web.Request) -> web.Response:
    """The page; ?q= leaves the accounts whose name, connector, firm or state has it, ?after= begins behind that account."""
    context, at = request.app[CONTEXT], datetime.now(UTC)
    since = at.replace(second=0, microsecond=0) - timedelta(minutes=_MINUTES - 1)
    words = request.query.get("q", "").strip()[:_LONGEST]
    async with context.desk() as conn:
        found = await accounts(conn)
        counts = await reports.open_counts(conn)
        waiting = await waiting_for_people(conn)
        held = await contracts_held(conn)
        minutes = await by_minute(conn, since)
        last = await last_outcomes(conn, [row["name"] for row in found if row["name"]])
    rows = sorted(
        ({**_account(row, held, at), "last": last.get(row["name"])} for row in found if row["name"]), key=_urgency
    )
    shown = [row for row in rows if _fits(row, words)]
    first = next((n + 1 for n, row in enumerate(shown) if row["name"] == request.query.get("after")), 0)
    more = shown[first + MOST_ACCOUNTS :]
    return page(
        request,
        "now.html",
        here="now",
        accounts=shown[first : first + MOST_ACCOUNTS],
        fitting=len(shown),
        every=len(rows),
        next=shown[first + MOST_ACCOUNTS - 1]["name"] if more else None,
        not_active=sum(row["state"] not in ("active", "disabled", "withdrawn") for row in rows),
        near=sum(any(each.share >= NEAR for each in row["gauges"]) for row in rows),
        open=_open_tasks(counts),
        waiting=waiting,
        brokers=_brokers(rows),
        listener=_listener(context),
        dry_run=context.config.router.dry_run,
        **_charts(minutes),
    )


def _account(row: Mapping[str, Any], held: Mapping[Any, Any], at: datetime) -> dict[str, Any]:
    """A line: the account as `eventrouter accounts` has it, its trading day, its positions and its gauges."""
    settings = row.get("settings") or {}
    known = published_account(row["name"], settings) if settings else None
    limits = None if known is None else known.limits
    mode = row["mode"] or "dry"
    return {
        **row,
        "word": row["state"].replace("_", " "),
        "why": row["reasons"][0] if row["reasons"] else None,
        "positions": row["net"].get(mode, []),
        "zone": None if limits is None else limits.days.zone,
        "day": None if limits is None else limits.days.of(at),
        "gauges": [] if limits is None else list(gauges(row["money"], limits, held.get((row["name"], mode), ()))),
        "open_tasks": sum(row["open"].values()),
    }


def gauges(
    money: Mapping[str, Decimal | None], limits: RiskLimits, held: Iterable[tuple[str, Decimal]]
) -> Iterable[Gauge]:
    """The limits that an account has, the buffer of its losses taken off. Figures are of domain/room.py."""
    if limits.daily_loss is not None:
        allowed, left = limits.daily_loss - limits.buffer, money["to_daily_loss"]
        yield Gauge("daily loss", None if left is None else allowed - left, allowed, left, buffer=limits.buffer)
    if limits.drawdown is not None:
        allowed, left = limits.drawdown.amount - limits.buffer, money["to_floor"]
        yield Gauge("drawdown", None if left is None else allowed - left, allowed, left, buffer=limits.buffer)
    if limits.max_contracts is not None:
        try:
            used = sum((in_micros(root, number, limits.micros_per_contract) for root, number in held), Decimal(0))
        except Denied:
            yield Gauge("contracts", None, limits.max_contracts, None, is_money=False)
            return
        used /= limits.micros_per_contract
        yield Gauge("contracts", used, limits.max_contracts, limits.max_contracts - used, is_money=False)


def _urgency(row: Mapping[str, Any]) -> tuple[int, float, str]:
    rank = _STATES.index(row["state"]) if row["state"] in _STATES else 0
    nearest = max((each.share for each in row["gauges"] if each.is_money), default=0.0)
    return rank, -nearest if nearest >= NEAR else 0.0, row["name"]


def _fits(row: Mapping[str, Any], words: str) -> bool:
    text = " ".join(str(row.get(key) or "") for key in ("name", "connector", "firm", "word", "mode")).casefold()
    return all(word in text for word in words.casefold().split())


def _open_tasks(counts: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, datetime]]:
    """Status, how many tasks, and when the oldest was enqueued, in the order of a task's life; those that are none are left out."""
    found = {status: [row for row in counts if row["status"] == status] for status in _OPEN}
    return [
        (status, sum(row["count"] for row in rows), min(row["oldest"] for row in rows))
        for status, rows in found.items()
        if rows
    ]


def _brokers(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One line for each connection that a router holds, what is down first."""
    links: dict[str, dict[str, Any]] = {}
    for row in rows:
        link = row["connection"]
        if link is None or not link["fresh"]:
            continue
        known = links.setdefault(link["connection"], {**link, "accounts": 0, "down": 0})
        known["accounts"] += 1
        if link["state"] == "down":
            known |= {
                "down": known["down"] + 1,
                "code": link["code"],
                "message": link["message"],
                "since": link["since"],
            }
    return sorted(links.values(), key=lambda link: (not link["down"], link["connection"]))


def _listener(context: WebContext) -> str:
    if context.listener_healthy is None:
        return "not here"
    return "up" if context.listener_healthy() else "down"


def _charts(minutes: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """The last hour by minute, oldest first."""
    signals = [int(minutes.get(n, {}).get("signals", 0)) for n in range(_MINUTES)]
    orders = [int(minutes.get(n, {}).get("orders", 0)) for n in range(_MINUTES)]
    p50 = [minutes.get(n, {}).get("p50") for n in range(_MINUTES)]
    p99 = [minutes.get(n, {}).get("p99") for n in range(_MINUTES)]
    return {
        "signals": signals,
        "orders": orders,
        "p50": p50,
        "p99": p99,
        "last_p50": next((value for value in reversed(p50) if value is not None), None),
        "worst_p99": max((value for value in p99 if value is not None), default=None),
    }
