"""Metrics for Prometheus, on a registry that is passed along, so that two apps in one process do not collide."""

from collections.abc import Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Metrics:
    """All metrics of one process. An attribute has its metric's name without `eventrouter_` and `_total`."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

        self.signals = self._counter("signals_total", "Number of alerts received, by verdict.", "verdict")
        self.webhook_answers = self._counter("webhook_answers_total", "Number of HTTP answers to webhooks.", "status")
        self.connections_closed = self._counter(
            "connections_closed_total",
            "Number of connections closed as slow, evicted to make room, or refused without it.",
            "listener",
            "reason",
        )
        self.transitions = self._counter(
            "transitions_total",
            "Number of status changes of tasks committed by this process.",
            "from_status",
            "to_status",
        )
        self.store_errors = self._counter("store_errors_total", "Number of failed database operations.", "operation")
        self.listener_reconnects = self._counter(
            "listener_reconnects_total", "Number of times the LISTEN connection was lost and made again."
        )
        self.batches = self._counter("batches_total", "Number of commits made for batches of rows.", "batcher")

        self.spooled = self._counter("spooled_total", "Number of alerts written to the spool while Postgres was away.")
        self.spool_stored = self._counter(
            "spool_stored_total", "Number of alerts brought from the spool into Postgres."
        )
        self.spool_refusals = self._counter(
            "spool_refusals_total",
            "Number of alerts that the spool could not take, and that were answered 503.",
            "reason",
        )

        self.notifications = self._counter(
            "notifications_total",
            "Number of notifications that this process sent, by receiver and outcome.",
            "receiver",
            "outcome",
        )

        self.ingest_commit_seconds = self._histogram(
            "ingest_commit_seconds", "Seconds from receiving an alert to the commit of its signal and tasks.", _SECONDS
        )
        self.alert_to_sending_seconds = self._histogram(
            "alert_to_sending_seconds", "Seconds from receiving an alert to the committed intent to send.", _SECONDS
        )
        self.alert_to_done_seconds = self._histogram(
            "alert_to_done_seconds", "Seconds from receiving an alert to the committed end of its task.", _SECONDS
        )
        self.batch_rows = self._histogram("batch_rows", "Number of rows in one batch.", _ROWS, "batcher")

        self.listener_up = self._gauge("listener_up", "1 while the LISTEN connection proves itself alive, else 0.")
        self.tasks = self._gauge("tasks", "Number of tasks that are in a status now.", "status")
        self.oldest_open_task_seconds = self._gauge(
            "oldest_open_task_seconds", "Seconds since the oldest task that is not final was enqueued; 0 without one."
        )
        self.strategy_silent = self._gauge(
            "strategy_silent", "1 while a strategy has not been heard of for longer than it should, else 0.", "strategy"
        )
        self.feed_clients = self._gauge("feed_clients", "Number of clients connected to the live feed.")
        self.spool_alerts = self._gauge("spool_alerts", "Number of alerts that wait in the spool for Postgres.")
        self.notifications_waiting = self._gauge(
            "notifications_waiting", "Number of notifications that are not sent yet, as this process saw it last."
        )
        self.in_flight = self._gauge("in_flight", "Number of orders that this process is sending now.")

    def render(self) -> bytes:
        """The answer to a scrape, in the format that CONTENT_TYPE names."""
        return generate_latest(self._registry)

    def _counter(self, name: str, sentence: str, *labels: str) -> Counter:
        return Counter(f"eventrouter_{name}", sentence, labels, registry=self._registry)

    def _histogram(self, name: str, sentence: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"eventrouter_{name}", sentence, labels, buckets=buckets, registry=self._registry)

    def _gauge(self, name: str, sentence: str, *labels: str) -> Gauge:
        return Gauge(f"eventrouter_{name}", sentence, labels, registry=self._registry)
