"""What the README says that can be checked by itself."""

import ast
import re
from collections.abc import Iterator

from eventrouter.domain.refusals import NOT_SENT, OF_THE_RISK, OF_THE_SIZE, OF_THE_TRADE, SENT, WAITING
from eventrouter.domain.retry import LIMITS, Limits
from eventrouter.domain.tasks import ACTIONS
from tests import readme_metrics
from tests.readme_codes import README, written

_PACKAGE = README.parent / "eventrouter"
_ROWS = frozenset({"LogEntry", "refuse", "wait", "Denial", "LevelUnclear"})
_NO_TASKS = ("simulator", "parsers", "connectors")
_WORD = re.compile(r"[A-Z][A-Z0-9]+(_[A-Z0-9]+)*")
_OTHER_WORDS = frozenset(
    [
        "ADD",
        "CANCEL",
        "CLOSE",
        "ENTRY",
        "EXIT",
        "FAILED",
        "LONG",
        "SHORT",
        "MOVE_STOP",
        "OPEN",
        "REDUCE",
        "USD",
        "FGHJKMNQUVXZ",
        "LOGIN_REFUSED",
        "BROKER_UNREACHABLE",
    ]  # what modules with rows also say
)


def modules() -> Iterator[ast.Module]:
    """Those that make log rows or denials of tasks."""
    for path in _PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        calls = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        if calls & _ROWS and not set(_NO_TASKS) & set(path.parts):
            yield tree


def reasons() -> set[str]:
    """Every word in those modules that looks like a reason, every `reason=` anywhere, what SQL writes, and operators' actions."""
    constants = (node.value for tree in modules() for node in ast.walk(tree) if isinstance(node, ast.Constant))
    found = {value for value in constants if isinstance(value, str) and len(value) > 2 and _WORD.fullmatch(value)}
    for path in _PACKAGE.rglob("*.py"):
        found |= set(re.findall(r'\breason="([A-Z_]+)"', path.read_text("utf-8")))
    for path in (README.parent / "db" / "functions").glob("*.sql"):
        text = path.read_text("utf-8")
        if "INSERT INTO execution_logs" in text:
            found |= set(re.findall(r"'(ENQUEUED|[A-Z]+ED)'", text))
    return (found - _OTHER_WORDS) | {f"OPERATOR_{action.upper()}" for action in ACTIONS}


def test_the_tables_of_codes_are_those_of_the_code() -> None:
    """Written again they are the same: python -m tests.readme_codes does it."""
    text = README.read_text("utf-8")
    assert "| `CONTRADICTION` |" in text
    assert written(text) == text


def test_every_reason_of_a_log_row_is_explained() -> None:
    """A reason that the code can write stands in one of the tables, and no table has one that nobody writes."""
    written_down = {**NOT_SENT, **SENT}
    assert {"MAX_CONTRACTS", "NO_STOP", "CLEARING", "LATE_FILL", "ROUTED"} <= reasons()
    assert reasons() - written_down.keys() == set()
    assert written_down.keys() - reasons() == set()
    groups = [OF_THE_TRADE, OF_THE_SIZE, OF_THE_RISK, WAITING, SENT]
    assert sum(map(len, groups)) == len(written_down)


def test_the_limits_of_retries_are_those_of_the_code() -> None:
    """One row for each cause, in its order, with its attempts and delays."""
    place = README.read_text("utf-8").partition("| why | attempts of an entry | first, longest delay |\n")[2]
    rows = [line.strip("| ").split(" | ")[1:] for line in place.splitlines()[1 : 1 + len(LIMITS)]]
    assert rows == [[_attempts(limits), _delays(limits)] for limits in LIMITS.values()]


def _attempts(limits: Limits) -> str:
    if limits.attempts is None:
        return "any number"
    return f"{limits.attempts} without an age limit" if limits.while_fresh else str(limits.attempts)


def _delays(limits: Limits) -> str:
    return f"{limits.first_s:g} s, {limits.longest_s:g} s" if limits.longest_s else "at once"


def test_the_table_of_metrics_is_that_of_the_registry() -> None:
    """python -m tests.readme_metrics writes it anew."""
    text = README.read_text("utf-8")
    assert "<!-- metrics -->" in text
    assert readme_metrics.written(text) == text
