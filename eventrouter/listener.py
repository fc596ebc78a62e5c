"""Hears NOTIFY on a connection of its own and says so: LISTEN first, then wake; alive only while a probe comes back.

A notification is a hint. Everything works without it, through the router's poll.
"""

import asyncio
import secrets
from collections.abc import Callable

from eventrouter.ending import ended
from eventrouter.errors import StoreError
from eventrouter.logs import get_logger
from eventrouter.metrics import Metrics
from eventrouter.store.connect import CHANNEL, Conn, Database, listen, notify, translated

_log = get_logger("eventrouter.listener")
_RETRY_FIRST_S = 0.1
_RETRY_LONGEST_S = 5.0


class Listener:
    """Calls `on_wake` for every notification, and after every (re)connect, since anything may have happened before.

    `probe_interval` seconds without traffic are followed by a notification to itself, which must come back within
    `probe_timeout` seconds: a half-open connection or a pooler that swallows LISTEN is found that way.
    """

    def __init__(
        self,
        database: Database,
        on_wake: Callable[[], None],
        *,
        dsn: str | None = None,
        metrics: Metrics,
        probe_interval: float = 15.0,
        probe_timeout: float = 5.0,
    ) -> None:
        self._database = database
        self._dsn = dsn
        self._on_wake = on_wake
        self._metrics = metrics
        self._probe_interval = probe_interval
        self._probe_timeout = probe_timeout
        self._probe_channel = f"eventrouter_probe_{secrets.token_hex(6)}"
        self._task: asyncio.Task[None] | None = None
        self._healthy = asyncio.Event()

    @property
    def healthy(self) -> bool:
        """True while notifications certainly arrive."""
        return self._healthy.is_set()

    async def wait_healthy(self) -> None:
        """Returns once notifications certainly arrive."""
        await self._healthy.wait()

    def start(self) -> None:
        """Starts listening; reconnects by itself until stopped."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="listener")

    async def stop(self) -> None:
        """Stops listening and closes the connection."""
        if self._task is not None:
            task, self._task = self._task, None
            await ended([task])

    async def _run(self) -> None:
        delay = _RETRY_FIRST_S
        while True:
            try:
                async with await self._database.connect("listener", dsn=self._dsn) as conn, translated("listen"):
                    await self._listen(conn)
                    delay = _RETRY_FIRST_S
                    await self._hear(conn)
            except StoreError as error:
                _log.warning("listener_down", error=str(error), retry_in_s=delay)
            finally:
                self._set_health(healthy=False)
            self._metrics.listener_reconnects.inc()
            await asyncio.sleep(delay)
            delay = min(_RETRY_LONGEST_S, delay * 2)

    async def _listen(self, conn: Conn) -> None:
        await listen(conn, CHANNEL, self._probe_channel)
        await self._probe(conn)
        self._set_health(healthy=True)
        _log.info("listener_up", pid=conn.info.backend_pid)
        self._on_wake()

    async def _hear(self, conn: Conn) -> None:
        while True:
            heard = False
            async for heard_one in conn.notifies(timeout=self._probe_interval, stop_after=1):
                heard = True
                self._metrics.listener_last_heard.set_to_current_time()
                if heard_one.channel == CHANNEL:
                    self._on_wake()
            if not heard:
                await self._probe(conn)

    async def _probe(self, conn: Conn) -> None:
        """Sends itself a notification and waits for it; others that arrive meanwhile are heard as usual."""
        token = secrets.token_hex(4)
        async with asyncio.timeout(self._probe_timeout):
            await notify(conn, self._probe_channel, token)
            back = False
            while not back:
                # to its end: what came in one packet with the token must be heard too
                async for heard_one in conn.notifies(timeout=self._probe_timeout, stop_after=1):
                    self._metrics.listener_last_heard.set_to_current_time()
                    if heard_one.channel == CHANNEL:
                        self._on_wake()
                    back |= heard_one.payload == token

    def _set_health(self, *, healthy: bool) -> None:
        self._metrics.listener_up.set(healthy)
        if healthy:
            self._healthy.set()
        else:
            self._healthy.clear()
