"""From an alert's bytes to a durable signal with its tasks, in one commit that many alerts share."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from eventrouter.domain.duplicates import duplicate_key
from eventrouter.domain.limits import Pace
from eventrouter.domain.parsers import Reading, read_alert
from eventrouter.domain.tasks import Status
from eventrouter.domain.understand import StrategyRules, Understood, ask_of, max_age_of, understand
from eventrouter.errors import RowRefused, SignalRefused
from eventrouter.logs import get_logger
from eventrouter.metrics import Metrics
from eventrouter.spool import Spooled, SpoolWriter
from eventrouter.store.connect import Pool
from eventrouter.store.settings import TableCache
from eventrouter.store.signals import Stored, StoredAlert
from eventrouter.transitions import tell

_log = get_logger("eventrouter.ingest")
_COMMIT_WITHIN_S = 1.8  # TradingView hangs up after three seconds; a clear 503 before that makes it try again


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it was read, from a sender whose token names the strategy. `received_at` is aware, UTC."""

    reading: Reading
    strategy: str
    uid: UUID
    received_at: datetime
    content_type: str | None = None
    headers: Mapping[str, str] | None = None
    source_ip: str | None = None

    @classmethod
    def now(cls, raw: bytes, strategy: str, *, secrets: tuple[str, ...] = (), **more: Any) -> "Alert":
        """An alert received now, without the `secrets` that it may repeat; its uid is drawn here and never again."""
        reading = read_alert(raw, known_secrets=secrets)
        return cls(reading=reading, strategy=strategy, uid=uuid4(), received_at=datetime.now(UTC), **more)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the sender is told once the commit is done. `notes`: sentences about what was repaired or has no effect."""

    signal_id: int
    trade_id: str | None
    event_type: str | None
    duplicate: bool
    tasks: tuple[int, ...]
    notes: tuple[str, ...] = ()


class SignalIngest:
    """Stores alerts. Each method returns after the commit, or raises SignalRefused (stored all the same), StoreUnavailable.

    With a `spool_place`, the directory of the spools of all databases, an alert that cannot be committed is kept there under
    the name of its `database` instead, and stored later: the method then returns Spooled.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        tables: TableCache | None = None,
        rules: Callable[[str], StrategyRules] = lambda strategy: StrategyRules(),
        metrics: Metrics,
        spool_place: Path | None = None,
        database: str = "",
    ) -> None:
        self._rules = rules
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)
        self._metrics = metrics
        self._writer = SpoolWriter(
            pool,
            metrics,
            deadline_s=_COMMIT_WITHIN_S,
            tables=tables or TableCache(),
            place=spool_place,
            database=database,
            stored=self._tell,
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
        rules = self._rules(alert.strategy)
        try:
            understood = self._understand(alert, rules)
        except SignalRefused as refusal:
            await self._store_refused(alert, refusal)
            raise
        if understood.signal.opening:
            return await self.handle_entry_signal(alert, understood, rules)
        return await self.handle_exit_signal(alert, understood, rules)

    async def handle_entry_signal(
        self, alert: Alert, understood: Understood, rules: StrategyRules
    ) -> Receipt | Spooled:
        """Stores what opens (ENTRY, ADD, REVERSE) and enqueues one task for each account of its strategy."""
        return await self._store(alert, understood, rules)

    async def handle_exit_signal(self, alert: Alert, understood: Understood, rules: StrategyRules) -> Receipt | Spooled:
        """Stores what closes, cancels or moves a stop and enqueues its tasks; without a symbol they follow their trade's."""
        return await self._store(alert, understood, rules)

    def _understand(self, alert: Alert, rules: StrategyRules) -> Understood:
        opens = alert.reading.signal is not None and alert.reading.signal.opening
        in_time = not opens or self._paces[alert.strategy].take(alert.received_at, rules.limits.alerts_per_minute)
        return understand(alert.reading, alert.strategy, rules, received_at=alert.received_at, in_time=in_time)

    async def _store(self, alert: Alert, understood: Understood, rules: StrategyRules) -> Receipt | Spooled:
        signal = understood.signal
        row = replace(
            _row(alert),
            ask=ask_of(understood, rules),
            max_age_s=max_age_of(signal, rules),
            fired_at=signal.fire_time,
            key=duplicate_key(alert.reading.redacted, signal, window_s=rules.duplicate_window_s),
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
        if stored.refusal is not None:
            raise stored.refusal
        notes = (*signal.repairs, *signal.notes, *stored.notes)
        return Receipt(stored.signal_id, stored.trade_id, stored.event_type, stored.duplicate, stored.task_ids, notes)

    def _tell(self, row: StoredAlert, stored: Stored) -> None:
        """Says what the commit of an accepted alert did, unless an earlier one had done it."""
        if row.ask is None or stored.repeated:
            return
        now = datetime.now(UTC)
        self._metrics.phase_seconds.labels("stored").observe((now - row.received_at).total_seconds())
        if stored.refusal is not None:
            self._tell_refused(row.strategy, stored.refusal)
            return
        self._metrics.signals.labels("duplicate" if stored.duplicate else "accepted").inc()
        if stored.duplicate:
            _log.info("duplicate_alert", strategy=row.strategy, trade=stored.trade_id, first_signal=stored.signal_id)
            return
        if not stored.made:
            hint = f"see why: eventrouter signals {stored.signal_id}"
            _log.warning("signal_without_tasks", strategy=row.strategy, trade=stored.trade_id, hint=hint)
        for task in stored.made:
            tell(
                self._metrics,
                task=task.id,
                trade=task.trade_id,
                account=task.account,
                attempt=0,
                prev=None,
                status=Status.PENDING,
                reason="ENQUEUED",
                received_at=row.received_at,
                at=now,
            )

    def _tell_refused(self, strategy: str, refusal: SignalRefused) -> None:
        self._metrics.signals.labels("refused").inc()
        _log.warning(
            "alert_refused", strategy=strategy, code=refusal.code, message=refusal.message, field=refusal.field
        )

    async def _store_refused(self, alert: Alert, refusal: SignalRefused) -> None:
        row = replace(_row(alert), code=refusal.code, message=refusal.message, field_name=refusal.field)
        self._tell_refused(alert.strategy, refusal)
        await self._writer.put(row, within_s=_COMMIT_WITHIN_S)


def _row(alert: Alert) -> StoredAlert:
    return StoredAlert(
        uid=alert.uid,
        strategy=alert.strategy,
        received_at=alert.received_at,
        raw=alert.reading.redacted,
        content_type=alert.content_type,
        headers=alert.headers or {},
        source_ip=alert.source_ip,
    )
