"""`halt`, `resume` and `flatten`: for all accounts, one account, or one strategy."""

import asyncio
import getpass
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from eventrouter.cli.options import ConfigOption, JsonOption, configured, connected, run_async, show_json
from eventrouter.config import Config
from eventrouter.domain.controls import ALL
from eventrouter.errors import ConfigError
from eventrouter.store import controls
from eventrouter.store.connect import Conn
from eventrouter.store.controls import Control

_LOOK_EVERY_S = 0.1
_VERBS = {"halt": "Halted", "reduce": "Reducing", "resume": "Resumed", "flatten": "Flattening"}
_STANDS = {"halt": "halted", "reduce": "reducing", "flatten": "reducing after a flattening"}
_EFFECTS = {
    "halt": "From now on what opens is denied with HALTED; exits, stops and cancels go out as before.",
    "reduce": "From now on what opens is denied with REDUCING; exits, stops and cancels go out as before.",
    "resume": "Entries that were denied meanwhile stay denied.",
    "flatten": "What opens is denied with REDUCING until `eventrouter resume` of the same scope.",
}

ScopeArgument = Annotated[
    str, typer.Argument(metavar="SCOPE", help="account:NAME, strategy:NAME, or all.", show_default=True)
]
ReasonOption = Annotated[str | None, typer.Option(help="Why; it stands beside your name in the record.")]


