"""Look and act: `tasks`, `logs`, `hold`, `approve`, `refuse`."""

import getpass
import shutil
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eventrouter.cli.log_text import log_lines
from eventrouter.cli.options import ConfigOption, JsonOption, configured, connected, run_async, show_json
from eventrouter.domain.resolving import Resolve
from eventrouter.domain.showing import showable
from eventrouter.domain.tasks import Status
from eventrouter.errors import ConfigError, EventrouterError
from eventrouter.store import actions, reports

TaskArgument = Annotated[int, typer.Argument(min=1, help="The task's id, as `eventrouter tasks` shows it.")]
_WRAPPED = ("title", "why", "last_error", "verdict", "meaning", "message", "difference", "state")
ReasonOption = Annotated[str | None, typer.Option(help="Why; it stands in the log.")]


def tasks(
    *,
    status: Annotated[str | None, typer.Option(help=f"Only this status: {', '.join(Status)}.")] = None,
    account: Annotated[str | None, typer.Option(help="Only this account.")] = None,
    trade: Annotated[str | None, typer.Option(help="Only this trade_id.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=reports.MOST_ROWS, help="How many, newest first.")] = 20,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List tasks, newest first: one order intent for one account each, where it stands and why."""
    loaded = configured(config)
    if status is not None and status.upper() not in list(Status):
        raise ConfigError(f"--status must be one of {', '.join(Status)}.")

    async def show() -> None:
        async with connected(loaded) as conn:
            rows = await reports.tasks(
                conn, status=status.upper() if status else None, account=account, trade_id=trade, limit=limit
            )
        if as_json:
            show_json(rows)
        elif not rows:
            typer.echo("No tasks.")
        else:
            table(
                rows,
                ("id", "created_at", "trade_id", "event_type", "account", "mode", "status", "attempts", "last_error"),
            )

    run_async(show)


def logs(task: TaskArgument, *, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show everything that happened to a task, with the milliseconds since its alert arrived."""
    loaded = configured(config)

    async def show() -> None:
        async with connected(loaded) as conn:
            row = await reports.task(conn, task)
            rows = await reports.task_log(conn, task)
        if row is None:
            raise EventrouterError(f"There is no task {task}. See `eventrouter tasks`.")
        if as_json:
            show_json(rows)
            return
        print_log(row, rows)

    run_async(show)


def hold(
    task: TaskArgument, *, reason: ReasonOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Keep a PENDING task until somebody approves or refuses it."""
    acted("hold", task, reason, config, as_json=as_json)


def approve(
    task: TaskArgument, *, reason: ReasonOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Let a HELD task go."""
    acted("approve", task, reason, config, as_json=as_json)


def refuse(
    task: TaskArgument, *, reason: ReasonOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Refuse a HELD task."""
    acted("refuse", task, reason, config, as_json=as_json)


def print_log(task: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """A task's log as text."""
    for line in log_lines(task, rows, columns()):
        typer.echo(showable(line))


def columns() -> int | None:
    """Columns of the terminal; None where output goes elsewhere, whose lines are not broken."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def acted(
    action: str, task: int, reason: str | None, config: Any, *, as_json: bool, resolve: Resolve | None = None
) -> None:
    """Carries an operator's action out, and says how the task stands then."""
    loaded = configured(config)

    async def change() -> None:
        async with connected(loaded) as conn:
            row = await actions.act(conn, task, action, actor=user(), reason=reason, resolve=resolve or Resolve())
        if as_json:
            show_json(row)
        else:
            typer.echo(f"Task {task} is {row['status']} now.")

    run_async(change)


def user() -> str:
    """Who acts, for the log: operator:NAME."""
    try:
        return f"operator:{getpass.getuser()}"
    except (KeyError, OSError):
        return "operator"


def table(rows: Iterable[Mapping[str, Any]], columns: tuple[str, ...]) -> None:
    """Prints rows, one column for each name; sentences are wrapped."""
    grid = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        grid.add_column(column, no_wrap=column not in _WRAPPED)
    for row in rows:
        grid.add_row(*(escape(cell(row.get(column))) for column in columns))
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(grid)


def cell(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value.strftime("%Y-%m-%d %H:%M:%S") if isinstance(value, datetime) else showable(str(value))
