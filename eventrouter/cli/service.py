"""`run`, `demo` and the two halves of `run`: `ingress` and `router`."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from typing import Annotated, Any

import typer

from eventrouter.app import Listeners, Service, listen
from eventrouter.cli.demo import Demo
from eventrouter.cli.demo_desk import Desk, desk
from eventrouter.cli.options import ConfigOption, configured, run_async
from eventrouter.config import Config
from eventrouter.errors import EventrouterError


def run(*, config: ConfigOption = None) -> None:
    """Run the service: webhook, router and operator's API in one process. Ctrl-C or SIGTERM drains and stops it.

    Without a configured database it starts an embedded PostgreSQL and keeps it in the data directory.
    """
    _serve(nullcontext(Service(configured(config, quiet=False), exclusive=True)))


def ingress(*, config: ConfigOption = None) -> None:
    """Run only the web half: take alerts and store them. For a public host; routers elsewhere do the sending."""
    _serve(nullcontext(Service(configured(config, quiet=False), with_router=False)))


def router(*, config: ConfigOption = None) -> None:
    """Run only the router half, with the operator's API. Any number may share the work; [router] accounts limits whose."""
    _serve(nullcontext(Service(configured(config, quiet=False), with_web=False)))


def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="End after the alerts, with status 0.")] = False,
    alerts: Annotated[
        int, typer.Option(min=0, max=100_000, help="Then send so many more, one at a time, and print latencies.")
    ] = 0,
    config: ConfigOption = None,
) -> None:
    """See it work: one real alert over HTTP, executed on three accounts of a simulated broker and denied on a fourth; its exit.

    The broker is simulated inside of this process, and nothing leaves the machine. The demo's accounts, keys and database are its own,
    beside the real ones. Ports that are taken are replaced by free ones. It stays up until Ctrl-C, or ends with --once.
    """
    configured(config)

    @asynccontextmanager
    async def demonstrated() -> AsyncIterator[Service]:
        async with desk(config) as (service, broker):
            shown.append(broker)
            yield service

    shown: list[Desk] = []

    async def show(service: Service, listeners: Listeners) -> bool:
        await Demo(service, listeners, shown[0]).play(extra=alerts, stays=not once)
        return once

    _serve(demonstrated(), show, free_ports=True, mode="demo: the broker is simulated, nothing leaves this machine")


def _serve(
    made: AbstractAsyncContextManager[Service],
    then: Callable[[Service, Listeners], Awaitable[bool]] | None = None,
    *,
    free_ports: bool = False,
    mode: str | None = None,
) -> None:
    async def main() -> None:
        async with made as service:
            await serve(service)

    async def serve(service: Service) -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
        starting = asyncio.create_task(_start(service, free_ports=free_ports))
        if not await _unless(stopping, starting):
            await service.stop()
            return
        listeners = starting.result()
        try:
            _announce(service, listeners, mode)
            if then is not None:
                showing = asyncio.create_task(_shown(then, service, listeners))
                if await _unless(stopping, showing) and showing.result():
                    return
            await stopping.wait()
            typer.echo("Stopping: no new alerts; waiting for orders in flight.", err=True)
        finally:
            service.context.stopping.set()
            await listeners.close()
            await service.stop()

    run_async(main)


async def _shown(then: Callable[[Service, Listeners], Awaitable[bool]], service: Service, listeners: Listeners) -> bool:
    return await then(service, listeners)


async def _start(service: Service, *, free_ports: bool) -> Listeners:
    """Database, then addresses, then work: nothing is claimed by a service that finds its port taken."""
    listeners: Listeners | None = None
    try:
        await service.open()
        try:
            listeners = await listen(service)
        except EventrouterError:
            if not free_ports:
                raise
            service.config = _on_free_ports(service.config)
            listeners = await listen(service)
        await service.start()
    except BaseException:
        if listeners is not None:
            await listeners.close()
        await service.stop()
        raise
    return listeners


def _on_free_ports(config: Config) -> Config:
    free = {
        key: type(address)(address.host, 0)
        for key, address in (("public", config.server.public), ("operator", config.server.operator))
    }
    return config.model_copy(update={"server": config.server.model_copy(update=free)})


async def _unless(stopping: asyncio.Event, task: asyncio.Task[Any]) -> bool:
    """Waits for the task; False when a signal came first (the task is then cancelled)."""
    signalled = asyncio.create_task(stopping.wait())
    await asyncio.wait({task, signalled}, return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    if task.done():
        return True
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return False


def _announce(service: Service, listeners: Listeners, mode: str | None) -> None:
    assert service.opened is not None
    # the demo has settings of its own
    source = f" Configuration: {service.config.source}." if mode is None else ""
    mode = mode or ("dry run: nothing leaves this machine" if service.config.router.dry_run else "LIVE")
    lines = [f"eventrouter is running ({mode}).{source}"]
    if listeners.public is not None:
        lines.append(
            f"  Alerts:   http://{listeners.public}/webhook/TOKEN   (make one: eventrouter token new STRATEGY)"
        )
    lines.append(f"  Operator: http://{listeners.operator}/")
    lines.append(f"  Database: {service.opened.describe()}")
    for line in lines:
        typer.echo(line, err=True)
