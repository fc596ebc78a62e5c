"""Which trade an alert is about: the rule that pairs exits with entries, alert by alert and over any sequence."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventrouter.domain.signals import Event
from eventrouter.domain.trades import ON_OPPOSITE, Ask, Resolved, Trade, Veto, begun_since, resolve
from eventrouter.errors import SignalRefused

LONG = Trade("L1", "MNQ", "LONG", Decimal(2))
SHORT = Trade("S1", "MNQ", "SHORT", Decimal(2))
OTHER = Trade("E1", "MES", "LONG", Decimal(1))
NAMED = Trade("T7", "MNQ", "LONG", Decimal(5))


def ask(event: str, side: str | None = None, quantity: float | None = None, **more: Any) -> Ask:
    """What an alert for MNQ asks for; `kind` is what its quantity counts, where that is not units."""
    kind = more.pop("kind", None)
    values: dict[str, Any] = {
        "kind": event,
        "symbol": "MNQ1!",
        "strategy": "orb",
        "direction": side,
        "entry_price": 100,
    }
    values |= {"quantity": quantity, "quantity_kind": kind}
    payload = {name: value for name, value in values.items() if value is not None}
    return Ask(event, **{"event_type": event, "payload": payload, "record": {}, "root": "MNQ", "side": side, **more})


def legs(resolved: Resolved) -> list[tuple[str, str]]:
    """Event and trade of each leg."""
    return [(leg.event_type, leg.trade_id) for leg in resolved.legs]


def ambiguous(asked: Ask, *trades: Trade) -> SignalRefused:
    """The refusal of an alert that has more than one meaning."""
    with pytest.raises(SignalRefused) as refused:
        resolve(asked, trades, "NEW")
    assert refused.value.code == "AMBIGUOUS"
    return refused.value


# entries


@pytest.mark.parametrize(
    ("asked", "trades", "began"),
    [
        pytest.param(ask("ENTRY", "LONG", 3), [], Trade("NEW", "MNQ", "LONG", Decimal(3)), id="begins a trade"),
        pytest.param(ask("ENTRY", "LONG"), [], Trade("NEW", "MNQ", "LONG", None), id="of unknown size"),
        pytest.param(ask("ENTRY", "LONG", 3), [LONG], Trade("L1", "MNQ", "LONG", Decimal(5)), id="joins its side"),
        pytest.param(ask("ENTRY", "LONG"), [LONG], Trade("L1", "MNQ", "LONG", None), id="joins, size unknown now"),
        pytest.param(
            ask("ENTRY", "LONG", 3), [LONG, NAMED], Trade("T7", "MNQ", "LONG", Decimal(8)), id="joins the newest"
        ),
        pytest.param(
            ask("ENTRY", "LONG", 3), [OTHER], Trade("NEW", "MNQ", "LONG", Decimal(3)), id="not another product's"
        ),
        pytest.param(
            ask("ENTRY", "SHORT", 1, trade_id="T8"),
            [LONG],
            Trade("T8", "MNQ", "SHORT", Decimal(1)),
            id="named: beside another side",
        ),
        pytest.param(
            ask("ENTRY", "LONG", 1, trade_id="T7"),
            [LONG, NAMED],
            Trade("T7", "MNQ", "LONG", Decimal(6)),
            id="named: makes its trade larger",
        ),
        pytest.param(
            ask("ENTRY", "LONG", 50, kind="cash"), [], Trade("NEW", "MNQ", "LONG", None), id="money is no size"
        ),
        pytest.param(
            ask("ENTRY", "LONG", 1, root=None), [LONG], Trade("NEW", None, "LONG", Decimal(1)), id="no symbol"
        ),
    ],
)
@pytest.mark.parametrize("opposite", ON_OPPOSITE)
def test_an_entry(asked: Ask, trades: list[Trade], began: Trade, opposite: str) -> None:
    """One leg, of the trade that it begins or joins; what a bare word means where nothing stands against it is clear."""
    for bare in (False, True):
        resolved = resolve(Ask(**{**fields(asked), "bare": bare, "opposite": opposite}), trades, "NEW")
        assert legs(resolved) == [("ENTRY", began.trade_id)]
        assert (resolved.began, resolved.ended, resolved.event_type) == (began, (), "ENTRY")
        assert resolved.legs[0].payload == asked.payload


def fields(asked: Ask) -> dict[str, Any]:
    """The values of an ask."""
    return {name: getattr(asked, name) for name in asked.__dataclass_fields__}


# the other side


def test_an_entry_of_the_other_side_reverses() -> None:
    """Who says long or short, and not only buy or sell, means the new position: the open one is closed first."""
    resolved = resolve(ask("ENTRY", "SHORT", 3), [OTHER, LONG], "NEW")
    assert legs(resolved) == [("EXIT_REVERSE", "L1"), ("ENTRY", "NEW")]
    assert (resolved.event_type, resolved.trade_id, resolved.trades) == ("REVERSE", "NEW", ("L1", "NEW"))
    assert (resolved.began, resolved.ended) == (Trade("NEW", "MNQ", "SHORT", Decimal(3)), ("L1",))
    assert "L1 is closed first" in resolved.notes[0]


@pytest.mark.parametrize(
    ("side", "trade", "words"),
    [("SHORT", LONG, ("only says sell", "is LONG")), ("LONG", SHORT, ("only says buy", "is SHORT"))],
)
def test_a_bare_word_against_a_trade_is_refused(side: str, trade: Trade, words: tuple[str, str]) -> None:
    """Unless its strategy says what it means: it may close that trade or reverse it."""
    refused = ambiguous(ask("ENTRY", side, 2, bare=True), trade)
    assert refused.field == "action"
    assert all(word in refused.message for word in (*words, trade.trade_id))


@pytest.mark.parametrize(
    ("quantity", "event", "left"),
    [
        (None, "EXIT", None),
        (2, "EXIT", None),
        (3, "EXIT", None),
        (1, "REDUCE", Trade("L1", "MNQ", "LONG", Decimal(1))),
    ],
)
def test_a_bare_word_that_closes(quantity: int | None, event: str, left: Trade | None) -> None:
    """With opposite = exit it closes what is open of the other side: no more of it than its quantity says."""
    asked = ask("ENTRY", "SHORT", quantity, bare=True, opposite="exit")
    resolved = resolve(asked, [OTHER, LONG], "NEW")
    assert (legs(resolved), resolved.event_type) == ([(event, "L1")], event)
    assert (resolved.began, resolved.ended) == (left, () if left else ("L1",))
    payload = {"symbol": "MNQ1!", "strategy": "orb", "quantity": None if event == "EXIT" else quantity, "kind": event}
    payload |= {"exit_type": "EXIT"} if event == "EXIT" else {}
    assert resolved.legs[0].payload == {name: value for name, value in payload.items() if value is not None}
    assert "opposite = exit" in resolved.notes[0]


def test_a_bare_word_that_reverses() -> None:
    """With opposite = reverse it does what a reversal does."""
    resolved = resolve(ask("ENTRY", "SHORT", 2, bare=True, opposite="reverse"), [LONG], "NEW")
    assert legs(resolved) == [("EXIT_REVERSE", "L1"), ("ENTRY", "NEW")]


# reversals


@pytest.mark.parametrize("side", ["LONG", "SHORT"])
def test_a_reversal_from_flat_is_an_entry(side: str) -> None:
    """Nothing of its product is open: nothing is closed, and the entry waits for nobody."""
    resolved = resolve(ask("REVERSE", side, 2), [OTHER], "NEW")
    assert (legs(resolved), resolved.event_type, resolved.notes) == ([("ENTRY", "NEW")], "ENTRY", ())
    assert resolved.legs[0].payload["kind"] == "ENTRY"
    assert "after" not in resolved.legs[0].payload
    assert (resolved.began, resolved.ended) == (Trade("NEW", "MNQ", side, Decimal(2)), ())


@pytest.mark.parametrize("side", ["LONG", "SHORT"])
def test_a_reversal_closes_all_that_is_open(side: str) -> None:
    """Also what our view has on the side that it leads to: an alert was missed then, and only a new trade is surely right."""
    resolved = resolve(ask("REVERSE", side, 2), [OTHER, LONG, NAMED], "NEW")
    assert legs(resolved) == [("EXIT_REVERSE", "L1"), ("EXIT_REVERSE", "T7"), ("ENTRY", "NEW")]
    assert (resolved.ended, resolved.began) == (("L1", "T7"), Trade("NEW", "MNQ", side, Decimal(2)))


def test_the_halves_of_a_reversal() -> None:
    """The exits are whole and at the market; the entry is the alert's order, and names the trades that it waits for."""
    exit_, entry = resolve(ask("REVERSE", "SHORT", 3, trade_id="T9"), [LONG], "NEW").legs
    assert exit_.payload == {"kind": "EXIT", "exit_type": "REVERSE", "symbol": "MNQ1!", "strategy": "orb"}
    assert entry.trade_id == "T9"
    assert (entry.payload["after"], entry.payload["quantity"], entry.payload["kind"]) == (["L1"], 3, "ENTRY")


