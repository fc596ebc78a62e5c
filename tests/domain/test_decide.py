"""What a router does with the tasks that it has just locked."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventrouter.domain.closing import is_exit
from eventrouter.domain.decide import Decisions, DueTask, decide
from eventrouter.domain.tasks import Status, is_legal
from eventrouter.domain.trade_facts import TradeFacts

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
SENT = ("SENDING", "INTENT")
Sibling = tuple[int, str, str]
OPEN: Sibling = (1, "SUCCESS", "ENTRY")


def opens(event_type: str) -> bool:
    """What the database calls opening."""
    return not event_type.startswith(("EXIT", "CANCEL", "REDUCE", "MOVE_STOP"))


def facts(trade: Sequence[Sibling]) -> TradeFacts:
    """What db/functions/trade_facts.sql says of a trade with these tasks: id, status, event."""
    done = [(other, status, event) for other, status, event in trade if status in ("SUCCESS", "ACCEPTED")]
    undecided = [
        other
        for other, status, event in trade
        if status == "SENDING" or (is_exit(event) and status in ("UNKNOWN", "REVIEW"))
    ]
    exits = [(other, status) for other, status, event in trade if is_exit(event) and status != "CANCELLED"]
    exits.sort(
        key=lambda exit_: exit_[1] in ("SUCCESS", "FAILED", "DENIED", "EXPIRED")
    )  # what is on its way counts first
    return TradeFacts(
        sending=next(iter(undecided), None),
        closed=next(((other, status) for other, status in exits if status == "SUCCESS"), None),
        opened=next(((other, "MES1!") for other, _, event in done if opens(event)), None),
        exit=next(iter(exits), None),
        unsent=tuple(
            (other, other + 100) for other, status, event in trade if opens(event) and status in ("PENDING", "HELD")
        ),
        entries=tuple((other, status) for other, status, event in trade if opens(event)),
    )


def due(task_id: int, event_type: str = "ENTRY", *trade: Sibling, **more: Any) -> DueTask:
    """A pending task, made a minute ago; `trade` names its siblings: id, status, event."""
    values: dict[str, Any] = {
        "version": task_id + 100,
        "trade_id": "T",
        "opening": opens(event_type),
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
    entry = [due(1, "ENTRY", (2, "PENDING", "EXIT"))] if claimed and status == "PENDING" else []
    found = outcome(decided([*entry, due(2, "EXIT_SL", (1, status, "ENTRY"))]))
    assert found == {1: ("CANCELLED", "EXIT_OVERTOOK"), 2: ("DENIED", "NOTHING_TO_CLOSE")}


def test_cancelled_entry_is_named_at_its_version() -> None:
    """The overtaken entry is cancelled at the version that was seen, so that a change in between is noticed."""
    (cancelled, _denied) = decided([due(2, "EXIT_SL", (1, "PENDING", "ENTRY"))]).others
    assert (cancelled.task_id, cancelled.version) == (1, 101)


@pytest.mark.parametrize("status", ["SUCCESS", "ACCEPTED"])
def test_exit_closes_what_is_open(status: str) -> None:
    """An exit is sent when an entry of its trade was executed, and cancels the ones that were not sent yet."""
    found = decided([due(3, "EXIT_SL", (1, status, "ENTRY"), (2, "PENDING", "ENTRY"))])
    assert outcome(found) == {3: SENT, 2: ("CANCELLED", "EXIT_OVERTOOK")}
    assert found.sends[0].order.action == "CLOSE"


@pytest.mark.parametrize(
    ("trade", "said"),
    [
        ([], "has no entry"),
        ([(1, "CANCELLED", "ENTRY")], "task 1 was CANCELLED"),
        ([(1, "UNKNOWN", "ENTRY")], "task 1 was UNKNOWN"),
        ([(1, "SUCCESS", "ENTRY"), (2, "SUCCESS", "EXIT")], "closed by task 2"),
    ],
)
def test_exit_with_nothing_to_close(trade: list[Sibling], said: str) -> None:
    """An exit without an executed entry, or after another exit, is denied with a sentence that says why."""
    (denied,) = decided([due(9, "EXIT_SL", *trade)]).others
    assert (denied.status, denied.reason) == ("DENIED", "NOTHING_TO_CLOSE")
    assert said in (denied.message or "")


def test_second_exit_waits() -> None:
    """Of two exits of one trade only the first is sent; nothing is decided about the second yet."""
    entry = (1, "SUCCESS", "ENTRY")
    exits = [due(2, "EXIT_SL", entry, (3, "PENDING", "EXIT")), due(3, "EXIT_BE", entry, (2, "PENDING", "EXIT"))]
    assert outcome(decided(exits)) == {2: SENT}


@pytest.mark.parametrize("sending", [(1, "SENDING", "ENTRY"), (2, "SENDING", "EXIT"), (2, "UNKNOWN", "EXIT")])
def test_exit_waits_while_its_trade_is_being_sent(sending: Sibling) -> None:
    """What there is to close is not known while a task of the trade is being sent: the exit is looked at again soon."""
    (waits,) = decided([due(3, "EXIT_SL", sending)]).others
    assert (waits.status, waits.reason) == ("PENDING", "TRADE_UNDECIDED")
    assert waits.run_in_s


@pytest.mark.parametrize("status", sorted({*Status} - {"CANCELLED", "PENDING"}))
def test_entry_after_its_exit(status: str) -> None:
    """An entry whose trade has an exit already is denied: it would open what nobody closes."""
    assert outcome(decided([due(2, "ENTRY", (1, status, "EXIT"))])) == {2: ("DENIED", "TRADE_CLOSED")}


def test_entry_after_a_withdrawn_exit() -> None:
    """An exit that was cancelled closes no trade."""
    assert outcome(decided([due(2, "ENTRY", (1, "CANCELLED", "EXIT"))])) == {2: SENT}


@pytest.mark.parametrize(("after_s", "found"), [(-1, SENT), (0, ("EXPIRED", "TOO_OLD")), (60, ("EXPIRED", "TOO_OLD"))])
def test_too_old(after_s: float, found: tuple[str, str]) -> None:
    """An entry past its age limit expires; an exit of any age is sent."""
    limit = NOW - timedelta(seconds=after_s)
    assert outcome(decided([due(1, expires_at=limit)])) == {1: found}
    assert outcome(decided([due(2, "EXIT_SL", (1, "SUCCESS", "ENTRY"), expires_at=limit)])) == {2: SENT}


@pytest.mark.parametrize(("mode", "dry_run"), [("dry", False), ("live", True)])
@pytest.mark.parametrize("event_type", ["ENTRY", "EXIT_SL", "REDUCE", "CANCEL", "MOVE_STOP"])
def test_other_mode(event_type: str, mode: str, dry_run: bool) -> None:
    """A task of the other mode is cancelled, never sent; in a dry run what closes live positions is left as it is."""
    task = due(2, event_type, (1, "SUCCESS", "ENTRY"), mode=mode)
    left = mode == "live" and event_type != "ENTRY"
    assert outcome(decided([task], dry_run=dry_run)) == ({} if left else {2: ("CANCELLED", "MODE_CHANGED")})


@pytest.mark.parametrize("event_type", ["HELLO", "ENTRYX", "EXI", "REVERSE", "FLATTEN", "CANCEL_ALL"])
def test_unknown_event(event_type: str) -> None:
    """An event that nobody can execute is denied, naming the events that can."""
    (denied,) = decided([due(1, event_type)]).others
    assert (denied.status, denied.reason) == ("DENIED", "UNKNOWN_EVENT")
    assert "use ENTRY, ADD, REDUCE, CANCEL, MOVE_STOP or EXIT" in (denied.message or "")


def test_limit_and_order() -> None:
    """At most `limit` tasks are decided about: exits first, each kind in the order given."""
    entries = [due(n, trade_id=f"T{n}") for n in (1, 2, 3)]
    exits = [due(n, "EXIT_SL", (n + 10, "SUCCESS", "ENTRY"), trade_id=f"T{n}") for n in (4, 5)]
    tasks = [entries[0], exits[0], entries[1], exits[1], entries[2]]
    assert [send.task.id for send in decided(tasks).sends] == [4, 5, 1, 2, 3]
    assert [send.task.id for send in decided(tasks, limit=3).sends] == [4, 5, 1]
    assert decided(tasks, limit=0) == Decisions((), ())


EVENTS = st.sampled_from(
    ["ENTRY", "ENTRY", "ADD", "EXIT_SL", "EXIT", "REDUCE", "MOVE_STOP", "CANCEL", "CANCEL_ALL", "HELLO"]
)
STATUSES = st.sampled_from(["PENDING", "PENDING", "PENDING", *Status])


@st.composite
def claims(draw: st.DrawFn) -> list[DueTask]:
    """What one claim may hold: pending tasks of a few trades, each with the siblings that the database shows."""
    stored = draw(st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from("xy"), EVENTS, STATUSES), max_size=8))
    mode = draw(st.sampled_from(["dry", "dry", "live"]))

    def trade_of(wanted: str, account: str, but: int) -> list[Sibling]:
        return [
            (other, state, event)
            for other, (trade, where, event, state) in enumerate(stored, start=1)
            if (trade, where) == (wanted, account) and other != but
        ]

    tasks: list[DueTask] = []
    for task_id, (trade_id, account, event_type, status) in enumerate(stored, start=1):
        if status != "PENDING" or draw(st.integers(0, 3)) == 0:
            continue
        age = draw(st.sampled_from([None, NOW, NOW + timedelta(seconds=1)]))
        trade = facts(trade_of(trade_id, account, task_id))
        if event_type == "ENTRY" and trade_id == "B" and draw(st.booleans()):
            trade = replace(trade, after={"A": facts(trade_of("A", account, task_id))})
        more = {"trade_id": trade_id, "account": account, "mode": mode, "expires_at": age, "trade": trade}
        tasks.append(due(task_id, event_type, **more))
    return tasks


@given(claims(), st.integers(0, 8))
def test_one_call_decides_once(tasks: list[DueTask], limit: int) -> None:
    """No task is decided about twice, of a trade at most one thing is sent beside its entries, every change is legal."""
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
    sent = [(send.task.account, send.task.trade_id, send.task.event_type) for send in decisions.sends]
    others = [trade for *trade, event in sent if event != "ENTRY"]
    assert len(others) == len({tuple(trade) for trade in others})
    closed = {(account, trade) for account, trade, event in sent if is_exit(event)}
    assert not closed & {(account, trade) for account, trade, event in sent if opens(event)}
    assert len(decisions.sends) <= limit
    for send in decisions.sends:
        assert send.task.mode == "dry"
        assert not send.task.opening or send.task.expires_at is None or send.task.expires_at > NOW
        assert not any((send.task.account, before) in closed for before in send.task.trade.after)


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
        ({"take_profit": {"value": 1}}, "greater than zero or {value, kind}"),
        ({"take_profit": {"value": 0, "kind": "ticks"}}, "greater than zero"),
        ({"trail": {"value": 1, "kind": "miles"}}, "greater than zero"),
        ({"quantity": {"value": 1, "kind": "ticks"}}, "greater than zero"),
        ({"order_type": "soon"}, "must be market"),
        ({"quantity_kind": "lots"}, "must be fixed"),
    ],
)
def test_a_payload_that_makes_no_order(payload: dict[str, Any] | None, said: str) -> None:
    """SQL can enqueue anything; what could not be an order is denied, whoever enqueued it."""
    (denied,) = decided([due(1, payload=payload)]).others
    assert (denied.status, denied.reason) == ("DENIED", "BAD_PAYLOAD")
    assert said in (denied.message or "")


def test_an_exit_closes_what_is_held() -> None:
    """The order names the symbol of the entry that was executed, whatever the exit says."""
    (send,) = decided([due(2, "EXIT_SL", (1, "SUCCESS", "ENTRY"), payload={"symbol": "NQ1!"})]).sends
    assert (send.order.action, send.order.symbol) == ("CLOSE", "MES1!")


# add, reduce, cancel, move stop


@pytest.mark.parametrize(("event_type", "action"), [("ADD", "OPEN"), ("REDUCE", "REDUCE"), ("MOVE_STOP", "MOVE_STOP")])
def test_what_changes_an_open_trade(event_type: str, action: str) -> None:
    """An open trade can be added to, reduced, and given another stop."""
    (send,) = decided([due(2, event_type, OPEN)]).sends
    assert (send.entry.reason, send.order.action) == ("INTENT", action)


@pytest.mark.parametrize(
    ("event_type", "reason"),
    [("ADD", "NOTHING_OPEN"), ("REDUCE", "NOTHING_TO_CLOSE"), ("MOVE_STOP", "NOTHING_OPEN")],
)
@pytest.mark.parametrize("trade", [[], [(1, "DENIED", "ENTRY")], [(1, "EXPIRED", "ENTRY")]])
def test_nothing_to_change(event_type: str, reason: str, trade: list[Sibling]) -> None:
    """Without an executed entry there is nothing to add to, to reduce or to protect."""
    assert outcome(decided([due(2, event_type, *trade)])) == {2: ("DENIED", reason)}


@pytest.mark.parametrize(
    ("event_type", "found"),
    [
        ("ADD", ("DENIED", "TRADE_CLOSED")),
        ("REDUCE", ("DENIED", "NOTHING_TO_CLOSE")),
        ("MOVE_STOP", ("DENIED", "NOTHING_OPEN")),
        ("CANCEL", ("DENIED", "NOTHING_TO_CANCEL")),
    ],
)
def test_nothing_changes_a_closed_trade(event_type: str, found: tuple[str, str]) -> None:
    """What comes after a trade's exit is denied."""
    assert outcome(decided([due(3, event_type, OPEN, (2, "SUCCESS", "EXIT"))])) == {3: found}


