"""Turns what happened into notices, and sends them: two loops beside the router, which never wait for each other.

Several processes may do it on one database: each event is written once, and one of them sends at a time. A notice is sent at
least once: where a process dies between the sending and its commit, the last message comes a second time.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from eventrouter.alerts.conditions import Conditions
from eventrouter.alerts.receivers import Answer, Receiver
from eventrouter.config import AlertsConfig
from eventrouter.domain.accounts import Account
from eventrouter.domain.nearness import limit_notices
from eventrouter.domain.notices import Kind, Notice, Severity, left_out, message_of, notice_of, plain_notice
from eventrouter.ending import ended
from eventrouter.errors import StoreError
from eventrouter.logs import get_logger, redact_text
from eventrouter.metrics import Metrics
from eventrouter.store import notifications as store
from eventrouter.store.books import read_books
from eventrouter.store.connect import Conn, Pool, session
from eventrouter.store.notifications import MOST_EVENTS, Claimed, Reading, Settled

_log = get_logger("eventrouter.alerts")
_MOST_WAITING = 200
_MOST_TOGETHER = 1000
_MOST_ATTEMPTS = 20
_AGAIN_FIRST_S = 5.0
_AGAIN_LONGEST_S = 240.0
_LEASE_AFTER_TIMEOUT_S = 30.0
_MOST_UNSTORED_XIDS = 100
_MOST_NOTED = 1000
_STOP_WITHIN_S = 3.0


class Alerts:
    """Tells the receivers what happened from now on, or since it was last told. `pool`: a small one of its own.

    `accounts` are those whose loss limits are watched. `connections`: each connection, and each account of one → what is wrong, or None, and
    `listener_healthy`, both where a router runs in this process.
    """

    def __init__(
        self,
        pool: Pool,
        receivers: Sequence[Receiver],
        settings: AlertsConfig,
        *,
        name: str,
        metrics: Metrics,
        accounts: Sequence[Account] = (),
        dry_run: bool = True,
        connections: Callable[[], Mapping[str, str | None]] | None = None,
        listener_healthy: Callable[[], bool] | None = None,
        every_s: float = 1.0,
    ) -> None:
        self._pool = pool
        self._receivers = tuple(receivers)
        self._settings = settings
        self._name = name
        self._metrics = metrics
        limited = [each for each in accounts if each.limits.daily_loss is not None or each.limits.drawdown is not None]
        self._limited = {mode: _in_mode(limited, mode, dry_run=dry_run) for mode in ("dry", "live")}
        self._connections = connections
        self._listener_healthy = listener_healthy
        self._every_s = every_s
        self._conditions = Conditions(settings.down_for, name)
        self._waiting: deque[tuple[Notice, tuple[str, ...]]] = deque(maxlen=_MOST_WAITING)
        self._noted: set[str | None] = set()
        self._away = False
        self._direct_at = float("-inf")
        self._answers: dict[str, str] = {}
        self._waits = 0
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Starts both loops and returns at once. Idempotent."""
        if not self._tasks:
            loops = {"alerts-note": self._note_turn, "alerts-send": self._send_turn}
            self._tasks = [asyncio.create_task(self._repeat(turn), name=name) for name, turn in loops.items()]

    async def stop(self) -> None:
        """Lets a message that is under way end, for three seconds at most. What was not sent is sent later. Idempotent."""
        self._stop.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_STOP_WITHIN_S)
        await ended(self._tasks)

    def state(self) -> dict[str, Any]:
        """For /readyz: how the last message to each receiver ended here, and how many notifications wait."""
        failing = any(said != "taken" for said in self._answers.values())
        return {"state": "failing" if failing else "ok", "waiting": self._waits, "receivers": dict(self._answers)}

    def silent(self, strategy: str, last: datetime | None, *, missing: bool) -> None:
        """A strategy is silent for longer than expected since its `last` alert (None: never heard), or is heard again."""
        heard = "never" if last is None else f"{last.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        topic = f"silence/{strategy}/{missing}/{heard}"  # every process with a webhook looks; it is told once
        title = f"Strategy {strategy} is silent" if missing else f"Strategy {strategy} is heard again"
        body = f"Its last alert came: {heard}." + (" TradingView may have stopped the alert." if missing else "")
        severity = Severity.WARNING if missing else Severity.INFO
        self._add([plain_notice(Kind.SILENCE, severity, title, body, topic=topic, at=datetime.now(UTC))])

    async def _repeat(self, turn: Callable[[], Any]) -> None:
        while not self._stop.is_set():
            try:
                if await turn():
                    continue
            except StoreError as error:
                _log.warning("alerts_wait", error=str(error))
            except Exception:  # whatever breaks here, the router and the other loop go on
                _log.exception("alerts_fault")
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._stop.wait()

    # noting

    async def _note_turn(self) -> bool:
        """One look at what happened, written down."""
        now = datetime.now(UTC)
        if self._connections is not None:
            self._look(Kind.CONNECTOR, self._connections(), now)
        if self._listener_healthy is not None:
            fault = None if self._listener_healthy() else "Notifications of the database do not arrive."
            self._look(Kind.LISTENER, {"": fault}, now)
        try:
            await self._note()
        except StoreError as error:
            self._look(Kind.DATABASE, {"": str(error)}, now)
            await self._tell_directly()
            return False
        self._look(Kind.DATABASE, {"": None}, now)
        return False

    def _look(self, kind: Kind, faults: Mapping[str, str | None], now: datetime) -> None:
        found = self._conditions.look(kind, faults, time.monotonic(), now)
        if kind is Kind.DATABASE and found:
            self._away = faults[""] is not None
        self._add(found)

    async def _note(self) -> None:
        async with session(self._pool, "alerts") as conn:
            reading = await store.read_events(conn)
            if reading.restored:
                _log.warning("alerts_begin_anew", why="the database is another one than before")
            limits = self._wanted(await self._limits(conn, reading))
            notices = [*self._wanted(_of_events(reading)), *limits]
            written: int | None = 0
            if notices or reading.distance >= _MOST_UNSTORED_XIDS:
                written = await store.note(conn, notices, wait_s=self._settings.group, reading=reading)
        if written is not None:  # else another process was faster with the events, and the limits are told next time
            self._noted.update(each.topic for each in limits)
        await self._note_waiting()

    async def _note_waiting(self) -> None:
        """Writes what came up in this process."""
        waiting = list(self._waiting)
        if not waiting:
            return
        told = [reached for _, reached in waiting]
        async with session(self._pool, "alerts") as conn:
            await store.note(conn, [each for each, _ in waiting], wait_s=self._settings.group, reached=told)
        written = {id(each) for each, _ in waiting}
        self._waiting = deque((each for each in self._waiting if id(each[0]) not in written), maxlen=_MOST_WAITING)

    async def _limits(self, conn: Conn, reading: Reading) -> list[Notice]:
        found: list[Notice] = []
        for mode, accounts in self._limited.items():
            books = await read_books(conn, list(accounts), mode) if accounts else {}
            for name, book in books.items():
                limits = accounts[name].limits
                found += limit_notices(name, mode, book, limits, self._settings.limit_near, reading.now)
        if len(self._noted) > _MOST_NOTED:  # the database holds the topics too
            self._noted.clear()
        return [each for each in found if each.topic not in self._noted]

    def _add(self, notices: Sequence[Notice]) -> None:
        for each in self._wanted(notices):
            if len(self._waiting) == _MOST_WAITING:
                _log.error("notice_dropped", title=self._waiting[0][0].title)
            self._waiting.append((each, ()))

    def _wanted(self, notices: Sequence[Notice]) -> list[Notice]:
        least = Severity(self._settings.severity).rank
        return [
            replace(each, title=redact_text(each.title), body=redact_text(each.body))
            for each in notices
            if each.kind not in self._settings.off and each.severity.rank >= least
        ]

    async def _tell_directly(self) -> None:
        """While Postgres is away: what cannot be written is sent all the same, and written when it is back."""
        waiting = [(each, told) for each, told in self._waiting if not told]
        pause_s = 60.0 / self._settings.messages_per_minute
        if not self._away or not waiting or time.monotonic() - self._direct_at < pause_s:
            return
        self._direct_at = time.monotonic()
        answers = await self._send_to_each([each for each, _ in waiting], {})
        taken = tuple(answer.receiver for answer in answers if answer.taken)
        told = {id(each) for each, _ in waiting}
        self._waiting = deque(
            ((each, taken if id(each) in told else before) for each, before in self._waiting), maxlen=_MOST_WAITING
        )

    # sending

    async def _send_turn(self) -> bool:
        """Sends what is due; True when there was something."""
        timeout_s = self._settings.timeout
        claimed = await store.claim(
            self._pool,
            self._name,
            lease_s=timeout_s + _LEASE_AFTER_TIMEOUT_S,
            per_minute=self._settings.messages_per_minute,
            most=_MOST_TOGETHER,
        )
        if not claimed:
            return False
        held_until = time.monotonic() + timeout_s + _LEASE_AFTER_TIMEOUT_S
        reached = {id(each.notice): each.reached for each in claimed}
        answers = await self._send_to_each([each.notice for each in claimed], reached)
        results = [self._settled(each, answers) for each in claimed]
        await self._settle(results, held_until)
        return True

    async def _send_to_each(self, notices: Sequence[Notice], reached: Mapping[int, Sequence[str]]) -> list[Answer]:
        """One message to each receiver about what it was not told yet; all at once, each with its own time-out."""
        sends = []
        for receiver in self._receivers:
            news = [each for each in notices if receiver.name not in reached.get(id(each), ())]
            if news:
                sends.append(receiver.send(message_of(news), self._settings.timeout))
        answers = list(await asyncio.gather(*sends))
        for answer in answers:
            self._answers[answer.receiver] = answer.said
            self._metrics.notifications.labels(answer.receiver, "taken" if answer.taken else "failed").inc()
            if answer.taken:
                _log.info("notification_sent", receiver=answer.receiver, notices=len(notices))
            else:
                _log.warning("notification_failed", receiver=answer.receiver, error=answer.said)
        return answers

    def _settled(self, each: Claimed, answers: Sequence[Answer]) -> Settled:
        taken = [answer.receiver for answer in answers if answer.taken]
        missing = {receiver.name for receiver in self._receivers} - {*taken, *each.reached}
        error = "; ".join(f"{answer.receiver}: {answer.said}" for answer in answers if answer.receiver in missing)
        attempt = each.attempts + 1
        again_in_s = min(_AGAIN_LONGEST_S, _AGAIN_FIRST_S * 2.0**each.attempts)
        if missing and attempt >= _MOST_ATTEMPTS:
            _log.error("notification_given_up", notification=each.id, error=error)
        over = not missing or attempt >= _MOST_ATTEMPTS
        return Settled(each.id, taken, error or None, None if over else again_in_s, sent=not missing)

    async def _settle(self, results: Sequence[Settled], held_until: float) -> None:
        """Writes it down; where Postgres is away it is tried until the lease ends, for then all of it is sent again."""
        while True:
            try:
                self._waits = await store.settle(self._pool, self._name, results)
            except StoreError:
                if self._stop.is_set() or time.monotonic() > held_until:
                    raise
                await asyncio.sleep(self._every_s)
            else:
                self._metrics.notifications_waiting.set(self._waits)
                return


def _in_mode(accounts: Sequence[Account], mode: str, *, dry_run: bool) -> dict[str, Account]:
    return {each.name: each for each in accounts if each.mode(dry_run=dry_run) == mode}


def _of_events(reading: Reading) -> list[Notice]:
    """The notices of a reading, and that there was more where a source is full."""
    full = [
        left_out(source, MOST_EVENTS, reading.now)
        for source in ("task", "account", "control")
        if sum(each.source == source for each in reading.events) >= MOST_EVENTS
    ]
    return [notice for each in reading.events if (notice := notice_of(each)) is not None] + full
