"""Which halts reach which task."""

import pytest

from eventrouter.domain.controls import Control, standing_of
from eventrouter.domain.risk_inputs import Standing

ACTIVE, REDUCING, HALTED = Standing.ACTIVE, Standing.REDUCING, Standing.HALTED


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], ACTIVE),
        ([("all", "halt", 1)], HALTED),
        ([("all", "halt", 1), ("all", "resume", 2)], ACTIVE),
        ([("all", "resume", 2), ("all", "halt", 1)], ACTIVE),
        ([("all", "flatten", 1)], REDUCING),
        ([("all", "halt", 1), ("all", "flatten", 2)], REDUCING),
        ([("account:one", "reduce", 1)], REDUCING),
        ([("account:One", "halt", 1)], ACTIVE),
        ([("account:two", "halt", 1)], ACTIVE),
        ([("strategy:trend", "halt", 1)], HALTED),
        ([("strategy:TREND", "halt", 1)], HALTED),
        ([("strategy:TREND", "halt", 1), ("strategy:trend", "resume", 2)], ACTIVE),
        ([("strategy:other", "halt", 1)], ACTIVE),
        ([("account:one", "reduce", 1), ("strategy:Trend", "halt", 2)], HALTED),
        ([("all", "halt", 1), ("account:one", "resume", 2)], HALTED),
        ([("account:one", "something new", 1)], HALTED),
    ],
)
def test_the_strictest_of_all_account_and_strategy_counts(rows: list[tuple[str, str, int]], expected: Standing) -> None:
    """A resume ends the halt of its own scope only, and of one scope the latest row counts."""
    assert standing_of([Control(*row) for row in rows], "one", "Trend") is expected


def test_a_task_without_a_strategy_is_reached_by_no_strategys_halt() -> None:
    """A row that SQL enqueued belongs to its account alone."""
    assert standing_of([Control("strategy:trend", "halt", 1)], "one", None) is ACTIVE