# exits and reductions


@pytest.mark.parametrize("event_type", ["EXIT", "EXIT_SL"])
@pytest.mark.parametrize(
    ("more", "trades", "closed"),
    [
        pytest.param({}, [LONG], ("L1",), id="the open one"),
        pytest.param({}, [OTHER, LONG], ("L1",), id="of its product"),
        pytest.param({}, [LONG, NAMED], ("L1", "T7"), id="all of them"),
        pytest.param({}, [], ("NEW",), id="none is open: a task says so"),
        pytest.param({}, [OTHER], ("NEW",), id="none of its product"),
        pytest.param({"side": "LONG"}, [LONG], ("L1",), id="of the side that it leaves"),
        pytest.param({"side": "SHORT"}, [LONG], ("NEW",), id="not of the other side"),
        pytest.param({"side": "SHORT"}, [Trade("X", "MNQ")], ("X",), id="of a side that nobody told"),
        pytest.param({"trade_id": "T7"}, [LONG, NAMED], ("T7",), id="the one that it names"),
        pytest.param({"trade_id": "T9"}, [LONG, NAMED], ("T9",), id="named, and not known"),
        pytest.param({"trade_id": "T7", "side": "SHORT"}, [NAMED], ("T7",), id="named, with the order's side"),
        pytest.param({"root": None}, [OTHER], ("E1",), id="no symbol, one product"),
        pytest.param({"quantity": 2}, [LONG], ("L1",), id="as many as are open"),
        pytest.param({"quantity": 9}, [LONG], ("L1",), id="more than are open"),
        pytest.param({"quantity": 7}, [LONG, NAMED], ("L1", "T7"), id="as many as two trades have"),
        pytest.param({"quantity": 1}, [], ("NEW",), id="one of nothing"),
        pytest.param({"quantity": 100, "kind": "percent_of_position"}, [LONG], ("L1",), id="all of it in percent"),
    ],
)
def test_an_exit(more: dict[str, Any], trades: list[Trade], closed: tuple[str, ...], event_type: str) -> None:
    """One leg for each trade that it closes; those are open no more."""
    asked = ask("EXIT", **{"event_type": event_type, **more})
    resolved = resolve(asked, trades, "NEW")
    assert legs(resolved) == [(event_type, trade) for trade in closed]
    assert (resolved.ended, resolved.began, resolved.event_type) == (closed, None, event_type)
    whole = {name: value for name, value in asked.payload.items() if name not in ("quantity", "quantity_kind")}
    assert all(leg.payload == whole for leg in resolved.legs)


