"""An operator's action as a form asks for it: who, why, how sure; and why it was not done."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from eventrouter.domain.dead_letters import CHANGEABLE, Retry
from eventrouter.domain.resolving import Resolve
from eventrouter.domain.tasks import Status
from eventrouter.errors import ChangeWrong, IllegalTransition
from eventrouter.store import actions, reports
from eventrouter.store.connect import Conn
from eventrouter.store.reports import Row
from eventrouter.web.context import CONTEXT
from eventrouter.web.viewer import viewer_of

EDIT = "edit"
"""A retry with other values, beside the actions of domain/tasks.py."""
MOST_REASON = 1_000


@dataclass(frozen=True, slots=True)
class NotDone:
    """Why nothing was done, the answer's status, and what was filled in, with the form that it came from under `action`."""

    fault: str
    status: int
    form: Mapping[str, str]


async def carried_out(request: web.Request, task_id: int, action: str) -> Row | NotDone:
    """Does what the form asks; the task after it, or the one that was sent in its place. Raises UnknownTask.

    The form: version, that of the task as the form showed it; reason; confirm, the task's id, for a resolve and for a retry after REVIEW
    or of a live task; even_if_old, even_if_held; not_executed for
    the resolve of an ACCEPTED task; for EDIT
    set_NAME for each value that is to be another one, where an empty one stays as it is.
    """
    form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)} | {
        "action": action
    }
    reason, confirm = reason_of(form), form.get("confirm", "").strip()
    if reason is None:
        return NotDone(f"The reason may have {MOST_REASON:,} characters.", 422, form)
    typed = number_of(confirm)
    edits = {name: text for name in CHANGEABLE if (text := form.get(f"set_{name}", "").strip())}
    if action == EDIT and not edits:
        return NotDone("Nothing is changed: fill in what is to be another value, or send it again as it is.", 422, form)
    retry = Retry(typed, "even_if_old" in form, "even_if_held" in form, edits if action == EDIT else {})
    resolve = Resolve(typed, executed="not_executed" not in form)
    verb = "retry" if action == EDIT else action
    try:
        async with request.app[CONTEXT].desk() as conn:
            if verb == "retry" and typed != task_id and await _is_live_and_failed(conn, task_id):
                return NotDone(f"Nothing was done: type {task_id}, for a real order is sent.", 409, form)
            # of an ACCEPTED one the store asks for the id itself, and says what the broker had shown
            if action == "resolve" and typed != task_id and not await _is_accepted(conn, task_id):
                said = f"Nothing was done: type {task_id} to say that the broker has executed it. It is SUCCESS then."
                return NotDone(said, 409, form)
            actor = viewer_of(request).actor("operator")
            return await actions.act(
                conn,
                task_id,
                verb,
                actor=actor,
                reason=reason or None,
                retry=retry,
                resolve=resolve,
                seen=number_of(form.get("version", "")),
            )
    except ChangeWrong as wrong:
        return NotDone(str(wrong), 422, form)
    except IllegalTransition as illegal:
        return NotDone(str(illegal), 409, form)


def number_of(text: str) -> int | None:
    """A number of at most 18 digits; None for anything else, also for digits that are not ours."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


async def _is_live_and_failed(conn: Conn, task_id: int) -> bool:
    """After REVIEW the store asks for the id itself, whoever sends it again."""
    row = await reports.task(conn, task_id)
    return row is not None and row["mode"] == "live" and row["status"] == Status.FAILED


async def _is_accepted(conn: Conn, task_id: int) -> bool:
    row = await reports.task(conn, task_id)
    return row is not None and row["status"] == Status.ACCEPTED


def reason_of(form: Mapping[str, str]) -> str | None:
    """The reason that a form gives, "" for none; None where it cannot be stored."""
    reason = form.get("reason", "").strip()
    storable = len(reason) <= MOST_REASON and "\0" not in reason
    return reason if storable and reason.encode("utf-8", "replace").decode() == reason else None
