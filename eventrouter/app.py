"""Composition root: puts the parts of one process together, starts them in order and stops them in the opposite one."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from aiohttp import web

from eventrouter.alerts import Alerts, Receiver, receivers_of
from eventrouter.config import Address, Config, load_config
from eventrouter.config.rules import account_of, rules_of
from eventrouter.credentials import CredentialStore
from eventrouter.desk import add_desk, as_page
from eventrouter.domain.parsers import MOST_BYTES
from eventrouter.ending import ended
from eventrouter.errors import ConfigError, EventrouterError, StoreError, StoreUnavailable
from eventrouter.ingest import SignalIngest
from eventrouter.logs import get_logger
from eventrouter.metrics import Metrics
from eventrouter.publishing import publish_configuration
from eventrouter.router import ExecutionRouter
from eventrouter.sealing import keep_sealing
from eventrouter.silence import watch_silence
from eventrouter.store.connect import Pool, identity, translated
from eventrouter.store.embedded_home import default_home
from eventrouter.store.opened import OpenedDatabase, RunLock, open_database
from eventrouter.store.signals import purge_windows
from eventrouter.watch import faults_of
from eventrouter.web import access, api, controls, feed, guard, headers, health, openapi, scrape, webhook
from eventrouter.web.connections import Listener, affordable
from eventrouter.web.context import CONTEXT, WebContext
from eventrouter.web.sources import Sources
from eventrouter.web.tokens import TokenCache

_log = get_logger("eventrouter")
_WATCH_EVERY_S = 1.0
_PURGE_EVERY_S = 600.0
_EXPLAINED_BYTES = 8 * MOST_BYTES  # an alert inside of JSON may take six bytes for one
_OPERATOR_CONNECTIONS = 200  # 64 of them may follow the feed


@dataclass(slots=True)
class Service:
    """One process's share of eventrouter: the web half, the router half, or both, on one database.

    `exclusive`: refuse to start where another such service runs on the same embedded database. `credentials`: the keys of the
    accounts' logins, where they are not in the configured place.
    """

    config: Config
    with_web: bool = True
    with_router: bool = True
    exclusive: bool = False
    name: str = field(default_factory=lambda: f"run-{os.getpid()}")
    metrics: Metrics = field(default_factory=Metrics)
    credentials: CredentialStore | None = None
    context: WebContext = field(init=False)
    opened: OpenedDatabase | None = field(default=None, init=False)
    router: ExecutionRouter | None = field(default=None, init=False)
    alerts: Alerts | None = field(default=None, init=False)
    _pools: list[Pool] = field(default_factory=list, init=False)
    _lock: RunLock | None = field(default=None, init=False)
    _started: bool = field(default=False, init=False)
    _chores: list[asyncio.Task[None]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.context = WebContext(
            config=self.config,
            metrics=self.metrics,
            sources=Sources.of(self.config.server.allowed_sources, self.config.server.trusted_proxies),
            operator_hosts=frozenset(self.config.server.operator_hosts),
        )

    async def open(self) -> None:
        """Opens the database, waiting for a server that is away, and takes the lock of an exclusive service. Idempotent."""
        if self.opened is not None:
            return
        opened = self.opened = await self._open()
        try:
            if self.exclusive and opened.server is not None:
                self._lock = await asyncio.to_thread(RunLock, opened, self.name)
            self.context.desk_pool = await self._pool("desk", size=None, waiting=200)
        except BaseException:
            await self.stop()
            raise

    async def start(self) -> None:
        """Opens the database if that is not done yet, then starts web and router. Idempotent."""
        await self.open()
        assert self.opened is not None
        if self._started:
            return
        self._started = True
        try:
            receivers = await asyncio.to_thread(receivers_of, self.config.alerts)
            await publish_configuration(
                self.opened.database, self.config, self.name, with_web=self.with_web, with_router=self.with_router
            )
            if receivers:  # before all others: they may have something to tell at once
                await self._start_alerts(receivers)
            if self.with_web:
                await self._start_ingest()
            if self.with_router:
                await self._start_router(self.opened)
            if self.opened.server is not None:
                self._chores.append(asyncio.create_task(self._keep_server(), name="embedded-server"))
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stops everything that was started, the database last. Idempotent."""
        self.context.stopping.set()
        await ended(self._chores)
        if self.context.ingest is not None:
            await self.context.ingest.stop()
        if self.router is not None:
            await self.router.stop()
        if self.alerts is not None:
            await self.alerts.stop()
        for pool in self._pools:
            await pool.close()
        self._pools.clear()
        if self._lock is not None:
            await asyncio.to_thread(self._lock.close)
        opened, self.opened = self.opened, None
        if opened is not None:
            await asyncio.to_thread(opened.close)

    async def _open(self) -> OpenedDatabase:
        delay = 0.2
        while True:
            opening = asyncio.ensure_future(asyncio.to_thread(open_database, self.config.database))
            try:
                return await asyncio.shield(opening)
            except asyncio.CancelledError:
                with suppress(EventrouterError):  # a thread cannot be stopped: let go of what it opens all the same
                    (await opening).close()
                raise
            except StoreUnavailable as error:
                _log.warning("waiting_for_postgres", error=str(error), retry_in_s=delay)
                await asyncio.sleep(delay)
                delay = min(5.0, delay * 2)

    async def _pool(self, name: str, *, size: int | None, waiting: int = 0) -> Pool:
        assert self.opened is not None
        pool = self.opened.database.pool(name, size=size, waiting=waiting)
        await pool.open()
        self._pools.append(pool)
        return pool

    async def _start_ingest(self) -> None:
        pool = await self._pool("ingest", size=2)
        server = self.config.server
        database = await self._database(pool) if server.spool else ""
        self.context.tokens = TokenCache(pool)
        self.context.ingest = SignalIngest(
            pool,
            rules=partial(rules_of, self.config),
            metrics=self.metrics,
            spool_place=(server.spool_dir or default_home() / "spool").absolute() if database else None,
            database=database,
        )
        await self.context.ingest.start()
        with suppress(StoreUnavailable):
            await self.context.tokens.load()
        self._chores.append(asyncio.create_task(self._purge(pool), name="purge"))
        self._chores.append(asyncio.create_task(keep_sealing(pool), name="seal"))
        expected = {each.name: each.expect_every for each in self.config.strategies if each.expect_every}
        if expected:
            self._chores.append(
                asyncio.create_task(watch_silence(pool, expected, self.metrics, self._tell_silence), name="silence")
            )

    async def _database(self, pool: Pool) -> str:
        """The name of the spool's directory for this database; empty when the database does not say who it is."""
        while True:
            try:
                async with translated("identity"), pool.connection() as conn:
                    return f"{await identity(conn)}.{self.config.database.schema_name}"
            except StoreUnavailable as error:
                _log.warning("waiting_for_postgres", error=str(error))
                await asyncio.sleep(_WATCH_EVERY_S)
            except StoreError as error:
                _log.error("spool_unavailable", error=str(error))
                return ""

    async def _start_router(self, opened: OpenedDatabase) -> None:
        settings = self.config.router
        mine = [a for a in self.config.accounts if not settings.accounts or a.name in settings.accounts]
        self.router = ExecutionRouter(
            opened.database.dsn,
            poll_interval=settings.poll_interval,
            batch_size=settings.batch_size,
            dry_run=settings.dry_run,
            accounts=[account_of(account) for account in mine],
            credentials=self.credentials or credential_store(self.config),
            max_age=self.config.strategy("").max_age or None,
            lease=settings.lease,
            grace=settings.grace,
            schema=opened.database.schema,
            listen_dsn=opened.listen_dsn,
            metrics=self.metrics,
            claims_all=not settings.accounts,
        )
        listener = self.router.listener
        self.context.listener_healthy = lambda: listener.healthy
        self.context.connections = self.router.standings
        await self.router.start()

    async def _start_alerts(self, receivers: Sequence[Receiver]) -> None:
        """Tells them what happens from now on."""
        settings, context = self.config.alerts, self.context
        self.alerts = Alerts(
            await self._pool("alerts", size=2),
            receivers,
            settings,
            name=f"{socket.gethostname()}/{self.name}-{secrets.token_hex(2)}",
            metrics=self.metrics,
            accounts=[account_of(account) for account in self.config.accounts],
            dry_run=self.config.router.dry_run,
            connections=lambda: faults_of((context.connections or dict)()),
            listener_healthy=lambda: context.listener_healthy is None or context.listener_healthy(),
        )
        self.context.alerts = self.alerts.state
        self.alerts.start()

    def _tell_silence(self, strategy: str, last: datetime | None, missing: bool) -> None:  # noqa: FBT001 (a Tell)
        if self.alerts is not None:
            self.alerts.silent(strategy, last, missing=missing)

    async def _purge(self, pool: Pool) -> None:
        """Forgets windows of duplicates that have ended, so that their table stays small."""
        while True:
            await asyncio.sleep(_PURGE_EVERY_S)
            with suppress(StoreError):
                while not self._spool_waits() and await purge_windows(pool):
                    pass

    def _spool_waits(self) -> bool:
        """Whether alerts wait on disk that may be duplicates of what is stored: their windows are needed still."""
        return self.context.ingest is not None and self.context.ingest.spool_state["state"] == "waiting"

    async def _keep_server(self) -> None:
        """Starts the embedded server again if it dies under us; clients reconnect by themselves."""
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            if self.context.listener_healthy is not None and self.context.listener_healthy():
                continue  # notifications come back, so the server lives
            try:
                server = self.opened.server if self.opened is not None else None
                if server is not None and await asyncio.to_thread(server.ensure_running):
                    _log.warning("embedded_server_restarted", home=str(server.home))
                    if self._lock is not None:  # it went with the server
                        self._lock = await asyncio.to_thread(self._lock.renewed)
            except (EventrouterError, OSError) as error:
                _log.error("embedded_server_down", error=str(error))


