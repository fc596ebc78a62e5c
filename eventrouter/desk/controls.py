"""Controls: what stands, and halt, reduce, resume and flatten; each shows what it will do before it does it."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from eventrouter.config.rules import account_of
from eventrouter.desk.acting import number_of
from eventrouter.desk.control_effects import lines, sorted_out, still_in_the_way
from eventrouter.desk.render import page, to
from eventrouter.domain.controls import ALL
from eventrouter.errors import MovedOn, SignalRefused
from eventrouter.store import controls as store
from eventrouter.store.accounts import accounts
from eventrouter.store.connect import Conn
from eventrouter.store.desk_controls import Met, flattenings, known_names, met
from eventrouter.store.reports import Row
from eventrouter.web.context import CONTEXT, WebContext
from eventrouter.web.controls import LONGEST_REASON, control_of, scope_known, set_by
from eventrouter.web.viewer import viewer_of

routes = web.RouteTableDef()
HISTORY_ROWS = 50
MOST_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Verb:
    """`word` on the button, `done` in a heading, `effect` in sentences."""

    word: str
    done: str
    effect: str


VERBS: Mapping[str, Verb] = {
    "halt": Verb(
        "Halt",
        "Halt",
        "From now on what opens is denied with HALTED, also what waits in line already. Exits, stops and cancels go out as "
        "before. Nothing is cancelled and nothing is closed.",
    ),
    "reduce": Verb(
        "Reduce only",
        "Reduce only",
        "A winding down: from now on what opens is denied with REDUCING, also what waits in line already. Exits, stops and "
        "cancels go out as before. Nothing is cancelled and nothing is closed.",
    ),
    "flatten": Verb(
        "Flatten",
        "Flattening",
        "Cancels what works, closes what is held, and looks again until nothing is left. What opens is denied with REDUCING "
        "until the same scope is resumed.",
    ),
    "resume": Verb(
        "Resume",
        "Resume",
        "Ends what stands for exactly this scope, and withdraws a flattening of it that is not done. Entries that were "
        "denied meanwhile stay denied.",
    ),
}
STANDS = {"halt": "halted", "reduce": "reducing", "flatten": "reducing"}


@routes.get("/controls")
async def shown(request: web.Request) -> web.Response:
    """What stands, the form, flattenings that stand with how far they are, and the history: ?before= for older rows."""
    context, before = request.app[CONTEXT], request.query.get("before", "")
    if before and not (before.isascii() and before.isdigit() and len(before) <= 18):
        raise SignalRefused("FIELD_WRONG", "before must be the id of a control.", "before")
    async with context.desk() as conn:
        rows = await store.history(conn, before=int(before) if before else None, limit=HISTORY_ROWS + 1)
        standing = [row for row in await store.standings(conn) if row["action"] != "resume"]
        names = await _names(context, conn)
        closing = [await control_of(context, conn, row["id"]) for row in await flattenings(conn)]
    return page(
        request,
        "controls.html",
        here="controls",
        standing=sorted(standing, key=lambda row: -row["id"])[:MOST_SHOWN],
        stand=len(standing),
        closing=[row for row in closing if row is not None],
        history=rows[:HISTORY_ROWS],
        next=rows[HISTORY_ROWS - 1]["id"] if len(rows) > HISTORY_ROWS else None,
        names=names,
        verbs=VERBS,
        stands=STANDS,
        most_reason=LONGEST_REASON,
    )


@routes.get("/controls/set")
async def preview(request: web.Request) -> web.Response:
    """?action=&scope=&reason=: what it would do now, and the form that does it."""
    return await _previewed(request, request.query)


@routes.post("/controls/set")
async def act(request: web.Request) -> web.Response:
    """action, scope, reason, for a flattening the typed name of the scope: sets it and shows how it goes.

    For a resume `seen`, the latest control of the scope that the preview showed: what somebody set since then is not withdrawn.
    """
    form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    action, scope = form.get("action", ""), form.get("scope", "")
    if action not in VERBS:
        return _nonsense(request, action)
    if action == "flatten" and form.get("confirm", "").strip() not in (scope, to_type(scope)):
        fault = f"Nothing was done: type {to_type(scope)[:200]} to flatten it."
        return await _previewed(request, form, fault=fault, status=422)
    try:
        actor, reason = viewer_of(request).actor("operator"), form.get("reason", "").strip() or None
        seen = number_of(form.get("seen", "")) if action == "resume" else None
        control = await set_by(request, action, scope, reason, actor=actor, seen=seen)
    except SignalRefused as refused:
        return await _previewed(request, form, fault=f"Nothing was done: {refused.message}", status=422)
    except MovedOn as moved:
        return await _previewed(request, form, fault=f"Nothing was done: {moved}", status=409)
    return to(request, f"/controls/{control.id}")


@routes.get("/controls/{control:[0-9]{1,18}}")
async def one(request: web.Request) -> web.Response:
    """A control that was set: what is still on its way in its scope, and of a flattening each account until it is flat."""
    context, number = request.app[CONTEXT], int(request.match_info["control"])
    async with context.desk() as conn:
        row = await control_of(context, conn, number)
        if row is None:
            text = f"There is no control {number} in this database."
            return page(request, "message.html", here="controls", status=404, heading="No such control", text=text)
        standing = await store.standings(conn)
        found = await _met(context, conn, row["scope"], await accounts(conn))
        asked = [each["id"] for each in await flattenings(conn) if each["scope"] == row["scope"]]
        waiting = [each["account"] for each in row.get("accounts", ()) if each["state"] != "FLAT"]
        alone = await store.without_router(conn, waiting)
    flattens = row["action"] == "flatten"
    return page(
        request,
        "control.html",
        here="controls",
        control=row,
        verb=VERBS[row["action"]],
        latest=next((each for each in standing if each["scope"] == row["scope"]), row),
        stands=STANDS,
        withdrawn=flattens and not any(each >= number for each in asked),
        is_flat=flattens and all(each["state"] == "FLAT" for each in row["accounts"]),
        others=still_in_the_way(standing, row["scope"]),
        alone=alone,
        met=found,
        **sorted_out(found),
        most=MOST_SHOWN,
    )


def to_type(scope: str) -> str:
    """What a person types to flatten the scope: its name, or `all`."""
    return scope.partition(":")[2] or scope


async def _previewed(
    request: web.Request, asked: Mapping[str, str], *, fault: str | None = None, status: int = 200
) -> web.Response:
    """The preview; `fault`: why what was asked for was not done."""
    context, action = request.app[CONTEXT], asked.get("action", "")
    if action not in VERBS:
        return _nonsense(request, action)
    async with context.desk() as conn:
        scope = await scope_known(context, conn, asked.get("scope", ALL), action)
        standing = await store.standings(conn)
        fleet = await accounts(conn)
        found = await _met(context, conn, scope, fleet)
        asked_for = [each for each in await flattenings(conn) if each["scope"] == scope]
        concerned = lines(fleet, [each.name for each in context.config.accounts], scope, action, standing, found)
        closing = [row["name"] for row in concerned] if action == "flatten" else []
        alone = await store.without_router(conn, closing)
    return page(
        request,
        "control_preview.html",
        here="controls",
        status=status,
        fault=fault,
        action=action,
        verb=VERBS[action],
        scope=scope,
        to_type=to_type(scope),
        reason=asked.get("reason", "")[:LONGEST_REASON],
        most_reason=LONGEST_REASON,
        seen=next((row["id"] for row in standing if row["scope"] == scope), 0),
        standing=next((row for row in standing if row["scope"] == scope and row["action"] != "resume"), None),
        others=still_in_the_way(standing, scope),
        flattening=asked_for[0] if asked_for else None,
        stands=STANDS,
        lines=concerned,
        alone=alone,
        met=found,
        **sorted_out(found),
        most=MOST_SHOWN,
    )


def _nonsense(request: web.Request, action: str) -> web.Response:
    text = f"{action[:40]!r} is none of {', '.join(VERBS)}."
    return page(request, "message.html", here="controls", status=422, heading="No such control", text=text)


async def _met(context: WebContext, conn: Conn, scope: str, fleet: list[Row]) -> Met:
    """What is open in the scope, each account in the mode that is published of it, else in that of this configuration."""
    dry_run = context.config.router.dry_run
    modes = {each.name: account_of(each).mode(dry_run=dry_run) for each in context.config.accounts}
    published = {row["name"]: row["mode"] or "dry" for row in fleet if row["name"]}
    return await met(conn, scope, modes | published)


async def _names(context: WebContext, conn: Conn) -> dict[str, list[str]]:
    """What the form offers: what the database knows and what this configuration names."""
    known, config = await known_names(conn), context.config
    return {
        "account": sorted({*known["account"], *(each.name for each in config.accounts)}),
        "strategy": sorted({*known["strategy"], *(each.name for each in config.strategies)}),
    }