def test_a_working_exit_ends_nothing() -> None:
    """A target's order may never be filled: the trade stays open for the next exit."""
    asked = ask("EXIT")
    working = replace(asked, payload={**asked.payload, "order_type": "limit", "limit_price": 20100})
    assert (resolve(working, [LONG], "NEW").ended, resolve(asked, [LONG], "NEW").ended) == ((), ("L1",))


@pytest.mark.parametrize(
    ("more", "trades"),
    [
        ({"quantity": 1}, [Trade("X", "MNQ", "LONG")]),
        ({"quantity": 300, "kind": "cash"}, [LONG]),
        ({"quantity": 50, "kind": "percent_of_equity"}, [LONG]),
    ],
    ids=["nobody knows how many are open", "money", "a percent of something else"],
)
def test_an_exit_of_what_cannot_be_compared_reduces(more: dict[str, Any], trades: list[Trade]) -> None:
    """It ends nothing that it may leave open."""
    resolved = resolve(ask("EXIT", **more), trades, "NEW")
    assert (resolved.event_type, resolved.ended) == ("REDUCE", ())
    assert resolved.legs[0].payload["quantity"] == more["quantity"]


def test_a_part_of_several_trades_is_ambiguous() -> None:
    """Which of them it leaves is not said."""
    with pytest.raises(SignalRefused, match="AMBIGUOUS"):
        resolve(ask("EXIT", quantity=1), [LONG, NAMED], "NEW")


