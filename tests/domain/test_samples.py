"""The published alert bodies: each becomes what its author meant, or is refused with the right code.

`sample_expectations.toml` says what was meant; its head says how to read it. The bodies themselves lie outside of the
repository, in shared/ beside it, and these tests are skipped where they are not.
"""

import json
import tomllib
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from eventrouter.domain.parsers import Reading, read_alert
from eventrouter.domain.refusals import REFUSALS
from eventrouter.domain.signals import Event, Level, LevelKind, OrderType, QuantityKind, Signal
from tests.conftest import SHARED

SAMPLES = SHARED / "webhook_samples.jsonl"
SECTIONS: Mapping[str, dict[str, dict[str, Any]]] = tomllib.loads(
    Path(__file__).with_name("sample_expectations.toml").read_text(encoding="utf-8")
)
TABLE = {sample: row for rows in SECTIONS.values() for sample, row in rows.items()}
ALWAYS = {
    "event": None,
    "symbol": None,
    "side": None,
    "quantity": None,
    "quantity_kind": QuantityKind.FIXED,
    "order_type": OrderType.MARKET,
    "limit_price": None,
    "stop_price": None,
    "trail": None,
    "stop_loss": None,
    "take_profit": None,
}
NUMBERS = {"quantity", "price", "limit_price", "stop_price"}
TIMES = {"fire_time", "bar_time"}
WORDS = {"exchange", "position", "strategy", "trade_id", "order_id", "exit_type"}
RULES = {"refused", "or_refused", "open", "absent", "kept", "repaired", "describes_order", "why"}


@pytest.fixture(scope="module")
def bodies() -> Mapping[str, bytes]:
    """Sample id → the bytes that arrive: the body with its placeholders filled in, where there is such a one."""
    if not SAMPLES.exists():
        pytest.skip(f"the published samples are not on this machine: {SAMPLES} does not exist")
    rows = [json.loads(line) for line in SAMPLES.read_text(encoding="utf-8").splitlines()]
    return {row["id"]: (row.get("rendered_body") or row["body"]).encode() for row in rows}


def meant(name: str, value: Any) -> Any:
    """A value of the table as the signal holds it."""
    if value is None:
        return None
    if name in {"stop_loss", "take_profit", "trail"}:
        return Level(LevelKind(value["kind"]), Decimal(value["value"]), trailing=value.get("trailing", False))
    if name in NUMBERS:
        return Decimal(value)
    return datetime.fromisoformat(value) if name in TIMES else value


def told(signal: Signal) -> str:
    """Everything that the signal keeps or says besides its fields, in one searchable text."""
    words = [repr(dict(signal.extras)), *signal.notes, *signal.repairs]
    return " ".join(words).lower().replace("_", "")


def differences(row: Mapping[str, Any], signal: Signal) -> list[str]:
    """What the signal says otherwise than its row, in words; empty when it is the signal meant."""
    names = {*ALWAYS, *row} - RULES - set(row.get("open", ()))
    expected = {name: meant(name, row.get(name, ALWAYS.get(name))) for name in names}
    expected |= dict.fromkeys(row.get("absent", ()))
    found = [
        f"{name} is {getattr(signal, name)!r}, meant was {value!r}"
        for name, value in sorted(expected.items())
        if getattr(signal, name) != value
    ]
    text = told(signal)
    found += [f"{word} is lost in silence" for word in row.get("kept", ()) if word.lower().replace("_", "") not in text]
    if row.get("repaired") and not signal.repairs:
        found.append("it was mended, but does not say so")
    return found


def verdict(row: Mapping[str, Any], reading: Reading) -> list[str]:
    """What is wrong with a reading, in words; empty when it is right."""
    allowed = [*row.get("refused", ()), *row.get("or_refused", ())]
    if reading.signal is None:
        assert reading.refusal is not None, "a reading is a signal or a refusal"
        code = reading.refusal.code
        return [] if code in allowed else [f"refused with {code}, allowed is {allowed or 'no refusal'}"]
    if "refused" in row:
        return [f"understood as {reading.signal.event}, must be refused with one of {allowed}"]
    return differences(row, reading.signal)


def test_table_is_complete(bodies: Mapping[str, bytes]) -> None:
    """The table has one row for every sample and none besides."""
    assert sorted(TABLE) == sorted(bodies)


def test_rows_are_well_formed() -> None:
    """Every row says either what is meant or how it is refused, in words and values that the test knows."""
    for sample, row in TABLE.items():
        assert set(row) <= {*ALWAYS, *NUMBERS, *TIMES, *WORDS, *RULES}, sample
        assert ("event" in row) != ("refused" in row), sample
        assert "event" not in row or Event(row["event"]), sample
        assert all(meant(name, value) is not None for name, value in row.items() if name not in RULES), sample
        assert {*row.get("refused", ()), *row.get("or_refused", ())} <= set(REFUSALS), sample
        assert row.get("describes_order", True) or "refused" in row, sample


@pytest.mark.parametrize("sample", TABLE)
def test_sample_means_what_its_author_meant(sample: str, bodies: Mapping[str, bytes]) -> None:
    """The alert becomes exactly the signal of its row, or is refused with a code that its row allows."""
    assert verdict(TABLE[sample], read_alert(bodies[sample])) == []


def test_most_orders_are_understood(bodies: Mapping[str, bytes]) -> None:
    """At least three quarters of the bodies that describe an order are understood. Prints the summary (pytest -s)."""
    readings = {sample: read_alert(body) for sample, body in bodies.items()}
    print("\n" + summary(readings))
    orders = [sample for sample, row in TABLE.items() if row.get("describes_order", True)]
    understood = [sample for sample in orders if readings[sample].signal is not None]
    print(f"{len(understood)} of the {len(orders)} bodies that describe an order are understood.")
    assert len(understood) >= 0.75 * len(orders)


def summary(readings: Mapping[str, Reading]) -> str:
    """How many alerts of each family were understood and how many refused, by code, as a Markdown table."""
    lines = ["| family | alerts | understood | refused |", "|---|---:|---:|---|"]
    for family, rows in {**SECTIONS, "all": TABLE}.items():
        refusals = [reading.refusal.code for sample in rows if (reading := readings[sample]).refusal is not None]
        codes = ", ".join(f"{code} {count}" for code, count in sorted(Counter(refusals).items()))
        lines.append(f"| {family} | {len(rows)} | {len(rows) - len(refusals)} | {codes} |")
    return "\n".join(lines)
