"""The accounts that orders go to."""

from dataclasses import dataclass
from decimal import Decimal

from eventrouter.domain.risk_inputs import Automation, RiskLimits
from eventrouter.domain.rolls import RollPolicy
from eventrouter.domain.sizing import SizeBy, SizingRule
from eventrouter.domain.trading_day import TradingDays

AS_ASKED = SizingRule(SizeBy.MULTIPLIER, Decimal(1))
"""The quantity of the alert, as it is."""

UNLIMITED = RiskLimits(days=TradingDays("UTC"), automation=Automation.ALLOWED, no_opposite_side=False)
"""No limits but one: nothing leaves in live mode."""


@dataclass(frozen=True, slots=True)
class Account:
    """One broker account: its name in our configuration, the connector that speaks its broker's API, and its rules.

    `broker_account` is the broker's name or id of it (empty: our name). `login` names the account whose credentials and
    connection it uses (empty: its own). Accounts of one `owner` never hold opposite sides of one product family. `balance`
    is what the account began with, in `currency`: trailing drawdowns count from there. `limits.live` must be true before
    anything leaves.
    """

    name: str
    connector: str
    enabled: bool = True
    broker_account: str = ""
    login: str = ""
    url: str = ""
    hub_url: str = ""
    firm: str = ""
    owner: str = ""
    currency: str = "USD"
    balance: Decimal | None = None
    sizing: SizingRule = AS_ASKED
    limits: RiskLimits = UNLIMITED
    roll: RollPolicy = RollPolicy.EXCHANGE

    @property
    def connection(self) -> str:
        """What its orders go through, and what a broker's rate limit counts: one connection for each login."""
        return f"{self.connector}/{self.login or self.name}" if self.connector != "dryrun" else self.connector

    def mode(self, *, dry_run: bool) -> str:
        """live where orders leave: the router's `dry_run` is off, the account is live and has a broker. Else dry."""
        return "live" if not dry_run and self.limits.live and self.connector != "dryrun" else "dry"