EARLY, LATE = datetime(2026, 11, 20, 12, 0, 5, tzinfo=UTC), datetime(2026, 11, 20, 12, 0, 9, tzinfo=UTC)
ENDED = Trade("E", "MNQ", opened_at=LATE, ended_at=LATE, exit_fired_at=LATE)


@pytest.mark.parametrize("event", ["ENTRY", "ADD"])
def test_an_entry_that_fired_before_an_exit_that_is_here(event: str) -> None:
    """It would open what that exit was to close; one that fired later, or names its trade, is an entry."""
    with pytest.raises(SignalRefused, match="OVERTAKEN"):
        resolve(ask(event, "LONG", fired_at=EARLY), [ENDED], "NEW")
    for asked in (
        ask(event, "LONG", fired_at=LATE),
        ask(event, "LONG", fired_at=EARLY, trade_id="T1"),
        ask(event, "LONG"),
    ):
        assert resolve(asked, [ENDED], "NEW").event_type == event
    assert resolve(ask(event, "LONG", fired_at=EARLY), [replace(ENDED, root="MES")], "NEW").event_type == event


def test_an_ended_trade_is_not_open() -> None:
    """It is joined, closed and begun by nothing any more."""
    ended = replace(LONG, ended_at=LATE)
    assert legs(resolve(ask("EXIT"), [ended], "NEW")) == [("EXIT", "NEW")]
    assert legs(resolve(ask("ENTRY", "LONG"), [ended], "NEW")) == [("ENTRY", "NEW")]
    assert resolve(ask("ENTRY", "LONG", trade_id="L1"), [ended], "NEW").began is None


@pytest.mark.parametrize(
    ("event", "repeats"), [("EXIT", False), ("FLATTEN", False), ("CANCEL", False), ("ENTRY", True)]
)
def test_what_closes_repeats_nothing_once_something_new_is_open(event: str, repeats: bool) -> None:
    """The first one cannot have meant it."""
    asked = ask(event, "LONG" if event == "ENTRY" else None)
    assert begun_since(asked, [replace(LONG, opened_at=LATE)], EARLY) is not repeats
    assert not begun_since(asked, [replace(LONG, opened_at=EARLY)], EARLY)
    assert not begun_since(asked, [replace(LONG, opened_at=LATE, ended_at=LATE)], EARLY)


VETO = Veto("SIDE_NOT_ALLOWED", "Not this side.", "direction")


