"""The command line: `eventrouter`, also `python -m eventrouter`. Exit status 0 done, 1 failed, 2 wrong usage or configuration."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from eventrouter.cli import (
    adopting,
    alerts,
    controls,
    credentials,
    database,
    dead,
    look,
    metrics,
    notifications,
    openapi,
    plans,
    service,
    simulator,
    users,
)
from eventrouter.errors import EventrouterError

app = typer.Typer(
    name="eventrouter",
    help="""Takes TradingView alerts over HTTP, makes each one a durable task for every account, and sends one order per account:
never twice, never silently lost. Every step stands in execution_logs. Dry run is the default: nothing leaves this machine.

Start with `eventrouter demo`. Then `eventrouter token new STRATEGY` for a webhook address and `eventrouter run` for the service.""",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
token = typer.Typer(help="Webhook tokens: who may send alerts.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(token, name="token")

app.command()(service.run)
app.command()(service.demo)
app.command()(service.ingress)
app.command()(service.router)
app.command()(database.migrate)
app.command()(database.verify)
token.command("new")(alerts.token_new)
token.command("list")(alerts.token_list)
token.command("revoke")(alerts.token_revoke)
keys = typer.Typer(help="The keys of accounts' logins, encrypted at rest.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(keys, name="credentials")
keys.command("set")(credentials.credentials_set)
keys.command("list")(credentials.credentials_list)
keys.command("remove")(credentials.credentials_remove)
app.command()(alerts.send)
app.command()(alerts.explain)
accounts = typer.Typer(
    cls=adopting.AccountCommands,
    help="Accounts and how they stand: `accounts`, `accounts NAME`, and what to do where the broker holds something else.",
    rich_markup_mode=None,
)
app.add_typer(accounts, name="accounts")
accounts.command("show")(plans.accounts)
accounts.command("resync")(adopting.resync)
accounts.command("adopt")(adopting.adopt)
app.command()(plans.signals)
app.command()(look.tasks)
app.command()(look.logs)
app.command()(dead.dead)
app.command()(dead.retry)
app.command()(dead.discard)
app.command()(dead.resolve)
app.command()(look.hold)
app.command()(look.approve)
app.command()(look.refuse)
app.command()(controls.halt)
app.command()(controls.resume)
app.command()(controls.flatten)
told = typer.Typer(help="Who is told when something needs you.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(told, name="alerts")
told.command("test")(notifications.alerts_test)
told.command("list")(notifications.alerts_list)
figures = typer.Typer(help="What Prometheus and Grafana need.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(figures, name="metrics")
figures.command("list")(metrics.metrics_list)
figures.command("dashboard")(metrics.metrics_dashboard)
figures.command("rules")(metrics.metrics_rules)
people = typer.Typer(help="Who may sign in at the desk.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(people, name="user")
people.command("add")(users.user_add)
people.command("list")(users.user_list)
people.command("remove")(users.user_remove)
people.command("password")(users.user_password)
people.command("link")(users.user_link)
scripts = typer.Typer(help="Keys for scripts that use the API.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(scripts, name="apikey")
scripts.command("add")(users.apikey_add)
scripts.command("list")(users.apikey_list)
scripts.command("remove")(users.apikey_remove)
app.command()(simulator.simulator)
app.command()(openapi.openapi)


@app.callback()
def _options(
    *,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True)] = False,
) -> None:
    if show_version:
        typer.echo(f"eventrouter {version('eventrouter')}")
        raise typer.Exit


def main() -> None:
    """Runs the command line; an error that we raise on purpose is one message on stderr and an exit status."""
    try:
        app()
    except EventrouterError as error:
        print(f"eventrouter: {error}", file=sys.stderr)  # noqa: T201 - this is the command line's voice
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(130)
