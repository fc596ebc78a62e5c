"""Signals: the filtered list, and one signal with what became of it on every account."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from aiohttp import web

from eventrouter.desk.latency import PHASES, phases
from eventrouter.desk.render import page
from eventrouter.domain.parsers import format_name
from eventrouter.domain.tasks import Status
from eventrouter.domain.telling import calculation
from eventrouter.errors import SignalRefused, UnknownSignal
from eventrouter.store import reports
from eventrouter.store.desk_signals import (
    MOST_LOOKED_THROUGH,
    OUTCOMES,
    SignalFilter,
    SignalPage,
    filter_names,
    signal_page,
)
from eventrouter.store.desk_tasks import milestones
from eventrouter.web.context import CONTEXT

routes = web.RouteTableDef()
_LONGEST = 100
_MOST_NUMBERS = 40
_MOST_BODY = 65_536


@routes.get("/signals")
async def signals(request: web.Request) -> web.Response:
    """The list; an address that asks for what cannot be says so above an empty one."""
    fault, status, found = None, 200, SignalPage([])
    async with request.app[CONTEXT].desk() as conn:
        names = await filter_names(conn)
        try:
            found = await signal_page(conn, _filter(request.query))
        except SignalRefused as wrong:
            fault, status = wrong.message, 400
    filtered = [
        name for name in ("strategy", "symbol", "account", "status", "from", "to", "q") if request.query.get(name)
    ]
    return page(
        request,
        "signals.html",
        here="signals",
        status=status,
        found=found,
        fault=fault,
        names=names,
        filtered=filtered,
        choices=(*Status, *OUTCOMES),
        most=MOST_LOOKED_THROUGH,
    )


@routes.get("/signals/{signal_id:[0-9]{1,18}}")
async def signal(request: web.Request) -> web.Response:
    """One signal: its accounts side by side, how long each phase took, the alert as it came and as it was understood."""
    signal_id = int(request.match_info["signal_id"])
    async with request.app[CONTEXT].desk() as conn:
        try:
            row = await reports.signal(conn, signal_id)
        except UnknownSignal:
            text = f"There is no signal {signal_id} in this database."
            return page(request, "message.html", here="signals", status=404, heading="No such signal", text=text)
        moments = await milestones(conn, [each["task"] for each in row["accounts"] if each["task"] is not None])
    accounts = [_account(row, each, moments.get(each["task"])) for each in row["accounts"]]
    return page(
        request,
        "signal.html",
        here="signals",
        signal=row,
        accounts=accounts,
        counts=_counted(accounts),
        understood=_understood(row["parsed"]),
        body=row["raw"][:_MOST_BODY],
        phases=PHASES,
    )


def _filter(query: Mapping[str, str]) -> SignalFilter:
    """What the address asks for. Raises SignalRefused, whose message names the field."""
    status = query.get("status", "").upper() or None
    if status is not None and status not in (*Status, *OUTCOMES):
        raise SignalRefused("FIELD_WRONG", f"status must be one of {', '.join((*Status, *OUTCOMES))}.", "status")
    before = query.get("before") or None
    if before is not None and not (before.isascii() and before.isdigit() and len(before) <= 18):
        raise SignalRefused("FIELD_WRONG", "before must be the id of a signal.", "before")
    return SignalFilter(
        strategy=_text(query, "strategy"),
        symbol=_text(query, "symbol"),
        account=_text(query, "account"),
        status=status,
        since=_time(query, "from"),
        until=_time(query, "to"),
        text=_text(query, "q"),
        before=None if before is None else int(before),
    )


def _text(query: Mapping[str, str], name: str) -> str | None:
    text = query.get(name, "").strip()
    if len(text) > _LONGEST or "\0" in text or text.encode("utf-8", "replace").decode() != text:
        raise SignalRefused("FIELD_WRONG", f"{name} must be a text of at most {_LONGEST} characters.", name)
    return text or None


def _time(query: Mapping[str, str], name: str) -> datetime | None:
    """A moment as ISO 8601; without an offset it is UTC."""
    text = query.get(name, "").strip()
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{name} must be a time such as 2026-11-22T14:30, which is UTC, or 2026-11-22T09:30-05:00."
        raise SignalRefused("FIELD_WRONG", message, name) from None


def _account(signal: Mapping[str, Any], row: Mapping[str, Any], moments: Mapping[str, Any] | None) -> dict[str, Any]:
    """A row of accounts with its strip, how its size came about, and the numbers behind a refusal."""
    strip = [] if moments is None else phases(signal["received_at"], signal["created_at"], moments)
    intent = (moments or {}).get("intent") or {}
    return {
        **row,
        "phases": strip,
        "seconds": dict(strip),
        "total_s": sum(seconds for _, seconds in strip) if strip else None,
        "calculation": calculation(intent),
        "direction": intent.get("direction"),
        "numbers": _scalars(row["detail"]) if row["status"] != Status.SUCCESS else {},
    }


def _counted(accounts: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """How many accounts came to what, the traded ones first."""
    counts = Counter(each["status"] or "NO ORDER" for each in accounts)
    order = (Status.SUCCESS, *(status for status in Status if status != Status.SUCCESS), "NO ORDER")
    return [(word, counts[word]) for word in order if word in counts]


def _understood(parsed: Any) -> dict[str, str]:
    """What the alert asks for, and in which format it came."""
    found = _scalars(parsed)
    if "family" in found:
        found["family"] = format_name(found["family"])
    return {("format" if key == "family" else key): value for key, value in found.items()}


def _scalars(values: Any) -> dict[str, str]:
    """The plain values of an object, as text."""
    if not isinstance(values, Mapping):
        return {}
    plain = {key: value for key, value in values.items() if isinstance(value, str | int | Decimal | bool)}
    return {key: str(value) for key, value in list(plain.items())[:_MOST_NUMBERS]}
