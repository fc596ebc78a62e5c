"""A task whose order the broker shows as filled is not sent again while its fills are still on their way."""

from datetime import UTC, datetime

import pytest

from eventrouter.domain.dead_letters import Retry, RetryFacts, obstacle
from eventrouter.domain.tasks import Status

NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)


def _facts(status: Status, filled: str, state: str) -> RetryFacts:
    return RetryFacts(
        version=5, status=status, event_type="ENTRY", opening=True, trade_id="t1", account="a1", mode="live", payload={},
        client_order_id="X", expires_at=None, received_at=NOW, now=NOW, intent=None, filled={}, working=[], held={},
        differences=None, orders=[["77", "BUY", "2", filled, "MNQ", state]],
    )  # fmt: skip


@pytest.mark.parametrize("status", [Status.FAILED, Status.REVIEW])
@pytest.mark.parametrize(("filled", "state"), [("2", "FILLED"), ("1", "CANCELLED")])
def test_an_order_shown_as_filled_is_not_sent_again(status: Status, filled: str, state: str) -> None:
    """Neither a confirmation nor a flag overrules it."""
    refused = obstacle(9, _facts(status, filled, state), Retry(confirm=9, even_if_old=True, even_if_held=True))
    assert refused is not None
    assert refused[0] == "WOULD_DOUBLE"


def test_an_order_that_ended_without_a_fill_is_in_nobodys_way() -> None:
    """Only what filled counts."""
    assert obstacle(9, _facts(Status.FAILED, "0", "REJECTED"), Retry()) is None