def test_limits_keep_nothing_from_closing() -> None:
    """What would reverse closes, and says why it does no more; what would only open is refused."""
    for asked in (ask("REVERSE", "SHORT", 2, veto=VETO), ask("ENTRY", "SHORT", 2, veto=VETO)):
        resolved = resolve(asked, [LONG], "NEW")
        assert (legs(resolved), resolved.began, resolved.ended) == ([("EXIT_REVERSE", "L1")], None, ("L1",))
        assert "SIDE_NOT_ALLOWED" in resolved.notes[0]
        with pytest.raises(SignalRefused, match="SIDE_NOT_ALLOWED"):
            resolve(asked, [], "NEW")
    bare = ask("ENTRY", "SHORT", bare=True, opposite="exit", veto=VETO)
    assert legs(resolve(bare, [LONG], "NEW")) == [("EXIT", "L1")]
    for asked in (
        ask("ADD", "LONG", veto=VETO),
        ask("ENTRY", "LONG", veto=VETO),
        ask("ENTRY", "SHORT", bare=True, veto=VETO),
    ):
        with pytest.raises(SignalRefused, match="SIDE_NOT_ALLOWED"):
            resolve(asked, [LONG], "NEW")


@pytest.mark.parametrize(
    ("wanted", "event", "traded"), [(5, "ENTRY", 3), (1, "REDUCE", 1), (0.5, "REDUCE", 1.5), (2, None, None)]
)
def test_a_target_is_the_size_afterwards(wanted: float, event: str | None, traded: float | None) -> None:
    """What is open counts: only the difference is traded."""
    asked = replace(ask("ENTRY", "LONG", wanted), target=True)
    assert resolve(asked, [], "NEW").legs[0].payload["quantity"] == wanted
    if event is None:
        with pytest.raises(SignalRefused, match="NO_CHANGE"):
            resolve(asked, [LONG], "NEW")
        return
    resolved = resolve(asked, [LONG], "NEW")
    assert (legs(resolved), resolved.legs[0].payload["quantity"]) == ([(event, "L1")], traded)
    assert resolved.began == replace(LONG, units=Decimal(str(wanted)))


def test_a_target_beside_an_unknown_size_is_ambiguous() -> None:
    """Nobody knows what is missing."""
    with pytest.raises(SignalRefused, match="AMBIGUOUS"):
        resolve(replace(ask("ENTRY", "LONG", 5), target=True), [Trade("X", "MNQ", "LONG")], "NEW")


def test_a_trade_has_one_side() -> None:
    """An entry of the other side under its id is refused; a reversal under its id begins another trade."""
    with pytest.raises(SignalRefused, match="CONTRADICTION"):
        resolve(ask("ENTRY", "SHORT", trade_id="L1"), [LONG], "NEW")
    assert legs(resolve(ask("REVERSE", "SHORT", trade_id="L1"), [LONG], "NEW")) == [
        ("EXIT_REVERSE", "L1"),
        ("ENTRY", "NEW"),
    ]