@pytest.mark.parametrize("before", ["REDUCE", "MOVE_STOP", "CANCEL", "ADD"])
def test_only_an_exit_closes_a_trade(before: str) -> None:
    """A trade that was reduced, added to or given another stop can be closed and reduced again."""
    trade = [OPEN, (2, "SUCCESS", before)]
    assert outcome(decided([due(3, "EXIT", *trade)])) == {3: SENT}
    assert outcome(decided([due(3, "REDUCE", *trade)])) == {3: SENT}


@pytest.mark.parametrize("event_type", ["REDUCE", "MOVE_STOP"])
def test_a_change_waits_for_its_entry(event_type: str) -> None:
    """While the entry before it is unsent, a change waits and does not cancel it; for a later entry it does not wait."""
    (waits,) = decided([due(2, event_type, (1, "PENDING", "ENTRY"))]).others
    assert (waits.task_id, waits.status, waits.reason) == (2, "PENDING", "WAITS_FOR_ENTRY")
    assert waits.run_in_s
    (denied,) = decided([due(2, event_type, (3, "PENDING", "ENTRY"))]).others
    assert (denied.task_id, denied.status) == (2, "DENIED")


def test_a_cancel_withdraws_what_waits() -> None:
    """Unsent entries that came before the cancel are cancelled, a later one is not; the broker is asked as well."""
    trade = [(1, "PENDING", "ENTRY"), (2, "HELD", "ADD"), (4, "PENDING", "ENTRY")]
    found = decided([due(3, "CANCEL", *trade)])
    withdrawn = ("CANCELLED", "CANCELLED_BY_ALERT")
    assert outcome(found) == {1: withdrawn, 2: withdrawn, 3: SENT}
    assert [send.order.action for send in found.sends] == ["CANCEL"]


