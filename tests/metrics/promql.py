"""Enough of Prometheus's query language to say that an expression parses, and which metrics and labels it speaks of."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"\s*(?:(?P<string>\"(?:[^\"\\]|\\.)*\")|(?P<duration>\[\d+(?:ms|[smhdwy])\])|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)|(?P<sign>==|!=|>=|<=|=~|!~|[-+*/%^<>=(){},]))"
)
# name → what its arguments are: a vector over a range, at an instant, or a scalar
FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "rate": ("range",),
    "increase": ("range",),
    "absent": ("any",),
    "time": (),
    "histogram_quantile": ("any", "any"),
}
AGGREGATIONS = frozenset({"sum", "max", "min", "avg", "count"})
_LEVELS = (frozenset({"or"}), frozenset({"and", "unless"}), frozenset({"==", "!=", ">", "<", ">=", "<="}))
_ARITHMETIC = (frozenset({"+", "-"}), frozenset({"*", "/", "%"}))
_BINARY = (*_LEVELS, *_ARITHMETIC)
_FROM_PROMETHEUS = frozenset({"job", "instance"})


class Wrong(Exception):
    """The expression is none."""


@dataclass
class Expression:
    """What is said of which metric: `selected` name → labels that are matched, `grouped` labels that results are told apart by."""

    text: str
    selected: list[tuple[str, frozenset[str], bool]] = field(default_factory=list)
    grouped: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._tokens = self._split()
        self._at = 0
        self._level(0)
        if self._at != len(self._tokens):
            raise Wrong(f"{self._peek()!r} stands where the end should be: {self.text}")

    def _split(self) -> list[tuple[str, str]]:
        tokens, at, text = [], 0, self.text.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                raise Wrong(f"cannot read {text[at:]!r}")
            tokens.append((found.lastgroup, found.group(found.lastgroup)))
            at = found.end()
        return tokens

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _take(self, *wanted: str) -> str:
        kind, text = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        if text not in wanted and kind not in wanted:
            raise Wrong(f"{text!r} where {wanted} should be: {self.text}")
        self._at += 1
        return text

    def _level(self, depth: int) -> None:
        if depth == len(_BINARY):
            self._atom()
            return
        self._level(depth + 1)
        while self._peek() in _BINARY[depth]:
            self._take(self._peek())
            if self._peek() in ("on", "ignoring"):
                self._take("name")
                self._labels()
            self._level(depth + 1)

    def _atom(self) -> None:
        kind = self._tokens[self._at][0] if self._at < len(self._tokens) else ""
        if kind == "number":
            self._take("number")
        elif self._peek() == "(":
            self._take("(")
            self._level(0)
            self._take(")")
        else:
            self._named(self._take("name"))

    def _named(self, name: str) -> None:
        if name in AGGREGATIONS:
            self._grouping()
            self._arguments(("any",))
            self._grouping()
        elif name in FUNCTIONS:
            self._arguments(FUNCTIONS[name])
        else:
            self._selector(name)

    def _grouping(self) -> None:
        if self._peek() == "by":
            self._take("by")
            self.grouped |= self._labels()

    def _labels(self) -> set[str]:
        self._take("(")
        found = {self._take("name")}
        while self._peek() == ",":
            self._take(",")
            found.add(self._take("name"))
        self._take(")")
        return found

    def _arguments(self, kinds: tuple[str, ...]) -> None:
        self._take("(")
        for n, kind in enumerate(kinds):
            if n:
                self._take(",")
            before = len(self.selected)
            self._level(0)
            ranged = [name for name, _, over in self.selected[before:] if over]
            if kind == "range" and (len(self.selected) != before + 1 or not ranged):
                raise Wrong(f"rate and increase take one metric over a time: {self.text}")
        self._take(")")

    def _selector(self, name: str) -> None:
        labels = set()
        if self._peek() == "{":
            self._take("{")
            while self._peek() != "}":
                labels.add(self._take("name"))
                self._take("=", "!=", "=~", "!~")
                self._take("string")
                if self._peek() != "}":
                    self._take(",")
            self._take("}")
        over = bool(self._at < len(self._tokens) and self._tokens[self._at][0] == "duration")
        if over:
            self._take("duration")
        self.selected.append((name, frozenset(labels), over))


def faults(text: str, known: Mapping[str, tuple[str, tuple[str, ...]]]) -> list[str]:
    """What is wrong with an expression over metrics `known`: name → (kind, labels). Raises Wrong where it is no expression."""
    expression, found = Expression(text), []
    told_apart: set[str] = {"le", *_FROM_PROMETHEUS}
    for name, labels, over in expression.selected:
        if name == "up":
            continue
        base = next((name.removesuffix(end) for end in ("_bucket", "_sum", "_count") if name.endswith(end)), name)
        kind, has = known.get(name) or known.get(base) or ("", ())
        if kind == "" or (kind == "histogram") != (base != name):
            found.append(f"there is no metric {name}")
        if kind in ("counter", "histogram") and not over and "absent" not in text:
            found.append(f"{name} only grows: ask for its rate")
        if kind == "gauge" and over:
            found.append(f"{name} goes up and down: it has no rate")
        if strange := labels - set(has) - _FROM_PROMETHEUS:
            found.append(f"{name} has no label {', '.join(sorted(strange))}")
        told_apart |= set(has)
    if unknown := expression.grouped - told_apart:
        found.append(f"grouped by {', '.join(sorted(unknown))}, which none of its metrics has")
    return found
