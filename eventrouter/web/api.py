"""The operator's JSON API: signals, tasks with their logs, accounts, dead letters, and the actions on a task."""

import json
from typing import Any

from aiohttp import web

from eventrouter.domain.dead_letters import Retry
from eventrouter.domain.resolving import Resolve
from eventrouter.domain.tasks import ACTIONS, Status
from eventrouter.errors import ChangeWrong, SignalRefused
from eventrouter.explain import explain
from eventrouter.store import accounts as account_reports
from eventrouter.store import actions, reports
from eventrouter.web.context import CONTEXT, WebContext
from eventrouter.web.guard import error
from eventrouter.web.jsons import respond
from eventrouter.web.viewer import changes_nothing, viewer_of

routes = web.RouteTableDef()


async def index(_request: web.Request) -> web.Response:
    """What there is to look at here."""
    places = [
        "/api/signals",
        "/api/tasks",
        "/api/accounts",
        "/api/dead-letters",
        "/api/explain (POST)",
        "/api/controls",
        "/api/halt (POST)",
        "/api/resume (POST)",
        "/api/flatten (POST)",
        "/api/events",
        "/ws",
        "/metrics",
        "/healthz",
        "/readyz",
    ]
    return respond({"service": "eventrouter", "see": places})


@routes.get("/api/signals")
async def signals(request: web.Request) -> web.Response:
    """Signals, newest first: ?strategy, ?before (an id), ?limit."""
    async with request.app[CONTEXT].desk() as conn:
        rows = await reports.signals(
            conn,
            strategy=_text(request, "strategy"),
            before=_number(request, "before"),
            limit=_number(request, "limit") or 100,
        )
    return respond(rows)


@routes.get("/api/signals/{signal_id:[0-9]{1,18}}")
async def signal(request: web.Request) -> web.Response:
    """One signal with what became of it on every account under `accounts`."""
    async with request.app[CONTEXT].desk() as conn:
        return respond(await reports.signal(conn, int(request.match_info["signal_id"])))


@routes.post("/api/explain")
@changes_nothing
async def explain_one(request: web.Request) -> web.Response:
    """{"alert": the body as text, "strategy": …} → what it would do, on each account; nothing is done."""
    context = request.app[CONTEXT]
    body = await _body(request)
    alert, strategy = body.get("alert"), body.get("strategy")
    if not isinstance(alert, str) or not (strategy is None or _is_text(strategy, 1, 64)):
        return error(
            422, "FIELD_WRONG", 'Send {"alert": "its body as text", "strategy": "whose it is"}.', field="alert"
        )
    async with context.desk() as conn:
        raw = alert.encode("utf-8", "surrogatepass")
        return respond(await explain(context.config, conn, raw, strategy=strategy))


@routes.get("/api/tasks")
async def tasks(request: web.Request) -> web.Response:
    """Tasks, newest first: ?status, ?account, ?trade_id, ?before (an id), ?limit."""
    status = request.query.get("status")
    if status is not None and status not in list(Status):
        return error(400, "STATUS_UNKNOWN", f"status must be one of {', '.join(Status)}.", field="status")
    async with request.app[CONTEXT].desk() as conn:
        rows = await reports.tasks(
            conn,
            status=status,
            account=_text(request, "account"),
            trade_id=_text(request, "trade_id"),
            before=_number(request, "before"),
            limit=_number(request, "limit") or 100,
        )
    return respond(rows)


@routes.get("/api/tasks/{task_id:[0-9]{1,18}}")
async def task(request: web.Request) -> web.Response:
    """One task with its whole log under `log`."""
    task_id = int(request.match_info["task_id"])
    async with request.app[CONTEXT].desk() as conn:
        row = await reports.task(conn, task_id)
        if row is None:
            return error(404, "TASK_UNKNOWN", f"There is no task {task_id}.")
        row["log"] = await reports.task_log(conn, task_id)
    return respond(row)


