"""Metrics for Prometheus, on a registry that is passed along, so that two apps in one process do not collide."""

import platform
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from typing import NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from eventrouter.metrics.figures import FIGURES, Figures, FiguresCollector

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_MOST_WORKING = 10_000

PHASES = ("stored", "claimed", "sent", "acknowledged", "filled")
"""The way of a signal: each is counted from the one before it, the first from the alert's receipt."""


class Described(NamedTuple):
    """One metric as people look it up. `kind`: counter, gauge or histogram."""

    name: str
    kind: str
    labels: tuple[str, ...]
    sentence: str


class Metrics:
    """All metrics of one process. An attribute has its metric's name without `eventrouter_` and `_total`.

    What Postgres knows is not an attribute: `show` gives it, see figures.py.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._described: list[Described] = []
        self._working: OrderedDict[int, datetime] = OrderedDict()
        self._add_intake()
        self._add_way()
        self._add_brokers()
        self._add_process()
        self._figures = FiguresCollector()
        self._registry.register(self._figures)
        self.build_info.labels(version("eventrouter"), platform.python_version()).set(1)
        for phase in PHASES:
            self.phase_seconds.labels(phase)

    @property
    def described(self) -> tuple[Described, ...]:
        """All metrics of every process, by name."""
        read = (Described(f"eventrouter_{name}", "gauge", f.labels, f.sentence) for name, f in FIGURES.items())
        return tuple(sorted([*self._described, *read]))

    def show(self, figures: Figures | None) -> None:
        """What a scrape tells of the database from now on; None: it cannot be reached."""
        self.database_up.set(figures is not None)
        self._figures.shown = figures or {}

    def accepted(self, task: int, at: datetime) -> None:
        """A broker has this task's order and works it: `filled` is counted from here."""
        self._working[task] = at
        while len(self._working) > _MOST_WORKING:
            self._working.popitem(last=False)

    def ended(self, task: int, at: datetime, *, filled: bool) -> None:
        """A working order ended. One that another process saw accepted is not counted."""
        since = self._working.pop(task, None)
        if since is not None and filled:
            self.phase_seconds.labels("filled").observe(max(0.0, (at - since).total_seconds()))

    def render(self) -> bytes:
        """The answer to a scrape, in the format that CONTENT_TYPE names."""
        return generate_latest(self._registry)

    def _add_intake(self) -> None:
        self.signals = self._counter("signals_total", "Number of alerts received, by verdict.", "verdict")
        self.webhook_answers = self._counter("webhook_answers_total", "Number of HTTP answers to webhooks.", "status")
        self.connections_closed = self._counter(
            "connections_closed_total",
            "Number of connections closed as slow, evicted to make room, or refused without it.",
            "listener",
            "reason",
        )
        self.spooled = self._counter("spooled_total", "Number of alerts written to the spool while Postgres was away.")
        self.spool_stored = self._counter(
            "spool_stored_total", "Number of alerts brought from the spool into Postgres."
        )
        self.spool_refusals = self._counter(
            "spool_refusals_total",
            "Number of alerts that the spool could not take, and that were answered 503.",
            "reason",
        )
        self.spool_alerts = self._gauge("spool_alerts", "Number of alerts that wait in the spool for Postgres.")
        self.strategy_silent = self._gauge(
            "strategy_silent", "1 while a strategy has not been heard of for longer than it should, else 0.", "strategy"
        )

    def _add_way(self) -> None:
        self.transitions = self._counter(
            "transitions_total",
            "Number of status changes of tasks committed by this process.",
            "from_status",
            "to_status",
        )
        self.phase_seconds = self._histogram(
            "phase_seconds",
            "Seconds of a phase of a signal's way: received to stored, to claimed (intent committed, first attempts only),"
            " to sent, to acknowledged (the broker's answer committed), to filled (orders that worked).",
            _SECONDS,
            "phase",
        )
        self.alert_to_sending_seconds = self._histogram(
            "alert_to_sending_seconds", "Seconds from receiving an alert to the committed intent to send.", _SECONDS
        )
        self.alert_to_done_seconds = self._histogram(
            "alert_to_done_seconds", "Seconds from receiving an alert to the committed end of its task.", _SECONDS
        )
        self.claimed_tasks = self._counter(
            "claimed_tasks_total",
            "Number of tasks that claims took, by what had woken the router: wake (a notification, a freed slot),"
            " timer (something was due), or the poll, which finds what no notification told.",
            "after",
        )
        self.in_flight = self._gauge("in_flight", "Number of orders that this process is sending now.")

    def _add_brokers(self) -> None:
        self.broker_calls = self._counter(
            "broker_calls_total",
            "Number of calls to brokers, by how they ended: ok, accepted, rejected, absent (a look-up), not_sent, unknown, refused, unavailable,"
            " no_answer (given up waiting), error.",
            "connector",
            "operation",
            "outcome",
        )
        self.broker_call_seconds = self._histogram(
            "broker_call_seconds", "Seconds that a call to a broker took.", _SECONDS, "connector", "operation"
        )
        self.connection_up = self._gauge(
            "connection_up", "1 while a login at a broker works for at least one of its accounts, else 0.", "connection"
        )
        self.account_up = self._gauge(
            "account_up", "1 while the broker lets an account of this process trade, else 0.", "account"
        )
        self.circuit_open = self._gauge(
            "circuit_open", "1 while entries wait since a connection's broker did not answer, else 0.", "connection"
        )

    def _add_process(self) -> None:
        self.build_info = self._gauge("build_info", "1 while this version runs.", "version", "python")
        self.database_up = self._gauge("database_up", "1 while the latest scrape could read Postgres, else 0.")
        self.figures_read_seconds = self._gauge(
            "figures_read_seconds", "Seconds that the latest reading of the figures in Postgres took."
        )
        self.store_errors = self._counter("store_errors_total", "Number of failed database operations.", "operation")
        self.batches = self._counter("batches_total", "Number of commits made for batches of rows.", "batcher")
        self.batch_rows = self._histogram("batch_rows", "Number of rows in one batch.", _ROWS, "batcher")
        self.listener_up = self._gauge("listener_up", "1 while the LISTEN connection proves itself alive, else 0.")
        self.listener_last_heard = self._gauge(
            "listener_last_notification_timestamp_seconds",
            "Seconds since 1970 when the listener last heard a notification, its own probes too; 0 before the first.",
        )
        self.listener_reconnects = self._counter(
            "listener_reconnects_total", "Number of times the LISTEN connection was lost and made again."
        )
        self.feed_clients = self._gauge(
            "feed_clients", "Number of clients that follow the live feed, over SSE or WebSocket."
        )
        self.notifications = self._counter(
            "notifications_total",
            "Number of notifications that this process sent, by receiver and outcome.",
            "receiver",
            "outcome",
        )
        self.notifications_waiting = self._gauge(
            "notifications_waiting", "Number of notifications that are not sent yet, as this process saw it last."
        )

    def _counter(self, name: str, sentence: str, *labels: str) -> Counter:
        self._described.append(Described(f"eventrouter_{name}", "counter", labels, sentence))
        return Counter(f"eventrouter_{name}", sentence, labels, registry=self._registry)

    def _histogram(self, name: str, sentence: str, buckets: Sequence[float], *labels: str) -> Histogram:
        self._described.append(Described(f"eventrouter_{name}", "histogram", labels, sentence))
        return Histogram(f"eventrouter_{name}", sentence, labels, buckets=buckets, registry=self._registry)

    def _gauge(self, name: str, sentence: str, *labels: str) -> Gauge:
        self._described.append(Described(f"eventrouter_{name}", "gauge", labels, sentence))
        return Gauge(f"eventrouter_{name}", sentence, labels, registry=self._registry)
