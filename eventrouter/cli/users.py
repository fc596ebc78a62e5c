"""`user` and `apikey`: who may look and act at the desk."""

import re
import sys
from typing import Annotated, Any, Literal

import typer

from eventrouter.cli.options import ConfigOption, JsonOption, configured, connected, run_async, show_json
from eventrouter.config import Config
from eventrouter.errors import ConfigError, EventrouterError
from eventrouter.store import access
from eventrouter.web.logins import LONGEST, hashed, password_fault

# Names that the log knows already, for parts of the service.
_TAKEN = ("api", "cli", "enqueue", "guardian", "local", "nobody", "operator", "router")
Role = Literal["view", "operate"]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Their name; case does not matter when signing in.")]
RoleOption = Annotated[Role, typer.Option(help="view: look at everything, change nothing. operate: everything.")]
StdinOption = Annotated[bool, typer.Option("--stdin", help="Read the password from standard input instead of asking.")]
KeyName = Annotated[str, typer.Argument(metavar="NAME", help="What it is for; the log shows it as key:NAME.")]


def user_add(
    name: NameArgument, *, role: RoleOption = "view", stdin: StdinOption = False, config: ConfigOption = None
) -> None:
    """Let somebody sign in at the desk. Asks for a password without echo. From the first user on nobody gets in without a login."""
    loaded = configured(config)
    _check_name(name)
    password = hashed(_password(stdin=stdin))

    async def add() -> None:
        async with connected(loaded, creating=True) as conn:
            if not await access.add_user(conn, name, password, role):
                raise EventrouterError(
                    f"There is a user {name!r} already. Another password: eventrouter user password {name}"
                )
        typer.echo(f"{name} may sign in at {_desk(loaded)}/login and {_may(role)}.")

    run_async(add)


def user_list(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List who may sign in, what they may do, and when a session of theirs was last used."""
    loaded = configured(config)

    async def show() -> None:
        async with connected(loaded) as conn:
            rows = await access.users(conn)
        if as_json:
            show_json(rows)
            return
        for row in rows:
            seen = f"{row['seen_at']:%Y-%m-%d %H:%M}" if row["seen_at"] else "-"
            how = "" if row["has_password"] else "  by link only"
            typer.echo(f"{row['name']:<20}  {row['role']:<8}  since {row['created_at']:%Y-%m-%d}  seen {seen}{how}")
        if not rows:
            typer.echo("Nobody can sign in yet. Add somebody: eventrouter user add NAME --role operate")

    run_async(show)


def user_remove(name: NameArgument, *, config: ConfigOption = None) -> None:
    """Remove a user and end their sessions. The log keeps their name."""
    loaded = configured(config)

    async def remove() -> None:
        async with connected(loaded) as conn:
            await access.remove_user(conn, name)
            left = await access.login_needed(conn)
        typer.echo(f"{name} is removed; their sessions have ended.")
        if not left and not loaded.access.sso_header:
            typer.echo("That was the last one: whoever sits at this machine may do everything again, without a login.")

    run_async(remove)


def user_password(name: NameArgument, *, stdin: StdinOption = False, config: ConfigOption = None) -> None:
    """Give a user another password. Their sessions end."""
    loaded = configured(config)
    password = hashed(_password(stdin=stdin))

    async def change() -> None:
        async with connected(loaded) as conn:
            await access.set_password(conn, name, password)
        typer.echo(f"The password of {name} is changed; their sessions have ended.")

    run_async(change)


def user_link(name: NameArgument, *, config: ConfigOption = None) -> None:
    """Print a link that signs a user in once, within ten minutes; for a forgotten password, or a user without one."""
    loaded = configured(config)

    async def link() -> None:
        async with connected(loaded) as conn:
            secret = await access.add_link(conn, name)
        typer.echo(f"{_desk(loaded)}/login/once?token={secret}")

    run_async(link)


def apikey_add(
    name: KeyName, *, role: RoleOption = "view", config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Make a key for a script, sent as Authorization: Bearer KEY. It is printed once; only a hash of it is stored."""
    loaded = configured(config)
    _check_name(name)

    async def add() -> None:
        async with connected(loaded, creating=True) as conn:
            key = await access.add_key(conn, name, role)
        if key is None:
            raise EventrouterError(f"There is a key {name!r} already. End it first: eventrouter apikey remove {name}")
        if as_json:
            show_json({"name": name, "role": role, "key": key})
            return
        typer.echo(key)
        typer.echo(f"Whoever has this key may {_may(role)}.", err=True)

    run_async(add)


def apikey_list(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List scripts' keys: what they may do, since when, and whether they are valid. The keys themselves are not stored."""
    loaded = configured(config)

    async def show() -> None:
        async with connected(loaded) as conn:
            rows = await access.keys(conn)
        if as_json:
            show_json(rows)
            return
        for row in rows:
            typer.echo(f"{row['name']:<20}  {row['role']:<8}  made {row['created_at']:%Y-%m-%d}  {_state(row)}")
        if not rows:
            typer.echo("No keys. Make one: eventrouter apikey add NAME")

    run_async(show)


def apikey_remove(name: KeyName, *, config: ConfigOption = None) -> None:
    """End a script's key, at once."""
    loaded = configured(config)

    async def end() -> None:
        async with connected(loaded) as conn:
            if not await access.revoke_key(conn, name):
                raise EventrouterError(f"There is no valid key {name!r}. See: eventrouter apikey list")
        typer.echo(f"The key {name} has ended.")

    run_async(end)


def _state(row: dict[str, Any]) -> str:
    return f"ended {row['revoked_at']:%Y-%m-%d %H:%M}" if row["revoked_at"] else "valid"


def _may(role: str) -> str:
    return "change everything" if role == access.OPERATE else "look at everything"


def _desk(config: Config) -> str:
    return f"http://{config.server.operator}"


def _check_name(name: str) -> None:
    if not access.is_name(name):
        raise ConfigError(
            f"{name!r} is no name here: use 1 to 64 letters, digits, _ . - or @, the first a letter or digit."
        )
    if name.casefold() in _TAKEN or re.fullmatch(r"run-\d+", name):
        raise ConfigError(f"{name!r} is what the log calls a part of the service. Choose another name.")


def _password(*, stdin: bool) -> str:
    if stdin:
        password = sys.stdin.read(LONGEST + 2).removesuffix("\n").removesuffix("\r")
    elif sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        raise ConfigError("There is no terminal to ask on: give the password on standard input with --stdin.")
    if fault := password_fault(password):
        raise ConfigError(fault)
    return password
