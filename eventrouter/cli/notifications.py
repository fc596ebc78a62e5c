"""`alerts test` and `alerts list`: whether people can be told, and what they were told."""

import asyncio
import socket
from typing import Annotated

import typer

from eventrouter.alerts import receivers_of
from eventrouter.cli.look import table
from eventrouter.cli.options import ConfigOption, JsonOption, configured, connected, run_async, show_json
from eventrouter.domain.notices import Message, Severity
from eventrouter.errors import ConfigError
from eventrouter.store.connect import translated
from eventrouter.store.notifications import last_notifications


def alerts_test(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Send one message to every URL of [alerts], and print what each said. Ends with status 1 when one did not take it."""
    loaded = configured(config)
    receivers = receivers_of(loaded.alerts)
    if not receivers:
        raise ConfigError(
            "Nobody is told: [alerts] has no urls. Set EVENTROUTER_ALERTS__URLS='[\"tgram://TOKEN/CHAT\"]', or urls_file."
        )
    message = Message(
        "eventrouter: a test", f"This is a test from {socket.gethostname()}. Nothing has happened.", Severity.INFO
    )
    failed = False

    async def send() -> None:
        nonlocal failed
        answers = await asyncio.gather(*(each.send(message, loaded.alerts.timeout) for each in receivers))
        failed = any(not answer.taken for answer in answers)
        if as_json:
            show_json([{"receiver": each.receiver, "taken": each.taken, "said": each.said} for each in answers])
            return
        for answer in answers:
            typer.echo(f"{answer.receiver}: {answer.said}")

    run_async(send)
    if failed:
        raise typer.Exit(1)


def alerts_list(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the last notifications, newest first: what was told when, to whom, and what went wrong."""
    loaded = configured(config)

    async def show() -> None:
        async with connected(loaded) as conn, translated("alerts"):
            rows = await last_notifications(conn, limit)
        if as_json:
            show_json(rows)
        elif not rows:
            typer.echo("No notifications.")
        else:
            table(
                [{**row, "reached": ", ".join(row["reached"])} for row in rows],
                ("id", "created_at", "severity", "title", "sent_at", "attempts", "reached", "last_error"),
            )

    run_async(show)
