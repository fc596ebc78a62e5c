"""The tables of codes in the README, made from domain/refusals.py: python -m tests.readme_codes writes them."""

import re
from collections.abc import Mapping
from pathlib import Path

from eventrouter.domain.dead_letters import SUGGESTIONS
from eventrouter.domain.refusals import NOT_PLANNED, OF_THE_RISK, OF_THE_SIZE, OF_THE_TRADE, REFUSALS, SENT, WAITING

README = Path(__file__).parent.parent / "README.md"
_PLACE = re.compile(r"(?<=<!-- codes -->\n).*?(?=<!-- end -->)", re.DOTALL)


def tables() -> str:
    """All tables, as they stand between the marks."""
    parts = [
        _table("code", "why an alert is refused (422), and how to mend it", REFUSALS),
        _table("reason", "why no order is sent for a task: its trade, its age, its accounts", OF_THE_TRADE),
        _table("reason", "why an entry is DENIED: its size, its symbol, its levels", OF_THE_SIZE),
        _table("reason", "why an entry is DENIED, or HELD: the account's limits", OF_THE_RISK),
        _table("reason", "why a task is still PENDING, or again", WAITING),
        _table("reason", "what happens to an order once it may leave", SENT),
        _table("code", "what to do about a dead letter", SUGGESTIONS),
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
