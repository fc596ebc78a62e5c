"""A config.toml for accounts at simulated brokers, as a user would write it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

STRATEGY = "orb"


def account(name: str, broker_account: int, url: str, login: str, **keys: Any) -> dict[str, Any]:
    """One of [[accounts]]: it may trade live at the broker of this address; what is named besides comes on top.

    `login` is the account whose keys it uses, maybe its own.
    """
    connection = {"url": url, "hub_url": f"{url}/hubs/user"} if login == name else {"login": login}
    return {
        "name": name,
        "connector": "projectx",
        "broker_account": str(broker_account),
        **connection,
        "live": True,
        "automation": "allowed",
        **keys,
    }


def text(
    dsn: str,
    accounts: Sequence[Mapping[str, Any]],
    keys_at: Path,
    *,
    strategies: Sequence[Mapping[str, Any]] = (),
    **sections: Any,
) -> str:
    """The file: live trading on free ports, in this database, with keys in this directory. `sections` are further tables, or lists of tables.

    Strategies that only a route names are listed with their defaults.
    """
    named = {each["name"] for each in strategies}
    routed = dict.fromkeys(each["strategy"] for each in sections.get("routes", ()) if "strategy" in each)
    strategies = [*strategies, *({"name": name} for name in routed if name not in named)]
    tables: dict[str, Any] = {
        "router": {"dry_run": False, "poll_interval": 1.0, **sections.pop("router", {})},
        "server": {"public": "127.0.0.1:0", "operator": "127.0.0.1:0", "spool": False, **sections.pop("server", {})},
        "database": {"dsn": dsn},
        "credentials": {"dir": str(keys_at)},
        "accounts": accounts,
        "strategies": strategies,
        **sections,
    }
    return "\n".join(_section(name, value) for name, value in tables.items())


def _section(name: str, value: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    if isinstance(value, Mapping):
        return f"[{name}]\n{_lines(value)}"
    return "".join(f"[[{name}]]\n{_lines(each)}\n" for each in value)


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {_value(value)}\n" for key, value in table.items())


def _value(value: Any) -> str:
    """A value as TOML writes it: texts, numbers, flags and lists are JSON, tables are inline."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)
