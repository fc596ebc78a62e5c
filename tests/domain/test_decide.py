"""What a router does with the tasks that it has just locked."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventrouter.domain.decide import Decisions, DueTask, TradeFacts, decide
from eventrouter.domain.tasks import Status, is_legal

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
SENT = ("SENDING", "INTENT")


def facts(trade: Sequence[tuple[int, str, bool]]) -> TradeFacts:
    """What the database says of a trade with these tasks: id, status, opening."""
    done = [(other, opening) for other, status, opening in trade if status in ("SUCCESS", "ACCEPTED")]
    undecided = [
        other
        for other, status, opening in trade
        if status == "SENDING" or (not opening and status in ("UNKNOWN", "REVIEW"))
    ]
    exits = [(other, status) for other, status, opening in trade if not opening and status != "CANCELLED"]
    return TradeFacts(
        sending=next(iter(undecided), None),
        closed=next((other for other, opening in done if not opening), None),
        opened=next(((other, "MES1!") for other, opening in done if opening), None),
        exit=next(iter(exits), None),
        unsent=tuple(
            (other, other + 100) for other, status, opening in trade if opening and status in ("PENDING", "HELD")
        ),
        entries=tuple((other, status) for other, status, opening in trade if opening),
    )


def due(task_id: int, event_type: str = "ENTRY", *trade: tuple[int, str, bool], **more: Any) -> DueTask:
    """A pending task, made a minute ago; `trade` names its siblings: id, status, opening."""
    values: dict[str, Any] = {
        "version": task_id + 100,
        "trade_id": "T",
        "opening": not event_type.startswith("EXIT"),
        "attempts": 0,
        "payload": {"symbol": "MNQ1!", "direction": "LONG"},
        "account": "paper",
        "lane": "paper/NQ",
        "mode": "dry",
        "client_order_id": f"order{task_id}",
        "expires_at": None,
        "created_at": NOW - timedelta(minutes=1),
        "received_at": NOW - timedelta(minutes=1),
        "trade": facts(trade),
    }
    return DueTask(id=task_id, event_type=event_type, **{**values, **more})


def decided(tasks: Sequence[DueTask], *, limit: int = 20, dry_run: bool = True) -> Decisions:
    """The decisions now."""
    return decide(tasks, now=NOW, dry_run=dry_run, lease_s=30.0, limit=limit)


def outcome(decisions: Decisions) -> dict[int, tuple[str, str]]:
    """Task → status and reason."""
    entries = [*decisions.others, *(send.entry for send in decisions.sends)]
    return {entry.task_id: (str(entry.status), entry.reason) for entry in entries}


def test_entry_is_sent() -> None:
    """A due entry becomes an intent with a lease, the order's id and the hash of what will be asked."""
    (send,) = decided([due(1)]).sends
    assert (send.entry.status, send.entry.reason, send.entry.version, send.entry.lease_s) == (*SENT, 101, 30.0)
    assert (send.order.action, send.order.client_order_id, send.order.account) == ("OPEN", "order1", "paper")
    assert send.entry.detail == {"request_hash": send.order.request_hash(), "client_order_id": "order1"}


@pytest.mark.parametrize("claimed", [True, False])
@pytest.mark.parametrize("status", ["PENDING", "HELD"])
def test_exit_overtakes_unsent_entry(status: str, claimed: bool) -> None:
    """An exit cancels its trade's unsent entry, whether or not that was claimed with it, and is denied itself."""
    entry = [due(1, "ENTRY", (2, "PENDING", False))] if claimed and status == "PENDING" else []
    found = outcome(decided([*entry, due(2, "EXIT_SL", (1, status, True))]))
    assert found == {1: ("CANCELLED", "EXIT_OVERTOOK"), 2: ("DENIED", "NOTHING_TO_CLOSE")}


def test_cancelled_entry_is_named_at_its_version() -> None:
    """The overtaken entry is cancelled at the version that was seen, so that a change in between is noticed."""
    (cancelled, _denied) = decided([due(2, "EXIT_SL", (1, "PENDING", True))]).others
    assert (cancelled.task_id, cancelled.version) == (1, 101)


