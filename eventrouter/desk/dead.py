"""Dead letters and review: the list, one letter with its evidence and what may be done about it, and many at once."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from aiohttp import web

from eventrouter.desk.acting import EDIT, NotDone, carried_out, number_of, reason_of
from eventrouter.desk.render import page, to
from eventrouter.desk.tasks import step
from eventrouter.domain.dead_letters import CHANGEABLE, SUGGESTIONS, Retry, suggestion
from eventrouter.domain.holdings import contract_name
from eventrouter.domain.plan import opens
from eventrouter.domain.signals import OrderType
from eventrouter.domain.tasks import ACTIONS, Status
from eventrouter.errors import ChangeWrong, IllegalTransition, SignalRefused, UnknownTask
from eventrouter.store import actions, reports
from eventrouter.store.connect import Conn
from eventrouter.store.desk_dead import LetterFilter, LetterPage, letter_page
from eventrouter.store.desk_signals import filter_names
from eventrouter.store.desk_tasks import retries, timeline
from eventrouter.store.reports import Row
from eventrouter.web.context import CONTEXT
from eventrouter.web.viewer import viewer_of

routes = web.RouteTableDef()
MOST_AT_ONCE = 50
_LONGEST = 100
_FILTERS = ("code", "account", "strategy", "status", "q")
_AT_ONCE = {"retry": "Sent again", "discard": "Discarded"}
"""What can be done to many at once, and what is said of each that it was done to."""

_HERE = ("retry", EDIT, "discard", "resolve")
_MOST_LETTERS = 20


@routes.get("/dead")
async def dead(request: web.Request) -> web.Response:
    """The list; an address that asks for what cannot be says so above an empty one."""
    fault, status, found = None, 200, LetterPage([])
    async with request.app[CONTEXT].desk() as conn:
        names = await filter_names(conn)
        try:
            found = await letter_page(conn, _filter(request.query))
        except SignalRefused as wrong:
            fault, status = wrong.message, 400
    return page(
        request,
        "dead.html",
        here="dead",
        status=status,
        found=found,
        fault=fault,
        names=names,
        codes=sorted(SUGGESTIONS),
        settled=request.query.get("status", "").lower() == "settled",
        filtered=[name for name in _FILTERS if request.query.get(name)],
        suggestions={row["code"]: suggestion(row["code"], row["status"]) for row in found.rows},
    )


@routes.get("/dead/{task_id:[0-9]{1,18}}")
async def letter(request: web.Request) -> web.Response:
    """One dead letter: why it is one, what is known of it, what to do, its log."""
    return await _shown(request)


@routes.get("/dead/{task_id:[0-9]{1,18}}/{action}")
async def asked_again(request: web.Request) -> web.Response:
    """The address of an action, opened anew: the letter, and nothing is done."""
    if request.match_info["action"] not in _HERE:
        raise web.HTTPNotFound(reason="There is no such action")
    return to(request, f"/dead/{request.match_info['task_id']}")


@routes.get("/dead/many")
async def many_again(request: web.Request) -> web.Response:
    """The same of many at once: the list."""
    return to(request, "/dead")


@routes.post("/dead/{task_id:[0-9]{1,18}}/{action}")
async def act(request: web.Request) -> web.Response:
    """Carries an action out; shows the task that is sent again, or the letter and how it was settled."""
    task_id, action = int(request.match_info["task_id"]), request.match_info["action"]
    if action not in _HERE:
        raise web.HTTPNotFound(reason="There is no such action")
    try:
        made = await carried_out(request, task_id, action)
    except UnknownTask:
        return _unknown(request, task_id)
    if isinstance(made, NotDone):
        return await _shown(request, made)
    return to(request, f"/tasks/{made['id']}" if action in ("retry", EDIT) else f"/dead/{task_id}")


@routes.post("/dead/many")
async def many(request: web.Request) -> web.Response:
    """One action for each ticked task, each in a transaction of its own, and a page that says what came of each."""
    given = await request.post()
    form = {name: value for name, value in given.items() if isinstance(value, str)}
    action, reason = form.get("action", ""), reason_of(form)
    tasks = _ticked(given.getall("task", []))
    fault = None
    if action not in _AT_ONCE:
        fault = "Many can be sent again or discarded; everything else is done to one at a time."
    elif reason is None:
        fault = "The reason is too long, or no text that can be stored."
    elif not tasks:
        fault = "Nothing is ticked: go back and tick what it is about."
    elif len(tasks) > MOST_AT_ONCE:
        fault = f"At most {MOST_AT_ONCE} at once."
    outcomes: list[dict[str, Any]] = []
    if fault is None:
        doing = partial(actions.act, action=action, actor=viewer_of(request).actor("operator"), reason=reason or None)
        async with request.app[CONTEXT].desk() as conn:
            if action == "retry" and await _sends_unsaid(conn, form, tasks):
                fault = f"Nothing was done: type {len(tasks)}, how many are ticked, for real orders are sent."
            else:
                retry = Retry(even_if_old="even_if_old" in form)
                outcomes = [
                    await _one_of_many(partial(doing, conn, each, retry=retry, seen=seen), action, each)
                    for each, seen in tasks
                ]
    return page(
        request,
        "dead_many.html",
        here="dead",
        status=422 if fault else 200,
        fault=fault,
        outcomes=outcomes,
        done=sum(each["done"] for each in outcomes),
    )


def _ticked(values: Sequence[object]) -> list[tuple[int, int | None]]:
    """Each ticked task once, with the version of it that the list showed, in the order of their ids. The form: ID:VERSION."""
    split = [value.partition(":") for value in values if isinstance(value, str)]
    found = {task_id: number_of(version) for text, _, version in split if (task_id := number_of(text)) is not None}
    return sorted(found.items())


async def _sends_unsaid(conn: Conn, form: Mapping[str, str], tasks: Sequence[tuple[int, int | None]]) -> bool:
    """Whether real orders would be sent, and nobody has typed how many."""
    if number_of(form.get("confirm", "").strip()) == len(tasks):
        return False
    rows = [await reports.task(conn, each) for each, _ in tasks]
    return any(row is not None and row["mode"] == "live" for row in rows)


async def _one_of_many(do: Callable[[], Awaitable[Row]], action: str, task_id: int) -> dict[str, Any]:
    """What came of it: {task, done, said, code, status}; what needs its id typed, or anything else overruled, is left out."""
    try:
        row = await do()
    except IllegalTransition as illegal:
        left = "Left out, it needs its id typed: open it. " if illegal.code == "NOT_CONFIRMED" else "Not done. "
        return {"task": task_id, "done": False, "code": illegal.code, "said": left + str(illegal), "status": None}
    except (UnknownTask, ChangeWrong) as unknown:
        return {"task": task_id, "done": False, "code": None, "said": f"Not done. {unknown}", "status": None}
    said = f"{_AT_ONCE[action]}."
    return {"task": task_id, "done": True, "code": None, "said": said, "status": row["status"]}


async def _shown(request: web.Request, undone: NotDone | None = None) -> web.Response:
    """The letter's page; `undone`: why what was asked was not done, with what was filled in."""
    task_id = int(request.match_info["task_id"])
    async with request.app[CONTEXT].desk() as conn:
        row = await reports.task(conn, task_id)
        letters = await actions.dead_letters(conn, closed=True, task_id=task_id, limit=_MOST_LETTERS)
        if row is None or not letters:
            return _unknown(request, task_id)
        rows, earlier = await timeline(conn, task_id, number_of(request.query.get("before", "")))
        replaced_by = await retries(conn, task_id)
    latest = letters[0]
    is_open = latest["closed_at"] is None
    return page(
        request,
        "letter.html",
        here="dead",
        at=f"/dead/{task_id}",
        status=200 if undone is None else undone.status,
        task=row,
        letter=latest,
        sent_at=datetime.fromisoformat(latest["evidence"]["sent"]["at"]) if latest["evidence"]["sent"] else None,
        others=letters[1:],
        is_open=is_open,
        possible=[name for name in ("retry", "discard", "resolve") if is_open and _may(name, row)],
        opening=opens(row["event_type"]),
        asks=_asks(row),
        changeable=_changeable(row, latest["evidence"]["sent"] or {}),
        order_types=[str(each) for each in OrderType],
        replaced_by=replaced_by,
        log=[step(row, each) for each in rows],
        earlier=earlier,
        fault=None if undone is None else undone.fault,
        form={} if undone is None else undone.form,
    )


