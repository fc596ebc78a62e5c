"""`accounts resync` and `accounts adopt`: what to do where the broker holds something else than our fills add up to."""

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.core import TyperGroup

from eventrouter.cli.controls import actor_name
from eventrouter.cli.options import ConfigOption, JsonOption, configured, connected, run_async, show_json
from eventrouter.errors import ConfigError
from eventrouter.store import accounts as reports
from eventrouter.store import adopting
from eventrouter.store.adopting import Difference

_LOOK_EVERY_S = 0.1

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The account.")]


class AccountCommands(TyperGroup):
    """`accounts` and `accounts NAME` show; an account that is named like a command is shown with `accounts show NAME`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Puts `show` before what is no command."""
        if not args or args[0] not in {*self.commands, "--help"}:
            args = ["show", *args]
        return super().parse_args(ctx, args)


def resync(
    name: NameArgument,
    *,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the answer; 0 only asks.")] = 30.0,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have the account's router compare positions with the broker now, twice where they differ, and print what differs.

    Ends with status 1 where they differ, and where no router answers within --wait seconds.
    """
    loaded = configured(config)
    found: list[Difference] | None = None

    async def ask() -> None:
        nonlocal found
        async with connected(loaded) as conn:
            await reports.account(conn, name)
            number = await adopting.ask(conn, name, actor_name())
            deadline = time.monotonic() + wait
            while True:
                found = await adopting.answer(conn, name, number)
                if found is not None or time.monotonic() >= deadline:
                    return
                await asyncio.sleep(_LOOK_EVERY_S)

    run_async(ask)
    if as_json:
        show_json({"account": name, "differences": None if found is None else adopting.told(found)})
    elif found is not None:
        _print(found or (), "The broker holds what our fills add up to.")
    elif wait:
        typer.echo(f"No router answered within {wait:g} s. Is one running that has {name} in its configuration, live?")
    else:
        typer.echo("Asked.")
    if wait and (found is None or found):
        raise typer.Exit(1)


def adopt(
    name: NameArgument,
    *,
    reason: Annotated[str, typer.Option(help="Why; it stands beside your name in the record.")],
    yes: Annotated[
        str | None, typer.Option("--yes", metavar="NAME", help="The account's name again: do not ask.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take the broker's positions for true where they differ from what our fills add up to. Nothing is sent to the broker.

    Our trades are closed or a trade of nobody is opened until both agree; what that won or lost is not known and comes with the
    broker's balance. Look in the broker's own program first: a fill that is only late would be counted twice.
    """
    loaded = configured(config)
    done: list[Difference] = []

    async def change() -> None:
        async with connected(loaded) as conn:
            row = await reports.account(conn, name)
            if not as_json and row["out_of_sync"]:
                typer.echo(row["out_of_sync"]["why"])
            _confirm(name, yes)
            done.extend(await adopting.adopt(conn, name, actor_name(), reason))

    run_async(change)
    if as_json:
        show_json({"account": name, "reason": reason, "adopted": adopting.told(done)})
    else:
        _print(done, "Nothing differed.")
        typer.echo("Adopted: our positions are the broker's now. The next look at the broker compares them again.")


def _confirm(name: str, yes: str | None) -> None:
    if yes is None:
        if not sys.stdin.isatty():
            raise ConfigError(
                f"adopt changes what {name} holds in our books: pass --yes {name} where nobody can be asked."
            )
        yes = typer.prompt(f"Type the account's name to take the broker's positions for true ({name})")
    if yes != name:
        raise ConfigError(f"{yes!r} is not {name!r}: nothing was changed.")


def _print(differences: Sequence[Difference], none: str) -> None:
    for each in differences:
        typer.echo(f"{each}.")
    if not differences:
        typer.echo(none)
