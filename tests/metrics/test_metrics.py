"""Metrics: the names that dashboards rely on, and one registry for each app."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from eventrouter.metrics import CONTENT_TYPE, Metrics
from eventrouter.metrics.figures import FIGURES

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
    "claimed_tasks": ("after",),
    "broker_calls": ("connector", "operation", "outcome"),
}
HISTOGRAMS = {
    "phase_seconds": ("phase",),
    "broker_call_seconds": ("connector", "operation"),
    "alert_to_sending_seconds": (),
    "alert_to_done_seconds": (),
    "batch_rows": ("batcher",),
}
GAUGES = {
    "listener_up": (),
    "connection_up": ("connection",),
    "account_up": ("account",),
    "circuit_open": ("connection",),
    "build_info": ("version", "python"),
    "database_up": (),
    "figures_read_seconds": (),
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
    """The same metrics after one event of each kind, and a reading of the database."""
    metrics.show({name: {("x",) * len(figure.labels): 0.02} for name, figure in FIGURES.items()})
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
        *((name, figure.labels, "gauge") for name, figure in FIGURES.items()),
    ],
)
def test_a_metric_is_exported_under_its_name_and_labels(name: str, labels: tuple[str, ...], kind: str) -> None:
    """The attribute, the exported name, the labels and the type agree."""
    family = families(used(Metrics()))[f"eventrouter_{name}"]
    suffix = {"counter": "_total", "histogram": "_count", "gauge": ""}[kind]
    samples = (sample for sample in family.samples if sample.name == f"eventrouter_{name}{suffix}")
    sample = next(sample for sample in samples if {"x"} >= set(sample.labels.values()))
    assert family.type == kind
    assert set(sample.labels) == set(labels)
    assert sample.value == (0.02 if kind == "gauge" else 1)


def test_every_metric_says_what_it_measures_and_in_which_unit() -> None:
    """The help is a sentence that begins with the unit."""
    found = [each for name, each in families(used(Metrics())).items() if not name.endswith("_created")]
    # one name is not its attribute's
    assert len(found) == len(COUNTERS) + len(HISTOGRAMS) + len(GAUGES) + len(FIGURES) + 1
    for family in found:
        unit = "Seconds " if family.name.endswith("_seconds") else ("Number of ", "1 while ")
        assert family.documentation.startswith(unit)
        assert family.documentation.endswith(".")


def test_times_are_told_apart_from_a_millisecond_to_a_minute() -> None:
    """The buckets cover what a wake-up takes and what a slow broker takes."""
    samples = families(used(Metrics()))["eventrouter_alert_to_done_seconds"].samples
    bounds = [float(sample.labels["le"]) for sample in samples if "le" in sample.labels]
    assert (bounds[0], bounds[-2], bounds[-1]) == (0.001, 60.0, float("inf"))


def test_figures_of_a_database_that_is_away_are_not_shown() -> None:
    """An old figure would look like one of now; the names stay, and database_up says why."""
    metrics = used(Metrics())
    assert b"eventrouter_tasks{" in metrics.render()
    metrics.show(None)
    found = families(metrics)
    assert [name for name in FIGURES if found[f"eventrouter_{name}"].samples] == []
    assert found["eventrouter_database_up"].samples[0].value == 0


def test_the_time_to_a_fill_is_counted_once_and_of_bounded_memory() -> None:
    """From the acceptance to the fill; an order that ends otherwise, or whose acceptance another process saw, is not counted."""
    metrics, at = Metrics(), datetime(2026, 1, 1, tzinfo=UTC)
    for task in range(20_000):
        metrics.accepted(task, at)
    metrics.ended(1, at + timedelta(seconds=1), filled=True)  # forgotten: too many were younger
    metrics.ended(19_998, at + timedelta(seconds=1), filled=False)
    metrics.ended(19_999, at + timedelta(seconds=2), filled=True)
    metrics.ended(19_999, at + timedelta(seconds=3), filled=True)
    rendered = metrics.render().decode()
    assert 'eventrouter_phase_seconds_count{phase="filled"} 1.0' in rendered
    assert 'eventrouter_phase_seconds_sum{phase="filled"} 2.0' in rendered


def test_the_list_of_metrics_is_what_a_scrape_finds() -> None:
    """Names, kinds, labels and sentences, so that what is generated from the list holds."""
    metrics = used(Metrics())
    found = families(metrics)
    assert {each.name for each in metrics.described} == {
        f"{family.name}_total" if family.type == "counter" else family.name
        for name, family in found.items()
        if not name.endswith("_created")
    }
    for each in metrics.described:
        family = found[each.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (each.kind, each.sentence)
        assert {name for sample in family.samples for name in sample.labels} - {"le"} == set(each.labels)


def test_two_apps_in_one_process_count_apart() -> None:
    """Each has its own registry; nothing goes to the global one."""
    first, second = used(Metrics()), Metrics()
    assert b"eventrouter_listener_reconnects_total 1.0" in first.render()
    assert b"eventrouter_listener_reconnects_total 0.0" in second.render()


def test_the_content_type_fits_the_text() -> None:
    """Prometheus reads the version of the format from it."""
    assert CONTENT_TYPE.startswith("text/plain; version=")
