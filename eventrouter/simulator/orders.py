"""The words of the engine: orders, fills, positions, accounts. Sizes are whole contracts, money is dollars, prices are points."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import IntEnum

from eventrouter.simulator.contracts import Contract
from eventrouter.simulator.settings import BracketMode


class Side(IntEnum):
    """What an order does; the gateway calls them Bid and Ask."""

    BUY = 0
    SELL = 1

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sale."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        """The other one."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(IntEnum):
    """The gateway's numbers; of them 3, 6 and 7 are refused here."""

    LIMIT = 1
    MARKET = 2
    STOP_LIMIT = 3
    STOP = 4
    TRAILING_STOP = 5
    JOIN_BID = 6
    JOIN_ASK = 7


class Status(IntEnum):
    """The gateway's numbers. A bracket's order is SUSPENDED until its entry has filled."""

    OPEN = 1
    FILLED = 2
    CANCELLED = 3
    EXPIRED = 4
    REJECTED = 5
    PENDING = 6
    SUSPENDED = 8


FINAL = frozenset({Status.FILLED, Status.CANCELLED, Status.EXPIRED, Status.REJECTED})


@dataclass(frozen=True, slots=True)
class Leg:
    """One side of a bracket: signed ticks from the entry's price, negative below it."""

    ticks: int
    type: OrderType


@dataclass(frozen=True, slots=True)
class Ticket:
    """What is asked for. `trail_price` is an absolute level: the trail is its distance to the last price."""

    account: int
    contract: Contract
    type: OrderType
    side: Side
    size: int
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    tag: str | None = None
    stop_loss: Leg | None = None
    take_profit: Leg | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """What an armed fault does to one order. `per_price`: at most so many contracts fill at each price that is seen.

    `stop_rejected`: its stop loss bracket is rejected instead of working.
    """

    per_price: int | None = None
    cancel_rest: bool = False
    fills_from: datetime | None = None
    rejected_from: datetime | None = None
    hidden_until: datetime | None = None
    stop_rejected: bool = False


@dataclass(slots=True)
class Order:
    """One order. `cost` is the sum of price times contracts over its fills; `most` a bracket order's size as modified."""

    id: int
    account: int
    contract: Contract
    type: OrderType
    side: Side
    size: int
    tag: str | None
    created: datetime
    updated: datetime
    status: Status = Status.PENDING
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail: Decimal | None = None
    filled: int = 0
    cost: Decimal = Decimal(0)
    parent: int | None = None
    linked: int | None = None
    leg: Leg | None = None
    legs: tuple[int, ...] = ()
    most: int | None = None
    allowance: int | None = None
    resting: bool = False
    triggered: bool = False
    shape: Shape = field(default_factory=Shape)

    @property
    def left(self) -> int:
        """Contracts that are not filled yet."""
        return self.size - self.filled

    @property
    def working(self) -> bool:
        """Whether something can still happen to it."""
        return self.status not in FINAL

    @property
    def average(self) -> Decimal | None:
        """Mean price of its fills."""
        return self.cost / self.filled if self.filled else None


@dataclass(frozen=True, slots=True)
class HalfTurn:
    """One fill, or the part of it that closes or opens. `profit`: dollars before fees; None where it opens."""

    id: int
    account: int
    contract: Contract
    at: datetime
    price: Decimal
    side: Side
    size: int
    profit: Decimal | None
    fees: Decimal
    order: int


@dataclass(slots=True)
class Position:
    """What an account holds of one contract: lots of one direction. Assumed: the oldest is closed first."""

    id: int
    account: int
    contract: Contract
    created: datetime
    side: Side
    lots: deque[tuple[int, Decimal]] = field(default_factory=deque)

    @property
    def size(self) -> int:
        """Contracts held, never negative."""
        return sum(size for size, _ in self.lots)

    @property
    def net(self) -> int:
        """Contracts held, negative when short."""
        return self.side.sign * self.size

    @property
    def average(self) -> Decimal:
        """Mean price of what is held."""
        return sum((size * price for size, price in self.lots), Decimal(0)) / self.size if self.lots else Decimal(0)

    def reduce(self, size: int, price: Decimal) -> Decimal:
        """Closes so many contracts, oldest first; the dollars gained. At most what is held."""
        points = Decimal(0)
        while size:
            held, paid = self.lots.popleft()
            closed = min(size, held)
            points += closed * (price - paid) * self.side.sign
            size -= closed
            if held > closed:
                self.lots.appendleft((held - closed, paid))
        return points * self.contract.point_value


@dataclass(slots=True)
class Account:
    """One trading account. `margin`: dollars needed per contract held, 0 for none; `most`: contracts held, None for any."""

    id: int
    name: str
    balance: Decimal
    brackets: BracketMode
    can_trade: bool = True
    visible: bool = True
    simulated: bool = True
    follower: bool = False
    margin: Decimal = Decimal(0)
    most: int | None = None