@pytest.mark.parametrize("trade", [[], [OPEN], [(4, "PENDING", "ENTRY")]])
def test_nothing_to_cancel(trade: list[Sibling]) -> None:
    """A cancel touches no open position and nothing that came after it."""
    assert outcome(decided([due(3, "CANCEL", *trade)])) == {3: ("DENIED", "NOTHING_TO_CANCEL")}


def test_one_thing_at_a_time_for_a_trade() -> None:
    """Of a reduce and an exit of one trade only the first is sent now; an add waits for either."""
    tasks = [due(2, "REDUCE", OPEN), due(3, "EXIT", OPEN), due(4, "ADD", OPEN)]
    assert outcome(decided(tasks)) == {2: SENT}
    assert outcome(decided([tasks[0], tasks[2]])) == {2: SENT}


# a reversal's opening half


def after(*trade: Sibling, **more: Any) -> DueTask:
    """The entry of trade N, task 9, which follows the exit of trade T."""
    return due(9, "ENTRY", trade_id="N", **{"trade": TradeFacts(after={"T": facts(trade)}), **more})


EXIT_STATUS = {
    "PENDING": ("PENDING", "WAITS_FOR_EXIT"),
    "HELD": ("PENDING", "WAITS_FOR_EXIT"),
    "SENDING": ("PENDING", "WAITS_FOR_EXIT"),
    "UNKNOWN": ("PENDING", "WAITS_FOR_EXIT"),
    "REVIEW": ("PENDING", "WAITS_FOR_EXIT"),
    "ACCEPTED": ("PENDING", "WAITS_FOR_EXIT"),
    "SUCCESS": SENT,
    "FAILED": ("DENIED", "NOT_FLAT"),
    "DENIED": ("DENIED", "NOT_FLAT"),
    "EXPIRED": ("DENIED", "NOT_FLAT"),
    "CANCELLED": ("DENIED", "NOT_FLAT"),
}