def credential_store(config: Config) -> CredentialStore:
    """Where this configuration keeps the keys of logins."""
    settings = config.credentials
    return CredentialStore(settings.dir or default_home() / "credentials", key_file=settings.key_file)


def webhook_app(service: Service) -> web.Application:
    """POST /{token}, and POST to the address itself with the token in the body; to be mounted at /webhook."""
    limit = guard.at_most(service.config.server.max_requests)
    answers = service.metrics.webhook_answers
    count = guard.counted(lambda status: answers.labels(status).inc())
    app = web.Application(middlewares=[guard.access_log, count, guard.errors, limit])
    app[CONTEXT] = service.context
    app.add_routes(webhook.ROUTES)
    return app


def public_app(service: Service) -> web.Application:
    """The public listener: the webhook and /healthz, nothing else."""
    app = web.Application(middlewares=[guard.access_log, guard.errors])
    app[CONTEXT] = service.context
    app.add_subapp("/webhook", webhook_app(service))
    app.router.add_get("/healthz", health.healthz)
    return app


def operator_app(service: Service, base: str = "") -> web.Application:
    """The operator listener: the desk, API, feed, health, metrics. `base`: the prefix that it is mounted at."""
    middlewares = [guard.access_log, as_page, guard.errors, access.admitted]
    app = web.Application(middlewares=middlewares, client_max_size=_EXPLAINED_BYTES)
    app[CONTEXT] = service.context
    app[access.DOOR] = access.Door()
    app.on_startup.append(access.look_first)
    app[scrape.READING] = scrape.Reading()
    app.on_cleanup.append(app[scrape.READING].stop)
    app.on_response_prepare.append(headers.harden)
    app.add_routes([*api.routes, *controls.routes, *feed.routes])
    app.router.add_get("/api", api.index)
    add_desk(app, base)
    app.router.add_get("/healthz", health.healthz)
    app.router.add_get("/readyz", health.readyz)
    app.router.add_get("/metrics", scrape.metrics)
    app.router.add_get("/openapi.json", openapi.served)
    return app


