"""Approvals: the queue of orders that wait for a person's yes or no, made for a phone."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from eventrouter.config.rules import published_account
from eventrouter.desk.acting import NotDone, carried_out
from eventrouter.desk.render import page, to
from eventrouter.domain.symbols import root_of
from eventrouter.errors import UnknownTask
from eventrouter.store import reports
from eventrouter.store.desk_dead import held_queue, last_prices
from eventrouter.store.reports import Row
from eventrouter.web.context import CONTEXT

routes = web.RouteTableDef()
_DID = {"approve": "approved", "refuse": "refused"}


@routes.get("/approvals")
async def approvals(request: web.Request) -> web.Response:
    """The queue, the oldest first; ?after= goes on behind that task, ?did=approved&task=ID says what became of the last one."""
    return await _shown(request)


@routes.get("/approvals/{task_id:[0-9]{1,18}}/{action}")
async def asked_again(request: web.Request) -> web.Response:
    """The address of a decision, opened anew: the queue, and nothing is decided."""
    if request.match_info["action"] not in _DID:
        raise web.HTTPNotFound(reason="There is no such action")
    return to(request, "/approvals")


@routes.post("/approvals/{task_id:[0-9]{1,18}}/{action}")
async def act(request: web.Request) -> web.Response:
    """Approves or refuses one, and shows the queue; one that came too late is told so, and nothing is sent."""
    task_id, action = int(request.match_info["task_id"]), request.match_info["action"]
    if action not in _DID:
        raise web.HTTPNotFound(reason="There is no such action")
    if action == "approve" and (late := await _late(request, task_id)):
        return await _shown(request, fault=late)
    try:
        made = await carried_out(request, task_id, action)
    except UnknownTask:
        return await _shown(request, fault=f"There is no task {task_id}.", status=404)
    if isinstance(made, NotDone):
        said = await _why_not(request, task_id, made)
        return await _shown(request, fault=said, status=made.status)
    return to(request, f"/approvals?did={_DID[action]}&task={task_id}")


async def _shown(request: web.Request, *, fault: str | None = None, status: int = 409) -> web.Response:
    at = datetime.now(UTC)
    after, last = _number(request, "after"), _number(request, "task")
    did = request.query.get("did")
    async with request.app[CONTEXT].desk() as conn:
        rows, following = await held_queue(conn, after=after)
        queue = [_held(row, at) for row in rows]
        prices = await last_prices(conn, [card["root"] for card in queue if card["root"]])
        done = await reports.task(conn, last) if last is not None and did in _DID.values() else None
    return page(
        request,
        "approvals.html",
        here="approvals",
        at="/approvals",
        status=status if fault else 200,
        queue=[{**card, "last": prices.get(card["root"])} for card in queue],
        next=following,
        fault=fault,
        did=did,
        done=done,
    )


async def _late(request: web.Request, task_id: int) -> str | None:
    """Why it is too late to approve a task that still waits; the router would only find the same, and end it."""
    async with request.app[CONTEXT].desk() as conn:
        rows, _ = await held_queue(conn, task_id=task_id)
    for row in rows:
        until = _until(row)
        if until is not None and datetime.now(UTC) >= until:
            return f"Task {task_id} could be approved until {until:%H:%M:%S} UTC: it is too late, and nothing is sent."
    return None


async def _why_not(request: web.Request, task_id: int, undone: NotDone) -> str:
    """What became of a task that waits no more, else why it was not done."""
    async with request.app[CONTEXT].desk() as conn:
        row = await reports.task(conn, task_id)
    if row is None or row["status"] == "HELD":
        return undone.fault
    why = f" {row['last_error']}" if row["last_error"] else ""
    return f"Task {task_id} waits no more: it is {row['status']}.{why} Nothing was changed now."


def _held(row: Row, at: datetime) -> dict[str, Any]:
    """A card: what, how much, at which price, how old, and until when it may be approved."""
    sized = row["sized"] if isinstance(row["sized"], Mapping) else {}
    until = _until(row)
    return {
        **row,
        "direction": sized.get("direction") or row["direction"] or row["event_type"],
        "amount": sized.get("quantity") or _amount(row),
        "what": row["symbol"] or sized.get("root") or "what the trade holds",
        "root": sized.get("root") or (root_of(row["symbol"]) if row["symbol"] else None),
        "price": _price(row),
        "stop_loss": _level(row["stop_loss"]),
        "take_profit": _level(row["take_profit"]),
        "until": until,
        "left_s": None if until is None else (until - at).total_seconds(),
        "age_s": max(0.0, (at - row["received_at"]).total_seconds()),
    }


def _until(row: Row) -> datetime | None:
    """Until when a person may approve it: by the account's approve_within, else by the age limit of what opens; None: always."""
    known = published_account(row["account"], row["settings"]) if row["settings"] else None
    within = None if known is None else known.limits.approve_within
    received: datetime = row["received_at"]
    if within is not None:
        return received + within
    expires: datetime | None = row["expires_at"]
    return expires if row["opening"] else None


def _amount(row: Row) -> str:
    if row["quantity"] is None:
        return ""
    return f"{row['quantity']} {row['quantity_kind'].replace('_', ' ')}" if row["quantity_kind"] else row["quantity"]


def _price(row: Row) -> str:
    """The order's price: market with the alert's price beside it, or the prices that it waits for."""
    kind = (row["order_type"] or "market").replace("_", " ")
    waits = [f"{word} {row[name]}" for word, name in (("limit", "limit_price"), ("stop", "stop_price")) if row[name]]
    if waits:
        return ", ".join(waits)
    seen = row["entry_price"] or row["exit_price"]
    return f"{kind}, alert at {seen}" if seen else kind


def _level(text: str | None) -> str | None:
    """A stop loss or take profit as people write it: 21000, or 20 ticks."""
    if text is None or not text.startswith("{"):
        return text
    try:
        value = json.loads(text)
        return f"{value['value']} {value['kind']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return text


def _number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
