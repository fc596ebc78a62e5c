"""What the configuration means for a strategy's alerts and tasks, in the domain's terms."""

from decimal import Decimal

from eventrouter.config.sections import AccountConfig, Config
from eventrouter.domain.accounts import Account
from eventrouter.domain.limits import Limits
from eventrouter.domain.plan import Intent, plan
from eventrouter.domain.understand import StrategyRules


def account_of(account: AccountConfig) -> Account:
    """The account as the router knows it."""
    return Account(account.name, account.connector, account.enabled)


def rules_of(config: Config, strategy: str) -> StrategyRules:
    """How this strategy's alerts are understood."""
    settings = config.strategy(strategy)
    most = Decimal(str(settings.max_quantity)) if settings.max_quantity else None
    return StrategyRules(
        symbol=settings.symbol,
        duplicate_window_s=settings.duplicate_window,
        max_age_s=settings.max_age or None,
        opposite=settings.opposite,
        limits=Limits(settings.symbols, settings.sides, most, settings.alerts_per_minute),
    )


def intents_of(config: Config, strategy: str, event_type: str = "ENTRY") -> tuple[Intent, ...]:
    """One task for each account that trades this strategy."""
    accounts = [account_of(account) for account in config.accounts_of(strategy)]
    return plan(event_type, accounts, max_age_s=config.strategy(strategy).max_age or None)
