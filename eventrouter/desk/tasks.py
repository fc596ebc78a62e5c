"""One task: its log as a timeline, its order and fills, and what may be done to it now."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from eventrouter.desk.acting import NotDone, carried_out, number_of
from eventrouter.desk.latency import PHASES, phases
from eventrouter.desk.render import page, to
from eventrouter.domain.plan import opens
from eventrouter.domain.tasks import ACTIONS, Status
from eventrouter.domain.telling import told
from eventrouter.errors import UnknownTask
from eventrouter.store import actions, reports
from eventrouter.store.connect import Conn
from eventrouter.store.desk_tasks import fills, milestones, orders, retries, timeline
from eventrouter.web.context import CONTEXT
from eventrouter.web.viewer import viewer_of

routes = web.RouteTableDef()
WORDS: Mapping[str, tuple[str, str]] = {
    "approve": ("Approve", "A router takes it and sends it."),
    "refuse": ("Refuse", "It ends as CANCELLED, and nothing is sent."),
    "hold": ("Hold", "It waits until somebody approves or refuses it."),
    "retry": ("Send again", "It is sent under a new client order id, and every limit is asked anew."),
    "resolve": ("Resolve as done", "It ends as SUCCESS, and nothing is sent. Only where the broker has done it."),
    "discard": ("Discard", "It ends as CANCELLED, and nothing is sent any more."),
}
"""An action as a button, and what it does."""

_TITLES = {
    "ENQUEUED": "What was enqueued",
    "INTENT": "Request, as recorded before it left",
    "ROUTED": "How it was routed",
}
_MOST_TEXT = 65_536


@routes.get("/tasks/{task_id:[0-9]{1,18}}")
async def task(request: web.Request) -> web.Response:
    """The page; ?before=SEQ shows the rows of a long log that came before."""
    return await _shown(request)


@routes.get("/tasks/{task_id:[0-9]{1,18}}/{action}")
async def asked_again(request: web.Request) -> web.Response:
    """The address of an action, opened anew: the task, and nothing is done."""
    if request.match_info["action"] not in ACTIONS:
        raise web.HTTPNotFound(reason="There is no such action")
    return to(request, f"/tasks/{request.match_info['task_id']}")


@routes.post("/tasks/{task_id:[0-9]{1,18}}/{action}")
async def act(request: web.Request) -> web.Response:
    """Carries an action out and shows the task, or what was sent in its place; what stands in the way is said on the page."""
    task_id, action, viewer = int(request.match_info["task_id"]), request.match_info["action"], viewer_of(request)
    if action not in ACTIONS:
        raise web.HTTPNotFound(reason="There is no such action")
    if not viewer.may_operate:
        return await _shown(request, fault="You may look, and change nothing: your role is view.", status=403)
    try:
        made = await carried_out(request, task_id, action)
    except UnknownTask:
        return _unknown(request, task_id)
    if isinstance(made, NotDone):
        return await _shown(request, fault=made.fault, status=made.status, form=made.form)
    return to(request, f"/tasks/{made['id']}")


async def _shown(
    request: web.Request, *, fault: str | None = None, status: int = 200, form: Mapping[str, str] | None = None
) -> web.Response:
    """The task's page; `fault`: why what was asked was not done, with what was filled in."""
    task_id = int(request.match_info["task_id"])
    async with request.app[CONTEXT].desk() as conn:
        row = await reports.task(conn, task_id)
        if row is None:
            return _unknown(request, task_id)
        rows, earlier = await timeline(conn, task_id, number_of(request.query.get("before", "")))
        moments = (await milestones(conn, [task_id]))[task_id]
        known = {
            "orders": await orders(conn, task_id),
            "fills": await fills(conn, task_id),
            "replaced_by": await retries(conn, task_id),
            "suggestion": await _suggestion(conn, row),
        }
    strip = phases(
        row["received_at"], rows[0]["created_at"] if rows and rows[0]["seq"] == 1 else row["created_at"], moments
    )
    return page(
        request,
        "task.html",
        here="signals",
        at=f"/tasks/{task_id}",
        status=status,
        task=row,
        log=[step(row, each) for each in rows],
        earlier=earlier,
        took=strip,
        phases=PHASES,
        payload=_pretty(row["payload"]),
        possible=[name for name in WORDS if Status(row["status"]) in ACTIONS[name]],
        words=WORDS,
        opening=opens(row["event_type"]),
        fault=fault,
        form=form or {},
        **known,
    )


def _unknown(request: web.Request, task_id: int) -> web.Response:
    text = f"There is no task {task_id} in this database."
    return page(request, "message.html", here="signals", status=404, heading="No such task", text=text)


async def _suggestion(conn: Conn, row: Mapping[str, Any]) -> str | None:
    """What to do about it, where it is a dead letter."""
    if row["status"] not in (Status.FAILED, Status.REVIEW):
        return None
    letters = await actions.dead_letters(conn, task_id=row["id"], limit=1)
    return letters[0]["suggestion"] if letters else None


def step(task: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the log: its sentences, when it came after the alert, and what can be opened below it."""
    since = (row["created_at"] - (task["received_at"] or task["created_at"])).total_seconds()
    parts = []
    if row["response_body"]:
        title = "Answer" if row["response_code"] is None else f"Answer {row['response_code']}"
        parts.append((title, _pretty(row["response_body"])))
    if row["detail"]:
        parts.append((_TITLES.get(row["reason"], "Details"), _pretty(row["detail"])))
    return {
        **row,
        "sentences": list(told(task, row)),
        "after_s": since,
        "moved": row["prev_status"] != row["status"],
        "parts": parts,
    }


def _pretty(value: Any) -> str:
    """JSON over several lines; a text that is no JSON as it is."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return str(value)[:_MOST_TEXT]
    try:
        return json.dumps(value, indent=2, default=str, ensure_ascii=False)[:_MOST_TEXT]
    except (ValueError, RecursionError):
        return str(value)[:_MOST_TEXT]
