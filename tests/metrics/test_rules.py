"""The dashboard and the alert rules speak of metrics that there are, in expressions that parse, and of commands that there are."""

import json
import re
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from eventrouter.cli import app
from eventrouter.metrics import Metrics
from eventrouter.metrics.dashboard import ROWS, dashboard
from eventrouter.metrics.rules import RULES, Rule
from tests.metrics.promql import Expression, Wrong, faults

KNOWN = {each.name: (each.kind, each.labels) for each in Metrics().described}
PANELS = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
EXPRESSIONS = [(panel["title"], each["expr"]) for panel in PANELS for each in panel["targets"]]


def printed(*words: str) -> str:
    """What a command prints."""
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_a_panel_asks_for_what_there_is(title: str, expression: str) -> None:
    """It parses, its metrics and labels exist, counters are asked for their rate, and only the chosen jobs are read."""
    asked = expression.replace("$__rate_interval", "5m")
    assert faults(asked, KNOWN) == [], title
    assert all("job" in labels for _, labels, _ in Expression(asked).selected)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_asks_for_what_there_is_and_says_what_to_do(rule: Rule) -> None:
    """It parses, its metrics and labels exist, it speaks of labels that its result has, and of commands that there are."""
    assert faults(rule.expression, KNOWN) == []
    labels = {"instance", "job"} | {
        label for name, (_, has) in KNOWN.items() if name in rule.expression for label in has
    }
    assert set(re.findall(r"\$labels\.(\w+)", rule.summary + rule.what_to_do)) <= labels
    assert re.fullmatch(r"\d+[smh]", rule.lasts)
    assert rule.severity in ("page", "ticket")
    assert rule.summary.endswith(".")
    group = typer.main.get_command(app)
    commands: dict[str, Any] = getattr(group, "commands", {})
    said = re.findall(r"eventrouter ((?:[a-z]+\b ?)+)", rule.what_to_do)
    assert all(words.split()[0] in commands for words in said)


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("sum(rate(eventrouter_nothing_total[5m]))", "no metric"),
        ("eventrouter_phase_seconds", "no metric"),
        ("eventrouter_signals_total > 1", "rate"),
        ("rate(eventrouter_in_flight[5m])", "no rate"),
        ('eventrouter_tasks{state="HELD"}', "no label state"),
        ("max by (account) (eventrouter_tasks)", "grouped by account"),
    ],
)
def test_the_check_finds_what_is_wrong(expression: str, wrong: str) -> None:
    """Names, labels, and counters that are not asked for their rate."""
    assert any(wrong in fault for fault in faults(expression, KNOWN))


@pytest.mark.parametrize(
    "expression",
    [
        "sum(eventrouter_tasks",
        "eventrouter_tasks >",
        "eventrouter_tasks{status=HELD}",
        "rate(eventrouter_tasks)",
        "a b",
        "nothing(a)",
    ],
)
def test_the_check_finds_what_is_no_expression(expression: str) -> None:
    """Brackets, operators, strings, ranges."""
    with pytest.raises(Wrong):
        faults(expression, KNOWN)


def test_the_dashboard_is_whole_and_asks_which_prometheus() -> None:
    """The printed JSON is the dashboard; every panel has its place, its own id, and the data source of the variable."""
    shown = json.loads(printed("metrics", "dashboard"))
    assert shown == dashboard()
    assert [each["title"] for each in shown["panels"] if each["type"] == "row"] == list(ROWS)
    assert len({each["id"] for each in shown["panels"]}) == len(shown["panels"])
    assert {each["datasource"]["uid"] for each in PANELS} == {"${datasource}"}
    taken = [
        (x, y)
        for each in shown["panels"]
        for x in range(each["gridPos"]["x"], each["gridPos"]["x"] + each["gridPos"]["w"])
        for y in range(each["gridPos"]["y"], each["gridPos"]["y"] + each["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24


def test_the_printed_rules_are_the_rules() -> None:
    """Read back line by line: one alert after the other with its expression, how long it lasts, its severity and its texts."""
    head, *alerts = printed("metrics", "rules").split("      - alert: ")
    assert head == "groups:\n  - name: eventrouter\n    rules:\n"
    read = []
    for alert in alerts:
        name, *lines = alert.splitlines()
        values = dict(line.strip().split(": ", 1) for line in lines if not line.endswith(":"))
        texts = [json.loads(values[key]) for key in ("expr", "summary", "description")]
        read.append(Rule(name, texts[0], values["for"], values["severity"], texts[1], texts[2]))
        assert [line.strip() for line in lines if line.endswith(":")] == ["labels:", "annotations:"]
    assert tuple(read) == RULES
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_the_list_names_every_metric() -> None:
    """As a table and as JSON."""
    assert {each["name"] for each in json.loads(printed("metrics", "list", "--json"))} == set(KNOWN)
    assert all(name in printed("metrics", "list") for name in KNOWN)
