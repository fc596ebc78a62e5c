"""The published alerts by family: how many are understood, and which codes refuse the others. Run: python -m tests.domain.samples_table."""

import json
from collections import Counter, defaultdict

from eventrouter.domain.parsers import read_alert
from tests.conftest import SHARED

SAMPLES = SHARED / "webhook_samples.jsonl"


def table(lines: list[str]) -> list[str]:
    """One line a family, the largest first; "-" are bodies in no known form."""
    understood: Counter[str] = Counter()
    refused: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line in lines:
        sample = json.loads(line)
        reading = read_alert((sample.get("rendered_body") or sample["body"]).encode())
        family = reading.family or "-"
        understood[family] += reading.signal is not None
        if reading.refusal is not None:
            refused[family][reading.refusal.code] += 1
    totals = {family: understood[family] + refused[family].total() for family in understood}
    return [
        f"{family:<12} {totals[family]:>4} {understood[family]:>4}  "
        + ", ".join(f"{code} {number}" for code, number in refused[family].most_common())
        for family in sorted(totals, key=lambda family: -totals[family])
    ]


if __name__ == "__main__":
    if SAMPLES.exists():
        print(f"{'family':<12} {'all':>4} {'read':>4}  refused by code")
        print("\n".join(table(SAMPLES.read_text("utf-8").splitlines())))
    else:
        print("The published alerts are not here: webhook_samples.jsonl beside the repository.")
