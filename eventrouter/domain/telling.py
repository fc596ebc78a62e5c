"""Rows of a task's log in sentences: what happened, in what size and why. Pure."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

_LONGEST = 300

Row = Mapping[str, Any]


def told(task: Row, row: Row) -> Iterator[str]:
    """What a row of the log of `task` says, one sentence after the other. `task`: a mapping with its `mode`."""
    detail = row["detail"] if isinstance(row["detail"], Mapping) else {}
    if row["message"]:
        yield row["message"][:_LONGEST] + (f" Realised {detail['pnl']}." if detail.get("pnl") is not None else "")
        if would := calculation(detail):
            yield f"It would have been: {would}"
    elif row["reason"] == "ENQUEUED":
        yield _asked(detail)
    elif row["reason"] == "INTENT" and detail.get("quantity"):
        yield from _intent(detail)
    elif detail.get("order_id"):
        yield f"The broker's order {detail['order_id']}."
    elif row["reason"] == "DONE" and task["mode"] == "dry":
        yield "Simulated: nothing left this machine."
    elif row["response_body"]:
        yield row["response_body"][:_LONGEST]


def waits_behind(first: Row) -> str:
    """Why a task of a lane does not go yet; `first`: {task, status} of the one that is first in it."""
    return f"It waits in its lane behind task {first['task']}, which is {first['status']}."


def _asked(detail: Row) -> str:
    """What the alert asks for, and the route that it took."""
    payload, plan = (each if isinstance(each, Mapping) else {} for each in (detail.get("payload"), detail.get("plan")))
    words = [payload.get(name) for name in ("direction", "quantity", "symbol")]
    asked = " ".join(
        word if isinstance(word, str) else json.dumps(word, default=str) for word in words if word is not None
    )
    route = plan.get("route")
    return ", ".join(filter(None, (asked[:_LONGEST], f"route {route}" if route else "")))


def _intent(detail: Row) -> Iterator[str]:
    """What is sent, and how its size came about."""
    contract = "" if detail.get("contract") in (None, "-") else f" {detail['contract']}"
    yield f"{detail.get('direction') or 'Close'} {detail['quantity']}{contract}."
    if how := calculation(detail):
        yield how
    if resolution := detail.get("resolution"):
        yield str(resolution)


def calculation(detail: Row) -> str | None:
    """How a size came about, where a row of an intent says it."""
    sizing = detail.get("sizing")
    found = sizing.get("calculation") if isinstance(sizing, Mapping) else None
    return None if found is None else str(found)
