"""Tokens, `send` and `explain`."""

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from aiohttp import ClientConnectionError, ClientSession, ClientTimeout

from eventrouter.cli.options import ConfigOption, JsonOption, configured, connected, run_async, show_json
from eventrouter.config import Config
from eventrouter.domain.parsers import MOST_BYTES, format_name
from eventrouter.errors import ConfigError, EventrouterError, StoreError
from eventrouter.explain import explain as explain_alert
from eventrouter.store.connect import translated
from eventrouter.store.settings import published_strategies
from eventrouter.store.tokens import add_token, revoke_tokens, tokens


def webhook_url(config: Config, token: str) -> str:
    """Where alerts with this token go: [server] public_url, or the public listener itself."""
    base = config.server.public_url or f"http://{config.server.public}"
    return f"{base}/webhook/{token}"


def token_new(
    strategy: Annotated[str, typer.Argument(help="The strategy's name; its alerts come to the printed address.")],
    *,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a secret webhook address for a strategy. It is printed once; only a hash of it is stored."""
    loaded = configured(config)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", strategy):
        raise ConfigError(f"{strategy!r} is no name for a strategy: use 1 to 64 letters, digits, _ . or -.")

    async def make() -> None:
        async with connected(loaded, creating=True) as conn:
            url = webhook_url(loaded, await add_token(conn, strategy))
            known = {each.name for each in loaded.strategies} | await published_strategies(conn)
        if known and strategy.casefold() not in {each.casefold() for each in known}:
            typer.echo(_unlisted(strategy, sorted(known)), err=True)
        if as_json:
            show_json({"strategy": strategy, "url": url})
            return
        typer.echo(url)
        typer.echo(
            f"Put this into the alert's webhook URL. Whoever knows it can send orders for {strategy!r}.", err=True
        )
        if not loaded.server.public_url:
            typer.echo(
                "TradingView needs a public https address in front of it: see README, and [server] public_url.",
                err=True,
            )

    run_async(make)


def _unlisted(strategy: str, known: Sequence[str]) -> str:
    return (
        f"Warning: no strategy {strategy!r} is configured ({', '.join(known[:10])} {'are' if known[1:] else 'is'}). Its alerts get the "
        "defaults of a strategy, and only routes for any strategy take them. If it is a typing error: "
        f"eventrouter token list, then eventrouter token revoke {strategy} --id ID."
    )


def token_list(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List webhook tokens by id: whose, since when, and whether they are valid. The tokens themselves are not stored."""
    loaded = configured(config)

    async def show() -> None:
        async with connected(loaded) as conn:
            rows = await tokens(conn)
        if as_json:
            show_json(rows)
            return
        for row in rows:
            state = f"revoked {row['revoked_at']:%Y-%m-%d %H:%M}" if row["revoked_at"] else "valid"
            typer.echo(f"{row['id']:>4}  {row['strategy']:<20}  made {row['created_at']:%Y-%m-%d %H:%M}  {state}")
        if not rows:
            typer.echo("No tokens. Make one: eventrouter token new STRATEGY")

    run_async(show)


def token_revoke(
    strategy: Annotated[str, typer.Argument(help="The strategy.")],
    *,
    token_id: Annotated[
        int | None, typer.Option("--id", help="Only this one, as `token list` shows it. Default: all but the newest.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a strategy's old token. To change a token: `token new`, put it into the alerts, then `token revoke`.

    A running service refuses a revoked token within five seconds.
    """
    loaded = configured(config)

    async def end() -> None:
        async with connected(loaded) as conn:
            ended = await revoke_tokens(conn, strategy, token_id)
        if as_json:
            show_json({"strategy": strategy, "revoked": ended})
        elif not ended:
            raise EventrouterError(
                f"{strategy!r} has no such valid token. The newest is ended only by its id. See: eventrouter token list"
            )
        else:
            typer.echo(f"Revoked {', '.join(map(str, ended))}.")

    run_async(end)


def send(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The alert's body; - reads standard input.")],
    *,
    url: Annotated[
        str | None,
        typer.Option(help="The webhook's address, as `token new` printed it. Default: $EVENTROUTER_WEBHOOK_URL."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Post an alert to a running service, as TradingView would, and print its answer. Status 1 unless it was stored."""
    configured(config)
    target = url or os.environ.get("EVENTROUTER_WEBHOOK_URL")
    if not target:
        raise ConfigError(
            "Where to? Give --url or set EVENTROUTER_WEBHOOK_URL to the address that `token new` printed."
        )
    body = _read(file)
    status = 0
    text = ""

    async def post() -> None:
        nonlocal status, text
        async with ClientSession(timeout=ClientTimeout(total=10)) as session:
            try:
                async with session.post(target, data=body, headers={"Content-Type": _content_type(body)}) as answer:
                    status, text = answer.status, await answer.text()
            except (ClientConnectionError, TimeoutError) as error:
                raise EventrouterError(
                    f"No answer from the service ({error or 'timeout'}). Is `eventrouter run` running?"
                ) from None
            except ValueError:
                raise ConfigError("The address must be a URL such as http://127.0.0.1:8080/webhook/TOKEN.") from None

    run_async(post)
    if as_json:
        show_json({"status": status, "answer": _json_or_text(text)})
    else:
        typer.echo(f"{status} {text}")
    if status not in (200, 202):
        raise typer.Exit(1)


def explain(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The alert's body; - reads standard input.")],
    *,
    strategy: Annotated[
        str | None,
        typer.Option(help="Whose alert it is. Default: by its token, by the name in it, or the only one configured."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say in plain words what an alert would do on each account, or which code refuses it and how to mend it. Does nothing.

    Ends with status 1 for an alert that would be refused.
    """
    loaded = configured(config)
    body = _read(file)
    answer: dict[str, Any] = {}

    async def ask() -> None:
        nonlocal answer
        try:
            async with connected(loaded) as conn, translated("explain"):
                answer = await explain_alert(loaded, conn, body, strategy=strategy)
        except StoreError as error:
            answer = await explain_alert(loaded, None, body, strategy=strategy)
            answer["notes"].append(str(error))

    run_async(ask)
    if as_json:
        show_json(answer)
    else:
        _show_explanation(answer)
    if not answer["understood"]:
        raise typer.Exit(1)


def _show_explanation(answer: Mapping[str, Any]) -> None:
    if answer["understood"]:
        typer.echo(
            f"Understood as {format_name(answer['family'])}, for strategy {answer['strategy']}: {answer['message']}"
        )
    else:
        field = f" ({answer['field']})" if answer["field"] else ""
        typer.echo(f"Refused: {answer['code']}{field}. {answer['message']}")
        if answer["mend"]:
            typer.echo(f"To mend it: {answer['mend']}")
    for title, sentences in (("Repaired", answer["repairs"]), ("Note", answer["notes"])):
        for sentence in sentences:
            typer.echo(f"{title}: {sentence}")
    for row in answer["accounts"]:
        what = " ".join(filter(None, (row["event"], row["trade_id"]))) or "-"
        typer.echo(f"  {row['account']:<16} {row['decision']:<8} {what:<40} {row['reason']}: {row['message']}")


def _read(file: str) -> bytes:
    try:
        body = sys.stdin.buffer.read(MOST_BYTES + 1) if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"Cannot read {file}: {error.strerror}.") from None
    return body


def _content_type(body: bytes) -> str:
    """As TradingView does it: JSON if and only if the body is JSON."""
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return "text/plain; charset=utf-8"
    return "application/json; charset=utf-8"


def _json_or_text(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