def _may(action: str, row: Mapping[str, Any]) -> bool:
    return Status(row["status"]) in ACTIONS[action]


def _changeable(row: Mapping[str, Any], sent: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """What can be another value, and what it is now; of a quantity what was sent, and apart from that what was asked for."""
    if not opens(row["event_type"]):
        return []
    payload = row["payload"] if isinstance(row["payload"], Mapping) else {}
    names = [name for name in CHANGEABLE if name != "symbol" or row["event_type"] == "ENTRY"]
    now = {name: f"now {_said(payload, name)}" for name in names}
    asked = f"{_said(payload, 'quantity')} was {'set by hand' if payload.get('quantity_by_hand') else 'asked for'}"
    name = contract_name(str(sent.get("contract") or "contracts"))
    now["quantity"] = f"{sent['quantity']} {name} sent, {asked}" if sent.get("quantity") else f"none sent, {asked}"
    return list(now.items())


def _asks(row: Mapping[str, Any]) -> str:
    payload = row["payload"] if isinstance(row["payload"], Mapping) else {}
    return " ".join(
        _said(payload, name) for name in ("direction", "quantity", "symbol") if payload.get(name) is not None
    )


def _said(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name)
    if isinstance(value, Mapping):
        value = f"{value.get('value')} {value.get('kind')}"
    if value is None:
        return "market" if name == "order_type" else "none"
    kind = payload.get("quantity_kind") if name == "quantity" else None
    return f"{value} {kind}"[:_LONGEST] if kind else str(value)[:_LONGEST]


def _unknown(request: web.Request, task_id: int) -> web.Response:
    text = f"Task {task_id} is and was no dead letter in this database."
    return page(request, "message.html", here="dead", status=404, heading="No such dead letter", text=text)


def _filter(query: Mapping[str, str]) -> LetterFilter:
    """What the address asks for. Raises SignalRefused, whose message names the field."""
    status = query.get("status", "").lower() or "open"
    if status not in ("open", "settled"):
        raise SignalRefused("FIELD_WRONG", "status must be open or settled.", "status")
    before = query.get("before") or None
    if before is not None and not (before.isascii() and before.isdigit() and len(before) <= 18):
        raise SignalRefused("FIELD_WRONG", "before must be the number of a letter.", "before")
    return LetterFilter(
        open=status == "open",
        code=_text(query, "code"),
        account=_text(query, "account"),
        strategy=_text(query, "strategy"),
        text=_text(query, "q"),
        before=None if before is None else int(before),
    )


def _text(query: Mapping[str, str], name: str) -> str | None:
    text = query.get(name, "").strip()
    if len(text) > _LONGEST or "\0" in text or text.encode("utf-8", "replace").decode() != text:
        raise SignalRefused("FIELD_WRONG", f"{name} must be a text of at most {_LONGEST} characters.", name)
    return text or None
