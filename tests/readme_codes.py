"""The tables of codes in the README, made from domain/refusals.py: python -m tests.readme_codes writes them."""

import re
from collections.abc import Mapping
from pathlib import Path

from eventrouter.domain.refusals import NOT_PLANNED, NOT_SENT, REFUSALS

README = Path(__file__).parent.parent / "README.md"
_PLACE = re.compile(r"(?<=<!-- codes -->\n).*?(?=<!-- end -->)", re.DOTALL)


def tables() -> str:
    """All tables, as they stand between the marks."""
    parts = [
        _table("code", "why an alert is refused (422), and how to mend it", REFUSALS),
        _table("reason", "why a task was not sent, or not yet", NOT_SENT),
        _table("code", "why an account gets no task for a signal", NOT_PLANNED),
    ]
    return "\n" + "\n".join(parts) + "\n"


def written(text: str) -> str:
    """The README with the tables in their place."""
    return _PLACE.sub(lambda _: tables(), text, count=1)


def _table(name: str, title: str, sentences: Mapping[str, str]) -> str:
    rows = [f"| `{code}` | {sentence.replace('|', chr(92) + '|')} |" for code, sentence in sentences.items()]
    return "\n".join([f"| {name} | {title} |", "| --- | --- |", *rows, ""])


if __name__ == "__main__":
    README.write_text(written(README.read_text("utf-8")), "utf-8")
