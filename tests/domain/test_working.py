"""What an order's news and its fills do to a task, and which trades an execution belongs to."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventrouter.domain.broker import OrderSide, OrderState
from eventrouter.domain.holdings import (
    FOREIGN,
    NOBODY,
    Execution,
    Holding,
    Holdings,
    Owner,
    Valued,
    contract_name,
    root_of_contract,
    valued,
)
from eventrouter.domain.tasks import Status, is_legal
from eventrouter.domain.working import (
    WorkingTask,
    ended,
    fill_row,
    lacks_fills,
    partly_filled,
    turned_up,
    unknown_to_broker,
)

NOW = datetime(2026, 11, 23, 15, tzinfo=UTC)
MNQ = "CON.F.US.MNQ.Z26"
BUY, SELL = OrderSide.BUY, OrderSide.SELL


def working(
    state: OrderState,
    recorded: int,
    shown: int | None = None,
    *,
    ordered: int = 3,
    status: Status = Status.ACCEPTED,
    cancel_asked: bool = False,
) -> WorkingTask:
    """A task of version 4 whose order is shown as so much filled, by default as much as is recorded."""
    seen = Decimal(recorded if shown is None else shown)
    return WorkingTask(7, 4, status, "9", state, Decimal(ordered), seen, Decimal(recorded), cancel_asked)


ENDS = [
    (working(OrderState.WORKING, 0), None),
    (working(OrderState.WORKING, 3), None),
    (working(OrderState.UNCLEAR, 3), None),
    (working(OrderState.FILLED, 3), (Status.SUCCESS, "FILLED")),
    (working(OrderState.FILLED, 2, 3), None),
    (working(OrderState.FILLED, 2, 2), None),
    (working(OrderState.CANCELLED, 1), (Status.SUCCESS, "PARTIAL")),
    (working(OrderState.CANCELLED, 1, cancel_asked=True), (Status.SUCCESS, "PARTIAL")),
    (working(OrderState.CANCELLED, 1, 2), None),
    (working(OrderState.EXPIRED, 2), (Status.SUCCESS, "PARTIAL")),
    (working(OrderState.REJECTED, 1), (Status.SUCCESS, "PARTIAL")),
    (working(OrderState.CANCELLED, 0, cancel_asked=True), (Status.CANCELLED, "CANCELLED")),
    (working(OrderState.CANCELLED, 0), (Status.FAILED, "CANCELLED_AT_BROKER")),
    (working(OrderState.EXPIRED, 0), (Status.FAILED, "EXPIRED_AT_BROKER")),
    (working(OrderState.REJECTED, 0, cancel_asked=True), (Status.FAILED, "REJECTED_LATE")),
]


@pytest.mark.parametrize(("task", "expected"), ENDS)
def test_how_an_accepted_task_ends(task: WorkingTask, expected: tuple[Status, str] | None) -> None:
    """Never before the fills that the broker shows are recorded; always by a legal change, told in a sentence."""
    entry = ended(task)
    assert (entry and (entry.status, entry.reason)) == expected
    if entry is not None:
        assert is_legal(task.status, entry.status)
        assert entry.message
        assert (entry.task_id, entry.version) == (7, 4)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.ACCEPTED])
def test_only_an_accepted_task_follows_its_order(status: Status) -> None:
    """All others have somebody else who looks, or are done."""
    for state in OrderState:
        assert ended(working(state, 3, status=status)) is None
        assert unknown_to_broker(working(state, 0, status=status)) is None
        assert partly_filled(working(state, 1, status=status), Decimal(0)) is None


def test_missing_fills_are_noticed() -> None:
    """Also where the broker says FILLED before it shows how much."""
    assert lacks_fills(working(OrderState.WORKING, 0, 1))
    assert lacks_fills(working(OrderState.FILLED, 2, 2))
    assert not lacks_fills(working(OrderState.CANCELLED, 2, 2))


def test_a_part_is_told_once() -> None:
    """When what is shown grew, and the rest works on."""
    entry = partly_filled(working(OrderState.WORKING, 0, 1), Decimal(0))
    assert entry is not None
    assert (entry.status, entry.reason) == (Status.ACCEPTED, "PARTIALLY_FILLED")
    assert partly_filled(working(OrderState.WORKING, 0, 1), Decimal(1)) is None
    assert partly_filled(working(OrderState.FILLED, 0, 3), Decimal(0)) is None


def test_an_order_that_is_gone_is_unknown() -> None:
    """It is looked up."""
    entry = unknown_to_broker(working(OrderState.WORKING, 0))
    assert entry is not None
    assert is_legal(Status.ACCEPTED, entry.status)
    assert entry.status == Status.UNKNOWN


def execution(
    side: OrderSide,
    quantity: int | str,
    price: str | None = "100",
    *,
    pnl: int | None = None,
    fee: str = "0",
    contract: str = MNQ,
) -> Execution:
    """An execution of MNQ, whose point is worth two dollars."""
    profit = None if pnl is None else Decimal(pnl)
    values = (side, Decimal(quantity), None if price is None else Decimal(price), Decimal(fee), profit, NOW)
    return Execution("a", "f1", "o1", contract, root_of_contract(contract), *values)


def holding(trade: str, quantity: int, average: str | None = "100", *, age: int = 0, contract: str = MNQ) -> Holding:
    """What a trade holds."""
    price = None if average is None else Decimal(average)
    root = root_of_contract(contract)
    return Holding(trade, contract, root, Decimal(quantity), price, NOW - timedelta(hours=age))


ENTRY = Owner(7, "T1", "entry")


@pytest.mark.parametrize(
    ("status", "role", "reason"),
    [
        (Status.ACCEPTED, "entry", "FILL"),
        (Status.SENDING, "entry", "FILL"),
        (Status.SUCCESS, "exit", "FILL"),
        (Status.SUCCESS, "stop", "STOP_FILLED"),
        (Status.SUCCESS, "target", "TARGET_FILLED"),
        (Status.CANCELLED, "stop", "STOP_FILLED"),
        (Status.CANCELLED, "entry", "LATE_FILL"),
        (Status.FAILED, "entry", "LATE_FILL"),
        (Status.DENIED, "exit", "LATE_FILL"),
        (Status.EXPIRED, "entry", "LATE_FILL"),
    ],
)
def test_the_evidence_of_a_fill(status: Status, role: str, reason: str) -> None:
    """It changes no status, and says what it means."""
    (part,) = Holdings().take(execution(BUY, 2, "24000.25"), Owner(7, "T1", role))
    entry = fill_row(part, 4, status)
    assert (entry.status, entry.reason, entry.version) == (status, reason, 4)
    assert str(entry.message).startswith(f"BUY 2 {MNQ} at 24000.25.")


@pytest.mark.parametrize("status", list(Status))
def test_a_fill_proves_an_acceptance(status: Status) -> None:
    """Where nobody knew yet; a sender that still waits for its answer is left alone."""
    entry = turned_up(7, 4, status, "9")
    assert (entry is not None) == (status in (Status.PENDING, Status.UNKNOWN, Status.REVIEW))
    assert entry is None or is_legal(status, entry.status)


def test_roots_of_contracts() -> None:
    """A broker's id, or a symbol."""
    found = [root_of_contract(each) for each in (MNQ, "CON.F.US.ENQ.Z26", "CON.F.US.XYZ.Z26", "MNQZ6", "AAPL", "-", "")]
    assert found == ["MNQ", "NQ", "XYZ", "MNQ", "AAPL", "-", "-"]


