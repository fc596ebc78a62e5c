"""Metrics: the names that dashboards rely on, and one registry for each app."""

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from eventrouter.metrics import CONTENT_TYPE, Metrics

COUNTERS = {
    "signals": ("verdict",),
    "webhook_answers": ("status",),
    "connections_closed": ("listener", "reason"),
    "transitions": ("from_status", "to_status"),
    "store_errors": ("operation",),
    "listener_reconnects": (),
    "batches": ("batcher",),
    "spooled": (),
    "spool_stored": (),
    "spool_refusals": ("reason",),
    "notifications": ("receiver", "outcome"),
}
HISTOGRAMS = {
    "ingest_commit_seconds": (),
    "alert_to_sending_seconds": (),
    "alert_to_done_seconds": (),
    "batch_rows": ("batcher",),
}
GAUGES = {
    "listener_up": (),
    "tasks": ("status",),
    "oldest_open_task_seconds": (),
    "strategy_silent": ("strategy",),
    "feed_clients": (),
    "in_flight": (),
    "spool_alerts": (),
    "notifications_waiting": (),
}


def families(metrics: Metrics) -> dict[str, Metric]:
    """What a scrape finds, by name."""
    return {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}


def used(metrics: Metrics) -> Metrics:
    """The same metrics after one event of each kind."""
    for kind, verb in ((COUNTERS, "inc"), (HISTOGRAMS, "observe"), (GAUGES, "set")):
        for name, labels in kind.items():
            metric = getattr(metrics, name)
            child = metric.labels(**dict.fromkeys(labels, "x")) if labels else metric
            getattr(child, verb)(*([] if verb == "inc" else [0.02]))
    return metrics


@pytest.mark.parametrize(
    ("name", "labels", "kind"),
    [
        *((name, labels, "counter") for name, labels in COUNTERS.items()),
        *((name, labels, "histogram") for name, labels in HISTOGRAMS.items()),
        *((name, labels, "gauge") for name, labels in GAUGES.items()),
    ],
)
def test_a_metric_is_exported_under_its_name_and_labels(name: str, labels: tuple[str, ...], kind: str) -> None:
    """The attribute, the exported name, the labels and the type agree."""
    family = families(used(Metrics()))[f"eventrouter_{name}"]
    suffix = {"counter": "_total", "histogram": "_count", "gauge": ""}[kind]
    sample = next(sample for sample in family.samples if sample.name == f"eventrouter_{name}{suffix}")
    assert family.type == kind
    assert set(sample.labels) == set(labels)
    assert sample.value == (0.02 if kind == "gauge" else 1)


def test_every_metric_says_what_it_measures_and_in_which_unit() -> None:
    """The help is a sentence that begins with the unit."""
    found = [each for name, each in families(used(Metrics())).items() if not name.endswith("_created")]
    assert len(found) == len(COUNTERS) + len(HISTOGRAMS) + len(GAUGES)
    for family in found:
        unit = "Seconds " if family.name.endswith("_seconds") else ("Number of ", "1 while ")
        assert family.documentation.startswith(unit)
        assert family.documentation.endswith(".")


def test_times_are_told_apart_from_a_millisecond_to_a_minute() -> None:
    """The buckets cover what a wake-up takes and what a slow broker takes."""
    samples = families(used(Metrics()))["eventrouter_alert_to_done_seconds"].samples
    bounds = [float(sample.labels["le"]) for sample in samples if "le" in sample.labels]
    assert (bounds[0], bounds[-2], bounds[-1]) == (0.001, 60.0, float("inf"))


def test_two_apps_in_one_process_count_apart() -> None:
    """Each has its own registry; nothing goes to the global one."""
    first, second = used(Metrics()), Metrics()
    assert b"eventrouter_listener_reconnects_total 1.0" in first.render()
    assert b"eventrouter_listener_reconnects_total 0.0" in second.render()


def test_the_content_type_fits_the_text() -> None:
    """Prometheus reads the version of the format from it."""
    assert CONTENT_TYPE.startswith("text/plain; version=")
