"""What the risk gate looks at: the order, what is known of the account, and the account's rules."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum

from eventrouter.domain.balances import Balances, Drawdown
from eventrouter.domain.trading_day import TradingDays, Window


class Standing(StrEnum):
    """What an account may do at all."""

    ACTIVE = "active"
    REDUCING = "reducing"  # only what closes
    HALTED = "halted"


class Automation(StrEnum):
    """A firm's policy on orders that a program decides."""

    ALLOWED = "allowed"
    APPROVE_EACH = "approve_each"  # a person looks at every entry
    PROHIBITED = "prohibited"


@dataclass(frozen=True, slots=True)
class Proposal:
    """An order that is about to be sent. `opening` is False for everything that closes or reduces.

    `side` is LONG or SHORT, `quantity` in contracts of `root`, `price` the entry price that the alert named, `mode` dry or
    live, `max_age` the strategy's limit (None: no limit), `approved` whether a person has allowed it.
    """

    opening: bool
    root: str
    side: str
    quantity: Decimal
    price: Decimal | None
    mode: str
    received_at: datetime
    max_age: timedelta | None = None
    approved: bool = False


@dataclass(frozen=True, slots=True)
class Exposure:
    """A position, or an order that is sent or working and would open one: contracts of `root` on one side.

    `task`: the entry whose order it is, None for what is held or nobody's. `offset`: held by a trade, and by none at the broker, since
    other trades of its account hold as much or more of the contract on the other side.
    """

    account: str
    root: str
    side: str
    quantity: Decimal
    task: int | None = None
    offset: bool = False


@dataclass(frozen=True, slots=True)
class AccountState:
    """What is known of an account now, folded from the log and reconciled. None means: not known, which denies.

    `exposures` are its own, `owner_exposures` those of the same owner's other accounts; both with positions and orders
    that may still open one. `intents_at` are the times of its intents of the last minute at least, exits aside. `day` is
    the trading day that `balances` belong to. `last_price` is of the proposal's contract. `ordered`: who made the standing what
    it is, when and why.
    """

    standing: Standing
    exposures: tuple[Exposure, ...] | None
    owner_exposures: tuple[Exposure, ...] | None
    intents_at: tuple[datetime, ...] | None
    balances: Balances | None
    day: date | None
    last_price: Decimal | None = None
    last_price_at: datetime | None = None
    ordered: str = ""


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """An account's rules. A rule that is None or empty does not exist for it, except `live` and `automation`.

    `live`: orders may leave: the router's dry_run is off and the account is live. `instruments` are roots. `max_contracts`
    counts the whole account; `micros_per_contract` micros count as one (1: each counts). `daily_loss` and the drawdown are
    the firm's, in money; `buffer` is kept free inside both. `max_price_off` is in percent of the last known price, which
    may be `max_price_age` old.
    """

    days: TradingDays
    live: bool = False
    automation: Automation = Automation.PROHIBITED
    approve_within: timedelta | None = None
    instruments: frozenset[str] = frozenset()
    windows: tuple[Window, ...] = ()
    flat_by: time | None = None
    early_closes: tuple[tuple[date, time], ...] = ()
    max_contracts: Decimal | None = None
    micros_per_contract: Decimal = Decimal(1)
    max_orders_per_minute: int | None = None
    daily_loss: Decimal | None = None
    drawdown: Drawdown | None = None
    buffer: Decimal = Decimal(0)
    no_opposite_side: bool = True
    max_price_off: Decimal | None = None
    max_price_age: timedelta = timedelta(minutes=5)