@routes.post("/api/tasks/{task_id:[0-9]{1,18}}/{action}")
async def act(request: web.Request) -> web.Response:
    """An operator's action: approve, refuse, hold, retry, discard or resolve; {"reason"} says why, {"actor"} who, where nobody can sign in.

    A resolve of an ACCEPTED task takes {"confirm": the task's id, "executed": whether it was}. A retry also takes {"confirm": the task's id, "even_if_old", "even_if_held", "set": {field: value}}; with "set" the answer is
    the new task. 409 with NOT_CONFIRMED, TOO_OLD or WOULD_DOUBLE says what stands in its way.
    """
    action = request.match_info["action"]
    if action not in ACTIONS:
        return error(404, "ACTION_UNKNOWN", f"The actions are {', '.join(ACTIONS)}.")
    body = await _body(request)
    actor, reason = viewer_of(request).actor(body.get("actor", "operator")), body.get("reason")
    if not _is_text(actor, 1, 100) or not (reason is None or _is_text(reason, 0, 1000)):
        return error(422, "FIELD_WRONG", "actor must be a short text, and reason a text of at most 1,000 characters.")
    task_id = int(request.match_info["task_id"])
    async with request.app[CONTEXT].desk() as conn:
        try:
            row = await actions.act(
                conn, task_id, action, actor=actor, reason=reason, retry=_retry(body), resolve=_resolve(body)
            )
        except ChangeWrong as wrong:
            return error(422, "FIELD_WRONG", str(wrong), field="set")
    return respond(row)


def _confirmed(body: dict[str, Any]) -> int | None:
    confirm = body.get("confirm")
    if confirm is not None and (isinstance(confirm, bool) or not isinstance(confirm, int)):
        raise SignalRefused("FIELD_WRONG", "confirm must be the task's id, as a number.", "confirm")
    return confirm


def _resolve(body: dict[str, Any]) -> Resolve:
    executed = body.get("executed", True)
    if not isinstance(executed, bool):
        raise SignalRefused("FIELD_WRONG", "executed must be true or false.", "executed")
    return Resolve(_confirmed(body), executed)


def _retry(body: dict[str, Any]) -> Retry:
    confirm, changes = _confirmed(body), body.get("set", {})
    for name in ("even_if_old", "even_if_held"):
        if not isinstance(body.get(name, False), bool):
            raise SignalRefused("FIELD_WRONG", f"{name} must be true or false.", name)
    if not isinstance(changes, dict) or not all(_is_text(value, 1, 40) for value in changes.values()):
        raise SignalRefused("FIELD_WRONG", 'set must be an object of texts, such as {"quantity": "1"}.', "set")
    return Retry(confirm, body.get("even_if_old", False), body.get("even_if_held", False), changes)


@routes.get("/api/accounts")
async def accounts(request: web.Request) -> web.Response:
    """The published accounts and how they stand; accounts that only tasks name come last. `configured`: in this process."""
    context = request.app[CONTEXT]
    async with context.desk() as conn:
        rows = await account_reports.accounts(conn)
    return respond([{**row, "configured": _is_configured(context, row["name"])} for row in rows])


@routes.get("/api/accounts/{name}")
async def account(request: web.Request) -> web.Response:
    """One account with the history of its settings, what it holds, and what happened to it."""
    context, name = request.app[CONTEXT], request.match_info["name"]
    if not _is_text(name, 1, 100):
        return error(404, "ACCOUNT_UNKNOWN", "No such account is known.")
    async with context.desk() as conn:
        row = await account_reports.account(conn, name)
    return respond({**row, "configured": _is_configured(context, name)})


def _is_configured(context: WebContext, name: str | None) -> bool:
    return name is not None and context.config.account(name) is not None


@routes.get("/api/dead-letters")
async def dead_letters(request: web.Request) -> web.Response:
    """Tasks in FAILED or REVIEW, newest first, with evidence and suggestion: ?task, ?closed=true, ?before (a letter), ?limit."""
    closed = request.query.get("closed", "false")
    if closed not in ("true", "false"):
        return error(400, "FIELD_WRONG", "closed must be true or false.", field="closed")
    async with request.app[CONTEXT].desk() as conn:
        rows = await actions.dead_letters(
            conn,
            closed=closed == "true",
            task_id=_number(request, "task"),
            before=_number(request, "before"),
            limit=_number(request, "limit") or 100,
        )
    return respond(rows)


def _is_text(value: object, least: int, most: int) -> bool:
    """Whether a value is a text of such a length that Postgres can store."""
    if not isinstance(value, str) or not least <= len(value) <= most or "\0" in value:
        return False
    return value.encode("utf-8", "replace").decode() == value


def _text(request: web.Request, name: str) -> str | None:
    text = request.query.get(name)
    if text is not None and not _is_text(text, 0, 1000):
        raise web.HTTPBadRequest(reason=f"{name} is no text that could be stored")
    return text


def _number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) == 0:
        raise web.HTTPBadRequest(reason=f"{name} must be a positive number")
    return int(text)


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read() or b"{}")
    except (ValueError, RecursionError):
        raise web.HTTPBadRequest(reason="The body is not JSON") from None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(reason="The body must be a JSON object")
    return body
