"""What is read from Postgres for a scrape, and how it is shown. While Postgres is away these have no samples: an old figure would be a lie."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Figures = Mapping[str, Mapping[tuple[str, ...], float]]
"""A figure's name (one of FIGURES) → its label values, in the order of its labels → how much it is."""


class Figure(NamedTuple):
    """What a figure means and what tells its samples apart."""

    sentence: str
    labels: tuple[str, ...] = ()


FIGURES: Mapping[str, Figure] = MappingProxyType(
    {
        "tasks": Figure(
            "Number of tasks that are in a status now, PENDING counted to 50,000 and the others to 10,000; HELD waits for approval.",
            ("status",),
        ),
        "oldest_task_seconds": Figure(
            "Seconds since the oldest task in a status was sent, or enqueued where it never was; 0 without one.",
            ("status",),
        ),
        "dead_letters_open": Figure(
            "Number of dead letters that nobody has resolved, by the status they came to, counted to 10,000 in all.",
            ("status",),
        ),
        "oldest_dead_letter_seconds": Figure(
            "Seconds since the oldest open dead letter came to be one; 0 without one."
        ),
        "halts": Figure(
            "Number of scopes (all, an account, a strategy) whose latest control is this one.", ("action",)
        ),
        "account_out_of_sync": Figure(
            "1 while the broker holds something else than our book of a configured account says, else 0.", ("account",)
        ),
        "contracts_held": Figure(
            "Number of contracts that the trades of a configured account hold, all sides added up.", ("account", "mode")
        ),
        "seal_age_seconds": Figure("Seconds since history was last sealed; nothing is sealed while nothing happens."),
        "unsealed_seconds": Figure("Seconds since the oldest log row that no seal covers was written; 0 without one."),
        "oldest_transaction_seconds": Figure(
            "Seconds since the oldest open transaction in this database began; it keeps dead rows alive."
        ),
        "sessions_hidden": Figure(
            "Number of sessions whose transactions the owner of the schema may not see (grant it pg_read_all_stats)."
        ),
        "table_live_rows": Figure("Number of rows of a table, as Postgres estimates them.", ("table",)),
        "table_dead_rows": Figure("Number of dead rows of a table that a vacuum has to remove.", ("table",)),
        "table_last_autovacuum_timestamp_seconds": Figure(
            "Seconds since 1970 when a table was last autovacuumed; 0 where it never was.", ("table",)
        ),
        "schema_info": Figure("1 while this migration is the latest one applied.", ("migration",)),
        "migrations_pending": Figure("Number of migrations of this version that the database lacks."),
    }
)


class FiguresCollector(Collector):
    """Shows the figures that were read last; none before the first reading and after a failed one."""

    def __init__(self) -> None:
        self.shown: Figures = {}

    def collect(self) -> Iterable[Metric]:
        """One gauge for each of FIGURES, in their order, with a sample for each known value."""
        for name, (sentence, labels) in FIGURES.items():
            family = GaugeMetricFamily(f"eventrouter_{name}", sentence, labels=labels)
            for values, value in self.shown.get(name, {}).items():
                family.add_metric(values, value)
            yield family