@pytest.mark.parametrize("status", ["SUCCESS", "ACCEPTED"])
def test_exit_closes_what_is_open(status: str) -> None:
    """An exit is sent when an entry of its trade was executed, and cancels the ones that were not sent yet."""
    found = decided([due(3, "EXIT_SL", (1, status, True), (2, "PENDING", True))])
    assert outcome(found) == {3: SENT, 2: ("CANCELLED", "EXIT_OVERTOOK")}
    assert found.sends[0].order.action == "CLOSE"


@pytest.mark.parametrize(
    ("trade", "said"),
    [
        ([], "has no entry"),
        ([(1, "CANCELLED", True)], "task 1 was CANCELLED"),
        ([(1, "UNKNOWN", True)], "task 1 was UNKNOWN"),
        ([(1, "SUCCESS", True), (2, "SUCCESS", False)], "closed by task 2"),
        ([(1, "SUCCESS", True), (2, "ACCEPTED", False)], "closed by task 2"),
    ],
)
def test_exit_with_nothing_to_close(trade: list[tuple[int, str, bool]], said: str) -> None:
    """An exit without an executed entry, or after another exit, is denied with a sentence that says why."""
    (denied,) = decided([due(9, "EXIT_SL", *trade)]).others
    assert (denied.status, denied.reason) == ("DENIED", "NOTHING_TO_CLOSE")
    assert said in (denied.message or "")


def test_second_exit_waits() -> None:
    """Of two exits of one trade only the first is sent; nothing is decided about the second yet."""
    entry = (1, "SUCCESS", True)
    exits = [due(2, "EXIT_SL", entry, (3, "PENDING", False)), due(3, "EXIT_BE", entry, (2, "PENDING", False))]
    assert outcome(decided(exits)) == {2: SENT}


@pytest.mark.parametrize("sending", [(1, "SENDING", True), (2, "SENDING", False), (2, "UNKNOWN", False)])
def test_exit_waits_while_its_trade_is_being_sent(sending: tuple[int, str, bool]) -> None:
    """What there is to close is not known while a task of the trade is being sent: the exit is looked at again soon."""
    (waits,) = decided([due(3, "EXIT_SL", sending)]).others
    assert (waits.status, waits.reason) == ("PENDING", "TRADE_UNDECIDED")
    assert waits.run_in_s


@pytest.mark.parametrize("status", sorted({*Status} - {"CANCELLED", "PENDING"}))
def test_entry_after_its_exit(status: str) -> None:
    """An entry whose trade has an exit already is denied: it would open what nobody closes."""
    assert outcome(decided([due(2, "ENTRY", (1, status, False))])) == {2: ("DENIED", "TRADE_CLOSED")}


def test_entry_after_a_withdrawn_exit() -> None:
    """An exit that was cancelled closes no trade."""
    assert outcome(decided([due(2, "ENTRY", (1, "CANCELLED", False))])) == {2: SENT}


@pytest.mark.parametrize(("after_s", "found"), [(-1, SENT), (0, ("EXPIRED", "TOO_OLD")), (60, ("EXPIRED", "TOO_OLD"))])
def test_too_old(after_s: float, found: tuple[str, str]) -> None:
    """An entry past its age limit expires; an exit of any age is sent."""
    limit = NOW - timedelta(seconds=after_s)
    assert outcome(decided([due(1, expires_at=limit)])) == {1: found}
    assert outcome(decided([due(2, "EXIT_SL", (1, "SUCCESS", True), expires_at=limit)])) == {2: SENT}


@pytest.mark.parametrize(("mode", "dry_run"), [("dry", False), ("live", True)])
@pytest.mark.parametrize("event_type", ["ENTRY", "EXIT_SL"])
def test_other_mode(event_type: str, mode: str, dry_run: bool) -> None:
    """A task of the other mode is cancelled, never sent."""
    task = due(2, event_type, (1, "SUCCESS", True), mode=mode)
    assert outcome(decided([task], dry_run=dry_run)) == {2: ("CANCELLED", "MODE_CHANGED")}


@pytest.mark.parametrize("event_type", ["HELLO", "ENTRYX", "EXI", "MOVE_STOP"])
def test_unknown_event(event_type: str) -> None:
    """An event that nobody can execute is denied, naming the events that can."""
    (denied,) = decided([due(1, event_type)]).others
    assert (denied.status, denied.reason) == ("DENIED", "UNKNOWN_EVENT")
    assert "ENTRY or EXIT" in (denied.message or "")


