"""`simulator`: the simulated broker as a process of its own."""

import asyncio
import json
import signal
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from eventrouter.cli.options import ConfigOption, configured, run_async
from eventrouter.config import parse_address
from eventrouter.errors import ConfigError
from eventrouter.simulator import Clock, Settings, Simulator
from eventrouter.simulator.settings import BracketMode


class Feed(StrEnum):
    """Where prices come from."""

    WALK = "walk"
    POSTED = "posted"


class Hours(StrEnum):
    """When the market is open."""

    ALWAYS = "always"
    CME = "cme"


def _money(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0:
        raise typer.BadParameter(f"{text!r} is no amount in dollars.")
    return value


def simulator(
    *,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")] = (
        "127.0.0.1:9001"
    ),
    accounts: Annotated[int, typer.Option(min=1, max=1_000, help="How many accounts, from id 101.")] = 3,
    seed: Annotated[int, typer.Option(help="Prices and tokens are the same for the same seed.")] = 1,
    balance: Annotated[Decimal, typer.Option(parser=_money, metavar="USD", help="Each account's start.")] = "50000",  # type: ignore[assignment]
    fee: Annotated[Decimal, typer.Option(parser=_money, metavar="USD", help="Per contract and side.")] = "0.37",  # type: ignore[assignment]
    user: Annotated[str, typer.Option(help="The userName that may log in.")] = "trader",
    api_key: Annotated[str, typer.Option(help="Its apiKey.")] = "simulated",
    feed: Annotated[Feed, typer.Option(help="Prices walk at random, or stay until posted.")] = Feed.WALK,
    step: Annotated[float, typer.Option(min=0.01, help="Seconds between two steps of prices and time.")] = 0.25,
    hours: Annotated[Hours, typer.Option(help="Whether the market ever closes.")] = Hours.ALWAYS,
    clock: Annotated[datetime | None, typer.Option(help="Start at this time, in UTC, instead of now.")] = None,
    frozen: Annotated[bool, typer.Option("--frozen", help="The clock stands until it is moved.")] = False,
    brackets: Annotated[BracketMode, typer.Option(help="The accounts' bracket setting.")] = BracketMode.AUTO_OCO,
    unique_tags: Annotated[bool, typer.Option(help="Refuse a customTag that was used before.")] = True,
    token_lifetime: Annotated[float, typer.Option(min=0.1, help="Seconds until a token expires.")] = 86_400,
    requests_per_minute: Annotated[int, typer.Option(min=0, help="More are answered 429; 0 for no limit.")] = 200,
    orphans_cancelled: Annotated[
        bool, typer.Option("--orphans-cancelled", help="A flat position ends its brackets.")
    ] = (False),
    bare_events: Annotated[bool, typer.Option("--bare-events", help="Hub events without {action, data}.")] = False,
    ledger: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also keep the ledger of executions here.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Run a simulated broker that speaks the ProjectX Gateway API and its user hub. Ctrl-C or SIGTERM stops it.

    When it is ready it prints one line of JSON with its address. Tests steer it under /_control: prices, clock, armed faults, and
    a ledger of what was executed for each client order id. It is no part of the service, and no real order ever leaves it.
    """
    configured(config, quiet=False)
    try:
        address = parse_address(listen)
    except ValueError as error:
        raise ConfigError(f"--listen {listen!r}: {error}") from error
    settings = Settings(
        accounts=accounts,
        seed=seed,
        balance=balance,
        user=user,
        api_key=api_key,
        brackets=brackets,
        unique_tags=unique_tags,
        market_hours=hours is Hours.CME,
        walk=feed is Feed.WALK,
        step_s=step,
        token_lifetime_s=token_lifetime,
        requests_per_minute=requests_per_minute,
        fee_per_side=fee,
        orphans_cancelled=orphans_cancelled,
        wrapped_events=not bare_events,
        ledger=ledger,
    )
    run_async(lambda: _serve(settings, _clock(clock, frozen=frozen), address.host, address.port))


def _clock(at: datetime | None, *, frozen: bool) -> Clock:
    return Clock(None if at is None else at.replace(tzinfo=at.tzinfo or UTC), frozen=frozen)


async def _serve(settings: Settings, clock: Clock, host: str, port: int) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with Simulator(settings, clock=clock, host=host, port=port) as broker:
        typer.echo(
            json.dumps({"url": broker.url, "hub": f"{broker.url}/hubs/user", "control": f"{broker.url}/_control"})
        )
        await stopping.wait()
