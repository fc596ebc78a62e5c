"""The operator's JSON API: signals, tasks with their logs, accounts, dead letters, and the actions on a task."""

from aiohttp import web

from eventrouter.domain.dead_letters import Retry
from eventrouter.domain.resolving import Resolve
from eventrouter.domain.tasks import ACTIONS
from eventrouter.errors import ChangeWrong
from eventrouter.explain import explain
from eventrouter.store import accounts as account_reports
from eventrouter.store import actions, reports
from eventrouter.web.account_answers import Account, AccountInFull
from eventrouter.web.answers import (
    DeadLetter,
    Explanation,
    Index,
    Signal,
    SignalOutcomes,
    Task,
    TaskOfSignal,
    TaskWithLog,
)
from eventrouter.web.asked import ActionAsked, ExplainAsked, LettersAsked, SignalsAsked, TasksAsked
from eventrouter.web.codes import CODES
from eventrouter.web.context import CONTEXT, WebContext
from eventrouter.web.described import described
from eventrouter.web.guard import error
from eventrouter.web.jsons import respond
from eventrouter.web.reading import body, parameters
from eventrouter.web.viewer import changes_nothing, viewer_of

routes = web.RouteTableDef()


@described(Index)
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
        "/openapi.json",
    ]
    return respond({"service": "eventrouter", "see": places})


@routes.get("/api/signals")
@described(list[Signal], query=SignalsAsked)
async def signals(request: web.Request) -> web.Response:
    """Signals, newest first."""
    asked = parameters(request, SignalsAsked)
    async with request.app[CONTEXT].desk() as conn:
        rows = await reports.signals(conn, strategy=asked.strategy, before=asked.before, limit=asked.limit)
    return respond(rows)


@routes.get("/api/signals/{signal_id:[0-9]{1,18}}")
@described(SignalOutcomes, refused={404: ("SIGNAL_UNKNOWN",)})
async def signal(request: web.Request) -> web.Response:
    """One signal with what became of it on every account under `accounts`."""
    async with request.app[CONTEXT].desk() as conn:
        return respond(await reports.signal(conn, int(request.match_info["signal_id"])))


@routes.post("/api/explain")
@changes_nothing
@described(Explanation, body=ExplainAsked)
async def explain_one(request: web.Request) -> web.Response:
    """What an alert would do, on each account; nothing is done."""
    context, asked = request.app[CONTEXT], await body(request, ExplainAsked)
    async with context.desk() as conn:
        raw = asked.alert.encode("utf-8", "surrogatepass")
        return respond(await explain(context.config, conn, raw, strategy=asked.strategy))


@routes.get("/api/tasks")
@described(list[Task], query=TasksAsked)
async def tasks(request: web.Request) -> web.Response:
    """Tasks, newest first."""
    asked = parameters(request, TasksAsked)
    async with request.app[CONTEXT].desk() as conn:
        rows = await reports.tasks(
            conn,
            status=asked.status,
            account=asked.account,
            trade_id=asked.trade_id,
            before=asked.before,
            limit=asked.limit,
        )
    return respond(rows)


@routes.get("/api/tasks/{task_id:[0-9]{1,18}}")
@described(TaskWithLog, refused={404: ("TASK_UNKNOWN",)})
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
@described(TaskOfSignal, body=ActionAsked, refused={404: ("TASK_UNKNOWN", "ACTION_UNKNOWN"), 409: tuple(CODES[409])})
async def act(request: web.Request) -> web.Response:
    """An operator's action on a task; the answer is the task as it is then.

    With "set" a retry answers the new task. 409 says what stands in its way.
    """
    action = request.match_info["action"]
    if action not in ACTIONS:
        return error(404, "ACTION_UNKNOWN", f"The actions are {', '.join(ACTIONS)}.")
    asked, task_id = await body(request, ActionAsked), int(request.match_info["task_id"])
    actor = viewer_of(request).actor(asked.actor)
    retry = Retry(asked.confirm, asked.even_if_old, asked.even_if_held, asked.set)
    resolve = Resolve(asked.confirm, asked.executed)
    async with request.app[CONTEXT].desk() as conn:
        try:
            row = await actions.act(
                conn,
                task_id,
                action,
                actor=actor,
                reason=asked.reason,
                retry=retry,
                resolve=resolve,
                seen=asked.version,
            )
        except ChangeWrong as wrong:
            return error(422, "FIELD_WRONG", str(wrong), field="set")
    return respond(row)


@routes.get("/api/accounts")
@described(list[Account])
async def accounts(request: web.Request) -> web.Response:
    """The published accounts and how they stand; accounts that only tasks name come last. `configured`: in this process."""
    context = request.app[CONTEXT]
    async with context.desk() as conn:
        rows = await account_reports.accounts(conn)
    return respond([{**row, "configured": _is_configured(context, row["name"])} for row in rows])


@routes.get("/api/accounts/{name}")
@described(AccountInFull, refused={404: ("ACCOUNT_UNKNOWN",)})
async def account(request: web.Request) -> web.Response:
    """One account with the history of its settings, what it holds, and what happened to it."""
    context, name = request.app[CONTEXT], request.match_info["name"]
    if not name.isprintable() or len(name) > 100:
        return error(404, "ACCOUNT_UNKNOWN", "No such account is known.")
    async with context.desk() as conn:
        row = await account_reports.account(conn, name)
    return respond({**row, "configured": _is_configured(context, name)})


def _is_configured(context: WebContext, name: str | None) -> bool:
    return name is not None and context.config.account(name) is not None


@routes.get("/api/dead-letters")
@described(list[DeadLetter], query=LettersAsked)
async def dead_letters(request: web.Request) -> web.Response:
    """Tasks in FAILED or REVIEW, newest first, with evidence and suggestion."""
    asked = parameters(request, LettersAsked)
    async with request.app[CONTEXT].desk() as conn:
        rows = await actions.dead_letters(
            conn, closed=asked.closed, task_id=asked.task, before=asked.before, limit=asked.limit
        )
    return respond(rows)
