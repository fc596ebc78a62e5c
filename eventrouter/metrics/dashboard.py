"""A Grafana dashboard: money at risk first, then the queue, how long things take, the brokers, the database."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_WIDTH = 24
_HEIGHT = 8
_STAT_HEIGHT = 4
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_RATE = "[$__rate_interval]"
_OURS = 'job=~"$job"'


class Panel(NamedTuple):
    """`queries`: (legend, expression). `bad_from`: the value that is shown as bad; None: no value is."""

    title: str
    unit: str
    queries: Sequence[tuple[str, str]]
    kind: str = "timeseries"
    width: int = 8
    bad_from: float | None = None
    says: str = ""


def _max(name: str, by: str = "") -> str:
    """The same figure of the database, told by several processes, is shown once."""
    return f"max by ({by}) (eventrouter_{name}{{{_OURS}}})" if by else f"max(eventrouter_{name}{{{_OURS}}})"


def _per_second(name: str, by: str) -> str:
    return f"sum by ({by}) (rate(eventrouter_{name}{{{_OURS}}}{_RATE}))"


def _quantile(share: str, name: str, by: str = "", only: str = "") -> str:
    among = f"{_OURS},{only}" if only else _OURS
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate(eventrouter_{name}_bucket{{{among}}}{_RATE})))"


def _stat(title: str, expression: str, bad_from: float, says: str, unit: str = "short") -> Panel:
    return Panel(title, unit, [("", expression)], "stat", 3, bad_from, says)


ROWS: Mapping[str, Sequence[Panel]] = {
    "Money at risk": (
        _stat(
            "Unknown orders",
            f'max(eventrouter_tasks{{{_OURS},status="UNKNOWN"}})',
            1,
            "Sent; nobody knows whether the broker has them.",
        ),
        _stat(
            "Review",
            f'max(eventrouter_dead_letters_open{{{_OURS},status="REVIEW"}})',
            1,
            "A person must say what became of them.",
        ),
        _stat(
            "Failed, open",
            f'max(eventrouter_dead_letters_open{{{_OURS},status="FAILED"}})',
            1,
            "Dead letters that nobody has resolved.",
        ),
        _stat(
            "Wait for approval",
            f'max(eventrouter_tasks{{{_OURS},status="HELD"}})',
            1,
            "HELD until a person approves or refuses.",
        ),
        _stat(
            "Out of sync",
            f"sum({_max('account_out_of_sync', 'account')})",
            1,
            "Accounts whose broker holds something else.",
        ),
        _stat(
            "Brokers down",
            f"sum(1 - eventrouter_connection_up{{{_OURS}}})",
            1,
            "Logins that work for none of their accounts.",
        ),
        _stat("Halts standing", f"sum({_max('halts', 'action')})", 1, "Scopes under halt, reduce or flatten."),
        _stat(
            "Strategies silent",
            f"sum({_max('strategy_silent', 'strategy')})",
            1,
            "Not heard of for longer than they should.",
        ),
        Panel(
            "Contracts held, live",
            "short",
            [("{{account}}", f'max by (account) (eventrouter_contracts_held{{{_OURS},mode="live"}})')],
            width=12,
        ),
        Panel("Orders in flight", "short", [("{{instance}}", f"eventrouter_in_flight{{{_OURS}}}")], width=12),
    ),
    "Queue": (
        Panel("Open tasks", "short", [("{{status}}", _max("tasks", "status"))]),
        Panel("Oldest task", "s", [("{{status}}", _max("oldest_task_seconds", "status"))]),
        Panel(
            "Alerts",
            "reqps",
            [
                ("{{verdict}}", _per_second("signals_total", "verdict")),
                ("spooled", f"sum(rate(eventrouter_spooled_total{{{_OURS}}}{_RATE}))"),
            ],
        ),
        Panel(
            "Status changes",
            "ops",
            [("{{from_status}} to {{to_status}}", _per_second("transitions_total", "from_status, to_status"))],
        ),
        Panel(
            "What woke the router",
            "ops",
            [("{{after}}", _per_second("claimed_tasks_total", "after"))],
            says="Tasks by poll: notifications are lost.",
        ),
        Panel("Spool", "short", [("{{instance}}", f"eventrouter_spool_alerts{{{_OURS}}}")], bad_from=1),
    ),
    "Latency": (
        Panel(
            "Alert to intent",
            "s",
            [(word, _quantile(share, "alert_to_sending_seconds")) for word, share in (("p50", "0.5"), ("p99", "0.99"))],
        ),
        Panel(
            "Alert to done",
            "s",
            [(word, _quantile(share, "alert_to_done_seconds")) for word, share in (("p50", "0.5"), ("p99", "0.99"))],
        ),
        Panel("Phases, p50", "s", [("{{phase}}", _quantile("0.5", "phase_seconds", "phase"))]),
        Panel("Phases, p99", "s", [("{{phase}}", _quantile("0.99", "phase_seconds", "phase"))], width=12),
        Panel(
            "Since the last notification",
            "s",
            [("{{instance}}", f"time() - (eventrouter_listener_last_notification_timestamp_seconds{{{_OURS}}} > 0)")],
            width=12,
            bad_from=60,
        ),
    ),
    "Brokers": (
        Panel(
            "Calls by outcome",
            "ops",
            [("{{connector}} {{outcome}}", _per_second("broker_calls_total", "connector, outcome"))],
        ),
        Panel(
            "Order calls, p99",
            "s",
            [
                (
                    "{{connector}} {{operation}}",
                    _quantile(
                        "0.99",
                        "broker_call_seconds",
                        "connector, operation",
                        'operation=~"send|cancel|modify|close_position"',
                    ),
                )
            ],
        ),
        Panel(
            "Other calls, p99",
            "s",
            [
                (
                    "{{connector}} {{operation}}",
                    _quantile(
                        "0.99",
                        "broker_call_seconds",
                        "connector, operation",
                        'operation!~"send|cancel|modify|close_position"',
                    ),
                )
            ],
        ),
        Panel("Connection up", "short", [("{{connection}}", _max("connection_up", "connection"))]),
        Panel("Account up", "short", [("{{account}}", _max("account_up", "account"))]),
        Panel("Circuit open", "short", [("{{connection}}", _max("circuit_open", "connection"))], bad_from=1),
    ),
    "Database": (
        Panel(
            "Database and listener up",
            "short",
            [
                ("database {{instance}}", f"eventrouter_database_up{{{_OURS}}}"),
                ("listener {{instance}}", f"eventrouter_listener_up{{{_OURS}}}"),
            ],
        ),
        Panel("Oldest transaction", "s", [("", _max("oldest_transaction_seconds"))], bad_from=300),
        Panel("History not sealed", "s", [("", _max("unsealed_seconds"))], bad_from=600),
        Panel("Dead rows", "short", [("{{table}}", _max("table_dead_rows", "table"))]),
        Panel(
            "Since autovacuum",
            "s",
            [
                (
                    "{{table}}",
                    f"time() - (max by (table) (eventrouter_table_last_autovacuum_timestamp_seconds{{{_OURS}}}) > 0)",
                )
            ],
        ),
        Panel("Failed operations", "ops", [("{{operation}}", _per_second("store_errors_total", "operation"))]),
        Panel("Feed clients", "short", [("{{instance}}", f"eventrouter_feed_clients{{{_OURS}}}")], width=12),
        Panel(
            "Versions",
            "short",
            [
                ("{{instance}} {{version}}", f"eventrouter_build_info{{{_OURS}}}"),
                ("{{migration}}", _max("schema_info", "migration")),
            ],
            width=12,
        ),
    ),
}


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it. It asks which Prometheus to read, and which jobs of it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        panels.append(_placed(len(panels), {"type": "row", "title": title, "collapsed": False}, 0, y, _WIDTH, 1))
        y += 1
        x = height = 0
        for panel in row:
            if x + panel.width > _WIDTH:
                x, y = 0, y + height
            height = _STAT_HEIGHT if panel.kind == "stat" else _HEIGHT
            panels.append(_placed(len(panels), _body(panel), x, y, panel.width, height))
            x += panel.width
        y += height
    return {
        "title": "eventrouter",
        "uid": "eventrouter",
        "tags": ["eventrouter"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_source_variable(), _job_variable()]},
        "panels": panels,
    }


def dashboard_json() -> str:
    """The same as text."""
    return json.dumps(dashboard(), indent=2) + "\n"


def _placed(number: int, body: dict[str, Any], x: int, y: int, width: int, height: int) -> dict[str, Any]:
    return {"id": number + 1, **body, "gridPos": {"x": x, "y": y, "w": width, "h": height}}


def _body(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.bad_from is not None:
        steps.append({"color": "red", "value": panel.bad_from})
    targets = [
        {"refId": chr(ord("A") + n), "expr": expression, "legendFormat": legend or panel.title, "datasource": _SOURCE}
        for n, (legend, expression) in enumerate(panel.queries)
    ]
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    options: dict[str, Any] = {}
    if panel.kind == "stat":
        options = {"colorMode": "background", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": _SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
    }


def _source_variable() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _job_variable() -> dict[str, Any]:
    return {
        "name": "job",
        "label": "Job",
        "type": "query",
        "datasource": _SOURCE,
        "query": "label_values(eventrouter_build_info, job)",
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }
