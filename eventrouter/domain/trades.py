"""Which trade an alert is about, and what it asks of that trade: the rule that pairs exits with entries.

An alert with a trade_id is about that trade. Without one, an entry begins a trade of its strategy and product, or joins the
open one of its side; whatever closes, adds, moves or cancels is about the open trades of its strategy and product. A trade
is open from its first entry to its exit, as the strategy's own alerts tell it; what an account really holds is decided
when its task is taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, NoReturn

from eventrouter.domain.payloads import exit_payload, plain_number
from eventrouter.domain.signals import Event, QuantityKind
from eventrouter.errors import SignalRefused

ON_OPPOSITE = ("refuse", "exit", "reverse")


@dataclass(frozen=True, slots=True)
class Veto:
    """Why the strategy's limits forbid what the alert would open. What it would close is closed all the same."""

    code: str
    message: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """What an accepted alert asks for, in the form in which it can wait on disk until its trade is known.

    `event` is one of Event, `root` the instrument root, `side` LONG, SHORT or None. `bare`: only the word buy or sell makes
    it an entry; `opposite` is what such a one means against an open trade of the other side, one of ON_OPPOSITE. `fired_at`
    is when the alert fired, to the second; None where that is not known so well. `target`: the quantity is the position's
    size afterwards.
    """

    event: str
    event_type: str
    payload: Mapping[str, Any]
    record: Mapping[str, Any]
    trade_id: str | None = None
    root: str | None = None
    side: str | None = None
    bare: bool = False
    opposite: str = "refuse"
    veto: Veto | None = None
    fired_at: datetime | None = None
    target: bool = False

    @property
    def of_product(self) -> bool:
        """Whether it may be about other trades of its product than the one that it names."""
        return self.trade_id is None or self.event == Event.REVERSE

    @property
    def units(self) -> Decimal | None:
        """The quantity in units of the instrument; None when there is none, or it counts something else."""
        quantity = self.payload.get("quantity")
        if quantity is None or self.payload.get("quantity_kind") is not None:
            return None
        return Decimal(str(quantity))


@dataclass(frozen=True, slots=True)
class Trade:
    """A trade that a strategy has begun. `units`: its size as the alerts told it; None when they did not.

    `opened_at` and `ended_at` are when its first entry and its exit were received (None: it is open), `exit_fired_at` when
    that exit fired, as it says itself. Aware, UTC. `exited`: it has had an exit, which may have failed; none may join it.
    """

    trade_id: str
    root: str | None = None
    side: str | None = None
    units: Decimal | None = None
    opened_at: datetime | None = None
    ended_at: datetime | None = None
    exit_fired_at: datetime | None = None
    exited: bool = False


@dataclass(frozen=True, slots=True)
class Leg:
    """One thing to do with one trade: a task for each of its accounts."""

    trade_id: str
    event_type: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Resolved:
    """What an alert comes to. `began` is open from now on, or stands otherwise than before; `ended` are closed from now on."""

    event_type: str
    legs: tuple[Leg, ...]
    began: Trade | None = None
    ended: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def trade_id(self) -> str:
        """The trade that the alert is mostly about: of a reversal the new one."""
        return self.legs[-1].trade_id

    @property
    def trades(self) -> tuple[str, ...]:
        """Every trade that it touches."""
        return tuple(dict.fromkeys(leg.trade_id for leg in self.legs))


def resolve(ask: Ask, trades: Sequence[Trade], fresh_id: str) -> Resolved:
    """What the alert comes to, given its strategy's trades, open ones and those that ended lately, oldest first.

    `fresh_id` names a trade that begins now. Raises SignalRefused where the alert has more than one meaning, or none any more.
    """
    _refuse_overtaken(ask, trades)
    found = concerned(ask, trades)
    if ask.veto is not None and not _shrinks(ask, found):
        found = _closable(ask, found)
        if not found:
            raise SignalRefused(ask.veto.code, ask.veto.message, ask.veto.field)
    match Event(ask.event):
        case Event.ENTRY:
            return _entry(ask, found, trades, fresh_id)
        case Event.REVERSE:
            return _reversal(ask, found, fresh_id)
        case Event.ADD:
            return _add(ask, found, fresh_id)
        case Event.EXIT:
            return _exit(ask, found, fresh_id)
        case Event.REDUCE:
            return _reduce(ask, found, fresh_id)
        case Event.FLATTEN:
            payload = exit_payload(ask.payload, "FLATTEN")
            return _each(replace(ask, payload=payload, event_type="EXIT_FLATTEN"), found, fresh_id, ends=True)
        case Event.CANCEL | Event.MOVE_STOP:
            return _each(ask, found, fresh_id, ends=False)


