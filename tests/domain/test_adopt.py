"""When an order that was found is ours, and what a look-up makes of its task."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from eventrouter.domain.adopt import CLOCKS_APART, agrees
from eventrouter.domain.broker import BrokerOrder, OrderSide, OrderState
from eventrouter.domain.lookups import LOOK_AGAIN_S, UnknownTask, is_change, resolve
from eventrouter.domain.orders import Absent, Accepted, Answer, LookUp, Rejected
from eventrouter.domain.retry import MOST_ATTEMPTS
from eventrouter.domain.tasks import LogEntry, Status, is_legal

SENT = datetime(2026, 11, 23, 15, tzinfo=UTC)
ORDER = BrokerOrder(
    id="7",
    account="one",
    contract="CON.F.US.MNQ.Z26",
    client_order_id="id",
    side=OrderSide.BUY,
    quantity=Decimal(2),
    state=OrderState.WORKING,
    filled=Decimal(0),
    average_price=None,
    created_at=SENT,
)
INTENT: dict[str, Any] = {"contract": "CON.F.US.MNQ.Z26", "quantity": "2", "direction": "LONG"}
TASK = UnknownTask(
    id=1,
    version=3,
    trade_id="t",
    account="one",
    client_order_id="id",
    received_at=SENT,
    event_type="ENTRY",
    opening=True,
    attempts=1,
    expires_at=SENT + timedelta(seconds=60),
    first_sent_at=SENT,
    intent=INTENT,
    absences=0,
    due_in_s=0.0,
    now=SENT + timedelta(seconds=20),
)
UNPROVEN = Absent(proven=False, message="None.")


def compare(order: BrokerOrder = ORDER, intent: dict[str, Any] | None = None, event_type: str = "ENTRY") -> str | None:
    """The verdict for an order of account `one`."""
    return agrees(order, INTENT if intent is None else intent, account="one", event_type=event_type, first_sent_at=SENT)


@pytest.mark.parametrize(
    ("order", "intent", "event_type"),
    [
        (ORDER, INTENT, "ENTRY"),
        (ORDER, {**INTENT, "quantity": "2.0"}, "ADD"),
        (ORDER, {**INTENT, "quantity": 2}, "ENTRY"),
        (ORDER, {**INTENT, "contract": {"id": "CON.F.US.MNQ.Z26", "name": "MNQZ6"}}, "ENTRY"),
        (ORDER, {**INTENT, "direction": "SHORT"}, "EXIT_SL"),
        (ORDER, {**INTENT, "direction": "SHORT"}, "REDUCE"),
        (ORDER, {**INTENT, "direction": "SHORT", "side": "BUY"}, "ENTRY"),
        (replace(ORDER, side=OrderSide.SELL), {**INTENT, "direction": "SHORT"}, "ENTRY"),
        (replace(ORDER, side=OrderSide.SELL), INTENT, "EXIT"),
        (replace(ORDER, created_at=SENT - CLOCKS_APART), INTENT, "ENTRY"),
        (replace(ORDER, created_at=SENT + timedelta(days=1)), INTENT, "ENTRY"),
        (ORDER, {}, "ENTRY"),
    ],
)
def test_an_order_that_agrees(order: BrokerOrder, intent: dict[str, Any], event_type: str) -> None:
    """Numbers by value, a close on the other side, and a clock that is a little behind; what is not said is not compared."""
    assert compare(order, intent, event_type) is None


@pytest.mark.parametrize(
    ("order", "intent", "event_type", "says"),
    [
        (replace(ORDER, account="two"), INTENT, "ENTRY", "its account is two instead of one"),
        (replace(ORDER, contract="CON.F.US.NQ.Z26"), INTENT, "ENTRY", "its contract is CON.F.US.NQ.Z26"),
        (replace(ORDER, side=OrderSide.SELL), INTENT, "ENTRY", "its side is SELL instead of BUY"),
        (ORDER, INTENT, "EXIT", "its side is BUY instead of SELL"),
        (ORDER, {**INTENT, "side": "SELL"}, "ENTRY", "its side is BUY instead of SELL"),
        (replace(ORDER, quantity=Decimal(3)), INTENT, "ENTRY", "its quantity is 3 instead of 2"),
        (ORDER, {**INTENT, "quantity": "two"}, "ENTRY", "its quantity is 2 instead of two"),
        (replace(ORDER, created_at=SENT - timedelta(seconds=61)), INTENT, "ENTRY", "before the first intent"),
    ],
)
def test_an_order_that_does_not(order: BrokerOrder, intent: dict[str, Any], event_type: str, says: str) -> None:
    """One sentence names the order and each difference."""
    found = compare(order, intent, event_type)
    assert found is not None
    assert found.startswith("Order 7 bears this id, but ")
    assert says in found


def found_in(found: LookUp, *, refuses: bool = True, **changes: Any) -> LogEntry:
    """What a look-up of the task adds to its log; always a legal row."""
    entry = resolve(replace(TASK, **changes), found, refuses_repeated_ids=refuses)
    assert is_legal(Status.UNKNOWN, entry.status)
    assert (entry.task_id, entry.version) == (1, 3)
    return entry


def test_an_order_that_is_ours_is_adopted() -> None:
    """Working or filled it is ACCEPTED, with the broker's id: its fills end it. Ended without one it is FAILED."""
    for done in (False, True):
        entry = found_in(Accepted(Answer(200), done=done, order_id="7", order=ORDER))
        assert (entry.status, entry.reason, entry.detail["order_id"]) == (Status.ACCEPTED, "FOUND", "7")
    assert found_in(Accepted(Answer(200), done=True)).status == Status.SUCCESS
    rejected = found_in(Rejected(Answer(200), "No margin.", order=ORDER))
    assert (rejected.status, rejected.reason, rejected.detail["order_id"]) == (Status.FAILED, "FOUND_REJECTED", "7")


