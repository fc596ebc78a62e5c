"""What kind of broker is played. Where the real gateway's behaviour is unknown or differs by account, it is a setting here."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path


class BracketMode(StrEnum):
    """An account's setting on the broker's site. POSITION refuses brackets sent with an order; it is the site's default.

    The brackets that the site then attaches to positions by itself are not played.
    """

    AUTO_OCO = "auto-oco"
    POSITION = "position"


@dataclass(frozen=True, slots=True)
class Settings:
    """The broker at its start; money in dollars.

    `unique_tags`: refuse a customTag that its account used before (also for an order that was rejected); without it the
    broker is one of the weaker kind, and a repeated order is executed twice.
    `market_hours`: refuse and fill nothing while CME is closed; without it the market never closes.
    `walk`: prices walk at random, a step every `step_s`; without it they stay until posted.
    `requests_per_minute`: over any 60 s and for one user; 0 for no limit.
    `orphans_cancelled`: cancel an account's working brackets once its position is flat. The gateway leaves them working.
    `wrapped_events`: hub events as `{action, data}`, as recorded from the live hub; without it bare, as documented.
    """

    accounts: int = 3
    seed: int = 1
    balance: Decimal = Decimal(50_000)
    user: str = "trader"
    api_key: str = "simulated"
    brackets: BracketMode = BracketMode.AUTO_OCO
    unique_tags: bool = True
    market_hours: bool = False
    walk: bool = False
    step_s: float = 0.25
    token_lifetime_s: float = 86_400
    requests_per_minute: int = 200
    fee_per_side: Decimal = Decimal("0.37")
    orphans_cancelled: bool = False
    wrapped_events: bool = True
    ledger: Path | None = None
