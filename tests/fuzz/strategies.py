"""The strategies of a fuzzed service, each with other rules, and the published bodies to mutate."""

import json
from pathlib import Path
from typing import Any

from eventrouter.config import Config
from tests.conftest import SHARED
from tests.web.live_site import configuration

STRATEGIES: list[dict[str, Any]] = [
    {"name": "plain"},
    {"name": "ageless", "max_age": 0, "duplicate_window": 0, "opposite": "reverse", "symbol": "MNQ1!"},
    {
        "name": "limited",
        "max_quantity": 5,
        "symbols": ["MNQ1!", "NQ1!", "ES1!"],
        "opposite": "exit",
        "accounts": ["second"],
    },
]


def fuzzed_configuration(dsn: str) -> Config:
    """Those strategies and two accounts on this database."""
    sections: dict[str, Any] = {"strategies": STRATEGIES, "accounts": [{"name": "paper"}, {"name": "second"}]}
    return configuration(dsn, **sections)


def published_bodies(samples: Path = SHARED / "webhook_samples.jsonl") -> list[bytes]:
    """The published samples, as they arrive and with their placeholders as written; empty where they are not there."""
    if not samples.exists():
        return []
    rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    return [row[name].encode() for row in rows for name in ("body", "rendered_body") if row.get(name)]