def halt(
    scope: ScopeArgument = ALL,
    *,
    reduce: Annotated[
        bool,
        typer.Option(
            "--reduce",
            help="Record a winding down instead of a halt: the same is denied, with REDUCING instead of HALTED.",
        ),
    ] = False,
    reason: ReasonOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deny every entry and add from now on, also those that wait in line already, until `resume`.

    What closes, reduces, cancels or moves a stop still goes out. Nothing is cancelled or closed: that is `flatten`. When this
    returns, no router can send a further entry of the scope; it prints the orders that are on their way or work at the broker.
    """
    _set("reduce" if reduce else "halt", scope, reason, configured(config), as_json=as_json)


def resume(
    scope: ScopeArgument = ALL,
    *,
    reason: ReasonOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a halt of exactly this scope, and withdraw a flattening of it that is not done. It prints what stays halted.

    `resume` of all does not resume an account or a strategy that was halted by name.
    """
    _set("resume", scope, reason, configured(config), as_json=as_json)


def flatten(
    scope: ScopeArgument = ALL,
    *,
    reason: ReasonOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the proof; 0 only asks for it.")] = 60.0,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cancel every working order, close every position, verify at the broker that nothing is left, and print the proof.

    For an account everything that it has there is closed, placed by hand too; for a strategy the trades of its own signals
    are, by an exit each. In a dry run the simulated holdings are closed the same way. What opens is denied until `resume`.
    Ends with status 1 when something is not flat within --wait seconds. A router goes on trying all the same; where none runs
    it says so, and one that starts later takes the flattening up.
    """
    loaded = configured(config)
    flat = True

    async def close_all() -> None:
        nonlocal flat
        async with connected(loaded) as conn:
            known = await _known(conn, scope, "flatten", loaded)
            if not yes:
                _ask(known)
            control = await controls.set_control(conn, known, "flatten", actor_name(), reason)
            if not as_json:
                _print_control(control)
                _print_alone(await controls.without_router(conn, await _accounts_of(conn, control, loaded)))
            found = await _proof(conn, control, loaded, wait)
            waiting = [each["account"] for each in found if each["state"] != "FLAT"]
            alone = await controls.without_router(conn, waiting)
        flat = all(each["state"] == "FLAT" for each in found) or wait == 0
        if as_json:
            show_json({**asdict(control), "flat": flat and wait > 0, "accounts": found, "without_router": alone})
        elif wait > 0:
            _print_proof(found, wait, alone)

    run_async(close_all)
    if not flat:
        raise typer.Exit(1)


def _set(action: str, scope: str, reason: str | None, loaded: Config, *, as_json: bool) -> None:
    async def change() -> None:
        async with connected(loaded) as conn:
            known = await _known(conn, scope, action, loaded)
            stood = {row["scope"]: row["action"] for row in await controls.standings(conn)}.get(known, "resume")
            control = await controls.set_control(conn, known, action, actor_name(), reason)
            others = [row for row in await controls.standings(conn) if row["action"] != "resume"]
        nothing = action == stood == "resume"
        if as_json:
            show_json({**asdict(control), "standing": others, "ended": stood if action == "resume" != stood else None})
            return
        if nothing:
            typer.echo(f"Nothing was halted for {_what(known)}, so nothing is resumed.")
        else:
            _print_control(control, others)
        for row in others if action == "resume" else ():
            said = f": {row['reason']}" if row["reason"] else ""
            typer.echo(
                f"Still {_STANDS[row['action']]}: {row['scope']}, by {row['actor']} since {_at(row['created_at'])}{said}"
            )

    run_async(change)


async def _known(conn: Conn, scope: str, action: str, loaded: Config) -> str:
    accounts = [each.name for each in loaded.accounts]
    return await controls.known_scope(
        conn, scope, action, accounts=accounts, strategies=[each.name for each in loaded.strategies]
    )


async def _accounts_of(conn: Conn, control: Control, loaded: Config) -> list[str]:
    names = [each.name for each in loaded.accounts]
    return [each["account"] for each in await controls.flattening(conn, control.id, control.scope, names)]


def _what(scope: str) -> str:
    return "all accounts" if scope == ALL else scope


def _ask(scope: str) -> None:
    if not sys.stdin.isatty():
        raise ConfigError("flatten closes positions: pass --yes where nobody can be asked.")
    typer.confirm(f"Cancel every working order and close every position of {_what(scope)}?", abort=True)


async def _proof(conn: Conn, control: Control, loaded: Config, wait_s: float) -> list[dict[str, Any]]:
    """Looks until every account of the scope is flat, or for so many seconds."""
    deadline = time.monotonic() + wait_s
    while True:
        names = [each.name for each in loaded.accounts]
        found = await controls.flattening(conn, control.id, control.scope, names)
        if all(each["state"] == "FLAT" for each in found) or time.monotonic() >= deadline:
            return found
        await asyncio.sleep(_LOOK_EVERY_S)


def _but(control: Control, others: Sequence[dict[str, Any]]) -> str:
    """Of a resume of everything: what it does not resume."""
    if control.action != "resume" or control.scope != ALL or not others:
        return ""
    return f" But not {', '.join(row['scope'] for row in others)}: what was halted by name is resumed by name."


def _print_control(control: Control, others: Sequence[dict[str, Any]] = ()) -> None:
    typer.echo(
        f"{_VERBS[control.action]}: {_what(control.scope)}, by {control.actor} at {_at(control.created_at)}.{_but(control, others)}"
    )
    typer.echo(_EFFECTS[control.action])
    _print_tasks("In flight, their outcome is not known yet", control.in_flight)
    if control.working:
        end = "" if control.action == "flatten" else "; `eventrouter flatten` cancels them"
        _print_tasks(f"Working at the broker{end}", control.working)


def _print_tasks(title: str, tasks: Sequence[dict[str, Any]]) -> None:
    if not tasks:
        typer.echo("Nothing is in flight.")
        return
    typer.echo(f"{title}:")
    for each in tasks:
        words = (each["account"], each["event_type"], each["trade_id"], each["status"], each["mode"])
        typer.echo(f"  task {each['task_id']:<6} {' '.join(words)}  since {_at(each['since'])}")


def _print_alone(accounts: Sequence[str]) -> None:
    """Says of which accounts no router has been heard, so that nobody waits for what cannot come."""
    if accounts:
        typer.echo(
            f"No router has been heard of {', '.join(accounts)} within the last minute: nothing is closed until one runs."
            " Start it (eventrouter run), and it takes this flattening up; or close at the broker."
        )


def _print_proof(found: Sequence[dict[str, Any]], wait_s: float, alone: Sequence[str]) -> None:
    for each in found:
        state = {"FLAT": "flat", "NOT_FLAT": "NOT FLAT", "UNDER_WAY": "NOT FLAT yet", "WAITING": "NOT FLAT yet"}
        when = f" at {_at(each['flat_at'])}" if each["flat_at"] else ""
        typer.echo(f"{each['account']}: {state[each['state']]}{when}. {each['message'] or ''}".rstrip())
        for order in each["cancelled"]:
            typer.echo(f"  cancel {order['side']} {order['quantity']} {order['contract']}: {order['outcome']}")
        for held in each["closed"]:
            typer.echo(f"  close {held['quantity']} {held['contract']}: {held['outcome']}")
        for held in each["held"]:
            typer.echo(f"  still held: {held['quantity']} {held['contract']}")
        for order in each["working"]:
            typer.echo(
                f"  still working: {order['side']} {order['quantity']} {order['contract']}, order {order['order']}"
            )
        if each["unresolved"]:
            numbers = ", ".join(map(str, each["unresolved"]))
            typer.echo(f"  it is verified again once the outcome of task {numbers} is known")
    if not found:
        typer.echo("No account is configured or known, so there is nothing to flatten.")
    if waiting := [each["account"] for each in found if each["state"] != "FLAT"]:
        typer.echo(f"Not everything is flat after {wait_s:g} s.")
        _print_alone(alone)
        if trying := [name for name in waiting if name not in alone]:
            typer.echo(f"The router of {', '.join(trying)} goes on trying; see it with the same command again.")


def _at(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def actor_name() -> str:
    """Who acts, for the record."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return "cli"