def test_limit_and_order() -> None:
    """At most `limit` tasks are decided about: exits first, each kind in the order given."""
    entries = [due(n, trade_id=f"T{n}") for n in (1, 2, 3)]
    exits = [due(n, "EXIT_SL", (n + 10, "SUCCESS", True), trade_id=f"T{n}") for n in (4, 5)]
    tasks = [entries[0], exits[0], entries[1], exits[1], entries[2]]
    assert [send.task.id for send in decided(tasks).sends] == [4, 5, 1, 2, 3]
    assert [send.task.id for send in decided(tasks, limit=3).sends] == [4, 5, 1]
    assert decided(tasks, limit=0) == Decisions((), ())


EVENTS = st.sampled_from(["ENTRY", "ENTRY", "EXIT_SL", "EXIT", "CANCEL_ALL", "HELLO"])
STATUSES = st.sampled_from(["PENDING", "PENDING", "PENDING", *Status])


@st.composite
def claims(draw: st.DrawFn) -> list[DueTask]:
    """What one claim may hold: pending tasks of a few trades, each with the siblings that the database shows."""
    stored = draw(st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from("xy"), EVENTS, STATUSES), max_size=8))
    mode = draw(st.sampled_from(["dry", "dry", "live"]))
    tasks: list[DueTask] = []
    for task_id, (trade_id, account, event_type, status) in enumerate(stored, start=1):
        if status != "PENDING" or draw(st.integers(0, 3)) == 0:
            continue
        siblings = [
            (other, state, not event.startswith(("EXIT", "CANCEL")))
            for other, (trade, where, event, state) in enumerate(stored, start=1)
            if (trade, where) == (trade_id, account) and other != task_id
        ]
        age = draw(st.sampled_from([None, NOW, NOW + timedelta(seconds=1)]))
        task = due(task_id, event_type, *siblings, trade_id=trade_id, account=account, mode=mode, expires_at=age)
        tasks.append(replace(task, opening=not event_type.startswith(("EXIT", "CANCEL"))))
    return tasks


@given(claims(), st.integers(0, 8))
def test_one_call_decides_once(tasks: list[DueTask], limit: int) -> None:
    """No task is decided about twice, no trade gets an entry and an exit or two exits, every change is legal."""
    decisions = decided(tasks, limit=limit)
    entries = [*decisions.others, *(send.entry for send in decisions.sends)]
    ids = [entry.task_id for entry in entries]
    assert len(ids) == len(set(ids))
    claimed = {task.id for task in tasks}
    unsent = {task_id for task in tasks for task_id, _ in task.trade.unsent}
    for entry in entries:
        assert entry.version == entry.task_id + 100
        assert is_legal(Status.PENDING, entry.status)
        assert entry.task_id in claimed or (entry.status == "CANCELLED" and entry.task_id in unsent)
    closed = [(send.task.account, send.task.trade_id) for send in decisions.sends if not send.task.opening]
    opened = {(send.task.account, send.task.trade_id) for send in decisions.sends if send.task.opening}
    assert len(closed) == len(set(closed))
    assert not opened & set(closed)
    assert len(decisions.sends) <= limit
    for send in decisions.sends:
        assert send.task.mode == "dry"
        assert not send.task.opening or send.task.expires_at is None or send.task.expires_at > NOW


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (None, "JSON object"),
        ({"direction": "UP"}, "LONG or SHORT"),
        ({"quantity": -1}, "greater than zero"),
        ({"quantity": "NaN"}, "greater than zero"),
        ({"entry_price": True}, "greater than zero"),
        ({"stop_loss": "1e400"}, "greater than zero"),
        ({"exit_price": [1]}, "greater than zero"),
    ],
)
def test_a_payload_that_makes_no_order(payload: dict[str, Any] | None, said: str) -> None:
    """SQL can enqueue anything; what could not be an order is denied, whoever enqueued it."""
    (denied,) = decided([due(1, payload=payload)]).others
    assert (denied.status, denied.reason) == ("DENIED", "BAD_PAYLOAD")
    assert said in (denied.message or "")


def test_an_exit_closes_what_is_held() -> None:
    """The order names the symbol of the entry that was executed, whatever the exit says."""
    (send,) = decided([due(2, "EXIT_SL", (1, "SUCCESS", True), payload={"symbol": "NQ1!"})]).sends
    assert (send.order.action, send.order.symbol) == ("CLOSE", "MES1!")
