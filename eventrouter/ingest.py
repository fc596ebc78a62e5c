"""From an alert's bytes to a durable signal with its tasks, in one commit that many alerts share."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from eventrouter.domain.duplicates import duplicate_key
from eventrouter.domain.limits import Limits, Pace, check
from eventrouter.domain.plan import Intent
from eventrouter.domain.signals import Signal, parse_alert
from eventrouter.domain.tasks import Status
from eventrouter.errors import RowRefused, SignalRefused
from eventrouter.logs import get_logger
from eventrouter.metrics import Metrics
from eventrouter.spool import Spooled, SpoolWriter
from eventrouter.store.connect import Pool
from eventrouter.store.signals import Stored, StoredAlert
from eventrouter.transitions import tell

_log = get_logger("eventrouter.ingest")
_COMMIT_WITHIN_S = 1.8  # TradingView hangs up after three seconds; a clear 503 before that makes it try again

StrategyPlanner = Callable[[str, str], tuple[Intent, ...]]
"""strategy, event type → the tasks to make."""


@dataclass(frozen=True, slots=True)
class StrategyRules:
    """What holds for a strategy's alerts: the symbol of an entry that names none, how long a body is the same alert, limits."""

    symbol: str | None = None
    duplicate_window_s: float = 30.0
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it arrived, from a sender whose token names the strategy. `received_at` is aware, UTC."""

    raw: bytes
    strategy: str
    uid: UUID
    received_at: datetime
    content_type: str | None = None
    headers: Mapping[str, str] | None = None
    source_ip: str | None = None

    @classmethod
    def now(cls, raw: bytes, strategy: str, **more: Any) -> "Alert":
        """An alert received now; its uid is drawn here and never again."""
        return cls(raw=raw, strategy=strategy, uid=uuid4(), received_at=datetime.now(UTC), **more)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the sender is told once the commit is done."""

    signal_id: int
    trade_id: str
    event_type: str
    duplicate: bool
    tasks: tuple[int, ...]


