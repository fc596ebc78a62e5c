"""Why an account traded or did not: `signals` and `accounts`."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from eventrouter.cli.look import cell, table
from eventrouter.cli.options import ConfigOption, JsonOption, configured, connected, run_async, show_json
from eventrouter.config import Config
from eventrouter.domain.denials import plain
from eventrouter.store import accounts as account_reports
from eventrouter.store import reports


def signals(
    signal: Annotated[
        int | None, typer.Argument(min=1, help="A signal's id: what became of it on every account, and why.")
    ] = None,
    *,
    strategy: Annotated[str | None, typer.Option(help="Only this strategy.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=reports.MOST_ROWS, help="How many, newest first.")] = 20,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the alerts that came in, newest first, or show what one of them came to on every account, and why."""
    loaded = configured(config)

    async def show() -> None:
        async with connected(loaded) as conn:
            if signal is not None:
                found = await reports.signal(conn, signal)
                show_json(found) if as_json else _print_signal(found)
                return
            rows = await reports.signals(conn, strategy=strategy, limit=limit)
        if as_json:
            show_json(rows)
        elif not rows:
            typer.echo("No alerts.")
        else:
            table(
                [{**row, "verdict": _verdict(row)} for row in rows],
                ("id", "received_at", "strategy", "trade_id", "event_type", "verdict"),
            )

    run_async(show)


