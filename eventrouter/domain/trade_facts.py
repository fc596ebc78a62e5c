"""What is known of a trade on one account: its tasks, its orders at the broker, what it holds. See db/functions/trade_facts.sql."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from eventrouter.domain.controls import Control


@dataclass(frozen=True, slots=True)
class Held:
    """What a trade holds of a contract, above zero long, and the account's `net` in it over all of its trades, as the
    broker shows it where that is another one.

    `leaving`: how much of that net the exits of other trades, sent or working, may still close. `contract` is the broker's id. `average_price` is what it was opened at, None where a price is not known.
    """

    contract: str
    quantity: Decimal
    net: Decimal
    root: str = "-"
    average_price: Decimal | None = None
    leaving: Decimal = Decimal(0)

    @property
    def room(self) -> Decimal:
        """How many contracts of it the account's net covers, never below zero: more would open the other side."""
        same_side = (self.quantity > 0) == (self.net > 0)
        return min(abs(self.quantity), abs(self.net)) if same_side else Decimal(0)

    @property
    def closable(self) -> Decimal:
        """How many contracts may be closed now: what the exits of other trades leave of the account's net."""
        return max(Decimal(0), min(self.room, abs(self.net) - self.leaving))

    @property
    def direction(self) -> str:
        """LONG or SHORT."""
        return "LONG" if self.quantity > 0 else "SHORT"


@dataclass(frozen=True, slots=True)
class WorkingOrder:
    """An order that may still fill. `role` is entry, exit, stop or target; a stop's and target's task is the entry's.

    `version` and `status` are its task's. `asked` is the size that was asked of it last, zero to withdraw it, None: nothing
    was; `asked_by` the task that asked; `answer` is what came of that: accepted, gone, rejected, unknown or not_sent, None: nothing yet; `said` is that in the broker's words.
    `asker` is the router that asked, `times` how often the same task asked the same; `asked_by_status` that task's, and `was` what might
    fill before, where it was made smaller. `late`: an entry whose trade was closed after it came, or an order of before a retry that was sent.
    """

    task_id: int
    version: int
    status: str
    order_id: str
    role: str
    contract: str
    side: str
    quantity: Decimal
    filled: Decimal = Decimal(0)
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    asked: Decimal | None = None
    asked_by: int | None = None
    asked_at: datetime | None = None
    first_asked_at: datetime | None = None
    answer: str | None = None
    asker: str | None = None
    times: int = 0
    said: str | None = None
    asked_by_status: str | None = None
    was: Decimal | None = None
    late: bool = False

    @property
    def remaining(self) -> Decimal:
        """What may still fill."""
        return self.quantity - self.filled


