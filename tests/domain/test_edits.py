"""What of an order is changed when it is sent again: read as an alert is, or refused with what to give instead."""

from datetime import UTC, datetime
from typing import Any

import pytest

from eventrouter.domain.dead_letters import RetryFacts
from eventrouter.domain.edits import edited
from eventrouter.domain.tasks import Status
from eventrouter.errors import ChangeWrong

NOW = datetime(2026, 11, 20, 15, tzinfo=UTC)
LIMIT = {"order_type": "limit", "limit_price": 21000, "stop_loss": 20950}


def facts(payload: dict[str, Any] | None = None, event: str = "ENTRY", *, opening: bool = True) -> RetryFacts:
    """A failed LONG of two MNQ, with this too."""
    order = {"symbol": "MNQZ6", "direction": "LONG", "quantity": 2, **(payload or {})}
    return RetryFacts(
        1, Status.FAILED, event, opening, "T", "a", "live", order, "c", None, NOW, NOW, None, {}, [], {}, None
    )


@pytest.mark.parametrize(
    ("payload", "changes", "expected", "before"),
    [
        ({}, {"quantity": "3"}, {"quantity": "3", "quantity_by_hand": True}, {"quantity": 2}),
        ({"quantity_kind": "cash"}, {"quantity": "3"}, {"quantity_kind": None}, {"quantity_kind": "cash", "quantity": 2}),
        ({}, {"stop_loss": "25 ticks"}, {"stop_loss": {"value": "25", "kind": "ticks"}}, {"stop_loss": None}),
        ({"entry_price": 100}, {"take_profit": "2%"}, {"take_profit": {"value": "2", "kind": "percent"}}, {"take_profit": None}),
        ({}, {"order_type": "LMT", "limit_price": "20990.50"}, {"order_type": "limit"}, {"order_type": None, "limit_price": None}),
        (LIMIT, {"order_type": "market"}, {"limit_price": None}, {"order_type": "limit", "limit_price": 21000}),
        (LIMIT, {"symbol": "MNQH7"}, {"symbol": "MNQH7", "limit_price": 21000}, {"symbol": "MNQZ6"}),
        (LIMIT, {"symbol": "NQ1!", "quantity": "1"}, {"limit_price": 21000}, {"symbol": "MNQZ6", "quantity": 2}),
        ({"entry_price": 21000}, {"symbol": "ES1!", "quantity": "1"}, {"entry_price": None},
         {"symbol": "MNQZ6", "quantity": 2, "entry_price": 21000}),
        (LIMIT, {"symbol": "ES1!", "quantity": "1", "limit_price": "6000", "stop_loss": "5990"}, {"limit_price": "6000"},
         {"symbol": "MNQZ6", "quantity": 2, "limit_price": 21000, "stop_loss": 20950}),
        ({"quantity": 1, "quantity_kind": "risk_percent"}, {"symbol": "ES1!"}, {"quantity": 1}, {"symbol": "MNQZ6"}),
    ],
)  # fmt: skip
def test_a_change(
    payload: dict[str, Any], changes: dict[str, str], expected: dict[str, Any], before: dict[str, Any]
) -> None:
    """The new payload has it, and what it had before is told."""
    made, was = edited(facts(payload), changes)
    assert {name: made.get(name) for name in expected} == expected
    assert was == before


@pytest.mark.parametrize(
    ("payload", "changes", "said"),
    [
        ({}, {"quantity": "NaN"}, "whole number"),
        ({}, {"quantity": "-1"}, "whole number"),
        ({}, {"quantity": "0"}, "greater than zero"),
        ({}, {"quantity": "1" * 20}, "15 digits"),
        ({}, {"quantity": "\u0662"}, "whole number"),
        ({}, {"quantity": ""}, "1 to 40"),
        ({}, {"stop_loss": "NaN"}, "finite"),
        ({}, {"stop_loss": "-20950"}, "no sign"),
        ({}, {"stop_loss": "0"}, "greater than zero"),
        ({}, {"stop_loss": "{{close}}"}, "placeholder"),
        ({}, {"stop_loss": "Infinity"}, "finite"),
        ({}, {"take_profit": "150%"}, "percent"),
        ({"entry_price": 21000}, {"stop_loss": "21010"}, "below the price"),
        (LIMIT, {"limit_price": "20900"}, "below the price"),
        (LIMIT, {"limit_price": "-1"}, "greater than zero"),
        (LIMIT, {"limit_price": "1e400"}, "15 digits"),
        ({}, {"limit_price": "20000"}, "no effect on a market order"),
        ({}, {"order_type": "limit"}, "no limit_price"),
        ({}, {"order_type": "later"}, "understood"),
        ({}, {"symbol": "ES1!"}, "give quantity"),
        ({}, {"symbol": "NQ1!"}, "give quantity"),
        ({}, {"symbol": "MNQF7"}, "is traded in"),
        ({}, {"symbol": "<img src=x>"}, "must look like"),
        ({}, {"symbol": "AAPL 260116C200"}, "option"),
        (LIMIT, {"symbol": "ES1!", "quantity": "1"}, "other prices"),
        ({"stop_loss": 20950}, {"symbol": "ES1!", "quantity": "1", "stop_loss": "5990"}, "give a distance"),
        ({}, {"account": "b"}, "cannot be changed"),
        ({}, {"quantity_by_hand": "1"}, "cannot be changed"),
        ({"order_type": "nonsense"}, {"quantity": "1"}, "order_type is"),
    ],
)
def test_a_wrong_change(payload: dict[str, Any], changes: dict[str, str], said: str) -> None:
    """It is refused, and the sentence says what is wrong."""
    with pytest.raises(ChangeWrong, match=said):
        edited(facts(payload), changes)


def test_what_adds_keeps_its_symbol() -> None:
    """And what closes keeps all."""
    with pytest.raises(ChangeWrong, match="Only the symbol"):
        edited(facts(event="ADD"), {"symbol": "MNQH7"})
    with pytest.raises(ChangeWrong, match="Only an entry"):
        edited(facts(event="EXIT_SL", opening=False), {"quantity": "1"})
