"""Why an account traded or did not: `signals` and `accounts`."""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any

import typer

from eventrouter.cli.look import cell, table
from eventrouter.cli.options import ConfigOption, JsonOption, configured, connected, run_async, show_json
from eventrouter.config import Config
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
                ("name", "connector", "mode", "firm", "version", "open", "holds", "balance", "today", "state"),
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
            [{**each, "status": each["status"] or "no task"} for each in row["accounts"]],
            ("account", "event_type", "trade_id", "task", "mode", "status", "reason", "message"),
        )


def _with_mode(config: Config, row: Mapping[str, Any]) -> dict[str, Any]:
    """Adds in which mode its tasks would be enqueued by this configuration."""
    return {**row, "mode": "live" if row.get("live") and not config.router.dry_run else "dry"}


def _summary(row: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the list."""
    open_tasks = ", ".join(f"{count} {status}" for status, count in sorted(row["open"].items()))
    return {
        **row,
        "name": row["name"] or "(not routed yet)",
        "open": open_tasks or "-",
        "holds": row["holdings"].get(row["mode"], 0),
        **_money(row),
        "state": "; ".join(_state(row)) or "ready",
    }


def _money(row: Mapping[str, Any]) -> dict[str, str]:
    """The balance, and what this trading day has realised, fees taken off; nothing where it is not known."""
    state = (row["states"].get(row["mode"]) or {}).get("state") or {}
    balance, today = (state.get("balances") or {}).get("balance"), state.get("realised_today")
    return {
        "balance": "" if balance is None else f"{Decimal(balance):,.2f}",
        "today": "" if today is None else f"{Decimal(today):+,.2f}",
    }


def _state(row: Mapping[str, Any]) -> Iterator[str]:
    """What keeps an account from trading, worst first; nothing where all is well."""
    if row["standing"] != "open":
        yield f"{row['standing']} since {cell(row['standing_since'])}"
    if not row["published"]:
        yield "not published"
    elif row["withdrawn"]:
        yield "withdrawn"
    elif not row["enabled"]:
        yield "disabled"
    state = (row["states"].get(row["mode"]) or {}).get("state") or {}
    if state.get("out_of_sync"):
        yield f"out of sync: {state['out_of_sync']}"
    if state.get("flattening") is not None:
        yield "being flattened"


def _print_account(row: Mapping[str, Any]) -> None:
    told = "; ".join(_state(row))
    typer.echo(f"Account {row['name']}, {row['mode']} mode{f', {told}' if told else ''}")
    if differs := row["out_of_sync"]:
        typer.echo(f"\nOut of sync since {cell(differs['since'])} UTC: {differs['why']}")
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
        table(row["held"], ("mode", "trade_id", "contract", "quantity", "average_price", "opened_at"))
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


def _difference(version: Mapping[str, Any]) -> str:
    if version["withdrawn"]:
        return "withdrawn"
    if version["version"] == 1:
        return "first published"
    changed = (f"{key}: {_short(before)} > {_short(after)}" for key, (before, after) in version["difference"].items())
    return ", ".join(changed) or "configured again"


def _short(value: Any) -> str:
    return "-" if value is None else json.dumps(value, default=str)