@pytest.mark.parametrize("status", sorted(Status))
def test_an_entry_after_an_exit(status: str) -> None:
    """It goes once the exit is executed, waits while that may still be, and is denied when it was not."""
    decisions = decided([after(OPEN, (2, status, "EXIT_REVERSE"))])
    assert outcome(decisions) == {9: EXIT_STATUS[status]}
    assert all(entry.run_in_s for entry in decisions.others if entry.status == "PENDING")


def test_an_exit_that_failed_before_does_not_hide_one_that_works() -> None:
    """Of several exits the one that is working, or done, counts."""
    failed = (2, "FAILED", "EXIT")
    assert outcome(decided([after(OPEN, failed, (3, "ACCEPTED", "EXIT"))])) == {9: ("PENDING", "WAITS_FOR_EXIT")}
    assert outcome(decided([after(OPEN, failed, (3, "SUCCESS", "EXIT"))])) == {9: SENT}


def test_it_says_which_trade_is_open() -> None:
    """The sentence of a denied entry names the trade, its exit, and what became of that."""
    (failed,) = decided([after(OPEN, (2, "FAILED", "EXIT_REVERSE"))]).others
    (missing,) = decided([after(OPEN)]).others
    assert failed.message == "Trade T, which it reverses, is not closed: its exit (task 2) is FAILED."
    assert missing.message == "Trade T, which it reverses, is not closed: it has no exit."


