"""Tasks that wait for a person: `dead`, `retry`, `discard`, `resolve`."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from eventrouter.cli.look import ReasonOption, TaskArgument, acted, cell, table, user
from eventrouter.cli.options import ConfigOption, JsonOption, configured, connected, run_async, show_json
from eventrouter.domain.dead_letters import CHANGEABLE, Retry
from eventrouter.domain.resolving import Resolve
from eventrouter.domain.showing import showable
from eventrouter.errors import ChangeWrong, EventrouterError, RetryRefused
from eventrouter.store import actions, reports

_COLUMNS = ("id", "opened_at", "trade_id", "event_type", "account", "mode", "status", "code", "message")
_LONGEST = 300


def dead(
    task: Annotated[int | None, typer.Argument(min=1, help="Only this task, with all that is known of it.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Also those that somebody has dealt with.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=reports.MOST_ROWS, help="How many, newest first.")] = 100,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the tasks that wait for a person, FAILED and REVIEW: why, and what to do."""
    loaded = configured(config)

    async def show() -> None:
        async with connected(loaded) as conn:
            rows = await actions.dead_letters(conn, closed=every or task is not None, task_id=task, limit=limit)
        if task is not None and not rows:
            raise EventrouterError(f"Task {task} is and was no dead letter. See: eventrouter logs {task}")
        if as_json:
            show_json(rows)
        elif not rows:
            typer.echo("No dead letters.")
        elif task is not None:
            for row in rows:
                typer.echo(showable("\n".join(letter_lines(row))))
        else:
            table(rows, (*_COLUMNS, "closed_how", "closed_by") if every else _COLUMNS)
            for code, said in {row["code"]: row["suggestion"] for row in rows if row["closed_at"] is None}.items():
                typer.echo(f"{code}: {said}")

    run_async(show)


def retry(
    task: TaskArgument,
    *,
    reason: ReasonOption = None,
    confirm: Annotated[
        int | None,
        typer.Option(metavar="TASK", help="The task's id once more: needed in REVIEW, asked for at a terminal."),
    ] = None,
    even_if_old: Annotated[
        bool, typer.Option("--even-if-old", help="Also an entry over its age limit, which then begins again.")
    ] = False,
    even_if_held: Annotated[
        bool, typer.Option("--even-if-held", help="Also where the account seems to hold already what it would do.")
    ] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help=f"Send it as another task with this: {', '.join(CHANGEABLE)}."
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a FAILED or REVIEW task again: the same order under a new client order id, with every limit asked anew."""
    asked = Retry(confirm, even_if_old, even_if_held, dict(map(_change, changes or ())))
    try:
        _retry(task, reason, config, asked, as_json=as_json)
    except RetryRefused as refused:
        if refused.code != "NOT_CONFIRMED" or confirm is not None or not sys.stdin.isatty():
            raise
        typer.echo(str(refused), err=True)
        typed = typer.prompt("The task's id, to send it again", type=int, err=True)
        _retry(task, reason, config, Retry(typed, even_if_old, even_if_held, asked.changes), as_json=as_json)


def discard(
    task: TaskArgument, *, reason: ReasonOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Withdraw a task that is not being sent."""
    acted("discard", task, reason, config, as_json=as_json)


def resolve(
    task: TaskArgument,
    *,
    reason: ReasonOption = None,
    not_executed: Annotated[
        bool, typer.Option("--not-executed", help="Of an ACCEPTED task: the broker executed nothing of it.")
    ] = False,
    confirm: Annotated[
        int | None,
        typer.Option(metavar="TASK", help="The task's id once more: needed in ACCEPTED, asked for at a terminal."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that a FAILED or REVIEW task is done: somebody looked at the broker, or did it there by hand.

    Also an ACCEPTED one whose order works no more and whose fills never came, a minute after its acceptance at the earliest.
    """
    asked = Resolve(confirm, executed=not not_executed)
    try:
        acted("resolve", task, reason, config, as_json=as_json, resolve=asked)
    except RetryRefused as refused:
        if refused.code != "NOT_CONFIRMED" or confirm is not None or not sys.stdin.isatty():
            raise
        typer.echo(str(refused), err=True)
        asked = replace(asked, confirm=typer.prompt("The task's id, to end it so", type=int, err=True))
        acted("resolve", task, reason, config, as_json=as_json, resolve=asked)


def _retry(task: int, reason: str | None, config: Path | None, asked: Retry, *, as_json: bool) -> None:
    loaded = configured(config)

    async def change() -> None:
        async with connected(loaded) as conn:
            row = await actions.act(conn, task, "retry", actor=user(), reason=reason, retry=asked)
        if as_json:
            show_json(row)
        elif row["id"] != task:
            typer.echo(f"Task {task} is replaced by task {row['id']}, which is {row['status']} now.")
        else:
            typer.echo(f"Task {task} is {row['status']} now; its client order id is {row['client_order_id']}.")

    run_async(change)


def _change(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ChangeWrong(f"--set {text[:60]!r} must be FIELD=VALUE, for example quantity=1.")
    return name.strip(), value.strip()


def letter_lines(row: Mapping[str, Any]) -> Iterator[str]:
    """A dead letter as text: what happened, what the broker showed, what to do."""
    evidence, sent = row["evidence"], row["evidence"]["sent"]
    yield f"Task {row['id']}: {row['account']}, {row['event_type']} {row['trade_id']}, {row['mode']} mode"
    yield f"  {row['status']} since {cell(row['opened_at'])}: {row['code']}. {row['message'] or ''}".rstrip()
    if sent is not None:
        order = " ".join(str(sent[name]) for name in ("direction", "quantity", "contract") if sent[name] is not None)
        yield f"  sent {sent['at'][:19]} as {sent['client_order_id'] or row['client_order_id']}: {order or 'no figures'}"
    for step in evidence["steps"]:
        answer = " ".join(str(step[name]) for name in ("response_code", "response_body") if step[name] is not None)
        said = " | ".join(part for part in (step["message"], answer) if part)
        yield f"  row {step['seq']}: {step['status']} {step['reason']} {said}"[:_LONGEST].rstrip()
    if evidence["look_ups"]:
        yield f"  looked up {evidence['look_ups']} times in vain"
    for order in evidence["orders"]:
        yield (
            f"  order {order['order_id']}: {order['side']} {order['quantity']} {order['contract']}, {order['state']}, "
            f"{order['filled']} filled"
        )
    for fill in evidence["fills"]:
        yield f"  fill {fill['fill_id']}: {fill['side']} {fill['quantity']} {fill['contract']} at {fill['price']}"
    if row["closed_at"] is None:
        yield f"  to do: {row['suggestion']}"
    else:
        yield f"  closed {cell(row['closed_at'])} by {row['closed_by']}: {row['closed_how']}. {row['closed_reason'] or ''}".rstrip()