@pytest.mark.parametrize("kind", ["accepted", "rejected"])
def test_an_order_that_is_not_ours_is_a_persons(kind: str) -> None:
    """The row says why, and what was found."""
    other = replace(ORDER, quantity=Decimal(9))
    found: LookUp = Rejected(Answer(200), "No.", order=other)
    if kind == "accepted":
        found = Accepted(Answer(200), done=False, order_id="7", order=other)
    entry = found_in(found)
    assert (entry.status, entry.reason) == (Status.REVIEW, "NOT_OURS")
    assert "its quantity is 9 instead of 2" in (entry.message or "")
    assert entry.detail["order"]["quantity"] == "9"


@pytest.mark.parametrize("refuses", [True, False])
def test_what_is_not_found_is_looked_up_again_later(refuses: bool) -> None:
    """Five times, each time after a longer pause: an order may become visible late."""
    for absences, wait_s in enumerate(LOOK_AGAIN_S):
        entry = found_in(UNPROVEN, refuses=refuses, absences=absences)
        assert (entry.status, entry.reason, entry.run_in_s) == (Status.UNKNOWN, "NOT_FOUND", wait_s)


@pytest.mark.parametrize(
    ("refuses", "changes", "status"),
    [
        (True, {}, Status.PENDING),
        (True, {"expires_at": None}, Status.PENDING),
        (True, {"now": SENT + timedelta(seconds=60)}, Status.REVIEW),
        (True, {"attempts": MOST_ATTEMPTS}, Status.REVIEW),
        (True, {"opening": False, "event_type": "EXIT", "now": SENT + timedelta(days=1)}, Status.PENDING),
        (True, {"opening": False, "event_type": "EXIT", "attempts": 100}, Status.PENDING),
        (False, {}, Status.REVIEW),
        (False, {"opening": False, "event_type": "EXIT"}, Status.REVIEW),
    ],
)
def test_after_the_last_look_up(refuses: bool, changes: dict[str, Any], status: Status) -> None:
    """Sent again under the same id only where the broker refuses a repeat, an entry only while it is fresh."""
    assert found_in(UNPROVEN, refuses=refuses, absences=len(LOOK_AGAIN_S), **changes).status == status


def test_a_proven_absence_needs_no_second_look() -> None:
    """Nothing can have left."""
    assert found_in(Absent(proven=True, message="Simulated."), refuses=False).status == Status.PENDING


def test_what_changes_working_orders() -> None:
    """A cancel and a stop's price; never an order."""
    events = ("ENTRY", "ADD", "EXIT", "EXIT_SL", "REDUCE", "CANCEL", "MOVE_STOP")
    assert [event for event in events if is_change(event)] == ["CANCEL", "MOVE_STOP"]
