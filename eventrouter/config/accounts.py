"""`[[accounts]]` and `[[groups]]`: the broker accounts, what they may do, and how large they trade."""

from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field

from eventrouter.config.values import (
    Amount,
    Clock,
    Day,
    Name,
    Real,
    Section,
    Symbol,
    WindowText,
    Words,
    broker_url,
    did_you_mean,
    matching,
)
from eventrouter.domain.trading_day import TradingDays

KNOWN_CONNECTORS = ("dryrun", "projectx")


def _connector(value: str) -> str:
    if value not in KNOWN_CONNECTORS:
        raise ValueError(f"must be one of {', '.join(KNOWN_CONNECTORS)}")
    return value


def _zone(value: str) -> str:
    try:
        return TradingDays(value).zone
    except ValueError:
        hint = did_you_mean(value, available_timezones()) or ", such as America/Chicago"
        raise ValueError(f"must be a time zone that this machine knows{hint}") from None


Url = Annotated[str, AfterValidator(broker_url)]
Currency = Annotated[str, matching("[A-Z]{3}", "must be three capitals, such as USD")]


class SizingConfig(Section):
    """`sizing = { by, value, contract }`: how many contracts an entry gets. Without a value: 1 time the alert's quantity."""

    by: Literal["fixed", "multiplier", "risk_amount", "risk_percent", "cash", "equity_percent"] = "multiplier"
    value: Amount | None = Field(default=None, gt=0)
    contract: Literal["named", "mini", "micro", "mini_or_micro"] = "named"


class DrawdownConfig(Section):
    """`drawdown = { trail, amount, stops_at }`: the firm's floor under the account's equity, in money."""

    trail: Literal["static", "end_of_day", "intraday"]
    amount: Amount = Field(gt=0)
    stops_at: Amount | None = Field(default=None, gt=0)


class AccountConfig(Section):
    """One of `[[accounts]]`: a broker account under a name of the user's choice.

    Money is in `currency`, times of day are local to `timezone`, spans of time are in seconds. What is None or empty does
    not limit; `automation` and `no_opposite_side` then follow the connector.
    """

    name: Name
    connector: Annotated[str, AfterValidator(_connector)] = "dryrun"
    enabled: bool = True
    live: bool = False
    broker_account: Words = ""
    login: str = ""
    url: Url = ""
    hub_url: Url = ""
    firm: Words = ""
    owner: Words = ""
    currency: Currency = "USD"
    balance: Amount | None = Field(default=None, gt=0)
    timezone: Annotated[str, AfterValidator(_zone)] = "America/Chicago"
    day_starts: Clock = "17:00"
    sizing: SizingConfig = SizingConfig()
    instruments: tuple[Symbol, ...] = Field(default=(), strict=False, max_length=1000)
    automation: Literal["allowed", "approve_each", "prohibited"] | None = None
    approve_within: Real | None = Field(default=None, gt=0, le=86_400)
    windows: tuple[WindowText, ...] = Field(default=(), strict=False, max_length=100)
    flat_by: Clock | None = None
    early_closes: dict[Day, Clock] = Field(default={}, max_length=1000)
    max_contracts: Amount | None = Field(default=None, gt=0)
    micros_per_contract: Amount = Field(default=Decimal(1), ge=1)
    max_orders_per_minute: int | None = Field(default=None, ge=1, le=100_000)
    daily_loss: Amount | None = Field(default=None, gt=0)
    drawdown: DrawdownConfig | None = None
    buffer: Amount = Field(default=Decimal(0), ge=0)
    no_opposite_side: bool | None = None
    max_price_off: Amount | None = Field(default=None, gt=0, le=100)
    max_price_age: Real = Field(default=300.0, gt=0, le=86_400)
    roll: Literal["exchange", "broker"] = "exchange"


class GroupConfig(Section):
    """One of `[[groups]]`: accounts under one name, for routes."""

    name: Name
    accounts: tuple[str, ...] = Field(strict=False, max_length=1000)