class SignalIngest:
    """Stores alerts. Each method returns after the commit, or raises SignalRefused (stored all the same), StoreUnavailable.

    With a `spool_place`, the directory of the spools of all databases, an alert that cannot be committed is kept there under
    the name of its `database` instead, and stored later: the method then returns Spooled.
    """

    def __init__(
        self,
        pool: Pool,
        planner: StrategyPlanner,
        *,
        rules: Callable[[str], StrategyRules] = lambda strategy: StrategyRules(),
        metrics: Metrics,
        spool_place: Path | None = None,
        database: str = "",
    ) -> None:
        self._planner = planner
        self._rules = rules
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)
        self._metrics = metrics
        self._writer = SpoolWriter(
            pool, metrics, deadline_s=_COMMIT_WITHIN_S, place=spool_place, database=database, stored=self._tell
        )

    async def start(self) -> None:
        """Takes the spool, then starts the writer."""
        await self._writer.open()
        self._writer.start()

    async def stop(self) -> None:
        """Stores or spools what is waiting, then ends."""
        await self._writer.stop()

    @property
    def spool_state(self) -> dict[str, object]:
        """{"state": "off" | "unavailable" | "empty" | "waiting", "alerts": how many wait in the spool}."""
        return self._writer.spool_state

    async def accept(self, alert: Alert) -> Receipt | Spooled:
        """Reads an alert and stores its signal and tasks."""
        try:
            signal = self._understand(alert)
        except SignalRefused as refusal:
            _log.warning(
                "alert_refused",
                strategy=alert.strategy,
                code=refusal.code,
                message=refusal.message,
                field=refusal.field,
            )
            await self._store_refused(alert, refusal)
            raise
        if signal.opening:
            return await self.handle_entry_signal(alert, signal)
        return await self.handle_exit_signal(alert, signal)

    async def handle_entry_signal(self, alert: Alert, signal: Signal) -> Receipt | Spooled:
        """Stores an ENTRY and enqueues one task for each account of its strategy."""
        return await self._store(alert, signal)

    async def handle_exit_signal(self, alert: Alert, signal: Signal) -> Receipt | Spooled:
        """Stores an EXIT (EXIT_SL, EXIT_BE, …) and enqueues its tasks; without a symbol they follow their trade's."""
        return await self._store(alert, signal)

    def _understand(self, alert: Alert) -> Signal:
        signal = parse_alert(alert.raw)
        if signal.strategy is not None and signal.strategy != alert.strategy:
            raise SignalRefused(
                "STRATEGY_MISMATCH",
                f"The alert names the strategy {signal.strategy[:60]!r}, but the token belongs to {alert.strategy!r}.",
                "strategy",
            )
        rules = self._rules(alert.strategy)
        if signal.opening and signal.symbol is None:
            signal = replace(signal, symbol=rules.symbol)
        check(signal, rules.limits)
        in_time = self._paces[alert.strategy].take(alert.received_at, rules.limits.alerts_per_minute)
        if signal.opening and not in_time:
            most = rules.limits.alerts_per_minute
            raise SignalRefused(
                "TOO_MANY_ALERTS", f"This strategy may send {most} alerts a minute; this entry is one more."
            )
        return replace(signal, strategy=alert.strategy)

    async def _store(self, alert: Alert, signal: Signal) -> Receipt | Spooled:
        row = replace(
            _row(alert),
            trade_id=signal.trade_id,
            event_type=signal.event_type,
            payload=signal.payload(),
            intents=self._planner(alert.strategy, signal.event_type),
            key=duplicate_key(
                alert.raw, source_id=signal.source_id, window_s=self._rules(alert.strategy).duplicate_window_s
            ),
        )
        try:
            stored = await self._writer.put(row, within_s=_COMMIT_WITHIN_S)
        except RowRefused:
            refusal = SignalRefused(
                "NOT_STORABLE", "The database refused a value of this alert; its raw bytes are kept."
            )
            await self._store_refused(alert, refusal)
            raise refusal from None
        if isinstance(stored, Spooled):
            return stored
        self._tell(row, stored)
        return Receipt(stored.signal_id, signal.trade_id, signal.event_type, stored.duplicate, stored.task_ids)

    def _tell(self, row: StoredAlert, stored: Stored) -> None:
        """Says what the commit of an accepted alert did, unless an earlier one had done it."""
        if row.code is not None or stored.repeated:
            return
        now = datetime.now(UTC)
        self._metrics.ingest_commit_seconds.observe((now - row.received_at).total_seconds())
        self._metrics.signals.labels("duplicate" if stored.duplicate else "accepted").inc()
        if stored.duplicate:
            _log.info("duplicate_alert", strategy=row.strategy, trade=row.trade_id, first_signal=stored.signal_id)
            return
        if not stored.task_ids:
            _log.warning(
                "signal_without_tasks", strategy=row.strategy, trade=row.trade_id, hint="no enabled account takes it"
            )
        for task_id, intent in zip(stored.task_ids, row.intents, strict=False):
            tell(
                self._metrics,
                task=task_id,
                trade=str(row.trade_id),
                account=intent.account,
                attempt=0,
                prev=None,
                status=Status.PENDING,
                reason="ENQUEUED",
                received_at=row.received_at,
                at=now,
            )

    async def _store_refused(self, alert: Alert, refusal: SignalRefused) -> None:
        row = replace(_row(alert), code=refusal.code, message=refusal.message, field_name=refusal.field)
        await self._writer.put(row, within_s=_COMMIT_WITHIN_S)
        self._metrics.signals.labels("refused").inc()


def _row(alert: Alert) -> StoredAlert:
    return StoredAlert(
        uid=alert.uid,
        strategy=alert.strategy,
        received_at=alert.received_at,
        raw=alert.raw,
        content_type=alert.content_type,
        headers=alert.headers or {},
        source_ip=alert.source_ip,
    )