def _refuse_overtaken(ask: Ask, trades: Sequence[Trade]) -> None:
    """An entry that fired before an exit that is here already would open what that exit was to close."""
    if ask.event not in (Event.ENTRY, Event.ADD) or ask.trade_id is not None or ask.fired_at is None:
        return
    for trade in trades:
        if trade.root in (None, ask.root) and trade.exit_fired_at is not None and ask.fired_at < trade.exit_fired_at:
            raise SignalRefused(
                "OVERTAKEN",
                f"It fired at {ask.fired_at:%H:%M:%S} UTC, before the exit of {trade.exit_fired_at:%H:%M:%S} that came first.",
                None,
            )


def begun_since(ask: Ask, trades: Sequence[Trade], first_at: datetime) -> bool:
    """Whether the alert closes what one like it, received at `first_at`, did not: opened later, or not closed by it."""
    if ask.event in (Event.ENTRY, Event.ADD, Event.REVERSE):
        return False
    try:
        found = concerned(ask, trades)
    except SignalRefused:
        return False
    again = ask.event in (Event.EXIT, Event.FLATTEN) and ask.payload.get("quantity") is None
    return any(
        (trade.opened_at is not None and trade.opened_at > first_at) or (again and trade.exited) for trade in found
    )


def concerned(ask: Ask, trades: Sequence[Trade]) -> list[Trade]:
    """The open trades that the alert may be about. Raises SignalRefused where that cannot be known."""
    open_trades = [trade for trade in trades if trade.ended_at is None]
    if not ask.of_product:
        return [trade for trade in open_trades if trade.trade_id == ask.trade_id]
    if ask.event == Event.FLATTEN and ask.root is None:
        return list(open_trades)
    if ask.root is None and ask.event != Event.ENTRY:
        roots = sorted({trade.root or "no symbol" for trade in open_trades})
        if len(roots) > 1:
            _ambiguous(f"The alert names no symbol, and its strategy has open trades in {', '.join(roots)}.", "symbol")
        return list(open_trades)
    return [trade for trade in open_trades if trade.root == ask.root]


def _shrinks(ask: Ask, found: Sequence[Trade]) -> bool:
    """Whether it wants a smaller position than is open."""
    sizes = [trade.units for trade in found if trade.side in (None, ask.side)]
    return (
        ask.target
        and len(found) == 1
        and ask.units is not None
        and any(size is not None and ask.units < size for size in sizes)
    )


def _closable(ask: Ask, found: Sequence[Trade]) -> list[Trade]:
    """What an alert closes that may not open anything."""
    if ask.event == Event.REVERSE:
        return list(found)
    if ask.event != Event.ENTRY or ask.trade_id is not None or (ask.bare and ask.opposite == "refuse"):
        return []
    return _other_side(ask, found)


def _other_side(ask: Ask, found: Sequence[Trade]) -> list[Trade]:
    return [trade for trade in found if trade.side is not None and trade.side != ask.side]


def _entry(ask: Ask, found: Sequence[Trade], trades: Sequence[Trade], fresh_id: str) -> Resolved:
    opposite = _other_side(ask, found)
    if opposite and ask.trade_id is not None:
        sentence = (
            f"Trade {ask.trade_id} is open, and {opposite[0].side}; a {ask.side} trade needs a trade_id of its own."
        )
        raise SignalRefused("CONTRADICTION", sentence, "trade_id")
    if ask.trade_id is None:
        if opposite and ask.bare and ask.opposite != "reverse":
            return _bare_opposite(ask, opposite, fresh_id)
        left = [
            trade for trade in found if trade in opposite or trade.exited
        ]  # what is in the way, or should be closed
        if left:
            return _reversal(ask, left, fresh_id)
    if ask.target and found:
        return _toward(ask, found)
    trade_id = ask.trade_id or (found[-1].trade_id if found else fresh_id)
    leg = Leg(trade_id, ask.event_type, ask.payload)
    if not found and any(trade.trade_id == trade_id for trade in trades):
        return Resolved(ask.event_type, (leg,))  # it has ended: an entry of it is denied and opens nothing
    return Resolved(ask.event_type, (leg,), began=_grown(ask, found, trade_id))


