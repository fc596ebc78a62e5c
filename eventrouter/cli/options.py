"""Options that several commands share, and how a command gets a database."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from eventrouter.config import Config, load_config
from eventrouter.logs import configure_logging
from eventrouter.store.opened import OpenedDatabase, open_database
from eventrouter.web.jsons import dumps

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Configuration file. Default: $EVENTROUTER_CONFIG, ./config.toml, or none."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]


def configured(config: Path | None, *, quiet: bool = True) -> Config:
    """The configuration, with logging set up: a command that people read logs warnings only, to stderr."""
    loaded = load_config(config)
    configure_logging(loaded.logs.format, "warning" if quiet else loaded.logs.level, sys.stderr)
    return loaded


def run_async(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a coroutine to its end, on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    else:
        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


@asynccontextmanager
async def connected(config: Config, *, admin: bool = False, creating: bool = False) -> AsyncIterator[Any]:
    """A connection to the configured database, which is not migrated; an embedded server is started where none runs.

    Raises NoDatabase where an embedded one was never made, unless `creating`.
    """
    opened: OpenedDatabase = await asyncio.to_thread(open_database, config.database, migrating=False, creating=creating)
    try:
        conn = await opened.database.connect("cli", dsn=opened.admin_dsn if admin else None)
        async with conn:
            yield conn
    finally:
        await asyncio.to_thread(opened.close)


def show_json(value: Any) -> None:
    """Indented JSON on stdout."""
    typer.echo(json.dumps(json.loads(dumps(value)), indent=2, ensure_ascii=False))
