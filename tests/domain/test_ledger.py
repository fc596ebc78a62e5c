"""A broker's ledger against the rows of intents."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventrouter.domain.ledger import Intent, check_executions, executions_of

AT = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
ROW: dict[str, Any] = {
    "at": AT.isoformat(),
    "what": "accepted",
    "account": 101,
    "tag": "t",
    "order": 1001,
    "parent": None,
    "contract": "MNQ",
    "side": "BUY",
    "size": 2,
    "price": None,
}
DETAIL = {"request_hash": "h", "client_order_id": "t", "contract": "MNQ", "side": "BUY", "quantity": "2"}


def rules(*rows: dict[str, Any], after_s: float = -1.0, **detail: Any) -> list[str]:
    """The rules that these orders break, given one intent so many seconds after the first."""
    intent = Intent(7, "ENTRY", 101, AT + timedelta(seconds=after_s), {**DETAIL, **detail})
    return [found.rule for found in check_executions(executions_of(rows), {"t": [intent]})]


def test_an_order_with_its_intent() -> None:
    """It is what was asked for, and later; fills and what the broker made by itself are none of it."""
    assert rules(ROW, {**ROW, "what": "filled"}, {**ROW, "order": 1002, "parent": 1001}) == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"tag": "other"}, "executed_without_intent"),
        ({"size": 3}, "executed_otherwise"),
        ({"side": "SELL"}, "executed_otherwise"),
        ({"contract": "NQ"}, "executed_otherwise"),
        ({"account": 102}, "executed_otherwise"),
    ],
)
def test_an_order_that_nobody_asked_for(change: dict[str, Any], rule: str) -> None:
    """Another id, size, side, contract or account."""
    assert rules({**ROW, **change}) == [rule]


def test_an_intent_that_came_too_late() -> None:
    """The order was there before anybody said that it would be sent."""
    assert rules(ROW, after_s=1.0) == ["executed_before_intent"]


def test_an_intent_that_says_nothing() -> None:
    """Without the request's hash nobody knows what was sent."""
    assert rules(ROW, request_hash=None) == ["intent_without_hash"]


def test_two_orders_of_one_id() -> None:
    """However alike they are."""
    assert rules(ROW, {**ROW, "order": 1002}) == ["executed_twice"]