@pytest.mark.parametrize("trade", [[], [(1, "DENIED", "ENTRY"), (2, "DENIED", "EXIT_REVERSE")]])
def test_a_trade_that_was_never_open_holds_nothing_up(trade: list[Sibling]) -> None:
    """An account that has nothing of the reversed trade is flat, whatever became of the exit."""
    assert outcome(decided([after(*trade)])) == {9: SENT}


@pytest.mark.parametrize("trade", [(1, "PENDING", "ENTRY"), (1, "HELD", "ENTRY"), (1, "SENDING", "ENTRY")])
def test_a_trade_that_may_yet_open_holds_it_up(trade: Sibling) -> None:
    """An entry of the reversed trade that is not sent yet, or being sent, must be dealt with first."""
    assert outcome(decided([after(trade)])) == {9: ("PENDING", "WAITS_FOR_EXIT")}


def test_every_trade_before_it_must_be_closed() -> None:
    """One trade that is still being closed is enough to wait."""
    trades = {"T": facts([OPEN, (2, "SUCCESS", "EXIT")]), "U": facts([(3, "SUCCESS", "ENTRY"), (4, "PENDING", "EXIT")])}
    assert outcome(decided([after(trade=TradeFacts(after=trades))])) == {9: ("PENDING", "WAITS_FOR_EXIT")}
    trades["U"] = facts([(3, "SUCCESS", "ENTRY"), (4, "SUCCESS", "EXIT")])
    assert outcome(decided([after(trade=TradeFacts(after=trades))])) == {9: SENT}


def test_an_exit_and_the_entry_after_it_in_one_batch() -> None:
    """The exit is sent; nothing is said about the entry until it is known what became of that, on its account only."""
    exit_ = due(2, "EXIT_REVERSE", OPEN)
    assert outcome(decided([exit_, after(OPEN, (2, "PENDING", "EXIT_REVERSE"))])) == {2: SENT}
    elsewhere = after(OPEN, (3, "SUCCESS", "EXIT_REVERSE"), account="other")
    assert outcome(decided([exit_, elsewhere])) == {2: SENT, 9: SENT}


def test_a_waiting_entry_grows_old() -> None:
    """Its age limit holds while it waits for the exit."""
    old = after(OPEN, (2, "PENDING", "EXIT_REVERSE"), expires_at=NOW)
    assert outcome(decided([old])) == {9: ("EXPIRED", "TOO_OLD")}


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"order_type": "stop"}, {"order_type": "stop"}),
        ({"stop_loss": {"value": 20, "kind": "ticks"}}, {"stop_loss": "20 ticks"}),
        (
            {"stop_loss": {"value": 1.5, "kind": "percent", "trailing": True}, "take_profit": 5020.25},
            {"stop_loss": "1.5 percent trailing", "take_profit": "5020.25"},
        ),
        ({"quantity": 2, "quantity_kind": "cash"}, {"quantity": "2", "quantity_kind": "cash"}),
        ({"entry_price": 5000, "limit_price": 4999.5}, {"price": "5000", "limit_price": "4999.5"}),
    ],
)
def test_an_order_says_what_its_payload_says(payload: dict[str, Any], said: dict[str, str]) -> None:
    """Prices and sizes go into the order as text, distances with their unit."""
    (send,) = decided([due(1, payload={"direction": "LONG", "symbol": "MES1!", **payload})]).sends
    assert {name: getattr(send.order, name) for name in said} == said