def accounts(
    name: Annotated[
        str | None, typer.Argument(help="An account: its settings, their history, and what happened to it.")
    ] = None,
    *,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the published accounts and how they stand, or show one: settings, changes, what it holds, what happened to it."""
    loaded = configured(config)

    async def show() -> None:
        async with connected(loaded) as conn:
            if name is not None:
                found = _with_mode(loaded, await account_reports.account(conn, name))
                show_json(found) if as_json else _print_account(found)
                return
            rows = [_with_mode(loaded, row) for row in await account_reports.accounts(conn)]
        if as_json:
            show_json(rows)
        elif not rows:
            typer.echo("No accounts are published: a service publishes its own when it starts.")
        else:
            table(
                [_summary(row) for row in rows],
                ("name", "connector", "mode", "firm", "state", "open", "holds", "balance", "today", "room", "why"),
            )

    run_async(show)


def _verdict(row: Mapping[str, Any]) -> str:
    if row["code"]:
        return f"refused, {row['code']}: {row['message']}"
    if row["duplicate_of"]:
        return "duplicate of an earlier alert"
    if row["tasks"]:
        return f"tasks {', '.join(map(str, row['tasks']))}"
    return f"no account took it; why: eventrouter signals {row['id']}"


def _print_signal(row: Mapping[str, Any]) -> None:
    what = " ".join(filter(None, (row["event_type"], row["trade_id"]))) or "refused"
    typer.echo(f"Signal {row['id']}, {what}, of strategy {row['strategy']}, received {cell(row['received_at'])} UTC")
    if row["code"]:
        typer.echo(f"Refused, {row['code']}: {row['message']}")
    elif row["first_signal"]:
        typer.echo(
            f"It repeats signal {row['first_signal']} and made nothing. See: eventrouter signals {row['first_signal']}"
        )
    elif not row["accounts"]:
        typer.echo("No account was published when it came.")
    else:
        table(
            [_outcome(each) for each in row["accounts"]],
            ("account", "event_type", "trade_id", "task", "mode", "status", "order", "filled", "reason", "message"),
        )


def _outcome(each: Mapping[str, Any]) -> dict[str, Any]:
    """What became of an alert on one account, as a line."""
    filled = ""
    if each["filled"]:
        price = "" if each["average_price"] is None else f" at {plain(each['average_price'], 4)}"
        filled = f"{plain(each['filled'])} {each['contract']}{price}"
    order = " ".join(filter(None, (each["quantity"], each["contract"]))) if each["quantity"] else ""
    return {**each, "status": each["status"] or "no task", "order": order, "filled": filled}


def _with_mode(config: Config, row: Mapping[str, Any]) -> dict[str, Any]:
    """Adds in which mode its tasks are enqueued: as it is published, else as this configuration has it."""
    configured = "live" if row.get("live") and not config.router.dry_run else "dry"
    return {**row, "mode": row["mode"] or configured}


def _summary(row: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the list."""
    open_tasks = ", ".join(f"{count} {status}" for status, count in sorted(row["open"].items()))
    return {
        **row,
        "name": row["name"] or "(not routed yet)",
        "open": open_tasks or "-",
        "holds": ", ".join(f"{plain(held['quantity'])} {held['contract']}" for held in row["net"].get(row["mode"], ()))
        or "-",
        **_money(row),
        "state": row["state"].replace("_", " "),
        "why": row["reasons"][0] if row["reasons"] else "",
    }


def _money(row: Mapping[str, Any]) -> dict[str, str]:
    """The balance, what this trading day has made, and how much may still be lost; nothing where it is not known."""
    money = row["money"]
    return {
        "balance": "" if money["balance"] is None else f"{money['balance']:,.2f}",
        "today": "" if money["today"] is None else f"{money['today']:+,.2f}",
        "room": "" if money["room"] is None else f"{money['room']:,.2f}",
    }


def _print_money(money: Mapping[str, Any]) -> None:
    if money["balance"] is None:
        typer.echo("Its balance is not known.")
        return
    typer.echo(
        f"Balance {money['balance']:,.2f}" + ("" if money["equity"] is None else f", equity {money['equity']:,.2f}")
    )
    if money["today"] is not None:
        typer.echo(f"Today {money['today']:+,.2f}, what is open included")
    if money["to_daily_loss"] is not None:
        typer.echo(f"To the daily loss limit: {money['to_daily_loss']:,.2f} until entries stop")
    if money["floor"] is not None and money["to_floor"] is not None:
        typer.echo(f"To the drawdown floor of {money['floor']:,.2f}: {money['to_floor']:,.2f} until entries stop")


def _print_account(row: Mapping[str, Any]) -> None:
    typer.echo(f"Account {row['name']}, {row['mode']} mode: {row['state'].replace('_', ' ')}")
    for reason in row["reasons"]:
        typer.echo(f"  {reason}")
    _print_money(row["money"])
    if differs := row["out_of_sync"]:
        typer.echo(f"\nOut of sync since {cell(differs['since'])} UTC")
        if differs["differences"]:
            table(differs["differences"], ("contract", "ours", "broker"))
        typer.echo(differs["what_to_do"])
    if row["published"]:
        typer.echo(f"\nSettings, version {row['version']}, by {row['changed_by']} at {cell(row['changed_at'])} UTC")
        for key, value in sorted(row["settings"].items()):
            if value not in (None, "", [], {}):
                typer.echo(f"  {key} = {_short(value)}")
        typer.echo("\nChanges")
        table(
            [{**each, "difference": _difference(each)} for each in row["versions"]],
            ("version", "created_at", "actor", "difference"),
        )
    if row["held"]:
        typer.echo("\nHeld")
        table(
            [{**each, **_figures(each)} for each in row["held"]],
            ("mode", "trade_id", "contract", "quantity", "average_price", "opened_at"),
        )
    if row["external"]:
        typer.echo(
            "\nOrders at the broker that were not sent from here: they count as exposure, and only flatten touches them"
        )
        table(
            row["external"],
            ("order_id", "placed_at", "contract", "side", "quantity", "filled", "limit_price", "stop_price"),
        )
    if row["events"]:
        typer.echo("\nWhat happened")
        table(row["events"], ("created_at", "mode", "seq", "kind", "actor", "message"))


def _figures(held: Mapping[str, Any]) -> dict[str, str]:
    price = held["average_price"]
    return {"quantity": plain(held["quantity"]), "average_price": "" if price is None else plain(price, 4)}


def _difference(version: Mapping[str, Any]) -> str:
    if version["withdrawn"]:
        return "withdrawn"
    if version["version"] == 1:
        return "first published"
    changed = (f"{key}: {_short(before)} > {_short(after)}" for key, (before, after) in version["difference"].items())
    return ", ".join(changed) or "configured again"


def _short(value: Any) -> str:
    return "-" if value is None else json.dumps(_plain(value), default=str)


def _plain(value: Any) -> Any:
    """Numbers as people write them, also those that are kept as text: 50000, not 50000.0."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]+\.[0-9]+", value):
        return value.rstrip("0").rstrip(".")
    return value
