"""`[[strategies]]` and `[[routes]]`: whose alerts are taken how, and which accounts they go to."""

from decimal import Decimal
from typing import Literal

from pydantic import Field

from eventrouter.config.values import Amount, Name, Real, Section, Symbol


class StrategyConfig(Section):
    """One of `[[strategies]]`. Times are in seconds; `max_age` is for entries only; 0 = no limit, no window.

    `quantity` is what opens without one asks for; None: 1, and the alert stays as it came.
    """

    name: Name
    symbol: Symbol | None = None
    quantity: Amount | None = Field(default=None, gt=0)
    max_age: Real = Field(default=60.0, ge=0, le=31_536_000)
    duplicate_window: Real = Field(default=30.0, ge=0, le=86_400)
    opposite: Literal["refuse", "exit", "reverse"] = "refuse"
    symbols: tuple[str, ...] = Field(default=(), strict=False)
    sides: tuple[Literal["LONG", "SHORT"], ...] = Field(default=(), strict=False)
    max_quantity: Amount = Field(default=Decimal(0), ge=0)
    alerts_per_minute: int = Field(default=0, ge=0, le=100_000)
    expect_every: Real = Field(default=0, ge=0, le=31_536_000)
    accounts: tuple[str, ...] = Field(default=(), strict=False)


class RouteConfig(Section):
    """One of `[[routes]]`: signals of a strategy (empty: any) go to accounts and groups, sized times `multiplier`.

    `instruments` are roots, symbols or patterns of roots, `events` what an alert asks for; empty: all.
    """

    name: Name
    strategy: str = ""
    instruments: tuple[Symbol, ...] = Field(default=(), strict=False, max_length=1000)
    events: tuple[Literal["ENTRY", "ADD", "REVERSE", "EXIT", "REDUCE", "CANCEL", "MOVE_STOP", "FLATTEN"], ...] = Field(
        default=(), strict=False
    )
    accounts: tuple[str, ...] = Field(default=(), strict=False, max_length=1000)
    groups: tuple[str, ...] = Field(default=(), strict=False, max_length=1000)
    multiplier: Amount = Field(default=Decimal(1), gt=0)
