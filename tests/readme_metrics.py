"""The table of metrics in the README, made from the registry: python -m tests.readme_metrics writes it."""

import re
from pathlib import Path

from eventrouter.metrics import Metrics

README = Path(__file__).parent.parent / "README.md"
_PLACE = re.compile(r"(?<=<!-- metrics -->\n).*?(?=<!-- end -->)", re.DOTALL)


def table() -> str:
    """The table, as it stands between the marks."""
    rows = [
        f"| `{each.name}` | {each.kind} | {', '.join(f'`{label}`' for label in each.labels)} | {each.sentence} |"
        for each in Metrics().described
    ]
    return "\n".join(["", "| name | type | labels | meaning |", "| --- | --- | --- | --- |", *rows, "", ""])


def written(text: str) -> str:
    """The README with the table in its place."""
    return _PLACE.sub(lambda _: table(), text, count=1)


if __name__ == "__main__":
    README.write_text(written(README.read_text("utf-8")), "utf-8")