def _toward(ask: Ask, found: Sequence[Trade]) -> Resolved:
    """Trades what the open position lacks of the one that the alert wants, or has too much."""
    sizes = [trade.units for trade in found if trade.units is not None]
    if ask.units is None or len(found) > 1 or not sizes:
        _ambiguous(
            "The alert names the position's size, and how much of it is open is not known; send exit first.", "quantity"
        )
    missing = ask.units - sizes[0]
    if missing == 0:
        raise SignalRefused("NO_CHANGE", f"Trade {found[0].trade_id} has {sizes[0]} units already.", "quantity")
    event = Event.ENTRY if missing > 0 else Event.REDUCE
    payload = {**ask.payload, "kind": str(event), "quantity": plain_number(abs(missing))}
    note = f"{ask.units} units are wanted and {sizes[0]} are open, so {abs(missing)} are traded."
    leg = Leg(found[0].trade_id, str(event), payload)
    return Resolved(str(event), (leg,), began=replace(found[0], units=ask.units), notes=(note,))


def _bare_opposite(ask: Ask, opposite: Sequence[Trade], fresh_id: str) -> Resolved:
    word, held = ("buy", "SHORT") if ask.side == "LONG" else ("sell", "LONG")
    if ask.opposite == "refuse":
        _ambiguous(
            f"The alert only says {word}, and trade {opposite[-1].trade_id} of its strategy is {held}: it may close that "
            "trade or reverse it. Send exit or reverse, or a position with it, or set opposite for the strategy.",
            "action",
        )
    payload = exit_payload(ask.payload, "EXIT") | ({} if ask.units is None else {"quantity": ask.payload["quantity"]})
    closing = replace(ask, event=str(Event.EXIT), event_type="EXIT", payload=payload, side=held)
    resolved = _exit(closing, opposite, fresh_id)
    return replace(resolved, notes=(f"{word} closes the open {held} trade, as opposite = exit says.",))


def _reversal(ask: Ask, found: Sequence[Trade], fresh_id: str) -> Resolved:
    """Closes what is open, and opens a trade that waits until that is closed. From flat it is an entry."""
    closed = tuple(trade.trade_id for trade in found)
    trade_id = fresh_id if ask.trade_id is None or ask.trade_id in closed else ask.trade_id
    exits = tuple(Leg(each, "EXIT_REVERSE", exit_payload(ask.payload, "REVERSE")) for each in closed)
    if ask.veto is not None:
        note = f"Only the closing half of the reversal is done. {ask.veto.code}: {ask.veto.message}"
        return Resolved("EXIT_REVERSE", exits, ended=closed, notes=(note,))
    payload = {**ask.payload, "kind": "ENTRY"} | ({"after": list(closed)} if closed else {})
    began = Trade(trade_id, ask.root, ask.side, ask.units)
    return Resolved(
        str(Event.REVERSE) if closed else str(Event.ENTRY),
        (*exits, Leg(trade_id, str(Event.ENTRY), payload)),
        began=began,
        ended=closed,
        notes=_reversal_notes(ask, found),
    )


def _reversal_notes(ask: Ask, found: Sequence[Trade]) -> tuple[str, ...]:
    if not found:
        return ()
    notes = (f"It reverses: {', '.join(trade.trade_id for trade in found)} is closed first.",)
    sizes = [trade.units for trade in found if trade.units is not None]
    if ask.event == Event.REVERSE or ask.units is None or not sizes or ask.units <= sum(sizes):
        return notes
    return (
        *notes,
        f"The quantity {ask.units} is taken as the new position's; if it counts the closed one as well, as contracts of "
        "TradingView do, send market_position_size.",
    )