@dataclass(frozen=True, slots=True)
class LastFill:
    """The trade's last execution. `role` is its order's: a stop or a target closed the trade without an exit.

    `flattening`: the control that was closing the account then, where that is what closed the trade.
    """

    task_id: int | None
    role: str | None
    order_id: str
    price: Decimal | None
    recorded_at: datetime
    flattening: Control | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What an entry asked for that counts as executed though no fill of it is recorded; `since`: when it came to count so."""

    contract: str | None
    direction: str | None
    quantity: str | None
    since: datetime


@dataclass(frozen=True, slots=True)
class TradeFacts:
    """What is known of a trade's other tasks on the account. Ids, or None.

    `filled`: something of it was executed, so what it holds says whether it is open; its tasks' statuses say so else.
    `in_doubt`: those of `unsent` of which an earlier order may be at the broker.
    `sized`, for a reduction only: contracts of each executed entry, and the quantity that its alert named.
    `flattening`: the control that has the account's positions closed at the broker now; `outdated`: one after which the broker
    showed a flat account, and what the trade holds in our books is older than that. Of a live trade only are known `unknown`,
    `working`, `hidden`, `unsettled`, `unshown`, `flattening`, `outdated`, `told`, `out_of_sync`: why what the account holds is not
    certain, and `closing`: an exit or a reduction waits or is under way. `after`: the same of each trade that must be closed
    before this one may open.
    """

    sending: int | None = None
    closed: tuple[int, str] | None = None
    opened: tuple[int, str | None] | None = None
    exit: tuple[int, str] | None = None
    unsent: tuple[tuple[int, int], ...] = ()
    in_doubt: frozenset[int] = frozenset()
    entries: tuple[tuple[int, str], ...] = ()
    filled: bool = False
    held: tuple[Held, ...] = ()
    last: LastFill | None = None
    sized: tuple[tuple[Decimal, Decimal], ...] = ()
    unknown: tuple[int, str] | None = None
    working: tuple[WorkingOrder, ...] = ()
    hidden: int | None = None
    unsettled: str | None = None
    unshown: int | None = None
    flattening: int | None = None
    outdated: int | None = None
    told: Told | None = None
    out_of_sync: str | None = None
    closing: bool = False
    after: Mapping[str, "TradeFacts"] = field(default_factory=dict)

    @property
    def scale(self) -> Decimal:
        """Contracts held here for each unit that the alerts name: this account's size beside the alert's."""
        asked = sum((asked for _, asked in self.sized), Decimal(0))
        return sum((contracts for contracts, _ in self.sized), Decimal(0)) / asked if asked > 0 else Decimal(1)

    @property
    def is_open(self) -> bool:
        """Whether there is something to close: holdings decide, and without any fill the tasks."""
        if self.filled:
            return any(held.room for held in self.held)
        return self.opened is not None and self.closed is None


def trade_facts_of(facts: Mapping[str, Any]) -> TradeFacts:
    """From what db/functions/trade_facts.sql answers."""
    return TradeFacts(
        sending=_first(facts["sending"]),
        closed=_pair(facts["closed"]),
        opened=_pair(facts["opened"]),
        exit=_pair(facts["exit"]),
        unsent=tuple((task_id, version) for task_id, version, _ in facts["unsent"]),
        in_doubt=frozenset(task_id for task_id, _, in_doubt in facts["unsent"] if in_doubt),
        entries=tuple((task_id, status) for task_id, status in facts["entries"]),
        filled=facts["filled"],
        held=tuple(_held(row) for row in facts["held"]),
        last=_last(facts.get("last")),
        sized=tuple((Decimal(contracts), Decimal(asked)) for contracts, asked in facts.get("sized") or ()),
        unknown=_pair(facts.get("unknown")),
        working=tuple(_working(row) for row in facts.get("working") or ()),
        hidden=_first(facts.get("hidden")),
        unsettled=_first(facts.get("unsettled")),
        unshown=_first(facts.get("unshown")),
        flattening=_first(facts.get("flattening")),
        outdated=_first(facts.get("outdated")),
        told=_told(facts.get("told")),
        out_of_sync=facts.get("out_of_sync"),
        closing=bool(facts.get("closing")),
        after={trade_id: trade_facts_of(trade) for trade_id, trade in (facts.get("after") or {}).items()},
    )


def _first(row: Sequence[Any] | None) -> Any:
    return row[0] if row else None


def _pair(row: Sequence[Any] | None) -> Any:
    return (row[0], row[1]) if row else None


def _held(row: Sequence[Any]) -> Held:
    contract, quantity, net, root, average, leaving = row
    return Held(contract, Decimal(quantity), Decimal(net), root, _decimal(average), Decimal(leaving or 0))


def _last(row: Sequence[Any] | None) -> LastFill | None:
    if row is None:
        return None
    task_id, role, order_id, price, recorded_at, *more = row
    flattening = None
    if more and more[0]:
        told = more[0]
        at = datetime.fromisoformat(told["at"])
        flattening = Control(told["scope"], told["action"], 0, told["actor"], told["reason"], at)
    return LastFill(task_id, role, order_id, _decimal(price), datetime.fromisoformat(recorded_at), flattening)


def _told(row: Sequence[Any] | None) -> Told | None:
    if row is None:
        return None
    contract, direction, quantity, since = row
    return Told(contract, direction, quantity, datetime.fromisoformat(since))


def _working(row: Mapping[str, Any]) -> WorkingOrder:
    return WorkingOrder(
        task_id=row["task"],
        version=row["version"],
        status=row["status"],
        order_id=row["order"],
        role=row["role"],
        contract=row["contract"],
        side=row["side"],
        quantity=Decimal(row["quantity"]),
        filled=Decimal(row["filled"]),
        limit_price=_decimal(row["limit_price"]),
        stop_price=_decimal(row["stop_price"]),
        asked=_decimal(row["asked"]),
        asked_by=row["asked_by"],
        asked_at=_moment(row["asked_at"]),
        first_asked_at=_moment(row["first_at"]),
        answer=row["answer"],
        asker=row.get("asker"),
        times=row.get("times") or 0,
        said=row.get("said"),
        asked_by_status=row.get("by_status"),
        was=_decimal(row.get("was")),
        late=bool(row.get("late")),
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