@dataclass(slots=True)
class Listeners:
    """The HTTP listeners of a running service; addresses are those really bound."""

    public: Address | None
    operator: Address
    opened: list[Listener]

    async def close(self) -> None:
        """Takes no more requests and lets those in hand finish."""
        for listener in self.opened:
            await listener.close()


async def listen(service: Service) -> Listeners:
    """Binds the listeners of a service. Raises EventrouterError when an address is taken or not ours."""
    server, metrics = service.config.server, service.metrics
    opened: list[Listener] = []
    try:
        public = None
        if service.with_web:
            opened.append(Listener(public_app(service), "public", affordable(server.max_connections), metrics))
            public = await _bind(opened[-1], server.public)
        opened.append(Listener(operator_app(service), "operator", _OPERATOR_CONNECTIONS, metrics))
        operator = await _bind(opened[-1], server.operator)
    except BaseException:
        for listener in opened:
            await listener.close()
        raise
    return Listeners(public, operator, opened)


async def _bind(listener: Listener, address: Address) -> Address:
    try:
        return await listener.open(address)
    except OSError as error:
        raise EventrouterError(
            f"Cannot listen on {address} ([server] {listener.name}): {error.strerror or error}. "
            f"Choose another address, for example with EVENTROUTER_SERVER__{listener.name.upper()}=127.0.0.1:9000."
        ) from error


def setup(
    app: web.Application, config: Config | None = None, *, prefix: str | None = "/eventrouter", router: bool = True
) -> Service:
    """Puts webhook, router and the operator's API into an existing aiohttp application; they start and stop with it.

    The webhook is at /webhook/{token}. The operator's desk and API are under `prefix` (None: nowhere); until there is a
    user they answer only requests that come from this machine and through no proxy. Raises ConfigError.
    """
    if app.frozen:
        raise ConfigError("Call setup(app, config) before the application starts.")
    service = Service(config or load_config(), with_router=router)
    app.add_subapp("/webhook", webhook_app(service))
    if prefix is not None:
        app.add_subapp(prefix, operator_app(service, prefix.rstrip("/")))

    async def lifespan(_app: web.Application) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    async def let_feeds_go(_app: web.Application) -> None:
        service.context.stopping.set()

    app.cleanup_ctx.append(lifespan)
    app.on_shutdown.append(let_feeds_go)
    return service