@pytest.mark.parametrize(
    ("event", "more", "trades", "left"),
    [
        pytest.param("REDUCE", {"quantity": 1}, [LONG], Trade("L1", "MNQ", "LONG", Decimal(1)), id="by one"),
        pytest.param("EXIT", {"quantity": 1}, [LONG], Trade("L1", "MNQ", "LONG", Decimal(1)), id="an exit of less"),
        pytest.param("EXIT", {"quantity": 0.5}, [OTHER, LONG], Trade("L1", "MNQ", "LONG", Decimal("1.5")), id="0.5"),
        pytest.param(
            "EXIT",
            {"quantity": 50, "kind": "percent_of_position"},
            [LONG],
            Trade("L1", "MNQ", "LONG", None),
            id="an exit of half",
        ),
        pytest.param(
            "REDUCE",
            {"quantity": 1, "trade_id": "T7"},
            [LONG, NAMED],
            Trade("T7", "MNQ", "LONG", Decimal(4)),
            id="named",
        ),
        pytest.param(
            "REDUCE", {"quantity": 1}, [Trade("X", "MNQ", "LONG")], Trade("X", "MNQ", "LONG"), id="size unknown"
        ),
        pytest.param(
            "REDUCE",
            {"quantity": 1, "side": "LONG"},
            [SHORT, LONG],
            Trade("L1", "MNQ", "LONG", Decimal(1)),
            id="side",
        ),
    ],
)
def test_a_reduction(event: str, more: dict[str, Any], trades: list[Trade], left: Trade) -> None:
    """One leg; the trade stays open with what is left of it, and its payload is no exit's."""
    resolved = resolve(ask(event, **more), trades, "NEW")
    assert legs(resolved) == [("REDUCE", left.trade_id)]
    assert (resolved.began, resolved.ended, resolved.event_type) == (left, (), "REDUCE")
    payload = resolved.legs[0].payload
    assert (payload["kind"], payload["quantity"], "exit_type" in payload) == ("REDUCE", more["quantity"], False)


@pytest.mark.parametrize("quantity", [2, 3])
def test_a_reduction_by_all_is_an_exit(quantity: int) -> None:
    """By as much as is open, or more."""
    resolved = resolve(ask("REDUCE", quantity=quantity), [LONG], "NEW")
    assert (legs(resolved), resolved.ended, resolved.began) == ([("EXIT", "L1")], ("L1",), None)
    assert (resolved.event_type, resolved.legs[0].payload["kind"]) == ("EXIT", "EXIT")


def test_a_reduction_of_nothing() -> None:
    """A task says that nothing is open, and no trade begins."""
    resolved = resolve(ask("REDUCE", "LONG", 1), [SHORT], "NEW")
    assert (legs(resolved), resolved.began, resolved.ended) == ([("REDUCE", "NEW")], None, ())


@pytest.mark.parametrize(
    "asked", [ask("REDUCE", quantity=1), ask("EXIT", quantity=50, kind="percent_of_position")], ids=["units", "percent"]
)
def test_a_reduction_of_several_trades_is_refused(asked: Ask) -> None:
    """It may be about either, and no sum is guessed."""
    refused = ambiguous(asked, LONG, NAMED)
    assert (refused.field, "L1, T7" in refused.message) == ("trade_id", True)


# add, cancel, move stop, flatten


@pytest.mark.parametrize(
    ("asked", "trades", "trade_id", "units"),
    [
        pytest.param(ask("ADD", "LONG", 1), [LONG], "L1", Decimal(3), id="its side"),
        pytest.param(ask("ADD", None, 1), [LONG], "L1", Decimal(3), id="no side named"),
        pytest.param(ask("ADD", "LONG"), [LONG], "L1", None, id="by nobody knows how many"),
        pytest.param(ask("ADD", "LONG", 1), [LONG, NAMED], "T7", Decimal(6), id="the newest"),
        pytest.param(ask("ADD", "LONG", 1, trade_id="L1"), [LONG, NAMED], "L1", Decimal(3), id="named"),
        pytest.param(ask("ADD", "LONG", 1, root=None), [OTHER], "E1", Decimal(2), id="no symbol, one product"),
    ],
)
def test_an_addition(asked: Ask, trades: list[Trade], trade_id: str, units: Decimal | None) -> None:
    """It makes the open trade larger, and changes nothing else about it."""
    resolved = resolve(asked, trades, "NEW")
    joined = next(trade for trade in trades if trade.trade_id == trade_id)
    assert legs(resolved) == [("ADD", trade_id)]
    assert (resolved.began, resolved.ended) == (Trade(trade_id, joined.root, joined.side, units), ())


