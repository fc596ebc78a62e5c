"""`credentials`: the keys of logins, encrypted on this machine."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from eventrouter.app import credential_store
from eventrouter.cli.options import ConfigOption, JsonOption, configured, show_json
from eventrouter.config import Config
from eventrouter.config.rules import account_of
from eventrouter.config.values import did_you_mean
from eventrouter.connectors import CREDENTIAL_FIELDS
from eventrouter.connectors.base import CredentialField
from eventrouter.credentials import MOST_BYTES
from eventrouter.domain.accounts import Account
from eventrouter.errors import ConfigError

AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's name in the configuration.")]


def credentials_set(
    account: AccountArgument,
    *,
    stdin: Annotated[
        bool, typer.Option("--stdin", help='Read them as JSON, {"user_name": "…", "api_key": "…"}, instead of asking.')
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Store what an account's login needs, encrypted. Asks without echo; replaces what was stored before.

    The master key is EVENTROUTER_MASTER_KEY (32 random bytes in base64), else a file of mode 600, made on first use.
    """
    loaded = configured(config)
    owner = _login_owner(loaded, account)
    fields = CREDENTIAL_FIELDS[owner.connector]
    store = credential_store(loaded)
    secret = _from_stdin(fields) if stdin else _asked(fields)
    made = store.put(owner.name, owner.connector, secret, now=datetime.now(UTC))
    typer.echo(
        f"The credentials of account {owner.name} are stored. A running router takes new ones when it starts again."
    )
    if made:
        typer.echo(f"A master key was made: {store.key_file}. Keep a copy elsewhere; without it they cannot be read.")


def credentials_list(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List whose credentials are stored, since when, and whether the present master key decrypts them. Shows no secret."""
    loaded = configured(config)
    rows = [
        {
            "account": each.account,
            "connector": each.connector,
            "user": each.user,
            "set_at": each.set_at,
            "fault": each.fault,
        }
        for each in credential_store(loaded).stored()
    ]
    stored = {row["account"] for row in rows}
    for name in sorted(_owners(loaded) - stored):
        fault = f"not set: run eventrouter credentials set {name}"
        connector = account_of(_account(loaded, name)).connector
        rows.append({"account": name, "connector": connector, "user": None, "set_at": None, "fault": fault})
    if as_json:
        show_json(rows)
        return
    for row in rows:
        state = row["fault"] or f"user {row['user'] or '-'}, set {row['set_at']}, decrypts"
        typer.echo(f"{row['account']:<20}  {row['connector']:<10}  {state}")
    if not rows:
        typer.echo("No account needs credentials, and none are stored.")


def credentials_remove(account: AccountArgument, *, config: ConfigOption = None) -> None:
    """Delete an account's credentials. A running router keeps what it has read until it starts again."""
    credential_store(configured(config)).remove(account)
    typer.echo(f"The credentials of account {account} are removed.")


def _account(config: Config, name: str) -> Any:
    found = config.account(name)
    if found is None:
        hint = did_you_mean(name, [account.name for account in config.accounts])
        raise ConfigError(f"There is no account {name!r} in the configuration{hint}.")
    return found


def _login_owner(config: Config, name: str) -> Account:
    """The account itself; ConfigError when it uses another one's login, or needs none."""
    account = account_of(_account(config, name))
    if account.login and account.login != account.name:
        raise ConfigError(
            f"Account {name} uses the login of {account.login}: run eventrouter credentials set {account.login}."
        )
    if account.connector not in CREDENTIAL_FIELDS:
        raise ConfigError(f"Account {name} needs no credentials: its connector is {account.connector}.")
    return account


def _owners(config: Config) -> set[str]:
    """The accounts whose logins are needed."""
    accounts = [account_of(account) for account in config.accounts]
    return {account.login or account.name for account in accounts if account.connector in CREDENTIAL_FIELDS}


def _asked(fields: Sequence[CredentialField]) -> dict[str, str]:
    if not sys.stdin.isatty():
        raise ConfigError("There is no terminal to ask on: give the credentials as JSON with --stdin.")
    return {field.name: typer.prompt(field.prompt, hide_input=field.secret).strip() for field in fields}


def _from_stdin(fields: Sequence[CredentialField]) -> dict[str, str]:
    names = ", ".join(field.name for field in fields)
    wanted = f"Standard input must be a JSON object with the texts {names}, and nothing else"
    try:
        given = json.loads(sys.stdin.read(MOST_BYTES + 1))
    except (ValueError, RecursionError):
        raise ConfigError(f"{wanted}; it is no JSON.") from None
    if not isinstance(given, Mapping) or given.keys() != {field.name for field in fields}:
        raise ConfigError(f"{wanted}.")
    if wrong := [name for name, value in given.items() if not isinstance(value, str) or not value.strip()]:
        raise ConfigError(f"{wanted}; {', '.join(wrong)} is empty or no text.")
    return {name: value.strip() for name, value in given.items()}
