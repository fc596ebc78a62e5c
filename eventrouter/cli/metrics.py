"""`metrics list`, `metrics dashboard`, `metrics rules`: what Prometheus finds here, and what to put into Grafana and Prometheus."""

import typer

from eventrouter.cli.look import table
from eventrouter.cli.options import JsonOption, show_json
from eventrouter.metrics import Metrics
from eventrouter.metrics.dashboard import dashboard_json
from eventrouter.metrics.rules import rules_yaml


def metrics_list(*, as_json: JsonOption = False) -> None:
    """List every metric of /metrics: its name, type, labels and what it means."""
    described = Metrics().described
    if as_json:
        show_json([{**each._asdict(), "labels": list(each.labels)} for each in described])
        return
    rows = [
        {"name": each.name, "type": each.kind, "labels": ", ".join(each.labels), "meaning": each.sentence}
        for each in described
    ]
    table(rows, ("name", "type", "labels", "meaning"))


def metrics_dashboard() -> None:
    """Print a dashboard for Grafana (Dashboards, New, Import); it asks which Prometheus to read."""
    typer.echo(dashboard_json(), nl=False)


def metrics_rules() -> None:
    """Print alert rules for Prometheus: a file to name under rule_files, for a scrape job called eventrouter."""
    typer.echo(rules_yaml(), nl=False)
