"""Alert rules for Prometheus: what somebody should be woken for, and what to do then."""

import json
from typing import NamedTuple


class Rule(NamedTuple):
    """`lasts`: how long the expression must hold, as Prometheus writes it. `severity`: page (now), or ticket (today)."""

    name: str
    expression: str
    lasts: str
    severity: str
    summary: str
    what_to_do: str


RULES = (
    Rule(
        "EventrouterScrapeDown",
        'up{job="eventrouter"} == 0 or absent(up{job="eventrouter"})',
        "1m",
        "page",
        "eventrouter does not answer Prometheus.",
        "Look whether the process runs and what it logged last. Nothing is sent while it is down; start it with: eventrouter run. "
        "If it runs, look at [access] metrics_from_loopback and at the scrape's address and key.",
    ),
    Rule(
        "EventrouterDatabaseDown",
        "eventrouter_database_up == 0",
        "30s",
        "page",
        "eventrouter on {{ $labels.instance }} cannot read Postgres.",
        "Alerts wait in the spool and nothing is sent. Look at /readyz and at the Postgres server; run eventrouter migrate if the "
        "schema is old.",
    ),
    Rule(
        "EventrouterRouterDown",
        'max(eventrouter_oldest_task_seconds{status="PENDING"}) > 30 and sum(rate(eventrouter_claimed_tasks_total[2m])) == 0'
        " or absent(eventrouter_claimed_tasks_total)",
        "1m",
        "page",
        "Tasks wait and no router takes any.",
        "Start the router (eventrouter run, or eventrouter router). If one runs, see why it waits: eventrouter tasks --status PENDING, "
        "then eventrouter logs TASK.",
    ),
    Rule(
        "EventrouterQueueOld",
        'max(eventrouter_oldest_task_seconds{status="PENDING"}) > 60',
        "1m",
        "page",
        "The oldest waiting task is {{ $value | humanizeDuration }} old.",
        "See why it waits: eventrouter tasks --status PENDING, then eventrouter logs TASK. Entries end as EXPIRED when they are too old; exits stay.",
    ),
    Rule(
        "EventrouterUnknownOrder",
        'max(eventrouter_oldest_task_seconds{status="UNKNOWN"}) > 60',
        "0s",
        "page",
        "For {{ $value | humanizeDuration }} nobody knows whether the broker has an order.",
        "Look at the broker's own screen for the order: eventrouter tasks --status UNKNOWN, then eventrouter logs TASK. Do not send it "
        "again by hand; it is looked up until it is found or comes to REVIEW.",
    ),
    Rule(
        "EventrouterReview",
        'max(eventrouter_dead_letters_open{status="REVIEW"}) > 0',
        "0s",
        "page",
        "{{ $value }} orders need a person to say what became of them.",
        "eventrouter dead shows the evidence. Compare it with the broker's screen, then retry, discard or resolve; the lane's entries "
        "wait until then.",
    ),
    Rule(
        "EventrouterDeadLetters",
        'max(eventrouter_dead_letters_open{status="FAILED"}) > 0',
        "5m",
        "ticket",
        "{{ $value }} tasks failed and nobody has looked at them.",
        "eventrouter dead says for each what to do: retry, discard or resolve.",
    ),
    Rule(
        "EventrouterListenerDown",
        "eventrouter_listener_up == 0 and on (instance) eventrouter_connection_up",  # only where a router runs
        "1m",
        "ticket",
        "The router on {{ $labels.instance }} hears no notifications.",
        "It still polls, so orders go out later, not never. Behind PgBouncer set [database] listen_dsn to a direct connection; look for listener_down in the log.",
    ),
    Rule(
        "EventrouterBrokerDown",
        "eventrouter_connection_up == 0 or eventrouter_account_up == 0 or eventrouter_circuit_open == 1",
        "1m",
        "page",
        "A broker cannot be used: {{ $labels.connection }}{{ $labels.account }}.",
        "/readyz and eventrouter accounts say why. Entries wait or are denied; watch open positions on the broker's own screen.",
    ),
    Rule(
        "EventrouterOutOfSync",
        "eventrouter_account_out_of_sync == 1",
        "0s",
        "page",
        "The broker holds something else for {{ $labels.account }} than our book says.",
        "eventrouter accounts {{ $labels.account }} names the difference. Then take it over with eventrouter accounts adopt, or look again with eventrouter accounts resync. "
        "Entries of that account are denied until then.",
    ),
    Rule(
        "EventrouterHaltStands",
        "max(eventrouter_halts) by (action) > 0",
        "30m",
        "ticket",
        "{{ $value }} scopes stand under {{ $labels.action }}.",
        "The desk's page Controls shows who asked and why, as does GET /api/controls. When it is over: eventrouter resume SCOPE.",
    ),
    Rule(
        "EventrouterOldTransaction",
        "max(eventrouter_oldest_transaction_seconds) > 300",
        "0s",
        "ticket",
        "A transaction has been open for {{ $value | humanizeDuration }}.",
        "Find it in pg_stat_activity by xact_start and end it with pg_terminate_backend(pid). While it is open no dead row of the queue is removed and claims slow down.",
    ),
    Rule(
        "EventrouterDeadRows",
        "max(eventrouter_table_dead_rows) by (table) > 100000"
        " and max(eventrouter_table_dead_rows) by (table) > 0.2 * max(eventrouter_table_live_rows) by (table)",
        "15m",
        "ticket",
        "{{ $labels.table }} has {{ $value }} dead rows.",
        "Look for an old transaction or an idle replication slot first, then run VACUUM on the table; autovacuum does not keep up.",
    ),
    Rule(
        "EventrouterUnsealed",
        "max(eventrouter_unsealed_seconds) > 600",
        "0s",
        "ticket",
        "History of {{ $value | humanizeDuration }} ago is not sealed yet.",
        "Look for not_sealed in the log. A seal waits for the oldest open transaction; run eventrouter verify --chain afterwards.",
    ),
    Rule(
        "EventrouterNotificationsFail",
        'sum(increase(eventrouter_notifications_total{outcome="failed"}[15m])) by (receiver) > 2',
        "0s",
        "ticket",
        "Messages to {{ $labels.receiver }} do not arrive.",
        "eventrouter alerts test says what the receiver answers; mend [alerts] urls.",
    ),
)


def rules_yaml() -> str:
    """A rule file for Prometheus. A string in double quotes means the same in YAML as in JSON."""
    lines = ["groups:", "  - name: eventrouter", "    rules:"]
    for rule in RULES:
        lines += [
            f"      - alert: {rule.name}",
            f"        expr: {json.dumps(rule.expression)}",
            f"        for: {rule.lasts}",
            "        labels:",
            f"          severity: {rule.severity}",
            "        annotations:",
            f"          summary: {json.dumps(rule.summary)}",
            f"          description: {json.dumps(rule.what_to_do)}",
        ]
    return "\n".join(lines) + "\n"