def test_names_of_contracts() -> None:
    """A broker's id as people write it; what is no such id stays."""
    given = ["CON.F.US.ENQ.Z26", "CON.F.US.TYA.H27", "CON.F.US.XYZ.Z26", "CON.F.US.MNQ.Z2", "MNQZ6", "ZN1!", "-", ""]
    assert [contract_name(each) for each in given] == ["NQZ6", "ZNH7", *given[2:]]


def test_profit_is_computed_from_the_average_where_the_broker_names_none() -> None:
    """Two dollars a point and contract; what turns a position realises only what it closes."""
    held = Holdings([holding("T1", 2, "100")])
    (part,) = held.take(execution(SELL, 5, "110"), Owner(8, "T1", "exit"))
    assert part.pnl == 40
    assert held.net() == {MNQ: -3}
    assert valued(held.open(), {"MNQ": Decimal(105)}).open_pnl == 30
    assert valued(held.open(), {}) == Valued(Decimal(0), ((MNQ, "no price of MNQ is known"),))


def test_the_brokers_profit_counts() -> None:
    """It nets by its own rule."""
    (part,) = Holdings([holding("T1", 2)]).take(execution(SELL, 2, "110", pnl=38), Owner(8, "T1", "exit"))
    assert part.pnl == 38


def test_nothing_is_made_up() -> None:
    """Without a price, an average or a point value the profit is not known."""
    for held, done in (
        (holding("T1", 1), execution(SELL, 1, None)),
        (holding("T1", 1, None), execution(SELL, 1)),
        (holding("T1", 1, contract="AAPL"), execution(SELL, 1, contract="AAPL")),
    ):
        (part,) = Holdings([held]).take(done, Owner(8, "T1", "exit"))
        assert part.pnl is None


def test_somebody_elses_execution_closes_the_oldest_trades_first() -> None:
    """What is left opens a trade of its own; fee and profit are shared and lose nothing."""
    held = Holdings([holding("new", 2, age=1), holding("old", 1, age=2), holding("short", -4, age=3)])
    parts = held.take(execution(SELL, 5, "110", pnl=50, fee="1.00"), NOBODY)
    assert [(part.part, part.trade_id) for part in parts] == [(1, "old"), (2, "new"), (3, FOREIGN)]
    assert [part.quantity for part in parts] == [1, 2, 2]
    assert sum(part.fee for part in parts) == 1
    assert [part.pnl for part in parts] == [Decimal("16.66"), Decimal("33.34"), None]
    assert held.net() == {MNQ: -6}


def test_a_simulated_exit_fills_what_is_held() -> None:
    """Not more, on the right side, and nothing where nothing is held."""
    held = Holdings([holding("T1", -2)])
    found = held.simulated_close(execution(SELL, 5, contract="MNQ1!"), "T1")
    assert found is not None
    assert (found.side, found.quantity, found.contract) == (BUY, Decimal(2), MNQ)
    assert held.simulated_close(execution(SELL, 5), "T2") is None


@given(
    st.lists(
        st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 5), st.integers(90, 110), st.booleans()), max_size=25
    )
)
def test_position_is_the_sum_of_executions(done: list[tuple[OrderSide, int, int, bool]]) -> None:
    """However they fall to trades; realised and open profit together are what the cash says."""
    held = Holdings()
    net, cash, realised = 0, 0, Decimal(0)
    for side, quantity, price, ours in done:
        parts = held.take(execution(side, quantity, str(price)), ENTRY if ours else NOBODY)
        assert sum(part.quantity for part in parts) == quantity
        signed = quantity if side is BUY else -quantity
        net, cash = net + signed, cash - signed * price
        realised += sum((part.pnl or Decimal(0) for part in parts), Decimal(0))
    assert held.net() == ({MNQ: net} if net else {})
    unrealised = valued(held.open(), {"MNQ": Decimal(100)}).open_pnl
    assert abs(realised + unrealised - 2 * (cash + net * 100)) < Decimal("1e-6")