def _add(ask: Ask, found: Sequence[Trade], fresh_id: str) -> Resolved:
    joined = [trade for trade in found if ask.side is None or trade.side in (None, ask.side)]
    trade_id = ask.trade_id or (joined[-1].trade_id if joined else fresh_id)
    began = _grown(ask, joined, trade_id) if joined else None
    return Resolved(ask.event_type, (Leg(trade_id, ask.event_type, ask.payload),), began=began)


def _exit(ask: Ask, found: Sequence[Trade], fresh_id: str) -> Resolved:
    """Closes; reduces where the quantity may be less than what is open. A working order ends nothing before it is filled."""
    left = _left(ask, found)
    if ask.payload.get("quantity") is not None and not _covers(ask, left):
        return _reduce(ask, found, fresh_id)
    whole = {name: value for name, value in ask.payload.items() if name not in ("quantity", "quantity_kind")}
    return _each(replace(ask, payload=whole), found, fresh_id, ends="order_type" not in whole)


def _covers(ask: Ask, left: Sequence[Trade]) -> bool:
    """Whether the quantity is certainly all that is open, or nothing is."""
    if ask.payload.get("quantity_kind") == QuantityKind.PERCENT_OF_POSITION:
        return bool(ask.payload["quantity"] >= 100)
    if not left:
        return ask.trade_id is None
    sizes = [trade.units for trade in left if trade.units is not None]
    return ask.units is not None and len(sizes) == len(left) and ask.units >= sum(sizes)


def _reduce(ask: Ask, found: Sequence[Trade], fresh_id: str) -> Resolved:
    """Makes one trade smaller; by all of it or more is its exit."""
    left = _left(ask, found)
    if len(left) > 1:
        named = ", ".join(trade.trade_id for trade in left)
        _ambiguous(f"The alert reduces a position without a trade_id, and {named} are open.", "trade_id")
    trade = left[0] if left else Trade(ask.trade_id or fresh_id)
    rest = None if trade.units is None or ask.units is None else trade.units - ask.units
    if rest is not None and rest <= 0:
        payload = {**ask.payload, "kind": str(Event.EXIT), "exit_type": "EXIT"}
        return _each(
            replace(ask, event_type="EXIT", payload=payload), found, fresh_id, ends="order_type" not in payload
        )
    payload = {name: value for name, value in ask.payload.items() if name != "exit_type"} | {"kind": str(Event.REDUCE)}
    began = replace(trade, units=rest) if left else None
    return Resolved(str(Event.REDUCE), (Leg(trade.trade_id, str(Event.REDUCE), payload),), began=began)


def _each(ask: Ask, found: Sequence[Trade], fresh_id: str, *, ends: bool) -> Resolved:
    """The same for every trade concerned. Where none is open a task says so: what an account holds is known only there."""
    found = _left(ask, found)
    trades = tuple(trade.trade_id for trade in found) or (ask.trade_id or fresh_id,)
    legs = tuple(Leg(trade_id, ask.event_type, ask.payload) for trade_id in trades)
    nothing = () if found or ask.trade_id is not None else (_nothing_open(ask),)
    return Resolved(ask.event_type, legs, ended=trades if ends else (), notes=nothing)


def _nothing_open(ask: Ask) -> str:
    what = " ".join(filter(None, (ask.side, ask.root)))
    return f"No open {what + ' ' if what else ''}trade of this strategy is known."


def _left(ask: Ask, found: Sequence[Trade]) -> list[Trade]:
    """Those of the side that the alert names, if it names one."""
    return [trade for trade in found if ask.side is None or trade.side in (None, ask.side)]


def _grown(ask: Ask, found: Sequence[Trade], trade_id: str) -> Trade:
    before = found[-1] if found else None
    units = ask.units
    if before is not None:
        units = None if units is None or before.units is None else before.units + units
    root = ask.root if before is None else before.root or ask.root
    if before is not None and before.trade_id == trade_id:
        return replace(before, root=root, side=ask.side or before.side, units=units)
    return Trade(trade_id, root, ask.side or (before.side if before else None), units)


def _ambiguous(sentence: str, field: str) -> NoReturn:
    raise SignalRefused("AMBIGUOUS", sentence, field)