@pytest.mark.parametrize("trades", [[], [SHORT], [OTHER]], ids=["flat", "other side", "other product"])
def test_an_addition_to_nothing_opens_nothing(trades: list[Trade]) -> None:
    """Its task will say so: no trade begins."""
    resolved = resolve(ask("ADD", "LONG", 1), trades, "NEW")
    assert (legs(resolved), resolved.began, resolved.ended) == ([("ADD", "NEW")], None, ())


@pytest.mark.parametrize("event", ["CANCEL", "MOVE_STOP"])
@pytest.mark.parametrize(
    ("more", "trades", "touched"),
    [
        ({}, [LONG], ["L1"]),
        ({}, [OTHER, LONG, NAMED], ["L1", "T7"]),
        ({"trade_id": "T7"}, [LONG, NAMED], ["T7"]),
        ({"trade_id": "T9"}, [LONG], ["T9"]),
        ({}, [], ["NEW"]),
    ],
)
def test_what_leaves_trades_open(event: str, more: dict[str, Any], trades: list[Trade], touched: list[str]) -> None:
    """A cancel or a new stop is for every trade concerned, and none begins or ends."""
    resolved = resolve(ask(event, **more), trades, "NEW")
    assert legs(resolved) == [(event, trade) for trade in touched]
    assert (resolved.began, resolved.ended) == (None, ())


@pytest.mark.parametrize(
    ("more", "closed"),
    [({"root": None}, ("L1", "E1", "S1")), ({}, ("L1", "S1")), ({"root": "MES"}, ("E1",)), ({"root": "CL"}, ("NEW",))],
)
def test_flatten(more: dict[str, Any], closed: tuple[str, ...]) -> None:
    """Everything of the strategy, or of the product that it names, whole and at the market."""
    resolved = resolve(ask("FLATTEN", **more), [LONG, OTHER, SHORT], "NEW")
    assert legs(resolved) == [("EXIT_FLATTEN", trade) for trade in closed]
    assert (resolved.ended, resolved.event_type) == (closed, "EXIT_FLATTEN")
    assert {leg.payload["exit_type"] for leg in resolved.legs} == {"FLATTEN"}
    assert not any("quantity" in leg.payload or "entry_price" in leg.payload for leg in resolved.legs)


@pytest.mark.parametrize("event", ["EXIT", "REDUCE", "ADD", "CANCEL", "MOVE_STOP", "REVERSE"])
def test_no_symbol_and_several_products_is_refused(event: str) -> None:
    """The sentence names the products; with one product, or a trade_id, it is clear."""
    refused = ambiguous(ask(event, "LONG", 1, root=None), LONG, OTHER)
    assert (refused.field, "MES, MNQ" in refused.message) == ("symbol", True)
    if event != "REVERSE":
        assert resolve(ask(event, "LONG", 1, root=None, trade_id="E1"), [LONG, OTHER], "NEW").trade_id == "E1"


# any sequence


@dataclass
class Book:
    """A strategy's open trades as its alerts go by, kept as the store keeps them."""

    trades: dict[str, Trade] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    codes: set[str] = field(default_factory=set)

    def take(self, asked: Ask, fresh_id: str) -> Resolved | None:
        """Applies an alert; None when it is refused."""
        try:
            resolved = resolve(asked, list(self.trades.values()), fresh_id)
        except SignalRefused as refused:
            self.codes.add(refused.code)
            return None
        for trade_id in resolved.ended:
            self.trades.pop(trade_id, None)
        if resolved.began is not None:
            self.trades[resolved.began.trade_id] = resolved.began
        if asked.trade_id is not None:
            self.named.add(asked.trade_id)
        return resolved

    def sides(self) -> Mapping[str | None, set[str | None]]:
        """Product → the sides open in trades that the alerts did not name."""
        unnamed = [trade for trade in self.trades.values() if trade.trade_id not in self.named]
        return {trade.root: {other.side for other in unnamed if other.root == trade.root} for trade in unnamed}


SIDES = st.sampled_from(["LONG", "SHORT"])
QUANTITIES = st.none() | st.integers(1, 4) | st.sampled_from([0.5, 1.5])


@st.composite
def asks(draw: st.DrawFn, *, named: bool) -> Ask:
    """What any alert may ask for."""
    event = draw(st.sampled_from([*Event, Event.ENTRY, Event.ENTRY, Event.EXIT]))
    opens = event in (Event.ENTRY, Event.REVERSE)
    more: dict[str, Any] = {
        "root": draw(st.sampled_from(["MNQ", "MNQ", "MES"]) if opens else st.sampled_from(["MNQ", "MES", None]))
    }
    if event is Event.FLATTEN:
        return ask(event, **more)
    if named and event is not Event.REVERSE:
        more["trade_id"] = draw(st.sampled_from([None, "T1", "T2"]))
    if event is Event.ENTRY:
        more |= {"bare": draw(st.booleans()), "opposite": draw(st.sampled_from(ON_OPPOSITE))}
    if event in (Event.EXIT, Event.REDUCE) and draw(st.integers(0, 3)) == 0:
        return ask(event, draw(st.none() | SIDES), draw(st.integers(1, 100)), kind="percent_of_position", **more)
    quantity = draw(QUANTITIES if event is not Event.REDUCE else st.integers(1, 4))
    return ask(event, draw(SIDES if opens else st.none() | SIDES), quantity, **more)


def check(book: Book, asked: Ask, fresh_id: str) -> None:
    """What must hold of every alert, whatever came before it."""
    before = dict(book.trades)
    resolved = book.take(asked, fresh_id)
    if resolved is None:
        assert book.trades == before
        assert book.codes <= {"AMBIGUOUS", "CONTRADICTION"}
        return
    assert set(resolved.trades) <= {*before, fresh_id, asked.trade_id}
    assert len(resolved.legs) == len(resolved.trades)
    entries = [leg for leg in resolved.legs if leg.event_type in ("ENTRY", "ADD")]
    assert len(entries) <= 1
    assert not entries or entries[0] is resolved.legs[-1]
    assert set(resolved.ended) == {leg.trade_id for leg in resolved.legs if leg.event_type.startswith("EXIT")}
    assert entries == [] or entries[0].payload.get("after", []) == list(resolved.ended)
    assert all(trade.units is None or trade.units > 0 for trade in book.trades.values())
    touched = {*resolved.ended, resolved.began.trade_id} if resolved.began else {*resolved.ended}
    assert {name: trade for name, trade in book.trades.items() if name not in touched} == {
        name: trade for name, trade in before.items() if name not in touched
    }
    if asked.event in (Event.EXIT, Event.FLATTEN) and asked.trade_id is None and resolved.event_type != "REDUCE":
        left = [trade for trade in book.trades.values() if asked.root in (None, trade.root)]
        assert all(asked.side is not None and trade.side != asked.side for trade in left)
    if asked.trade_id is None and asked.event in (Event.ENTRY, Event.REVERSE) and entries:
        now = book.trades[entries[0].trade_id]
        assert (now.side, now.root) == (asked.side, asked.root)


@given(st.lists(asks(named=False), max_size=12))
def test_one_side_of_a_product_is_open_at_a_time(sequence: list[Ask]) -> None:
    """Over any alerts that name no trade: one side of a product, at most one trade of it, and every leg's trade is known."""
    book = Book()
    for number, asked in enumerate(sequence):
        check(book, asked, f"N{number}")
        assert all(len(sides) == 1 for sides in book.sides().values())
        roots = [trade.root for trade in book.trades.values()]
        assert len(roots) == len(set(roots))


@given(st.lists(asks(named=True), max_size=12))
def test_named_and_unnamed_trades_together(sequence: list[Ask]) -> None:
    """Trades that alerts name do not break the rule for those that they do not name."""
    book = Book()
    for number, asked in enumerate(sequence):
        check(book, asked, f"N{number}")
        assert all(len(sides) == 1 for sides in book.sides().values())
